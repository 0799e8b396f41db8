//! Sites whose policy of an outage cannot be right are refused, with a word about what to write.

use super::outage::{About, Seen, Then};
use super::parse;
use std::path::Path;

const EXAMPLE: &str = include_str!("../../../../deploy/example/site.toml");

#[test]
fn the_example_sheds_a_host_and_has_a_rule() {
    let site = parse::real(EXAMPLE, Path::new("/etc/yagura")).unwrap();
    let policy = site.outage.as_ref().unwrap();
    assert_eq!(policy.then, Then::Stop);
    assert_eq!(policy.shed.keys().collect::<Vec<_>>(), ["app1"]);
    let rule = &policy.rules[0];
    assert_eq!((rule.about, rule.then), (About::Overheating, Then::Stop));
    assert_eq!(rule.signs.len(), 4);
    assert!(rule.signs[0].is_heat() && rule.signs[0].is_independent_of(&rule.signs[1]));
    assert!(matches!(&rule.signs[3].seen, Seen::Group { group } if group == "db"));
    assert!(
        !rule.signs[2].is_independent_of(&rule.signs[3]),
        "db-1 is a member of the group"
    );
}

#[test]
fn a_policy_that_cannot_be_right_is_refused_with_a_hint() {
    let first = "  { point = \"inlet.r3.temperature\", above = 40 }, # above か below\n";
    let second = "  { point = \"ups-room.temperature\", above = 40 },\n";
    let third = "  { device = \"db-1\", fact = \"unmapped.cluster.role\", is = [\"faulted\"] }, # 機器の言葉 a word of a device\n";
    let group = "  { group = \"db\" }, # どの";
    let only = |what: &str| {
        let mut text = EXAMPLE.to_owned();
        for sign in [first, second, third].into_iter().filter(|sign| *sign != what) {
            assert!(text.contains(sign), "{sign}");
            text = text.replacen(sign, "", 1);
        }
        text.replacen(group, "# ", 1)
    };
    let with = |from: &str, to: &str| {
        assert!(EXAMPLE.contains(from), "{from}");
        EXAMPLE.replacen(from, to, 1)
    };
    for (text, says) in [
        (only(first), "come from one source"),
        (only(third), "no sign of heat"),
        (
            with("ups-room.temperature\", above = 40", "ups-room.temperature\""),
            "needs one limit",
        ),
        (
            with(
                "point = \"ups-room.temperature\", above",
                "point = \"ups-rom.temperature\", above",
            ),
            "did you mean `ups-room.temperature`?",
        ),
        (with("hosts = [\"app1\"]", "hosts = [\"app9\"]"), "no [[host]]"),
        (with("{ group = \"db\" }", "{ group = \"dbs\" }"), "no [[group]]"),
        (with("is = [\"faulted\"]", "is = []"), "lacks `fact` or `is`"),
        (with("about = \"overheating\"", "about = \"noise\""), "about"),
        (
            with("shed_after = \"5m\"", "shed_after = \"5s\""),
            "ridden through",
        ),
        (
            with("then = \"stop\" # 既定", "then = \"shed\" # 既定").replacen("shed_after = \"5m\"", "#", 1),
            "power would stop nobody",
        ),
        (with("for = \"2m\"", "for = \"1s\""), "for"),
    ] {
        let problems = parse::real(&text, Path::new("/etc/yagura")).unwrap_err();
        let found = problems.iter().any(|problem| problem.to_string().contains(says));
        assert!(found, "{says}: {problems:?}");
    }
}

/// What is wrong with a schedule or a battery test that reads like this.
fn check_calendar(from: &str, to: &str, expected: &str) {
    let example = include_str!("../../../../deploy/example/site.toml");
    let text = example.replacen(from, to, 1);
    assert_ne!(text, example, "{from} is not in the example");
    let problems = super::parse::real(&text, std::path::Path::new("/etc/yagura")).unwrap_err();
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert!(
        messages.iter().any(|message| message.contains(expected)),
        "{to}: {messages:?}"
    );
}

#[test]
fn a_schedule_that_cannot_be_kept_is_refused() {
    let hosts = "hosts = [\"app1\"] # [host.start]";
    check_calendar(hosts, "hosts = [\"ap1\"] # ", "which is no [[host]]");
    check_calendar(hosts, "hosts = [\"nas2\"] # ", "it has no [host.start]");
    check_calendar("stop = \"21:00\"", "stop = \"25:00\"", "is not a time of day");
    check_calendar("dates = [\"12-28\"", "dates = [\"13-28\"", "which is no day");
    check_calendar("announce = \"10m\"", "announce = \"3h\"", "out of range");
    check_calendar(
        "start_on = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"] # 起動",
        "# ",
        "would not start again",
    );
    check_calendar(
        "days = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"] # 停止",
        "days = [\"someday\"] # ",
        "which is no day of the week",
    );
}

#[test]
fn a_battery_test_that_cannot_be_made_is_refused() {
    let kind = "kind = \"plain\" #";
    check_calendar(kind, "kind = \"deep\" #", "which its `commands` do not allow");
    check_calendar(kind, "kind = \"long\" #", "is not a known word");
    check_calendar("to = \"15:00\"", "to = \"09:00\"", "does not lie after");
    check_calendar("every_days = 30", "every_days = 1", "every_days");
    check_calendar("hottest_celsius = 30", "hottest_celsius = 80", "out of range");
}
