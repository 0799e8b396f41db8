//! What one client says and is answered (RFC 9271): lines in, bytes out, no I/O.
//!
//! Answers follow those of stock upsd 2.8, because its clients were written against them: names
//! are echoed as the client spelled them, a missing word is `INVALID-ARGUMENT`, an account is
//! looked at only when it is used. Three answers differ, on purpose: `FSD` is refused (only a plan
//! stops hosts here, and a latch would stop them again when they come back); `NUMLOGINS` is
//! answered while the values are stale, so that a primary goes on waiting for its secondaries; and
//! a command that switches power is denied to everybody, because it is a step of a plan.

use super::hall::{Account, Hall, Shown, View};
use crate::nut::line::words;
use room::command::{Danger, Name};
use room::event::Refused;
use room::nut::served::{Freshness, Progress};
use room::nut::wish::Wish;
use room::site::nut_server::Role;
use std::io::Write as _;
use std::net::IpAddr;
use tokio::time::Instant;

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
    /// Let [`Session::order`] give the answer.
    Order,
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
    wanted: Option<Wanted>,
}

/// What is to be ordered of core.
#[derive(Debug)]
struct Wanted {
    account: String,
    ups: String,
    wish: Wish,
}

/// `ERR` and its word.
struct Refusal(&'static str);

type Answer = Result<Then, Refusal>;

const INVALID: Refusal = Refusal("INVALID-ARGUMENT");
const DENIED: Refusal = Refusal("ACCESS-DENIED");
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
            wanted: None,
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
            "LIST" => list(args, &hall.view(self.peer), hall, out),
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
                let account = self.account(hall)?;
                hall.view(self.peer).ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                if account.role != Role::Primary {
                    return Err(Refusal("ACCESS-DENIED"));
                }
                ok(out, &format!("{}-GRANTED", verb.to_ascii_uppercase()))
            }
            "FSD" => {
                args.first().ok_or(INVALID)?;
                self.account(hall)?;
                // Only a plan stops hosts.
                Err(Refusal("ACCESS-DENIED"))
            }
            "SET" => self.set(args, hall, out),
            "INSTCMD" => self.command(args, hall),
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

    /// The account that was given; it is looked at only when it is used.
    fn account<'h>(&self, hall: &'h Hall) -> Result<&'h Account, Refusal> {
        let user = self.user.as_deref().ok_or(Refusal("USERNAME-REQUIRED"))?;
        let password = self.password.as_deref().ok_or(Refusal("PASSWORD-REQUIRED"))?;
        hall.account(user, password, self.peer, Instant::now())
            .ok_or(DENIED)
    }

    /// Denied, and said in the log: somebody wants more than the site allows.
    fn deny(&self, hall: &Hall, account: &Account, what: &str, why: &str) -> Refusal {
        hall.count("orders_denied");
        tracing::warn!(peer = %self.peer, account = account.name, what, "an order of a NUT client is denied: {why}");
        DENIED
    }

    fn command(&mut self, args: &[String], hall: &Hall) -> Answer {
        let [ups, command, more @ ..] = args else {
            return Err(INVALID);
        };
        let account = self.account(hall)?;
        let view = hall.view(self.peer);
        let (name, shown) = readable(&view, ups)?;
        let unknown = Refusal("CMD-NOT-SUPPORTED");
        let Ok(command) = command.to_ascii_lowercase().parse::<Name>() else {
            return Err(unknown);
        };
        if command.danger() == Danger::CutsPower {
            let why = "it switches power, which is a step of a plan";
            return Err(self.deny(hall, account, &format!("{command} of {name}"), why));
        }
        let word = command.to_string();
        if !shown.commands.contains_key(&word) {
            return Err(unknown);
        }
        if !account.instcmds.contains(&command) {
            let why = "`instcmds` of its [[nut_server.user]] does not name it";
            return Err(self.deny(hall, account, &format!("{command} of {name}"), why));
        }
        let value = more.first().map(|value| value.parse()).transpose();
        let value = value.map_err(|_| INVALID)?;
        self.wanted = Some(Wanted {
            account: account.name.clone(),
            ups: name.to_owned(),
            wish: Wish::Command { name: word, value },
        });
        Ok(Then::Order)
    }

    /// Hands what was wanted to core, and answers.
    pub(super) async fn order(&mut self, hall: &Hall, out: &mut Vec<u8>) {
        let Some(Wanted { account, ups, wish }) = self.wanted.take() else {
            return;
        };
        let failed = match wish {
            Wish::Command { .. } => "INSTCMD-FAILED",
            Wish::Set { .. } => "SET-FAILED",
        };
        tracing::info!(account, peer = %self.peer, ups, ?wish, "a NUT client orders");
        match hall.desk.order(account, self.peer, ups, wish).await {
            Ok(order) if self.tracking => say(out, &format!("OK TRACKING {}\n", hall.track(order))),
            Ok(_) => say(out, "OK\n"),
            Err(refused) => {
                hall.count("orders_refused");
                let (word, why) = match refused {
                    Refused::Invalid(why) => ("INVALID-ARGUMENT", why.en),
                    Refused::NotFound(why) | Refused::Conflict(why) => (failed, why.en),
                    Refused::Unavailable(why) => (failed, why),
                };
                tracing::warn!(peer = %self.peer, why, "an order of a NUT client is refused");
                say(out, &format!("ERR {word}\n"));
            }
        }
    }

    fn log_in(&mut self, args: &[String], hall: &Hall, out: &mut Vec<u8>) -> Answer {
        let ups = args.first().ok_or(INVALID)?;
        self.account(hall)?;
        let view = hall.view(self.peer);
        let (name, _) = view.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
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
            (Some("VAR"), [ups, name, value, ..]) => {
                let account = self.account(hall)?;
                let view = hall.view(self.peer);
                let (ups, shown) = readable(&view, ups)?;
                let (variable, _) = shown.value(name).ok_or(Refusal("VAR-NOT-SUPPORTED"))?;
                let values = shown.settable.get(variable).ok_or(Refusal("READONLY"))?;
                let value = values.iter().find(|known| known.eq_ignore_ascii_case(value));
                let value = value.ok_or(Refusal("INVALID-VALUE"))?;
                if !account.set {
                    let why = "its [[nut_server.user]] has no `set = true`";
                    return Err(self.deny(hall, account, &format!("{variable} of {ups}"), why));
                }
                self.wanted = Some(Wanted {
                    account: account.name.clone(),
                    ups: ups.to_owned(),
                    wish: Wish::Set {
                        variable: variable.to_owned(),
                        value: value.clone(),
                    },
                });
                Ok(Then::Order)
            }
            _ => Err(INVALID),
        }
    }

    fn get(&self, args: &[String], hall: &Hall, out: &mut Vec<u8>) -> Answer {
        let Some((what, args)) = args.split_first() else {
            return Err(INVALID);
        };
        let view = hall.view(self.peer);
        match (what.to_ascii_uppercase().as_str(), args) {
            ("VAR", [ups, name, ..]) => {
                if let Some(value) = of_server(name) {
                    return row(out, &["VAR", ups, name], value);
                }
                let (_, shown) = readable(&view, ups)?;
                let (_, value) = shown.value(name).ok_or(Refusal("VAR-NOT-SUPPORTED"))?;
                row(out, &["VAR", ups, name], value)
            }
            ("TYPE", [ups, name, ..]) => {
                let (_, shown) = readable(&view, ups)?;
                let (variable, value) = shown.value(name).ok_or(Refusal("VAR-NOT-SUPPORTED"))?;
                let kind = if shown.settable.contains_key(variable) {
                    "RW ENUM"
                } else if value.parse::<f64>().is_ok() {
                    "NUMBER"
                } else {
                    "STRING:128"
                };
                say(out, &format!("TYPE {} {} {kind}\n", quoted(ups), quoted(name)));
                Ok(Then::Stay)
            }
            ("DESC", [ups, name, ..]) => {
                view.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                row(out, &["DESC", ups, name], &description(name))
            }
            ("CMDDESC", [ups, name, ..]) => {
                view.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                let label = name
                    .to_ascii_lowercase()
                    .parse::<Name>()
                    .map(|name| name.label().en);
                let label = label.as_deref().unwrap_or("Description unavailable");
                row(out, &["CMDDESC", ups, name], label)
            }
            ("UPSDESC", [ups, ..]) => {
                let (_, known) = view.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                row(out, &["UPSDESC", ups], &known.description)
            }
            ("NUMLOGINS", [ups, ..]) => {
                let (name, _) = view.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
                say(out, &format!("NUMLOGINS {} {}\n", quoted(ups), hall.logins(name)));
                Ok(Then::Stay)
            }
            ("TRACKING", []) => told(out, if self.tracking { "ON" } else { "OFF" }),
            ("TRACKING", [_, ..]) if !self.tracking => Err(Refusal("FEATURE-NOT-CONFIGURED")),
            ("TRACKING", [id, ..]) => match hall.tracked(id) {
                Some(Progress::Pending) => told(out, "PENDING"),
                Some(Progress::Done) => told(out, "SUCCESS"),
                Some(Progress::Failed) => Err(Refusal("FAILED")),
                Some(Progress::Unknown) | None => Err(Refusal("UNKNOWN")),
            },
            _ => Err(INVALID),
        }
    }
}

