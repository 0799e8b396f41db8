//! A client for our own API on this machine: HTTP/1.0, one request for each connection, every
//! wait and every length bounded. It knows nothing of redirects, TLS or compression.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for a connection or an answer; core has less time than that to answer web.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest answer in bytes: a snapshot.
const MAX_ANSWER: u64 = 8 << 20;
/// Longest head of an answer in bytes.
const MAX_HEAD: u64 = 16 << 10;
/// Longest silence of a stream: two of its keep-alive comments.
const STREAM_SILENT: Duration = Duration::from_secs(31);

/// Status and body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    /// What the API says is wrong, in both languages, or the body as it is.
    pub(super) fn problem(&self) -> String {
        let body: Option<serde_json::Value> = serde_json::from_str(&self.body).ok();
        let text = |key| body.as_ref().and_then(|body| body[key].as_str());
        match (text("error"), text("error_en")) {
            (Some(ja), Some(en)) => format!("{ja}\n        {en}"),
            _ => format!("HTTP {}: {}", self.status, self.body.trim()),
        }
    }
}

/// Where to find a server that listens on `addr`: one that listens everywhere is also here.
pub(super) fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// A name as one part of a path.
pub(super) fn escaped(name: &str) -> String {
    let mut part = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            part.push(char::from(byte));
        } else {
            part.push_str(&format!("%{byte:02X}"));
        }
    }
    part
}

/// `GET`.
pub(super) async fn get(addr: SocketAddr, path: &str) -> io::Result<Answer> {
    exchange(addr, &request("GET", addr, path, "")).await
}

/// `POST` of JSON.
pub(super) async fn post(addr: SocketAddr, path: &str, body: &serde_json::Value) -> io::Result<Answer> {
    exchange(addr, &request("POST", addr, path, &body.to_string())).await
}

fn request(method: &str, addr: SocketAddr, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.0\r\nHost: {addr}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn exchange(addr: SocketAddr, request: &str) -> io::Result<Answer> {
    let talk = async {
        let mut connection = begin(addr, request).await?;
        let status = head(&mut connection).await?;
        let mut body = String::new();
        connection.take(MAX_ANSWER).read_to_string(&mut body).await?;
        Ok(Answer { status, body })
    };
    timeout(ANSWER_WITHIN, talk)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn begin(addr: SocketAddr, request: &str) -> io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(request.as_bytes()).await?;
    Ok(BufReader::new(stream))
}

/// Reads the head up to the empty line; the status code.
async fn head(connection: &mut BufReader<TcpStream>) -> io::Result<u16> {
    let mut head = connection.take(MAX_HEAD);
    let mut line = String::new();
    head.read_line(&mut line).await?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    loop {
        line.clear();
        if head.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim_end().is_empty() {
            return status.ok_or_else(|| io::Error::other("this is no HTTP server"));
        }
    }
}

/// The live stream.
pub(super) struct Stream(BufReader<TcpStream>);

/// Opens the live stream.
pub(super) async fn stream(addr: SocketAddr) -> io::Result<Stream> {
    let open = async {
        let mut connection = begin(addr, &request("GET", addr, "/api/v1/stream", "")).await?;
        match head(&mut connection).await? {
            200 => Ok(Stream(connection)),
            status => Err(io::Error::other(format!("the stream answers HTTP {status}"))),
        }
    };
    timeout(ANSWER_WITHIN, open)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Stream {
    /// The next event: its name and data. Not cancel-safe.
    pub(super) async fn next(&mut self) -> io::Result<(String, String)> {
        let mut event = String::new();
        loop {
            let mut line = String::new();
            let mut bounded = (&mut self.0).take(MAX_ANSWER);
            let read = timeout(STREAM_SILENT, bounded.read_line(&mut line))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(name) = line.strip_prefix("event: ") {
                name.trim_end().clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Ok((event, data.trim_end().to_owned()));
            }
        }
    }
}
