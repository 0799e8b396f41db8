//! The role `act` switches servers by their management controllers (Redfish by the published
//! schemas, IPMI by Debian's ipmi_sim), and by requests over HTTP.

use controller::act::action::{Accepted, Action as _, Problem, Sent};
use controller::act::device::Tools;
use controller::act::permit::{Armed, Checked, Permit};
use hil_tests::certificate::Certificates;
use hil_tests::hook::{Hook, Manner as Web};
use hil_tests::ipmi::{self, Ipmi};
use hil_tests::redfish::{ACCOUNT, Bmc, Manner, Redfish};
use hil_tests::sshd::write_private;
use hil_tests::{cannot_run, lacking};
use room::site::act::http::{HttpAction, Method};
use room::site::act::https::Https;
use room::site::act::ipmi::{IpmiAction, Power, Privilege};
use room::site::act::redfish::{Auth, RedfishAction, Reset};
use room::site::{Real, RealAction, Site};
use room::time::Millis;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

fn armed() -> Armed {
    match Permit::of(true) {
        Permit::Act(armed) => armed,
        Permit::Check(_) => unreachable!("a real order is armed"),
    }
}

fn checked() -> Checked {
    match Permit::of(false) {
        Permit::Check(checked) => checked,
        Permit::Act(_) => unreachable!("a rehearsal is not armed"),
    }
}

fn tools() -> Tools {
    Tools::of(&Site::<Real>::bare())
}

async fn check(action: &RealAction) -> Result<(), Problem> {
    action.check(&tools(), checked()).await
}

/// The request, whether it may have had an effect, and whether it was seen to.
async fn carry_out(action: &RealAction) -> (Result<Accepted, Problem>, bool, bool) {
    let sent = Sent::default();
    let result = action.request(&tools(), armed(), &sent).await;
    let seen = result == Ok(Accepted::ToBeSeen)
        && matches!(
            tokio::time::timeout(SOON, action.seen(&tools())).await,
            Ok(Ok(()))
        );
    (result, sent.is_set(), seen)
}

fn https(addr: SocketAddr, certificates: &Certificates) -> Https {
    Https {
        addr,
        server_name: None,
        ca_file: Some(certificates.authority.clone()),
        plain: false,
        timeout: Millis(2000),
    }
}

struct Room {
    dir: TempDir,
    certificates: Certificates,
    bmc: Redfish,
}

impl Room {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(dir.path());
        let bmc = Redfish::start(&certificates, Bmc::default()).await;
        Self {
            dir,
            certificates,
            bmc,
        }
    }

    fn action(&self, reset: Reset) -> RedfishAction {
        let password_file = self.dir.path().join("password");
        write_private(&password_file, &format!("{}\n", ACCOUNT.1));
        RedfishAction {
            server: https(self.bmc.addr, &self.certificates),
            user: ACCOUNT.0.to_owned(),
            password_file,
            auth: Auth::Basic,
            system: None,
            reset,
        }
    }
}

#[tokio::test]
async fn redfish_stops_and_starts_a_server_and_sees_that_it_did() {
    if cannot_run(lacking(&["openssl"])) {
        return;
    }
    let room = Room::new().await;
    for (auth, action_info) in [(Auth::Basic, false), (Auth::Session, true)] {
        room.bmc.behave(Bmc {
            action_info,
            ..Bmc::default()
        });
        for (reset, after) in [
            (Reset::GracefulShutdown, "Off"),
            (Reset::On, "On"),
            (Reset::ForceOff, "Off"),
            (Reset::On, "On"),
        ] {
            let action = RealAction::Redfish(RedfishAction {
                auth,
                ..room.action(reset)
            });
            let before = (room.bmc.power(), room.bmc.resets());
            assert_eq!(check(&action).await, Ok(()), "{reset:?}");
            assert_eq!(
                (room.bmc.power(), room.bmc.resets()),
                before,
                "a check changes nothing"
            );
            assert_eq!(carry_out(&action).await, (Ok(Accepted::ToBeSeen), true, true));
            assert_eq!(room.bmc.power(), after);
            // Told again it finds nothing left to do, and sends nothing.
            assert_eq!(carry_out(&action).await, (Ok(Accepted::ToBeSeen), false, true));
        }
    }
    assert_eq!(room.bmc.resets().len(), 8);
    let (opened, left) = room.bmc.sessions();
    assert!(
        opened >= 12 && left == 0,
        "every session was closed: {opened} opened, {left} left"
    );
}

