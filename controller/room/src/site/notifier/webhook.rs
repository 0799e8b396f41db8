//! `[[notifier]]` with `kind = "webhook"`: an HTTP POST to a chat service or a program of the site.

use super::host::{self, Host};
use super::keys::{self, NETWORK_TIMEOUT};
use crate::notice::text::Language;
use crate::site::problem::{Kind, first_odd};
use crate::site::reader::Reader;
use crate::time::Millis;
use std::path::PathBuf;

/// Longest address in bytes; those of chat services have up to 300.
const MAX_URL: usize = 1000;
/// What stands in the path for the address of a contact.
pub const TO: &str = "{to}";
/// Whole length of one request, unless written.
pub const WEBHOOK_TIMEOUT: Millis = Millis::from_secs(10);

/// Where a POST goes and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it goes.
    pub url: UrlFrom,
    /// Whose form the body has.
    pub template: Template,
    /// File with the key that signs the body; `None`: it is not signed.
    pub key_file: Option<PathBuf>,
    /// File with the token of the header `Authorization: Bearer`; read anew for each request, since
    /// tokens run out and somebody else renews them.
    pub token_file: Option<PathBuf>,
    /// PEM file with the authority, or the server's own certificate as a pin; `None`: the
    /// authorities of this machine.
    pub ca_file: Option<PathBuf>,
    /// The site's HTTP proxy, asked by CONNECT; `None`: straight.
    pub proxy: Option<Host>,
    /// Language of the text.
    pub language: Language,
    /// Longest time of one request, from the connection to the whole answer.
    pub timeout: Millis,
}

impl Webhook {
    /// True when it cannot leave the machine. What stands in a file can lead anywhere.
    pub(super) fn stays_here(&self) -> bool {
        let UrlFrom::Site(url) = &self.url else {
            return false;
        };
        url.host.is_loopback() && self.proxy.as_ref().is_none_or(Host::is_loopback)
    }
}

/// `notifier.url` or `notifier.url_file`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlFrom {
    /// Written in the site file.
    Site(Url),
    /// In a file of its own: the addresses that chat services hand out are secrets.
    File(PathBuf),
}

/// `notifier.template`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Template {
    /// The whole notice as JSON; a contract.
    Generic,
    /// Slack's incoming webhook.
    Slack,
    /// Microsoft Teams: an adaptive card for the workflow "post to a channel when a webhook request
    /// is received".
    Teams,
    /// LINE WORKS: a text message of a bot.
    LineWorks,
}

impl Template {
    /// Every template and its word in the site file.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("generic", Self::Generic),
        ("slack", Self::Slack),
        ("teams", Self::Teams),
        ("line-works", Self::LineWorks),
    ];
}

/// An address that a POST can go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `https`; else `http`, to addresses of a closed network alone.
    pub secure: bool,
    /// Host and port.
    pub host: Host,
    /// Path and query, beginning with a slash; may hold [`TO`] once.
    pub path: String,
}

impl Url {
    /// Whether the address of a contact has a place in it.
    #[must_use]
    pub fn takes_address(&self) -> bool {
        self.path.contains(TO)
    }
}

/// Reads `https://host[:port]/path?query`.
///
/// # Errors
/// What is wrong with it.
pub fn url(text: &str) -> Result<Url, &'static str> {
    if text.len() > MAX_URL {
        return Err("it is longer than 1000 characters");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it contains a blank or a character that has to be percent-encoded");
    }
    if text.contains('#') {
        return Err("what follows # is never sent");
    }
    let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("it begins with neither https:// nor http://"),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if host.contains('@') {
        return Err("a password in it would be seen in logs; use token_file");
    }
    let host = host::parse(host, Some(if secure { 443 } else { 80 }))?;
    let path = match path.chars().next() {
        None => "/".to_owned(),
        Some('?') => format!("/{path}"),
        Some(_) => path.to_owned(),
    };
    let bare = path.replacen(TO, "", 1);
    if bare.contains(['{', '}', '"', '<', '>', '\\', '^', '`', '|']) {
        return Err("it contains a character that has to be percent-encoded");
    }
    Ok(Url { secure, host, path })
}

