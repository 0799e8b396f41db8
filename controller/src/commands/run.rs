//! `yagura run`: starts every role as a process of its own, starts one again that ends, and
//! stops them in order.
//!
//! ```text
//! starting: core, act, broker, web at once (each waits for core's socket by itself)
//! running:  a role ends -> warning, pause (BACKOFF_FIRST doubling to BACKOFF_MAX) -> again
//! stopping: web and broker, then act, then core; each SIGTERM, after STOP_WITHIN SIGKILL
//! ```
//!
//! It never looks into what the roles do, and it ends only processes that it started. Each child
//! holds one end of a pipe; when this process dies, by whatever hand, the pipe closes and the
//! child ends itself.

use super::role::{Role, told_to_stop};
use super::{Failure, http, page};
use crate::listen;
use room::site::{Mqtt, Site, World};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// First pause before a role is started again.
pub(super) const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest pause before a role is started again.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A role that ran so long starts again with the first pause.
pub(super) const STEADY_AFTER: Duration = Duration::from_secs(10);
/// A role that was told to stop is killed after this time.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(5);
const _: () = assert!(super::role::END_WITHIN.as_millis() < STOP_WITHIN.as_millis());
/// Between two looks whether the page is served.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The service manager is told "ready" after this time even if the page is not served: core
/// watches the room, and must not be stopped because a port is taken.
const READY_AT_LATEST: Duration = Duration::from_secs(20);

/// What is to be supervised.
pub(super) struct House {
    pub(super) data_dir: PathBuf,
    pub(super) config: PathBuf,
    pub(super) simulated: bool,
    pub(super) roles: Vec<Role>,
}

impl House {
    pub(super) fn of<W: World>(site: &Site<W>, config: &Path) -> Self {
        let mut roles = vec![Role::Core, Role::Act, Role::Web];
        if matches!(site.mqtt, Mqtt::Builtin { .. }) {
            roles.push(Role::Broker);
        }
        if site.nut_server.is_some() {
            roles.push(Role::Nut);
        }
        Self {
            data_dir: site.data_dir.clone(),
            config: config.to_owned(),
            simulated: W::SIMULATED,
            roles,
        }
    }
}

/// `yagura run`.
pub(super) async fn run<W: World>(site: &Site<W>, config: &Path) -> Result<ExitCode, Failure> {
    let stop = told_to_stop(false)?;
    supervise(&House::of(site, config), stop, |addr| {
        println!("yagura: serving {}", page(addr));
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the roles until `stop` ends; `serving` is called once, when the page is served and core
/// answers.
pub(super) async fn supervise(
    house: &House,
    stop: impl Future<Output = ()>,
    serving: impl FnOnce(SocketAddr),
) -> Result<(), Failure> {
    prepare(&house.data_dir)?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::because(Failure::START, "finding this program", &error))?;
    let (stage, stages) = watch::channel(Stage::Running);
    let core_runs = Arc::new(AtomicBool::new(false));
    let mut keepers = JoinSet::new();
    for role in house.roles.iter().copied() {
        let keeper = Keeper {
            role,
            program: program.clone(),
            args: arguments(house, role),
            running: (role == Role::Core).then(|| Arc::clone(&core_runs)),
            stages: stages.clone(),
        };
        keepers.spawn(keeper.keep());
    }
    tokio::pin!(stop);
    // Nothing below is cancelled half-way that matters: announcing only looks and prints.
    tokio::select! {
        () = &mut stop => {}
        () = attend(&house.data_dir, serving, &core_runs) => {}
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    for next in [Stage::Edge, Stage::Hands, Stage::All] {
        stage.send_replace(next);
        let leaving = house.roles.iter().filter(|role| stop_at(**role) == next).count();
        for _ in 0..leaving {
            if let Some(Err(error)) = keepers.join_next().await {
                tracing::error!(error = &error as &dyn std::error::Error, "a keeper broke");
            }
        }
    }
    Ok(())
}

/// Up to where the house has been told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    /// What strangers talk to.
    Edge,
    /// The holder of keys.
    Hands,
    /// Core, which has recorded what the others reported.
    All,
}

const fn stop_at(role: Role) -> Stage {
    match role {
        Role::Web | Role::Broker | Role::Nut => Stage::Edge,
        Role::Act => Stage::Hands,
        Role::Core => Stage::All,
    }
}

/// Ends when the house has been told to stop up to `stage`, or its supervisor is gone.
async fn reached(stages: &mut watch::Receiver<Stage>, stage: Stage) {
    let _ = stages.wait_for(|now| *now >= stage).await;
}

fn arguments(house: &House, role: Role) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["role".into(), role.word().into()];
    args.push("--config".into());
    args.push(house.config.clone().into());
    if house.simulated {
        args.push("--simulated".into());
    }
    args
}

/// The data folder, for us alone, without the addresses of an earlier life.
pub(super) fn prepare(data_dir: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error| {
        Failure::because(
            Failure::START,
            format!("preparing the data folder {}", path.display()),
            &error,
        )
    };
    let run_dir = listen::run_dir(data_dir);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&run_dir)
        .map_err(|error| failed(&run_dir, error))?;
    for role in [Role::Web, Role::Broker, Role::Nut] {
        let path = listen::address_file(data_dir, role.word());
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&path, error)),
            _ => {}
        }
    }
    Ok(())
}

