//! Notifiers: one task and one bounded queue for each `[[notifier]]`, so that a dead endpoint
//! delays nobody else.
//!
//! A notifier sends what it is given once and says what became of it. Routing, repetition,
//! back-off and ends are decided in [`room::notice`] alone.

mod command;
mod mqtt;
mod patlite;
mod reach;
mod smtp;
mod snmp;
mod syslog;
mod tunnel;
mod webhook;

#[cfg(test)]
mod samples;

use room::notice::{Delivered, Notice, SendFailure};
use room::site::notifier::{Endpoint, Notifier};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

/// Notices that wait for one notifier; what comes on top fails and may be tried again.
pub(super) const MAX_WAITING: usize = 256;
/// Longest time that one attempt may take whatever the protocol's own time-outs are.
const LONGEST: Duration = Duration::from_secs(90);

/// What notifiers stand on.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Local time minus UTC in minutes, for the texts.
    pub utc_offset_min: i16,
    /// The client of SNMP with the engine of our own; `None`: who needs one opens it.
    pub snmp: Option<crate::snmp::Client>,
    /// Where that engine is kept.
    pub data_dir: PathBuf,
    /// Names this controller to MQTT brokers, the same after every start.
    pub mqtt_id: String,
}

impl Ground {
    /// For a notifier by itself, without a site around it.
    #[must_use]
    pub fn alone(utc_offset_min: i16, data_dir: &Path) -> Self {
        Self {
            utc_offset_min,
            snmp: None,
            data_dir: data_dir.to_owned(),
            mqtt_id: "yagura".to_owned(),
        }
    }
}

/// Every notifier of the site.
pub(super) struct Notifiers {
    queues: BTreeMap<String, Arc<Queue>>,
    delivered: mpsc::UnboundedSender<Delivered>,
}

/// What waits for one notifier.
#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Notice>>,
    more: Notify,
}

impl Queue {
    /// False when it is full.
    fn push(&self, notice: Notice) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if notice.about.replaces() {
            let kind = std::mem::discriminant(&notice.about);
            waiting.retain(|other| std::mem::discriminant(&other.about) != kind || other.to != notice.to);
        }
        if waiting.len() >= MAX_WAITING {
            return false;
        }
        waiting.push_back(notice);
        self.more.notify_one();
        true
    }

    async fn pop(&self) -> Notice {
        loop {
            let next = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            match next {
                Some(notice) => return notice,
                None => self.more.notified().await,
            }
        }
    }
}

impl Notifiers {
    /// Starts a task for each notifier. What became of every attempt comes out of the receiver;
    /// it can wait there at most once for each notice that was offered. `utc_offset_min` is local
    /// time minus UTC in minutes, for the texts.
    pub(super) fn start(
        notifiers: &[Notifier],
        ground: &Ground,
        tasks: &mut JoinSet<()>,
    ) -> (Self, mpsc::UnboundedReceiver<Delivered>) {
        let (delivered, out) = mpsc::unbounded_channel();
        let mut queues = BTreeMap::new();
        for notifier in notifiers {
            let queue = Arc::new(Queue::default());
            queues.insert(notifier.name.clone(), Arc::clone(&queue));
            let sender = Sender::of(notifier, ground);
            tasks.spawn(work(sender, queue, delivered.clone()));
        }
        (Self { queues, delivered }, out)
    }

    /// Hands a notice over; never waits.
    pub(super) fn offer(&self, notice: Notice) {
        let failure = |problem: &str| Delivered {
            key: notice.key.clone(),
            attempt: notice.attempt,
            notifier: notice.notifier.clone(),
            result: Err(SendFailure::passing(problem)),
        };
        let Some(queue) = self.queues.get(&notice.notifier) else {
            let _ = self.delivered.send(failure("there is no such notifier"));
            return;
        };
        let full = failure("too many notices wait for this notifier");
        if !queue.push(notice) {
            let _ = self.delivered.send(full);
        }
    }
}

async fn work(mut sender: Sender, queue: Arc<Queue>, delivered: mpsc::UnboundedSender<Delivered>) {
    loop {
        let notice = queue.pop().await;
        let result = match tokio::time::timeout(LONGEST, sender.send(&notice)).await {
            Ok(result) => result,
            Err(_) => Err(SendFailure::passing("the notifier did not end in time")),
        };
        if let Err(failure) = &result {
            tracing::warn!(
                notifier = notice.notifier,
                problem = failure.problem,
                "a notice was not taken"
            );
        }
        let Notice {
            key,
            attempt,
            notifier,
            ..
        } = notice;
        let gone = delivered
            .send(Delivered {
                key,
                attempt,
                notifier,
                result,
            })
            .is_err();
        if gone {
            return;
        }
    }
}

/// The beginning of a text, at most so many bytes, with whole characters.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// One notifier: what it is given it sends once.
#[derive(Debug)]
pub struct Sender(Means);

/// The means of one notifier.
enum Means {
    Command(command::Command),
    Smtp(Box<smtp::Smtp>),
    Webhook(Box<webhook::Webhook>),
    Syslog(syslog::Syslog),
    Snmp(Box<snmp::Snmp>),
    Mqtt(Box<mqtt::Mqtt>),
    Patlite(patlite::Patlite),
}

impl std::fmt::Debug for Means {
    // They hold tokens and passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Means")
    }
}

