//! `GET /api/v1/stream`: server-sent events.
//!
//! `core` tells whether core answers, `snapshot` carries the picture, `records` what was just
//! committed. A reader that falls behind misses pictures in between (only the latest counts),
//! never records: when those overflow it is cut off and counted, and its next connection starts
//! with the whole picture.

use super::error::{ApiError, ErrorBody};
use super::link::{CoreState, Picture, frame};
use super::{App, count};
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

/// A comment after so much silence, so that both ends notice a dead connection.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Live changes: event `core` (`{"linked":true}`), event `snapshot` (a Snapshot; on connect and
/// after changes, at most ten a second), event `records` (an array of records, right after
/// their commit), and a comment every 15 s.
#[utoipa::path(
    get, path = "/api/v1/stream", tag = "room",
    responses(
        (status = 200, description = "Events", content_type = "text/event-stream", body = String),
        (status = 503, description = "Too many streams are open", body = ErrorBody),
    )
)]
pub(super) async fn stream(State(app): State<App>) -> Response {
    let Ok(permit) = Arc::clone(&app.streams).try_acquire_owned() else {
        count(&app.counters.refused_streams);
        return ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "開いている画面が多すぎます。使っていない画面を閉じてください。",
            "Too many pages are open. Close those not in use.",
        )
        .into_response();
    };
    let mut state = app.core.watch();
    state.mark_changed();
    let follower = Follower {
        records: app.core.records(),
        stopping: app.stopping.clone(),
        state,
        shown: None,
        ready: VecDeque::new(),
        app,
        _permit: permit,
    };
    let body = Body::from_stream(futures_util::stream::unfold(follower, |mut follower| async {
        let frame = follower.next().await?;
        Some((Ok::<Bytes, Infallible>(frame), follower))
    }));
    (
        [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        body,
    )
        .into_response()
}

/// One reader.
struct Follower {
    records: broadcast::Receiver<Bytes>,
    state: watch::Receiver<CoreState>,
    stopping: watch::Receiver<bool>,
    /// Whether the reader was last told that core answers.
    shown: Option<bool>,
    ready: VecDeque<Bytes>,
    app: App,
    _permit: OwnedSemaphorePermit,
}

/// Ends when the role stops (or is gone).
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

impl Follower {
    /// The next piece; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            // Every arm is cancel-safe, and each body only looks at values already here.
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return None,
                changed = self.state.changed() => {
                    changed.ok()?;
                    let state = self.state.borrow_and_update().clone();
                    self.show(state);
                }
                received = self.records.recv() => match received {
                    Ok(frame) => return Some(frame),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        count(&self.app.counters.lagged_streams);
                        tracing::info!(missed, "a stream fell behind and is cut");
                        return None;
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(Bytes::from_static(b":\n\n")),
            }
        }
    }

    fn show(&mut self, state: CoreState) {
        let (linked, picture): (bool, Option<Arc<Picture>>) = match state {
            CoreState::Away { .. } => (false, None),
            CoreState::Linked { picture } => (true, picture),
        };
        if self.shown != Some(linked) {
            self.shown = Some(linked);
            let json: &[u8] = if linked {
                b"{\"linked\":true}"
            } else {
                b"{\"linked\":false}"
            };
            self.ready.push_back(frame("core", json));
        }
        if let Some(picture) = picture {
            self.ready.push_back(picture.frame.clone());
        }
    }
}
