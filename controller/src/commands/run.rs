//! `yagura run`: starts every role as a process of its own, starts one again that ends, and
//! stops them in order.
//!
//! ```text
//! starting: core, act, broker, web at once (each waits for core's socket by itself)
//! running:  a role ends -> warning, pause (BACKOFF_FIRST doubling to BACKOFF_MAX) -> again
//! stopping: web and broker, then act, then core; each SIGTERM, after STOP_WITHIN SIGKILL
//! ```
//!
//! Core and act give signs of life from their own loops ([`crate::pulse`]); one that gives none for
//! [`HANGS_AFTER`] is ended by force and started again, as one that crashed. Core's signs are passed
//! on to the service manager, so that a supervisor with a core that never comes back is started anew
//! as a whole. Web, broker and nut give none: a web role that hangs keeps nobody from being watched and is
//! seen by whoever asks for `/healthz`, and a broker that hangs makes every node silent, an alarm.
//!
//! It never looks into what the roles do otherwise, and it ends only processes that it started. Each child
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
use std::time::Duration;
use tokio::net::UnixDatagram;
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
/// A loop that gives no sign of life for so long hangs; `YAGURA_HANGS_AFTER_S` says another time.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(20);
/// The least that can be said: core's loop turns at least every two seconds.
const HANGS_AFTER_LEAST: Duration = Duration::from_secs(3);
/// A role that has not given its first sign after this time is ended too: longer than any journal
/// takes to be read.
const FIRST_SIGN_WITHIN: Duration = Duration::from_secs(600);
/// Longest sign that is read.
const MAX_SIGN: usize = 256;
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
    let hangs_after = hangs_after();
    let (core_signs, mut core_life) = watch::channel(Life::default());
    let mut keepers = JoinSet::new();
    let mut ears = JoinSet::new();
    for role in house.roles.iter().copied() {
        let signs = match role {
            Role::Core => Some(core_signs.clone()),
            Role::Act => Some(watch::channel(Life::default()).0),
            Role::Web | Role::Broker | Role::Nut => None,
        };
        let watched = signs.and_then(|signs| Watched::listen(house, role, signs, hangs_after, &mut ears));
        let keeper = Keeper {
            role,
            program: program.clone(),
            args: arguments(house, role),
            watched,
            stages: stages.clone(),
        };
        keepers.spawn(keeper.keep());
    }
    tokio::pin!(stop);
    // Nothing below is cancelled half-way that matters: announcing only looks and prints.
    tokio::select! {
        () = &mut stop => {}
        () = attend(&house.data_dir, serving, &mut core_life) => {}
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
async fn attend(data_dir: &Path, serving: impl FnOnce(SocketAddr), core: &mut watch::Receiver<Life>) {
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
                () = feed(core) => return,
            };
            serving(addr);
        }
    }
    feed(core).await;
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