#[tokio::test]
async fn redfish_a_refusal_says_what_is_wrong_and_nothing_was_sent() {
    if cannot_run(lacking(&["openssl"])) {
        return;
    }
    let room = Room::new().await;
    let good = room.action(Reset::ForceOff);
    let other = room.dir.path().join("other");
    write_private(&other, "wrong\n");
    let open = room.dir.path().join("open");
    std::fs::write(&open, ACCOUNT.1).unwrap();
    let password = |file: &Path, auth| RedfishAction {
        password_file: file.to_owned(),
        auth,
        ..good.clone()
    };
    let with = |bmc| (good.clone(), bmc);
    let bmc = Bmc::default;
    let short = |manner| {
        let mut action = good.clone();
        action.server.timeout = Millis(300);
        (action, Bmc { manner, ..bmc() })
    };
    let stranger = RedfishAction {
        server: Https {
            ca_file: None,
            ..good.server.clone()
        },
        ..good.clone()
    };
    let elsewhere = RedfishAction {
        system: Some("2".to_owned()),
        ..good.clone()
    };
    for ((action, bmc), expected) in [
        ((password(&other, Auth::Basic), bmc()), "HTTP 401"),
        ((password(&other, Auth::Session), bmc()), "is not valid"),
        ((password(&open, Auth::Basic), bmc()), "chmod 600"),
        ((elsewhere, bmc()), "HTTP 404"),
        ((stranger, bmc()), "certificate"),
        (
            with(Bmc {
                allowed: vec!["On", "GracefulShutdown"],
                ..bmc()
            }),
            "takes no reset ForceOff, only On, GracefulShutdown",
        ),
        (
            with(Bmc {
                systems: vec!["1", "2"],
                ..bmc()
            }),
            "name one by `system`: 1, 2",
        ),
        (
            with(Bmc {
                systems: vec![],
                ..bmc()
            }),
            "no system",
        ),
        (short(Manner::Hangs), "within 0.3 s"),
        (short(Manner::Garbage), "not what such a server says"),
        (short(Manner::Redirects), "redirects are not followed"),
    ] {
        room.bmc.behave(bmc);
        let action = RealAction::Redfish(action);
        let problem = check(&action).await.unwrap_err();
        assert!(problem.text.contains(expected), "{expected}: {problem:?}");
        assert!(!problem.text.contains("wrong"), "{problem:?}");
        let (result, sent, _) = carry_out(&action).await;
        assert!(result.is_err() && !sent, "{expected}: {result:?}");
    }
    assert_eq!(room.bmc.resets(), [""; 0]);
}

#[tokio::test]
async fn redfish_a_server_that_takes_the_request_and_stays_on_is_not_seen_to_stop() {
    if cannot_run(lacking(&["openssl"])) {
        return;
    }
    let room = Room::new().await;
    room.bmc.behave(Bmc {
        manner: Manner::Stubborn,
        ..Bmc::default()
    });
    let action = RealAction::Redfish(room.action(Reset::GracefulShutdown));
    let sent = Sent::default();
    assert_eq!(
        action.request(&tools(), armed(), &sent).await,
        Ok(Accepted::ToBeSeen)
    );
    assert!(sent.is_set());
    let seen = tokio::time::timeout(Duration::from_millis(1500), action.seen(&tools())).await;
    assert!(seen.is_err(), "{seen:?}");
    assert_eq!(room.bmc.power(), "On");
}

