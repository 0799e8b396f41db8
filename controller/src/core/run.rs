//! The loop: the one place where events meet the engine.
//!
//! ```text
//! inputs --> Engine::handle --> records --> journal (synced) --> effects, PUBACKs, stream
//!                                 |
//!                                 +-- one batch is under way; what is decided meanwhile
//!                                     waits and goes as the next batch (group commit)
//! ```
//! When the journal fails, records wait in memory (bounded by back-pressure on the nodes'
//! messages) and are tried again; safety effects leave at once and the failure is an alarm.
//! Nothing is acknowledged to a node before it is on disk.
// Long because every input of core meets every other one here, in one order of importance.

use super::alive::{self, Alive};
use super::images::{Images, Loaded};
use super::lag::Lag;
use super::roles::{Outboxes, RoleInput};
use super::source::Message;
use super::store::{self, History, Journal, Reader, StoreError, Tip};
use crate::clock;
use crate::link::{
    AccessQuestion, Ask, FromAct, FromNut, FromWeb, LimitQuestion, LogQuestion, Order, OutageQuestion,
    Outcome, Role, ToAct, ToBroker, ToNut, ToOperator, ToWeb,
};
use crate::pulse::Pulse;
use room::device::Poll;
use room::event::{self, Effect, Event, HistoryRow, Part, Refused, Turn};
use room::incident;
use room::outage::operator::Person;
use room::record::{Entry, Sign};
use room::site::{Label, World};
use room::time::{Mono, Now};
use simroom::scenario::Scenario;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Records waiting for the disk before messages of nodes are left with the nodes.
const MAX_HELD: usize = 10_000;
/// A failing journal is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// A journal that has not answered for so long does not hold safety effects any longer.
const SAFETY_WAIT: Duration = Duration::from_millis(500);
/// A journal that has not answered for so long is an alarm, as one that fails.
const JOURNAL_HANGS: Duration = Duration::from_secs(5);
/// Records of one message to the page; together they stay far below the link's limit.
const RECORDS_AT_ONCE: usize = 500;
/// Snapshots go out at most so often,
const SNAPSHOT_LEAST: Duration = Duration::from_millis(100);
/// and after a pause of so many times what drawing one took: a large site must not wait for its pictures,
const SNAPSHOT_REST: u32 = 20;
/// and at least so often, so that a page can tell a quiet room from a dead controller.
const SNAPSHOT_MOST: Duration = Duration::from_secs(2);
/// History rows are handed over so often,
const HISTORY_EVERY: Duration = Duration::from_secs(1);
/// or when so many wait; beyond it they are dropped and counted.
const MAX_HISTORY_ROWS: usize = 5_000;

/// Where the loop's inputs come from, most urgent first.
pub(super) struct Inputs {
    /// Polls of devices.
    pub polls: mpsc::Receiver<Poll>,
    /// Act.
    pub act: mpsc::Receiver<RoleInput>,
    /// The other roles.
    pub roles: mpsc::Receiver<RoleInput>,
    /// Messages of nodes.
    pub messages: mpsc::Receiver<Message>,
    /// What became of notices.
    pub delivered: mpsc::UnboundedReceiver<room::notice::Delivered>,
    /// What the entry log says.
    pub log: mpsc::UnboundedReceiver<super::log::Said>,
    /// State of the external broker: `Some(problem)` or well.
    pub mqtt: tokio::sync::watch::Receiver<Option<String>>,
}

/// Where the loop's outputs go.
pub(super) struct Outputs {
    /// The roles.
    pub roles: Outboxes,
    /// Messages to an external broker; `None` when the endpoint is ours.
    pub publish: Option<mpsc::Sender<super::source::Publish>>,
    /// What the devices are asked with, for its counters.
    pub means: super::source::poll::Means,
    /// The site's notifiers.
    pub notifiers: super::notifier::Notifiers,
    /// Orders to the poller.
    pub polling: mpsc::Sender<super::source::poll::Control>,
    /// Folder of the signed firmware images.
    pub firmware: std::path::PathBuf,
    /// The mark that says until when the loop was alive.
    pub alive: Alive,
    /// The entry log.
    pub entry_log: super::log::EntryLog,
    /// The data folder in which the simulated room listens, on a simulated site.
    pub simroom: Option<std::path::PathBuf>,
}

/// What waits for the commit of its records.
#[derive(Default)]
struct Held {
    entries: Vec<Entry>,
    effects: Vec<Effect>,
    settles: Vec<oneshot::Sender<()>>,
    answers: Vec<(u64, mpsc::Sender<ToWeb>, Option<String>)>,
    /// Answers for NUT's clients: the number of their order.
    ordered: Vec<(u64, mpsc::Sender<ToNut>, Result<u64, Refused>)>,
    said: Vec<(oneshot::Sender<ToOperator>, Label)>,
}

impl Held {
    fn append(&mut self, mut later: Self) {
        self.entries.append(&mut later.entries);
        self.effects.append(&mut later.effects);
        self.settles.append(&mut later.settles);
        self.answers.append(&mut later.answers);
        self.ordered.append(&mut later.ordered);
        self.said.append(&mut later.said);
    }
}

struct UnderWay {
    held: Held,
    done: oneshot::Receiver<Result<Tip, StoreError>>,
    since: Instant,
    is_late: bool,
}