/// A UPS, if its variables may be read, with its own name.
fn readable<'v>(view: &'v View<'_>, ups: &str) -> Result<(&'v str, &'v Shown), Refusal> {
    let (name, shown) = view.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
    match shown.freshness {
        Freshness::Fresh => Ok((name, shown)),
        Freshness::Stale => Err(Refusal("DATA-STALE")),
        Freshness::NeverHeard => Err(Refusal("DRIVER-NOT-CONNECTED")),
    }
}

fn list(args: &[String], view: &View<'_>, hall: &Hall, out: &mut Vec<u8>) -> Answer {
    let Some((what, args)) = args.split_first() else {
        return Err(INVALID);
    };
    let what = what.to_ascii_uppercase();
    match (what.as_str(), args) {
        ("UPS", _) => {
            say(out, "BEGIN LIST UPS\n");
            for (name, shown) in view.upses() {
                row(out, &["UPS", name], &shown.description)?;
            }
            say(out, "END LIST UPS\n");
        }
        ("VAR", [ups, ..]) => {
            let (_, shown) = readable(view, ups)?;
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
        ("RW", [ups, ..]) => {
            let (_, shown) = readable(view, ups)?;
            say(out, &format!("BEGIN LIST RW {}\n", quoted(ups)));
            for variable in shown.settable.keys() {
                let value = shown.vars.get(variable).map_or("", String::as_str);
                row(out, &["RW", ups, variable], value)?;
            }
            say(out, &format!("END LIST RW {}\n", quoted(ups)));
        }
        ("CMD", [ups, ..]) => {
            let (_, shown) = readable(view, ups)?;
            let ups = quoted(ups);
            say(out, &format!("BEGIN LIST CMD {ups}\n"));
            for command in shown.commands.keys() {
                say(out, &format!("CMD {ups} {command}\n"));
            }
            say(out, &format!("END LIST CMD {ups}\n"));
        }
        ("ENUM" | "RANGE", [ups, name, ..]) => {
            let (_, shown) = readable(view, ups)?;
            let (variable, _) = shown.value(name).ok_or(Refusal("VAR-NOT-SUPPORTED"))?;
            let about = format!("{what} {} {}", quoted(ups), quoted(name));
            say(out, &format!("BEGIN LIST {about}\n"));
            let values = shown.settable.get(variable).filter(|_| what == "ENUM");
            for value in values.into_iter().flatten() {
                row(out, &[&what, ups, name], value)?;
            }
            say(out, &format!("END LIST {about}\n"));
        }
        ("CLIENT", [ups, ..]) => {
            let (name, _) = view.ups(ups).ok_or(Refusal("UNKNOWN-UPS"))?;
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

/// A row: words, and a value in quotes.
fn row(out: &mut Vec<u8>, words: &[&str], value: &str) -> Answer {
    for word in words {
        // Nearly every word is plain, and a row is written for every question.
        if is_plain(word) {
            say(out, word);
        } else {
            say(out, &quoted(word));
        }
        out.push(b' ');
    }
    write_value(out, value);
    Ok(Then::Stay)
}

/// A value in quotes, and the end of the line.
pub(super) fn write_value(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    if value.bytes().all(|byte| byte == b' ' || is_plain_byte(byte)) {
        say(out, value);
        out.extend_from_slice(b"\"\n");
        return;
    }
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push(b'\\');
        }
        // Writing to memory does not fail.
        let _ = write!(out, "{c}");
    }
    out.extend_from_slice(b"\"\n");
}

/// A word that is written as it is.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(is_plain_byte)
}

const fn is_plain_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_')
}

/// A word as the client spelled it, in quotes where it needs them.
pub(super) fn quoted(word: &str) -> String {
    crate::nut::line::quoted(word).unwrap_or_else(|| "\"\"".to_owned())
}
