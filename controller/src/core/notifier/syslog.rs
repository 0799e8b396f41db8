//! Syslog by RFC 5424, over UDP (RFC 5426), TCP with octet counting (RFC 6587) and TLS (RFC 5425).
//!
//! ```text
//! <PRI>1 TIME HOST yagura PID MSGID [yagura@32473 key="..." alarm="..." ...] BOM text
//! ```
//! Syslog has no acknowledgement. So that a notice is not called sent when it is lost, each one has a
//! connection of its own, which is closed in order: we send, look for a tenth of a second whether
//! the server has hung up on us, close our half, and wait for the server to close the other. A
//! server that does so has read everything to its end. One that was restarted, that is full, or
//! that a firewall forgot, is noticed with the very message that would have been lost. Of a server that holds its half open we only know that its TCP acknowledged every byte:
//! `TCP_USER_TIMEOUT` makes the connection fail when it does not. What no syslog can promise is
//! that the message was *written* there; and over UDP nothing is known but that nobody refused the
//! datagram within a tenth of a second.
//!
//! The enterprise number of the structured data is the one kept for documentation (RFC 5612).

use super::cut;
use crate::tls::{self, Believe};
use room::notice::document::word;
use room::notice::text::{Language, line, text};
use room::notice::{About, Moment, Notice, SendFailure, Told};
use room::site::Priority;
use room::site::notifier::host::Tls;
use room::site::notifier::syslog::{self as config, Transport};
use room::time::Wall;
use rustls::pki_types::ServerName;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

/// Longest message over UDP: what every receiver should take (RFC 5424 6.1) and Ethernet carries in
/// two fragments at most.
const DATAGRAM_MAX: usize = 2048;
/// Longest message over TCP and TLS: what rsyslog and syslog-ng take unless told otherwise.
const MESSAGE_MAX: usize = 8192;
/// Part of a message that the structured data may take.
const DATA_PART: usize = 2;
/// Longest value of a parameter in bytes, before it is quoted.
const VALUE_MAX: usize = 256;
/// Longest HOSTNAME, RFC 5424 6.
const HOST_MAX: usize = 255;
/// Wait for somebody to refuse a datagram (ICMP port unreachable).
const REFUSAL_WAIT: Duration = Duration::from_millis(100);
/// Wait for a server that hangs up before it can have read anything (one that is full, a proxy
/// without one behind it): longer than any way within a city and back.
const HANG_UP_WAIT: Duration = Duration::from_millis(100);
/// Wait for the server to close its half.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Most bytes that a server may say before it closes; syslog servers say nothing.
const CHATTER_MAX: usize = 64 * 1024;
/// 9999-12-31T23:59:59.999Z, the last moment that RFC 3339 can write.
const WALL_MAX: i64 = 253_402_300_799_999;

/// A log server.
pub(super) struct Syslog {
    config: config::Syslog,
    host: String,
    utc_offset_min: i16,
}

impl Syslog {
    pub(super) fn new(config: config::Syslog, utc_offset_min: i16) -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            config,
            host: host_name(&name),
            utc_offset_min,
        }
    }

    /// Sends a notice once.
    ///
    /// # Errors
    /// Every failure but a wrong certificate file may pass; a tower's lamp is nothing to log.
    pub(super) async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        if matches!(notice.about, About::Lamp(_)) {
            return Err(SendFailure::lasting("lamps are shown by signal towers only"));
        }
        let longest = match self.config.transport {
            Transport::Udp => DATAGRAM_MAX,
            Transport::Tcp | Transport::Tls(_) => MESSAGE_MAX,
        };
        let text = spoken(notice, self.config.language, self.utc_offset_min);
        let message = message(notice, self.config.facility, &self.host, &text, longest);
        let limit = Duration::from_millis(self.config.timeout.0);
        match tokio::time::timeout(limit, self.carry(&message)).await {
            Ok(result) => result,
            Err(_) => Err(SendFailure::passing(format!(
                "the log server {} took longer than {} s",
                self.config.addr,
                limit.as_secs_f64()
            ))),
        }
    }

    async fn carry(&self, message: &str) -> Result<(), SendFailure> {
        let addr = self.config.addr;
        let passing = |what: &str, error: std::io::Error| {
            SendFailure::passing(format!("{what} the log server {addr}: {error}"))
        };
        match &self.config.transport {
            Transport::Udp => datagram(addr, message.as_bytes())
                .await
                .map_err(|error| passing("sending to", error)),
            Transport::Tcp => {
                let stream = connect(addr)
                    .await
                    .map_err(|error| passing("connecting to", error))?;
                whole(stream, message)
                    .await
                    .map_err(|error| passing("sending to", error))
            }
            Transport::Tls(Tls { ca_file, name }) => {
                let believe = ca_file
                    .as_ref()
                    .map_or(Believe::Machine, |path| Believe::File(path));
                let trust = tls::config(believe)
                    .await
                    .map_err(|error| SendFailure::lasting(error.to_string()))?;
                let name = match name {
                    Some(name) => ServerName::try_from(name.clone())
                        .map_err(|_| SendFailure::lasting(format!("`{name}` is no name of a server")))?,
                    None => ServerName::IpAddress(addr.ip().into()),
                };
                let stream = connect(addr)
                    .await
                    .map_err(|error| passing("connecting to", error))?;
                let stream = TlsConnector::from(trust)
                    .connect(name, stream)
                    .await
                    .map_err(|error| passing("agreeing on TLS with", error))?;
                whole(stream, message)
                    .await
                    .map_err(|error| passing("sending to", error))
            }
        }
    }
}

