//! Notices for other programs, by an MQTT 5 broker of the site.
//!
//! ```text
//! <topic>/notice           every notice as JSON, as it is told                      QoS 1
//! <topic>/alarm/<id>       what stands: the last notice of that alarm, retained     QoS 1
//!                          cleared (empty, retained) once its cause is gone
//! <topic>/heartbeat        the last heartbeat                                       QoS 1
//! <topic>/lamp             what a signal tower shows, retained                      QoS 1
//! <topic>/available        "online", retained; the broker says "offline" for us     last will
//! ```
//! A notice is sent when the broker has acknowledged each of its messages (PUBACK). One at a time is
//! under way, so an acknowledgement is never taken for another's. A session in which a notice failed
//! is dropped with what it still holds, and the next attempt has a new one: nothing old is sent
//! after something newer. A program that sees a `key` twice drops the second.
//!
//! It subscribes to nothing and takes no commands. TLS is a [`Tunnel`]'s.

use super::tunnel::Tunnel;
use crate::core::source::mqtt::ExternalConfig;
use room::notice::document::document;
use room::notice::{About, Moment, Notice, SendFailure};
use room::site::notifier::mqtt as config;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing, Transport};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// Publishes that the broker has not acknowledged.
const IN_FLIGHT: u16 = 1;
/// Requests waiting inside rumqttc: the publishes of one notice, and "online".
const REQUESTS: usize = 8;
/// Acknowledgements between rumqttc's loop and us.
const NEWS: usize = 16;
/// A broker that hangs is noticed within twice this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Pause before the broker is called again.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest packet either way.
const MAX_PACKET: u32 = 256 * 1024;
/// Longest part of a topic that an alarm's id becomes, in bytes.
const MAX_LEVEL: usize = 100;

/// A broker.
pub(super) struct Mqtt {
    config: config::Mqtt,
    client_id: String,
    socket: PathBuf,
    utc_offset_min: i16,
    link: Option<Link>,
}

/// A session at the broker. Ends with this.
struct Link {
    client: AsyncClient,
    news: mpsc::Receiver<News>,
    state: watch::Receiver<State>,
    task: AbortHandle,
    _tunnel: Option<Tunnel>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How it stands with the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Calling,
    Connected,
    Away(SendFailure),
}

/// What rumqttc's loop tells us.
#[derive(Debug)]
enum News {
    /// The publish that was handed over is on its way under this id.
    Left(u16),
    /// The broker has it, or says why it does not want it.
    Acknowledged(u16, PubAckReason),
    /// The connection broke.
    Lost,
}

impl Mqtt {
    /// `client_id` names our session, the same after every start and another one for each notifier;
    /// `socket` is a file for its way to TLS.
    pub(super) fn new(config: config::Mqtt, client_id: String, socket: PathBuf, utc_offset_min: i16) -> Self {
        Self {
            config,
            client_id,
            socket,
            utc_offset_min,
            link: None,
        }
    }

    /// Publishes a notice and waits for the broker's acknowledgements.
    ///
    /// # Errors
    /// A broker that is away may come back; one that refuses our account or topic needs a person.
    pub(super) async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        let json = serde_json::to_vec(&document(notice, self.config.language, self.utc_offset_min))
            .map_err(|error| SendFailure::lasting(format!("encoding the notice: {error}")))?;
        let messages = messages(&self.config.topic, notice, &json);
        let limit = Duration::from_millis(self.config.timeout.0);
        match tokio::time::timeout(limit, self.publish(messages)).await {
            Ok(result) => result,
            Err(_) => {
                // What was handed over may still be under way: a later acknowledgement must not be
                // taken for the next notice's.
                self.link = None;
                Err(SendFailure::passing(format!(
                    "the MQTT broker {} did not acknowledge within {} s",
                    self.config.broker,
                    limit.as_secs_f64()
                )))
            }
        }
    }

    async fn publish(&mut self, messages: Vec<Message>) -> Result<(), SendFailure> {
        if self.link.is_none() {
            self.link = Some(self.open().await?);
        }
        let Some(link) = &mut self.link else {
            return Err(SendFailure::passing("no session at the MQTT broker"));
        };
        let result = async {
            link.connected().await?;
            for message in messages {
                link.publish(message).await?;
            }
            Ok(())
        }
        .await;
        if result.is_err() {
            self.link = None;
        }
        result
    }

    async fn open(&self) -> Result<Link, SendFailure> {
        let login = match &self.config.login {
            None => None,
            Some((user, path)) => Some((user.clone(), super::reach::secret(path).await?)),
        };
        let broker = ExternalConfig {
            host: match &self.config.tls {
                None => self.config.broker.name.clone(),
                Some(_) => self.socket.to_string_lossy().into_owned(),
            },
            port: self.config.broker.port,
            login,
            client_id: self.client_id.clone(),
        };
        let topic = format!("{}/available", self.config.topic);
        let mut options = options(&broker, &topic);
        let tunnel = match &self.config.tls {
            None => None,
            Some(tls) => {
                let tunnel = Tunnel::open(&self.socket, self.config.broker.clone(), tls.clone())?;
                options.set_transport(Transport::Unix);
                Some(tunnel)
            }
        };
        let problem = tunnel.as_ref().map(Tunnel::problem);
        let (client, events) = AsyncClient::new(options, REQUESTS);
        let (tell, news) = mpsc::channel(NEWS);
        let (say, state) = watch::channel(State::Calling);
        let task = tokio::spawn(poll(events, client.clone(), topic, tell, say, problem)).abort_handle();
        Ok(Link {
            client,
            news,
            state,
            task,
            _tunnel: tunnel,
        })
    }
}

