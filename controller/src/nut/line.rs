//! Lines of the NUT protocol (RFC 9271): what a server can say, and how a name is written to it.

/// Words of one line; `VAR ups name "value"` has four, an enumeration's row five.
const WORDS_MAX: usize = 16;

/// One line of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// `OK`, with the rest of the line.
    Ok(Vec<String>),
    /// `ERR TOKEN`.
    Err(ErrorToken),
    /// `BEGIN LIST ...`
    Begin(Vec<String>),
    /// `END LIST ...`
    End(Vec<String>),
    /// `VAR ups name "value"`
    Var {
        /// The UPS, as we spelled it.
        ups: String,
        /// Name.
        name: String,
        /// Value, unescaped.
        value: String,
    },
    /// `UPS name "description"`
    Ups {
        /// Name.
        name: String,
        /// Description.
        text: String,
    },
    /// What was asked for earlier is not done yet.
    Pending,
    /// What was asked for earlier is done.
    Success,
    /// Nothing that this client asks for; newer servers may say more.
    Unknown,
}

/// Why a server refuses, as far as it makes a difference here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorToken {
    /// It has no UPS of that name.
    UnknownUps,
    /// This variable is not to be had of this UPS.
    VarNotSupported,
    /// Its driver has lost the UPS; the values are old.
    DataStale,
    /// Its driver does not run.
    DriverNotConnected,
    /// User, password or address has not the right.
    AccessDenied,
    /// It speaks no TLS, or is not set up for it.
    NoTls,
    /// It does not know the command.
    UnknownCommand,
    /// Anything else, by its word.
    Other(String),
}

impl ErrorToken {
    fn of(word: &str) -> Self {
        match word {
            "UNKNOWN-UPS" => Self::UnknownUps,
            "VAR-NOT-SUPPORTED" => Self::VarNotSupported,
            "DATA-STALE" => Self::DataStale,
            "DRIVER-NOT-CONNECTED" => Self::DriverNotConnected,
            "ACCESS-DENIED" => Self::AccessDenied,
            "FEATURE-NOT-CONFIGURED" | "FEATURE-NOT-SUPPORTED" => Self::NoTls,
            "UNKNOWN-COMMAND" => Self::UnknownCommand,
            other => Self::Other(other.chars().take(64).collect()),
        }
    }

    /// As the protocol writes it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::UnknownUps => "UNKNOWN-UPS",
            Self::VarNotSupported => "VAR-NOT-SUPPORTED",
            Self::DataStale => "DATA-STALE",
            Self::DriverNotConnected => "DRIVER-NOT-CONNECTED",
            Self::AccessDenied => "ACCESS-DENIED",
            Self::NoTls => "FEATURE-NOT-CONFIGURED",
            Self::UnknownCommand => "UNKNOWN-COMMAND",
            Self::Other(word) => word,
        }
    }
}

impl Line {
    /// Reads one line without its end. Whatever is not understood is [`Line::Unknown`].
    #[must_use]
    pub fn read(text: &str) -> Self {
        let Some(mut words) = words(text) else {
            return Self::Unknown;
        };
        if words.is_empty() {
            return Self::Unknown;
        }
        let verb = words.remove(0);
        match (verb.as_str(), words.as_mut_slice()) {
            ("OK", _) => Self::Ok(words),
            ("ERR", [token, ..]) => Self::Err(ErrorToken::of(token)),
            ("BEGIN", [list, ..]) if list == "LIST" => Self::Begin(words.split_off(1)),
            ("END", [list, ..]) if list == "LIST" => Self::End(words.split_off(1)),
            ("VAR", [ups, name, value]) => Self::Var {
                ups: std::mem::take(ups),
                name: std::mem::take(name),
                value: std::mem::take(value),
            },
            ("PENDING", []) => Self::Pending,
            ("SUCCESS", []) => Self::Success,
            ("UPS", [name, text]) => Self::Ups {
                name: std::mem::take(name),
                text: std::mem::take(text),
            },
            _ => Self::Unknown,
        }
    }
}

/// The words of a line; `None` for one that ends inside of quotes or has too many.
pub(crate) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if words.len() == WORDS_MAX {
            return None;
        }
        let quoted = rest.starts_with('"');
        let mut word = String::new();
        let mut chars = rest[usize::from(quoted)..].char_indices();
        let mut end = None;
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => word.push(chars.next()?.1),
                '"' if quoted => {
                    end = Some(at + 2);
                    break;
                }
                c if !quoted && c.is_whitespace() => {
                    end = Some(at);
                    break;
                }
                c => word.push(c),
            }
        }
        let end = match end {
            Some(end) => end,
            None if quoted => return None,
            None => rest.len(),
        };
        words.push(word);
        rest = rest.get(end..).unwrap_or_default().trim_start();
    }
    Some(words)
}

/// A name as a server reads it back as one word; `None` for one that no line can hold.
#[must_use]
pub fn quoted(name: &str) -> Option<String> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return None;
    }
    // Blanks of every script: a name in Japanese may hold U+3000, at which a line is split as well.
    if !name.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\' | '=' | '#')) {
        return Some(name.to_owned());
    }
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("\"{escaped}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_are_read_with_their_quotes() {
        for (text, expected) in [
            (
                "VAR rack ups.status \"OL CHRG\"",
                ("rack", "ups.status", "OL CHRG"),
            ),
            (
                "VAR rack ups.model \"a \\\"b\\\" \\\\ c\"",
                ("rack", "ups.model", "a \"b\" \\ c"),
            ),
            ("VAR \"my rack\" ups.alarm \"\"", ("my rack", "ups.alarm", "")),
            ("VAR rack ups.load 14", ("rack", "ups.load", "14")),
        ] {
            let (ups, name, value) = expected;
            let expected = Line::Var {
                ups: ups.to_owned(),
                name: name.to_owned(),
                value: value.to_owned(),
            };
            assert_eq!(Line::read(text), expected, "{text}");
        }
    }

    #[test]
    fn errors_lists_and_strange_lines_are_told_apart() {
        assert_eq!(Line::read("ERR DATA-STALE"), Line::Err(ErrorToken::DataStale));
        assert_eq!(
            Line::read("ERR SOMETHING-NEW"),
            Line::Err(ErrorToken::Other("SOMETHING-NEW".to_owned()))
        );
        let rack = || vec!["VAR".to_owned(), "rack".to_owned()];
        assert_eq!(Line::read("BEGIN LIST VAR rack"), Line::Begin(rack()));
        assert_eq!(Line::read("END LIST VAR rack"), Line::End(rack()));
        for strange in [
            "",
            "   ",
            "ERR",
            "VAR rack",
            "VAR rack ups.status \"OL",
            "VAR rack ups.status \"OL\\",
            "NOTIFY rack",
            "END OF FILE",
        ] {
            assert_eq!(Line::read(strange), Line::Unknown, "{strange}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_survived(text in ".{0,300}") {
            let _ = Line::read(&text);
        }

        #[test]
        fn a_quoted_name_reads_back(name in "[ -~\u{a0}\u{2002}\u{2028}\u{3000}電源]{1,40}") {
            let line = format!("UPS {} \"x\"", quoted(&name).unwrap());
            let read = Line::read(&line);
            prop_assert_eq!(read, Line::Ups { name, text: "x".to_owned() });
        }
    }
}
