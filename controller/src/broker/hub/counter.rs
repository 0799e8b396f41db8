//! What the endpoint refused or dropped since it started, by name.

/// One thing counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    AcceptFailed,
    TooManyConnections,
    ConnectTimeout,
    MalformedPacket,
    UnsupportedProtocol,
    WrongPassword,
    NoAccountsYet,
    BadClientId,
    TooManySessions,
    SessionEvicted,
    TakenOver,
    AccountRevoked,
    PublishRefused,
    InvalidTopic,
    SubscribeRefused,
    TooManySubscriptions,
    Qos2Refused,
    WillRefused,
    RetainedRefused,
    DroppedQos0,
    DroppedQos1,
    DroppedForCore,
    DroppedTooLong,
    DroppedExpired,
    KeepAliveTimeout,
    WriteTimeout,
    StallTimeout,
    ProtocolError,
    TaskFailed,
}

/// Every counter with its name in metrics.
const NAMES: [(Counter, &str); 29] = [
    (Counter::AcceptFailed, "accept_failed"),
    (Counter::TooManyConnections, "refused_too_many_connections"),
    (Counter::ConnectTimeout, "refused_connect_timeout"),
    (Counter::MalformedPacket, "refused_malformed_packet"),
    (Counter::UnsupportedProtocol, "refused_unsupported_protocol"),
    (Counter::WrongPassword, "refused_wrong_password"),
    (Counter::NoAccountsYet, "refused_no_accounts_yet"),
    (Counter::BadClientId, "refused_bad_client_id"),
    (Counter::TooManySessions, "refused_too_many_sessions"),
    (Counter::SessionEvicted, "dropped_session"),
    (Counter::TakenOver, "closed_taken_over"),
    (Counter::AccountRevoked, "closed_account_revoked"),
    (Counter::PublishRefused, "refused_publish"),
    (Counter::InvalidTopic, "refused_invalid_topic"),
    (Counter::SubscribeRefused, "refused_subscribe"),
    (Counter::TooManySubscriptions, "refused_too_many_subscriptions"),
    (Counter::Qos2Refused, "refused_qos2"),
    (Counter::WillRefused, "refused_will"),
    (Counter::RetainedRefused, "refused_retained"),
    (Counter::DroppedQos0, "dropped_qos0"),
    (Counter::DroppedQos1, "dropped_qos1"),
    (Counter::DroppedForCore, "dropped_for_core"),
    (Counter::DroppedTooLong, "dropped_too_long_for_client"),
    (Counter::DroppedExpired, "dropped_expired"),
    (Counter::KeepAliveTimeout, "closed_keep_alive"),
    (Counter::WriteTimeout, "closed_write_timeout"),
    (Counter::StallTimeout, "closed_stalled"),
    (Counter::ProtocolError, "refused_protocol_error"),
    (Counter::TaskFailed, "failed_connection_task"),
];

// `count` indexes by the variant; the table lists every variant at its own place.
const _: () = {
    let mut index = 0;
    while index < NAMES.len() {
        assert!(NAMES[index].0 as usize == index);
        index += 1;
    }
};

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: [u64; NAMES.len()],
    changed: bool,
}

impl Counters {
    /// One more; how many that makes.
    pub(crate) fn count(&mut self, counter: Counter) -> u64 {
        self.changed = true;
        match self.counts.get_mut(counter as usize) {
            Some(count) => {
                *count = count.saturating_add(1);
                *count
            }
            None => 0,
        }
    }

    /// All counts by name, when one changed since the last call or `always`.
    pub(crate) fn take(&mut self, always: bool) -> Option<Vec<(String, u64)>> {
        (std::mem::take(&mut self.changed) || always).then(|| {
            NAMES
                .iter()
                .zip(self.counts)
                .map(|((_, name), count)| ((*name).to_owned(), count))
                .collect()
        })
    }
}
