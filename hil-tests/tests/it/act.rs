//! The role `act` stops hosts: Debian's sshd and the simulated server.
// Long because one role and one way to ask it are shared by all of these tests.

use ::simroom::server::{Config, Mode, Power, Server, new_key, private_text};
use controller::act::action::{Accepted, Problem, Sent};
use controller::act::permit::{Armed, Checked, Permit};
use controller::act::{core_socket, ssh};
use controller::link::{FromAct, Order, Outcome, Role, ToAct, wire};
use hil_tests::sshd::{Sshd, write_private};
use hil_tests::{cannot_run, wait_for};
use room::outage::Verb;
use room::site::{
    Confirm, Host, Label, Loopback, OnFailure, Simulated, SimulatedAction, Site, SshAction, Start,
};
use room::time::Millis;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::time::Instant;

/// Longest wait for anything that should happen soon.
const SOON: Duration = Duration::from_secs(10);
const STOP: Mode = Mode::Normal {
    stop_after: Duration::from_millis(50),
};

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

async fn request(action: &SshAction<Loopback>) -> Result<Accepted, Problem> {
    ssh::request(action, armed(), &Sent::default()).await
}

fn to_sshd(sshd: &Sshd) -> SshAction<Loopback> {
    SshAction {
        addr: Loopback::new(sshd.addr).unwrap(),
        user: sshd.user.clone(),
        key_file: sshd.key_file.clone(),
        host_key: sshd.host_key.clone(),
        command: "stop --now".to_owned(),
        connect_timeout: Millis(8000),
        command_timeout: Millis(8000),
    }
}

/// A Debian sshd whose forced command appends the original command to `marker`, then runs `rest`.
fn debian(rest: &str) -> (TempDir, Sshd) {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("marker");
    let forced = format!("echo $SSH_ORIGINAL_COMMAND >> {}; {rest}", marker.display());
    let sshd = Sshd::start(dir.path(), &forced);
    (dir, sshd)
}

