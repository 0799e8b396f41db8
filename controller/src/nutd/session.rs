//! What one client says and is answered (RFC 9271): lines in, bytes out, no I/O.
//!
//! Answers follow those of stock upsd 2.8, because its clients were written against them: names
//! are echoed as the client spelled them, a missing word is `INVALID-ARGUMENT`, an account is
//! looked at only when it is used. Two answers differ, on purpose: `FSD` is refused (only a plan
//! stops hosts here, and a latch would stop them again when they come back), and `NUMLOGINS` is
//! answered while the values are stale, so that a primary goes on waiting for its secondaries.

use super::hall::{Board, Hall};
use crate::nut::line::words;
use room::nut::served::Freshness;
use room::site::nut_server::Role;
use std::io::Write as _;
use std::net::IpAddr;

/// Longest user name or password, in bytes.
const MAX_CREDENTIAL: usize = 128;

/// What the connection does after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Listen on.
    Stay,
    /// Close once the answer is out.
    Close,
    /// Begin TLS once the answer is out.
    StartTls,
}

/// One connection's state.
#[derive(Debug)]
pub(super) struct Session {
    id: u64,
    peer: IpAddr,
    user: Option<String>,
    password: Option<String>,
    tracking: bool,
    is_tls: bool,
    login: Option<String>,
}

