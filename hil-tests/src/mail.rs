//! aiosmtpd, a mail server that is not ours, in the Python of [`crate::pymodbus`].

use crate::Child;
use crate::certificate::Certificates;
use serde::Deserialize;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than Python takes to start on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);
/// The account that the servers with TLS demand.
pub const ACCOUNT: (&str, &str) = ("yagura", "a password");

/// How the server takes mail.
#[derive(Debug, Clone, Copy)]
pub enum Taking<'a> {
    /// In the clear, from anybody.
    Clear,
    /// After STARTTLS, with an account.
    Starttls(&'a Certificates),
    /// With TLS from the first byte, with an account.
    Implicit(&'a Certificates),
}

/// A mail as the server took it and Python's parser reads it.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    /// When its last byte was there, in milliseconds since 1970.
    pub accepted_ms: i64,
    /// Of MAIL FROM.
    pub from: String,
    /// Of RCPT TO.
    pub to: Vec<String>,
    /// It came over TLS.
    pub tls: bool,
    /// It came from the account.
    pub login: bool,
    /// What the client called itself.
    pub hello: String,
    /// Every header, decoded, names in lower case, in the order of the mail.
    pub headers: Vec<(String, String)>,
    /// What the parser objected to.
    pub defects: Vec<String>,
    /// Decoded.
    pub subject: String,
    /// Decoded.
    pub text: String,
    /// It has several parts.
    pub parts: bool,
    /// Bytes of its longest line.
    pub longest: usize,
    /// Every byte of it is ASCII.
    pub ascii: bool,
    /// Line feeds without carriage return.
    pub bare: usize,
}

impl Mail {
    /// Every header of this name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The one header of this name.
    ///
    /// # Panics
    /// When there is none or several.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        match self.all(name).as_slice() {
            [one] => one,
            other => panic!("{name}: {other:?} in {:?}", self.headers),
        }
    }
}

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct MailServer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Before the child: its end ends the child.
    orders: ChildStdin,
    said: Receiver<(Instant, String)>,
    waiting: Vec<(Instant, Mail)>,
    _child: Child,
}

impl MailServer {
    /// Starts it on a port of its choice.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(python: &Path, taking: Taking<'_>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aiosmtpd/server.py");
        let mut command = Command::new(python);
        command.arg(script);
        match taking {
            Taking::Clear => command.arg("none"),
            Taking::Starttls(files) => command.arg("starttls").arg(&files.server).arg(&files.key),
            Taking::Implicit(files) => command.arg("implicit").arg(&files.server).arg(&files.key),
        };
        // What it logs of each mail it refuses would fill the test's log.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = Child::start(&mut command);
        let orders = child.inner().stdin.take().expect("it was asked for");
        let out = child.inner().stdout.take().expect("it was asked for");
        let (say, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if say.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        let (_, ready) = said.recv_timeout(BOUND).expect("aiosmtpd starts");
        let port = ready.strip_prefix("ready ").and_then(|port| port.parse().ok());
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], port.expect("it says its port"))),
            orders,
            said,
            waiting: Vec::new(),
            _child: child,
        }
    }

    /// From now on mails are treated so: `accept`, `tempfail`, `hang` or `close`.
    ///
    /// # Panics
    /// When the server has ended.
    pub fn mode(&mut self, mode: &str) {
        writeln!(self.orders, "{mode}").expect("the server reads its orders");
        loop {
            let (at, line) = self
                .said
                .recv_timeout(BOUND)
                .expect("the server answers its orders");
            if line == "ok" {
                return;
            }
            self.waiting.push((at, read(&line)));
        }
    }

    /// The next mail that was taken, and when.
    ///
    /// # Panics
    /// When none comes within `bound`.
    pub fn next(&mut self, bound: Duration) -> (Instant, Mail) {
        if !self.waiting.is_empty() {
            return self.waiting.remove(0);
        }
        let (at, line) = self.said.recv_timeout(bound).expect("a mail arrives");
        (at, read(&line))
    }

    /// Mails that were taken and not looked at. Asks the server first, so that none is under way.
    pub fn rest(&mut self) -> Vec<Mail> {
        self.mode("accept");
        self.waiting.drain(..).map(|(_, mail)| mail).collect()
    }
}

fn read(line: &str) -> Mail {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}
