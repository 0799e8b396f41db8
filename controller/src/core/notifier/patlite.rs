//! PATLITE network signal towers: PNS commands over TCP, and the HTTP command of models that have it.
//!
//! Every byte below is from a public document of the maker:
//! - *NH series (NHL) user's manual*, 3.6 "PNS command reception", p. 27: product category `58 58`,
//!   identifier `53`, an empty byte `00`, the data size in two bytes `00 06`, and six bytes for red,
//!   amber, green, blue, white and the buzzer. Unit: `00` off, `01` lit, `02` flashing pattern 1;
//!   buzzer: `00` stop, `01` and up a pattern.
//! - *Sample programs for LR5-LAN* that PATLITE publishes: product category `41 42`, the same
//!   identifier, size and order; `02` is slow flashing; answers `06` (ACK) and `15` (NAK).
//! - *LA6-POE operation manual*: category `41 42` and the answers, p. 35; values of the units, p. 39;
//!   HTTP `GET /api/control?alert=` with one digit for each tier from the top and one for the
//!   buzzer, answered by `Success.` or `Error.`, p. 62. The NH-FV manual gives these digits the
//!   order red, amber, green, blue, white, buzzer (p. 17).
//!
//! That the NH series answers `06` and `15` as well stands in no manual that we have seen; programs
//! of several others wait for it there. The clear command is not used: to turn all off is an
//! operation like any other. A connection is opened for each command, since a tower has places
//! for eight; it is never known what a tower shows that was switched off and on again, so the
//! lamp is sent anew from time to time (by `room`).

use axum::body::{Body, to_bytes};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use room::notice::{About, Lamp, Light, Notice, SendFailure};
use room::site::notifier::patlite::{self as config, Category, Form};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Identifier of the operation command.
const OPERATE: u8 = 0x53;
/// The tower did it.
const ACK: u8 = 0x06;
/// The tower does not know the command, or is set to be controlled by something else.
const NAK: u8 = 0x15;
/// Longest answer to an HTTP command that is read; they have some ten bytes.
const ANSWER_MAX: usize = 4096;
/// How long a lamp test shows every light and sounds the buzzer.
const TEST_SHOWN: Duration = Duration::from_secs(3);

/// A signal tower.
pub(super) struct Patlite {
    config: config::Patlite,
    /// What it was told last; a lamp test returns to it.
    last: Lamp,
}

impl Patlite {
    pub(super) fn new(config: config::Patlite) -> Self {
        Self {
            config,
            last: Lamp::default(),
        }
    }

