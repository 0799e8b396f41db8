//! One connection to a NUT server: bytes in bounded lines, with or without TLS.
//!
//! A connection belongs to one exchange at a time. It is dropped, never mended, when anything
//! about an exchange is not as it should be: a late answer must not become the next one.

use super::Failure;
use super::line::{ErrorToken, Line, quoted};
use crate::tls::{self, Believe};
use room::nut::VARIABLES_MAX;
use room::site::link::NutTls;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::task::Poll;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest line of a server, in bytes; stock servers end at 1,024.
pub(super) const LINE_MAX: usize = 4096;
/// Lines of one answer that are nothing this client knows.
const UNKNOWN_MAX: usize = 16;
/// UPSes of a server that are named to a person.
const UPSES_MAX: usize = 64;
/// Largest password file, in bytes.
const PASSWORD_MAX: usize = 1024;
/// Bytes read at once.
const CHUNK: usize = 8192;

/// How a server is reached. Two devices with the same one share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    pub(super) login: Option<(String, PathBuf)>,
    pub(super) tls: NutTls,
    pub(super) ca_file: Option<PathBuf>,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// An open connection, logged in if the site says so.
pub(super) struct Connection {
    wire: Wire,
    buffer: Vec<u8>,
    encrypted: bool,
    /// Lines that were skipped.
    pub(super) unknown: u64,
    /// An answer ended before its end: nothing more can be asked.
    pub(super) out_of_step: bool,
}

impl Connection {
    /// Connects, encrypts and logs in.
    pub(super) async fn open(target: &Target) -> Result<Self, Failure> {
        let stream = TcpStream::connect(target.addr).await.map_err(Failure::Connect)?;
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        let mut connection = Self {
            wire: Wire::Plain(stream),
            buffer: Vec::new(),
            encrypted: false,
            unknown: 0,
            out_of_step: false,
        };
        if target.tls != NutTls::Off {
            connection = connection.encrypt(target).await?;
        }
        if let Some((user, file)) = &target.login {
            let password = password(file).await?;
            let bad = || Failure::Setup("user or password has characters that NUT cannot take".to_owned());
            connection
                .command("USERNAME", &quoted(user).ok_or_else(bad)?)
                .await?;
            connection
                .command("PASSWORD", &quoted(&password).ok_or_else(bad)?)
                .await?;
        }
        Ok(connection)
    }

    /// True when nobody can listen.
    pub(super) const fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    async fn encrypt(mut self, target: &Target) -> Result<Self, Failure> {
        self.send("STARTTLS\n").await?;
        match self.line().await? {
            Line::Ok(_) => {}
            Line::Err(ErrorToken::NoTls | ErrorToken::UnknownCommand) if target.tls == NutTls::Try => {
                return Ok(self);
            }
            Line::Err(token) => return Err(Failure::NoTls(token)),
            _ => return Err(Failure::Strange("the answer to STARTTLS".to_owned())),
        }
        // What came in the clear after the answer was not sent by whom we are about to verify.
        if !self.buffer.is_empty() {
            return Err(Failure::Strange("bytes before the TLS handshake".to_owned()));
        }
        let Wire::Plain(stream) = self.wire else {
            return Err(Failure::Strange("TLS within TLS".to_owned()));
        };
        let config = tls::config(target.ca_file.as_deref().map_or(Believe::Anyone, Believe::File))
            .await
            .map_err(|error| Failure::Setup(error.to_string()))?;
        let name = ServerName::IpAddress(target.addr.ip().into());
        let stream = TlsConnector::from(config).connect(name, stream).await;
        Ok(Self {
            wire: Wire::Tls(Box::new(stream.map_err(Failure::Handshake)?)),
            buffer: Vec::new(),
            encrypted: true,
            unknown: self.unknown,
            out_of_step: false,
        })
    }

    /// A command that is answered by `OK`.
    async fn command(&mut self, verb: &'static str, word: &str) -> Result<(), Failure> {
        self.send(&format!("{verb} {word}\n")).await?;
        match self.answer().await? {
            Line::Ok(_) => Ok(()),
            Line::Err(token) => Err(Failure::Refused(token)),
            _ => Err(Failure::Strange(format!("the answer to {verb}"))),
        }
    }

    /// Every variable of a UPS, in one request.
    pub(super) async fn variables(&mut self, ups: &str) -> Result<Vec<(String, String)>, Failure> {
        self.send(&format!("LIST VAR {}\n", name(ups)?)).await?;
        let is_ours = |words: &[String]| matches!(words, [list, of] if list.eq_ignore_ascii_case("VAR") && of.eq_ignore_ascii_case(ups));
        match self.answer().await? {
            Line::Begin(words) if is_ours(&words) => {}
            Line::Err(token) => return Err(Failure::Refused(token)),
            _ => return Err(Failure::Strange("another answer than to LIST VAR".to_owned())),
        }
        let mut variables = Vec::new();
        loop {
            match self.answer().await? {
                Line::Var { ups: of, name, value } if of.eq_ignore_ascii_case(ups) => {
                    if variables.len() == VARIABLES_MAX {
                        return Err(Failure::Strange(format!("more than {VARIABLES_MAX} variables")));
                    }
                    variables.push((name, value));
                }
                Line::End(words) if is_ours(&words) => return Ok(variables),
                Line::Err(token) => {
                    // The rest of the list may still come, and must not become the next answer.
                    self.out_of_step = true;
                    return Err(Failure::Refused(token));
                }
                _ => return Err(Failure::Strange("a line of another answer in a list".to_owned())),
            }
        }
    }