fn marks(dir: &Path) -> Vec<String> {
    fs::read_to_string(dir.join("marker"))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

async fn simulated(dir: &Path, mode: Mode) -> (Server, SshAction<Loopback>) {
    let client = new_key();
    let server = Server::start(Config {
        name: "db1".to_owned(),
        user: "yagura".to_owned(),
        host_key: new_key(),
        authorized: client.public_key().clone(),
        mode,
    })
    .await
    .unwrap();
    let key_file = dir.join(format!("key-{}", server.addr().port()));
    write_private(&key_file, &private_text(&client));
    let action = SshAction {
        addr: Loopback::new(server.addr()).unwrap(),
        user: server.user().to_owned(),
        key_file,
        host_key: server.host_key(),
        command: "stop".to_owned(),
        connect_timeout: Millis(5000),
        command_timeout: Millis(5000),
    };
    (server, action)
}

#[tokio::test]
async fn debian_sshd_runs_the_forced_command_exactly_once() {
    if cannot_run(Sshd::missing()) {
        return;
    }
    let (dir, sshd) = debian("true");
    assert_eq!(
        request(&to_sshd(&sshd)).await,
        Ok(Accepted::Succeeded),
        "{}",
        sshd.log()
    );
    assert_eq!(marks(dir.path()), ["stop --now"]);
}

#[tokio::test]
async fn debian_sshd_a_check_logs_in_and_runs_nothing() {
    if cannot_run(Sshd::missing()) {
        return;
    }
    let (dir, sshd) = debian("true");
    assert_eq!(ssh::check(&to_sshd(&sshd), checked()).await, Ok(()));
    wait_for("the login in the log of sshd", SOON, async || {
        sshd.log().contains("Accepted publickey").then_some(())
    })
    .await;
    assert_eq!(marks(dir.path()), [""; 0]);
}

#[tokio::test]
async fn debian_sshd_another_host_key_is_refused_before_anything_runs() {
    if cannot_run(Sshd::missing()) {
        return;
    }
    let (dir, sshd) = debian("true");
    let pinned = new_key();
    let action = SshAction {
        host_key: ::simroom::server::public_text(&pinned),
        ..to_sshd(&sshd)
    };
    let problem = request(&action).await.unwrap_err();
    assert!(!problem.retryable, "{problem:?}");
    assert_eq!(
        problem.text.matches("SHA256:").count(),
        2,
        "both fingerprints: {}",
        problem.text
    );
    assert_eq!(marks(dir.path()), [""; 0]);
}

#[tokio::test]
async fn debian_sshd_a_key_it_does_not_know_is_refused() {
    if cannot_run(Sshd::missing()) {
        return;
    }
    let (dir, sshd) = debian("true");
    let stranger = dir.path().join("stranger");
    write_private(&stranger, &private_text(&new_key()));
    let action = SshAction {
        key_file: stranger,
        ..to_sshd(&sshd)
    };
    for result in [
        request(&action).await.map(|_| ()),
        ssh::check(&action, checked()).await,
    ] {
        let problem = result.unwrap_err();
        assert!(
            problem.retryable && problem.text.contains("authorized_keys"),
            "{problem:?}"
        );
    }
    assert_eq!(marks(dir.path()), [""; 0]);
}

#[tokio::test]
async fn debian_sshd_an_exit_status_is_a_failure_and_its_words_are_quoted() {
    if cannot_run(Sshd::missing()) {
        return;
    }
    let (_dir, sshd) = debian("printf 'disk\\033[31m busy\\n' >&2; exit 7");
    let problem = request(&to_sshd(&sshd)).await.unwrap_err();
    assert!(problem.retryable);
    assert!(
        problem.text.contains("status 7: disk\\u{1b}[31m busy"),
        "{}",
        problem.text
    );
}

#[tokio::test]
async fn debian_sshd_that_hangs_is_given_up_in_time() {
    if cannot_run(Sshd::missing()) {
        return;
    }
    // It ends soon after its client is gone: nothing reads from it any more.
    let (dir, sshd) = debian("while echo busy; do sleep 0.1; done");
    let action = SshAction {
        command_timeout: Millis(2000),
        ..to_sshd(&sshd)
    };
    let begun = Instant::now();
    let problem = request(&action).await.unwrap_err();
    assert!(
        problem.retryable && problem.text.contains("within 2 s"),
        "{problem:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(marks(dir.path()), ["stop --now"]);
}

#[tokio::test]
async fn a_key_file_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (server, action) = simulated(dir.path(), STOP).await;
    fs::set_permissions(&action.key_file, fs::Permissions::from_mode(0o640)).unwrap();
    let problem = request(&action).await.unwrap_err();
    assert!(
        !problem.retryable && problem.text.contains("chmod 600"),
        "{problem:?}"
    );
    assert_eq!(server.state().logins, 0);
}

#[tokio::test]
async fn a_key_file_is_tried_again_unless_it_is_missing_or_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, action) = simulated(dir.path(), STOP).await;
    let missing = dir.path().join("missing");
    let text = dir.path().join("text");
    write_private(&text, "no key");
    let turning = dir.path().join("turning");
    std::os::unix::fs::symlink(&turning, &turning).unwrap();
    for (key_file, retryable) in [(missing, false), (text, false), (turning, true)] {
        let action = SshAction {
            key_file,
            ..action.clone()
        };
        let problem = request(&action).await.unwrap_err();
        assert_eq!(problem.retryable, retryable, "{problem:?}");
    }
}

#[tokio::test]
async fn the_simulated_server_answers_as_sshd_does() {
    let dir = tempfile::tempdir().unwrap();
    let (server, action) = simulated(dir.path(), STOP).await;

    assert_eq!(ssh::check(&action, checked()).await, Ok(()));
    assert_eq!((server.state().logins, server.state().requests), (1, 0));

    let other = SshAction {
        host_key: ::simroom::server::public_text(&new_key()),
        ..action.clone()
    };
    let problem = request(&other).await.unwrap_err();
    assert!(
        !problem.retryable && problem.text.matches("SHA256:").count() == 2,
        "{problem:?}"
    );

    server.set_mode(Mode::Refuse);
    let problem = request(&action).await.unwrap_err();
    assert!(
        problem.retryable && problem.text.contains("authorized_keys"),
        "{problem:?}"
    );

    server.set_mode(Mode::Fail(77));
    let problem = request(&action).await.unwrap_err();
    assert!(
        problem.retryable && problem.text.contains("status 77: the command was refused"),
        "{problem:?}"
    );

    let hurried = SshAction {
        connect_timeout: Millis(300),
        command_timeout: Millis(300),
        ..action.clone()
    };
    for (mode, words) in [
        (Mode::Hang, "the command did not end within 0.3 s"),
        (Mode::Mute, "no login within 0.3 s"),
    ] {
        server.set_mode(mode);
        let problem = request(&hurried).await.unwrap_err();
        assert!(problem.retryable && problem.text.contains(words), "{problem:?}");
    }
    assert_eq!(server.state().stops, 0);

    // Requests that overlap have one effect.
    server.set_mode(Mode::Normal {
        stop_after: Duration::from_millis(400),
    });
    assert_eq!(request(&action).await, Ok(Accepted::Succeeded));
    assert_eq!(request(&action).await, Ok(Accepted::Succeeded));
    wait_for("the host to be down", SOON, async || {
        (server.state().power == Power::Down).then_some(())
    })
    .await;
    assert_eq!((server.state().stops, server.state().requests), (1, 4));

    let problem = request(&action).await.unwrap_err();
    assert!(
        problem.retryable && problem.text.contains("connecting"),
        "{problem:?}"
    );
    server.boot().await.unwrap();
    assert_eq!(ssh::check(&action, checked()).await, Ok(()));
}

