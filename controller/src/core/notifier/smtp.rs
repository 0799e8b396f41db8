//! Mail: one connection, one mail, one recipient.
//!
//! lettre writes the mail and speaks SMTP; the connection is ours: it is bounded in time and in
//! bytes, TLS is that of the rest of the product (pins and authorities of the site), and nothing
//! that came before the TLS handshake is taken for an answer after it.
//!
//! ```text
//! connect -> [TLS] -> greeting, EHLO -> [STARTTLS -> TLS -> EHLO] -> [AUTH] -> MAIL, RCPT, DATA -> QUIT
//! ```
//! What the server says counts: 4xx may be tried again, 5xx may not, and its words are passed on
//! without the recipient's address. A mail whose last word does not come may have been taken: it is
//! sent again with the same Message-ID, by which the second copy is recognised.

use super::reach::{self, Trust};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use room::notice::text::{line, text};
use room::notice::{About, Moment, Notice, SendFailure, identity};
use room::site::Priority;
use room::site::notifier::smtp::{self as config, SmtpTls, is_address};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf,
};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Most bytes that a server may say in one conversation: some forty answers of the longest line.
const MAX_SAID: usize = 64 * 1024;
/// Longest wait for the answer to QUIT; the mail is taken whatever it is.
const QUIT_WITHIN: Duration = Duration::from_secs(1);
/// The last moment that a mail's date can name.
const LAST_DATE: i64 = 253_402_300_799_000;
/// Told to lettre, which waits for a greeting, after STARTTLS, when there is none.
const GREETED: &[u8] = b"220 encrypted\r\n";

/// Mail through one server.
pub(super) struct Smtp {
    config: config::Smtp,
    utc_offset_min: i16,
    trust: Trust,
}

impl Smtp {
    pub(super) fn new(config: config::Smtp, utc_offset_min: i16) -> Self {
        Self {
            config,
            utc_offset_min,
            trust: Trust::default(),
        }
    }

    pub(super) async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        let mail = compose(&self.config, notice, self.utc_offset_min)?;
        let limit = Duration::from_millis(self.config.timeout.0);
        let mut step = Step::Connecting;
        let result = match tokio::time::timeout(limit, self.deliver(&mail, &mut step)).await {
            Ok(result) => result,
            Err(_) => Err(SendFailure::passing(format!(
                "{} took longer than {} s {}",
                self.config.server,
                limit.as_secs_f64(),
                step.words()
            ))),
        };
        let mut connection = result.map_err(|failure| nameless(failure, notice))?;
        let _ = tokio::time::timeout(QUIT_WITHIN, connection.abort()).await;
        Ok(())
    }

    /// Hands the mail over; the connection is still open then.
    async fn deliver(&mut self, mail: &Message, step: &mut Step) -> Result<AsyncSmtpConnection, SendFailure> {
        let server = &self.config.server;
        let login = match &self.config.login {
            Some((user, file)) => Some(Credentials::new(user.clone(), reach::secret(file).await?.0)),
            None => None,
        };
        // In the clear only within the closed network: a name may lead anywhere.
        let stream = reach::connect(server, self.config.tls == SmtpTls::None).await?;
        let local = stream
            .local_addr()
            .map_err(|error| SendFailure::passing(format!("connecting to {server}: {error}")))?;
        let hello = match local.ip() {
            IpAddr::V4(ip) => ClientId::Ipv4(ip),
            IpAddr::V6(ip) => ClientId::Ipv6(ip),
        };
        let name = self.config.tls_name.as_deref().unwrap_or(&server.name);
        let ca_file = self.config.ca_file.as_deref();
        let (wire, pending): (Wire, &[u8]) = match self.config.tls {
            SmtpTls::None => (Wire::Plain(stream), &[]),
            SmtpTls::Implicit => {
                *step = Step::Tls;
                let stream = self.trust.handshake(ca_file, name, stream).await?;
                (Wire::Tls(Box::new(stream)), &[])
            }
            SmtpTls::Starttls => {
                *step = Step::Greeting;
                let stream = starttls(stream, &hello).await?;
                *step = Step::Tls;
                let stream = self.trust.handshake(ca_file, name, stream).await?;
                (Wire::Tls(Box::new(stream)), GREETED)
            }
        };
        *step = Step::Greeting;
        let wire = Bounded {
            wire,
            pending,
            left: MAX_SAID,
            peer: local,
        };
        let mut connection = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello)
            .await
            .map_err(|error| refused(&error, "greeting"))?;
        if let Some(login) = &login {
            *step = Step::Login;
            connection
                .auth(&[Mechanism::Plain, Mechanism::Login], login)
                .await
                .map_err(|error| refused(&error, "AUTH"))?;
        }
        *step = Step::Mail;
        connection
            .send(mail.envelope(), &mail.formatted())
            .await
            .map_err(|error| refused(&error, "mail"))?;
        Ok(connection)
    }
}