/// Whether a POST in the clear may go there: to this machine, or, when `plain = true` is written,
/// within a closed network. Names are looked at again when they are resolved.
///
/// # Errors
/// Why not.
pub fn may_be_plain(url: &Url, plain: bool) -> Result<(), &'static str> {
    match url.host.ip() {
        _ if url.secure => Ok(()),
        Some(ip) if ip.is_loopback() => Ok(()),
        Some(ip) if !host::is_closed(ip) => Err("http:// leaves the closed network; write https://"),
        _ if plain => Ok(()),
        _ => Err("http:// can be read by others on the network"),
    }
}

/// The keys of the table beside `name`, `label` and `kind`.
pub(super) fn read(r: &mut Reader<'_>) -> Option<Webhook> {
    let plain = r.flag_or("plain").is_some_and(|flag| flag.value);
    let inline = r.text_or("url");
    let file = r.path_or("url_file");
    let template = r.word("template", &Template::WORDS);
    let key_file = r.path_or("key_file");
    let token_file = r.path_or("token_file");
    let ca_file = r.path_or("ca_file");
    let has_proxy = r.has("proxy");
    let proxy = host::read_or(r, "proxy", "proxy.city.example:8080");
    let language = keys::language(r);
    let timeout = keys::timeout(r, WEBHOOK_TIMEOUT, NETWORK_TIMEOUT);

    let from = match (inline, file) {
        (Some(inline), Some(_)) => {
            r.sink().error_hint(
                Kind::Conflict,
                &inline.span,
                "`url` and `url_file` exclude each other",
                "an address that is a secret belongs into the file",
            );
            None
        }
        (None, Some(file)) => Some(UrlFrom::File(file.value)),
        (None, None) => {
            if !r.has("url") && !r.has("url_file") {
                r.missing(
                    "url",
                    "where it is posted, or url_file with the file that holds it",
                );
            }
            None
        }
        (Some(text), None) => match url(&text.value) {
            Err(why) => {
                let hint = first_odd(&text.value).map_or_else(
                    || "e.g. \"https://chat.city.example/hooks/room\"".to_owned(),
                    |odd| format!("it contains {odd}"),
                );
                r.sink()
                    .error_hint(Kind::Value, &text.span, format!("`url`: {why}"), hint);
                None
            }
            Ok(url) => match may_be_plain(&url, plain) {
                Ok(()) => Some(UrlFrom::Site(url)),
                Err(why) => {
                    r.sink().error_hint(
                        Kind::Value,
                        &text.span,
                        format!("`url`: {why}"),
                        "write https://, or plain = true for an address within a closed network",
                    );
                    None
                }
            },
        },
    };
    if has_proxy && proxy.is_none() {
        return None;
    }
    Some(Webhook {
        url: from?,
        template: template?.value,
        key_file: key_file.map(|file| file.value),
        token_file: token_file.map(|file| file.value),
        ca_file: ca_file.map(|file| file.value),
        proxy: proxy.map(|proxy| proxy.value),
        language: language?,
        timeout: timeout?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused_with_the_reason() {
        let good = url("https://chat.city.example/hooks/room?x=1").unwrap();
        assert!(good.secure && good.host.port == 443 && good.path == "/hooks/room?x=1");
        assert_eq!(url("http://127.0.0.1:8080").unwrap().path, "/");
        assert_eq!(url("https://a?b").unwrap().path, "/?b");
        assert!(url("https://a/{to}/x").unwrap().takes_address());
        for bad in [
            "",
            "ftp://a/",
            "https://",
            "https://a b/",
            "https://u:p@a/",
            "https://a/#x",
            "https://a/{to}{to}",
            "https://a/{from}",
            "https://a/\r\nX: y",
            "https://a:0/",
            "https://é/",
            "https://a/<",
        ] {
            assert!(url(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn http_stays_in_the_closed_network_and_only_when_written() {
        for (text, plain, expected) in [
            ("https://203.0.113.1/", false, true),
            ("http://127.0.0.1/", false, true),
            ("http://192.168.1.1/", false, false),
            ("http://192.168.1.1/", true, true),
            ("http://203.0.113.1/", true, false),
            ("http://chat.local/", false, false),
            ("http://chat.local/", true, true),
        ] {
            assert_eq!(
                may_be_plain(&url(text).unwrap(), plain).is_ok(),
                expected,
                "{text}"
            );
        }
    }
}
