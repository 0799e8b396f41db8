//! Packets of both protocol versions as one set of types; bytes by rumqttc's codecs.
//!
//! This file frames the stream itself and hands the codecs whole packets, because of what they
//! do on a server's side (rumqttc 0.25.1): a packet whose inside is cut off makes them wait for
//! more after they have thrown it away; the two-byte DISCONNECT of MQTT 5 is an error to them;
//! reserved flags and packet id 0 pass. The short answers of the server (acknowledgements,
//! DISCONNECT) are written here: the codec's own DISCONNECT is one byte longer than it says.

use super::limit::MAX_PACKET;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use room::time::Mono;
use rumqttc::mqttbytes::{self, v4};
use rumqttc::v5::mqttbytes::{self as mqttbytes5, v5};
use std::sync::Arc;

/// Protocol version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    V5,
}

/// Reason codes of MQTT 5, section 2.4; MQTT 3.1.1 knows a few of them by other numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reason {
    Success = 0x00,
    GrantedQos1 = 0x01,
    NoSubscriptionExisted = 0x11,
    MalformedPacket = 0x81,
    ProtocolError = 0x82,
    UnsupportedVersion = 0x84,
    ClientIdInvalid = 0x85,
    BadUserOrPassword = 0x86,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ServerBusy = 0x89,
    ShuttingDown = 0x8B,
    BadAuthenticationMethod = 0x8C,
    KeepAliveTimeout = 0x8D,
    TakenOver = 0x8E,
    TopicFilterInvalid = 0x8F,
    TopicNameInvalid = 0x90,
    ReceiveMaximumExceeded = 0x93,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    QuotaExceeded = 0x97,
    AdministrativeAction = 0x98,
    QosNotSupported = 0x9B,
    SharedNotSupported = 0x9E,
    SubscriptionIdsNotSupported = 0xA1,
}

impl Reason {
    /// Return code of a refused CONNECT in MQTT 3.1.1 (table 3.1).
    fn connect_code_v4(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::UnsupportedVersion => 1,
            Self::ClientIdInvalid => 2,
            Self::ServerUnavailable | Self::ServerBusy | Self::QuotaExceeded => 3,
            Self::BadUserOrPassword => 4,
            _ => 5,
        }
    }
}

/// Why bytes are not a packet a client may send.
#[derive(Debug, thiserror::Error)]
pub(super) enum PacketError {
    /// Longer than [`MAX_PACKET`].
    #[error("a packet of {0} bytes is too long")]
    TooLong(usize),
    /// The length field does not end.
    #[error("the length of a packet is malformed")]
    Length,
    /// Reserved flags, reserved types, packets only a server sends, packet id 0.
    #[error("a packet of type {0} is not one a client may send so")]
    Unexpected(u8),
    /// Not MQTT, or a version we do not speak.
    #[error("protocol {name:?} level {level} is not spoken here")]
    Protocol {
        /// Name as sent.
        name: String,
        /// Level as sent.
        level: u8,
    },
    /// The inside of a packet of MQTT 3.1.1.
    #[error("decoding a packet of type {0}")]
    Inside(u8, #[source] mqttbytes::Error),
    /// The inside of a packet of MQTT 5.
    #[error("decoding a packet of type {0}")]
    Inside5(u8, #[source] mqttbytes5::Error),
    /// A value that the specification forbids.
    #[error("forbidden by the protocol: {0}")]
    Forbidden(&'static str),
}

impl PacketError {
    /// What to tell an MQTT 5 client.
    #[must_use]
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::TooLong(_) => Reason::PacketTooLarge,
            Self::Protocol { .. } => Reason::UnsupportedVersion,
            Self::Unexpected(_) | Self::Forbidden(_) => Reason::ProtocolError,
            Self::Length | Self::Inside(..) | Self::Inside5(..) => Reason::MalformedPacket,
        }
    }
}

/// A message on its way to subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Account that published it; empty when core did.
    pub(super) user: String,
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
    /// Properties of MQTT 5 that travel with it; alias, expiry and identifiers do not.
    pub properties: Option<Box<v5::PublishProperties>>,
    /// Not delivered after this moment.
    pub expires_at: Option<Mono>,
}