/// Passes core's signs of life on to the service manager; never ends. While core reads its journal it
/// gives none, and is known to be there.
async fn feed(core: &mut watch::Receiver<Life>) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        let told = match timeout(limit / 3, core.changed()).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => false,
        };
        let life = *core.borrow_and_update();
        if life.runs && (told || !life.ready) {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

/// How long a loop may be without a sign of life.
fn hangs_after() -> Duration {
    let Ok(text) = std::env::var("YAGURA_HANGS_AFTER_S") else {
        return HANGS_AFTER;
    };
    match text.parse().map(Duration::from_secs) {
        Ok(span) if span >= HANGS_AFTER_LEAST => span,
        _ => {
            tracing::error!(
                "YAGURA_HANGS_AFTER_S={text} is not understood; it is a number of seconds, at least {}",
                HANGS_AFTER_LEAST.as_secs()
            );
            HANGS_AFTER
        }
    }
}

/// What is known of the life of a role.
#[derive(Debug, Clone, Copy, Default)]
struct Life {
    /// Its process is there.
    runs: bool,
    /// It has given its first sign.
    ready: bool,
}

/// A role whose signs of life are waited for.
struct Watched {
    socket: PathBuf,
    signs: watch::Sender<Life>,
    life: watch::Receiver<Life>,
    hangs_after: Duration,
}

impl Watched {
    /// Opens an ear for a role; without one the role runs unwatched, which is said.
    fn listen(
        house: &House,
        role: Role,
        signs: watch::Sender<Life>,
        hangs_after: Duration,
        ears: &mut JoinSet<()>,
    ) -> Option<Self> {
        let socket = listen::run_dir(&house.data_dir).join(format!("life-{}", role.word()));
        let _ = std::fs::remove_file(&socket);
        let ear = match UnixDatagram::bind(&socket) {
            Ok(ear) => ear,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(role = role.word(), error, "no sign of life can be heard of it");
                return None;
            }
        };
        let heard = signs.clone();
        ears.spawn(async move {
            let mut sign = [0; MAX_SIGN];
            // A failing socket is no sign of life, and must not spin.
            while let Ok(length) = ear.recv(&mut sign).await {
                let words = String::from_utf8_lossy(&sign[..length]).into_owned();
                if words
                    .lines()
                    .any(|word| word == "READY=1" || word == "WATCHDOG=1")
                {
                    heard.send_modify(|life| life.ready = true);
                }
            }
        });
        let life = signs.subscribe();
        Some(Self {
            socket,
            signs,
            life,
            hangs_after,
        })
    }

    /// What the child is told, in the words of `sd_notify(3)`.
    fn environment(&self) -> [(&'static str, OsString); 2] {
        let allowed = self.hangs_after.as_micros().to_string();
        [
            ("NOTIFY_SOCKET", self.socket.clone().into()),
            ("WATCHDOG_USEC", allowed.into()),
        ]
    }

    fn note(&mut self, runs: bool) {
        self.signs.send_replace(Life { runs, ready: false });
        self.life.mark_unchanged();
    }

    /// Ends when the role has given no sign for too long.
    async fn hangs(&mut self) {
        loop {
            let bound = if self.life.borrow_and_update().ready {
                self.hangs_after
            } else {
                FIRST_SIGN_WITHIN
            };
            if timeout(bound, self.life.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// Ends when a watched role hangs; never for one that is not watched.
async fn hangs(watched: Option<&mut Watched>) {
    match watched {
        Some(watched) => watched.hangs().await,
        None => std::future::pending().await,
    }
}

/// Keeps one role running.
struct Keeper {
    role: Role,
    program: PathBuf,
    args: Vec<OsString>,
    watched: Option<Watched>,
    stages: watch::Receiver<Stage>,
}

impl Keeper {
    async fn keep(mut self) {
        let leave = stop_at(self.role);
        let role = self.role.word();
        let mut backoff = BACKOFF_FIRST;
        loop {
            let begun = Instant::now();
            let environment = self.watched.as_ref().map(Watched::environment);
            match start_with(
                &self.program,
                &self.args,
                environment.as_ref().map_or(&[], |all| &all[..]),
            ) {
                Ok(mut offspring) => {
                    self.note(true);
                    let ended = tokio::select! {
                        ended = offspring.child.wait() => ended,
                        () = hangs(self.watched.as_mut()) => {
                            tracing::error!(role, "a role gives no sign of life; it is ended");
                            // It may be stopped or stuck: only this is sure to end it.
                            if let Err(error) = offspring.child.start_kill() {
                                let error = &error as &dyn std::error::Error;
                                tracing::error!(role, error, "cannot be killed");
                            }
                            offspring.child.wait().await
                        }
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

    fn note(&mut self, runs: bool) {
        if let Some(watched) = &mut self.watched {
            watched.note(runs);
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
    start_with(program, args, &[])
}

fn start_with(
    program: &Path,
    args: &[OsString],
    environment: &[(&str, OsString)],
) -> std::io::Result<Offspring> {
    let mut child = Command::new(program)
        // The service manager waits for our signs, not for theirs.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .envs(environment.iter().map(|(name, value)| (name, value)))
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
