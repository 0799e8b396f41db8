//! Notifiers: one task and one bounded queue for each `[[notifier]]`, so that a dead endpoint
//! delays nobody else.
//!
//! A notifier sends what it is given once and says what became of it. Routing, repetition,
//! back-off and ends are decided in [`room::notice`] alone.

mod command;
mod reach;
mod smtp;
mod webhook;

use room::notice::{Delivered, Notice, SendFailure};
use room::site::notifier::{Endpoint, Notifier};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

/// Notices that wait for one notifier; what comes on top fails and may be tried again.
pub(super) const MAX_WAITING: usize = 256;
/// Longest time that one attempt may take whatever the protocol's own time-outs are.
const LONGEST: Duration = Duration::from_secs(90);

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
        utc_offset_min: i16,
        tasks: &mut JoinSet<()>,
    ) -> (Self, mpsc::UnboundedReceiver<Delivered>) {
        let (delivered, out) = mpsc::unbounded_channel();
        let mut queues = BTreeMap::new();
        for notifier in notifiers {
            let queue = Arc::new(Queue::default());
            queues.insert(notifier.name.clone(), Arc::clone(&queue));
            let sender = Sender::of(&notifier.to, utc_offset_min);
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

/// The means of one notifier.
enum Sender {
    Command(command::Command),
    Smtp(Box<smtp::Smtp>),
    Webhook(Box<webhook::Webhook>),
}

impl Sender {
    fn of(endpoint: &Endpoint, utc_offset_min: i16) -> Self {
        match endpoint {
            Endpoint::Command(config) => Self::Command(command::Command::new(config.clone(), utc_offset_min)),
            Endpoint::Smtp(config) => {
                Self::Smtp(Box::new(smtp::Smtp::new(config.as_ref().clone(), utc_offset_min)))
            }
            Endpoint::Webhook(config) => Self::Webhook(Box::new(webhook::Webhook::new(
                config.as_ref().clone(),
                utc_offset_min,
            ))),
        }
    }

    async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        match self {
            Self::Command(command) => command.send(notice).await,
            Self::Smtp(smtp) => smtp.send(notice).await,
            Self::Webhook(webhook) => webhook.send(notice).await,
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
            540,
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
        let (notifiers, mut out) = Notifiers::start(&[notifier("slow", "sleep 5")], 540, &mut tasks);
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