impl Message {
    /// Bytes it holds, for the limits.
    #[must_use]
    pub(super) fn weight(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// CONNECT.
#[derive(Debug)]
pub(super) struct Connect {
    /// Protocol version.
    pub version: Version,
    /// May be empty.
    pub client_id: String,
    /// Forget what an earlier connection left.
    pub clean: bool,
    /// Seconds; 0 = none asked for.
    pub keep_alive: u16,
    /// How long the session outlives the connection, in seconds.
    pub session_expiry: u32,
    /// QoS 1 messages the client takes at once.
    pub receive_max: u16,
    /// Longest packet the client takes, in bytes.
    pub max_packet: usize,
    /// Empty when none was sent.
    pub user: String,
    /// Empty when none was sent.
    pub password: zeroize::Zeroizing<String>,
    /// Published by us when the connection ends without DISCONNECT.
    pub will: Option<Will>,
    /// It asks for an authentication method beyond the password.
    pub extended_authentication: bool,
}

/// The will of a client.
#[derive(Debug, Clone)]
pub(super) struct Will {
    /// What is published.
    pub message: Arc<Message>,
    /// 0, 1 or 2 as asked for.
    pub qos: u8,
    /// Keep it.
    pub retain: bool,
    /// Seconds between the end of the connection and the will.
    pub delay_secs: u32,
    /// Seconds after which it is stale.
    pub expiry_secs: Option<u32>,
}

/// PUBLISH from a client.
#[derive(Debug)]
pub(super) struct Publish {
    /// Sent before.
    pub dup: bool,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Keep it.
    pub retain: bool,
    /// Topic as sent.
    pub topic: String,
    /// Packet id; 0 with QoS 0.
    pub pkid: u16,
    /// Payload.
    pub payload: Bytes,
    /// Properties that travel on.
    pub properties: Option<Box<v5::PublishProperties>>,
    /// Seconds after which it is stale.
    pub expiry_secs: Option<u32>,
    /// The client used a topic alias, which we do not offer.
    pub alias: bool,
}

/// One wish of a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    /// Filter as sent.
    pub path: String,
    /// QoS 1 or 2 was asked for; we grant 1.
    pub qos1: bool,
    /// Not what this client itself publishes.
    pub no_local: bool,
    /// Keep the retain flag on messages passed on.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retained: RetainedWish,
}

/// Retain handling of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetainedWish {
    /// With every SUBSCRIBE.
    Always,
    /// Only when the subscription is new.
    WhenNew,
    /// Never.
    Never,
}

/// Packets from a client that is let in.
#[derive(Debug)]
pub(super) enum In {
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK.
    PubAck(u16),
    /// SUBSCRIBE.
    Subscribe {
        /// Packet id.
        pkid: u16,
        /// At least one.
        filters: Vec<Filter>,
        /// It carries a subscription identifier, which we do not offer.
        identifier: bool,
    },
    /// UNSUBSCRIBE.
    Unsubscribe {
        /// Packet id.
        pkid: u16,
        /// Filters as sent.
        filters: Vec<String>,
    },
    /// PINGREQ.
    Ping,
    /// DISCONNECT.
    Disconnect {
        /// The will is to be published all the same.
        with_will: bool,
        /// A new session expiry in seconds.
        session_expiry: Option<u32>,
    },
}

/// Packets to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Out {
    /// CONNACK that lets the client in.
    Welcome(Welcome),
    /// CONNACK that does not.
    Refused(Reason),
    /// PUBLISH.
    Publish {
        /// What.
        message: Arc<Message>,
        /// Packet id; 0 means QoS 0.
        pkid: u16,
        /// Sent before.
        dup: bool,
        /// Comes out of the retained store.
        retain: bool,
        /// Seconds it is still good for.
        expiry_secs: Option<u32>,
    },
    /// PUBACK.
    PubAck(u16, Reason),
    /// SUBACK.
    SubAck(u16, Vec<Reason>),
    /// UNSUBACK.
    UnsubAck(u16, Vec<Reason>),
    /// PINGRESP.
    Pong,
    /// DISCONNECT; MQTT 3.1.1 knows none from the server, the connection just closes.
    Disconnect(Reason),
}