/// The loop's own state; everything about the room is in the engine.
pub(super) struct Loop<W: World> {
    engine: room::Engine<W>,
    journal: Journal,
    history: History,
    reader: Reader,
    outputs: Outputs,
    images: Images,
    loaded: mpsc::Receiver<Loaded>,
    next_seq: u64,
    waiting: Held,
    under_way: Option<UnderWay>,
    retry_at: Option<Instant>,
    /// The earliest deadline the engine has named since its last tick.
    tick_at: Option<Mono>,
    /// When the engine worked last.
    worked_at: Now,
    /// The last signed checkpoint of the entry log: year, size, root.
    signed: Option<(i64, u64, [u8; 32])>,
    rows: Vec<HistoryRow>,
    rows_due: Option<Instant>,
    rows_dropped: u64,
    snapshot_due: Option<Instant>,
    snapshot_last: Instant,
    pulse: Pulse,
    boot_id: String,
    marked: Option<Instant>,
    /// From an input's arrival to its handling,
    loop_lag: Lag,
    /// and from a batch's leaving to its being on disk.
    journal_lag: Lag,
    /// From one to the next.
    snapshot_pause: Duration,
}

impl<W: World> Loop<W> {
    pub(super) fn new(
        engine: room::Engine<W>,
        journal: Journal,
        history: History,
        reader: Reader,
        outputs: Outputs,
        next_seq: u64,
    ) -> Self {
        let (images, loaded) = Images::of(outputs.firmware.clone());
        Self {
            images,
            loaded,
            engine,
            journal,
            history,
            reader,
            outputs,
            next_seq,
            waiting: Held::default(),
            under_way: None,
            retry_at: None,
            // Reading a long journal takes longer than some deadlines: the first tick comes at once.
            tick_at: Some(Mono(0)),
            worked_at: clock::now(),
            signed: None,
            rows: Vec::new(),
            rows_due: None,
            rows_dropped: 0,
            snapshot_due: None,
            snapshot_last: Instant::now(),
            pulse: Pulse::of_environment(),
            boot_id: clock::boot_id(),
            marked: None,
            loop_lag: Lag::new(Instant::now()),
            journal_lag: Lag::new(Instant::now()),
            snapshot_pause: SNAPSHOT_LEAST,
        }
    }

    /// Runs until `stop` resolves; then waits for the commit under way.
    pub(super) async fn run(mut self, first: Turn, mut inputs: Inputs, stop: impl Future<Output = ()>) {
        self.take(first, Held::default());
        tokio::pin!(stop);
        loop {
            self.live();
            self.send_batch();
            // What is due is done before anything new is taken in: a source that never pauses
            // must not keep a silent node or a hanging disk unseen.
            if self.wake_at() <= Instant::now() {
                self.due();
            }
            let held = self.waiting.entries.len();
            let wake_at = self.wake_at();
            // Every arm only receives; the work is done below, so that dropping the other arms
            // loses nothing. The order is the importance.
            let next = tokio::select! {
                biased;
                () = &mut stop => Next::Stop,
                result = commit_of(self.under_way.as_mut()) => Next::Committed(result),
                Some(poll) = inputs.polls.recv() => Next::Poll(poll),
                Some(input) = inputs.act.recv() => Next::Role(input),
                Some(input) = inputs.roles.recv() => Next::Role(input),
                Some(delivered) = inputs.delivered.recv() => Next::Delivered(delivered),
                Some(loaded) = self.loaded.recv() => Next::Loaded(loaded),
                Some(said) = inputs.log.recv() => Next::Log(said),
                Some(message) = inputs.messages.recv(), if held < MAX_HELD => Next::Message(message),
                Ok(()) = inputs.mqtt.changed() => Next::Mqtt(inputs.mqtt.borrow_and_update().clone()),
                () = tokio::time::sleep_until(wake_at) => Next::Due,
            };
            match next {
                Next::Stop => break,
                Next::Committed(result) => self.committed(result),
                Next::Poll(poll) => self.event(Event::Poll(poll), Held::default()),
                Next::Role(input) => self.role(input),
                Next::Delivered(delivered) => self.event(Event::Delivered(delivered), Held::default()),
                Next::Loaded(loaded) => self.loaded(loaded),
                Next::Log(said) => self.log_says(said),
                Next::Message(message) => self.message(message),
                Next::Mqtt(problem) => self.event(
                    Event::Trouble {
                        part: Part::Mqtt,
                        problem,
                    },
                    Held::default(),
                ),
                Next::Due => self.due(),
            }
        }
        Box::pin(self.drain()).await;
    }

    /// The loop turns: whoever waits for its signs gets one. It turns at least every
    /// [`SNAPSHOT_MOST`], and nothing else gives these signs.
    fn live(&mut self) {
        self.pulse.beat();
        if self.marked.is_none_or(|at| at.elapsed() >= alive::EVERY) {
            self.marked = Some(Instant::now());
            self.outputs.alive.mark(Sign {
                boot_id: self.boot_id.clone(),
                now: clock::now(),
            });
        }
    }

