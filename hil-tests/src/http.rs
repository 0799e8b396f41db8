//! A small blocking HTTP/1.1 client for tests: one request a connection, and event streams.
//!
//! It speaks only what the product serves on loopback; a real browser and real clients judge the
//! rest.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Longest wait for one answer.
pub const ANSWER: Duration = Duration::from_secs(10);
/// Events waiting for a test.
const MAX_EVENTS: usize = 100_000;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines as they came.
    pub head: String,
    /// Body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}

/// Sends a request and reads the whole answer.
///
/// # Errors
/// Of the socket, or when the answer is not HTTP.
pub fn request(addr: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&addr, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let body = body.map(ToString::to_string).unwrap_or_default();
    let content = if body.is_empty() {
        String::new()
    } else {
        format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        )
    };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{content}\r\n{body}"
    )?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    parse(&text)
        .ok_or_else(|| std::io::Error::other(format!("no HTTP answer: {}", String::from_utf8_lossy(&text))))
}

fn parse(text: &[u8]) -> Option<Answer> {
    let split = text.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&text[..split]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let raw = &text[split + 4..];
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        dechunk(raw)?
    } else {
        raw.to_vec()
    };
    Some(Answer {
        status,
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn dechunk(mut raw: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = raw.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&raw[..end]).ok()?.trim(), 16).ok()?;
        raw = raw.get(end + 2..)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(raw.get(..length)?);
        raw = raw.get(length + 2..)?;
    }
}

/// One event of a stream.
#[derive(Debug, Clone)]
pub struct StreamEvent {
    /// `snapshot`, `records`, ...
    pub name: String,
    /// Data.
    pub data: Value,
    /// When its last line was read.
    pub at: Instant,
}

/// A live event stream, read by a thread that ends with its connection.
#[derive(Debug)]
pub struct Stream {
    events: Receiver<StreamEvent>,
    socket: TcpStream,
}

impl Stream {
    /// Connects.
    ///
    /// # Errors
    /// Of the socket.
    pub fn open(addr: SocketAddr, path: &str) -> std::io::Result<Self> {
        let mut socket = TcpStream::connect_timeout(&addr, ANSWER)?;
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nHost: {addr}\r\nAccept: text/event-stream\r\n\r\n"
        )?;
        let reading = BufReader::new(socket.try_clone()?);
        let (sender, events) = sync_channel(MAX_EVENTS);
        std::thread::spawn(move || {
            let (mut name, mut data) = (String::new(), String::new());
            // Chunk sizes stand on lines of their own and match no field, so they fall through.
            for line in reading.lines() {
                let Ok(line) = line else { return };
                if let Some(word) = line.strip_prefix("event:") {
                    word.trim().clone_into(&mut name);
                } else if let Some(text) = line.strip_prefix("data:") {
                    data.push_str(text.trim_start());
                } else if line.is_empty() && !data.is_empty() {
                    let event = serde_json::from_str(&data).map(|data| StreamEvent {
                        name: std::mem::take(&mut name),
                        data,
                        at: Instant::now(),
                    });
                    data.clear();
                    if let Ok(event) = event
                        && sender.send(event).is_err()
                    {
                        return;
                    }
                }
            }
        });
        Ok(Self { events, socket })
    }

    /// The next event for which `pick` brings a value.
    ///
    /// # Panics
    /// When none comes within `bound`.
    pub fn find<T>(&self, what: &str, bound: Duration, mut pick: impl FnMut(&StreamEvent) -> Option<T>) -> T {
        let end = Instant::now() + bound;
        loop {
            match self
                .events
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(event) => {
                    if let Some(found) = pick(&event) {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("the stream brought no {what} within {bound:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the stream ended before {what}"),
            }
        }
    }

    /// The next record of this kind for which `pick` holds, with the moment it was read.
    ///
    /// # Panics
    /// When none comes within `bound`.
    pub fn record(&self, kind: &str, bound: Duration, pick: impl Fn(&Value) -> bool) -> (Value, Instant) {
        self.find(kind, bound, |event| {
            if event.name != "records" {
                return None;
            }
            let rows = event.data.as_array()?;
            rows.iter()
                .find(|row| row["kind"] == kind && pick(row))
                .map(|row| (row.clone(), event.at))
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}
