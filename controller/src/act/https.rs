//! HTTPS for actions: one request, one answer, on a connection of its own.
//!
//! A fresh connection for each request costs a handshake and saves a doubt: an answer can only be
//! the answer to this request. No redirect is followed, no cookie kept, no proxy asked. Every
//! exchange has one time limit and a largest answer. In the clear it goes to loopback alone, here
//! too, whatever the settings say.
//!
//! A certificate that is not the expected one is a lasting problem; everything else that can go
//! wrong on a network may be over at the next try.

use super::action::{Problem, Sent, printable};
use crate::tls::{self, BadTrust, Believe};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use room::site::act::https::Https;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

/// Longest body of an answer in bytes. The longest that is asked for is a list of virtual machines:
/// 4,000 of them in 150 bytes each are 0.6 MB.
pub const MAX_ANSWER: usize = 4 << 20;
/// Most bytes of an answer's head.
const MAX_HEAD: usize = 16 * 1024;
/// Most bytes of a refusal that are shown.
const MAX_SAID: usize = 200;
/// Largest file with a secret, in bytes; tokens have up to 4 KiB.
const MAX_SECRET: u64 = 8 * 1024;

/// A server that can be asked. It holds no connection.
pub struct Client {
    server: Https,
    tls: Option<Arc<ClientConfig>>,
    headers: HeaderMap,
}

/// What is asked. It may hold a password, and so is never printed.
pub struct Ask {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// What was said.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its whole body.
    pub body: Vec<u8>,
    headers: HeaderMap,
    from: String,
}

impl Ask {
    /// Without a body. The path begins with a slash and may have a query.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// `GET`
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// `POST` of JSON.
    #[must_use]
    pub fn post(path: impl Into<String>, body: &serde_json::Value) -> Self {
        Self::new(Method::POST, path).body("application/json", body.to_string())
    }

    /// A body of this kind.
    #[must_use]
    pub fn body(mut self, kind: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        self.body = body.into();
        self
    }

    /// One more header, which must hold nothing secret.
    ///
    /// # Errors
    /// A lasting [`Problem`] when the value cannot stand in a header.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Problem> {
        let name = HeaderName::try_from(name)
            .map_err(|_| Problem::lasting(format!("{name:?} cannot be a header")))?;
        let value = HeaderValue::try_from(value)
            .map_err(|_| Problem::lasting(format!("{value:?} cannot stand in the header {name}")))?;
        self.headers.insert(name, value);
        Ok(self)
    }
}

impl Answer {
    /// A header of it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Its body as JSON.
    ///
    /// # Errors
    /// [`Problem`]: it is none, or of another form.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Problem::passing(format!(
                "{}: the answer is not what such a server says ({error}): {}",
                self.from,
                self.said()
            ))
        })
    }

    /// Its body, shortened, as one printable line.
    #[must_use]
    pub fn said(&self) -> String {
        printable(&self.body, MAX_SAID)
    }

    /// This answer unless its status is an error.
    ///
    /// # Errors
    /// [`Problem`] with the server's words. It is a passing one also for 401 and 403: a server whose
    /// directory is not up yet refuses good accounts, too.
    pub fn good(self, what: &str) -> Result<Self, Problem> {
        let Self { status, from, .. } = &self;
        if status.is_success() {
            return Ok(self);
        }
        let advice = match status.as_u16() {
            401 => "; it does not accept the credential: see the account and its file",
            403 => "; the account lacks the right to do it",
            404 => "; it does not know it: see the names in the site file",
            300..=399 => "; it points elsewhere, and redirects are not followed: write its own address",
            _ => "",
        };
        let said = self.said();
        Err(Problem::passing(format!(
            "{from}: {what}: HTTP {}{advice}{}{said}",
            status.as_u16(),
            if said.is_empty() { "" } else { ": " }
        )))
    }
}

impl Client {
    /// Reads the certificates that are believed. Asks nobody.
    ///
    /// # Errors
    /// [`Problem`]: lasting for a certificate file that a person must mend, or plain towards another
    /// machine.
    pub async fn of(server: &Https) -> Result<Self, Problem> {
        let tls = if server.plain {
            if !server.addr.ip().is_loopback() {
                return Err(Problem::lasting(format!(
                    "{}: in the clear nothing leaves this machine",
                    server.addr
                )));
            }
            None
        } else {
            let believe = server.ca_file.as_deref().map_or(Believe::Machine, Believe::File);
            let config = tls::config(believe).await.map_err(|error| match &error {
                BadTrust::Read(file, why) => Problem::of_file(file.display(), why),
                // As too many open files can look.
                BadTrust::Nobody => Problem::passing(one_line(&error)),
                BadTrust::Pem(..) | BadTrust::Setup(_) => Problem::lasting(one_line(&error)),
            })?;
            Some(config)
        };
        Ok(Self {
            server: server.clone(),
            tls,
            headers: HeaderMap::new(),
        })
    }