    /// Gives the commit under way, and what waits behind it, a bounded time.
    async fn drain(mut self) {
        const DRAIN: Duration = Duration::from_secs(2);
        let rows = std::mem::take(&mut self.rows);
        let _ = self.history.append(rows);
        for _ in 0..2 {
            let Some(mut under_way) = self.under_way.take() else {
                break;
            };
            match tokio::time::timeout(DRAIN, &mut under_way.done).await {
                Ok(Ok(Ok(_))) => self.release(under_way.held),
                _ => return,
            }
            self.send_batch();
        }
    }

    // ---- inputs ------------------------------------------------------------------------

    fn event(&mut self, event: Event, held: Held) {
        let turn = self.handle(event);
        self.take(turn, held);
    }

    fn handle(&mut self, event: Event) -> Turn {
        self.worked_at = clock::now();
        self.engine.handle(self.worked_at, event)
    }

    fn message(&mut self, message: Message) {
        let now = Instant::now();
        self.loop_lag.count(now, now.duration_since(message.at));
        let held = Held {
            settles: message.settle.into_iter().collect(),
            ..Held::default()
        };
        let event = event::Message {
            user: message.user,
            topic: message.topic,
            payload: message.payload,
            retained: message.retained,
        };
        self.event(Event::Message(event), held);
    }

    fn role(&mut self, input: RoleInput) {
        match input {
            RoleInput::Joined(outbox) => {
                // Act is there when it has said which plan it reads.
                let part = part_of(outbox.role());
                self.outputs.roles.join(outbox);
                if let Some(part) = part {
                    self.event(Event::Trouble { part, problem: None }, Held::default());
                }
                self.snapshot_due = Some(Instant::now());
            }
            RoleInput::Left(role, id) => {
                if self.outputs.roles.leave(role, id) {
                    let problem = Some("the role is not connected".to_owned());
                    let event = part_of(role).map_or(Event::ActGone, |part| Event::Trouble { part, problem });
                    self.event(event, Held::default());
                }
            }
            RoleInput::Act(FromAct::Ready { plan_hash }) => {
                self.event(Event::ActReady { plan_hash }, Held::default());
            }
            RoleInput::Act(FromAct::Operated { id, done }) => {
                self.event(Event::Operated { id, done }, Held::default());
            }
            RoleInput::Act(FromAct::Report { order, outcome }) => {
                self.event(Event::Outcome { order, outcome }, Held::default());
            }
            RoleInput::BrokerCounters(counters) => {
                self.event(
                    Event::Counters {
                        role: "broker",
                        counters,
                    },
                    Held::default(),
                );
            }
            RoleInput::Nut(message, answer) => self.nut(message, answer),
            RoleInput::Web(message, answer) => self.web(message, answer),
            RoleInput::Operator(person, ask, answer) => self.operator(person, ask, answer),
            RoleInput::Keep(person, ask, answer) => self.keep(person, ask, answer),
        }
    }

    fn nut(&mut self, message: FromNut, answer: mpsc::Sender<ToNut>) {
        match message {
            FromNut::Counters(counters) => {
                let role = "nut";
                self.event(Event::Counters { role, counters }, Held::default());
            }
            FromNut::Logins(logins) => self.event(Event::NutLogins(logins), Held::default()),
            FromNut::Wish {
                token,
                account,
                peer,
                ups,
                wish,
            } => {
                let asked = event::NutWish {
                    account,
                    peer,
                    ups,
                    wish,
                };
                let mut turn = self.handle(Event::NutWish(asked));
                let result = match turn.refused.take() {
                    Some(refused) => Err(refused),
                    None => turn
                        .effects
                        .iter()
                        .find_map(|effect| match effect {
                            Effect::Operate(operation) => Some(operation.id),
                            _ => None,
                        })
                        .ok_or_else(|| Refused::conflict("指示になりませんでした", "it leads to no order")),
                };
                // Answered when it is on disk, like every operator.
                let ordered = vec![(token, answer, result)];
                self.take(
                    turn,
                    Held {
                        ordered,
                        ..Held::default()
                    },
                );
            }
        }
    }

