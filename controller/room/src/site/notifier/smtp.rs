//! `[[notifier]]` with `kind = "smtp"`: mail through a server of the site.

use super::host::{self, Host};
use super::keys::{self, NETWORK_TIMEOUT};
use crate::notice::text::Language;
use crate::site::problem::{Kind, first_odd};
use crate::site::reader::{At, Found, Reader};
use crate::time::Millis;
use std::path::PathBuf;

/// Longest mail address (RFC 5321 4.5.3.1.3, without the brackets).
const MAX_ADDRESS: usize = 254;
/// Longest part before the @ (RFC 5321 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// Whole length of one conversation with the server, unless written. A relay that scans what it
/// takes needs some seconds.
pub const SMTP_TIMEOUT: Millis = Millis::from_secs(20);

/// How mail leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// The site's mail server.
    pub server: Host,
    /// How the connection is kept from listeners.
    pub tls: SmtpTls,
    /// PEM file with the authority, or the server's own certificate as a pin; `None`: the
    /// authorities of this machine.
    pub ca_file: Option<PathBuf>,
    /// The name in the server's certificate, where it is not that of `server`.
    pub tls_name: Option<String>,
    /// Account, and the file with its password.
    pub login: Option<(String, PathBuf)>,
    /// Our address.
    pub from: String,
    /// The name shown with it.
    pub from_name: Option<String>,
    /// Where an answer of a person goes.
    pub reply_to: Option<String>,
    /// Language of the mails.
    pub language: Language,
    /// Longest time of one mail, from the connection to the server's word that it has it.
    pub timeout: Millis,
}

/// `notifier.tls`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// STARTTLS (RFC 3207); a server without it gets no mail.
    Starttls,
    /// TLS from the first byte (RFC 8314), usually port 465.
    Implicit,
    /// In the clear. Only when written.
    None,
}

/// True for an address that can stand in an SMTP command and in a header as it is: ASCII, one @, no
/// quotes, no blanks. Stricter than RFC 5321: what is left out nobody has.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.len() <= MAX_ADDRESS
        && local.len() <= MAX_LOCAL
        && local
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(atom))
        && host::parse(domain, Some(25)).is_ok_and(|host| host.name == domain && host.ip().is_none())
}

/// The keys of the table beside `name`, `label` and `kind`.
pub(super) fn read(r: &mut Reader<'_>) -> Option<Smtp> {
    let server = host::read(r, "server", "mail.city.example:587");
    let words = [
        ("starttls", SmtpTls::Starttls),
        ("implicit", SmtpTls::Implicit),
        ("none", SmtpTls::None),
    ];
    let tls_is_wrong = r.has("tls");
    let tls = r.word_or("tls", &words);
    let tls_is_wrong = tls_is_wrong && tls.is_none();
    let ca_file = r.path_or("ca_file");
    let tls_name = r.text_or("tls_name");
    let user = r.text_or("user");
    let password = r.path_or("password_file");
    let from = r.text("from", "our address, e.g. \"yagura@city.example\"");
    let from = address(r, "from", from);
    let from_name = r.text_or("from_name");
    let reply_is_wrong = r.has("reply_to");
    let reply_to = r.text_or("reply_to");
    let reply_to = address(r, "reply_to", reply_to);
    let reply_is_wrong = reply_is_wrong && reply_to.is_none();
    let language = keys::language(r);
    let timeout = keys::timeout(r, SMTP_TIMEOUT, NETWORK_TIMEOUT);

    if r.has("user") != r.has("password_file") {
        r.sink().error_hint(
            Kind::Missing,
            &r.span,
            "`user` and `password_file` belong together in [[notifier]]",
            "write both or neither",
        );
    }
    let plain = tls.as_ref().is_some_and(|tls| tls.value == SmtpTls::None);
    if let (true, Some(user)) = (plain, &user) {
        r.sink().error_hint(
            Kind::Conflict,
            &user.span,
            "a password would travel in the clear with tls = \"none\"",
            "write tls = \"starttls\" or \"implicit\", or let the server take mail from this address without one",
        );
        return None;
    }
    for (key, at) in [
        ("ca_file", ca_file.as_ref().map(|file| &file.span)),
        ("tls_name", tls_name.as_ref().map(|name| &name.span)),
    ] {
        if let (true, Some(at)) = (plain, at) {
            r.sink().error_hint(
                Kind::Conflict,
                at,
                format!("`{key}` means nothing with tls = \"none\""),
                "take it out, or write tls = \"starttls\"",
            );
        }
    }
    if tls_is_wrong || reply_is_wrong {
        return None;
    }
    Some(Smtp {
        server: server?.value,
        tls: tls.map_or(SmtpTls::Starttls, |tls| tls.value),
        ca_file: ca_file.map(|file| file.value),
        tls_name: tls_name.map(|name| name.value),
        login: user.zip(password).map(|(user, file)| (user.value, file.value)),
        from: from?.value,
        from_name: from_name.map(|name| name.value),
        reply_to: reply_to.map(|address| address.value),
        language: language?,
        timeout: timeout?,
    })
}

fn address(r: &Reader<'_>, key: &str, text: Found<String>) -> Found<String> {
    let text: At<String> = text?;
    if is_address(&text.value) {
        return Some(text);
    }
    let hint = first_odd(&text.value).map_or_else(
        || "one address and nothing else, e.g. \"yagura@city.example\"".to_owned(),
        |odd| format!("it contains {odd}"),
    );
    r.sink().error_hint(
        Kind::Value,
        &text.span,
        format!("`{key}` = \"{}\" is not a mail address", text.value),
        hint,
    );
    None
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn an_address_is_one_address_and_nothing_else() {
        for good in [
            "a@b",
            "taro.yamada+duty@city.example.lg.jp",
            "x_y-z@mail-1.example",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b c",
            "<a@b>",
            "a,b@c",
            "a@b,c@d",
            "a..b@c",
            ".a@b",
            "a.@b",
            "a@b..c",
            "a@b:25",
            "\"a b\"@c",
            "a@[192.0.2.1]",
            "a@192.0.2.1",
            "太郎@city.example",
            "a@市.example",
            "a@b\r\nBcc: c@d",
            "a\0@b",
        ] {
            assert!(!is_address(bad), "{bad:?}");
        }
        assert!(!is_address(&format!("{}@b", "a".repeat(65))));
    }
}
