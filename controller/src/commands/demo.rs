//! `yagura demo`: the simulated room and a controller that watches it, in one command.
//!
//! The room is a process of its own (`role simroom`) that speaks the real protocols on loopback
//! and writes the site file; the roles read it as a simulated site, whose actuators can name
//! nothing outside this machine. `yagura demo scenario NAME` makes something happen in it.

use super::role::{Role, told_to_stop};
use super::run::{House, Offspring, prepare, start, supervise};
use super::{Failure, http, load, page};
use crate::{listen, web};
use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};
use room::site::Simulated;
use serde_json::json;
use simroom::room::SITE_FILE;
use simroom::scenario::Scenario;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Where the page is unless said otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// The room must have written its site file within this time.
const ROOM_WITHIN: Duration = Duration::from_secs(15);
/// Between two looks for it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A simulated room, or something that happens in it.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  yagura demo
  yagura demo --listen 127.0.0.1:8090 --data ./room
  yagura demo scenario leak
  yagura demo scenario outage --data ./room

Nothing outside this machine can be reached from the simulated room. Ctrl-C ends everything."
)]
pub(super) struct DemoArgs {
    /// Address of the page; 127.0.0.1:8080, or a free port when that is taken
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Folder for the room's data; a new one that is removed at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<DemoCommand>,
}

#[derive(Debug, Subcommand)]
enum DemoCommand {
    /// Make something happen in a running demo
    Scenario(ScenarioArgs),
}

#[derive(Debug, Args)]
struct ScenarioArgs {
    /// What happens
    #[arg(value_enum)]
    name: Verb,
    /// Folder that the demo was given with --data
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of the demo's page, when it has a folder of its own
    #[arg(long, value_name = "ADDR", conflicts_with = "data")]
    listen: Option<SocketAddr>,
}

/// A scenario as a word of the command line.
#[derive(Debug, Clone, Copy)]
struct Verb(Scenario);

const VERBS: [Verb; Scenario::ALL.len()] = {
    let mut verbs = [Verb(Scenario::Reset); Scenario::ALL.len()];
    let mut i = 0;
    while i < verbs.len() {
        verbs[i] = Verb(Scenario::ALL[i]);
        i += 1;
    }
    verbs
};

impl ValueEnum for Verb {
    fn value_variants<'a>() -> &'a [Self] {
        &VERBS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            Scenario::Outage => "The mains fail (停電)",
            Scenario::MainsBack => "The mains are back (復電)",
            Scenario::Cooling => "The cooling fails (空調停止)",
            Scenario::Leak => "Water under the floor (漏水)",
            Scenario::Door => "A door is forced (扉こじ開け)",
            Scenario::Link => "A node's network cable is cut (通信断)",
            Scenario::Reset => "Everything is normal again (元に戻す)",
        };
        Some(PossibleValue::new(self.0.word()).help(help))
    }
}

/// `yagura demo`.
pub(super) async fn run(args: DemoArgs) -> Result<ExitCode, Failure> {
    match args.command {
        Some(DemoCommand::Scenario(scenario)) => happen(scenario).await,
        None => watch(args).await,
    }
}

async fn watch(args: DemoArgs) -> Result<ExitCode, Failure> {
    let stop = told_to_stop(false)?;
    let listen = free_address(args.listen)?;
    let folder = Folder::open(args.data)?;
    if !web::asset::built() {
        eprintln!(
            "この実行ファイルには画面が組み込まれていません(API は動きます)。 \
             This binary was built without the page; `cargo xtask demo` builds it as well."
        );
    }
    let config = folder.path.join(SITE_FILE);
    // Before the room looks for the endpoint's address, not to find that of an earlier life.
    prepare(&folder.path)?;
    let mut room = simulate(&folder.path, listen)?;
    let work = async {
        wait_for_site(&mut room, &config).await?;
        let site = load::<Simulated>(&config)?;
        let house = House::of(&site, &config);
        let mut room_ended = false;
        let until = async {
            tokio::select! {
                () = stop => {}
                _ = room.child.wait() => room_ended = true,
            }
        };
        supervise(&house, until, |addr| announce(addr, &folder.path)).await?;
        if room_ended {
            return Err(Failure::new(
                Failure::WRONG,
                "the simulated room ended by itself; its own message is above",
            ));
        }
        Ok(ExitCode::SUCCESS)
    };
    let watched = work.await;
    room.stop("simroom").await;
    watched
}

