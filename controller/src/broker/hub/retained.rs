//! Retained messages, bounded in number and bytes.

use crate::broker::limit::{MAX_RETAINED, MAX_RETAINED_BYTES};
use crate::broker::packet::Message;
use crate::broker::topic;
use room::time::Mono;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The store.
#[derive(Debug, Default)]
pub(super) struct Retained {
    by_topic: BTreeMap<String, (Arc<Message>, bool)>,
    bytes: usize,
}

impl Retained {
    /// Keeps the message in place of an earlier one of its topic; an empty payload clears it.
    /// False when the store is full and nothing was changed.
    pub(super) fn keep(&mut self, message: &Arc<Message>, qos1: bool) -> bool {
        let earlier = self
            .by_topic
            .get(&message.topic)
            .map_or(0, |(kept, _)| kept.weight());
        if message.payload.is_empty() {
            self.by_topic.remove(&message.topic);
            self.bytes = self.bytes.saturating_sub(earlier);
            return true;
        }
        let bytes = self.bytes.saturating_sub(earlier) + message.weight();
        if bytes > MAX_RETAINED_BYTES || (earlier == 0 && self.by_topic.len() >= MAX_RETAINED) {
            return false;
        }
        self.bytes = bytes;
        self.by_topic
            .insert(message.topic.clone(), (Arc::clone(message), qos1));
        true
    }

    /// What a new subscriber of the filter gets: message and whether it was QoS 1.
    pub(super) fn matching<'a>(
        &'a self,
        filter: &'a str,
        now: Mono,
    ) -> impl Iterator<Item = &'a (Arc<Message>, bool)> + 'a {
        let exact = !filter.contains(['+', '#']);
        let one = self.by_topic.get(filter).filter(|_| exact);
        let all = (!exact).then(|| self.by_topic.values());
        one.into_iter()
            .chain(all.into_iter().flatten())
            .filter(move |(message, _)| exact || topic::matches(filter, &message.topic))
            .filter(move |(message, _)| message.expires_at.is_none_or(|at| now < at))
    }

    /// Drops what is past its expiry.
    pub(super) fn expire(&mut self, now: Mono) {
        let mut freed = 0;
        self.by_topic.retain(|_, (message, _)| {
            let keep = message.expires_at.is_none_or(|at| now < at);
            if !keep {
                freed += message.weight();
            }
            keep
        });
        self.bytes = self.bytes.saturating_sub(freed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(topic: &str, bytes: usize) -> Arc<Message> {
        Arc::new(Message {
            user: String::new(),
            topic: topic.to_owned(),
            payload: Bytes::from(vec![1; bytes]),
            properties: None,
            expires_at: None,
        })
    }

    #[test]
    fn full_store_refuses_new_topics_and_still_replaces_and_clears() {
        let mut store = Retained::default();
        for index in 0..MAX_RETAINED {
            assert!(store.keep(&message(&format!("t/{index}"), 1), false));
        }
        assert!(!store.keep(&message("one/more", 1), false));
        assert!(store.keep(&message("t/0", 2), false));
        assert!(store.keep(&message("t/1", 0), false));
        assert!(store.keep(&message("one/more", 1), false));
        assert_eq!(store.matching("t/1", Mono(0)).count(), 0);
        assert_eq!(store.matching("#", Mono(0)).count(), MAX_RETAINED);
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let mut store = Retained::default();
        let mut kept = 0;
        while store.keep(&message(&format!("t/{kept}"), 4000), false) {
            kept += 1;
        }
        assert_eq!(kept, MAX_RETAINED_BYTES / 4004);
        for index in 0..kept {
            store.keep(&message(&format!("t/{index}"), 0), false);
        }
        assert_eq!(store.bytes, 0);
    }
}