/// How far a conversation is.
#[derive(Clone, Copy)]
enum Step {
    Connecting,
    Tls,
    Greeting,
    Login,
    Mail,
}

impl Step {
    const fn words(self) -> &'static str {
        match self {
            Self::Connecting => "to be reached",
            Self::Tls => "with the TLS handshake",
            Self::Greeting => "with its greeting",
            Self::Login => "to check the account",
            Self::Mail => "to take the mail",
        }
    }
}

/// The mail of a notice.
fn compose(config: &config::Smtp, notice: &Notice, utc_offset_min: i16) -> Result<Message, SendFailure> {
    let to = notice
        .to
        .as_deref()
        .ok_or_else(|| SendFailure::lasting("a mail needs an address: write it with the contact"))?;
    if !is_address(to) {
        // Not shown: it is a person's.
        return Err(SendFailure::lasting(
            "the address of the contact is not a mail address",
        ));
    }
    let mailbox = |name: Option<&String>, address: &str| -> Result<Mailbox, SendFailure> {
        let address = address
            .parse()
            .map_err(|error| SendFailure::lasting(format!("an address cannot be used: {error}")))?;
        Ok(Mailbox::new(name.map(|name| line(name)), address))
    };
    let read = text(notice, config.language, utc_offset_min);
    let domain = config
        .from
        .rsplit_once('@')
        .map_or("localhost", |(_, domain)| domain);
    let named = |id: &str| format!("<{id}@{domain}>");
    let date = u64::try_from(notice.at.0.clamp(0, LAST_DATE)).unwrap_or(0);
    let mut mail = Message::builder()
        .from(mailbox(config.from_name.as_ref(), &config.from)?)
        .to(mailbox(None, to)?)
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(date))
        .message_id(Some(named(&notice.id())))
        .subject(read.subject);
    if let Some(address) = &config.reply_to {
        mail = mail.reply_to(mailbox(None, address)?);
    }
    if let About::Alarm(told) = &notice.about {
        // The first mail of an alarm has an id that only its recipient's later ones could name; so
        // all of them name the alarm's occurrence, of which there is no mail.
        let thread = named(&identity(&["alarm", &told.alarm, &told.since.0.to_string()]));
        if told.moment != Moment::Raised {
            mail = mail.in_reply_to(thread.clone());
        }
        mail = mail.references(thread);
        if told.priority == Priority::Critical && told.moment != Moment::Returned {
            mail = mail.raw_header(header("Importance", "high"));
        }
    }
    // RFC 3834: vacation programs do not answer these, and Exchange needs the second to be told so.
    mail = mail
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"));
    mail.singlepart(SinglePart::plain(read.body))
        .map_err(|error| SendFailure::lasting(reach::one_line(&error)))
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// What an error of lettre means for the next attempt.
fn refused(error: &lettre::transport::smtp::Error, what: &str) -> SendFailure {
    // Of the answers only 5xx lasts; what lettre itself refuses, such as a server that has no AUTH
    // although the site has an account for it, is the site's to mend.
    SendFailure {
        retryable: !error.is_permanent() && !error.is_client(),
        problem: format!("{what}: {}", reach::one_line(error)),
    }
}

