//! The reserved words of state facts. A state is one of them or it is no data: rules, alarms
//! and pages compare words, never texts of a maker.
//!
//! To add a word: a line here, found by the first pattern that fits the fact's name.

/// Within, below or above what somebody set on the device; words of NUT (RFC 9271).
const LIMIT: &[&str] = &[
    "good",
    "warning-low",
    "warning-high",
    "critical-low",
    "critical-high",
    "absent",
    "bad",
    "unknown",
];
const YES_NO: &[&str] = &["yes", "no"];

/// Pattern of the fact's name (`*` stands for any text) and its words.
const TABLE: &[(&str, &[&str])] = &[
    (
        "output.source",
        &[
            "mains", "battery", "bypass", "booster", "reducer", "eco", "test", "off", "sleeping", "other",
        ],
    ),
    (
        "battery.status",
        &["normal", "low", "depleted", "fault", "absent", "unknown"],
    ),
    ("battery.replace", YES_NO),
    ("ups.overload", YES_NO),
    (
        "battery.charger.status",
        &[
            "charging",
            "discharging",
            "floating",
            "resting",
            "off",
            "fault",
            "unknown",
        ],
    ),
    (
        "ups.test.result",
        &["passed", "warning", "failed", "aborted", "running", "none"],
    ),
    ("ups.calibration", &["running", "no"]),
    ("ups.beeper.status", &["enabled", "disabled", "muted"]),
    (
        "input.transfer.reason",
        &[
            "none",
            "high_voltage",
            "brownout",
            "blackout",
            "sag",
            "spike",
            "self_test",
            "rate_of_change",
        ],
    ),
    ("input.source", &["a", "b", "none", "unknown"]),
    ("input.source.*", &["a", "b", "none", "unknown"]),
    (
        "input.?.status",
        &[
            "good",
            "bad",
            "absent",
            "off",
            "low_voltage",
            "high_voltage",
            "low_frequency",
            "high_frequency",
            "warning-low",
            "warning-high",
            "critical-low",
            "critical-high",
            "unknown",
        ],
    ),
    ("ambient.contacts.*.alarm", YES_NO),
    ("ambient.contacts.*", CONTACT),
    ("contact.*", CONTACT),
    ("port.*.status", PORT),
    ("port.*.admin", PORT),
    ("system.power", &["on", "off", "standby", "unknown"]),
    ("*.redundancy", &["full", "degraded", "lost", "none", "unknown"]),
    (
        "*.health",
        &["ok", "info", "warning", "critical", "absent", "off", "unknown"],
    ),
    ("*.voltage.status", LIMIT),
    ("*.current.status", LIMIT),
    ("*.frequency.status", LIMIT),
    ("*.power.status", LIMIT),
    ("*.realpower.status", LIMIT),
    ("*.load.status", LIMIT),
    ("*.temperature.status", LIMIT),
    ("*.humidity.status", LIMIT),
    ("outlet.*status", &["on", "off", "unknown", "fault", "pending"]),
    ("outlet.*switchable", YES_NO),
    ("ambient.*status", LIMIT),
    ("*.limit", LIMIT),
    ("*.present", YES_NO),
    ("*.alarm", YES_NO),
];

const CONTACT: &[&str] = &["open", "closed", "active", "inactive", "bad", "unknown"];
const PORT: &[&str] = &[
    "up",
    "down",
    "testing",
    "unknown",
    "dormant",
    "absent",
    "lower_layer_down",
];

/// What a state may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// One of these.
    Words(&'static [&'static str]),
    /// Any word of small letters, digits and underscores: what has no name of ours.
    SnakeCase,
}

impl Reserved {
    /// True when a state may say `word`.
    #[must_use]
    pub fn allow(self, word: &str) -> bool {
        match self {
            Self::Words(words) => words.contains(&word),
            Self::SnakeCase => {
                word.starts_with(|c: char| c.is_ascii_lowercase())
                    && word.len() <= WORD_MAX
                    && word
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            }
        }
    }
}

/// Bytes of one word.
const WORD_MAX: usize = 40;

/// The reserved words of a state fact; `None` for a name under which no state is known.
#[must_use]
pub fn reserved_words(fact: &str) -> Option<Reserved> {
    if fact.starts_with("unmapped.") {
        return Some(Reserved::SnakeCase);
    }
    // NUT's own list of what is wrong, in the words of the driver: a text, whatever its name.
    if fact == "ups.alarm" {
        return None;
    }
    TABLE
        .iter()
        .find(|(pattern, _)| fits(pattern, fact))
        .map(|(_, words)| Reserved::Words(words))
}

/// `*` stands for any text, also none; `?` for one character.
#[must_use]
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Where to go on when what follows the last `*` turns out not to fit.
    let mut again: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                again = Some((at, from));
                at += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match again {
                Some((star, taken)) => {
                    again = Some((star, taken + 1));
                    at = star + 1;
                    from = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names_only() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*.health", "psu.1.health", true),
            ("*.health", "psu.1.healthy", false),
            ("outlet.*status", "outlet.status", true),
            ("outlet.*status", "outlet.group.1.status", true),
            ("input.?.status", "input.a.status", true),
            ("input.?.status", "input.status", false),
            ("*", "", true),
            ("a*a*b", "aaab", true),
            ("a*a*b", "aaac", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_pattern_that_fits_gives_the_words() {
        let words = |name: &str| match reserved_words(name) {
            Some(Reserved::Words(words)) => words.to_vec(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(words("ambient.contacts.{i}.status"), CONTACT);
        assert_eq!(words("ambient.{i}.temperature.status"), LIMIT);
        assert_eq!(words("outlet.{i}.current.status"), LIMIT);
        assert!(words("outlet.{i}.status").contains(&"pending"));
        assert_eq!(reserved_words("ups.model"), None);
        assert_eq!(reserved_words("ups.alarm"), None, "free text of NUT");
        assert_eq!(words("ambient.contacts.{i}.alarm"), YES_NO);
        assert_eq!(words("input.voltage.alarm"), YES_NO);
        let free = reserved_words("unmapped.fan.mode").unwrap();
        assert!(free.allow("full_speed_2"));
        for bad in ["", "Full", "full speed", "1st", "x-y"] {
            assert!(!free.allow(bad), "{bad}");
        }
    }
}
