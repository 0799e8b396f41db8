//! Source: an MQTT broker of the site, e.g. mosquitto, by rumqttc.
//!
//! A message is acknowledged to the broker only after core has settled it. A persistent session
//! makes the broker keep what core has not acknowledged, over a restart of either side.
//!
//! What rumqttc 0.25.1 does and this file answers for:
//! - it reconnects but never subscribes again: done here on *every* CONNACK;
//! - it forgets handed-over publishes when the broker kept no session: nothing is handed over
//!   while the broker is away, and what is lost in between is an acknowledgement towards a node,
//!   which the node asks for again by sending its event again;
//! - it would send the acknowledgement of an earlier connection on a later one: those are
//!   dropped here, the broker delivers the message again and core knows it.
//!
//! It never decides what a message means, and never blocks core: every queue is bounded.

use super::{Message, Publish};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rand::Rng as _;
use room::site::Secret;
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, Filter, Packet, Publish as Packet5, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

/// Messages the broker may send us before we acknowledge the first (Receive Maximum). rumqttc's
/// request queue holds as many acknowledgements, and the publishes beside them.
const RECEIVE_MAX: u16 = 64;
/// Publishes of ours that the broker has not acknowledged.
const IN_FLIGHT: u16 = 64;
/// Requests waiting inside rumqttc: acknowledgements, publishes, one subscription.
const REQUESTS: usize = RECEIVE_MAX as usize + IN_FLIGHT as usize + 1;
/// Publishes waiting for the broker; the oldest goes, since a later acknowledgement says more.
const MAX_OUTBOX: usize = 256;
/// Events between rumqttc's loop and ours.
const EVENTS: usize = 16;
/// Longest packet we take, in bytes: frames of nodes are far shorter.
const MAX_PACKET: u32 = 4096;
/// A broker that hangs is noticed within twice this.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long the broker keeps what came while we were away.
const SESSION_EXPIRY_SECS: u32 = 7 * 24 * 60 * 60;
/// First pause before the broker is called again, doubled up to the next.
const BACKOFF: Duration = Duration::from_millis(100);
/// Longest pause before the broker is called again.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Where the broker is and who we are to it.
#[derive(Debug, Clone)]
pub struct ExternalConfig {
    /// Host name or address; an IPv6 address in brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Account and password; `None` for a broker without accounts.
    pub login: Option<(String, Secret)>,
    /// Names our session at the broker: the same after every start, another one at each controller.
    pub client_id: String,
}

/// `host:port` that is not one.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not host:port")]
pub struct AddressError(String);

impl ExternalConfig {
    /// From the text of the site.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(
        addr: &str,
        login: Option<(String, Secret)>,
        client_id: impl Into<String>,
    ) -> Result<Self, AddressError> {
        let parts = addr.rsplit_once(':').map(|(host, port)| (host, port.parse()));
        match parts {
            Some((host, Ok(port))) if !host.is_empty() => Ok(Self {
                host: host.to_owned(),
                port,
                login,
                client_id: client_id.into(),
            }),
            _ => Err(AddressError(addr.to_owned())),
        }
    }
}

/// The acknowledgement to be sent once core has settled a message.
type Due = Pin<Box<dyn Future<Output = Option<Packet5>> + Send>>;

/// What rumqttc's loop tells ours.
enum News {
    Event(Box<Event>),
    Lost,
}

/// Brings the broker's messages to `inbound` and publishes what comes out of `outbound` with
/// QoS 1. Runs until either channel closes. `state` holds what is wrong with the connection.
pub async fn external(
    config: ExternalConfig,
    inbound: mpsc::Sender<Message>,
    outbound: mpsc::Receiver<Publish>,
    state: watch::Sender<Option<String>>,
) {
    let (client, events) = AsyncClient::new(options(&config), REQUESTS);
    let (tell, news) = mpsc::channel(EVENTS);
    // Two futures, since cancelling rumqttc's loop would cut a connection attempt short.
    tokio::select! {
        () = poll(events, tell) => {}
        () = work(client, news, inbound, outbound, &state) => {}
    }
}

