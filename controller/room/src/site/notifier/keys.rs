//! Keys that several kinds of notifiers share: `language` and `timeout`.

use crate::notice::text::Language;
use crate::site::reader::Reader;
use crate::time::Millis;

/// Shortest and longest time of one attempt over the network. The longest is shorter than what the
/// worker of a notifier waits for any attempt.
pub(super) const NETWORK_TIMEOUT: (Millis, Millis) = (Millis::from_secs(1), Millis::from_secs(60));

/// `language`; Japanese unless written. `None` when it is wrong.
pub(super) fn language(r: &mut Reader<'_>) -> Option<Language> {
    let written = r.has("language");
    match r.word_or("language", &Language::WORDS) {
        Some(language) => Some(language.value),
        None if written => None,
        None => Some(Language::Ja),
    }
}

/// `timeout` within a range. `None` when it is wrong.
pub(super) fn timeout(r: &mut Reader<'_>, default: Millis, range: (Millis, Millis)) -> Option<Millis> {
    let written = r.has("timeout");
    match r.duration_or("timeout", range) {
        Some(timeout) => Some(timeout.value),
        None if written => None,
        None => Some(default),
    }
}