#[tokio::test]
async fn ipmi_stops_and_starts_a_server_and_sees_that_it_did() {
    if cannot_run(Ipmi::missing()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bmc = Ipmi::start(dir.path());
    let password_file = dir.path().join("password");
    write_private(&password_file, &format!("{}\n", ipmi::ACCOUNT.1));
    let action = |power| IpmiAction {
        addr: bmc.addr,
        user: ipmi::ACCOUNT.0.to_owned(),
        password_file: password_file.clone(),
        cipher_suite: ipmi::CIPHER_SUITE,
        privilege: Privilege::Operator,
        power,
        timeout: Millis(15_000),
    };
    for (power, on) in [(Power::Soft, false), (Power::On, true), (Power::Off, false)] {
        let action = RealAction::Ipmi(action(power));
        let before = (bmc.is_on(), bmc.told());
        assert_eq!(check(&action).await, Ok(()));
        assert_eq!((bmc.is_on(), bmc.told()), before, "a check changes nothing");
        assert_eq!(carry_out(&action).await, (Ok(Accepted::ToBeSeen), true, true));
        assert_eq!(bmc.is_on(), on);
        assert_eq!(carry_out(&action).await, (Ok(Accepted::ToBeSeen), false, true));
    }
    assert_eq!(bmc.told(), ["shutdown", "power 1", "power 0"]);

    let other = dir.path().join("other");
    write_private(&other, "wrong\n");
    let long = dir.path().join("long");
    write_private(&long, "longer than twenty bytes\n");
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for (bad, expected) in [
        (
            IpmiAction {
                password_file: other,
                ..action(Power::On)
            },
            "password",
        ),
        (
            IpmiAction {
                password_file: long,
                ..action(Power::On)
            },
            "20 bytes",
        ),
        (
            IpmiAction {
                user: "nobody".to_owned(),
                ..action(Power::On)
            },
            "account",
        ),
        (
            IpmiAction {
                cipher_suite: 17,
                ..action(Power::On)
            },
            "cipher_suite",
        ),
        (
            IpmiAction {
                addr: nobody.local_addr().unwrap(),
                timeout: Millis(500),
                ..action(Power::On)
            },
            "within 0.5 s",
        ),
    ] {
        let bad = RealAction::Ipmi(bad);
        let problem = check(&bad).await.unwrap_err();
        assert!(problem.text.contains(expected), "{expected}: {problem:?}");
        let (result, sent, _) = carry_out(&bad).await;
        assert!(result.is_err() && !sent, "{expected}: {result:?}");
    }
    assert_eq!(bmc.told().len(), 3);
}

#[tokio::test]
async fn http_makes_one_request_and_only_the_expected_status_means_yes() {
    if cannot_run(lacking(&["openssl"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path());
    let mut hook = Hook::start(Some(&certificates)).await;
    let token_file = dir.path().join("token");
    write_private(&token_file, "t0ken\n");
    let good = HttpAction {
        server: https(hook.addr, &certificates),
        method: Method::Put,
        path: "/outlets/4?now=1".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: "{\"on\": false}".to_owned(),
        expect: Some(204),
        token_file: Some(token_file),
        check_path: Some("/outlets".to_owned()),
    };
    let action = RealAction::Http(good.clone());
    assert_eq!(check(&action).await, Ok(()));
    let asked = hook.next(SOON).await;
    assert_eq!((asked.target.as_str(), asked.body.len()), ("GET /outlets", 0));
    assert_eq!(carry_out(&action).await, (Ok(Accepted::Succeeded), true, false));
    let asked = hook.next(SOON).await;
    assert_eq!(asked.target, "PUT /outlets/4?now=1");
    assert_eq!(asked.body, "{\"on\": false}");
    assert_eq!(asked.headers["authorization"], "Bearer t0ken");
    assert_eq!(asked.headers["content-type"], "application/json");

    // Without a path to ask for, a check proves the server and asks nothing.
    let quiet = RealAction::Http(HttpAction {
        check_path: None,
        ..good.clone()
    });
    assert_eq!(check(&quiet).await, Ok(()));
    assert!(hook.rest().is_empty());

    for (manner, expected) in [
        (Web::Answer(200, None, "ok".to_owned()), "204 means yes"),
        (Web::Answer(403, None, "no".to_owned()), "lacks the right"),
        (
            Web::Answer(
                302,
                Some(("location", "https://192.0.2.1/".to_owned())),
                String::new(),
            ),
            "redirects are not followed",
        ),
        (Web::Garbage(b"SSH-2.0-x\r\n".to_vec()), "no good HTTP"),
    ] {
        hook.behave(manner);
        let (result, sent, _) = carry_out(&action).await;
        let problem = result.unwrap_err();
        // The server had the request; what it did of it nobody knows.
        assert!(sent && problem.text.contains(expected), "{expected}: {problem:?}");
    }
    let stranger = RealAction::Http(HttpAction {
        server: Https {
            ca_file: None,
            ..good.server.clone()
        },
        check_path: None,
        ..good
    });
    assert!(check(&stranger).await.unwrap_err().text.contains("certificate"));
    let (result, sent, _) = carry_out(&stranger).await;
    assert!(result.is_err() && !sent, "a stranger gets no token: {result:?}");
}
