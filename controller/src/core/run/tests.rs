//! The loop under what a review found: floods and a disk that hangs. The engine, the history and
//! the queues are the real ones; only the slow disk is not.

use super::*;
use crate::core::roles::Outbox;
use crate::core::store::StuckDisk;
use room::snapshot::{AlarmState, Snapshot};
use std::path::Path;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longest wait for anything that must happen.
const LONG: Duration = Duration::from_secs(20);
/// Enough nonsense to keep the loop busy far longer than [`SILENT_AFTER`].
const FLOOD: usize = 300_000;
const SILENT_AFTER: room::time::Millis = room::time::Millis(50);

const SITE: &str = r#"name = "室"
data_dir = "data"
[web]
listen = "127.0.0.1:0"
[mqtt]
listen = "127.0.0.1:0"
[[node]]
id = 1
name = "node-1"
key_file = "k"
[[node.channel]]
channel = 0
point = "door.1"
quantity = "contact"
contact = "door"
"#;

/// A running loop and its other ends.
struct Bench {
    messages: mpsc::Sender<Message>,
    pictures: watch::Receiver<Vec<u8>>,
    stop: oneshot::Sender<()>,
    work: JoinHandle<()>,
    // The other ends of queues that must stay open while the loop runs.
    _open: Box<dyn std::any::Any>,
}

impl Bench {
    /// Starts the loop with these messages waiting for it.
    async fn start(dir: &Path, journal: Option<Journal>, waiting: Vec<Message>) -> Self {
        let mut site = room::site::parse::real(SITE, dir).unwrap();
        site.nodes[0].silent_after = SILENT_AFTER;
        let keys = std::iter::once((1, shared::wire::DeviceKey::new([7; 32]))).collect();
        let mut engine = room::Engine::new(site, keys).unwrap();
        let opened = store::open_journal(dir, |entry| engine.apply(entry.now, &entry.record)).unwrap();
        let first = engine.start(clock::now(), "boot", "0.0.0", std::iter::empty());
        let (polls_in, polls) = mpsc::channel(1);
        let (act_in, act) = mpsc::channel(1);
        let (roles_in, roles) = mpsc::channel(1);
        let (mqtt_in, mqtt) = watch::channel(None);
        let (log_in, log) = mpsc::unbounded_channel();
        let (polling, polling_out) = mpsc::channel(1);
        let (messages, inbox) = mpsc::channel(waiting.len().max(1));
        for message in waiting {
            messages.try_send(message).unwrap();
        }
        let (web, web_out) = mpsc::channel(crate::link::MAX_WAITING);
        let (shown, pictures) = watch::channel(Vec::new());
        let (notifiers, delivered) = crate::core::notifier::Notifiers::start(
            &[],
            &crate::core::notifier::Ground::alone(540, dir),
            &mut tokio::task::JoinSet::new(),
        );
        let outputs = Outputs {
            roles: crate::core::roles::Outboxes::default(),
            publish: None,
            means: crate::core::source::poll::Means::open(std::sync::Arc::new(
                room::profile::Library::builtin(),
            ))
            .await
            .unwrap(),
            notifiers,
            polling,
            firmware: dir.join("firmware"),
            alive: crate::core::alive::Alive::start(dir),
            entry_log: crate::core::log::start(
                dir,
                "bench".to_owned(),
                room::log::of::Portals::default(),
                opened.last_seq,
                log_in,
            ),
            simroom: None,
        };
        let history = store::open_history(dir).unwrap();
        let journal = journal.unwrap_or(opened.journal);
        let reader = store::open_reader(dir);
        let mut work = Loop::new(engine, journal, history, reader, outputs, opened.last_seq + 1);
        work.role(RoleInput::Joined(Outbox::of_web(1, web, shown)));
        let inputs = Inputs {
            polls,
            act,
            roles,
            messages: inbox,
            delivered,
            log,
            mqtt,
        };
        let (stop, stopped) = oneshot::channel();
        let work = tokio::spawn(work.run(first, inputs, async move { drop(stopped.await) }));
        let _open = Box::new((polls_in, act_in, roles_in, mqtt_in, polling_out, web_out));
        Self {
            messages,
            pictures,
            stop,
            work,
            _open,
        }
    }

    /// Waits for a picture of which this holds.
    async fn shows(&mut self, what: &str, holds: impl Fn(&Snapshot) -> bool) {
        let seen = async {
            loop {
                self.pictures.changed().await.unwrap();
                if holds(&self.picture()) {
                    return;
                }
            }
        };
        tokio::time::timeout(LONG, seen).await.expect(what);
    }