/// The machine's name as RFC 5424 wants it.
fn host_name(name: &str) -> String {
    let mut name: String = name.trim().chars().filter(char::is_ascii_graphic).collect();
    name.truncate(HOST_MAX);
    if name.is_empty() { "-".to_owned() } else { name }
}

async fn datagram(addr: SocketAddr, message: &[u8]) -> std::io::Result<()> {
    let any: SocketAddr = if addr.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    // A connected socket is told what ICMP says of its datagrams.
    socket.connect(addr).await?;
    socket.send(message).await?;
    match tokio::time::timeout(REFUSAL_WAIT, socket.recv(&mut [0; 16])).await {
        Ok(Err(refused)) => Err(refused),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

async fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    // What is not acknowledged by then makes the connection fail, and our wait for its end with it.
    let until = u32::try_from(CLOSE_WAIT.as_millis()).expect("2,000 fits") / 2;
    rustix::net::sockopt::set_tcp_user_timeout(&stream, until)?;
    Ok(stream)
}

/// Sends one message, closes our half, and waits for the other to be closed.
async fn whole(mut stream: impl AsyncRead + AsyncWrite + Unpin, message: &str) -> std::io::Result<()> {
    // RFC 6587 3.4.1: MSG-LEN SP SYSLOG-MSG, the length in octets.
    let frame = format!("{} {message}", message.len());
    stream.write_all(frame.as_bytes()).await?;
    stream.flush().await?;
    let mut chatter = [0; 1024];
    // Its end before ours does not say that it has read anything; after ours it does.
    if let Ok(early) = tokio::time::timeout(HANG_UP_WAIT, stream.read(&mut chatter)).await
        && early? == 0
    {
        return Err(std::io::Error::other(
            "it hung up before the message was at its end",
        ));
    }
    stream.shutdown().await?;
    let end = async {
        let mut said = 0;
        loop {
            match stream.read(&mut chatter).await {
                // TLS servers may close without saying so; by then they have read ours.
                Ok(0) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
                Ok(length) => said += length,
            }
            if said > CHATTER_MAX {
                return Err(std::io::Error::other("it says more than any log server does"));
            }
        }
    };
    match tokio::time::timeout(CLOSE_WAIT, end).await {
        Ok(end) => end,
        // It holds its half open; TCP has acknowledged every byte, or it would have failed.
        Err(_) => Ok(()),
    }
}

/// A notice as a message of RFC 5424, at most `longest` bytes.
fn message(notice: &Notice, facility: u8, host: &str, text: &str, longest: usize) -> String {
    let mut message = format!(
        "<{}>1 {} {host} yagura {} {} ",
        u16::from(facility) * 8 + u16::from(severity(&notice.about)),
        timestamp(notice.at),
        std::process::id(),
        message_id(&notice.about),
    );
    let room_for_data = longest / DATA_PART;
    message.push_str("[yagura@32473");
    for (name, value) in parameters(notice) {
        let value = quoted(&value);
        // One more for the bracket. The most telling parameters stand first.
        if message.len() + name.len() + value.len() + 5 <= room_for_data {
            let _ = write!(message, " {name}=\"{value}\"");
        }
    }
    // RFC 5424 6.4: text in UTF-8 begins with a byte order mark.
    message.push_str("] \u{feff}");
    message.push_str(cut(text, longest - message.len()));
    message
}

/// One line for people: the subject, and of an alarm why it stands and what to do.
fn spoken(notice: &Notice, language: Language, utc_offset_min: i16) -> String {
    let mut said = text(notice, language, utc_offset_min).subject;
    if let About::Alarm(told) = &notice.about {
        for label in [&told.because, &told.action] {
            let more = line(match language {
                Language::Ja => &label.ja,
                Language::En => &label.en,
            });
            if !more.is_empty() {
                said.push_str(" / ");
                said.push_str(&more);
            }
        }
    }
    said
}

/// RFC 5424 6.2.3; a moment that cannot be written is not known.
fn timestamp(at: Wall) -> String {
    if !(0..=WALL_MAX).contains(&at.0) {
        return "-".to_owned();
    }
    jiff::Timestamp::from_millisecond(at.0).map_or_else(
        |_| "-".to_owned(),
        |at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}

/// RFC 5424 6.2.1, table 2.
fn severity(about: &About) -> u8 {
    const CRITICAL: u8 = 2;
    const WARNING: u8 = 4;
    const NOTICE: u8 = 5;
    const INFORMATIONAL: u8 = 6;
    let of = |priority| match priority {
        Priority::Critical => CRITICAL,
        Priority::Warning => WARNING,
        Priority::Advisory => NOTICE,
    };
    match about {
        About::Alarm(told) => match told.moment {
            Moment::Raised | Moment::Escalated | Moment::Reminder => of(told.priority),
            Moment::Acknowledged | Moment::Shelved | Moment::Returned => NOTICE,
        },
        About::Summary(summary) => match summary.counts {
            [0, 0, _] => NOTICE,
            [0, ..] => WARNING,
            _ => CRITICAL,
        },
        About::Test { .. } => NOTICE,
        About::Heartbeat { .. } | About::Lamp(_) => INFORMATIONAL,
    }
}

const fn moment_word(moment: Moment) -> &'static str {
    match moment {
        Moment::Raised => "raised",
        Moment::Escalated => "escalated",
        Moment::Reminder => "reminder",
        Moment::Acknowledged => "acknowledged",
        Moment::Shelved => "shelved",
        Moment::Returned => "returned",
    }
}

/// MSGID, at most 32 characters (RFC 5424 6.2.7): what rules of a log server select by.
const fn message_id(about: &About) -> &'static str {
    match about {
        About::Alarm(told) => match told.moment {
            Moment::Raised => "alarm-raised",
            Moment::Escalated => "alarm-escalated",
            Moment::Reminder => "alarm-reminder",
            Moment::Acknowledged => "alarm-acknowledged",
            Moment::Shelved => "alarm-shelved",
            Moment::Returned => "alarm-returned",
        },
        About::Summary(_) => "alarm-summary",
        About::Test { .. } => "test",
        About::Heartbeat { .. } => "heartbeat",
        About::Lamp(_) => "lamp",
    }
}