    /// Shows a lamp, or tests every light and the buzzer.
    ///
    /// # Errors
    /// A tower that does not answer may come back; one that refuses needs a person.
    pub(super) async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        match notice.about {
            About::Lamp(lamp) => {
                // Also when it fails: a test must not bring an older one back.
                self.last = lamp;
                self.show(lamp).await
            }
            About::Test { .. } => {
                self.show(EVERYTHING).await?;
                tokio::time::sleep(TEST_SHOWN).await;
                self.show(self.last).await
            }
            About::Alarm(_) | About::Summary(_) | About::Heartbeat { .. } => Err(SendFailure::lasting(
                "a signal tower shows lamps and nothing else",
            )),
        }
    }

    async fn show(&self, lamp: Lamp) -> Result<(), SendFailure> {
        let limit = Duration::from_millis(self.config.timeout.0);
        let command = async {
            match self.config.form {
                Form::Pns(category) => self.pns(category, lamp).await,
                Form::Http => self.http(lamp).await,
            }
        };
        match tokio::time::timeout(limit, command).await {
            Ok(result) => result,
            Err(_) => Err(SendFailure::passing(format!(
                "the signal tower {} did not answer within {} s",
                self.config.addr,
                limit.as_secs_f64()
            ))),
        }
    }

    async fn pns(&self, category: Category, lamp: Lamp) -> Result<(), SendFailure> {
        let passing = |error| self.passing(error);
        let mut stream = TcpStream::connect(self.config.addr).await.map_err(passing)?;
        stream.set_nodelay(true).map_err(passing)?;
        let command = operation(category, lamp, self.config.buzzer);
        stream.write_all(&command).await.map_err(passing)?;
        match stream.read_u8().await.map_err(passing)? {
            ACK => Ok(()),
            NAK => Err(SendFailure::lasting(format!(
                "the signal tower {} refuses the command: check `category`, and that it is set to be controlled by commands",
                self.config.addr
            ))),
            other => Err(SendFailure::lasting(format!(
                "what is at {} answers {other:#04x}, which no signal tower does",
                self.config.addr
            ))),
        }
    }

    async fn http(&self, lamp: Lamp) -> Result<(), SendFailure> {
        let addr = self.config.addr;
        let strange =
            |error: &dyn std::fmt::Display| SendFailure::passing(format!("the signal tower {addr}: {error}"));
        let stream = TcpStream::connect(addr)
            .await
            .map_err(|error| self.passing(error))?;
        let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream))
            .await
            .map_err(|error| strange(&error))?;
        let request = Request::get(control(lamp, self.config.buzzer))
            .header(header::HOST, addr.to_string())
            .header(header::CONNECTION, "close")
            .body(Body::empty())
            .map_err(|error| strange(&error))?;
        let asking = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| strange(&error))?;
            let status = answer.status();
            let body = to_bytes(Body::new(answer.into_body()), ANSWER_MAX)
                .await
                .map_err(|error| strange(&error))?;
            Ok((status, body))
        };
        tokio::pin!(asking, connection);
        // The connection works as long as the answer is awaited; both are dropped together.
        let (status, body) = tokio::select! {
            answer = &mut asking => answer?,
            ended = &mut connection => {
                // All of the answer may have come in the same moment.
                ended.map_err(|error| strange(&error))?;
                asking.await?
            }
        };
        if status.is_success() && body.trim_ascii().starts_with(b"Success") {
            return Ok(());
        }
        Err(SendFailure::lasting(format!(
            "the signal tower {addr} refuses the command ({status}): check that it is set to be controlled by commands"
        )))
    }

    fn passing(&self, error: std::io::Error) -> SendFailure {
        SendFailure::passing(format!("the signal tower {}: {error}", self.config.addr))
    }
}

/// The lamp test.
const EVERYTHING: Lamp = Lamp {
    red: Light::Flashing,
    amber: Light::Flashing,
    green: Light::Flashing,
    blue: Light::Flashing,
    white: Light::Flashing,
    buzzer: true,
};

/// Values of the five units and the buzzer, the same in both forms.
fn values(lamp: Lamp, pattern: u8) -> [u8; 6] {
    let unit = |light| match light {
        Light::Off => 0,
        Light::Steady => 1,
        Light::Flashing => 2,
    };
    [
        unit(lamp.red),
        unit(lamp.amber),
        unit(lamp.green),
        unit(lamp.blue),
        unit(lamp.white),
        if lamp.buzzer { pattern } else { 0 },
    ]
}

/// The operation command of PNS.
fn operation(category: Category, lamp: Lamp, pattern: u8) -> [u8; 12] {
    let category = match category {
        Category::Ab => *b"AB",
        Category::Xx => *b"XX",
    };
    let [red, amber, green, blue, white, buzzer] = values(lamp, pattern);
    let [first, second] = category;
    [
        first, second, OPERATE, 0, 0, 6, red, amber, green, blue, white, buzzer,
    ]
}

/// The HTTP command.
fn control(lamp: Lamp, pattern: u8) -> String {
    let digits: String = values(lamp, pattern)
        .iter()
        .map(|value| char::from(b'0' + value.min(&9)))
        .collect();
    format!("/api/control?alert={digits}")
}

#[cfg(test)]
mod tests {
    use super::super::samples::{lamp, leak, notice};
    use super::*;
    use proptest::prelude::*;
    use room::notice::Moment;
    use room::time::Millis;
    use std::net::SocketAddr;
    use tokio::net::TcpListener;

