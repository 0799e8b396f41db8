//! How many messages one person can read: at most so many alarms are told singly in any ten
//! minutes, the rest in one summary.
//!
//! There are three budgets for each contact, so that none can use up another: ordinary alarms,
//! urgent ones (critical, or of a door), and what is told of them afterwards (taken, returned).
//! An urgent alarm that finds its budget empty stands in the summary at once and is told singly as
//! soon as there is room.

use crate::time::{Millis, Mono};
use std::collections::VecDeque;

/// Alarms of one kind told singly to one contact in any [`WINDOW`].
pub const MAX_SINGLY: usize = 5;
/// The window of [`MAX_SINGLY`].
pub const WINDOW: Millis = Millis::from_secs(600);
/// A summary waits so long for more of the same flood.
pub const GATHER: Millis = Millis::from_secs(30);
/// Two summaries to one contact are so far apart.
pub const SUMMARY_EVERY: Millis = Millis::from_secs(600);

/// What a message counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purse {
    /// An ordinary alarm.
    Ordinary,
    /// A critical alarm, or one of a door.
    Urgent,
    /// What is told of an alarm afterwards.
    After,
}

/// What was told singly to one contact of late.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    /// One list for each [`Purse`], oldest first.
    spent: [VecDeque<Mono>; 3],
}

impl Budget {
    /// Whether one more may be told singly now. The urgent ones count as ordinary ones, too, but
    /// not the other way round.
    pub fn has_room(&mut self, now: Mono, purse: Purse) -> bool {
        let left = |spent: &mut VecDeque<Mono>| {
            while spent
                .front()
                .is_some_and(|first| now.since(*first) >= WINDOW && *first <= now)
            {
                spent.pop_front();
            }
            spent.len()
        };
        let [ordinary, urgent, after] = &mut self.spent;
        let (ordinary, urgent, after) = (left(ordinary), left(urgent), left(after));
        MAX_SINGLY
            > match purse {
                Purse::Ordinary => ordinary + urgent,
                Purse::Urgent => urgent,
                Purse::After => after,
            }
    }

    /// One was told singly.
    pub fn spend(&mut self, now: Mono, purse: Purse) {
        let spent = &mut self.spent[purse as usize];
        if spent.len() >= MAX_SINGLY {
            spent.pop_front();
        }
        spent.push_back(now);
    }

    /// When there is room again; `None` when there is.
    #[must_use]
    pub fn room_at(&self, now: Mono, purse: Purse) -> Option<Mono> {
        let spent = &self.spent[purse as usize];
        let first = spent.get(spent.len().checked_sub(MAX_SINGLY)?)?;
        Some(first.after(WINDOW)).filter(|at| *at > now)
    }

    /// The machine was started again: what was told before counts as told now.
    pub fn forget_monotonic(&mut self, now: Mono) {
        for spent in &mut self.spent {
            for at in spent {
                *at = now;
            }
        }
    }
}

/// Numbers as ranges, both ends included; a flood has consecutive ones, so that its summary is a
/// short record.
#[must_use]
pub fn ranges(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut numbers: Vec<u64> = numbers.into_iter().collect();
    numbers.sort_unstable();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if number <= last.saturating_add(1) => *last = number.max(*last),
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_are_told_singly_in_any_ten_minutes_and_urgent_ones_have_their_own_five() {
        let mut budget = Budget::default();
        let at = |secs: u64| Mono(secs * 1000);
        for second in 0..5 {
            assert!(budget.has_room(at(second), Purse::Ordinary));
            budget.spend(at(second), Purse::Ordinary);
        }
        assert!(!budget.has_room(at(5), Purse::Ordinary));
        for second in 5..10 {
            assert!(
                budget.has_room(at(second), Purse::Urgent),
                "a fire is told in a flood"
            );
            budget.spend(at(second), Purse::Urgent);
        }
        assert!(!budget.has_room(at(10), Purse::Urgent));
        assert!(budget.has_room(at(10), Purse::After));
        assert_eq!(budget.room_at(at(10), Purse::Urgent), Some(at(605)));
        assert!(
            !budget.has_room(at(604), Purse::Ordinary),
            "urgent ones count as ordinary ones"
        );
        assert!(budget.has_room(at(605), Purse::Urgent));
        assert!(
            budget.has_room(at(605), Purse::Ordinary),
            "one of the urgent ones is forgotten"
        );
        budget.spend(at(605), Purse::Ordinary);
        assert!(!budget.has_room(at(605), Purse::Ordinary));
        assert!(budget.has_room(at(606), Purse::Ordinary));
    }

    #[test]
    fn numbers_become_ranges_whatever_their_order() {
        assert_eq!(ranges([]), []);
        assert_eq!(ranges([3, 1, 2, 2, 9, 7, 8, 5]), [(1, 3), (5, 5), (7, 9)]);
        assert_eq!(ranges([u64::MAX, u64::MAX - 1]), [(u64::MAX - 1, u64::MAX)]);
    }
}