    fn web(&mut self, message: FromWeb, answer: mpsc::Sender<ToWeb>) {
        match message {
            FromWeb::Command { token, by, command } => match command {
                event::Command::UpdateNode { node, file, .. } => {
                    self.images.load(node, file, token, by, answer);
                }
                event::Command::Incident {
                    order: incident::Order::HandOver { incident, to, .. },
                } => self.hand_over(token, by, incident, to, answer),
                command => self.command(token, by, furnish(command), answer),
            },
            FromWeb::History {
                token,
                point,
                from_ms,
                to_ms,
                buckets,
            } => {
                self.query(
                    token,
                    answer,
                    store::Query::History {
                        point,
                        from_ms,
                        to_ms,
                        buckets,
                    },
                );
            }
            FromWeb::Limits { token, question } => self.limits(token, question, answer),
            FromWeb::Device { token, name } => {
                let result = match self.engine.device_facts(clock::now(), &name) {
                    Some(facts) => serde_json::to_vec(&facts)
                        .map_err(|error| Refused::Unavailable(format!("encoding the facts: {error}"))),
                    None => Err(Refused::not_found(
                        format!("機器 {name} はありません"),
                        format!("no device {name}"),
                    )),
                };
                reply(&answer, token, result);
            }
            FromWeb::Coverage {
                token,
                from_ms,
                to_ms,
            } => {
                let month = store::Month {
                    plan: self.engine.coverage_plan(),
                    from_ms,
                    to_ms,
                    now_ms: clock::now().wall.0,
                };
                let reader = self.reader.clone();
                tokio::spawn(async move {
                    let result = reader
                        .coverage(month)
                        .await
                        .map_err(|error| Refused::Unavailable(error.to_string()));
                    reply(&answer, token, result);
                });
            }
            FromWeb::WhatIf { token, lose } => {
                let fates = self.engine.what_if(clock::now(), &lose).and_then(|fates| {
                    serde_json::to_vec(&fates)
                        .map_err(|error| Refused::Unavailable(format!("encoding the answer: {error}")))
                });
                reply(&answer, token, fates);
            }
            FromWeb::Access { token, question } => {
                let now = clock::now();
                let rows = match question {
                    AccessQuestion::Persons => serde_json::to_vec(&self.engine.people_rows(now).persons),
                    AccessQuestion::Cards => serde_json::to_vec(&self.engine.people_rows(now).cards),
                    AccessQuestion::Inside => serde_json::to_vec(&self.engine.inside_rows(now)),
                    AccessQuestion::Passages { limit } => {
                        let most = usize::try_from(limit).unwrap_or(usize::MAX);
                        serde_json::to_vec(&self.engine.passage_rows(most))
                    }
                };
                let rows =
                    rows.map_err(|error| Refused::Unavailable(format!("encoding the register: {error}")));
                reply(&answer, token, rows);
            }
            FromWeb::Log { token, question } => match question {
                LogQuestion::Status => {
                    let standing = serde_json::to_vec(&self.outputs.entry_log.standing().shown())
                        .map_err(|error| Refused::Unavailable(format!("encoding the answer: {error}")));
                    reply(&answer, token, standing);
                }
                question => self.query(token, answer, store::Query::Log(Box::new(question))),
            },
            FromWeb::Outage { token, question } => self.outage_question(token, question, answer),
            FromWeb::Incidents { token } => {
                let rows = serde_json::to_vec(&self.engine.incident_rows())
                    .map_err(|error| Refused::Unavailable(format!("encoding the incidents: {error}")));
                reply(&answer, token, rows);
            }
            FromWeb::Incident {
                token,
                incident,
                upto,
            } => match self.story(incident, upto) {
                Ok(story) => self.query(token, answer, store::Query::Incident(story)),
                Err(refused) => reply(&answer, token, Err(refused)),
            },
            FromWeb::Records { token, after, limit } => {
                self.query(token, answer, store::Query::Records { after, limit });
            }
        }
    }

    fn limits(&self, token: u64, question: LimitQuestion, answer: mpsc::Sender<ToWeb>) {
        let encode = |error: serde_json::Error| Refused::Unavailable(format!("encoding limits: {error}"));
        let result = match question {
            LimitQuestion::All => serde_json::to_vec(&self.engine.limit_rows()).map_err(encode),
            LimitQuestion::History { limit } => match self.engine.limit_history(&limit) {
                Some(changes) => serde_json::to_vec(&changes).map_err(encode),
                None => Err(Refused::not_found(
                    format!("しきい値 {limit} はありません"),
                    format!("no limit {limit}"),
                )),
            },
            LimitQuestion::Preview { limit, change, days } => match self.engine.propose(&limit, &change) {
                Ok(proposal) => {
                    let now = clock::now().wall;
                    let preview = store::Preview { proposal, days, now };
                    return self.query(token, answer, store::Query::LimitPreview(Box::new(preview)));
                }
                Err(refused) => Err(refused),
            },
        };
        reply(&answer, token, result);
    }

    fn command(&mut self, token: u64, by: String, command: event::Command, answer: mpsc::Sender<ToWeb>) {
        let scenario = match &command {
            event::Command::Scenario { name } => Some(name.clone()),
            _ => None,
        };
        let held = Held {
            answers: vec![(token, answer.clone(), scenario)],
            ..Held::default()
        };
        let mut turn = self.handle(Event::Command { by, command });
        match turn.refused.take() {
            Some(refused) => {
                self.take(turn, Held::default());
                reply(&answer, token, Err(refused));
            }
            None => self.take(turn, held),
        }
    }

    /// A person at this machine orders; the answer waits for the journal.
    fn operator(&mut self, person: Person, ask: Ask, answer: oneshot::Sender<ToOperator>) {
        tracing::info!(who = %person.who, ?ask, "an operator's order");
        let mut ask = ask;
        if let Ask::Log(room::log::wish::Wish::RotateKey { key, .. }) = &mut ask {
            *key = self.outputs.entry_log.standing().next_key;
            if key.is_empty() {
                let (ja, en) = (
                    "署名鍵の準備ができていません".to_owned(),
                    "the log has no next key yet".to_owned(),
                );
                // Who asked and went away needs no answer.
                let _ = answer.send(ToOperator::Refused { ja, en });
                return;
            }
        }
        let mut turn = self.handle(Event::Operator { person, ask });
        let mut held = Held::default();
        match turn.said.take() {
            Some(Ok(said)) => held.said.push((answer, said)),
            Some(Err(Label { ja, en })) => {
                // Who asked and went away needs no answer.
                let _ = answer.send(ToOperator::Refused { ja, en });
            }
            None => {}
        }
        self.take(turn, held);
    }