/// `ERR` and its word.
struct Refusal(&'static str);

type Answer = Result<Then, Refusal>;

const INVALID: Refusal = Refusal("INVALID-ARGUMENT");
const UNKNOWN: Refusal = Refusal("UNKNOWN-COMMAND");

impl Session {
    pub(super) const fn new(id: u64, peer: IpAddr) -> Self {
        Self {
            id,
            peer,
            user: None,
            password: None,
            tracking: false,
            is_tls: false,
            login: None,
        }
    }

    /// From now on nobody listens in; what was said before is forgotten.
    pub(super) fn secured(&mut self, hall: &Hall) {
        self.leave(hall);
        *self = Self::new(self.id, self.peer);
        self.is_tls = true;
    }

    /// The connection is gone.
    pub(super) fn leave(&mut self, hall: &Hall) {
        if let Some(ups) = self.login.take() {
            hall.log_out(&ups, self.id);
        }
    }

    /// Answers one line, without its end.
    pub(super) fn line(&mut self, line: &[u8], hall: &Hall, out: &mut Vec<u8>) -> Then {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words = std::str::from_utf8(line).ok().and_then(words);
        let answer = match &words {
            Some(words) => self.answer(words, hall, out),
            None => Err(UNKNOWN),
        };
        answer.unwrap_or_else(|Refusal(word)| {
            hall.count(if word == "ACCESS-DENIED" {
                "denied"
            } else {
                "refused"
            });
            say(out, &format!("ERR {word}\n"));
            Then::Stay
        })
    }

    fn answer(&mut self, words: &[String], hall: &Hall, out: &mut Vec<u8>) -> Answer {
        let Some((verb, args)) = words.split_first() else {
            return Err(UNKNOWN);
        };
        match verb.to_ascii_uppercase().as_str() {
            "GET" => self.get(args, hall, out),
            "LIST" => list(args, hall, out),
            "USERNAME" => {
                let name = args
                    .first()
                    .filter(|name| name.len() <= MAX_CREDENTIAL)
                    .ok_or(INVALID)?;
                if self.user.is_some() {
                    return Err(Refusal("ALREADY-SET-USERNAME"));
                }
                self.user = Some(name.clone());
                ok(out, "")
            }
            "PASSWORD" => {
                let word = args
                    .first()
                    .filter(|word| word.len() <= MAX_CREDENTIAL)
                    .ok_or(INVALID)?;
                if self.password.is_some() {
                    return Err(Refusal("ALREADY-SET-PASSWORD"));
                }
                self.password = Some(word.clone());
                ok(out, "")
            }
            "LOGIN" => self.log_in(args, hall, out),
            "PRIMARY" | "MASTER" => {
                let ups = args.first().ok_or(INVALID)?;
                let role = self.role(hall)?;
                hall.board().ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                if role != Role::Primary {
                    return Err(Refusal("ACCESS-DENIED"));
                }
                ok(out, &format!("{}-GRANTED", verb.to_ascii_uppercase()))
            }
            "FSD" => {
                args.first().ok_or(INVALID)?;
                self.role(hall)?;
                // Only a plan stops hosts.
                Err(Refusal("ACCESS-DENIED"))
            }
            "SET" => self.set(args, hall, out),
            "INSTCMD" => {
                let [ups, _, ..] = args else { return Err(INVALID) };
                self.role(hall)?;
                hall.board().ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                Err(Refusal("CMD-NOT-SUPPORTED"))
            }
            "STARTTLS" if self.is_tls => Err(Refusal("ALREADY-SSL-MODE")),
            "STARTTLS" if !hall.has_tls() => Err(Refusal("FEATURE-NOT-CONFIGURED")),
            "STARTTLS" => {
                say(out, "OK STARTTLS\n");
                Ok(Then::StartTls)
            }
            "LOGOUT" if args.is_empty() => {
                say(out, "OK Goodbye\n");
                Ok(Then::Close)
            }
            "LOGOUT" => Err(INVALID),
            "VER" => told(out, concat!("Yagura NUT server ", env!("CARGO_PKG_VERSION"))),
            "NETVER" | "PROTVER" => told(out, "1.3"),
            "HELP" => told(
                out,
                "Commands: HELP VER PROTVER GET LIST SET INSTCMD LOGIN LOGOUT USERNAME PASSWORD STARTTLS PRIMARY",
            ),
            _ => Err(UNKNOWN),
        }
    }

    /// What the account that was given may be; an account is looked at only when it is used.
    fn role(&self, hall: &Hall) -> Result<Role, Refusal> {
        let user = self.user.as_deref().ok_or(Refusal("USERNAME-REQUIRED"))?;
        let password = self.password.as_deref().ok_or(Refusal("PASSWORD-REQUIRED"))?;
        hall.role_of(user, password, self.peer)
            .ok_or(Refusal("ACCESS-DENIED"))
    }

    fn log_in(&mut self, args: &[String], hall: &Hall, out: &mut Vec<u8>) -> Answer {
        let ups = args.first().ok_or(INVALID)?;
        self.role(hall)?;
        let board = hall.board();
        let (name, _) = board.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
        if self.login.is_some() {
            return Err(Refusal("ALREADY-LOGGED-IN"));
        }
        hall.log_in(name, self.id, self.peer);
        self.login = Some(name.to_owned());
        ok(out, "")
    }

    fn set(&mut self, args: &[String], hall: &Hall, out: &mut Vec<u8>) -> Answer {
        let what = args.first().map(|what| what.to_ascii_uppercase());
        match (what.as_deref(), &args[args.len().min(1)..]) {
            (Some("TRACKING"), [switch, ..]) => {
                self.tracking = match switch.to_ascii_uppercase().as_str() {
                    "ON" => true,
                    "OFF" => false,
                    _ => return Err(INVALID),
                };
                ok(out, "")
            }
            (Some("VAR"), [ups, name, _, ..]) => {
                self.role(hall)?;
                let board = hall.board();
                let (_, ups) = board.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                board.value(ups, name).ok_or(Refusal("VAR-NOT-SUPPORTED"))?;
                Err(Refusal("READONLY"))
            }
            _ => Err(INVALID),
        }
    }

    fn get(&self, args: &[String], hall: &Hall, out: &mut Vec<u8>) -> Answer {
        let Some((what, args)) = args.split_first() else {
            return Err(INVALID);
        };
        let board = hall.board();
        match (what.to_ascii_uppercase().as_str(), args) {
            ("VAR", [ups, name, ..]) => {
                if let Some(value) = of_server(name) {
                    return row(out, &["VAR", ups, name], value);
                }
                let ups_rows = readable(&board, ups)?;
                let value = board.value(ups_rows, name).ok_or(Refusal("VAR-NOT-SUPPORTED"))?;
                row(out, &["VAR", ups, name], value)
            }
            ("TYPE", [ups, name, ..]) => {
                let ups_rows = readable(&board, ups)?;
                let value = board.value(ups_rows, name).ok_or(Refusal("VAR-NOT-SUPPORTED"))?;
                let kind = if value.parse::<f64>().is_ok() {
                    "NUMBER"
                } else {
                    "STRING:128"
                };
                say(out, &format!("TYPE {} {} {kind}\n", quoted(ups), quoted(name)));
                Ok(Then::Stay)
            }
            ("DESC", [ups, name, ..]) => {
                board.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                row(out, &["DESC", ups, name], &description(name))
            }
            ("CMDDESC", [ups, name, ..]) => {
                board.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                row(out, &["CMDDESC", ups, name], "Description unavailable")
            }
            ("UPSDESC", [ups, ..]) => {
                let (_, known) = board.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                row(out, &["UPSDESC", ups], &known.description)
            }
            ("NUMLOGINS", [ups, ..]) => {
                let (name, _) = board.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                say(out, &format!("NUMLOGINS {} {}\n", quoted(ups), hall.logins(name)));
                Ok(Then::Stay)
            }
            ("TRACKING", []) => told(out, if self.tracking { "ON" } else { "OFF" }),
            ("TRACKING", [_, ..]) if !self.tracking => Err(Refusal("FEATURE-NOT-CONFIGURED")),
            // No order was given an id, because no order was taken.
            ("TRACKING", [_, ..]) => Err(Refusal("UNKNOWN")),
            _ => Err(INVALID),
        }
    }
}

/// The variables of a UPS, if they may be read.
fn readable<'b>(board: &'b Board, ups: &str) -> Result<&'b super::hall::Shown, Refusal> {
    let (_, shown) = board.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
    match shown.freshness {
        Freshness::Fresh => Ok(shown),
        Freshness::Stale => Err(Refusal("DATA-STALE")),
        Freshness::NeverHeard => Err(Refusal("DRIVER-NOT-CONNECTED")),
    }
}