#[tokio::test]
async fn nothing_is_left_of_a_connection_that_stalls_in_the_key_exchange() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let dir = tempfile::tempdir().unwrap();
    let (_server, action) = simulated(dir.path(), STOP).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stalled = SshAction {
        addr: Loopback::new(listener.local_addr().unwrap()).unwrap(),
        connect_timeout: Millis(300),
        ..action
    };
    let stalling = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-stalls\r\n").await.unwrap();
        // Ends when the other side closes.
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        heard.starts_with(b"SSH-2.0-")
    });
    let problem = request(&stalled).await.unwrap_err();
    assert!(
        problem.retryable && problem.text.contains("no login within"),
        "{problem:?}"
    );
    let heard = tokio::time::timeout(SOON, stalling)
        .await
        .expect("the connection to be closed");
    assert!(heard.unwrap());
}

#[tokio::test]
async fn a_host_that_goes_down_before_it_answers_has_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let mode = Mode::Slow {
        answer_after: SOON,
        stop_after: Duration::from_millis(100),
    };
    let (server, action) = simulated(dir.path(), mode).await;
    assert_eq!(request(&action).await, Ok(Accepted::Cut));
    assert_eq!(server.state().stops, 1);
}

/// The role, with this test in the place of core.
struct Core {
    listener: UnixListener,
    site: Site<Simulated>,
    role: tokio::task::JoinHandle<()>,
    _dir: TempDir,
}

struct Link {
    reader: wire::Reader,
    writer: wire::Writer,
}

impl Core {
    fn start(dir: TempDir, hosts: Vec<Host<Simulated>>) -> Self {
        let socket = core_socket(dir.path());
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let site: Site<Simulated> = Site {
            data_dir: dir.path().to_owned(),
            hosts,
            ..Site::bare()
        };
        Self {
            role: role(&site),
            site,
            listener,
            _dir: dir,
        }
    }

    /// As after a kill: all it knew is gone.
    fn restart_role(&mut self) {
        self.role.abort();
        self.role = role(&self.site);
    }

    async fn link(&self) -> Link {
        let (stream, _) = tokio::time::timeout(SOON, self.listener.accept())
            .await
            .unwrap()
            .unwrap();
        let (role, reader, writer) = wire::accept(stream).await.unwrap();
        assert_eq!(role, Role::Act);
        let mut link = Link { reader, writer };
        match link.next().await {
            FromAct::Ready { plan_hash } => assert_eq!(plan_hash, "cafe"),
            other => panic!("the first word is Ready, not {other:?}"),
        }
        link
    }
}

fn role(site: &Site<Simulated>) -> tokio::task::JoinHandle<()> {
    let (site, hash) = (site.clone(), "cafe".to_owned());
    tokio::spawn(controller::act::run(site, hash, std::future::pending()))
}

impl Drop for Core {
    fn drop(&mut self) {
        self.role.abort();
    }
}

impl Link {
    async fn next(&mut self) -> FromAct {
        tokio::time::timeout(SOON, self.reader.next())
            .await
            .expect("a message of act")
            .unwrap()
    }

    async fn outcome(&mut self, expected: &Order) -> Outcome {
        match self.next().await {
            FromAct::Report { order, outcome } => {
                assert_eq!(&order, expected);
                outcome
            }
            other => panic!("{other:?}"),
        }
    }