    /// One variable of a UPS.
    pub(super) async fn variable(&mut self, ups: &str, variable: &str) -> Result<String, Failure> {
        self.send(&format!("GET VAR {} {}\n", name(ups)?, name(variable)?))
            .await?;
        match self.answer().await? {
            Line::Var { ups: of, name, value }
                if of.eq_ignore_ascii_case(ups) && name.eq_ignore_ascii_case(variable) =>
            {
                Ok(value)
            }
            Line::Err(token) => Err(Failure::Refused(token)),
            _ => Err(Failure::Strange("another answer than to GET VAR".to_owned())),
        }
    }

    /// Asks the server to say what became of commands; false when it is too old to.
    pub(super) async fn track(&mut self) -> Result<bool, Failure> {
        match self.command("SET TRACKING", "ON").await {
            Ok(()) => Ok(true),
            Err(Failure::Refused(_)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Gives an order (`INSTCMD ...`, `SET VAR ...`); its number, when the server tracks it.
    pub(super) async fn order(&mut self, order: &str) -> Result<Option<String>, Failure> {
        self.send(&format!("{order}\n")).await?;
        match self.answer().await? {
            Line::Ok(words) => match words.as_slice() {
                [tracking, id] if tracking == "TRACKING" => Ok(Some(id.clone())),
                _ => Ok(None),
            },
            Line::Err(token) => Err(Failure::Refused(token)),
            _ => Err(Failure::Strange("another answer than to an order".to_owned())),
        }
    }

    /// Whether a tracked order is done; an error of the driver is [`Failure::Refused`].
    pub(super) async fn is_done(&mut self, id: &str) -> Result<bool, Failure> {
        self.send(&format!("GET TRACKING {}\n", name(id)?)).await?;
        match self.answer().await? {
            Line::Success => Ok(true),
            Line::Pending => Ok(false),
            Line::Err(token) => Err(Failure::Refused(token)),
            _ => Err(Failure::Strange("another answer than to GET TRACKING".to_owned())),
        }
    }

    /// Every UPS of the server with its description.
    pub(super) async fn upses(&mut self) -> Result<Vec<(String, String)>, Failure> {
        self.send("LIST UPS\n").await?;
        match self.answer().await? {
            Line::Begin(_) => {}
            Line::Err(token) => return Err(Failure::Refused(token)),
            _ => return Err(Failure::Strange("another answer than to LIST UPS".to_owned())),
        }
        let mut upses = Vec::new();
        loop {
            match self.answer().await? {
                Line::Ups { name, text } if upses.len() < UPSES_MAX => upses.push((name, text)),
                Line::End(_) => return Ok(upses),
                _ => return Err(Failure::Strange("a line of another answer in a list".to_owned())),
            }
        }
    }

    async fn send(&mut self, text: &str) -> Result<(), Failure> {
        // Whatever waits here, read already or not, answers nothing that was asked.
        let waiting = {
            let mut fill = std::pin::pin!(self.fill());
            std::future::poll_fn(|cx| Poll::Ready(fill.as_mut().poll(cx))).await
        };
        if let Poll::Ready(ended) = waiting {
            ended?;
        }
        if !self.buffer.is_empty() {
            return Err(Failure::Strange("an answer to no question".to_owned()));
        }
        let sent = match &mut self.wire {
            Wire::Plain(stream) => stream.write_all(text.as_bytes()).await,
            Wire::Tls(stream) => match stream.write_all(text.as_bytes()).await {
                Ok(()) => stream.flush().await,
                Err(error) => Err(error),
            },
        };
        sent.map_err(Failure::Lost)
    }

    /// The next line that is one this client knows.
    async fn answer(&mut self) -> Result<Line, Failure> {
        for _ in 0..UNKNOWN_MAX {
            match self.line().await? {
                Line::Unknown => self.unknown += 1,
                known => return Ok(known),
            }
        }
        Err(Failure::Strange(format!("{UNKNOWN_MAX} lines that are no NUT")))
    }

    async fn line(&mut self) -> Result<Line, Failure> {
        let mut looked = 0;
        loop {
            if let Some(end) = self.buffer[looked..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(looked + end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                let text = String::from_utf8_lossy(&line);
                return Ok(Line::read(text.trim_end_matches(['\r', '\n'])));
            }
            looked = self.buffer.len();
            if looked > LINE_MAX {
                return Err(Failure::Strange(format!("a line of more than {LINE_MAX} bytes")));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        let mut chunk = [0; CHUNK];
        let read = match &mut self.wire {
            Wire::Plain(stream) => {
                acknowledge_at_once(stream);
                stream.read(&mut chunk).await
            }
            Wire::Tls(stream) => {
                acknowledge_at_once(stream.get_ref().0);
                stream.read(&mut chunk).await
            }
        };
        match read {
            Ok(0) => Err(Failure::Closed),
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) => Err(Failure::Lost(error)),
        }
    }
}

/// A stock server writes its lines one by one without TCP_NODELAY: each waits for our
/// acknowledgement of the one before, which the kernel delays by 40 ms unless it is told not to.
/// The kernel forgets it again, so it is said before every read.
fn acknowledge_at_once(stream: &TcpStream) {
    // Only speed is lost where it does not work.
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

fn name(text: &str) -> Result<String, Failure> {
    quoted(text).ok_or_else(|| Failure::Setup(format!("`{}` is no name of NUT", text.escape_debug())))
}

async fn password(file: &Path) -> Result<String, Failure> {
    let bad = |why: String| Failure::Setup(format!("password file {}: {why}", file.display()));
    let bytes = tokio::fs::read(file)
        .await
        .map_err(|error| bad(error.to_string()))?;
    if bytes.len() > PASSWORD_MAX {
        return Err(bad(format!("it is larger than {PASSWORD_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| bad("it is no text".to_owned()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