    /// The same about persons and cards. What is asked for is never logged here.
    fn keep(&mut self, person: Person, ask: room::people::Ask, answer: oneshot::Sender<ToOperator>) {
        tracing::info!(who = %person.who, "an order about persons and cards");
        let question = match &ask {
            room::people::Ask::Tell(question) => Some(*question),
            _ => None,
        };
        let mut turn = self.handle(Event::People { person, ask });
        let mut held = Held::default();
        match (turn.said.take(), question) {
            (Some(Err(Label { ja, en })), _) => {
                let problems = self.engine.people_problems();
                let said = if problems.is_empty() {
                    ToOperator::Refused { ja, en }
                } else {
                    ToOperator::Mistakes(problems.to_vec())
                };
                let _ = answer.send(said);
            }
            (Some(Ok(_)), Some(question)) => {
                let told = self.engine.people_told(clock::now(), question);
                let said = match told {
                    Ok(rows) => ToOperator::Rows {
                        rows,
                        personal: Vec::new(),
                    },
                    Err(error) => ToOperator::Refused {
                        ja: "一覧を作れません".to_owned(),
                        en: format!("encoding the rows: {error}"),
                    },
                };
                let _ = answer.send(said);
            }
            (Some(Ok(said)), None) => held.said.push((answer, said)),
            (None, _) => {}
        }
        self.take(turn, held);
    }

    /// An image is read, or cannot be.
    fn loaded(&mut self, loaded: Loaded) {
        let Loaded {
            token,
            by,
            answer,
            result,
        } = loaded;
        match result {
            Ok(command) => self.command(token, by, command, answer),
            Err(refused) => reply(&answer, token, Err(refused)),
        }
    }

    /// Rehearsals, drills and recorded outages. What needs the journal is read beside the loop.
    fn outage_question(&self, token: u64, question: OutageQuestion, answer: mpsc::Sender<ToWeb>) {
        let encoded = |result: serde_json::Result<Vec<u8>>| {
            result.map_err(|error| Refused::Unavailable(format!("encoding the answer: {error}")))
        };
        match question {
            OutageQuestion::Exercises => {
                reply(
                    &answer,
                    token,
                    encoded(serde_json::to_vec(&self.engine.exercises())),
                );
            }
            OutageQuestion::Care => {
                let care = serde_json::to_vec(&self.engine.power_care(clock::now()));
                reply(&answer, token, encoded(care));
            }
            OutageQuestion::Places => {
                reply(
                    &answer,
                    token,
                    encoded(serde_json::to_vec(&self.engine.outage_places())),
                );
            }
            OutageQuestion::Exercise { run } => match self.engine.exercise_place(run) {
                Some((first_seq, last_seq)) => {
                    let (site, simulated) = self.engine.room();
                    let of = store::Exercised {
                        run,
                        first_seq,
                        last_seq,
                        site,
                        simulated,
                    };
                    self.query(token, answer, store::Query::Exercise(Box::new(of)));
                }
                None => reply(
                    &answer,
                    token,
                    Err(Refused::not_found(
                        format!("訓練 {run} はありません"),
                        format!("no rehearsal {run}"),
                    )),
                ),
            },
            OutageQuestion::Replay {
                outage,
                without_return,
            } => match self.engine.outage_place(outage) {
                Some(place) => {
                    let replay = store::Replay {
                        place,
                        stage: self.engine.outage_stage(),
                        without_return,
                    };
                    self.query(token, answer, store::Query::Replay(Box::new(replay)));
                }
                None => {
                    let which = outage.map_or_else(String::new, |outage| format!(" {outage}"));
                    reply(
                        &answer,
                        token,
                        Err(Refused::not_found(
                            format!("停電の記録{which} はありません"),
                            format!("no recorded outage{which}"),
                        )),
                    );
                }
            },
        }
    }

    /// What the document of an incident needs besides the journal.
    fn story(&self, incident: u32, upto: Option<u64>) -> Result<Box<store::Story>, Refused> {
        let Some((opened_seq, ended)) = self.engine.incident_place(incident) else {
            return Err(Refused::not_found(
                format!("事案 {incident} はありません"),
                format!("no incident {incident}"),
            ));
        };
        if upto.is_some_and(|upto| upto < opened_seq) {
            return Err(Refused::invalid(
                format!("事案は記録 {opened_seq} から始まります。upto はそれ以降にしてください"),
                format!("the incident begins with record {opened_seq}; upto cannot be before it"),
            ));
        }
        let (site, simulated) = self.engine.room();
        Ok(Box::new(store::Story {
            incident,
            opened_seq,
            upto: upto.or(ended),
            site,
            simulated,
            names: self.engine.site_names(),
        }))
    }

