//! The plan: its order, its time, its hash, and what is wrong with a bad one.

use super::world::{host, policy, site_with};
use room::plan::{Plan, PlanProblem};
use room::power::graph::Problem;
use room::site::{Confirm, DeviceKind, Host, OnFailure, Real, RealAction, Site};
use room::time::Millis;

fn site(hosts: Vec<Host<Real>>) -> Site<Real> {
    let mut site = site_with(&["ups-a", "ups-b", "pdu"], policy());
    site.devices[2].kind = DeviceKind::Other;
    site.hosts = hosts;
    site
}

fn plan(hosts: Vec<Host<Real>>) -> Plan {
    Plan::new(&site(hosts)).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn problems(hosts: Vec<Host<Real>>) -> Vec<PlanProblem> {
    Plan::new(&site(hosts)).expect_err("a bad plan")
}

fn room() -> Vec<Host<Real>> {
    vec![
        host("nas", &["ups-a"], &[]),
        host("db", &["ups-a"], &["nas"]),
        host("web", &["ups-a"], &["db"]),
        host("mail", &["ups-a"], &["nas"]),
    ]
}

#[test]
fn dependants_stop_first_and_the_rest_in_parallel() {
    let mut hosts = room();
    hosts[3].budget = Millis(60_000);
    let plan = plan(hosts);
    let shown: Vec<String> = plan
        .steps()
        .iter()
        .zip(plan.schedule())
        .map(|(step, slot)| format!("{} {}-{}", step.id, slot.start.0 / 1000, slot.end().0 / 1000))
        .collect();
    assert_eq!(shown, ["mail 0-60", "web 0-20", "db 20-40", "nas 60-80"]);
    assert_eq!(plan.length(), Millis(80_000));
    assert_eq!(plan.step("nas").expect("a step").after, ["db", "mail"]);
    assert_eq!(plan.step("nas").expect("a step").action, "exec");
}

#[test]
fn what_stops_takes_its_dependants_with_it() {
    let scope = plan(room()).with_dependants(["db".to_owned()]);
    assert_eq!(scope.into_iter().collect::<Vec<_>>(), ["db", "web"]);
}

#[test]
fn every_problem_is_reported_at_once() {
    let mut hosts = vec![
        host("a", &["ups-a"], &["b"]),
        host("b", &["ups-b"], &["c"]),
        host("c", &["ups-b"], &["a"]),
        host("above", &["ups-b"], &["a"]),
        host("below", &["ups-a"], &[]),
        host("alone", &[], &["nobody"]),
        host("odd", &["pdu", "ups-x", "ups-a", "ups-a"], &[]),
        host("odd", &["ups-a"], &[]),
        host("needy", &["ups-a"], &[]),
        host("hasty", &["ups-a"], &[]),
        host("selfish", &["ups-a"], &["selfish"]),
    ];
    hosts[2].depends_on.push("below".into());
    hosts[8].need = 2;
    hosts[9].budget = Millis(0);
    let named = |host: &str| host.to_owned();
    let found = problems(hosts);
    let expected = [
        PlanProblem::NoFeeds { host: named("alone") },
        PlanProblem::UnknownHost {
            host: named("alone"),
            name: named("nobody"),
        },
        PlanProblem::Feed {
            host: named("odd"),
            feed: named("pdu"),
            problem: Problem::FeedsNobody { name: named("pdu") },
        },
        PlanProblem::UnknownFeed {
            host: named("odd"),
            feed: named("ups-x"),
        },
        PlanProblem::DuplicateFeed {
            host: named("odd"),
            feed: named("ups-a"),
        },
        PlanProblem::DuplicateHost { host: named("odd") },
        PlanProblem::Need {
            host: named("needy"),
            need: 2,
            feeds: 1,
        },
        PlanProblem::NoBudget { host: named("hasty") },
        PlanProblem::Cycle {
            hosts: ["a", "b", "c", "selfish"].map(named).to_vec(),
        },
    ];
    for problem in &expected {
        assert!(found.contains(problem), "{problem} is not among {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn hosts_without_a_policy_are_a_problem() {
    let mut site = site(room());
    site.outage = None;
    assert_eq!(Plan::new(&site), Err(vec![PlanProblem::NoPolicy]));
}

#[test]
fn the_hash_changes_with_everything_that_is_done_and_with_nothing_else() {
    let usual = plan(room()).hash().to_owned();
    assert_eq!(usual.len(), 64);
    let changed = |change: fn(&mut Host<Real>)| {
        let mut hosts = room();
        change(&mut hosts[1]);
        plan(hosts).hash().to_owned()
    };
    assert_eq!(
        changed(|host| host.label.ja = "別名".into()),
        usual,
        "a shown name changes nothing"
    );
    let changes: [fn(&mut Host<Real>); 7] = [
        |host| host.budget = Millis(21_000),
        |host| host.on_failure = OnFailure::Hold,
        |host| host.confirm = Confirm::ActionSucceeded,
        |host| host.depends_on.clear(),
        |host| host.feeds.push("ups-b".into()),
        |host| (host.feeds, host.need) = (vec!["ups-a".into(), "ups-b".into()], 2),
        |host| {
            let RealAction::Exec(exec) = &mut host.action else {
                return;
            };
            exec.args.push("--now".into());
        },
    ];
    let mut hashes: Vec<String> = changes.into_iter().map(changed).collect();
    hashes.push(usual);
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 8, "every change has a hash of its own");
    let mut turned = room();
    turned.reverse();
    assert_eq!(
        plan(turned).hash(),
        plan(room()).hash(),
        "the order of the file does not matter"
    );
}
