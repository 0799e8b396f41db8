//! `[[notifier]]` with `kind = "patlite"`: a network signal tower of PATLITE.

use super::keys::{self, NETWORK_TIMEOUT};
use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::time::Millis;
use std::net::SocketAddr;

/// Whole length of one command, unless written. A tower answers within some milliseconds.
pub const PATLITE_TIMEOUT: Millis = Millis::from_secs(3);
/// Buzzer patterns of the largest model (LA6-POE).
const BUZZER_MAX: i64 = 11;
/// Buzzer patterns that one digit of the HTTP command names on every model that has it.
const BUZZER_MAX_HTTP: u8 = 4;

/// A tower with up to five units and a buzzer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patlite {
    /// Where it takes commands.
    pub addr: SocketAddr,
    /// In which form.
    pub form: Form,
    /// Buzzer pattern, from 1.
    pub buzzer: u8,
    /// Longest time of one command.
    pub timeout: Millis,
}

/// `notifier.protocol` with `notifier.category`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// PNS commands over TCP, with the model's product category.
    Pns(Category),
    /// HTTP, `/api/control`.
    Http,
}

/// `notifier.category`: what the tower's manual calls the product category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// `AB`: LR and LA6 series.
    Ab,
    /// `XX`: NH series.
    Xx,
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Pns,
    Http,
}

/// The keys of the table beside `name`, `label` and `kind`.
pub(super) fn read(r: &mut Reader<'_>) -> Option<Patlite> {
    let addr = r.addr("addr", "\"192.168.10.8:10000\"");
    let protocol = r.word("protocol", &[("pns", Word::Pns), ("http", Word::Http)]);
    let category_written = r.has("category");
    let category = r.word_or("category", &[("AB", Category::Ab), ("XX", Category::Xx)]);
    let buzzer_written = r.has("buzzer");
    let buzzer = r.whole_or("buzzer", 1..=BUZZER_MAX);
    let timeout = keys::timeout(r, PATLITE_TIMEOUT, NETWORK_TIMEOUT);

    let form = match protocol?.value {
        Word::Pns => {
            if !category_written {
                r.missing(
                    "category",
                    "\"AB\" for the LR and LA6 series, \"XX\" for the NH series",
                );
            }
            Form::Pns(category?.value)
        }
        Word::Http => {
            if let Some(category) = &category {
                r.sink().error_hint(
                    Kind::Conflict,
                    &category.span,
                    "`category` means nothing over HTTP",
                    "take it out, or write protocol = \"pns\"",
                );
            }
            Form::Http
        }
    };
    if buzzer_written && buzzer.is_none() {
        return None;
    }
    let span = buzzer.as_ref().map(|buzzer| buzzer.span.clone());
    let buzzer = buzzer.map_or(Some(1), |buzzer| u8::try_from(buzzer.value).ok())?;
    if let (Form::Http, Some(at)) = (form, span.filter(|_| buzzer > BUZZER_MAX_HTTP)) {
        r.sink().error_hint(
            Kind::Value,
            &at,
            format!("`buzzer` = {buzzer} cannot be said over HTTP"),
            format!("from 1 to {BUZZER_MAX_HTTP}; more patterns need protocol = \"pns\""),
        );
        return None;
    }
    Some(Patlite {
        addr: addr?.value,
        form,
        buzzer,
        timeout: timeout?,
    })
}
