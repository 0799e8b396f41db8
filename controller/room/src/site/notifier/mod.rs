//! `[[notifier]]`: where notices can go, one file a kind.

pub mod command;
pub mod host;
pub mod mqtt;
pub mod patlite;
pub mod smtp;
pub mod snmp;
pub mod syslog;
pub mod webhook;

mod keys;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_machines;

use super::notice::NeedsTo;
use super::problem::{Kind, Sink};
use super::reader::{Found, Reader};
use super::{Label, World};
use crate::site::raw::Raw;
use std::collections::BTreeSet;

/// Most notifiers of a site.
pub const MAX_NOTIFIERS: usize = 32;

/// `[[notifier]]`: one endpoint outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Notifier {
    /// Short name: `mail`.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// What it is and how it is reached.
    pub to: Endpoint,
}

/// `notifier.kind`
#[derive(Debug, Clone, PartialEq)]
pub enum Endpoint {
    /// A program of this machine.
    Command(command::Command),
    /// A mail server.
    Smtp(Box<smtp::Smtp>),
    /// An HTTP server.
    Webhook(Box<webhook::Webhook>),
    /// A log server.
    Syslog(syslog::Syslog),
    /// A management station.
    Snmp(Box<snmp::Snmp>),
    /// A broker.
    Mqtt(Box<mqtt::Mqtt>),
    /// A signal tower.
    Patlite(patlite::Patlite),
}

impl Endpoint {
    /// Its word in the site file.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Smtp(_) => "smtp",
            Self::Webhook(_) => "webhook",
            Self::Syslog(_) => "syslog",
            Self::Snmp(_) => "snmp",
            Self::Mqtt(_) => "mqtt",
            Self::Patlite(_) => "patlite",
        }
    }

    /// What it makes the controller connect to.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match self {
            Self::Command(_) => Reach::Nothing,
            Self::Smtp(smtp) => Reach::Tcp(smtp.server.clone()),
            Self::Webhook(webhook) => match (&webhook.proxy, &webhook.url) {
                (Some(proxy), _) => Reach::Tcp(proxy.clone()),
                (None, webhook::UrlFrom::Site(url)) => Reach::Tcp(url.host.clone()),
                (None, webhook::UrlFrom::File(_)) => Reach::Unknown,
            },
            Self::Syslog(syslog) => match syslog.transport {
                syslog::Transport::Udp => Reach::Udp(syslog.addr),
                syslog::Transport::Tcp | syslog::Transport::Tls { .. } => Reach::Tcp(syslog.addr.into()),
            },
            Self::Snmp(snmp) => Reach::Udp(snmp.addr),
            Self::Mqtt(mqtt) => Reach::Tcp(mqtt.broker.clone()),
            Self::Patlite(tower) => Reach::Tcp(tower.addr.into()),
        }
    }

    /// Why a simulated site cannot have it; `None` when it reaches nothing but this machine.
    fn leaves_the_machine(&self) -> Option<&'static str> {
        const LEAVES: &str = "a simulated site reaches nothing but loopback (127.0.0.0/8, ::1)";
        let stays = match self {
            Self::Command(_) => return Some("a simulated site has no programs to start"),
            Self::Smtp(smtp) => smtp.server.is_loopback(),
            Self::Webhook(webhook) => webhook.stays_here(),
            Self::Syslog(syslog) => syslog.addr.ip().is_loopback(),
            Self::Snmp(snmp) => snmp.addr.ip().is_loopback(),
            Self::Mqtt(mqtt) => mqtt.broker.is_loopback(),
            Self::Patlite(tower) => tower.addr.ip().is_loopback(),
        };
        (!stays).then_some(LEAVES)
    }
}

/// What a notifier connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// A program does what it does.
    Nothing,
    /// Over UDP.
    Udp(std::net::SocketAddr),
    /// Over TCP.
    Tcp(host::Host),
    /// Its address stands in a file that only core reads.
    Unknown,
}

impl Endpoint {
    /// Whether a contact must name its address.
    pub(super) const fn needs_to(&self) -> NeedsTo {
        match self {
            Self::Command(_) | Self::Webhook(_) | Self::Syslog(_) | Self::Snmp(_) | Self::Mqtt(_) => {
                NeedsTo::No
            }
            Self::Smtp(_) => NeedsTo::Yes,
            Self::Patlite(_) => NeedsTo::Never,
        }
    }

    /// It shows lamps instead of telling anybody.
    #[must_use]
    pub const fn shows_lamps(&self) -> bool {
        matches!(self.needs_to(), NeedsTo::Never)
    }
}

#[derive(Clone, Copy)]
enum Word {
    Command,
    Smtp,
    Webhook,
    Syslog,
    Snmp,
    Mqtt,
    Patlite,
}

pub(super) struct RawNotifier {
    name: Found<String>,
    label: Found<Label>,
    to: Option<Endpoint>,
}

pub(super) fn notifier(mut r: Reader<'_>) -> RawNotifier {
    let name = r.name("name");
    let label = super::sections::label(&mut r, &name);
    let kind = r.word(
        "kind",
        &[
            ("command", Word::Command),
            ("smtp", Word::Smtp),
            ("webhook", Word::Webhook),
            ("syslog", Word::Syslog),
            ("snmp", Word::Snmp),
            ("mqtt", Word::Mqtt),
            ("patlite", Word::Patlite),
        ],
    );
    let to = kind.and_then(|kind| match kind.value {
        Word::Command => command::read(&mut r).map(Endpoint::Command),
        Word::Smtp => smtp::read(&mut r).map(|smtp| Endpoint::Smtp(Box::new(smtp))),
        Word::Webhook => webhook::read(&mut r).map(|webhook| Endpoint::Webhook(Box::new(webhook))),
        Word::Syslog => syslog::read(&mut r).map(Endpoint::Syslog),
        Word::Snmp => snmp::read(&mut r).map(|snmp| Endpoint::Snmp(Box::new(snmp))),
        Word::Mqtt => mqtt::read(&mut r).map(|mqtt| Endpoint::Mqtt(Box::new(mqtt))),
        Word::Patlite => patlite::read(&mut r).map(Endpoint::Patlite),
    });
    r.finish();
    RawNotifier { name, label, to }
}

pub(super) fn build(raw: RawNotifier) -> Option<Notifier> {
    Some(Notifier {
        name: raw.name?.value,
        label: raw.label?.value,
        to: raw.to?,
    })
}

/// Its name, and what a contact must say to be reached by it.
pub(super) fn named(notifier: &RawNotifier) -> Option<(&str, NeedsTo)> {
    let name = notifier.name.as_ref()?.value.as_str();
    // One that could not be read has been reported.
    let needs = notifier.to.as_ref().map_or(NeedsTo::No, Endpoint::needs_to);
    Some((name, needs))
}

/// Names borne once; a simulated site tells nobody outside.
pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let mut names = BTreeSet::new();
    for name in raw.notifiers.iter().filter_map(|notifier| notifier.name.as_ref()) {
        if !names.insert(name.value.as_str()) {
            sink.error(
                Kind::Duplicate,
                &name.span,
                format!("the notifier {} is there twice", name.value),
            );
        }
    }
    for notifier in raw.notifiers.iter().filter(|_| W::SIMULATED) {
        if let (Some(name), Some(why)) = (
            &notifier.name,
            notifier.to.as_ref().and_then(Endpoint::leaves_the_machine),
        ) {
            sink.error(Kind::Value, &name.span, format!("notifier {}: {why}", name.value));
        }
    }
}