    const RED_FLASHES: Lamp = Lamp {
        red: Light::Flashing,
        amber: Light::Steady,
        green: Light::Off,
        blue: Light::Off,
        white: Light::Off,
        buzzer: true,
    };

    #[test]
    fn commands_are_those_of_the_manuals() {
        // The example of the NH manual, p. 27, as far as our lamps can say it: red lit, amber
        // flashing by pattern 1, buzzer pattern 4.
        let example = Lamp {
            red: Light::Steady,
            amber: Light::Flashing,
            buzzer: true,
            ..Lamp::default()
        };
        assert_eq!(
            operation(Category::Xx, example, 4),
            [0x58, 0x58, 0x53, 0, 0, 6, 1, 2, 0, 0, 0, 4]
        );
        assert_eq!(
            operation(Category::Ab, RED_FLASHES, 1),
            [0x41, 0x42, 0x53, 0, 0, 6, 2, 1, 0, 0, 0, 1]
        );
        assert_eq!(control(RED_FLASHES, 1), "/api/control?alert=210001");
        assert_eq!(control(Lamp::default(), 4), "/api/control?alert=000000");
    }

    proptest! {
        #[test]
        fn any_lamp_is_a_command_of_known_values(lamp in lamp(), pattern in 1_u8..=11) {
            let command = operation(Category::Ab, lamp, pattern);
            prop_assert!(command[6..11].iter().all(|unit| *unit <= 2));
            prop_assert_eq!(command[11], if lamp.buzzer { pattern } else { 0 });
            let digits = control(lamp, pattern.min(4));
            prop_assert_eq!(digits.len(), "/api/control?alert=".len() + 6);
            prop_assert!(digits.bytes().rev().take(6).all(|digit| digit.is_ascii_digit()));
        }
    }

    fn tower(addr: SocketAddr, form: Form) -> Patlite {
        Patlite::new(config::Patlite {
            addr,
            form,
            buzzer: 1,
            timeout: Millis(2000),
        })
    }

    fn told(lamp: Lamp) -> Notice {
        notice(About::Lamp(lamp))
    }

    #[tokio::test]
    async fn an_answer_that_is_no_ack_is_a_refusal_and_silence_may_pass() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = tower(listener.local_addr().unwrap(), Form::Pns(Category::Ab));
        for (answer, retryable) in [(&[NAK][..], false), (b"H", false), (b"", true)] {
            let answering = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut command = [0; 12];
                stream.read_exact(&mut command).await.unwrap();
                stream.write_all(answer).await.unwrap();
                command
            };
            let lamp = told(RED_FLASHES);
            let (sent, command) = tokio::join!(sender.send(&lamp), answering);
            assert_eq!(command, operation(Category::Ab, RED_FLASHES, 1));
            assert_eq!(sent.unwrap_err().retryable, retryable, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn the_http_command_is_a_get_and_success_is_in_the_body() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = tower(listener.local_addr().unwrap(), Form::Http);
        for (answer, is_good) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSuccess.", true),
            ("HTTP/1.0 200 OK\r\n\r\nSuccess.\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nError.", false),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false),
        ] {
            let answering = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
                String::from_utf8(request).unwrap()
            };
            let lamp = told(RED_FLASHES);
            let (sent, request) = tokio::join!(sender.send(&lamp), answering);
            assert!(
                request.starts_with("GET /api/control?alert=210001 HTTP/1.1\r\n"),
                "{request}"
            );
            assert_eq!(sent.is_ok(), is_good, "{answer} {sent:?}");
        }
    }

    #[tokio::test]
    async fn a_tower_is_no_place_for_texts() {
        let mut sender = tower("127.0.0.1:9".parse().unwrap(), Form::Http);
        let refused = sender.send(&leak(Moment::Raised)).await.unwrap_err();
        assert!(!refused.retryable, "{refused:?}");
    }
}
