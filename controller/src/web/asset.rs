//! The staff UI, embedded from `controller/ui/dist` when the binary is built.
//!
//! A binary built without the UI serves a page that says so; the API is complete either way.
//! Files whose name carries a hash of their content never change and are kept by the browser;
//! everything else is checked by its ETag each time.

use super::error::ApiError;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use std::borrow::Cow;
use std::fmt::Write as _;

#[derive(rust_embed::RustEmbed)]
#[folder = "ui/dist"]
struct Dist;

const INDEX: &str = "index.html";
const PLACEHOLDER: &str = include_str!("placeholder.html");

/// True when the UI is part of this binary.
#[must_use]
pub fn built() -> bool {
    Dist::get(INDEX).is_some()
}

/// Serves a file of the UI; every path that is nothing else ends here.
pub(super) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if path.starts_with("/api/") {
        return ApiError::no_such_path().into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "このアドレスではこの操作はできません。",
            "This address does not take this method.",
        )
        .into_response();
    }
    let name = match path {
        "/" => INDEX,
        other => other.trim_start_matches('/'),
    };
    match Dist::get(name) {
        Some(file) => answer(name, file.data, file.metadata.sha256_hash(), &headers),
        None if name == INDEX => page(PLACEHOLDER),
        None => ApiError::no_such_path().into_response(),
    }
}

fn page(html: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        html,
    )
        .into_response()
}

fn answer(name: &str, data: Cow<'static, [u8]>, hash: [u8; 32], asked: &HeaderMap) -> Response {
    let etag = etag(&hash);
    let mut response = if matches(asked, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let body = match data {
            Cow::Borrowed(bytes) => Body::from(bytes),
            Cow::Owned(bytes) => Body::from(bytes),
        };
        let mut response = Response::new(body);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching(name)));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// Weak, since compression changes the bytes and not the content.
fn etag(hash: &[u8; 32]) -> String {
    let mut text = String::from("W/\"");
    for byte in &hash[..16] {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    text
}

fn matches(asked: &HeaderMap, etag: &str) -> bool {
    asked
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|one| one.trim() == etag))
}

/// The bundler puts everything it names by content hash under `assets/`.
fn caching(name: &str) -> &'static str {
    if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

/// The kinds of file a page is made of; anything else is only to be saved.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_file_is_not_sent_again() {
        let data = || Cow::Borrowed(&b"body"[..]);
        let fresh = answer("index.html", data(), [7; 32], &HeaderMap::new());
        assert_eq!(fresh.status(), StatusCode::OK);
        let etag = fresh.headers()[header::ETAG].clone();
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, etag);
        let again = answer("index.html", data(), [7; 32], &asked);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let changed = answer("index.html", data(), [8; 32], &asked);
        assert_eq!(changed.status(), StatusCode::OK);
    }

    #[test]
    fn only_hashed_names_are_kept_for_ever() {
        assert!(caching("assets/index-B7k2.js").contains("immutable"));
        assert_eq!(caching("index.html"), "no-cache");
    }
}
