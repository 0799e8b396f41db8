//! The endpoint in this process: raw sockets and rumqttc's clients on one side, the test in
//! core's place on the other.

#![allow(clippy::unwrap_used, reason = "a test")]

mod abuse;
mod delivery;
mod link;
mod session;

use super::{CoreLink, limit, serve};
use crate::link::{Account, FromBroker, ToBroker};
use bytes::BytesMut;
use rumqttc::mqttbytes::{QoS, v4};
use rumqttc::v5::mqttbytes::{QoS as QoS5, v5};
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything that must happen.
const BOUND: Duration = Duration::from_secs(20);

/// An endpoint with the test in core's place.
struct Endpoint {
    addr: SocketAddr,
    links: mpsc::Sender<CoreLink>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Core's end of a link.
struct Core {
    from_broker: mpsc::Receiver<FromBroker>,
    to_broker: mpsc::Sender<ToBroker>,
}

/// A publish as core gets it.
#[derive(Debug, PartialEq, Eq)]
struct Arrived {
    token: u64,
    user: String,
    topic: String,
    payload: Vec<u8>,
    at_least_once: bool,
    retained: bool,
}

impl Endpoint {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (links, link) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, link, stop.clone()));
        Self {
            addr,
            links,
            stop,
            task,
        }
    }

    async fn with_core() -> (Self, Core) {
        let endpoint = Self::start().await;
        let core = endpoint.link().await;
        core.accounts().await;
        (endpoint, core)
    }

    /// A new link, as after a start of core.
    async fn link(&self) -> Core {
        let (to_core, from_broker) = mpsc::channel(16);
        let (to_broker, from_core) = mpsc::channel(16);
        self.links.send(CoreLink { to_core, from_core }).await.unwrap();
        Core {
            from_broker,
            to_broker,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(BOUND, self.task).await.unwrap().unwrap();
    }

    async fn raw(&self) -> Raw {
        Raw {
            stream: TcpStream::connect(self.addr).await.unwrap(),
            inbox: BytesMut::new(),
        }
    }

    async fn v4(&self, user: &str, id: &str) -> Raw {
        let mut raw = self.raw().await;
        raw.send4(&connect4(user, id, true)).await;
        let code = v4::ConnectReturnCode::Success;
        raw.expect4(&v4::Packet::ConnAck(v4::ConnAck::new(code, false)))
            .await;
        raw
    }

    async fn v5(&self, user: &str, id: &str) -> Raw {
        let mut raw = self.raw().await;
        raw.send5(&connect5(user, id, true, 0)).await;
        assert_eq!(raw.connack5().await.code, v5::ConnectReturnCode::Success);
        raw
    }
}

impl Core {
    async fn accounts(&self) {
        self.say(ToBroker::Accounts(vec![
            account(
                "1",
                &["fac/v1/1/ev", "fac/v1/1/t", "fac/v1/1/up"],
                &["fac/v1/1/cmd"],
            ),
            account(
                "2",
                &["fac/v1/2/ev", "fac/v1/2/t", "fac/v1/2/up"],
                &["fac/v1/2/cmd"],
            ),
            account("panel", &["panel/#"], &["#"]),
        ]))
        .await;
    }

    async fn say(&self, message: ToBroker) {
        timeout(BOUND, self.to_broker.send(message))
            .await
            .unwrap()
            .unwrap();
    }

    async fn settle(&self, token: u64) {
        self.say(ToBroker::Settled { token }).await;
    }

    async fn publish(&self, topic: &str, payload: &str, retain: bool) {
        self.say(ToBroker::Publish {
            topic: topic.to_owned(),
            payload: payload.into(),
            at_least_once: true,
            retain,
        })
        .await;
    }

    /// The next publish; counters in between are skipped.
    async fn arrival(&mut self) -> Arrived {
        timeout(BOUND, async {
            loop {
                if let FromBroker::Publish {
                    token,
                    user,
                    topic,
                    payload,
                    at_least_once,
                    retained,
                } = self.from_broker.recv().await.unwrap()
                {
                    return Arrived {
                        token,
                        user,
                        topic,
                        payload,
                        at_least_once,
                        retained,
                    };
                }
            }
        })
        .await
        .unwrap()
    }

