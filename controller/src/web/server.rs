//! The listening end: our own accept loop, since the ready-made one never closes a connection
//! that sends half a head.
//!
//! Every connection costs at most so much: a head must be complete within [`HEAD_WITHIN`] (an
//! idle kept connection falls under the same rule), a body within
//! [`super::guard::BODY_WITHIN`], and a reader must take what we write within
//! [`WRITTEN_WITHIN`]. Only streams stay; those are counted apart
//! ([`super::MAX_STREAMS`]). So a slot is always free again within seconds.

use super::{Counters, count};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, Sleep};

/// Connections at once. Each takes a file descriptor (the usual limit is 1,024) and at most
/// [`MAX_HEAD`] of buffer, so about 8 MB in the worst case.
pub const MAX_CONNECTIONS: usize = 512;
/// A request's head must be complete this long after the connection or the last answer.
pub const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Longest head in bytes; hyper allows nothing under 8 KiB.
pub const MAX_HEAD: usize = 16 << 10;
/// Most header lines.
pub const MAX_HEADERS: usize = 64;
/// A reader must take something of what is written within this time.
pub const WRITTEN_WITHIN: Duration = Duration::from_secs(15);
/// Pause after a failed `accept`: it fails again at once while descriptors are short.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests under way may take so long to end when the role stops.
pub const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Serves until `stopping` turns true, then lets requests under way end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    counters: Arc<Counters>,
    mut stopping: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let under_way = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    let mut short = false;
    loop {
        // Every arm is cancel-safe: a permit or connection not taken stays where it is.
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                count(&counters.accept_errors);
                // Once for each shortage, not ten times a second.
                if !std::mem::replace(&mut short, true) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "accepting a connection failed"
                    );
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        short = false;
        count(&counters.connections);
        prepare(&stream);
        let connection = builder.serve_connection(
            TokioIo::new(Patient::new(stream)),
            TowerToHyperService::new(router.clone()),
        );
        let connection = under_way.watch(connection);
        let counters = Arc::clone(&counters);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                count(&counters.broken_connections);
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_WITHIN, under_way.shutdown())
        .await
        .is_err()
    {
        tracing::info!("some requests did not end in time and are cut");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

/// Best effort: a connection without these still works, only later.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    // A page whose machine was switched off must not hold its stream for the quarter of an hour
    // that TCP would go on retrying.
    let millis = u32::try_from(WRITTEN_WITHIN.as_millis()).unwrap_or(u32::MAX);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, millis);
}

/// A stream whose writes fail when the other side takes nothing for [`WRITTEN_WITHIN`].
struct Patient {
    stream: TcpStream,
    /// Runs while a write waits.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            patience: None,
        }
    }

    fn bound<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience = None;
            return written;
        }
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + WRITTEN_WITHIN)));
        if patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the reader takes nothing",
            )));
        }
        Poll::Pending
    }
}

impl AsyncRead for Patient {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.bound(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.bound(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