    /// From now on every request has this header, which may be a secret.
    ///
    /// # Errors
    /// A lasting [`Problem`] when the value cannot stand in a header; the value is not shown.
    pub fn always(&mut self, name: &'static str, value: &str) -> Result<(), Problem> {
        let name = HeaderName::from_static(name);
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            Problem::lasting(format!(
                "{}: what stands in the file of the credential cannot be sent as {name}",
                self.server.addr
            ))
        })?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    /// From now on every request says who asks, by user and password (RFC 7617).
    ///
    /// # Errors
    /// A lasting [`Problem`] when the user has a colon in it.
    pub fn basic(&mut self, user: &str, password: &str) -> Result<(), Problem> {
        if user.contains(':') {
            return Err(Problem::lasting(format!(
                "the account {user:?} has a colon in it, which cannot be sent"
            )));
        }
        let pair = Zeroizing::new(format!("{user}:{password}"));
        let value = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
        self.always("authorization", &value)
    }

    /// One request and its whole answer, whatever its status.
    ///
    /// # Errors
    /// [`Problem`]: lasting when somebody else answers, else passing.
    pub async fn ask(&self, ask: Ask) -> Result<Answer, Problem> {
        self.tell(ask, &Sent::default()).await
    }

    /// The same for a request that changes something: `sent` is set when it begins to leave, after
    /// the server has proven who it is.
    ///
    /// # Errors
    /// [`Problem`]: lasting when somebody else answers, else passing.
    pub async fn tell(&self, ask: Ask, sent: &Sent) -> Result<Answer, Problem> {
        let method = ask.method.clone();
        self.in_time(method.as_str(), self.exchange(ask, sent)).await
    }

    /// Connects and lets the server prove who it is. Asks nothing.
    ///
    /// # Errors
    /// [`Problem`]: lasting when somebody else answers, else passing.
    pub async fn reach(&self) -> Result<(), Problem> {
        let reach = async {
            match &self.tls {
                None => self.connect().await.map(drop),
                Some(config) => self.handshake(config, self.connect().await?).await.map(drop),
            }
        };
        self.in_time("a connection", reach).await
    }

    async fn in_time<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let limit = Duration::from_millis(self.server.timeout.0);
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            Err(Problem::passing(format!(
                "{}: no answer to {what} within {} s",
                self.server.addr,
                limit.as_secs_f64()
            )))
        })
    }

    async fn connect(&self) -> Result<TcpStream, Problem> {
        let addr = self.server.addr;
        let stream = TcpStream::connect(addr)
            .await
            .map_err(|error| Problem::passing(format!("connecting to {addr}: {error}")))?;
        // A request is a few small writes; the answer to each is waited for.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn handshake(
        &self,
        config: &Arc<ClientConfig>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Problem> {
        let name = self.server.name();
        let server = ServerName::try_from(name.clone())
            .map_err(|_| Problem::lasting(format!("{name} cannot stand in a certificate")))?;
        TlsConnector::from(Arc::clone(config))
            .connect(server, stream)
            .await
            .map_err(|error| handshake(self.server.addr, &name, &error))
    }

    async fn exchange(&self, ask: Ask, sent: &Sent) -> Result<Answer, Problem> {
        let addr = self.server.addr;
        let mut request = Request::builder()
            .method(ask.method)
            .uri(&ask.path)
            .body(Full::new(ask.body))
            .map_err(|error| Problem::lasting(format!("{addr}: {:?}: {error}", ask.path)))?;
        let authority = HeaderValue::try_from(self.server.authority()).expect("an address is plain ASCII");
        let headers = request.headers_mut();
        headers.insert(HOST, authority);
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("yagura/", env!("CARGO_PKG_VERSION"))),
        );
        headers.extend(self.headers.clone());
        headers.extend(ask.headers);

        let stream = self.connect().await?;
        match &self.tls {
            None => {
                sent.set();
                talk(addr, stream, request).await
            }
            Some(config) => {
                let stream = self.handshake(config, stream).await?;
                sent.set();
                talk(addr, stream, request).await
            }
        }
    }
}

/// Why the TLS handshake failed.
fn handshake(addr: std::net::SocketAddr, name: &str, error: &std::io::Error) -> Problem {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => Problem::lasting(format!(
            "{addr} shows a certificate that is not the expected one of {name} ({why:?}); name its \
             authority or the certificate itself by ca_file, and what it names by server_name"
        )),
        _ => Problem::passing(format!("TLS with {addr}: {error}")),
    }
}

async fn talk<S>(
    addr: std::net::SocketAddr,
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken =
        |error: hyper::Error| Problem::passing(format!("{addr} speaks no good HTTP: {}", one_line(&error)));
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        whole(addr, response).await
    };
    tokio::pin!(talk, connection);
    let mut open = true;
    loop {
        // Both are polled in place and go on after the other; the end of the connection is told by
        // the talk, which then fails or has its answer.
        tokio::select! {
            biased;
            answer = &mut talk => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

async fn whole(addr: std::net::SocketAddr, response: Response<Incoming>) -> Result<Answer, Problem> {
    let (head, mut body) = response.into_parts();
    let mut said = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::passing(format!("{addr}: the answer broke off: {}", one_line(&error)))
        })?;
        if let Some(more) = frame.data_ref() {
            if said.len() + more.len() > MAX_ANSWER {
                return Err(Problem::passing(format!(
                    "{addr}: the answer is longer than {MAX_ANSWER} bytes"
                )));
            }
            said.extend_from_slice(more);
        }
    }
    Ok(Answer {
        status: head.status,
        body: said,
        headers: head.headers,
        from: addr.to_string(),
    })
}

