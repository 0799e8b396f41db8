//! Listens for SNMP traps and informs, and has the device polled that one comes from.
//!
//! The one thing core hears from the network unasked, so it is off unless the site says where.
//! All judgement is [`Gate`]'s; the one thing a trap can cause is [`Control::PollNow`].
//!
//! An address that cannot be had (not there yet, no right to port 162) is tried again and again:
//! the room is watched by polls meanwhile, as it is without any trap.

use super::poll::{Control, Means};
use crate::snmp::trap::Gate;
use crate::{clock, listen};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// Pause before the address is tried again.
const TRY_EVERY: Duration = Duration::from_secs(10);
/// Pause after the socket failed.
const SOCKET_PAUSE: Duration = Duration::from_millis(20);
/// The largest UDP datagram.
const DATAGRAM_MAX: usize = 65_535;

/// Listens until nobody takes orders to poll any more.
pub async fn run(means: Means, addr: SocketAddr, data_dir: PathBuf, polling: mpsc::Sender<Control>) {
    let own = match means.snmp().own_engine(&data_dir) {
        Ok(own) => Some(own),
        Err(error) => {
            tracing::error!(%error, cause = %cause(&error), "v3 informs are not answered");
            None
        }
    };
    let mut gate = means.gate(own);
    let mut is_said = false;
    let socket = loop {
        match UdpSocket::bind(addr).await {
            Ok(socket) => break socket,
            Err(error) if !is_said => {
                is_said = true;
                tracing::error!(%addr, %error, "cannot listen for traps; devices are polled all the same");
            }
            Err(error) => tracing::debug!(%addr, %error, "cannot listen for traps yet"),
        }
        // Both arms are cancel-safe: a timer, a closed flag.
        tokio::select! {
            () = tokio::time::sleep(TRY_EVERY) => {}
            () = polling.closed() => return,
        }
    };
    if let Ok(bound) = socket.local_addr() {
        tracing::info!(%bound, "listening for traps");
        if let Err(error) = listen::tell(&data_dir, "trap", bound) {
            tracing::debug!(%error, "the address of the trap listener is only in the site file");
        }
    }
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        // Both arms are cancel-safe: a datagram is taken whole or not at all; a closed flag.
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = polling.closed() => return,
        };
        match received {
            Ok((length, from)) => hear(&mut gate, &socket, from, &mut buffer[..length], &polling).await,
            Err(error) => {
                tracing::debug!(%error, "receive a trap");
                tokio::time::sleep(SOCKET_PAUSE).await;
            }
        }
    }
}

async fn hear(
    gate: &mut Gate,
    socket: &UdpSocket,
    from: SocketAddr,
    datagram: &mut [u8],
    polling: &mpsc::Sender<Control>,
) {
    let heard = gate.hear(clock::now().mono, from, datagram).await;
    for device in heard.poll {
        tracing::debug!(%device, %from, "a trap: the device is polled");
        // A full queue is full of orders to poll; the device's own interval is never far.
        if polling.try_send(Control::PollNow(device)).is_err() {
            gate.counters().crowded.fetch_add(1, Ordering::Relaxed);
        }
    }
    if let Some(reply) = heard.reply
        && let Err(error) = socket.try_send_to(&reply, from)
    {
        // The sender asks again.
        tracing::debug!(%from, %error, "answer an inform");
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(String::new, ToString::to_string)
}
