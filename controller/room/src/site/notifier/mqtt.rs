//! `[[notifier]]` with `kind = "mqtt"`: notices for other programs of the site, by a broker.
//!
//! The endpoint of our own serves the nodes and nobody else: it has no accounts for those who would
//! listen. So this names a broker of the site, which may be the one of `[mqtt]`.

use super::host::{self, Host, Tls};
use super::keys::{self, NETWORK_TIMEOUT};
use crate::notice::text::Language;
use crate::site::problem::{Kind, first_odd};
use crate::site::reader::Reader;
use crate::time::Millis;
use std::path::PathBuf;

/// Longest wait for the broker's acknowledgement, unless written.
pub const MQTT_TIMEOUT: Millis = Millis::from_secs(10);
/// Longest topic above ours in bytes.
const MAX_TOPIC: usize = 128;

/// A broker, and the branch of its topics that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mqtt {
    /// Where it listens.
    pub broker: Host,
    /// Whom it must be by its certificate; `None`: no TLS.
    pub tls: Option<Tls>,
    /// Account and the file with its password; `None` for a broker without accounts.
    pub login: Option<(String, PathBuf)>,
    /// Topic above ours: `yagura/<site>`, without a slash at either end.
    pub topic: String,
    /// Language of the texts in the JSON, which has the facts in both.
    pub language: Language,
    /// Longest wait for the acknowledgement.
    pub timeout: Millis,
}

/// The keys of the table beside `name`, `label` and `kind`.
pub(super) fn read(r: &mut Reader<'_>) -> Option<Mqtt> {
    let broker = host::read(r, "broker", "192.168.10.2:1883");
    let words = [("tcp", false), ("tls", true)];
    let is_wrong = r.has("transport");
    let transport = r.word_or("transport", &words).map(|word| word.value);
    let is_wrong = is_wrong && transport.is_none();
    let is_tls = transport.unwrap_or(false);
    let tls = host::tls(r, is_tls || is_wrong);
    let user = r.text_or("user");
    let password = r.path_or("password_file");
    let topic = r.text("topic", "the branch of our topics, e.g. \"yagura/honcho\"");
    let language = keys::language(r);
    let timeout = keys::timeout(r, MQTT_TIMEOUT, NETWORK_TIMEOUT);
    if r.has("user") != r.has("password_file") {
        r.sink().error_hint(
            Kind::Missing,
            &r.span,
            "`user` and `password_file` belong together in [[notifier]]",
            "write both or neither",
        );
    }
    let topic = topic?;
    if !is_branch(&topic.value) {
        let hint = first_odd(&topic.value).map_or_else(
            || "letters, digits, - _ . with slashes between, e.g. \"yagura/honcho\"".to_owned(),
            |odd| format!("it contains {odd}"),
        );
        r.sink().error_hint(
            Kind::Value,
            &topic.span,
            format!("`topic` = \"{}\" is no branch of topics", topic.value),
            hint,
        );
        return None;
    }
    if is_wrong {
        return None;
    }
    Some(Mqtt {
        broker: broker?.value,
        tls: is_tls.then_some(tls),
        login: user.zip(password).map(|(user, file)| (user.value, file.value)),
        topic: topic.value,
        language: language?,
        timeout: timeout?,
    })
}

/// Parts of plain characters: no wildcard, no `$SYS`, nothing that a listener must quote.
fn is_branch(topic: &str) -> bool {
    topic.len() <= MAX_TOPIC
        && topic.split('/').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        })
        && !topic.starts_with("fac/")
}

#[cfg(test)]
mod tests {
    use super::is_branch;

    #[test]
    fn a_branch_of_topics_has_no_wildcard_and_is_not_the_nodes_own() {
        for good in ["yagura", "yagura/honcho", "city/2F/server-room_1"] {
            assert!(is_branch(good), "{good}");
        }
        for bad in [
            "", "/yagura", "yagura/", "a//b", "a/+", "#", "$SYS/a", "fac/v1", "庁舎", "a b",
        ] {
            assert!(!is_branch(bad), "{bad}");
        }
    }
}