/// What an accepted client is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Welcome {
    /// An earlier session goes on.
    pub session_present: bool,
    /// The id we gave a client that had none.
    pub assigned_id: Option<String>,
    /// Keep-alive in force when it is not the one asked for.
    pub keep_alive: Option<u16>,
    /// Session expiry in force when it is not the one asked for.
    pub session_expiry: Option<u32>,
}

/// Cuts the next whole packet off the front of the buffer; `None` when it is not whole yet.
///
/// # Errors
/// When the length field is malformed, or promises more than [`MAX_PACKET`].
pub(super) fn frame(buffer: &mut BytesMut) -> Result<Option<BytesMut>, PacketError> {
    let mut remaining = 0_usize;
    // Four length bytes at most (section 1.5.5).
    for index in 0..4_usize {
        let Some(&byte) = buffer.get(1 + index) else {
            return Ok(None);
        };
        remaining |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let total = 2 + index + remaining;
            if total > MAX_PACKET {
                return Err(PacketError::TooLong(total));
            }
            return Ok((buffer.len() >= total).then(|| buffer.split_to(total)));
        }
    }
    Err(PacketError::Length)
}

/// Reads the first packet of a connection.
///
/// # Errors
/// [`PacketError`], with the version when it could be told.
pub(super) fn read_connect(frame: BytesMut) -> Result<Connect, (Option<Version>, PacketError)> {
    let version = version(&frame).map_err(|error| (None, error))?;
    let connect = match version {
        Version::V4 => connect_v4(frame),
        Version::V5 => connect_v5(frame),
    };
    connect.map_err(|error| (Some(version), error))
}

fn version(frame: &[u8]) -> Result<Version, PacketError> {
    let first = frame.first().copied().unwrap_or(0);
    if first != 0x10 {
        return Err(PacketError::Unexpected(first >> 4));
    }
    let start = 1 + frame.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let mut body = frame.get(start..).unwrap_or(&[]);
    if body.len() < 2 {
        return Err(PacketError::Length);
    }
    let length = usize::from(body.get_u16());
    let (Some(name), Some(&level)) = (body.get(..length), body.get(length)) else {
        return Err(PacketError::Length);
    };
    match (name, level) {
        (b"MQTT", 4) => Ok(Version::V4),
        (b"MQTT", 5) => Ok(Version::V5),
        _ => Err(PacketError::Protocol {
            name: String::from_utf8_lossy(name.get(..16).unwrap_or(name)).into_owned(),
            level,
        }),
    }
}

fn connect_v4(mut frame: BytesMut) -> Result<Connect, PacketError> {
    let packet = v4::Packet::read(&mut frame, MAX_PACKET).map_err(|error| PacketError::Inside(1, error))?;
    let v4::Packet::Connect(connect) = packet else {
        return Err(PacketError::Unexpected(1));
    };
    let login = connect.login.unwrap_or_else(|| v4::Login::new("", ""));
    let user = login.username;
    Ok(Connect {
        version: Version::V4,
        client_id: connect.client_id,
        clean: connect.clean_session,
        keep_alive: connect.keep_alive,
        session_expiry: if connect.clean_session { 0 } else { u32::MAX },
        receive_max: u16::MAX,
        max_packet: usize::MAX,
        password: login.password.into(),
        will: connect.last_will.map(|will| Will {
            message: Arc::new(Message {
                user: user.clone(),
                topic: will.topic,
                payload: Bytes::copy_from_slice(&will.message),
                properties: None,
                expires_at: None,
            }),
            qos: will.qos as u8,
            retain: will.retain,
            delay_secs: 0,
            expiry_secs: None,
        }),
        extended_authentication: false,
        user,
    })
}