fn list(args: &[String], hall: &Hall, out: &mut Vec<u8>) -> Answer {
    let Some((what, args)) = args.split_first() else {
        return Err(INVALID);
    };
    let what = what.to_ascii_uppercase();
    let board = hall.board();
    match (what.as_str(), args) {
        ("UPS", _) => {
            say(out, "BEGIN LIST UPS\n");
            for (name, shown) in board.upses() {
                row(out, &["UPS", name], &shown.description)?;
            }
            say(out, "END LIST UPS\n");
        }
        ("VAR", [ups, ..]) => {
            let shown = readable(&board, ups)?;
            let name = quoted(ups);
            say(out, &format!("BEGIN LIST VAR {name}\n"));
            match &shown.rows {
                // As it is called: the rows are ready.
                rows if *ups == shown.name => out.extend_from_slice(rows),
                _ => {
                    for (var, value) in &shown.vars {
                        row(out, &["VAR", ups, var], value)?;
                    }
                }
            }
            say(out, &format!("END LIST VAR {name}\n"));
        }
        ("RW" | "CMD", [ups, ..]) => {
            readable(&board, ups)?;
            empty(out, &format!("{what} {}", quoted(ups)));
        }
        ("ENUM" | "RANGE", [ups, name, ..]) => {
            let shown = readable(&board, ups)?;
            board.value(shown, name).ok_or(Refusal("VAR-NOT-SUPPORTED"))?;
            empty(out, &format!("{what} {} {}", quoted(ups), quoted(name)));
        }
        ("CLIENT", [ups, ..]) => {
            let (name, _) = board.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
            let shown = quoted(ups);
            say(out, &format!("BEGIN LIST CLIENT {shown}\n"));
            for peer in hall.clients(name) {
                say(out, &format!("CLIENT {shown} {peer}\n"));
            }
            say(out, &format!("END LIST CLIENT {shown}\n"));
        }
        _ => return Err(INVALID),
    }
    Ok(Then::Stay)
}

fn of_server(name: &str) -> Option<&'static str> {
    if name.eq_ignore_ascii_case("server.info") {
        Some(concat!("Yagura NUT server ", env!("CARGO_PKG_VERSION")))
    } else if name.eq_ignore_ascii_case("server.version") {
        Some(env!("CARGO_PKG_VERSION"))
    } else {
        None
    }
}

/// The name's own words: `battery.charge` is "battery charge".
fn description(name: &str) -> String {
    name.to_ascii_lowercase().replace(['.', '_'], " ")
}

fn say(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn told(out: &mut Vec<u8>, text: &str) -> Answer {
    say(out, text);
    say(out, "\n");
    Ok(Then::Stay)
}

fn ok(out: &mut Vec<u8>, more: &str) -> Answer {
    told(
        out,
        if more.is_empty() {
            "OK".to_owned()
        } else {
            format!("OK {more}")
        }
        .as_str(),
    )
}

fn empty(out: &mut Vec<u8>, what: &str) {
    say(out, &format!("BEGIN LIST {what}\nEND LIST {what}\n"));
}

/// A row: words, and a value in quotes.
fn row(out: &mut Vec<u8>, words: &[&str], value: &str) -> Answer {
    for word in words {
        say(out, &quoted(word));
        out.push(b' ');
    }
    write_value(out, value);
    Ok(Then::Stay)
}

/// A value in quotes, and the end of the line.
pub(super) fn write_value(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push(b'\\');
        }
        // Writing to memory does not fail.
        let _ = write!(out, "{c}");
    }
    out.extend_from_slice(b"\"\n");
}

/// A word as the client spelled it, in quotes where it needs them.
pub(super) fn quoted(word: &str) -> String {
    crate::nut::line::quoted(word).unwrap_or_else(|| "\"\"".to_owned())
}