    /// Makes the document of an incident beside the loop; what it rests on comes back with the order.
    fn hand_over(&self, token: u64, by: String, incident: u32, to: String, answer: mpsc::Sender<ToWeb>) {
        let story = match self.story(incident, None) {
            Ok(story) => story,
            Err(refused) => return reply(&answer, token, Err(refused)),
        };
        let (reader, out) = (self.reader.clone(), self.images.way_back());
        tokio::spawn(async move {
            let result = reader
                .ask(store::Query::Incident(story))
                .await
                .map_err(|error| Refused::Unavailable(error.to_string()))
                .and_then(|document| {
                    let evidence = Some(store::evidence(&document)?);
                    let order = incident::Order::HandOver {
                        incident,
                        to,
                        evidence,
                    };
                    Ok(event::Command::Incident { order })
                });
            let loaded = Loaded {
                token,
                by,
                answer,
                result,
            };
            // A loop that has ended needs no order.
            let _ = out.send(loaded).await;
        });
    }

    /// A query never waits in the loop.
    fn query(&self, token: u64, answer: mpsc::Sender<ToWeb>, query: store::Query) {
        let reader = self.reader.clone();
        tokio::spawn(async move {
            let result = reader.ask(query).await.map_err(|error| match error {
                StoreError::Log(super::log::LogError::NotSigned(n)) => Refused::not_found(
                    format!("{n} 件目は、まだ署名された記録にありません（毎分署名されます）"),
                    format!("row {n} is in no signed checkpoint; one is signed every minute"),
                ),
                error => Refused::Unavailable(error.to_string()),
            });
            reply(&answer, token, result);
        });
    }

    // ---- turns -------------------------------------------------------------------------

    fn take(&mut self, turn: Turn, mut held: Held) {
        let now = clock::now();
        for record in turn.records {
            held.entries.push(Entry {
                seq: self.next_seq,
                now,
                record,
            });
            self.next_seq += 1;
        }
        held.effects.extend(turn.effects);
        self.snapshot_due
            .get_or_insert_with(|| self.snapshot_last + self.snapshot_pause);
        if !turn.history.is_empty() {
            self.rows_due
                .get_or_insert_with(|| Instant::now() + HISTORY_EVERY);
            let room = MAX_HISTORY_ROWS.saturating_sub(self.rows.len());
            self.rows_dropped += turn.history.len().saturating_sub(room) as u64;
            self.rows.extend(turn.history.into_iter().take(room));
        }
        if held.entries.is_empty() && self.waiting.entries.is_empty() && self.under_way.is_none() {
            // Nothing to journal and nothing before it that is not yet on disk.
            self.release(held);
        } else {
            self.waiting.append(held);
            if self.retry_at.is_some() {
                self.dispatch_safety();
            }
        }
    }

    fn send_batch(&mut self) {
        if self.under_way.is_some() || self.retry_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        let held = std::mem::take(&mut self.waiting);
        if held.entries.is_empty() {
            self.release(held);
            return;
        }
        let done = self.journal.append(held.entries.clone());
        self.under_way = Some(UnderWay {
            held,
            done,
            since: Instant::now(),
            is_late: false,
        });
    }

