//! Guests of hypervisors: libvirt's own daemon with its test driver.

use controller::act::action::{Accepted, Action as _, Problem, Sent};
use controller::act::device::Tools;
use controller::act::permit::Permit;
use hil_tests::cannot_run;
use hil_tests::libvirt::Libvirt;
use room::outage::Verb;
use room::site::act::guests::{Guests, Which};
use room::site::act::libvirt::{LibvirtAction, Mode};
use room::site::{Real, RealAction, Site};
use room::time::Millis;
use std::path::Path;
use std::time::Duration;

/// Longest wait for anything that should happen soon.
const SOON: Duration = Duration::from_secs(10);

/// A role that holds what it remembers in this folder.
fn tools(data_dir: &Path) -> Tools {
    Tools::of(&Site::<Real> {
        data_dir: data_dir.to_owned(),
        ..Site::bare()
    })
}

async fn look(action: &RealAction, tools: &Tools) -> Result<(), Problem> {
    match Permit::of(false) {
        Permit::Check(checked) => action.check(tools, checked).await,
        Permit::Act(_) => unreachable!("a rehearsal is not armed"),
    }
}

/// Requests it in this run, and looks until it is seen.
async fn carry_out(action: &RealAction, tools: &Tools, run: u64) -> Result<(), Problem> {
    let armed = match Permit::of_run(true, run) {
        Permit::Act(armed) => armed,
        Permit::Check(_) => unreachable!("a real order is armed"),
    };
    let accepted = action.request(tools, armed, &Sent::default()).await?;
    assert_eq!(accepted, Accepted::ToBeSeen);
    assert!(action.can_be_seen());
    tokio::time::timeout(SOON, action.seen(tools))
        .await
        .expect("it is seen soon")
}

fn all() -> Which {
    Which::All { except: Vec::new() }
}

fn libvirt(daemon: &Libvirt, verb: Verb, which: Which) -> RealAction {
    RealAction::Libvirt(LibvirtAction {
        program: "/usr/bin/virsh".into(),
        uri: daemon.uri.clone(),
        guests: Guests {
            which,
            force_after: None,
        },
        mode: Mode::Any,
        timeout: Millis(5000),
        verb,
    })
}

