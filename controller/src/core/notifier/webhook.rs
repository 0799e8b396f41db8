//! Webhook: one connection, one POST of JSON.
//!
//! hyper speaks HTTP/1.1 over a connection of ours. No redirect is followed, no cookie kept, no
//! proxy taken from the environment; the answer is read up to [`MAX_ANSWER`] bytes and only shown.
//!
//! A body is signed so that the receiver can tell it from anybody else's, and from an old one:
//! ```text
//! Yagura-Timestamp: 1775000703                      seconds since 1970, when this attempt began
//! Yagura-Signature: v1=<hex of HMAC-SHA256(key, "v1:" timestamp ":" body)>
//! ```
//! A receiver computes the same over the bytes it got, compares in constant time, and refuses what is
//! older than some minutes. `Idempotency-Key` is the same for every copy of one notice.

use super::reach::{self, Trust};
use crate::clock;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use room::notice::text::line;
use room::notice::{Notice, SendFailure, template};
use room::site::Secret;
use room::site::notifier::host::Host;
use room::site::notifier::webhook::{self as config, TO, Url, UrlFrom};
use room::time::Wall;
use sha2::Sha256;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Most bytes of an answer's body that are read; they are only shown.
const MAX_ANSWER: usize = 4 * 1024;
/// Most bytes of an answer's head.
const MAX_HEAD: usize = 16 * 1024;
/// Most bytes of a proxy's answer to CONNECT.
const MAX_PROXY_HEAD: usize = 4 * 1024;
/// Longest wait that a server can ask for; longer ones are a mistake of its, not a reason to be
/// silent.
const MAX_WAIT: Duration = Duration::from_secs(3600);
/// How much of that wait is waited here; beyond it the attempt fails, and the next one comes later.
const WAIT_HERE: Duration = Duration::from_secs(20);

/// POSTs to one server.
pub(super) struct Webhook {
    config: config::Webhook,
    utc_offset_min: i16,
    trust: Trust,
    /// Before that the server wants to be left alone.
    not_before: Option<Instant>,
}

impl Webhook {
    pub(super) fn new(config: config::Webhook, utc_offset_min: i16) -> Self {
        Self {
            config,
            utc_offset_min,
            trust: Trust::default(),
            not_before: None,
        }
    }

    pub(super) async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        self.patience().await?;
        let limit = Duration::from_millis(self.config.timeout.0);
        tokio::time::timeout(limit, self.post(notice))
            .await
            .unwrap_or_else(|_| {
                Err(SendFailure::passing(format!(
                    "the server did not answer within {} s",
                    limit.as_secs_f64()
                )))
            })
    }

    /// Waits until the server wants to hear from us again.
    async fn patience(&mut self) -> Result<(), SendFailure> {
        let Some(until) = self.not_before else {
            return Ok(());
        };
        let wait = until.saturating_duration_since(Instant::now());
        if wait > WAIT_HERE {
            return Err(SendFailure::passing(format!(
                "the server asked to be left alone for another {} s",
                wait.as_secs()
            )));
        }
        tokio::time::sleep(wait).await;
        self.not_before = None;
        Ok(())
    }

    async fn post(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        let url = match &self.config.url {
            UrlFrom::Site(url) => url.clone(),
            UrlFrom::File(path) => {
                let Secret(text) = reach::secret(path).await?;
                let url = config::url(&text)
                    .map_err(|why| SendFailure::lasting(format!("{}: {why}", path.display())))?;
                config::may_be_plain(&url, false)
                    .map_err(|why| SendFailure::lasting(format!("{}: {why}", path.display())))?;
                url
            }
        };
        let path = path(&url, notice)?;
        let body = template::body(
            self.config.template,
            notice,
            self.config.language,
            self.utc_offset_min,
        );
        let body = Bytes::from(body.to_string());
        let request = self.request(&url, path, body, notice).await?;

        let stream = match &self.config.proxy {
            // A proxy is for what is encrypted beyond it; what is in the clear stays within reach.
            Some(proxy) if url.secure => tunnel(proxy, &url.host).await?,
            _ => reach::connect(&url.host, !url.secure).await?,
        };
        let answer = if url.secure {
            let ca_file = self.config.ca_file.as_deref();
            exchange(
                self.trust.handshake(ca_file, &url.host.name, stream).await?,
                request,
            )
            .await?
        } else {
            exchange(stream, request).await?
        };
        self.judge(&answer)
    }

    async fn request(
        &self,
        url: &Url,
        path: String,
        body: Bytes,
        notice: &Notice,
    ) -> Result<Request<Full<Bytes>>, SendFailure> {
        let usual = if url.secure { 443 } else { 80 };
        let host = url.host.to_string();
        let host = host.strip_suffix(&format!(":{usual}")).unwrap_or(&host);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("yagura/", env!("CARGO_PKG_VERSION")))
            .header("Idempotency-Key", notice.id());
        if let Some(path) = &self.config.token_file {
            let Secret(token) = reach::secret(path).await?;
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| SendFailure::lasting(format!("{} is not a token", path.display())))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(path) = &self.config.key_file {
            let Secret(key) = reach::secret(path).await?;
            let seconds = clock::now().wall.0.div_euclid(1000);
            request = request
                .header("Yagura-Timestamp", seconds.to_string())
                .header("Yagura-Signature", signature(key.as_bytes(), seconds, &body));
        }
        request
            .body(Full::new(body))
            .map_err(|error| SendFailure::lasting(reach::one_line(&error)))
    }

    /// What an answer means.
    fn judge(&mut self, answer: &Answer) -> Result<(), SendFailure> {
        let said = if answer.body.is_empty() {
            String::new()
        } else {
            format!(": {}", line(&answer.body))
        };
        let status = answer.status;
        let problem = format!("HTTP {}{said}", status.as_u16());
        if status.is_success() {
            return Ok(());
        }
        if status.is_redirection() {
            // Not its path: services have their token in it.
            let to = answer.location.as_deref().map_or("nowhere", origin);
            return Err(SendFailure::lasting(line(&format!(
                "HTTP {}: it points to {to}, and redirects are not followed; write the new address",
                status.as_u16()
            ))));
        }
        if let Some(wait) = answer.retry_after {
            self.not_before = Some(Instant::now() + wait.min(MAX_WAIT));
        }
        let passing = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
            );
        Err(SendFailure {
            retryable: passing,
            problem,
        })
    }
}