    fn committed(&mut self, result: Result<Tip, StoreError>) {
        let Some(under_way) = self.under_way.take() else {
            return;
        };
        self.journal_lag.count(Instant::now(), under_way.since.elapsed());
        match result {
            Ok(_) => {
                self.retry_at = None;
                self.release(under_way.held);
                self.outputs.entry_log.nudge();
                self.tell_checkpoint();
                self.event(
                    Event::Trouble {
                        part: Part::Journal,
                        problem: None,
                    },
                    Held::default(),
                );
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the journal cannot be written"
                );
                self.retry_at = Some(Instant::now() + RETRY);
                let mut held = under_way.held;
                held.append(std::mem::take(&mut self.waiting));
                self.waiting = held;
                self.refuse_answers();
                let problem = Some(root_cause(&error));
                self.event(
                    Event::Trouble {
                        part: Part::Journal,
                        problem,
                    },
                    Held::default(),
                );
                self.dispatch_safety();
            }
        }
    }

    /// The entry log has signed, fails, or is well again.
    fn log_says(&mut self, said: super::log::Said) {
        match said {
            super::log::Said::Problem(problem) => {
                if let Some(problem) = &problem {
                    tracing::error!(problem, "the entry log");
                }
                let part = Part::EntryLog;
                self.event(Event::Trouble { part, problem }, Held::default());
            }
            super::log::Said::Signed(fresh) => {
                tracing::debug!(size = fresh.size, "the entry log was signed");
                self.signed = Some((fresh.year, fresh.size, fresh.root));
                self.tell_checkpoint();
            }
        }
    }

    /// What was signed last, for the nodes to witness; the engine gives it to them now and then.
    fn tell_checkpoint(&mut self) {
        if let Some((year, size, root)) = self.signed {
            let log = Some(year);
            self.event(Event::Checkpoint { log, size, root }, Held::default());
        }
    }

    /// An operator is told that nothing was stored yet, instead of waiting for a disk.
    fn refuse_answers(&mut self) {
        for (token, answer, _) in self.waiting.ordered.drain(..) {
            let why = "the journal cannot be written; the order is held back until it can".to_owned();
            let result = Err(Refused::Unavailable(why));
            let _ = answer.try_send(ToNut::Ordered { token, result });
        }
        for (answer, said) in self.waiting.said.drain(..) {
            // Safety does not wait for the disk, so it is done all the same.
            let ja = format!("{}（記録はまだ書けていません）", said.ja);
            let en = format!("{} (the journal cannot be written yet)", said.en);
            let _ = answer.send(ToOperator::Done { ja, en });
        }
        for (token, answer, _) in self.waiting.answers.drain(..) {
            let why = "the journal cannot be written; the command is held back until it can".to_owned();
            reply(&answer, token, Err(Refused::Unavailable(why)));
        }
    }

    fn release(&mut self, held: Held) {
        for entries in held.entries.chunks(RECORDS_AT_ONCE) {
            match store::entries_json(entries) {
                Ok(json) => self.outputs.roles.tell_web(ToWeb::Records(json)),
                Err(error) => tracing::error!(%error, "encoding records for the page"),
            }
        }
        for settle in held.settles {
            let _ = settle.send(());
        }
        for effect in held.effects {
            self.dispatch(effect);
        }
        for (answer, Label { ja, en }) in held.said {
            let _ = answer.send(ToOperator::Done { ja, en });
        }
        for (token, answer, scenario) in held.answers {
            match (scenario, self.outputs.simroom.clone()) {
                (Some(name), Some(socket)) => play(name, socket, token, answer),
                _ => reply(&answer, token, Ok(b"{}".to_vec())),
            }
        }
        for (token, answer, result) in held.ordered {
            // A role that does not read waits no longer than its own patience.
            let _ = answer.try_send(ToNut::Ordered { token, result });
        }
    }

    /// Rule 4 of the house: safety effects do not wait for a failing disk.
    fn dispatch_safety(&mut self) {
        let mut now = Vec::new();
        for held in self
            .under_way
            .as_mut()
            .map(|u| &mut u.held)
            .into_iter()
            .chain([&mut self.waiting])
        {
            now.extend(held.effects.extract_if(.., |effect| effect.is_safety()));
        }
        for effect in now {
            self.dispatch(effect);
        }
    }

    fn dispatch(&mut self, effect: Effect) {
        match effect {
            Effect::Downlink { topic, payload } => match &self.outputs.publish {
                // A full queue loses only an acknowledgement or a request, which are repeated.
                Some(publish) => drop(publish.try_send(super::source::Publish { topic, payload })),
                None => self.outputs.roles.tell_broker(ToBroker::Publish {
                    topic,
                    payload,
                    at_least_once: true,
                    retain: false,
                }),
            },
            Effect::Execute(real) => {
                let accepted = real.accepted();
                let order = real.into_order();
                // What had to wait for the disk may have been overtaken by the mains.
                if !self.engine.still_wants(&order, clock::now()) {
                    tracing::warn!(step = order.step, "no longer meant; it is not sent");
                    return;
                }
                let message = ToAct::Execute {
                    order: order.clone(),
                    accepted,
                };
                self.order(order, message);
            }
            Effect::Check(order) => self.order(order.clone(), ToAct::Check { order }),
            Effect::Cancel(order) => {
                self.outputs.roles.tell_act(ToAct::Cancel { order });
            }
            Effect::Notify(notice) => self.outputs.notifiers.offer(*notice),
            Effect::Operate(operation) => {
                let id = operation.id;
                if !self.outputs.roles.tell_act(ToAct::Operate { operation }) {
                    let problem = "the act role is not connected".to_owned();
                    let done = room::command::Done::Refused { problem };
                    self.event(Event::Operated { id, done }, Held::default());
                }
            }
            Effect::Poll(device) => {
                // It is read soon anyway.
                let _ = self
                    .outputs
                    .polling
                    .try_send(super::source::poll::Control::PollNow(device));
            }
            Effect::FastPolling(fast) => {
                if self
                    .outputs
                    .polling
                    .try_send(super::source::poll::Control::Fast(fast))
                    .is_err()
                {
                    tracing::error!("the poller does not take orders");
                }
            }
        }
    }

    /// An order that nobody can take has failed, and may be tried again.
    fn order(&mut self, order: Order, message: ToAct) {
        if !self.outputs.roles.tell_act(message) {
            let problem = "the act role is not connected".to_owned();
            let outcome = Outcome::Failed {
                problem,
                retryable: true,
            };
            self.event(Event::Outcome { order, outcome }, Held::default());
        }
    }

    // ---- time --------------------------------------------------------------------------

    fn wake_at(&mut self) -> Instant {
        let now = clock::now();
        // The engine names deadlines ahead of what it is asked for alone; one that has passed since
        // it worked must be kept, or the tick it stands for never comes.
        self.tick_at = self
            .tick_at
            .into_iter()
            .chain(self.engine.next_deadline(self.worked_at))
            .min();
        let deadline = self.tick_at.map(|at| in_future(now.mono, at));
        let safety = self
            .under_way
            .as_ref()
            .filter(|u| has_safety(&u.held) || has_safety(&self.waiting));
        let latest = self.snapshot_last + SNAPSHOT_MOST;
        [
            deadline,
            self.retry_at,
            safety.map(|u| u.since + SAFETY_WAIT),
            self.under_way
                .as_ref()
                .filter(|u| !u.is_late)
                .map(|u| u.since + JOURNAL_HANGS),
            self.rows_due,
            self.snapshot_due,
            Some(latest),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(latest)
    }

    fn due(&mut self) {
        let now = clock::now();
        if self.tick_at.is_some_and(|at| at <= now.mono) {
            self.tick_at = None;
            self.event(Event::Tick, Held::default());
        }
        if self
            .under_way
            .as_ref()
            .is_some_and(|u| u.since.elapsed() >= SAFETY_WAIT)
        {
            self.dispatch_safety();
        }
        if let Some(under_way) = &mut self.under_way
            && !under_way.is_late
            && under_way.since.elapsed() >= JOURNAL_HANGS
        {
            under_way.is_late = true;
            let problem = Some(format!(
                "the disk has not answered for {} s",
                JOURNAL_HANGS.as_secs()
            ));
            self.event(
                Event::Trouble {
                    part: Part::Journal,
                    problem,
                },
                Held::default(),
            );
        }
        if self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.retry_at = None;
        }
        if self.rows_due.is_some_and(|at| at <= Instant::now()) {
            self.hand_over_history();
        }
        let most = self.snapshot_last + SNAPSHOT_MOST;
        if self.snapshot_due.unwrap_or(most).min(most) <= Instant::now() {
            self.publish_snapshot();
        }
    }

    fn hand_over_history(&mut self) {
        self.rows_due = None;
        let rows = std::mem::take(&mut self.rows);
        let count = rows.len() as u64;
        if !self.history.append(rows) {
            self.rows_dropped += count;
        }
        let problem = self.history.problem();
        self.event(
            Event::Trouble {
                part: Part::History,
                problem,
            },
            Held::default(),
        );
        let now = Instant::now();
        let mut counters = vec![("history_rows_dropped".to_owned(), self.rows_dropped)];
        for (name, lag) in [
            ("loop_lag_p99_us", self.loop_lag.p99_us(now)),
            ("journal_lag_p99_us", self.journal_lag.p99_us(now)),
        ] {
            counters.extend(lag.map(|lag| (name.to_owned(), lag)));
        }
        self.event(
            Event::Counters {
                role: "core",
                counters,
            },
            Held::default(),
        );
        let counters = self.outputs.means.counters();
        let counters = counters
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.event(
            Event::Counters {
                role: "devices",
                counters,
            },
            Held::default(),
        );
    }

    fn publish_snapshot(&mut self) {
        self.snapshot_due = None;
        self.snapshot_last = Instant::now();
        if self.outputs.roles.has_nut() {
            self.outputs.roles.serve(self.engine.served(clock::now()));
        }
        if !self.outputs.roles.has_web() {
            return;
        }
        match serde_json::to_vec(&self.engine.snapshot(clock::now())) {
            Ok(json) => self.outputs.roles.show(json),
            Err(error) => tracing::error!(%error, "encoding the snapshot"),
        }
        let took = self.snapshot_last.elapsed();
        self.snapshot_pause = (took * SNAPSHOT_REST).clamp(SNAPSHOT_LEAST, SNAPSHOT_MOST);
    }
}