impl Link {
    /// Waits until the broker has let us in, or a first call failed.
    async fn connected(&mut self) -> Result<(), SendFailure> {
        let state = self
            .state
            .wait_for(|state| *state != State::Calling)
            .await
            .map_err(|_| SendFailure::passing("the session at the MQTT broker ended"))?;
        match &*state {
            State::Away(failure) => Err(failure.clone()),
            State::Calling | State::Connected => Ok(()),
        }
    }

    async fn publish(&mut self, message: Message) -> Result<(), SendFailure> {
        let Message {
            topic,
            payload,
            retain,
        } = message;
        let lost = || SendFailure::passing("the connection to the MQTT broker broke");
        // What came late belongs to "online", which nobody waits for.
        while self.news.try_recv().is_ok() {}
        self.client
            .publish(topic.clone(), QoS::AtLeastOnce, retain, payload)
            .await
            .map_err(|_| lost())?;
        let mut ours = None;
        loop {
            match self.news.recv().await.ok_or_else(lost)? {
                News::Left(id) => ours = Some(id),
                News::Acknowledged(id, reason) if ours == Some(id) => {
                    return match reason {
                        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
                        PubAckReason::QuotaExceeded
                        | PubAckReason::UnspecifiedError
                        | PubAckReason::PacketIdentifierInUse => Err(SendFailure::passing(format!(
                            "the MQTT broker does not take {topic} now: {reason:?}"
                        ))),
                        reason => Err(SendFailure::lasting(format!(
                            "the MQTT broker refuses {topic}: {reason:?}"
                        ))),
                    };
                }
                News::Acknowledged(..) => {}
                News::Lost => return Err(lost()),
            }
        }
    }
}