/// Servers like to repeat the address that they refuse; it is a person's.
fn nameless(mut failure: SendFailure, notice: &Notice) -> SendFailure {
    if let Some(to) = &notice.to {
        failure.problem = failure.problem.replace(to.as_str(), "(recipient)");
    }
    failure.problem = line(&failure.problem);
    failure
}

/// Greeting, EHLO and STARTTLS in the clear, up to the server's go-ahead.
async fn starttls(stream: TcpStream, hello: &ClientId) -> Result<TcpStream, SendFailure> {
    let mut reader = BufReader::new(stream.take(u64::try_from(MAX_SAID).unwrap_or(u64::MAX)));
    answer(&mut reader, "greeting").await?;
    say(&mut reader, &format!("EHLO {hello}\r\n")).await?;
    let offers = answer(&mut reader, "EHLO").await?;
    if !offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
        return Err(SendFailure::lasting(
            "the server offers no STARTTLS; nothing is sent in the clear (tls = \"implicit\" is for port 465)",
        ));
    }
    say(&mut reader, "STARTTLS\r\n").await?;
    answer(&mut reader, "STARTTLS").await?;
    // What came in the clear after the answer was not sent by whom we are about to verify.
    if !reader.buffer().is_empty() {
        return Err(SendFailure::passing("bytes before the TLS handshake"));
    }
    Ok(reader.into_inner().into_inner())
}

type Clear = BufReader<tokio::io::Take<TcpStream>>;

async fn say(reader: &mut Clear, command: &str) -> Result<(), SendFailure> {
    let stream = reader.get_mut().get_mut();
    stream
        .write_all(command.as_bytes())
        .await
        .map_err(|error| SendFailure::passing(format!("the server went away: {error}")))
}

/// The lines of a positive answer without their codes.
async fn answer(reader: &mut Clear, to: &str) -> Result<Vec<String>, SendFailure> {
    let mut lines = Vec::new();
    loop {
        let mut bytes = Vec::new();
        let read = reader.read_until(b'\n', &mut bytes).await;
        let n = read.map_err(|error| SendFailure::passing(format!("the server went away: {error}")))?;
        if n == 0 {
            return Err(SendFailure::passing(format!(
                "the server ended the connection at {to}"
            )));
        }
        let said = String::from_utf8_lossy(&bytes);
        let said = said.trim_end_matches(['\r', '\n']);
        let code = said.get(..3).and_then(|code| code.parse::<u16>().ok());
        let rest = said.get(4..).unwrap_or_default();
        lines.push(rest.to_owned());
        match (code, said.as_bytes().get(3)) {
            (Some(_), Some(b'-')) => {}
            (Some(200..=299), _) => return Ok(lines),
            (Some(code @ 400..=599), _) => {
                return Err(SendFailure {
                    retryable: code < 500,
                    problem: format!("{to}: {code} {}", lines.join(" ")),
                });
            }
            _ => {
                return Err(SendFailure::passing(format!(
                    "{to}: this is no mail server: {said}"
                )));
            }
        }
    }
}

/// The connection, clear or encrypted.
#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection on which the server can say only so much: lettre reads a line to its end, wherever
/// that is.
#[derive(Debug)]
struct Bounded {
    wire: Wire,
    /// Read before what comes from the wire.
    pending: &'static [u8],
    left: usize,
    peer: SocketAddr,
}

impl AsyncTokioStream for Bounded {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.pending.is_empty() {
            let n = self.pending.len().min(buf.remaining());
            let (now, later) = self.pending.split_at(n);
            buf.put_slice(now);
            self.pending = later;
            return Poll::Ready(Ok(()));
        }
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the server talks without end")));
        }
        let before = buf.filled().len();
        let polled = match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        self.left = self.left.saturating_sub(buf.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