enum Next {
    Stop,
    Delivered(room::notice::Delivered),
    Committed(Result<Tip, StoreError>),
    Poll(Poll),
    Role(RoleInput),
    Loaded(Loaded),
    Log(super::log::Said),
    Message(Message),
    Mqtt(Option<String>),
    Due,
}

/// Resolves when the batch under way is on disk or failed; never when there is none.
async fn commit_of(under_way: Option<&mut UnderWay>) -> Result<Tip, StoreError> {
    match under_way {
        Some(under_way) => (&mut under_way.done).await.unwrap_or(Err(StoreError::Gone)),
        None => std::future::pending().await,
    }
}

/// What a command needs that the engine cannot have: it draws nothing.
fn furnish(mut command: event::Command) -> event::Command {
    if let event::Command::RotateKey { salt, .. } = &mut command {
        rand::fill(salt);
    }
    command
}

/// The part whose alarm stands for a missing role; act's is the outage engine's.
const fn part_of(role: Role) -> Option<Part> {
    match role {
        Role::Web => Some(Part::Web),
        Role::Broker => Some(Part::Mqtt),
        Role::Nut => Some(Part::Nut),
        Role::Act | Role::Operator => None,
    }
}

fn has_safety(held: &Held) -> bool {
    held.effects.iter().any(Effect::is_safety)
}

fn in_future(now: Mono, at: Mono) -> Instant {
    Instant::now() + Duration::from_millis(at.since(now).0)
}

pub(super) fn reply(answer: &mpsc::Sender<ToWeb>, token: u64, result: Result<Vec<u8>, Refused>) {
    // A web role that is gone or does not read needs no answer.
    let _ = answer.try_send(ToWeb::Answer { token, result });
}

/// Lets the simulated room play; its answer is the answer of the command.
fn play(name: String, data_dir: std::path::PathBuf, token: u64, answer: mpsc::Sender<ToWeb>) {
    tokio::spawn(async move {
        let result = match Scenario::of(&name) {
            Some(scenario) => match simroom::scenario::send(&data_dir, scenario).await {
                Ok(()) => Ok(b"{}".to_vec()),
                Err(error) => Err(Refused::Unavailable(error.to_string())),
            },
            None => Err(Refused::not_found(
                format!("シナリオ {name} はありません"),
                format!("no scenario {name}"),
            )),
        };
        reply(&answer, token, result);
    });
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