fn connect_v5(mut frame: BytesMut) -> Result<Connect, PacketError> {
    let packet = v5::Packet::read(&mut frame, None).map_err(|error| PacketError::Inside5(1, error))?;
    let v5::Packet::Connect(connect, will, login) = packet else {
        return Err(PacketError::Unexpected(1));
    };
    let properties = connect.properties.unwrap_or_default();
    let login = login.unwrap_or_else(|| v5::Login::new("", ""));
    if properties.receive_maximum == Some(0) {
        return Err(PacketError::Forbidden("a receive maximum of 0"));
    }
    if properties.max_packet_size == Some(0) {
        return Err(PacketError::Forbidden("a maximum packet size of 0"));
    }
    Ok(Connect {
        version: Version::V5,
        client_id: connect.client_id,
        clean: connect.clean_start,
        keep_alive: connect.keep_alive,
        session_expiry: properties.session_expiry_interval.unwrap_or(0),
        receive_max: properties.receive_maximum.unwrap_or(u16::MAX),
        max_packet: properties
            .max_packet_size
            .map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX)),
        password: login.password.into(),
        will: will.map(|will| will_v5(will, &login.username)).transpose()?,
        user: login.username,
        extended_authentication: properties.authentication_method.is_some(),
    })
}

fn will_v5(will: v5::LastWill, user: &str) -> Result<Will, PacketError> {
    let delay_secs = will
        .properties
        .as_ref()
        .and_then(|properties| properties.delay_interval)
        .unwrap_or(0);
    let properties = will.properties.map(|of_will| v5::PublishProperties {
        payload_format_indicator: of_will.payload_format_indicator,
        message_expiry_interval: of_will.message_expiry_interval,
        response_topic: of_will.response_topic,
        correlation_data: of_will.correlation_data,
        user_properties: of_will.user_properties,
        content_type: of_will.content_type,
        ..v5::PublishProperties::default()
    });
    let (properties, expiry_secs, _) = travelling(properties)?;
    Ok(Will {
        message: Arc::new(Message {
            user: user.to_owned(),
            topic: text(&will.topic)?,
            payload: Bytes::copy_from_slice(&will.message),
            properties,
            expires_at: None,
        }),
        qos: will.qos as u8,
        retain: will.retain,
        delay_secs,
        expiry_secs,
    })
}

/// The properties that travel with a message, its expiry, and whether an alias was used.
type Travelling = (Option<Box<v5::PublishProperties>>, Option<u32>, bool);

fn travelling(properties: Option<v5::PublishProperties>) -> Result<Travelling, PacketError> {
    let Some(mut properties) = properties else {
        return Ok((None, None, false));
    };
    if properties
        .response_topic
        .as_deref()
        .is_some_and(|topic| !super::topic::valid_topic(topic))
    {
        return Err(PacketError::Forbidden("a response topic that is not a topic"));
    }
    let expiry = properties.message_expiry_interval.take();
    let alias = properties.topic_alias.take().is_some();
    properties.subscription_identifiers = Vec::new();
    // A slice would keep the whole read buffer alive as long as the message waits.
    properties.correlation_data = properties
        .correlation_data
        .map(|data| Bytes::copy_from_slice(&data));
    let empty = properties == v5::PublishProperties::default();
    Ok(((!empty).then(|| Box::new(properties)), expiry, alias))
}

fn text(bytes: &[u8]) -> Result<String, PacketError> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| PacketError::Forbidden("a topic that is not UTF-8"))
}

/// Reads a packet of a client that is let in.
///
/// # Errors
/// [`PacketError`].
pub(super) fn read(version: Version, frame: BytesMut) -> Result<In, PacketError> {
    let first = frame.first().copied().unwrap_or(0);
    let (kind, flags) = (first >> 4, first & 0x0F);
    let expected = match kind {
        3 if flags & 0b0110 == 0 && flags & 0b1000 != 0 => {
            return Err(PacketError::Forbidden("DUP with QoS 0"));
        }
        3 => flags,
        8 | 10 => 0b0010,
        4 | 12 | 14 => 0,
        // CONNECT again, the packets of QoS 2, of servers and of extended authentication.
        _ => return Err(PacketError::Unexpected(kind)),
    };
    if flags != expected {
        return Err(PacketError::Unexpected(kind));
    }
    match version {
        Version::V4 => read_v4(kind, frame),
        Version::V5 => read_v5(kind, frame),
    }
}

