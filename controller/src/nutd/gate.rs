//! Who may come in, how often at once, and who guesses passwords.
//!
//! One address can neither take every place nor try passwords without end: after a few wrong ones
//! in a row everything that needs an account is denied to it for a while, right or wrong, and for
//! longer each time. What a host needs in order to stop in time, reading its UPS, needs no account.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

/// Most connections of one address; upsmon has one for each UPS that it watches.
pub(super) const MAX_PER_ADDRESS: usize = 64;
/// Wrong passwords in a row that cost nothing: somebody mistyped.
pub(super) const FREE_TRIES: u32 = 3;
/// Pause after the first one beyond; it doubles with every further one.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Addresses remembered for wrong passwords; the one that erred longest ago is forgotten for a new
/// one.
pub(super) const MAX_REMEMBERED: usize = 1024;

/// What is known of the addresses that come.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inside: BTreeMap<IpAddr, usize>,
    wrong: BTreeMap<IpAddr, Wrong>,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    times: u32,
    last: Instant,
}

impl Wrong {
    fn pause(self) -> Duration {
        let beyond = self.times.saturating_sub(FREE_TRIES);
        match beyond.checked_sub(1) {
            None => Duration::ZERO,
            Some(doubled) => FIRST_PAUSE
                .saturating_mul(1 << doubled.min(16))
                .min(LONGEST_PAUSE),
        }
    }
}

/// Whoever has one IPv6 address has all of its /64.
fn household(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(peer) => {
            let net = u128::from(peer) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(net))
        }
        peer @ IpAddr::V4(_) => peer,
    }
}

impl Gate {
    /// Takes a place; false when the address has all of its places.
    pub(super) fn enter(&mut self, peer: IpAddr) -> bool {
        let places = self.inside.entry(household(peer)).or_default();
        let is_free = *places < MAX_PER_ADDRESS;
        if is_free {
            *places += 1;
        }
        is_free
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, peer: IpAddr) {
        let peer = household(peer);
        if let Some(places) = self.inside.get_mut(&peer) {
            *places -= 1;
            if *places == 0 {
                self.inside.remove(&peer);
            }
        }
    }

    /// Nothing of this address is looked at now.
    pub(super) fn is_paused(&self, peer: IpAddr, now: Instant) -> bool {
        let wrong = self.wrong.get(&household(peer));
        wrong.is_some_and(|wrong| now.duration_since(wrong.last) < wrong.pause())
    }

    /// A password was right.
    pub(super) fn right(&mut self, peer: IpAddr) {
        self.wrong.remove(&household(peer));
    }

    /// A password was wrong; the pause that begins now.
    pub(super) fn wrong(&mut self, peer: IpAddr, now: Instant) -> Duration {
        let peer = household(peer);
        if self.wrong.len() >= MAX_REMEMBERED && !self.wrong.contains_key(&peer) {
            let oldest = self.wrong.iter().min_by_key(|(_, wrong)| wrong.last);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.wrong.remove(&oldest);
            }
        }
        let wrong = self.wrong.entry(peer).or_insert(Wrong { times: 0, last: now });
        wrong.times = wrong.times.saturating_add(1);
        wrong.last = now;
        wrong.pause()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u16) -> IpAddr {
        let [high, low] = last.to_be_bytes();
        IpAddr::from([10, 0, high, low])
    }

    #[test]
    fn one_address_takes_its_places_and_leaves_those_of_others() {
        let mut gate = Gate::default();
        for _ in 0..MAX_PER_ADDRESS {
            assert!(gate.enter(v4(1)));
        }
        assert!(!gate.enter(v4(1)));
        assert!(gate.enter(v4(2)));
        gate.leave(v4(1));
        assert!(gate.enter(v4(1)), "a place given back is free");
        for _ in 0..MAX_PER_ADDRESS {
            gate.leave(v4(1));
        }
        gate.leave(v4(2));
        assert!(gate.inside.is_empty(), "nobody inside, nothing kept");
    }

    #[test]
    fn pauses_grow_with_wrong_passwords_and_end_with_a_right_one() {
        let (mut gate, mut now) = (Gate::default(), Instant::now());
        for _ in 0..FREE_TRIES {
            assert_eq!(gate.wrong(v4(1), now), Duration::ZERO);
            assert!(!gate.is_paused(v4(1), now));
        }
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let pause = gate.wrong(v4(1), now);
            assert!(gate.is_paused(v4(1), now) && !gate.is_paused(v4(2), now));
            now += pause;
            assert!(!gate.is_paused(v4(1), now), "it ends");
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        gate.right(v4(1));
        assert_eq!(gate.wrong(v4(1), now), Duration::ZERO);
    }

    #[test]
    fn who_erred_longest_ago_is_forgotten_first_and_an_ipv6_household_counts_as_one() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        for peer in 0..=MAX_REMEMBERED {
            let peer = u16::try_from(peer).unwrap();
            for _ in 0..=FREE_TRIES {
                gate.wrong(v4(peer), now + Duration::from_millis(u64::from(peer)));
            }
        }
        assert_eq!(gate.wrong.len(), MAX_REMEMBERED);
        let late = now + Duration::from_secs(1);
        assert!(!gate.is_paused(v4(0), late) && gate.is_paused(v4(1), late));
        for host in ["fd00::1", "fd00::2", "fd00::3", "fd00::4"] {
            gate.wrong(host.parse().unwrap(), late);
        }
        assert!(gate.is_paused("fd00::5".parse().unwrap(), late));
        assert!(!gate.is_paused("fd00:0:0:1::5".parse().unwrap(), late));
    }
}