    /// The latest one.
    fn picture(&mut self) -> Snapshot {
        serde_json::from_slice(&self.pictures.borrow_and_update()).unwrap()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.work.await.unwrap();
    }
}

fn rings(picture: &Snapshot, alarm: &str) -> bool {
    let alarm = picture.alarms.iter().find(|known| known.id == alarm);
    alarm.is_some_and(|known| known.state == AlarmState::Unacknowledged)
}

#[tokio::test]
async fn a_flood_of_messages_does_not_hide_that_a_node_fell_silent() {
    let dir = tempfile::tempdir().unwrap();
    let nonsense = || Message {
        user: None,
        topic: "nonsense".to_owned(),
        payload: Vec::new(),
        retained: false,
        at: Instant::now(),
        settle: None,
    };
    let flood = std::iter::repeat_with(nonsense).take(FLOOD).collect();
    let mut bench = Bench::start(dir.path(), None, flood).await;
    bench
        .shows("the silent node", |picture| rings(picture, "node-1.silent"))
        .await;
    let waiting = bench.messages.max_capacity() - bench.messages.capacity();
    assert!(waiting > 0, "the flood was over before the node was missed");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_is_an_alarm_within_seconds_and_none_when_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, disk) = StuckDisk::journal();
    let began = Instant::now();
    let mut bench = Bench::start(dir.path(), Some(journal), Vec::new()).await;
    bench
        .shows("the alarm of the journal", |picture| {
            rings(picture, "system.journal")
        })
        .await;
    let after = began.elapsed();
    assert!(
        after >= JOURNAL_HANGS && after <= JOURNAL_HANGS + SNAPSHOT_MOST,
        "after {after:?}"
    );
    // It answers at last: what waited behind it is written next, and the trouble is over.
    let mut answered = 0;
    let end = Instant::now() + LONG;
    while rings(&bench.picture(), "system.journal") {
        assert!(Instant::now() < end, "the alarm goes on");
        answered += disk.answer();
        tokio::time::sleep(SNAPSHOT_LEAST).await;
    }
    assert!(answered >= 2, "the batch that hung, and the one that says so");
    bench.stop.send(()).unwrap();
    drop(disk);
    bench.work.await.unwrap();
}

#[test]
fn a_new_key_is_made_with_random_bytes_that_nobody_outside_of_core_chose() {
    let command = || event::Command::RotateKey {
        node: "node-1".to_owned(),
        salt: [0; 16],
    };
    let drawn = |command| match furnish(command) {
        event::Command::RotateKey { salt, .. } => salt,
        other => panic!("{other:?}"),
    };
    let (one, other) = (drawn(command()), drawn(command()));
    assert!(one != [0; 16] && one != other);
}

#[tokio::test]
async fn a_node_that_is_heard_is_given_the_checkpoint_of_the_log_that_was_signed() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path(), None, Vec::new()).await;
    let header = |seq| shared::wire::Header {
        ver: 1,
        key_id: 0,
        node: 1,
        boot: 1,
        stream: shared::wire::Stream::Event,
        seq,
        up_ms: u64::from(seq),
        unix_ms: 0,
    };
    let body = shared::wire::Up::Contact {
        channel: 0,
        open: true,
    };
    let key = shared::wire::DeviceKey::new([7; 32]);
    // On a busy machine it may count as silent when its event is on disk; then it speaks again.
    for seq in 1..=200 {
        let message = Message {
            user: None,
            topic: "fac/v1/1/ev".to_owned(),
            payload: shared::wire::seal_up(&key, &header(seq), &body).unwrap().to_vec(),
            retained: false,
            at: Instant::now(),
            settle: None,
        };
        bench.messages.send(message).await.unwrap();
        bench
            .shows("the event", |picture| picture.nodes[0].last_event == Some(seq))
            .await;
        if bench.picture().counters.contains_key("checkpoints_given") {
            break;
        }
    }
    bench.end().await;
    let mut given = Vec::new();
    store::open_journal(dir.path(), |entry| {
        if let room::record::Record::CheckpointGiven { size, root, log } = entry.record {
            given.push((log, size, root));
        }
    })
    .unwrap();
    let [(Some(year), size, root)] = &given[..] else {
        panic!("{given:?}");
    };
    let log = crate::core::log::read::open(dir.path()).unwrap();
    let note: String = log
        .query_row(
            "SELECT note FROM checkpoint WHERE year = ?1 AND size = ?2",
            [*year, i64::try_from(*size).unwrap()],
            |row| row.get(0),
        )
        .unwrap();
    let signed = room::log::note::Note::parse(&note).unwrap();
    assert_eq!(room::log::writer::hex(&signed.checkpoint().root), *root);
}