/// The value of `Yagura-Signature`.
#[must_use]
pub(super) fn signature(key: &[u8], seconds: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("v1:{seconds}:").as_bytes());
    mac.update(body);
    format!("v1={}", reach::hex(&mac.finalize().into_bytes()))
}

/// The path with the contact's address in it.
fn path(url: &Url, notice: &Notice) -> Result<String, SendFailure> {
    if !url.takes_address() {
        return Ok(url.path.clone());
    }
    let to = notice
        .to
        .as_deref()
        .ok_or_else(|| SendFailure::lasting("the address has a place for that of a contact, who has none"))?;
    let mut written = String::new();
    for byte in to.bytes() {
        // `/` stays: bots are told by paths such as users/… and channels/….
        if byte.is_ascii_alphanumeric() || b"-._~/@".contains(&byte) {
            written.push(char::from(byte));
        } else {
            let _ = write!(written, "%{byte:02X}");
        }
    }
    Ok(url.path.replacen(TO, &written, 1))
}

/// Scheme and host of an address; another path at the same server is only called that.
fn origin(location: &str) -> &str {
    let Some((scheme, rest)) = location.split_once("://") else {
        return "another path of its own";
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    &location[..scheme.len() + "://".len() + host.len()]
}

/// What a server said.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    location: Option<String>,
    body: String,
}

/// One request and its answer on a fresh connection, which ends with it.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, SendFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |error: hyper::Error| SendFailure::passing(format!("HTTP: {}", reach::one_line(&error)));
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok(read(response).await)
    };
    tokio::pin!(talk, connection);
    let mut open = true;
    loop {
        // Both are polled in place and go on after the other; the connection's end is told by the
        // talk, which then fails or has its answer.
        tokio::select! {
            biased;
            answer = &mut talk => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

/// What `Retry-After` asks for (RFC 9110 10.2.3): seconds, or a date, which then is in the future of
/// our own clock or no wait at all. What is neither is no answer.
fn wait(value: &str, now: Wall) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value)
        .ok()?
        .timestamp()
        .as_millisecond();
    let ahead = u64::try_from(at.saturating_sub(now.0)).unwrap_or(0);
    Some(Duration::from_millis(ahead))
}

async fn read(response: Response<Incoming>) -> Answer {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER).and_then(|value| wait(value, clock::now().wall));
    let location = header(LOCATION).map(str::to_owned);
    let status = response.status();
    let mut said = Vec::new();
    let mut body = response.into_body();
    // What is cut off, broken or too long says nothing about whether the notice was taken.
    while said.len() < MAX_ANSWER
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Some(more) = frame.data_ref() {
            said.extend_from_slice(&more[..more.len().min(MAX_ANSWER - said.len())]);
        }
    }
    Answer {
        status,
        retry_after,
        location,
        body: String::from_utf8_lossy(&said).into_owned(),
    }
}

/// A connection through the site's proxy (RFC 9110 9.3.6).
async fn tunnel(proxy: &Host, host: &Host) -> Result<TcpStream, SendFailure> {
    let mut stream = reach::connect(proxy, false).await?;
    let lost = |error: std::io::Error| SendFailure::passing(format!("the proxy {proxy} went away: {error}"));
    stream
        .write_all(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
        .await
        .map_err(lost)?;
    let mut head = Vec::new();
    // Byte by byte: what follows the head belongs to the TLS handshake.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_PROXY_HEAD {
            return Err(SendFailure::passing(format!("{proxy} is no HTTP proxy")));
        }
        head.push(stream.read_u8().await.map_err(lost)?);
    }
    let head = String::from_utf8_lossy(&head);
    let first = head.lines().next().unwrap_or_default();
    let status: Option<u16> = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    match status {
        Some(200..=299) => Ok(stream),
        // 407 and 403 are for a person; 502 to 504 say that the proxy did not reach the server.
        Some(status) => Err(SendFailure {
            retryable: status >= 500,
            problem: line(&format!("the proxy {proxy} refused {host}: {first}")),
        }),
        None => Err(SendFailure::passing(format!("{proxy} is no HTTP proxy"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_asks_for_a_pause_in_seconds_or_until_a_moment() {
        // 1994-11-06 08:49:07 UTC, thirty seconds before the example of RFC 9110 5.6.7.
        let now = Wall(784_111_747_000);
        let half_a_minute = Some(Duration::from_secs(30));
        assert_eq!(wait("30", now), half_a_minute);
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT", now), half_a_minute);
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:48:37 GMT", now),
            Some(Duration::ZERO),
            "it is over"
        );
        for no_answer in ["", "soon", "-3", "Sun, 36 Nov 1994 08:49:37 GMT"] {
            assert_eq!(wait(no_answer, now), None, "{no_answer}");
        }
    }
}