fn read_v4(kind: u8, mut frame: BytesMut) -> Result<In, PacketError> {
    let packet =
        v4::Packet::read(&mut frame, MAX_PACKET).map_err(|error| PacketError::Inside(kind, error))?;
    Ok(match packet {
        v4::Packet::Publish(publish) => In::Publish(Publish {
            dup: publish.dup,
            qos: publish.qos as u8,
            retain: publish.retain,
            topic: publish.topic,
            pkid: publish.pkid,
            payload: Bytes::copy_from_slice(&publish.payload),
            properties: None,
            expiry_secs: None,
            alias: false,
        }),
        v4::Packet::PubAck(ack) => In::PubAck(nonzero(ack.pkid)?),
        v4::Packet::Subscribe(subscribe) => In::Subscribe {
            pkid: nonzero(subscribe.pkid)?,
            filters: subscribe
                .filters
                .into_iter()
                .map(|filter| Filter {
                    path: filter.path,
                    qos1: filter.qos != mqttbytes::QoS::AtMostOnce,
                    no_local: false,
                    retain_as_published: false,
                    retained: RetainedWish::Always,
                })
                .collect(),
            identifier: false,
        },
        v4::Packet::Unsubscribe(unsubscribe) if !unsubscribe.topics.is_empty() => In::Unsubscribe {
            pkid: nonzero(unsubscribe.pkid)?,
            filters: unsubscribe.topics,
        },
        v4::Packet::PingReq => In::Ping,
        v4::Packet::Disconnect => In::Disconnect {
            with_will: false,
            session_expiry: None,
        },
        _ => return Err(PacketError::Unexpected(kind)),
    })
}

fn read_v5(kind: u8, mut frame: BytesMut) -> Result<In, PacketError> {
    // DISCONNECT may be just its header, or its header and a reason (section 3.14.2.1).
    if let [0xE0, rest @ ..] = frame.as_ref() {
        match *rest {
            [0] => return Ok(disconnect(0, None)),
            [1, reason] => return Ok(disconnect(reason, None)),
            _ => {}
        }
    }
    let packet = v5::Packet::read(&mut frame, None).map_err(|error| PacketError::Inside5(kind, error))?;
    Ok(match packet {
        v5::Packet::Publish(publish) => {
            let (properties, expiry_secs, alias) = travelling(publish.properties)?;
            In::Publish(Publish {
                dup: publish.dup,
                qos: publish.qos as u8,
                retain: publish.retain,
                topic: text(&publish.topic)?,
                pkid: publish.pkid,
                payload: Bytes::copy_from_slice(&publish.payload),
                properties,
                expiry_secs,
                alias,
            })
        }
        v5::Packet::PubAck(ack) => In::PubAck(nonzero(ack.pkid)?),
        v5::Packet::Subscribe(subscribe) => In::Subscribe {
            pkid: nonzero(subscribe.pkid)?,
            identifier: subscribe
                .properties
                .is_some_and(|properties| properties.id.is_some()),
            filters: subscribe
                .filters
                .into_iter()
                .map(|filter| Filter {
                    path: filter.path,
                    qos1: filter.qos != mqttbytes5::QoS::AtMostOnce,
                    no_local: filter.nolocal,
                    retain_as_published: filter.preserve_retain,
                    retained: match filter.retain_forward_rule {
                        v5::RetainForwardRule::OnEverySubscribe => RetainedWish::Always,
                        v5::RetainForwardRule::OnNewSubscribe => RetainedWish::WhenNew,
                        v5::RetainForwardRule::Never => RetainedWish::Never,
                    },
                })
                .collect(),
        },
        v5::Packet::Unsubscribe(unsubscribe) if !unsubscribe.filters.is_empty() => In::Unsubscribe {
            pkid: nonzero(unsubscribe.pkid)?,
            filters: unsubscribe.filters,
        },
        v5::Packet::PingReq(_) => In::Ping,
        v5::Packet::Disconnect(packet) => disconnect(
            packet.reason_code as u8,
            packet
                .properties
                .and_then(|properties| properties.session_expiry_interval),
        ),
        _ => return Err(PacketError::Unexpected(kind)),
    })
}