    async fn execute(&mut self, order: &Order, real: bool) {
        let order = order.clone();
        let message = match real {
            true => ToAct::Execute {
                order,
                accepted: false,
            },
            false => ToAct::Check { order },
        };
        self.writer.send(&message).await.unwrap();
    }

    async fn cancel(&mut self, order: &Order) {
        let order = order.clone();
        self.writer.send(&ToAct::Cancel { order }).await.unwrap();
    }
}

fn order(step: &str, attempt: u32) -> Order {
    Order {
        plan_hash: "cafe".to_owned(),
        run: 1,
        step: step.to_owned(),
        attempt,
        verb: Verb::Stop,
    }
}

fn host(name: &str, action: &SshAction<Loopback>) -> Host<Simulated> {
    Host {
        name: name.to_owned(),
        label: Label::new(name, name),
        feeds: Vec::new(),
        need: 0,
        depends_on: Vec::new(),
        confirm: Confirm::PortClosed {
            addr: action.addr.into(),
        },
        action: SimulatedAction::Ssh(action.clone()),
        budget: Millis(3000),
        on_failure: OnFailure::GoOn,
        force: None,
        start: None,
    }
}

fn failed(outcome: &Outcome) -> (&str, bool) {
    match outcome {
        Outcome::Failed { problem, retryable } => (problem, *retryable),
        other => panic!("not a failure: {other:?}"),
    }
}

#[tokio::test]
async fn a_step_is_requested_then_confirmed_and_a_repeated_order_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (server, action) = simulated(dir.path(), STOP).await;
    let core = Core::start(dir, vec![host("db1", &action)]);
    let mut link = core.link().await;
    let first = order("db1", 1);

    link.execute(&first, false).await;
    assert_eq!(link.outcome(&first).await, Outcome::CheckPassed);
    assert_eq!(server.state().requests, 0);

    link.execute(&first, true).await;
    link.execute(&first, true).await;
    assert_eq!(link.outcome(&first).await, Outcome::Requested);
    assert_eq!(link.outcome(&first).await, Outcome::Confirmed);
    for again in [&first, &order("db1", 2)] {
        link.execute(again, true).await;
        assert_eq!(link.outcome(again).await, Outcome::Confirmed);
    }
    assert_eq!((server.state().requests, server.state().stops), (1, 1));

    // A host that is down already is not asked: a new run, or a controller that was restarted.
    let later = Order { run: 2, ..first };
    link.execute(&later, true).await;
    assert_eq!(link.outcome(&later).await, Outcome::Found);
    assert_eq!(server.state().requests, 1);
}

#[tokio::test]
async fn a_running_host_whose_watched_service_is_down_is_still_asked_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (server, action) = simulated(dir.path(), STOP).await;
    let service = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut watched = host("db1", &action);
    watched.confirm = Confirm::PortClosed {
        addr: service.local_addr().unwrap(),
    };
    drop(service);
    let core = Core::start(dir, vec![watched]);
    let mut link = core.link().await;
    let first = order("db1", 1);

    // What a refusal of the host itself says about a port that is closed anyway: nothing.
    server.set_mode(Mode::Fail(77));
    link.execute(&first, true).await;
    let outcome = link.outcome(&first).await;
    assert!(failed(&outcome).0.contains("status 77"), "{outcome:?}");

    server.set_mode(STOP);
    let second = order("db1", 2);
    link.execute(&second, true).await;
    assert_eq!(link.outcome(&second).await, Outcome::Requested);
    assert_eq!(link.outcome(&second).await, Outcome::Confirmed);
    wait_for("the host to be down", SOON, async || {
        (server.state().power == Power::Down).then_some(())
    })
    .await;
    assert_eq!((server.state().requests, server.state().stops), (2, 1));
}

#[tokio::test]
async fn a_host_that_was_started_again_is_stopped_again_in_a_run_of_the_same_number() {
    let dir = tempfile::tempdir().unwrap();
    let (server, action) = simulated(dir.path(), STOP).await;
    let core = Core::start(dir, vec![host("db1", &action)]);
    let mut link = core.link().await;
    // The runs of a core that lost its journal begin at one again.
    for (first, run) in [(order("db1", 2), 1), (order("db1", 2), 2), (order("db1", 1), 3)] {
        server.boot().await.unwrap();
        link.execute(&first, true).await;
        assert_eq!(link.outcome(&first).await, Outcome::Requested);
        assert_eq!(link.outcome(&first).await, Outcome::Confirmed);
        wait_for("the host to be down", SOON, async || {
            (server.state().power == Power::Down).then_some(())
        })
        .await;
        assert_eq!((server.state().requests, server.state().stops), (run, run));
    }
}

