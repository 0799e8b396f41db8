//! Topics and filters: which are valid, which match, which right covers which wish.

use super::limit::{MAX_TOPIC, MAX_TOPIC_LEVELS};

/// Whether a message may carry this topic: no wildcard, no control character, bounded.
#[must_use]
pub fn valid_topic(topic: &str) -> bool {
    bounded(topic) && !topic.contains(['+', '#'])
}

/// Whether this is a filter: wildcards fill whole levels, `#` only the last.
#[must_use]
pub fn valid_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut well_formed = true;
    while let Some(level) = levels.next() {
        well_formed &= match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            _ => !level.contains(['+', '#']),
        };
    }
    well_formed && bounded(filter)
}

/// Whether the filter asks for the topic. A wildcard in the first level does not match a
/// `$` topic (MQTT-4.7.2-1).
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            // `a/#` also matches `a`.
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether every topic that `filter` asks for is one that `right` grants.
#[must_use]
pub fn covers(right: &str, filter: &str) -> bool {
    if filter.starts_with('$') && right.starts_with(['+', '#']) {
        return false;
    }
    let mut wishes = filter.split('/');
    for granted in right.split('/') {
        match (granted, wishes.next()) {
            ("#", _) => return true,
            (_, None) | ("+", Some("#")) => return false,
            ("+", Some(_)) => {}
            (granted, Some(wish)) if granted == wish => {}
            _ => return false,
        }
    }
    wishes.next().is_none()
}

fn bounded(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_TOPIC
        && text.split('/').count() <= MAX_TOPIC_LEVELS
        // NUL is forbidden (MQTT-1.5.4-2); the other control characters "should not" appear and
        // would end up in logs and on screens.
        && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn topics() {
        for topic in ["a", "/", "a/b", "fac/v1/1/ev", "日/本", "$SYS/x", "a b"] {
            assert!(valid_topic(topic), "{topic}");
        }
        for topic in ["", "a/+", "#", "a\0b", "a\nb", "a\u{85}"] {
            assert!(!valid_topic(topic), "{topic:?}");
        }
        assert!(valid_topic(&"x".repeat(MAX_TOPIC)));
        assert!(!valid_topic(&"x".repeat(MAX_TOPIC + 1)));
        assert!(!valid_topic(&"/".repeat(MAX_TOPIC_LEVELS)));
    }

    #[test]
    fn filters() {
        for filter in ["#", "+", "a/#", "+/+", "a/+/b", "/", "/#"] {
            assert!(valid_filter(filter), "{filter}");
        }
        for filter in ["", "a#", "#/a", "a+/b", "++", "a/b+", "a/#/b", "a\0"] {
            assert!(!valid_filter(filter), "{filter:?}");
        }
    }

    #[test]
    fn matching() {
        let yes = [
            ("#", "a/b"),
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("+/b", "a/b"),
            ("a/+", "a/"),
            ("+", ""),
            ("$SYS/#", "$SYS/x"),
            ("+/+", "/x"),
        ];
        let no = [
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("a", "a/b"),
            ("a/b", "a"),
            ("a/+", "a"),
            ("a/+", "a/b/c"),
            ("A", "a"),
        ];
        for (filter, topic) in yes {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in no {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }

    #[test]
    fn rights() {
        let granted = [
            ("#", "a/#"),
            ("#", "+"),
            ("a/#", "a/+/b"),
            ("a/#", "a"),
            ("a/+", "a/b"),
            ("+/x", "+/x"),
            ("$SYS/#", "$SYS/a"),
        ];
        let refused = [
            ("a/+", "a/#"),
            ("a/b", "a/+"),
            ("+", "#"),
            ("#", "$SYS/a"),
            ("fac/v1/1/cmd", "fac/v1/2/cmd"),
            ("fac/v1/1/cmd", "#"),
            ("a/+", "a"),
        ];
        for (right, filter) in granted {
            assert!(covers(right, filter), "{right} {filter}");
        }
        for (right, filter) in refused {
            assert!(!covers(right, filter), "{right} {filter}");
        }
    }

    fn levels(words: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(words), 1..5).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn a_right_that_covers_a_filter_grants_all_its_topics(
            right in levels(&["a", "b", "", "+", "#", "$"]),
            filter in levels(&["a", "b", "", "+", "#", "$"]),
            topic in levels(&["a", "b", "", "$"]),
        ) {
            prop_assume!(valid_filter(&right) && valid_filter(&filter));
            if covers(&right, &filter) && matches(&filter, &topic) {
                prop_assert!(matches(&right, &topic), "{} {} {}", right, filter, topic);
            }
        }
    }
}