fn options(config: &ExternalConfig, available: &str) -> MqttOptions {
    let mut options = MqttOptions::new(config.client_id.clone(), config.host.clone(), config.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_start(true)
        .set_max_packet_size(Some(MAX_PACKET))
        .set_outgoing_inflight_upper_limit(IN_FLIGHT)
        .set_pending_throttle(Duration::ZERO)
        .set_last_will(LastWill::new(available, "offline", QoS::AtLeastOnce, true, None));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(KEEP_ALIVE.as_secs());
    options.set_network_options(network);
    if let Some((user, password)) = &config.login {
        options.set_credentials(user, &password.0);
    }
    options
}

/// Keeps the session, so that the broker knows that we live while nothing is to be said.
async fn poll(
    mut events: EventLoop,
    client: AsyncClient,
    available: String,
    tell: mpsc::Sender<News>,
    say: watch::Sender<State>,
    tunnel: Option<watch::Receiver<Option<SendFailure>>>,
) {
    loop {
        // Nobody may be listening between two notices: news that nobody waits for are dropped.
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                // The queue is never full: one notice is under way, and this.
                let _ = client.try_publish(available.clone(), QoS::AtLeastOnce, true, "online");
                say.send_replace(State::Connected);
            }
            Ok(Event::Outgoing(Outgoing::Publish(id))) => drop(tell.try_send(News::Left(id))),
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                drop(tell.try_send(News::Acknowledged(ack.pkid, ack.reason)));
            }
            Ok(_) => {}
            Err(error) => {
                // What the tunnel met says more than that the socket file went quiet.
                let met = tunnel.as_ref().and_then(|problem| problem.borrow().clone());
                say.send_replace(State::Away(met.unwrap_or_else(|| failure(&error))));
                drop(tell.try_send(News::Lost));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A refusal needs a person; a broker that restarts does not.
fn failure(error: &ConnectionError) -> SendFailure {
    match error {
        ConnectionError::ConnectionRefused(
            code @ (ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::NotAuthorized
            | ConnectReturnCode::ClientIdentifierNotValid
            | ConnectReturnCode::Banned),
        ) => SendFailure::lasting(format!("the MQTT broker refuses our account: {code:?}")),
        error => SendFailure::passing(format!("no connection to the MQTT broker: {error}")),
    }
}

/// One publish.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    topic: String,
    payload: Vec<u8>,
    retain: bool,
}

/// What a notice is at the broker.
fn messages(topic: &str, notice: &Notice, json: &[u8]) -> Vec<Message> {
    let message = |leaf: &str, payload: &[u8], retain| Message {
        topic: format!("{topic}/{leaf}"),
        payload: payload.to_vec(),
        retain,
    };
    match &notice.about {
        About::Alarm(told) => {
            let stands = told.moment != Moment::Returned;
            // What stands first: who hears of the notice and looks finds it.
            let leaf = format!("alarm/{}", level(&told.alarm));
            vec![
                message(&leaf, if stands { json } else { &[] }, true),
                message("notice", json, false),
            ]
        }
        About::Summary(_) | About::Test { .. } => vec![message("notice", json, false)],
        About::Heartbeat { .. } => vec![message("heartbeat", json, false)],
        About::Lamp(_) => vec![message("lamp", json, true)],
    }
}

/// An alarm's id as one level of a topic: no separator, no wildcard, nothing that cannot be shown.
fn level(id: &str) -> String {
    let plain: String = id
        .chars()
        .map(|ch| match ch {
            '/' | '+' | '#' => '_',
            ch if ch.is_control() || ch.is_whitespace() => '_',
            ch => ch,
        })
        .collect();
    match super::cut(&plain, MAX_LEVEL) {
        "" => "_".to_owned(),
        level => level.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{any_notice, leak, notice};
    use super::*;
    use proptest::prelude::*;
    use room::notice::text::Language;

    #[test]
    fn an_alarm_stands_under_its_own_topic_until_its_cause_is_gone() {
        let raised = messages("yagura/honcho", &leak(Moment::Raised), b"{}");
        let topics: Vec<(&str, bool)> = raised
            .iter()
            .map(|message| (message.topic.as_str(), message.retain))
            .collect();
        assert_eq!(
            topics,
            [
                ("yagura/honcho/alarm/leak.1", true),
                ("yagura/honcho/notice", false)
            ]
        );
        assert_eq!(raised[0].payload, raised[1].payload);
        let returned = messages("yagura/honcho", &leak(Moment::Returned), b"{}");
        assert!(returned[0].retain && returned[0].payload.is_empty());
        assert!(!returned[1].payload.is_empty());
        let heartbeat = messages("y", &notice(About::Heartbeat { count: 1 }), b"{}");
        assert_eq!(heartbeat[0].topic, "y/heartbeat");
    }

    proptest! {
        #[test]
        fn any_notice_has_topics_that_a_broker_takes(notice in any_notice()) {
            let json = serde_json::to_vec(&document(&notice, Language::Ja, 540)).unwrap();
            prop_assert!(json.len() < MAX_PACKET as usize / 2, "{}", json.len());
            for message in messages("yagura/a", &notice, &json) {
                // MQTT 5, 4.7.1 and 4.7.3; no empty level, and nothing that cannot be shown.
                prop_assert!(message.topic.len() <= 256);
                prop_assert!(!message.topic.contains(['+', '#', '\0']), "{}", message.topic);
                prop_assert!(message.topic.split('/').all(|level| !level.is_empty()));
                prop_assert_eq!(message.topic.matches('/').count(), if message.retain && !message.topic.ends_with("/lamp") { 3 } else { 2 });
            }
        }
    }
}
