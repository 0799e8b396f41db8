//! `[[notifier]]`: where notices can go, one file a kind.

pub mod command;

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
}

impl Endpoint {
    /// Its word in the site file.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
        }
    }
}

#[derive(Clone, Copy)]
enum Word {
    Command,
}

pub(super) struct RawNotifier {
    name: Found<String>,
    label: Found<Label>,
    to: Option<Endpoint>,
}

pub(super) fn notifier(mut r: Reader<'_>) -> RawNotifier {
    let name = r.name("name");
    let label = super::sections::label(&mut r, &name);
    let kind = r.word("kind", &[("command", Word::Command)]);
    let to = kind.and_then(|kind| match kind.value {
        Word::Command => command::read(&mut r).map(Endpoint::Command),
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

/// Names borne once.
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
}
