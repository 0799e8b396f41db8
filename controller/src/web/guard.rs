//! What stands before every handler: rules against forged requests, headers for the browser,
//! a net for panics, and bodies that end in time.

use super::error::ApiError;
use super::{App, Counters, count};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// Longest body in bytes. The longest legitimate one is a shelving reason.
pub const MAX_BODY: usize = 64 << 10;
/// A body must have arrived within this time.
pub const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Own scripts and styles only, nothing inline, in no frame. `data:` images carry the small
/// icons that the bundler inlines into the style sheet.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Counts the request, refuses forged ones, and adds the headers every answer carries.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    count(&app.counters.requests);
    let mut response = match refuse_forged(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            count(&app.counters.forged);
            error.into_response()
        }
    };
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What the room looks like now is nothing to keep.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A request that changes something must be made by our own page or by a program on purpose:
/// a foreign page can send forms, but neither this content type nor our own origin.
fn refuse_forged(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let text = |name| headers.get(name).map(HeaderValue::as_bytes);
    if let Some(origin) = text(header::ORIGIN) {
        let host = text(header::HOST).or_else(|| uri.authority().map(|own| own.as_str().as_bytes()));
        if !host.is_some_and(|host| same_place(origin, host)) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "別のサイトからの操作は受け付けません。監視装置の画面から操作してください。",
                "Requests from another site are refused. Use the controller's own page.",
            ));
        }
    }
    let json = text(header::CONTENT_TYPE).is_some_and(|value| {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if json {
        Ok(())
    } else {
        Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type: application/json で送ってください。",
            "Send it with Content-Type: application/json.",
        ))
    }
}

/// Compares `http://host:port` with `host:port`; the port may be left out when it is the
/// scheme's own.
fn same_place(origin: &[u8], host: &[u8]) -> bool {
    let (Some(own), port) = (if let Some(own) = origin.strip_prefix(b"http://") {
        (Some(own), &b":80"[..])
    } else {
        (origin.strip_prefix(b"https://"), &b":443"[..])
    }) else {
        return false;
    };
    let bare = |place: &[u8]| place.strip_suffix(port).unwrap_or(place).to_ascii_lowercase();
    !own.is_empty() && bare(own) == bare(host)
}

/// A handler that panicked: the request fails, the role goes on, somebody is told.
pub(super) fn caught(counters: &Counters, panic: &(dyn Any + Send)) -> Response {
    count(&counters.panics);
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(message, "a handler panicked");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "画面の処理に失敗しました。監視は続いています。記録を保守担当へ渡してください。",
        "This request failed in the web role. Watching goes on. Please report it with the log.",
    )
    .into_response()
}

/// A JSON body: bounded in size and time, errors in both languages.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let bytes = match tokio::time::timeout(BODY_WITHIN, read(request)).await {
            Ok(read) => read,
            Err(_) => {
                count(&app.counters.slow_bodies);
                return Err(ApiError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "送信が時間内に終わりませんでした。もう一度操作してください。",
                    "The request did not arrive in time. Try again.",
                ));
            }
        };
        let malformed = |error| {
            count(&app.counters.malformed);
            error
        };
        let bytes = bytes.map_err(malformed)?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a body is not understood"
            );
            malformed(ApiError::invalid(
                "送られた内容を読めません。項目名と値を API の説明(/api/openapi.json)と比べてください。",
                "The body is not understood. Compare its fields with /api/openapi.json.",
            ))
        })
    }
}

async fn read(request: Request<Body>) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(request.into_body(), MAX_BODY)
        .await
        .map_err(|_| {
            ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "送られた内容が大きすぎます(上限 64 KiB)。",
                "The body is too large (limit 64 KiB) or broke off.",
            )
        })
}

/// Path and query with errors of ours.
pub(super) struct Asked<P, Q>(pub(super) P, pub(super) Q);

impl<P, Q> axum::extract::FromRequestParts<App> for Asked<P, Q>
where
    P: DeserializeOwned + Send,
    Q: DeserializeOwned + Send,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let refuse = || {
            count(&app.counters.malformed);
            ApiError::invalid(
                "アドレスの指定を読めません。/api/openapi.json の説明と比べてください。",
                "The address or its parameters are not understood. Compare them with /api/openapi.json.",
            )
        };
        let Path(path) = Path::from_request_parts(parts, app).await.map_err(|_| refuse())?;
        let Query(query) = Query::try_from_uri(&parts.uri).map_err(|_| refuse())?;
        Ok(Self(path, query))
    }
}

/// The net for panics, as the layer wants it.
pub(super) fn panic_net(
    counters: Arc<Counters>,
) -> impl Fn(Box<dyn Any + Send + 'static>) -> Response + Clone {
    move |panic| caught(&counters, panic.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_and_host_are_the_same_place() {
        for (origin, host, expected) in [
            ("http://10.0.0.5:8080", "10.0.0.5:8080", true),
            ("http://Yagura.local", "yagura.local", true),
            ("http://yagura.local:80", "yagura.local", true),
            ("https://yagura.local", "yagura.local:443", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://10.0.0.5:8081", "10.0.0.5:8080", false),
            ("http://10.0.0.5", "10.0.0.5:8080", false),
            ("http://evil.example", "10.0.0.5:8080", false),
            ("http://10.0.0.5:8080.evil.example", "10.0.0.5:8080", false),
            ("null", "10.0.0.5:8080", false),
            ("http://", "", false),
            ("ftp://10.0.0.5:8080", "10.0.0.5:8080", false),
        ] {
            assert_eq!(
                same_place(origin.as_bytes(), host.as_bytes()),
                expected,
                "{origin} and {host}"
            );
        }
    }
}