fn disconnect(reason: u8, session_expiry: Option<u32>) -> In {
    In::Disconnect {
        with_will: reason != 0,
        session_expiry,
    }
}

fn nonzero(pkid: u16) -> Result<u16, PacketError> {
    if pkid == 0 {
        Err(PacketError::Forbidden("packet id 0"))
    } else {
        Ok(pkid)
    }
}

/// Appends a packet to the buffer; nothing is appended on an error.
///
/// # Errors
/// [`PacketError::TooLong`] when it is longer than `max` bytes.
pub(super) fn write(
    version: Version,
    packet: &Out,
    max: usize,
    to: &mut BytesMut,
) -> Result<(), PacketError> {
    let before = to.len();
    match (packet, version) {
        (Out::Welcome(welcome), Version::V4) => {
            to.put_slice(&[0x20, 2, u8::from(welcome.session_present), 0]);
        }
        (Out::Refused(reason), Version::V4) => to.put_slice(&[0x20, 2, 0, reason.connect_code_v4()]),
        (Out::Welcome(welcome), Version::V5) => {
            // The write fails only beyond 256 MB; our own texts are short.
            let _ = connack(welcome).write(to);
        }
        (Out::Refused(reason), Version::V5) => to.put_slice(&[0x20, 3, 0, *reason as u8, 0]),
        (
            Out::Publish {
                message,
                pkid,
                dup,
                retain,
                expiry_secs,
            },
            version,
        ) => publish(version, message, (*pkid, *dup, *retain), *expiry_secs, to),
        (Out::PubAck(pkid, reason), Version::V5) if *reason != Reason::Success => {
            to.put_slice(&[0x40, 4]);
            to.put_u16(*pkid);
            to.put_slice(&[*reason as u8, 0]);
        }
        (Out::PubAck(pkid, _), _) => {
            to.put_slice(&[0x40, 2]);
            to.put_u16(*pkid);
        }
        (Out::SubAck(pkid, reasons), Version::V4) => {
            // All failures are one number in MQTT 3.1.1.
            let codes = reasons.iter().map(|reason| (*reason as u8).min(0x80));
            answer(0x90, *pkid, false, codes, to);
        }
        (Out::SubAck(pkid, reasons), Version::V5) => {
            answer(0x90, *pkid, true, reasons.iter().map(|reason| *reason as u8), to);
        }
        (Out::UnsubAck(pkid, _), Version::V4) => answer(0xB0, *pkid, false, [].into_iter(), to),
        (Out::UnsubAck(pkid, reasons), Version::V5) => {
            answer(0xB0, *pkid, true, reasons.iter().map(|reason| *reason as u8), to);
        }
        (Out::Pong, _) => to.put_slice(&[0xD0, 0]),
        (Out::Disconnect(_), Version::V4) => {}
        (Out::Disconnect(reason), Version::V5) => to.put_slice(&[0xE0, 2, *reason as u8, 0]),
    }
    let written = to.len() - before;
    if written > max {
        to.truncate(before);
        return Err(PacketError::TooLong(written));
    }
    Ok(())
}

fn answer(
    first: u8,
    pkid: u16,
    properties: bool,
    codes: impl ExactSizeIterator<Item = u8>,
    to: &mut BytesMut,
) {
    to.put_u8(first);
    let mut length = 2 + usize::from(properties) + codes.len();
    // A SUBSCRIBE fits MAX_PACKET, so its codes need two length bytes at most.
    while length >= 0x80 {
        to.put_u8(u8::try_from(length & 0x7F).unwrap_or(0) | 0x80);
        length >>= 7;
    }
    to.put_u8(u8::try_from(length).unwrap_or(0));
    to.put_u16(pkid);
    if properties {
        to.put_u8(0);
    }
    to.extend(codes);
}

