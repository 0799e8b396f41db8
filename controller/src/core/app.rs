//! Starts core: reads keys, opens the store, replays the journal, spawns the sources, and hands
//! all of it to the loop.

use super::keeper::Keeper;
use super::run::{Inputs, Loop, Outputs};
use super::source::{self, mqtt, poll, trap};
use super::{roles, store};
use crate::clock;
use room::node::Keys;
use room::site::{Label, Mqtt, Secret, Site, World};
use shared::limit::KEY_LEN;
use shared::wire::DeviceKey;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Polls waiting for the loop.
const MAX_POLLS: usize = 1024;
/// Messages of roles waiting for the loop.
const MAX_ROLE_INPUTS: usize = 256;
/// Messages of nodes waiting for the loop.
const MAX_MESSAGES: usize = 1024;
/// Orders waiting for the poller.
const MAX_POLL_ORDERS: usize = 64;

/// Why core cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error("opening the store in {dir}")]
    Store {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: Box<store::StoreError>,
    },
    /// The socket of the roles.
    #[error("binding the roles' socket in {dir}")]
    Socket {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file with the cards.
    #[error(transparent)]
    Cards(#[from] super::cards::CardsError),
    /// The site's plan.
    #[error("the shutdown plan cannot be made: {0}")]
    Plan(String),
    /// The poller.
    #[error("opening the SNMP socket")]
    Poller(#[source] crate::snmp::Error),
    /// A task that must run as long as core does.
    #[error("a source of core ended; core begins anew")]
    SourceEnded,
    /// The external broker.
    #[error("the address of the MQTT broker")]
    Broker(#[source] mqtt::AddressError),
    /// The password of the external broker.
    #[error("reading the MQTT password {path}")]
    Password {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Runs core until `stop` resolves.
///
/// # Errors
/// [`Error`] when it cannot begin; once it runs, troubles are alarms.
pub async fn run<W: World>(mut site: Site<W>, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let dir = site.data_dir.clone();
    site.access.cards = super::cards::read(&site)?.0;
    let (keys, missing) = read_keys(&site);
    let store_error = |source| Error::Store {
        dir: dir.clone(),
        source: Box::new(source),
    };
    let accounts = roles::accounts(&keys);
    let mut engine = room::Engine::new(site.clone(), keys).map_err(|problems| {
        Error::Plan(
            problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        )
    })?;
    for (node, why) in missing {
        engine.without_key(node, why);
    }
    let opened = store::open_journal(&dir, |entry| {
        engine.next_record(entry.seq);
        engine.apply(entry.now, &entry.record);
    })
    .map_err(store_error)?;
    engine.next_record(opened.last_seq + 1);
    engine.left_alive_mark(super::alive::left_behind(&dir));
    let history = store::open_history(&dir).map_err(store_error)?;
    let reader = store::open_reader(&dir);
    let (log_said, log_says) = mpsc::unbounded_channel();
    // A log that is not there begins with the record that this start writes.
    let entry_log = super::log::start(
        &dir,
        room::log::year::slug(&site.name),
        room::log::of::Portals::of(&site),
        opened.last_seq,
        log_said,
    );
    let listener = roles::bind(&dir).map_err(|source| Error::Socket {
        dir: dir.clone(),
        source,
    })?;
    let next_seq = opened.last_seq + 1;
    let mut first = engine.start(
        clock::now(),
        &clock::boot_id(),
        env!("CARGO_PKG_VERSION"),
        std::iter::empty(),
    );
    if let Some(problem) = opened.broken {
        tracing::error!(problem, "the journal is broken");
        let event = room::event::Event::Trouble {
            part: room::event::Part::JournalBroken,
            problem: Some(problem),
        };
        let turn = engine.handle(clock::now(), event);
        first.records.extend(turn.records);
        first.effects.extend(turn.effects);
    }

    let mut tasks = JoinSet::new();
    let (poll_out, polls) = mpsc::channel(MAX_POLLS);
    let (polling, poll_control) = mpsc::channel(MAX_POLL_ORDERS);
    let (library, bad_profiles) = crate::profiles::library(site.profiles_dir.as_deref());
    for bad in &bad_profiles {
        tracing::error!("{bad}; this profile is left out");
    }
    let means = poll::Means::open(std::sync::Arc::new(library))
        .await
        .map_err(Error::Poller)?;
    tasks.spawn(poll::run(
        means.clone(),
        site.devices.clone(),
        poll_out,
        poll_control,
    ));
    if let Some(listen) = site.traps {
        tasks.spawn(trap::run(means.clone(), listen, dir.clone(), polling.clone()));
    }

    let ground = super::notifier::Ground {
        utc_offset_min: site.access.utc_offset_min,
        snmp: Some(means.snmp().clone()),
        data_dir: dir.clone(),
        mqtt_id: client_id(&dir),
    };
    let (notifiers, delivered) = super::notifier::Notifiers::start(&site.notifiers, &ground, &mut tasks);

    let (message_out, messages) = mpsc::channel(MAX_MESSAGES);
    let (others, role_inputs) = mpsc::channel(MAX_ROLE_INPUTS);
    let (act_out, act_inputs) = mpsc::channel(MAX_ROLE_INPUTS);
    let role_out = roles::Channels { act: act_out, others };
    let keeper = Keeper::new(dir.clone(), site.operators.clone());
    let erased: Vec<String> = engine.people().erased().cloned().collect();
    keeper.tidy(&erased);
    tasks.spawn(roles::serve(
        listener,
        accounts,
        keeper,
        role_out,
        message_out.clone(),
    ));

    let (mqtt_state, mqtt) = watch::channel(None);
    let publish = match &site.mqtt {
        Mqtt::Builtin { .. } => None,
        Mqtt::External {
            addr,
            user,
            password_file,
        } => {
            let (publish, outbound) = mpsc::channel::<source::Publish>(MAX_MESSAGES);
            let login = login(user.as_deref(), password_file.as_deref())?;
            let config = mqtt::ExternalConfig::new(addr, login, client_id(&dir)).map_err(Error::Broker)?;
            tasks.spawn(mqtt::external(config, message_out, outbound, mqtt_state));
            Some(publish)
        }
    };
    let simroom = W::SIMULATED.then(|| dir.clone());
    let outputs = Outputs {
        roles: roles::Outboxes::default(),
        publish,
        means,
        notifiers,
        polling,
        firmware: dir.join(super::images::FOLDER),
        alive: super::alive::Alive::start(&dir),
        entry_log,
        simroom,
    };
    let inputs = Inputs {
        polls,
        act: act_inputs,
        roles: role_inputs,
        messages,
        delivered,
        log: log_says,
        mqtt,
    };
    tracing::info!(records = next_seq - 1, "core runs");
    let work = Loop::new(engine, opened.journal, history, reader, outputs, next_seq).run(first, inputs, stop);
    with_sources(work, tasks).await
}

/// Works as long as every source does. A source that ended would leave core blind without a
/// word: core ends too, its supervisor starts it again, and it replays.
async fn with_sources(work: impl Future<Output = ()>, mut sources: JoinSet<()>) -> Result<(), Error> {
    let result = tokio::select! {
        () = work => Ok(()),
        Some(_) = sources.join_next() => Err(Error::SourceEnded),
    };
    sources.shutdown().await;
    result
}

/// Our session at an external broker: the same after every start, another one for each controller.
fn client_id(dir: &Path) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    format!(
        "yagura-core-{:02x}{:02x}{:02x}{:02x}",
        digest[0], digest[1], digest[2], digest[3]
    )
}

fn login(user: Option<&str>, password: Option<&Path>) -> Result<Option<(String, Secret)>, Error> {
    let Some(user) = user else { return Ok(None) };
    let password = match password {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|source| Error::Password {
                path: path.to_owned(),
                source,
            })?
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
        None => String::new(),
    };
    Ok(Some((user.to_owned(), Secret(password))))
}

/// The keys that can be read, and why the others cannot. A node without a key is not watched,
/// which is an alarm; it never keeps the watchtower from watching the rest of the room.
fn read_keys<W: World>(site: &Site<W>) -> (Keys, Vec<(u16, Label)>) {
    let mut keys = Keys::new();
    let mut missing = Vec::new();
    for node in &site.nodes {
        match read_key(&node.key_file) {
            Ok(key) => drop(keys.insert(node.id, key)),
            Err(why) => {
                tracing::error!(node = node.name, why = why.en, "a node is not watched");
                missing.push((node.id, why));
            }
        }
    }
    (keys, missing)
}

/// Reads a device key: 64 hex digits in a file that only its owner can read.
fn read_key(path: &Path) -> Result<DeviceKey, Label> {
    let shown = path.display();
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Label::new(
            format!("鍵ファイル {shown} がない"),
            format!("the key file {shown} is not there"),
        ),
        _ => Label::new(
            format!("鍵ファイル {shown} を読めない（{error}）"),
            format!("the key file {shown} cannot be read: {error}"),
        ),
    };
    let mode = std::fs::metadata(path).map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Label::new(
            format!("鍵ファイル {shown} を他の利用者が読める（chmod 600 を実行）"),
            format!("the key file {shown} can be read by others; run chmod 600 on it"),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(io)?;
    let mut key = [0; KEY_LEN];
    if !room::hex::read(text.trim().as_bytes(), &mut key) {
        return Err(Label::new(
            format!("鍵ファイル {shown} が 16 進数 64 桁でない"),
            format!("the key file {shown} is not 64 hex digits"),
        ));
    }
    Ok(DeviceKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::time::Duration;
    use tokio::sync::oneshot;

    async fn ended(work: impl Future<Output = ()>, sources: JoinSet<()>) -> Result<(), Error> {
        let end = with_sources(work, sources);
        tokio::time::timeout(Duration::from_secs(20), end)
            .await
            .expect("core must not go on blind")
    }

    #[tokio::test]
    async fn core_ends_with_the_first_source_that_ends_and_stops_the_others() {
        let (alive, gone) = oneshot::channel::<()>();
        let mut sources = JoinSet::new();
        sources.spawn(async move {
            let _alive = alive;
            pending::<()>().await;
        });
        // The poller ends when the queue into the loop is closed.
        let (out, polls) = mpsc::channel(1);
        let (_polling, control) = mpsc::channel(1);
        let library = std::sync::Arc::new(room::profile::Library::builtin());
        let means = poll::Means::open(library).await.unwrap();
        sources.spawn(poll::run(means, Vec::new(), out, control));
        drop(polls);
        let result = ended(pending(), sources).await;
        assert!(matches!(result, Err(Error::SourceEnded)), "{result:?}");
        gone.await.expect_err("the other source is still there");
    }

    #[tokio::test]
    async fn a_source_that_panics_ends_core_too() {
        let mut sources = JoinSet::new();
        sources.spawn(async { panic!("a source with a mistake (this panic belongs to the test)") });
        let result = ended(pending(), sources).await;
        assert!(matches!(result, Err(Error::SourceEnded)), "{result:?}");
    }

    #[tokio::test]
    async fn core_that_is_told_to_stop_ends_well() {
        let mut sources = JoinSet::new();
        sources.spawn(pending());
        ended(std::future::ready(()), sources).await.unwrap();
    }

    #[test]
    fn a_key_that_cannot_be_read_is_said_in_words_and_a_good_one_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let why = |path: &Path| read_key(path).map(|_| ()).unwrap_err().en;
        assert!(why(&path).contains("is not there"), "{}", why(&path));
        for (text, mode, words) in [
            ("abc".to_owned(), 0o600, "64 hex digits"),
            ("+f".repeat(32), 0o600, "64 hex digits"),
            ("ab".repeat(32), 0o644, "chmod 600"),
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(why(&path).contains(words), "{}", why(&path));
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read_key(&path).is_ok());
    }
}