#[tokio::test]
async fn libvirt_guests_that_ran_are_stopped_and_those_alone_are_started_again() {
    if cannot_run(Libvirt::missing()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let daemon = Libvirt::start(dir.path(), &["web", "db", "spare"]).await;
    daemon.virsh(&["destroy", "spare"]);
    let stop = libvirt(&daemon, Verb::Stop, all());
    let start = libvirt(&daemon, Verb::Start, all());

    assert_eq!(look(&stop, &tools(dir.path())).await, Ok(()));
    assert_eq!(daemon.running(), ["db", "test", "web"], "a check changes nothing");

    assert_eq!(carry_out(&stop, &tools(dir.path()), 7).await, Ok(()));
    assert_eq!(daemon.running(), [""; 0]);
    // The order comes again: nobody runs, and nobody is forgotten.
    assert_eq!(carry_out(&stop, &tools(dir.path()), 7).await, Ok(()));

    // The role was started again in between: what it remembers is on disk.
    assert_eq!(carry_out(&start, &tools(dir.path()), 7).await, Ok(()));
    assert_eq!(daemon.running(), ["db", "test", "web"]);
    assert_eq!(carry_out(&start, &tools(dir.path()), 7).await, Ok(()));
    assert_eq!(daemon.running(), ["db", "test", "web"]);
}

#[tokio::test]
async fn libvirt_guests_are_left_alone_unless_they_are_meant() {
    if cannot_run(Libvirt::missing()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let daemon = Libvirt::start(dir.path(), &["web", "db"]).await;
    let tools = tools(dir.path());
    let web = Which::Named(vec!["web".to_owned()]);
    assert_eq!(
        carry_out(&libvirt(&daemon, Verb::Force, web), &tools, 7).await,
        Ok(())
    );
    assert_eq!(daemon.running(), ["db", "test"]);
    let but_db = Which::All {
        except: vec!["db".to_owned()],
    };
    assert_eq!(
        carry_out(&libvirt(&daemon, Verb::Stop, but_db), &tools, 7).await,
        Ok(())
    );
    assert_eq!(daemon.running(), ["db"]);
    let nobody = Which::Named(vec!["mail".to_owned()]);
    let problem = look(&libvirt(&daemon, Verb::Stop, nobody), &tools)
        .await
        .unwrap_err();
    assert!(problem.text.contains("has no guest mail"), "{problem:?}");
}

#[tokio::test]
async fn libvirt_nothing_is_started_when_nothing_is_remembered() {
    if cannot_run(Libvirt::missing()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let daemon = Libvirt::start(dir.path(), &["web"]).await;
    daemon.virsh(&["destroy", "web"]);
    let problem = carry_out(&libvirt(&daemon, Verb::Start, all()), &tools(dir.path()), 7)
        .await
        .unwrap_err();
    assert!(problem.text.contains("nothing is remembered"), "{problem:?}");
    assert_eq!(daemon.running(), ["test"]);
}

mod proxmox {
    use super::{SOON, all, carry_out, look, tools};
    use controller::act::action::{Action as _, Problem};
    use hil_tests::api::Manner;
    use hil_tests::certificate::Certificates;
    use hil_tests::pve::{NODE, Pve};
    use room::outage::Verb;
    use room::site::RealAction;
    use room::site::act::guests::{Guests, Which, Whom};
    use room::site::act::https::Https;
    use room::site::act::proxmox::ProxmoxAction;
    use room::time::Millis;
    use std::path::Path;
    use std::time::Duration;
    use tempfile::TempDir;
    use tokio::time::Instant;

    /// Longest time of one request.
    const REQUEST: Millis = Millis(2000);

    struct Stage {
        dir: TempDir,
        certificates: Certificates,
        pve: Pve,
    }

    async fn stage(guests: &[(u64, &'static str, &str, Option<u64>)]) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(dir.path());
        let pve = Pve::start(&certificates, guests).await;
        Stage {
            dir,
            certificates,
            pve,
        }
    }

    fn action(stage: &Stage, verb: Verb, what: Whom) -> ProxmoxAction {
        ProxmoxAction {
            server: Https {
                addr: stage.pve.api.addr,
                server_name: None,
                ca_file: Some(stage.certificates.authority.clone()),
                plain: false,
                timeout: REQUEST,
            },
            token_file: Pve::token_file(stage.dir.path()),
            node: NODE.to_owned(),
            what,
            verb,
        }
    }

    fn guests(which: Which, force_after: Option<u64>) -> Whom {
        Whom::Guests(Guests {
            which,
            force_after: force_after.map(Millis),
        })
    }

    fn proxmox(stage: &Stage, verb: Verb, what: Whom) -> RealAction {
        RealAction::Proxmox(action(stage, verb, what))
    }

    async fn refused(action: RealAction, folder: &Path) -> Problem {
        look(&action, &tools(folder)).await.unwrap_err()
    }

    #[tokio::test]
    async fn proxmox_guests_are_stopped_and_those_that_ran_are_started_again() {
        let stage = stage(&[
            (100, "qemu", "web", Some(100)),
            (101, "lxc", "dns", Some(50)),
            (102, "qemu", "spare", Some(50)),
        ])
        .await;
        stage.pve.switch_off(102);
        let tools = tools(stage.dir.path());
        let stop = proxmox(&stage, Verb::Stop, guests(all(), None));
        assert_eq!(look(&stop, &tools).await, Ok(()));
        assert_eq!(stage.pve.running(), ["web", "dns"], "a check changes nothing");
        assert_eq!(carry_out(&stop, &tools, 7).await, Ok(()));
        assert_eq!(stage.pve.running(), [""; 0]);
        let start = proxmox(&stage, Verb::Start, guests(all(), None));
        assert_eq!(carry_out(&start, &tools, 7).await, Ok(()));
        assert_eq!(stage.pve.running(), ["web", "dns"]);
    }

    #[tokio::test]
    async fn proxmox_a_guest_that_hangs_is_cut_off_by_force_though_its_shutdown_holds_the_lock() {
        let stage = stage(&[(100, "qemu", "web", None), (101, "qemu", "db", Some(50))]).await;
        let tools = tools(stage.dir.path());
        let stop = proxmox(&stage, Verb::Stop, guests(all(), None));
        let took = tokio::time::timeout(Duration::from_millis(1600), carry_out(&stop, &tools, 7)).await;
        assert!(took.is_err(), "it hangs: {took:?}");
        assert_eq!(stage.pve.running(), ["web"]);
        let force = proxmox(&stage, Verb::Force, guests(all(), None));
        assert_eq!(carry_out(&force, &tools, 7).await, Ok(()));
        assert_eq!(stage.pve.running(), [""; 0]);
        let start = proxmox(&stage, Verb::Start, guests(all(), None));
        assert_eq!(carry_out(&start, &tools, 7).await, Ok(()));
        assert_eq!(stage.pve.running(), ["web", "db"]);
    }

    #[tokio::test]
    async fn proxmox_the_node_itself_cuts_off_who_does_not_shut_down_in_time() {
        let stage = stage(&[(100, "qemu", "web", None)]).await;
        let tools = tools(stage.dir.path());
        let named = Which::Named(vec!["100".to_owned()]);
        let stop = proxmox(&stage, Verb::Stop, guests(named, Some(1000)));
        assert_eq!(carry_out(&stop, &tools, 7).await, Ok(()));
        assert_eq!(stage.pve.running(), [""; 0]);
    }

    #[tokio::test]
    async fn proxmox_a_node_is_shut_down_at_its_own_address() {
        let stage = stage(&[]).await;
        let tools = tools(stage.dir.path());
        let node = proxmox(&stage, Verb::Stop, Whom::Host);
        assert_eq!(node.address(), Some(stage.pve.api.addr));
        assert_eq!(look(&node, &tools).await, Ok(()));
        assert!(!stage.pve.api.is_off(), "a check changes nothing");
        let other = ProxmoxAction {
            node: "pve2".to_owned(),
            ..action(&stage, Verb::Stop, Whom::Host)
        };
        let problem = refused(RealAction::Proxmox(other), stage.dir.path()).await;
        assert!(problem.text.contains("is node pve1, not pve2"), "{problem:?}");
        assert_eq!(carry_out(&node, &tools, 7).await, Ok(()));
        assert!(stage.pve.api.is_off());
    }

    #[tokio::test]
    async fn proxmox_a_check_names_the_right_that_is_missing() {
        let stage = stage(&[(100, "qemu", "web", Some(0))]).await;
        let folder = stage.dir.path();
        stage.pve.forbid("/vms/100", "VM.PowerMgmt");
        let stop = || proxmox(&stage, Verb::Stop, guests(all(), None));
        let problem = refused(stop(), folder).await;
        assert!(
            problem.text.contains("lacks VM.PowerMgmt on /vms/100"),
            "{problem:?}"
        );
        let problem = carry_out(&stop(), &tools(folder), 7).await.unwrap_err();
        assert!(
            problem.text.starts_with("guest web:") && problem.text.contains("403"),
            "{problem:?}"
        );
        stage.pve.forbid("/vms/100", "VM.Audit");
        let problem = refused(stop(), folder).await;
        assert!(problem.text.contains("sees no guest"), "{problem:?}");
        // It runs on, and who cannot see it does not say that it has stopped.
        let problem = carry_out(&stop(), &tools(folder), 7).await.unwrap_err();
        assert!(problem.text.contains("sees no guest"), "{problem:?}");
        stage.pve.forbid("/nodes/pve1", "Sys.PowerMgmt");
        let problem = refused(proxmox(&stage, Verb::Stop, Whom::Host), folder).await;
        assert!(
            problem.text.contains("Sys.PowerMgmt on /nodes/pve1"),
            "{problem:?}"
        );
    }

    #[tokio::test]
    async fn proxmox_a_server_that_is_another_or_misbehaves_is_a_problem_in_words() {
        let stage = stage(&[(100, "qemu", "web", Some(0))]).await;
        let folder = stage.dir.path();
        let good = || action(&stage, Verb::Stop, guests(all(), None));
        for (manner, word) in [
            (Manner::Hang, "no answer to GET within 0.3 s"),
            (Manner::Status(503), "HTTP 503"),
            (Manner::Garbage, "no good HTTP"),
            (Manner::Nonsense, "not what such a server says"),
            (Manner::Endless, "longer than"),
        ] {
            stage.pve.api.behave(manner);
            let mut action = good();
            if manner == Manner::Hang {
                action.server.timeout = Millis(300);
            }
            let problem = refused(RealAction::Proxmox(action), folder).await;
            assert!(problem.retryable && problem.text.contains(word), "{problem:?}");
        }
        stage.pve.api.behave(Manner::Good);
        let others = tempfile::tempdir().unwrap();
        let mut action = good();
        action.server.ca_file = Some(Certificates::make(others.path()).authority);
        let problem = refused(RealAction::Proxmox(action), folder).await;
        assert!(
            !problem.retryable && problem.text.contains("not the expected one"),
            "{problem:?}"
        );
        let mut action = good();
        action.server.ca_file = Some(stage.certificates.server.clone());
        let pinned = RealAction::Proxmox(action);
        assert_eq!(look(&pinned, &tools(folder)).await, Ok(()), "a pin");
        let mut action = good();
        hil_tests::sshd::write_private(&folder.join("other"), "a@b!c=d");
        action.token_file = folder.join("other");
        let problem = refused(RealAction::Proxmox(action), folder).await;
        assert!(
            problem.text.contains("does not accept the credential"),
            "{problem:?}"
        );
    }

    #[tokio::test]
    async fn proxmox_a_server_that_is_not_there_is_given_up_soon() {
        let stage = stage(&[]).await;
        let mut action = action(&stage, Verb::Stop, guests(all(), None));
        action.server.addr = hil_tests::free_port();
        let begun = Instant::now();
        let problem = refused(RealAction::Proxmox(action), stage.dir.path()).await;
        assert!(problem.text.starts_with("connecting to 127.0.0.1"), "{problem:?}");
        assert!(begun.elapsed() < SOON);
    }
}

mod vsphere {
    use super::{all, carry_out, look, tools};
    use hil_tests::api::Manner;
    use hil_tests::certificate::Certificates;
    use hil_tests::vcenter::{ESXI, USER, Vcenter};
    use room::outage::Verb;
    use room::site::RealAction;
    use room::site::act::guests::{Guests, Which};
    use room::site::act::https::Https;
    use room::site::act::vsphere::VsphereAction;
    use room::time::Millis;
    use tempfile::TempDir;

    struct Stage {
        dir: TempDir,
        certificates: Certificates,
        vcenter: Vcenter,
    }

    async fn stage(vms: &[(&str, Option<u64>)]) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(dir.path());
        let vcenter = Vcenter::start(&certificates, vms).await;
        Stage {
            dir,
            certificates,
            vcenter,
        }
    }

    fn vsphere(stage: &Stage, verb: Verb, which: Which, force_after: Option<u64>) -> VsphereAction {
        VsphereAction {
            server: Https {
                addr: stage.vcenter.api.addr,
                server_name: None,
                ca_file: Some(stage.certificates.authority.clone()),
                plain: false,
                timeout: Millis(2000),
            },
            user: USER.to_owned(),
            password_file: Vcenter::password_file(stage.dir.path()),
            esxi: Some(ESXI.0.to_owned()),
            guests: Guests {
                which,
                force_after: force_after.map(Millis),
            },
            verb,
        }
    }

    #[tokio::test]
    async fn vsphere_machines_of_one_host_are_stopped_and_started_and_no_session_is_left() {
        let stage = stage(&[("web", Some(50)), ("stuck", None), ("vcenter", Some(0))]).await;
        let tools = tools(stage.dir.path());
        let but_itself = || Which::All {
            except: vec!["vcenter".to_owned()],
        };
        let stop = RealAction::Vsphere(vsphere(&stage, Verb::Stop, but_itself(), Some(600)));
        assert_eq!(look(&stop, &tools).await, Ok(()));
        assert_eq!(stage.vcenter.running().len(), 4, "a check changes nothing");
        assert_eq!(carry_out(&stop, &tools, 7).await, Ok(()));
        assert_eq!(stage.vcenter.running(), ["vcenter", "elsewhere"]);
        let start = RealAction::Vsphere(vsphere(&stage, Verb::Start, but_itself(), None));
        assert_eq!(carry_out(&start, &tools, 7).await, Ok(()));
        assert_eq!(stage.vcenter.running().len(), 4);
        assert_eq!(stage.vcenter.sessions(), 0);
    }

    #[tokio::test]
    async fn vsphere_what_is_missing_is_said() {
        let stage = stage(&[("web", Some(50)), ("db", Some(50))]).await;
        let tools = tools(stage.dir.path());
        let stop = || vsphere(&stage, Verb::Stop, all(), None);
        let refused =
            async |action: VsphereAction| look(&RealAction::Vsphere(action), &tools).await.unwrap_err().text;
        let other_host = VsphereAction {
            esxi: Some("esxi9.city.example".to_owned()),
            ..stop()
        };
        assert!(refused(other_host).await.contains("has no host esxi9"));
        let other_user = VsphereAction {
            user: "root".to_owned(),
            ..stop()
        };
        assert!(refused(other_user).await.contains("UNAUTHENTICATED"));
        stage.vcenter.end_tools("db");
        assert!(refused(stop()).await.contains("VMware Tools do not run in db"));
        let problem = carry_out(&RealAction::Vsphere(stop()), &tools, 7)
            .await
            .unwrap_err();
        assert!(
            problem.text.starts_with("guest db:") && problem.text.contains("SERVICE_UNAVAILABLE"),
            "{problem:?}"
        );
        stage.vcenter.forbid();
        let force = RealAction::Vsphere(vsphere(&stage, Verb::Force, all(), None));
        let problem = carry_out(&force, &tools, 7).await.unwrap_err();
        assert!(
            problem.text.contains("lacks Virtual machine > Interaction"),
            "{problem:?}"
        );
        for (manner, word) in [
            (Manner::Status(502), "HTTP 502"),
            (Manner::Nonsense, "not what such a server says"),
            (Manner::Garbage, "no good HTTP"),
        ] {
            stage.vcenter.api.behave(manner);
            let said = refused(stop()).await;
            assert!(said.contains(word), "{said}");
        }
        assert_eq!(stage.vcenter.sessions(), 0);
    }
}

mod winrm {
    use super::{all, carry_out, look, tools};
    use controller::act::action::Action as _;
    use hil_tests::api::Manner;
    use hil_tests::certificate::Certificates;
    use hil_tests::windows::{USER, Windows};
    use room::outage::Verb;
    use room::site::RealAction;
    use room::site::act::guests::{Guests, Which, Whom};
    use room::site::act::https::Https;
    use room::site::act::winrm::WinrmAction;
    use room::time::Millis;
    use tempfile::TempDir;

    struct Stage {
        dir: TempDir,
        certificates: Certificates,
        windows: Windows,
    }

    async fn stage(guests: &[(&str, Option<u64>)]) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(dir.path());
        let windows = Windows::start(&certificates, guests).await;
        Stage {
            dir,
            certificates,
            windows,
        }
    }

    fn winrm(stage: &Stage, verb: Verb, what: Whom) -> WinrmAction {
        WinrmAction {
            server: Https {
                addr: stage.windows.api.addr,
                server_name: None,
                ca_file: Some(stage.certificates.authority.clone()),
                plain: false,
                timeout: Millis(2000),
            },
            user: USER.to_owned(),
            password_file: Windows::password_file(stage.dir.path()),
            what,
            command_timeout: Millis(4000),
            verb,
        }
    }

    fn guests(which: Which, force_after: Option<u64>) -> Whom {
        Whom::Guests(Guests {
            which,
            force_after: force_after.map(Millis),
        })
    }

    #[tokio::test]
    async fn winrm_a_windows_machine_is_shut_down() {
        let stage = stage(&[]).await;
        let tools = tools(stage.dir.path());
        let stop = RealAction::Winrm(winrm(&stage, Verb::Stop, Whom::Host));
        assert_eq!(stop.address(), Some(stage.windows.api.addr));
        assert_eq!(look(&stop, &tools).await, Ok(()));
        assert!(!stage.windows.api.is_off(), "a check changes nothing");
        assert_eq!(stage.windows.shells(), 0, "a check closes its shell");
        assert_eq!(carry_out(&stop, &tools, 7).await, Ok(()));
        assert!(stage.windows.api.is_off());
        let lines = stage.windows.lines();
        assert_eq!(lines.last().map(String::as_str), Some("shutdown.exe /s /t 0 /f"));
    }

    #[tokio::test]
    async fn winrm_guests_of_hyper_v_are_stopped_cut_off_and_started() {
        let stage = stage(&[("web", Some(50)), ("stuck", None)]).await;
        let tools = tools(stage.dir.path());
        let stop = RealAction::Winrm(winrm(&stage, Verb::Stop, guests(all(), Some(600))));
        assert_eq!(look(&stop, &tools).await, Ok(()));
        assert_eq!(
            stage.windows.running(),
            ["web", "stuck"],
            "a check changes nothing"
        );
        assert_eq!(carry_out(&stop, &tools, 7).await, Ok(()));
        assert_eq!(stage.windows.running(), [""; 0]);
        let start = RealAction::Winrm(winrm(&stage, Verb::Start, guests(all(), None)));
        assert_eq!(carry_out(&start, &tools, 7).await, Ok(()));
        assert_eq!(stage.windows.running(), ["web", "stuck"]);
        assert_eq!(stage.windows.shells(), 0);
    }

    #[tokio::test]
    async fn winrm_what_is_missing_is_said() {
        let stage = stage(&[("web", Some(50))]).await;
        let tools = tools(stage.dir.path());
        let refused = async |action: WinrmAction| {
            let problem = look(&RealAction::Winrm(action), &tools).await.unwrap_err();
            assert!(problem.retryable, "{problem:?}");
            problem.text
        };
        let other = WinrmAction {
            user: "Administrator".to_owned(),
            ..winrm(&stage, Verb::Stop, Whom::Host)
        };
        let said = refused(other).await;
        assert!(
            said.contains("does not accept the account Administrator") && said.contains("NTLM and Kerberos"),
            "{said}"
        );
        stage.windows.forbid();
        let said = refused(winrm(&stage, Verb::Stop, Whom::Host)).await;
        assert!(said.contains("SeShutdownPrivilege"), "{said}");
        let stop = RealAction::Winrm(winrm(&stage, Verb::Stop, Whom::Host));
        let problem = carry_out(&stop, &tools, 7).await.unwrap_err();
        assert!(
            problem
                .text
                .ends_with("shutdown.exe ended with status 5: Access is denied.(5)"),
            "{problem:?}"
        );
        stage.windows.end_services("web");
        let stop = RealAction::Winrm(winrm(&stage, Verb::Stop, guests(all(), None)));
        let problem = carry_out(&stop, &tools, 7).await.unwrap_err();
        assert!(problem.text.contains("integration services"), "{problem:?}");
        for (manner, word) in [
            (Manner::Status(503), "HTTP 503"),
            (Manner::Nonsense, "no WS-Management"),
            (Manner::Garbage, "no good HTTP"),
            (Manner::Endless, "longer than"),
        ] {
            stage.windows.api.behave(manner);
            let said = refused(winrm(&stage, Verb::Stop, Whom::Host)).await;
            assert!(said.contains(word), "{said}");
        }
    }
}