#[tokio::test]
async fn debian_sshd_is_stopped_once_and_confirmed_by_its_closed_port() {
    if cannot_run(Sshd::missing()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ssh_dir = dir.path().join("sshd");
    fs::create_dir(&ssh_dir).unwrap();
    let sshd = Sshd::start(&ssh_dir, &Sshd::stopping(&ssh_dir));
    let mut core = Core::start(dir, vec![host("db1", &to_sshd(&sshd))]);
    let mut link = core.link().await;
    let first = order("db1", 1);
    link.execute(&first, true).await;
    assert_eq!(link.outcome(&first).await, Outcome::Requested);
    assert_eq!(link.outcome(&first).await, Outcome::Confirmed);
    // Act itself is killed and started again: it knows nothing, and sees that it is done.
    let again = order("db1", 2);
    core.restart_role();
    let mut link = core.link().await;
    link.execute(&again, true).await;
    assert_eq!(link.outcome(&again).await, Outcome::Found);
    assert_eq!(Sshd::stops(&ssh_dir), 1, "{}", sshd.log());
}

#[tokio::test]
async fn foreign_plans_and_unknown_steps_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (server, action) = simulated(dir.path(), STOP).await;
    let core = Core::start(dir, vec![host("db1", &action)]);
    let mut link = core.link().await;
    let foreign = Order {
        plan_hash: "beef\n".to_owned(),
        ..order("db1", 1)
    };
    for wrong in [foreign, order("db9", 1)] {
        link.execute(&wrong, true).await;
        let outcome = link.outcome(&wrong).await;
        assert!(
            matches!(&outcome, Outcome::Refused { problem } if !problem.contains('\n')),
            "{outcome:?}"
        );
    }
    assert_eq!(server.state().logins, 0);
}

#[tokio::test]
async fn an_order_goes_on_while_core_is_away_and_is_reported_after() {
    let dir = tempfile::tempdir().unwrap();
    let mode = Mode::Slow {
        answer_after: Duration::from_millis(400),
        stop_after: Duration::from_millis(700),
    };
    let (server, action) = simulated(dir.path(), mode).await;
    let core = Core::start(dir, vec![host("db1", &action)]);
    let mut link = core.link().await;
    let first = order("db1", 1);
    link.execute(&first, true).await;
    wait_for("the request at the host", SOON, async || {
        (server.state().requests == 1).then_some(())
    })
    .await;
    drop(link);
    wait_for("the host to be down", SOON, async || {
        (server.state().power == Power::Down).then_some(())
    })
    .await;
    let mut link = core.link().await;
    // Core, restarted, gives the order again without knowing that it ran.
    link.execute(&first, true).await;
    loop {
        match link.outcome(&first).await {
            Outcome::Confirmed => break,
            other => assert_eq!(other, Outcome::Requested),
        }
    }
    assert_eq!((server.state().requests, server.state().stops), (1, 1));
}

#[tokio::test]
async fn a_host_that_says_yes_and_stays_up_is_not_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let (server, action) = simulated(dir.path(), Mode::Ignore).await;
    let mut slow = host("db1", &action);
    slow.budget = Millis(600);
    let core = Core::start(dir, vec![slow]);
    let mut link = core.link().await;
    let first = order("db1", 1);
    link.execute(&first, true).await;
    assert_eq!(link.outcome(&first).await, Outcome::Requested);
    let outcome = link.outcome(&first).await;
    assert!(
        failed(&outcome).0.contains("still answers") && failed(&outcome).1,
        "{outcome:?}"
    );

    // The same attempt gets the same answer; the next one asks again, and now it stops.
    link.execute(&first, true).await;
    assert_eq!(link.outcome(&first).await, outcome);
    server.set_mode(STOP);
    let second = order("db1", 2);
    link.execute(&second, true).await;
    assert_eq!(link.outcome(&second).await, Outcome::Requested);
    assert_eq!(link.outcome(&second).await, Outcome::Confirmed);
    assert_eq!((server.state().requests, server.state().stops), (2, 1));
}