/// A secret from a file that nobody else can read; line breaks at its end are no part of it. Read
/// for each order: who renews it need not restart anything.
///
/// # Errors
/// [`Problem`]: lasting when a person must mend the file.
pub fn secret(path: &Path) -> Result<Zeroizing<String>, Problem> {
    let at = path.display();
    let unreadable = |error: std::io::Error| Problem::of_file(format_args!("reading {at}"), &error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // Asked of the opened file, so that it cannot be exchanged in between.
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(Problem::lasting(format!("{at} is not a file")));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(Problem::lasting(format!(
            "{at} can be read by others (mode {:04o}): chmod 600, and renew the secret if others use this machine",
            meta.mode() & 0o7777
        )));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_SECRET)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    if text.is_empty() {
        return Err(Problem::lasting(format!("{at} is empty")));
    }
    Ok(text)
}

/// An error and its causes in one line.
fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::time::Millis;
    use std::net::SocketAddr;
    use std::os::unix::fs::PermissionsExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn plain(addr: SocketAddr) -> Https {
        Https {
            addr,
            server_name: None,
            ca_file: None,
            plain: true,
            timeout: Millis(1000),
        }
    }

    /// Answers one connection with these bytes, and gives back what was asked.
    async fn one(answer: Vec<u8>) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        (addr, served)
    }

    async fn ask(answer: impl Into<Vec<u8>>) -> (Result<Answer, Problem>, String) {
        let (addr, served) = one(answer.into()).await;
        let mut client = Client::of(&plain(addr)).await.unwrap();
        client.always("authorization", "Bearer x").unwrap();
        let answer = client
            .ask(Ask::post("/a?b=c", &serde_json::json!({"d": 1})))
            .await;
        (answer, served.await.unwrap())
    }

    #[tokio::test]
    async fn a_request_is_asked_once_and_its_answer_is_read_whole() {
        let (answer, asked) =
            ask("HTTP/1.1 200 OK\r\nX-Auth-Token: t\r\nContent-Length: 7\r\n\r\n{\"e\":2}").await;
        let answer = answer.unwrap().good("asking").unwrap();
        assert_eq!(answer.header("x-auth-token"), Some("t"));
        assert_eq!(
            answer.json::<serde_json::Value>().unwrap(),
            serde_json::json!({"e": 2})
        );
        assert!(asked.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer x\r\n"), "{asked}");
        assert!(asked.ends_with("{\"d\":1}"), "{asked}");
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do_and_quotes_the_server_in_one_line() {
        let (answer, _) = ask("HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nno\nw").await;
        let problem = answer.unwrap().good("stopping").unwrap_err();
        assert!(problem.retryable);
        assert!(problem.text.contains("HTTP 403"), "{problem:?}");
        assert!(
            problem.text.ends_with("lacks the right to do it: no\\nw"),
            "{problem:?}"
        );
    }

    #[tokio::test]
    async fn garbage_floods_and_broken_answers_are_problems_in_words() {
        let endless = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
            MAX_ANSWER + 1,
            "x".repeat(MAX_ANSWER + 1)
        );
        for (bytes, expected) in [
            (b"SSH-2.0-x\r\n".to_vec(), "no good HTTP"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec(),
                "broke off",
            ),
            (endless.into_bytes(), "longer than"),
            (Vec::new(), "no good HTTP"),
            (
                [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 64 * 1024]].concat(),
                "no good HTTP",
            ),
        ] {
            let problem = ask(bytes).await.0.unwrap_err();
            assert!(
                problem.retryable && problem.text.contains(expected),
                "{problem:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Https {
            timeout: Millis(100),
            ..plain(listener.local_addr().unwrap())
        };
        let client = Client::of(&server).await.unwrap();
        let problem = client.ask(Ask::get("/")).await.unwrap_err();
        assert!(
            problem.text.ends_with("no answer to GET within 0.1 s"),
            "{problem:?}"
        );
    }

    #[tokio::test]
    async fn in_the_clear_nothing_leaves_the_machine() {
        let problem = Client::of(&plain("192.0.2.1:80".parse().unwrap()))
            .await
            .err()
            .unwrap();
        assert!(
            !problem.retryable && problem.text.contains("in the clear"),
            "{problem:?}"
        );
    }

    #[test]
    fn a_secret_is_read_from_a_file_of_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "s3cret\r\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(secret(&file).unwrap_err().text.contains("chmod 600"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(secret(&file).unwrap().as_str(), "s3cret");
        std::fs::write(&file, "\n").unwrap();
        assert!(secret(&file).unwrap_err().text.ends_with("is empty"));
        assert!(!secret(&dir.path().join("none")).unwrap_err().retryable);
    }
}