/// The structured data, the most telling first. No names of persons.
fn parameters(notice: &Notice) -> Vec<(&'static str, String)> {
    let mut all = vec![("key", notice.id()), ("attempt", notice.attempt.to_string())];
    if notice.simulated {
        all.push(("simulated", "true".to_owned()));
    }
    match &notice.about {
        About::Alarm(told) => {
            let Told {
                moment,
                alarm,
                priority,
                class,
                place,
                since,
                lasted,
                count,
                folded,
                ..
            } = told.as_ref();
            all.extend([
                ("alarm", alarm.clone()),
                ("moment", moment_word(*moment).to_owned()),
                ("priority", word(*priority).to_owned()),
                ("class", class.clone()),
                ("since", timestamp(*since)),
                ("lasted", (lasted.0 / 1000).to_string()),
                ("count", count.to_string()),
                ("folded", folded.to_string()),
                ("place", place.en.clone()),
            ]);
        }
        About::Summary(summary) => {
            for (name, count) in ["critical", "warning", "advisory"]
                .into_iter()
                .zip(summary.counts)
            {
                all.push((name, count.to_string()));
            }
        }
        About::Heartbeat { count } => all.push(("count", count.to_string())),
        About::Test { .. } | About::Lamp(_) => {}
    }
    all.push(("site", notice.site.en.clone()));
    all
}

/// RFC 5424 6.3.3: a quote, a backslash and a closing bracket are escaped.
fn quoted(value: &str) -> String {
    let value = line(value);
    let mut quoted = String::new();
    for ch in cut(&value, VALUE_MAX).chars() {
        if matches!(ch, '"' | '\\' | ']') {
            quoted.push('\\');
        }
        quoted.push(ch);
    }
    quoted
}

#[cfg(test)]
mod tests;