/// Announces the page, tells the service manager, and feeds its watchdog; never ends.
async fn attend(data_dir: &Path, serving: impl FnOnce(SocketAddr), core_runs: &AtomicBool) {
    match timeout(READY_AT_LATEST, served(data_dir)).await {
        Ok(addr) => {
            serving(addr);
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        }
        Err(_) => {
            tracing::error!("the page is not served yet; the log above says why. The room is watched");
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            let addr = tokio::select! {
                addr = served(data_dir) => addr,
                () = feed(core_runs) => return,
            };
            serving(addr);
        }
    }
    feed(core_runs).await;
}

/// Waits until the page is served and core answers.
async fn served(data_dir: &Path) -> SocketAddr {
    loop {
        if let Some(addr) = listen::address_of(data_dir, Role::Web.word()) {
            let addr = http::reachable(addr);
            if let Ok(answer) = http::get(addr, "/healthz").await
                && answer.status == 200
            {
                return addr;
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Feeds the service manager's watchdog while core runs; never ends.
async fn feed(core_runs: &AtomicBool) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        if core_runs.load(Ordering::Relaxed) {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
        sleep(limit / 3).await;
    }
}

/// Keeps one role running.
struct Keeper {
    role: Role,
    program: PathBuf,
    args: Vec<OsString>,
    running: Option<Arc<AtomicBool>>,
    stages: watch::Receiver<Stage>,
}

impl Keeper {
    async fn keep(mut self) {
        let leave = stop_at(self.role);
        let role = self.role.word();
        let mut backoff = BACKOFF_FIRST;
        loop {
            let begun = Instant::now();
            match start(&self.program, &self.args) {
                Ok(mut offspring) => {
                    self.note(true);
                    let ended = tokio::select! {
                        ended = offspring.child.wait() => ended,
                        () = reached(&mut self.stages, leave) => {
                            offspring.stop(role).await;
                            return;
                        }
                    };
                    self.note(false);
                    match ended {
                        Ok(status) => tracing::warn!(role, %status, "a role ended and is started again"),
                        Err(error) => {
                            tracing::error!(
                                role,
                                error = &error as &dyn std::error::Error,
                                "a role cannot be waited for"
                            );
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(
                        role,
                        error = &error as &dyn std::error::Error,
                        "a role cannot be started"
                    );
                }
            }
            if begun.elapsed() >= STEADY_AFTER {
                backoff = BACKOFF_FIRST;
            }
            tokio::select! {
                () = sleep(backoff) => {}
                () = reached(&mut self.stages, leave) => return,
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn note(&self, runs: bool) {
        if let Some(running) = &self.running {
            running.store(runs, Ordering::Relaxed);
        }
    }
}

/// A process of ours and the pipe that keeps it alive.
pub(super) struct Offspring {
    pub(super) child: Child,
    /// Closed by the system when we die; the child then ends.
    _lifeline: Option<ChildStdin>,
}

/// Starts a process of this program.
pub(super) fn start(program: &Path, args: &[OsString]) -> std::io::Result<Offspring> {
    let mut child = Command::new(program)
        .args(args)
        .arg("--lifeline")
        .stdin(Stdio::piped())
        // Ctrl-C at the terminal goes to us alone; we stop the others in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    // `wait` would close it.
    let lifeline = child.stdin.take();
    Ok(Offspring {
        child,
        _lifeline: lifeline,
    })
}

impl Offspring {
    /// Asks it to end and collects it; by force after [`STOP_WITHIN`].
    pub(super) async fn stop(mut self, what: &str) {
        // Not yet collected, so the id cannot be another process's.
        if let Some(pid) = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, Signal::TERM);
        }
        let ended: Option<std::io::Result<ExitStatus>> = timeout(STOP_WITHIN, self.child.wait()).await.ok();
        if ended.is_none() {
            tracing::warn!(what, "did not stop in time and is killed");
            if let Err(error) = self.child.kill().await {
                tracing::error!(what, error = &error as &dyn std::error::Error, "cannot be killed");
            }
        }
    }
}