fn options(config: &ExternalConfig) -> MqttOptions {
    let mut options = MqttOptions::new(config.client_id.clone(), config.host.clone(), config.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_start(false)
        .set_session_expiry_interval(Some(SESSION_EXPIRY_SECS))
        .set_receive_maximum(Some(RECEIVE_MAX))
        .set_max_packet_size(Some(MAX_PACKET))
        .set_outgoing_inflight_upper_limit(IN_FLIGHT)
        .set_pending_throttle(Duration::ZERO)
        .set_manual_acks(true);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(KEEP_ALIVE.as_secs());
    options.set_network_options(network);
    if let Some((user, password)) = &config.login {
        options.set_credentials(user, &password.0);
    }
    options
}

async fn poll(mut events: EventLoop, tell: mpsc::Sender<News>) {
    let mut pause = BACKOFF;
    loop {
        let news = match events.poll().await {
            Ok(event) => {
                pause = BACKOFF;
                News::Event(Box::new(event))
            }
            Err(error) => {
                report(&error);
                News::Lost
            }
        };
        let lost = matches!(news, News::Lost);
        if tell.send(news).await.is_err() {
            return;
        }
        if lost {
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(MAX_BACKOFF);
        }
    }
}

/// Half to all of the span, so that the controllers of a city do not call in step.
fn jittered(span: Duration) -> Duration {
    span.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// A refusal needs a person; a broker that restarts does not.
fn report(error: &ConnectionError) {
    match error {
        ConnectionError::ConnectionRefused(
            code @ (ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::NotAuthorized
            | ConnectReturnCode::ClientIdentifierNotValid
            | ConnectReturnCode::Banned),
        ) => tracing::error!(?code, "the MQTT broker refuses our account"),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            tracing::warn!(?reason_code, "the MQTT broker ended the connection");
        }
        error => tracing::warn!(%error, "no connection to the MQTT broker"),
    }
}

async fn work(
    client: AsyncClient,
    mut news: mpsc::Receiver<News>,
    inbound: mpsc::Sender<Message>,
    mut outbound: mpsc::Receiver<Publish>,
    state: &watch::Sender<Option<String>>,
) {
    let mut connected = false;
    let mut subscribed = false;
    let mut held: Option<Message> = None;
    let mut outbox = VecDeque::new();
    let mut due: FuturesUnordered<Due> = FuturesUnordered::new();
    let mut settled = VecDeque::new();
    loop {
        if connected && !subscribed {
            subscribed = client.try_subscribe_many(filters()).is_ok();
        }
        if connected {
            acknowledge(&client, &mut settled);
            hand_over(&client, &mut outbox);
        }
        // Every arm is cancel-safe, and none awaits in its body: core may be waiting for us
        // while we wait for core.
        tokio::select! {
            heard = news.recv(), if held.is_none() => match heard {
                Some(News::Event(event)) => match *event {
                    Event::Incoming(Packet::ConnAck(ack)) => {
                        tracing::info!(session_present = ack.session_present, "connected to the MQTT broker");
                        connected = true;
                        subscribed = false;
                        state.send_replace(None);
                    }
                    Event::Incoming(Packet::Publish(publish)) => {
                        let (message, ack) = message(publish);
                        held = message;
                        due.extend(ack);
                    }
                    Event::Incoming(Packet::SubAck(ack)) if !check_subscription(&ack.return_codes) => {
                        state.send_replace(Some("the MQTT broker refuses our subscription".to_owned()));
                    }
                    _ => {}
                },
                Some(News::Lost) => {
                    connected = false;
                    state.send_if_modified(|state| {
                        let was_well = state.is_none();
                        state.get_or_insert_with(|| "no connection to the MQTT broker".to_owned());
                        was_well
                    });
                    // The broker delivers again what these would acknowledge.
                    due = FuturesUnordered::new();
                    settled.clear();
                }
                None => return,
            },
            permit = inbound.reserve(), if held.is_some() => {
                let Ok(permit) = permit else { return };
                if let Some(message) = held.take() {
                    permit.send(message);
                }
            }
            publish = outbound.recv() => {
                let Some(publish) = publish else { return };
                outbox.push_back(publish);
                if outbox.len() > MAX_OUTBOX {
                    outbox.pop_front();
                    tracing::warn!("the oldest message for the MQTT broker was dropped");
                }
            }
            // A message core gives up without settling stays unacknowledged.
            Some(ack) = due.next(), if !due.is_empty() => settled.extend(ack),
            () = inbound.closed() => return,
        }
    }
}

fn check_subscription(codes: &[SubscribeReasonCode]) -> bool {
    let granted = codes
        .iter()
        .all(|code| matches!(code, SubscribeReasonCode::Success(_)));
    if !granted {
        tracing::error!(?codes, "the MQTT broker refuses our subscription");
    }
    granted
}

/// What nodes send. Their own commands are not ours to read.
fn filters() -> [Filter; 3] {
    let of = |leaf: &str, qos| Filter::new(format!("{}+/{leaf}", shared::topic::PREFIX), qos);
    [
        of("ev", QoS::AtLeastOnce),
        of("t", QoS::AtMostOnce),
        of("up", QoS::AtLeastOnce),
    ]
}

fn acknowledge(client: &AsyncClient, settled: &mut VecDeque<Packet5>) {
    while let Some(publish) = settled.front() {
        if client.try_ack(publish).is_err() {
            return;
        }
        settled.pop_front();
    }
}

fn hand_over(client: &AsyncClient, outbox: &mut VecDeque<Publish>) {
    while let Some(publish) = outbox.front() {
        let (topic, payload) = (publish.topic.clone(), publish.payload.clone());
        // rumqttc says "queue full" to a wildcard, and the queue would stand still behind it.
        let valid = crate::broker::topic::valid_topic(&topic);
        if valid
            && client
                .try_publish(topic, QoS::AtLeastOnce, false, payload)
                .is_err()
        {
            return;
        }
        outbox.pop_front();
    }
}

/// The message for core and what acknowledges it to the broker.
fn message(publish: Packet5) -> (Option<Message>, Option<Due>) {
    let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else {
        // Our filters match no such topic; a broker that sends one is not asked again.
        tracing::warn!("the MQTT broker sent a topic that is not UTF-8");
        return (None, None);
    };
    let (settle, due) = if publish.qos == QoS::AtMostOnce {
        (None, None)
    } else {
        let (settle, settled) = oneshot::channel();
        let ack = Packet5 {
            payload: bytes::Bytes::new(),
            ..publish.clone()
        };
        let due: Due = Box::pin(async move { settled.await.ok().map(|()| ack) });
        (Some(settle), Some(due))
    };
    let message = Message {
        user: None,
        topic,
        payload: publish.payload.to_vec(),
        retained: publish.retain,
        at: tokio::time::Instant::now(),
        settle,
    };
    (Some(message), due)
}
