//! An SNMP agent that answers what a recording says: v1 and v2c over a loopback port of its own.
//!
//! Recordings of real devices are third-party data that a test is given from outside; the agent
//! serves them as the device did, one moment for ever. It reaches nothing but loopback.

use crate::ups::agent;
use crate::ups::mib::{Values, Wire};
use room::profile::Value;
use room::profile::recording::Recording;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// The largest UDP datagram.
const DATAGRAM_MAX: usize = 65_535;

/// A running agent; dropped, it stops answering.
#[derive(Debug)]
pub struct Recorded {
    /// Where it listens: a loopback address.
    pub addr: SocketAddr,
    task: AbortHandle,
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorded {
    /// Serves a recording on a free loopback port.
    ///
    /// # Errors
    /// When no loopback socket can be opened.
    pub async fn start(recording: &Recording, community: &str) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = socket.local_addr()?;
        let values: Values = recording
            .iter()
            .map(|(oid, value)| (oid.arcs().to_vec(), wire(value)))
            .collect();
        let community = community.to_owned();
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; DATAGRAM_MAX];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Some(reply) = agent::answer_to(&buffer[..length], &community, &values)
                    && let Err(error) = socket.send_to(&reply, from).await
                {
                    tracing::debug!(%error, %from, "send a recorded reply");
                }
            }
        });
        Ok(Self {
            addr,
            task: task.abort_handle(),
        })
    }
}

/// Tags of RFC 2578 7.1 and X.690.
fn wire(value: &Value) -> Wire {
    match value {
        Value::Integer(n) => Wire::Integer(*n),
        Value::Unsigned(n) => match (u32::try_from(*n), i64::try_from(*n)) {
            (Ok(n), _) => Wire::Gauge(n),
            (_, Ok(n)) => Wire::Raw(0x46, agent::integer(n)),
            // Above 2^63 a Counter64 has a leading zero byte.
            _ => Wire::Raw(0x46, [&[0][..], &n.to_be_bytes()].concat()),
        },
        Value::Ticks(n) => Wire::Ticks(*n),
        Value::Bytes(bytes) => Wire::Raw(0x04, bytes.clone()),
        Value::Oid(oid) => Wire::Oid(oid.arcs().to_vec()),
        Value::Address(octets) => Wire::Raw(0x40, octets.to_vec()),
        Value::Opaque(bytes) => Wire::Raw(0x44, bytes.clone()),
        Value::Null
        | Value::NoSuchObject
        | Value::NoSuchInstance
        | Value::EndOfMib
        | Value::DeviceError(_) => Wire::Raw(0x05, Vec::new()),
    }
}
