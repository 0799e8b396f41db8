//! Actions in the site file: what each kind can do, and what is refused with what advice.

use super::act::http::Method;
use super::act::ipmi::{Power, Privilege};
use super::act::redfish::{Auth, Reset};
use super::parse::{real, simulated};
use super::problem::Problem;
use super::{Real, RealAction, Site};
use crate::outage::Verb;
use crate::time::Millis;
use std::path::Path;

const HOUSE: &str = r#"name = "室"
data_dir = "data"
[web]
listen = "127.0.0.1:8080"
[mqtt]
listen = "127.0.0.1:1883"
[[device]]
name = "ups-a"
kind = "ups"
addr = "127.0.0.1:1161"
version = "v2c"
community = "public"
[outage]
on_battery_delay = "10s"
reserve = "30s"
start_at_charge = 40
longest_on_battery = "10m"
contact_lost_after = "15s"
mains_stable = "30s"
[[host]]
name = "db1"
feeds = ["ups-a"]
budget = "5m"
"#;

const REDFISH: &str = "kind = \"redfish\"\naddr = \"192.0.2.1:443\"\nca_file = \"bmc.pem\"\nuser = \"yagura\"\npassword_file = \"bmc\"\n";
const IPMI: &str = "kind = \"ipmi\"\naddr = \"192.0.2.1:623\"\nuser = \"yagura\"\npassword_file = \"bmc\"\n";
const WOL: &str = "kind = \"wol\"\naddr = \"192.0.2.255:9\"\nmac = \"00:11:22:aA:bB:cC\"\n";
const HTTP: &str = "kind = \"http\"\naddr = \"192.0.2.1:443\"\npath = \"/off\"\n";
const EXEC: &str = "kind = \"exec\"\nprogram = \"/bin/true\"\n";

/// A site whose host is stopped, forced and started so.
fn site_of(stop: &str, force: Option<&str>, start: Option<&str>) -> Result<Site<Real>, Vec<Problem>> {
    real(&text_of(stop, force, start), Path::new("/etc/yagura"))
}

fn text_of(stop: &str, force: Option<&str>, start: Option<&str>) -> String {
    let on_failure = if force.is_some() { "force" } else { "hold" };
    let mut text = format!("{HOUSE}on_failure = \"{on_failure}\"\n[host.action]\n{stop}");
    if let Some(force) = force {
        text += &format!("[host.force]\n{force}");
    }
    if let Some(start) = start {
        text += &format!("[host.start]\nbudget = \"10m\"\n{start}");
    }
    text + "[host.confirm]\nkind = \"action_succeeded\"\n"
}