fn connack(welcome: &Welcome) -> v5::ConnAck {
    v5::ConnAck {
        session_present: welcome.session_present,
        code: v5::ConnectReturnCode::Success,
        properties: Some(v5::ConnAckProperties {
            session_expiry_interval: welcome.session_expiry,
            receive_max: Some(super::limit::RECEIVE_MAX),
            max_qos: Some(1),
            retain_available: None,
            max_packet_size: u32::try_from(MAX_PACKET).ok(),
            assigned_client_identifier: welcome.assigned_id.clone(),
            topic_alias_max: None,
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_subscription_available: None,
            subscription_identifiers_available: Some(0),
            shared_subscription_available: Some(0),
            server_keep_alive: welcome.keep_alive,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        }),
    }
}

fn publish(
    version: Version,
    message: &Message,
    (pkid, dup, retain): (u16, bool, bool),
    expiry_secs: Option<u32>,
    to: &mut BytesMut,
) {
    // The writes fail only beyond 256 MB or with QoS 1 and packet id 0; the hub makes neither.
    let _ = match version {
        Version::V4 => v4::Publish {
            dup,
            qos: if pkid == 0 {
                mqttbytes::QoS::AtMostOnce
            } else {
                mqttbytes::QoS::AtLeastOnce
            },
            retain,
            topic: message.topic.clone(),
            pkid,
            payload: message.payload.clone(),
        }
        .write(to)
        .map_err(drop),
        Version::V5 => {
            let mut properties = message.properties.as_deref().cloned();
            if expiry_secs.is_some() {
                properties.get_or_insert_default().message_expiry_interval = expiry_secs;
            }
            v5::Publish {
                dup,
                qos: if pkid == 0 {
                    mqttbytes5::QoS::AtMostOnce
                } else {
                    mqttbytes5::QoS::AtLeastOnce
                },
                retain,
                topic: Bytes::copy_from_slice(message.topic.as_bytes()),
                pkid,
                payload: message.payload.clone(),
                properties,
            }
            .write(to)
            .map_err(drop)
        }
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_are_cut_at_their_length() {
        let mut buffer = BytesMut::from(&[0x30, 2, 1, 2, 0xC0, 0, 0x30][..]);
        assert_eq!(frame(&mut buffer).unwrap().unwrap().as_ref(), [0x30, 2, 1, 2]);
        assert_eq!(frame(&mut buffer).unwrap().unwrap().as_ref(), [0xC0, 0]);
        assert!(frame(&mut buffer).unwrap().is_none());
        assert_eq!(buffer.as_ref(), [0x30]);
        // The longest that fits, and one more: known from the header alone.
        let fits = MAX_PACKET - 3;
        let header = |remaining: usize| {
            let low = u8::try_from(remaining & 0x7F).unwrap() | 0x80;
            BytesMut::from(&[0x30, low, u8::try_from(remaining >> 7).unwrap()][..])
        };
        assert!(frame(&mut header(fits)).unwrap().is_none());
        assert!(matches!(
            frame(&mut header(fits + 1)),
            Err(PacketError::TooLong(_))
        ));
        let mut endless = BytesMut::from(&[0x30, 0x80, 0x80, 0x80, 0x80, 0][..]);
        assert!(matches!(frame(&mut endless), Err(PacketError::Length)));
    }

    fn decoded5(packet: &Out) -> v5::Packet {
        let mut bytes = BytesMut::new();
        write(Version::V5, packet, MAX_PACKET, &mut bytes).unwrap();
        let read = v5::Packet::read(&mut bytes, None).unwrap();
        assert!(bytes.is_empty(), "all of it was the packet");
        read
    }

    fn decoded4(packet: &Out) -> v4::Packet {
        let mut bytes = BytesMut::new();
        write(Version::V4, packet, MAX_PACKET, &mut bytes).unwrap();
        let read = v4::Packet::read(&mut bytes, MAX_PACKET).unwrap();
        assert!(bytes.is_empty(), "all of it was the packet");
        read
    }

    #[test]
    fn what_we_write_is_what_the_codecs_read() {
        // 200 codes: a length of two bytes.
        let many = vec![Reason::NotAuthorized; 200];
        let v5::Packet::SubAck(ack) = decoded5(&Out::SubAck(513, many.clone())) else {
            panic!()
        };
        assert_eq!((ack.pkid, ack.return_codes.len()), (513, 200));
        assert!(
            ack.return_codes
                .iter()
                .all(|code| *code == v5::SubscribeReasonCode::NotAuthorized)
        );
        let v4::Packet::SubAck(ack) = decoded4(&Out::SubAck(513, many)) else {
            panic!()
        };
        assert!(
            ack.return_codes
                .iter()
                .all(|code| *code == v4::SubscribeReasonCode::Failure)
        );
        let reasons = vec![Reason::Success, Reason::NoSubscriptionExisted];
        let v5::Packet::UnsubAck(ack) = decoded5(&Out::UnsubAck(7, reasons.clone())) else {
            panic!()
        };
        assert_eq!(
            ack.reasons,
            [
                v5::UnsubAckReason::Success,
                v5::UnsubAckReason::NoSubscriptionExisted
            ]
        );
        assert_eq!(
            decoded4(&Out::UnsubAck(7, reasons)),
            v4::Packet::UnsubAck(v4::UnsubAck::new(7))
        );
        let v5::Packet::PubAck(ack) = decoded5(&Out::PubAck(9, Reason::QuotaExceeded)) else {
            panic!()
        };
        assert_eq!((ack.pkid, ack.reason), (9, v5::PubAckReason::QuotaExceeded));
        let v5::Packet::Disconnect(bye) = decoded5(&Out::Disconnect(Reason::TakenOver)) else {
            panic!()
        };
        assert_eq!(bye.reason_code, v5::DisconnectReasonCode::SessionTakenOver);
        let v5::Packet::ConnAck(ack) = decoded5(&Out::Refused(Reason::ServerUnavailable)) else {
            panic!()
        };
        assert_eq!(ack.code, v5::ConnectReturnCode::ServerUnavailable);
    }

    #[test]
    fn a_packet_longer_than_the_client_takes_is_not_half_written() {
        let message = Arc::new(Message {
            user: String::new(),
            topic: "panel/x".to_owned(),
            payload: Bytes::from(vec![0; 100]),
            properties: None,
            expires_at: None,
        });
        let packet = Out::Publish {
            message,
            pkid: 1,
            dup: false,
            retain: false,
            expiry_secs: None,
        };
        let mut bytes = BytesMut::from(&b"before"[..]);
        assert!(matches!(
            write(Version::V5, &packet, 100, &mut bytes),
            Err(PacketError::TooLong(_))
        ));
        assert_eq!(bytes.as_ref(), b"before");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Any first byte, any inside: an answer or an error, and never "wait for more".
        #[test]
        fn every_frame_is_read_or_refused(
            first in any::<u8>(),
            inside in proptest::collection::vec(any::<u8>(), 0..120),
            five in any::<bool>(),
        ) {
            let mut bytes = vec![first, u8::try_from(inside.len()).unwrap()];
            bytes.extend(inside);
            let mut buffer = BytesMut::from(&bytes[..]);
            let frame = frame(&mut buffer).unwrap().unwrap();
            let version = if five { Version::V5 } else { Version::V4 };
            let _ = read(version, frame.clone());
            let _ = read_connect(frame);
        }

        /// A CONNECT with any byte changed or any tail missing.
        #[test]
        fn every_bent_connect_is_read_or_refused(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<bool>()) {
            let login = Some(v5::Login::new("1", "secret"));
            let connect = v5::Connect {
                keep_alive: 10,
                client_id: "node".to_owned(),
                clean_start: true,
                properties: Some(v5::ConnectProperties {
                    session_expiry_interval: Some(60),
                    user_properties: vec![("a".to_owned(), "b".to_owned())],
                    ..v5::ConnectProperties::new()
                }),
            };
            let will = Some(v5::LastWill::new("fac/v1/1/up", "0", mqttbytes5::QoS::AtLeastOnce, true, None));
            let mut bytes = BytesMut::new();
            connect.write(&will, &login, &mut bytes).unwrap();
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= with;
            }
            let _ = read_connect(bytes);
        }
    }
}