fn announce(addr: SocketAddr, data: &Path) {
    println!("yagura: serving {}", page(addr));
    let verbs = Scenario::ALL.map(Scenario::word);
    eprintln!(
        "\n模擬のサーバー室を見張っています。画面: {page}\n\
         A simulated server room is being watched. Page: {page}\n\n\
         別の端末で出来事を起こせます / make something happen, from another terminal:\n  \
         yagura demo scenario NAME --data {data}\n  \
         NAME: {verbs}\n\n\
         Ctrl-C で終了します / ends everything.",
        page = page(addr),
        data = data.display(),
        verbs = verbs.join(", "),
    );
}

/// The address the page shall have: the wanted one if it is free, or a free one if nobody chose.
fn free_address(wanted: Option<SocketAddr>) -> Result<SocketAddr, Failure> {
    let addr = wanted.unwrap_or(DEFAULT_LISTEN);
    match TcpListener::bind(addr) {
        // Dropped again; the web role takes it, or says why it cannot.
        Ok(_) => Ok(addr),
        Err(error) if wanted.is_some() => Err(Failure::because(
            Failure::START,
            format!("{addr} cannot be used for the page (try another --listen, or port 0 for a free one)"),
            &error,
        )),
        Err(_) => {
            eprintln!(
                "{addr} は使用中のため空いているポートを使います / is taken; using a free port instead."
            );
            Ok(SocketAddr::new(addr.ip(), 0))
        }
    }
}

fn simulate(data: &Path, listen: SocketAddr) -> Result<Offspring, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::because(Failure::START, "finding this program", &error))?;
    let args: [OsString; 6] = [
        "role".into(),
        "simroom".into(),
        "--data".into(),
        data.into(),
        "--listen".into(),
        listen.to_string().into(),
    ];
    start(&program, &args)
        .map_err(|error| Failure::because(Failure::START, "starting the simulated room", &error))
}

/// Waits for the site file, which the room writes once everything in it listens.
async fn wait_for_site(room: &mut Offspring, config: &Path) -> Result<(), Failure> {
    let appears = async {
        while !config.exists() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = appears => Ok(()),
        _ = room.child.wait() => Err(Failure::new(
            Failure::START,
            "the simulated room ended at once; its own message is above",
        )),
        () = tokio::time::sleep(ROOM_WITHIN) => Err(Failure::new(
            Failure::START,
            format!("the simulated room is not ready after {} s", ROOM_WITHIN.as_secs()),
        )),
    }
}

/// Where the demo keeps its data.
struct Folder {
    path: PathBuf,
    /// Made by us, so removed by us.
    ours: bool,
}

impl Folder {
    fn open(wanted: Option<PathBuf>) -> Result<Self, Failure> {
        let failed = |path: &Path, error: &std::io::Error| {
            Failure::because(
                Failure::START,
                format!("preparing the data folder {}", path.display()),
                error,
            )
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700);
        if let Some(path) = wanted {
            builder
                .recursive(true)
                .create(&path)
                .map_err(|error| failed(&path, &error))?;
            let path = path.canonicalize().map_err(|error| failed(&path, &error))?;
            // Written anew by the room; an old one would be taken for it.
            match std::fs::remove_file(path.join(SITE_FILE)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(&path, &error));
                }
                _ => return Ok(Self { path, ours: false }),
            }
        }
        let name = format!("yagura-demo-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let path = std::env::temp_dir().join(name);
        // Fails if it exists: a folder of somebody else is never taken over.
        builder.create(&path).map_err(|error| failed(&path, &error))?;
        Ok(Self { path, ours: true })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), error = &error as &dyn std::error::Error, "left behind");
        }
    }
}

/// `yagura demo scenario NAME`.
async fn happen(args: ScenarioArgs) -> Result<ExitCode, Failure> {
    let addr = match &args.data {
        Some(data) => listen::address_of(data, Role::Web.word()).ok_or_else(|| {
            Failure::new(
                Failure::AWAY,
                format!(
                    "no demo runs on {}; start one with `yagura demo --data`",
                    data.display()
                ),
            )
        })?,
        None => args.listen.unwrap_or(DEFAULT_LISTEN),
    };
    let addr = http::reachable(addr);
    let Verb(scenario) = args.name;
    let name = scenario.word();
    let body = json!({ "by": super::person() });
    let answer = http::post(addr, &format!("/api/v1/scenarios/{name}"), &body)
        .await
        .map_err(|error| {
            Failure::because(
                Failure::AWAY,
                format!(
                    "no demo answers at {} (say where with --data or --listen)",
                    page(addr)
                ),
                &error,
            )
        })?;
    if answer.status == 200 {
        println!("{name}: ok");
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::new(Failure::WRONG, answer.problem()))
    }
}