    /// Waits until the counter has reached the number.
    async fn counted(&mut self, name: &str, at_least: u64) {
        timeout(BOUND, async {
            loop {
                if let FromBroker::Counters(counters) = self.from_broker.recv().await.unwrap() {
                    let (_, count) = counters.iter().find(|(n, _)| n == name).unwrap();
                    if *count >= at_least {
                        return;
                    }
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{name} never reached {at_least}"));
    }
}

fn account(user: &str, publish: &[&str], subscribe: &[&str]) -> Account {
    Account {
        user: user.to_owned(),
        password_sha256: Sha256::digest(password(user)).into(),
        publish: publish.iter().map(|right| (*right).to_owned()).collect(),
        subscribe: subscribe.iter().map(|right| (*right).to_owned()).collect(),
    }
}

fn password(user: &str) -> String {
    format!("secret of {user}")
}

/// A client that says exactly what the test says.
struct Raw {
    stream: TcpStream,
    inbox: BytesMut,
}

impl Raw {
    async fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn send4(&mut self, packet: &v4::Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.bytes(&bytes).await;
    }

    async fn send5(&mut self, packet: &v5::Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).unwrap();
        self.bytes(&bytes).await;
    }

    async fn more(&mut self) -> usize {
        timeout(BOUND, self.stream.read_buf(&mut self.inbox))
            .await
            .expect("an answer in time")
            .unwrap_or(0)
    }

    async fn next4(&mut self) -> Option<v4::Packet> {
        loop {
            match v4::Packet::read(&mut self.inbox, usize::MAX) {
                Ok(packet) => return Some(packet),
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("{error}"),
            }
            if self.more().await == 0 {
                return None;
            }
        }
    }

    async fn next5(&mut self) -> Option<v5::Packet> {
        loop {
            match v5::Packet::read(&mut self.inbox, None) {
                Ok(packet) => return Some(packet),
                Err(rumqttc::v5::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("{error}"),
            }
            if self.more().await == 0 {
                return None;
            }
        }
    }

    async fn expect4(&mut self, packet: &v4::Packet) {
        assert_eq!(self.next4().await.as_ref(), Some(packet));
    }

    async fn expect5(&mut self, packet: &v5::Packet) {
        assert_eq!(self.next5().await.as_ref(), Some(packet));
    }

    async fn connack5(&mut self) -> v5::ConnAck {
        match self.next5().await {
            Some(v5::Packet::ConnAck(ack)) => ack,
            other => panic!("{other:?}"),
        }
    }

    /// The next message for this client.
    async fn message5(&mut self) -> v5::Publish {
        match self.next5().await {
            Some(v5::Packet::Publish(publish)) => publish,
            other => panic!("{other:?}"),
        }
    }

    async fn disconnected5(&mut self, reason: v5::DisconnectReasonCode) {
        match self.next5().await {
            Some(v5::Packet::Disconnect(packet)) => assert_eq!(packet.reason_code, reason),
            other => panic!("{other:?}"),
        }
        self.closed().await;
    }

    async fn closed(&mut self) {
        while self.more().await > 0 {}
        assert!(self.inbox.is_empty(), "{:?}", self.inbox);
    }

    /// Says goodbye and waits until the session is given back.
    async fn leave5(mut self) {
        self.bytes(&[0xE0, 0]).await;
        self.closed().await;
    }

    async fn subscribe5(&mut self, filter: &str) -> Vec<v5::SubscribeReasonCode> {
        let mut subscribe = v5::Subscribe::new(v5::Filter::new(filter, QoS5::AtLeastOnce), None);
        subscribe.pkid = 77;
        self.send5(&v5::Packet::Subscribe(subscribe)).await;
        match self.next5().await {
            Some(v5::Packet::SubAck(ack)) => ack.return_codes,
            other => panic!("{other:?}"),
        }
    }

    /// Everything before this was handled.
    async fn ping5(&mut self) {
        self.send5(&v5::Packet::PingReq(v5::PingReq)).await;
        self.expect5(&v5::Packet::PingResp(v5::PingResp)).await;
    }
}

fn connect4(user: &str, id: &str, clean: bool) -> v4::Packet {
    let mut connect = v4::Connect::new(id);
    connect.set_login(user, password(user));
    connect.clean_session = clean;
    v4::Packet::Connect(connect)
}

fn connect5(user: &str, id: &str, clean: bool, expiry: u32) -> v5::Packet {
    let properties = v5::ConnectProperties {
        session_expiry_interval: Some(expiry),
        ..v5::ConnectProperties::new()
    };
    let connect = v5::Connect {
        keep_alive: 10,
        client_id: id.to_owned(),
        clean_start: clean,
        properties: Some(properties),
    };
    v5::Packet::Connect(connect, None, Some(v5::Login::new(user, password(user))))
}

fn publish5(topic: &str, pkid: u16, payload: &'static str) -> v5::Packet {
    let qos = if pkid == 0 {
        QoS5::AtMostOnce
    } else {
        QoS5::AtLeastOnce
    };
    let mut publish = v5::Publish::new(topic, qos, payload, None);
    publish.pkid = pkid;
    v5::Packet::Publish(publish)
}

fn publish4(topic: &str, pkid: u16, payload: &str) -> v4::Packet {
    let qos = if pkid == 0 {
        QoS::AtMostOnce
    } else {
        QoS::AtLeastOnce
    };
    let mut publish = v4::Publish::new(topic, qos, payload);
    publish.pkid = pkid;
    v4::Packet::Publish(publish)
}

fn ack5(pkid: u16, reason: v5::PubAckReason) -> v5::Packet {
    let mut ack = v5::PubAck::new(pkid, None);
    ack.reason = reason;
    v5::Packet::PubAck(ack)
}