fn refused(stop: &str, force: Option<&str>, start: Option<&str>) -> String {
    let problems = site_of(stop, force, start).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

fn with(base: &str, more: &str) -> String {
    format!("{base}{more}\n")
}

#[test]
fn a_management_controller_stops_forces_and_starts() {
    let site = site_of(
        &with(REDFISH, "reset = \"GracefulShutdown\""),
        Some(&with(
            REDFISH,
            "reset = \"ForceOff\"\nauth = \"session\"\nsystem = \"1\"",
        )),
        Some(&with(REDFISH, "reset = \"On\"\ntimeout = \"20s\"")),
    )
    .unwrap();
    let found = [Verb::Stop, Verb::Force, Verb::Start].map(|verb| match site.hosts[0].doing(verb) {
        Some(RealAction::Redfish(action)) => (action.reset, action.auth, action.system.clone()),
        other => panic!("{other:?}"),
    });
    assert_eq!(
        found,
        [
            (Reset::GracefulShutdown, Auth::Basic, None),
            (Reset::ForceOff, Auth::Session, Some("1".to_owned())),
            (Reset::On, Auth::Basic, None),
        ]
    );
    let site = site_of(
        &with(IPMI, "power = \"soft\""),
        Some(&with(
            IPMI,
            "power = \"off\"\ncipher_suite = 3\nprivilege = \"administrator\"",
        )),
        Some(&with(IPMI, "power = \"on\"\ntimeout = \"5s\"")),
    )
    .unwrap();
    let found = [Verb::Stop, Verb::Force, Verb::Start].map(|verb| match site.hosts[0].doing(verb) {
        Some(RealAction::Ipmi(action)) => (
            action.power,
            action.cipher_suite,
            action.privilege,
            action.timeout,
        ),
        other => panic!("{other:?}"),
    });
    let ten = Millis::from_secs(10);
    assert_eq!(
        found,
        [
            (Power::Soft, 17, Privilege::Operator, ten),
            (Power::Off, 3, Privilege::Administrator, ten),
            (Power::On, 17, Privilege::Operator, Millis::from_secs(5)),
        ]
    );
}

#[test]
fn nothing_does_what_it_cannot() {
    for (stop, force, start, word) in [
        (with(REDFISH, "reset = \"On\""), None, None, "GracefulShutdown"),
        (
            EXEC.to_owned(),
            Some(with(REDFISH, "reset = \"GracefulShutdown\"")),
            None,
            "ForceOff",
        ),
        (
            EXEC.to_owned(),
            None,
            Some(with(REDFISH, "reset = \"ForceOff\"")),
            "On",
        ),
        (with(REDFISH, "reset = \"PowerCycle\""), None, None, "reset"),
        (with(IPMI, "power = \"on\""), None, None, "soft"),
        (with(IPMI, "power = \"cycle\""), None, None, "power"),
        (EXEC.to_owned(), Some(with(IPMI, "power = \"soft\"")), None, "off"),
        (WOL.to_owned(), None, None, "kind"),
        (EXEC.to_owned(), Some(WOL.to_owned()), None, "kind"),
        (EXEC.to_owned(), None, Some(WOL.to_owned()), "alive"),
    ] {
        let problem = refused(&stop, force.as_deref(), start.as_deref());
        assert!(problem.contains(word), "{problem}");
    }
    let waking = with(WOL, "alive = \"192.0.2.1:22\"");
    let site = site_of(EXEC, None, Some(&waking)).unwrap();
    let Some(RealAction::Wol(wol)) = site.hosts[0].doing(Verb::Start) else {
        panic!("{:?}", site.hosts[0]);
    };
    assert_eq!(wol.mac, [0x00, 0x11, 0x22, 0xaa, 0xbb, 0xcc]);
}

#[test]
fn a_password_is_never_sent_to_be_read_by_others() {
    let clear = with(REDFISH, "reset = \"ForceOff\"\nplain = true");
    assert!(refused(&clear, None, None).contains("in the clear"));
    let here = clear.replace("192.0.2.1", "127.0.0.1");
    assert!(site_of(&here, None, None).is_ok());
    for suite in [0, 1, 2, 15, 18] {
        let weak = with(IPMI, &format!("power = \"off\"\ncipher_suite = {suite}"));
        assert!(refused(&weak, None, None).contains("cipher_suite"));
    }
    let token = with(HTTP, "headers = [\"Authorization: Bearer abc\"]");
    assert!(refused(&token, None, None).contains("token_file"));
}

#[test]
fn a_request_over_http_is_read_whole_or_refused_with_the_reason() {
    let all = with(
        HTTP,
        "method = \"PUT\"\nheaders = [\"Content-Type: application/json\"]\nbody = '{\"on\":false}'\nexpect = 204\ntoken_file = \"t\"\nca_file = \"c\"\nserver_name = \"pdu.example\"\ncheck_path = \"/state\"\ntimeout = \"3s\"",
    );
    let site = site_of(&all, None, None).unwrap();
    let Some(RealAction::Http(http)) = site.hosts[0].doing(Verb::Stop) else {
        panic!("{:?}", site.hosts[0]);
    };
    assert_eq!(http.method, Method::Put);
    assert_eq!(
        http.headers,
        [("content-type".to_owned(), "application/json".to_owned())]
    );
    assert_eq!(
        (http.expect, http.check_path.as_deref()),
        (Some(204), Some("/state"))
    );
    assert_eq!(http.token_file.as_deref(), Some(Path::new("/etc/yagura/t")));
    for (more, word) in [
        ("method = \"TRACE\"", "method"),
        ("expect = 404", "expect"),
        ("headers = [\"Content-Type\"]", "no header"),
        ("headers = [\"A b: c\"]", "no header"),
        ("headers = [\"A: b\", \"a: c\"]", "once"),
        ("headers = [\"Host: x\"]", "Host"),
        ("check_path = \"state\"", "check_path"),
        ("url = \"https://x/\"", "unknown key"),
    ] {
        let problem = refused(&with(HTTP, more), None, None);
        assert!(problem.contains(word), "{problem}");
    }
    for path in ["off", "/a b", "/#x", "https://x/", "/ü"] {
        let problem = refused(&HTTP.replace("/off", path), None, None);
        assert!(problem.contains("path"), "{problem}");
    }
}

#[test]
fn odd_names_and_addresses_are_refused_with_an_example() {
    for (text, word) in [
        (
            with(REDFISH, "reset = \"ForceOff\"\nsystem = \"../Managers/1\""),
            "system",
        ),
        (with(REDFISH, "reset = \"ForceOff\"\nauth = \"digest\""), "auth"),
        (
            with(REDFISH, "reset = \"ForceOff\"\nserver_name = \"b m c\""),
            "server_name",
        ),
        (
            with(
                &IPMI.replace("yagura", "a long name for an account"),
                "power = \"off\"",
            ),
            "user",
        ),
        (with(IPMI, "power = \"off\"\ntimeout = \"5m\""), "timeout"),
        (REDFISH.to_owned(), "reset"),
        (IPMI.to_owned(), "power"),
    ] {
        let problem = refused(&text, None, None);
        assert!(problem.contains(word), "{problem}");
    }
    for mac in [
        "00:11:22:33:44",
        "00:11:22:33:44:gg",
        "01:00:5e:00:00:01",
        "00:00:00:00:00:00",
        "+0:11:22:33:44:55",
    ] {
        let text = with(WOL, "alive = \"192.0.2.1:22\"").replace("00:11:22:aA:bB:cC", mac);
        let problem = refused(EXEC, None, Some(&text));
        assert!(problem.contains("mac"), "{problem}");
    }
}

#[test]
fn a_simulated_site_has_no_hands_for_them() {
    for stop in [
        with(REDFISH, "reset = \"ForceOff\""),
        with(IPMI, "power = \"off\""),
        HTTP.to_owned(),
    ] {
        let problems = simulated(&text_of(&stop, None, None), Path::new("/x")).unwrap_err();
        assert!(
            problems
                .iter()
                .any(|problem| problem.message.contains("simulated")),
            "{problems:?}"
        );
    }
}