impl Sender {
    /// Of a notifier; nothing is opened yet.
    #[must_use]
    pub fn of(notifier: &Notifier, ground: &Ground) -> Self {
        Self(Means::of(notifier, ground))
    }

    /// Sends a notice once. Dropped before its end, it may have sent it.
    ///
    /// # Errors
    /// What went wrong, and whether another attempt may succeed.
    pub async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        self.0.send(notice).await
    }
}

impl Means {
    fn of(notifier: &Notifier, ground: &Ground) -> Self {
        let utc_offset_min = ground.utc_offset_min;
        match &notifier.to {
            Endpoint::Command(config) => Self::Command(command::Command::new(config.clone(), utc_offset_min)),
            Endpoint::Smtp(config) => {
                Self::Smtp(Box::new(smtp::Smtp::new(config.as_ref().clone(), utc_offset_min)))
            }
            Endpoint::Webhook(config) => Self::Webhook(Box::new(webhook::Webhook::new(
                config.as_ref().clone(),
                utc_offset_min,
            ))),
            Endpoint::Syslog(config) => Self::Syslog(syslog::Syslog::new(config.clone(), utc_offset_min)),
            Endpoint::Snmp(config) => Self::Snmp(Box::new(snmp::Snmp::new(
                config.as_ref().clone(),
                ground.snmp.clone(),
                ground.data_dir.clone(),
            ))),
            Endpoint::Mqtt(config) => {
                let client_id = format!("{}-{}", ground.mqtt_id, notifier.name);
                let config = config.as_ref().clone();
                let socket = ground.data_dir.join(format!("notifier-{}.sock", notifier.name));
                Self::Mqtt(Box::new(mqtt::Mqtt::new(
                    config,
                    client_id,
                    socket,
                    utc_offset_min,
                )))
            }
            Endpoint::Patlite(config) => Self::Patlite(patlite::Patlite::new(config.clone())),
        }
    }

    async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        match self {
            Self::Command(command) => command.send(notice).await,
            Self::Smtp(smtp) => smtp.send(notice).await,
            Self::Webhook(webhook) => webhook.send(notice).await,
            Self::Syslog(syslog) => syslog.send(notice).await,
            Self::Snmp(snmp) => snmp.send(notice).await,
            Self::Mqtt(mqtt) => mqtt.send(notice).await,
            Self::Patlite(patlite) => patlite.send(notice).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::notice::About;
    use room::notice::text::Language;
    use room::site::notifier::command::Command as Config;
    use room::site::{Label, notifier::Notifier};
    use room::time::{Millis, Wall};

    fn notifier(name: &str, script: &str) -> Notifier {
        Notifier {
            name: name.into(),
            label: Label::new(name, name),
            to: Endpoint::Command(Config {
                program: "/bin/sh".into(),
                args: vec!["-c".into(), script.into()],
                language: Language::Ja,
                timeout: Millis(5000),
            }),
        }
    }

    fn notice(notifier: &str, key: &str, about: About) -> Notice {
        Notice {
            key: key.into(),
            attempt: 1,
            notifier: notifier.into(),
            to: None,
            contact: None,
            at: Wall(0),
            site: Label::new("室", "room"),
            simulated: true,
            about,
        }
    }

    fn test_call(notifier: &str, key: &str) -> Notice {
        notice(notifier, key, About::Test { by: "施設".into() })
    }

    async fn next(out: &mut mpsc::UnboundedReceiver<Delivered>) -> Delivered {
        tokio::time::timeout(Duration::from_secs(20), out.recv())
            .await
            .unwrap()
            .unwrap()
    }

    #[tokio::test]
    async fn a_notifier_that_hangs_delays_nobody_else() {
        let mut tasks = JoinSet::new();
        let (notifiers, mut out) = Notifiers::start(
            &[notifier("dead", "sleep 5"), notifier("good", "cat > /dev/null")],
            &Ground::alone(540, Path::new("/nonexistent")),
            &mut tasks,
        );
        notifiers.offer(test_call("dead", "a"));
        notifiers.offer(test_call("good", "b"));
        let first = next(&mut out).await;
        assert_eq!((first.key.as_str(), first.result), ("b", Ok(())));
    }

    #[tokio::test]
    async fn a_full_queue_and_an_unknown_notifier_are_failures_that_say_so() {
        let mut tasks = JoinSet::new();
        let (notifiers, mut out) = Notifiers::start(
            &[notifier("slow", "sleep 5")],
            &Ground::alone(540, Path::new("/nonexistent")),
            &mut tasks,
        );
        // One more than the task and its queue can hold.
        for count in 0..MAX_WAITING + 2 {
            notifiers.offer(test_call("slow", &count.to_string()));
            tokio::task::yield_now().await;
        }
        let full = next(&mut out).await.result.unwrap_err();
        assert!(full.retryable && full.problem.contains("too many"), "{full:?}");
        notifiers.offer(test_call("other", "x"));
        let mut unknown = next(&mut out).await;
        while unknown.key != "x" {
            unknown = next(&mut out).await;
        }
        assert!(unknown.result.unwrap_err().problem.contains("no such notifier"));
    }

    #[test]
    fn of_heartbeats_and_lamps_only_the_last_one_waits() {
        let queue = Queue::default();
        for count in 0..1000 {
            assert!(queue.push(notice("mail", "h", About::Heartbeat { count })));
        }
        assert!(queue.push(test_call("mail", "t")));
        assert_eq!(queue.waiting.lock().unwrap().len(), 2);
    }
}