#[tokio::test]
async fn a_host_is_forced_by_its_other_action_and_runs_again_once_its_port_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (stuck, ask) = simulated(dir.path(), Mode::Ignore).await;
    // Whoever can cut its power and give it back takes orders by SSH.
    let (cuts, cut) = simulated(dir.path(), Mode::Ignore).await;
    let (gives, give) = simulated(dir.path(), Mode::Ignore).await;
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let alive = port.local_addr().unwrap();
    let mut stubborn = host("db1", &ask);
    stubborn.on_failure = OnFailure::Force;
    stubborn.confirm = Confirm::PortClosed { addr: alive };
    stubborn.force = Some(SimulatedAction::Ssh(cut));
    stubborn.start = Some(Start {
        action: SimulatedAction::Ssh(give),
        alive: Some(alive),
        budget: Millis(3000),
    });
    let core = Core::start(dir, vec![stubborn, host("other", &ask)]);
    let mut link = core.link().await;
    let verb = |verb| Order {
        verb,
        ..order("db1", 1)
    };
    let asked = || {
        [&stuck, &cuts, &gives]
            .map(|server| server.state().requests)
            .to_vec()
    };

    // Each verb can be checked, and a check asks nobody anything.
    for each in [Verb::Stop, Verb::Force, Verb::Start] {
        link.execute(&verb(each), false).await;
        assert_eq!(link.outcome(&verb(each)).await, Outcome::CheckPassed);
    }
    assert_eq!(asked(), [0, 0, 0]);

    link.execute(&verb(Verb::Force), true).await;
    assert_eq!(link.outcome(&verb(Verb::Force)).await, Outcome::Requested);
    drop(port);
    assert_eq!(link.outcome(&verb(Verb::Force)).await, Outcome::Confirmed);
    assert_eq!(asked(), [0, 1, 0]);

    link.execute(&verb(Verb::Start), true).await;
    assert_eq!(link.outcome(&verb(Verb::Start)).await, Outcome::Requested);
    let _port = tokio::net::TcpListener::bind(alive).await.unwrap();
    assert_eq!(link.outcome(&verb(Verb::Start)).await, Outcome::Confirmed);
    assert_eq!(asked(), [0, 1, 1]);

    // What runs is not started again, and a host without [host.start] never.
    let again = Order {
        attempt: 2,
        ..verb(Verb::Start)
    };
    link.execute(&again, true).await;
    assert_eq!(link.outcome(&again).await, Outcome::Confirmed);
    assert_eq!(asked(), [0, 1, 1]);
    let none = Order {
        verb: Verb::Start,
        ..order("other", 1)
    };
    link.execute(&none, true).await;
    assert!(
        matches!(link.outcome(&none).await, Outcome::Refused { problem } if problem.contains("[host.start]"))
    );
}

#[tokio::test]
async fn a_cancelled_step_ends_soon_and_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (hanging, hanging_action) = simulated(dir.path(), Mode::Hang).await;
    let (mute, mute_action) = simulated(dir.path(), Mode::Mute).await;
    let (_good, good_action) = simulated(dir.path(), STOP).await;
    let hosts = vec![
        host("hangs", &hanging_action),
        host("mute", &mute_action),
        host("good", &good_action),
    ];
    let core = Core::start(dir, hosts);
    let mut link = core.link().await;

    let good = order("good", 1);
    let (hangs, mutes) = (order("hangs", 1), order("mute", 1));
    link.execute(&hangs, true).await;
    link.execute(&mutes, true).await;
    link.execute(&good, true).await;
    assert_eq!(link.outcome(&good).await, Outcome::Requested);
    assert_eq!(link.outcome(&good).await, Outcome::Confirmed);

    // Not yet sent: certain to have had no effect.
    link.cancel(&mutes).await;
    let outcome = link.outcome(&mutes).await;
    assert!(
        failed(&outcome).0.contains("before the request was sent"),
        "{outcome:?}"
    );
    assert_eq!(mute.state().requests, 0);

    // Sent and never answered: it may have been accepted, and the report says so.
    wait_for("the request at the host", SOON, async || {
        (hanging.state().requests == 1).then_some(())
    })
    .await;
    link.cancel(&hangs).await;
    let outcome = link.outcome(&hangs).await;
    assert!(failed(&outcome).0.contains("may have accepted"), "{outcome:?}");
}
