//! Orders about the entry log: what is held is not erased, and who may not order does not.

use crate::bench::{Bench, site};
use room::event::Event;
use room::log::record::Record as LogRecord;
use room::log::wish::Wish;
use room::outage::operator::{Ask, Person, Who};
use room::record::Record;

impl Bench {
    /// Orders as this user; true when it was done.
    fn orders(&mut self, uid: u32, wish: Wish) -> bool {
        let person = Person {
            who: Who {
                name: format!("user-{uid}"),
                uid,
            },
            groups: Vec::new(),
        };
        let ask = Ask::Log(wish);
        self.event(Event::Operator { person, ask });
        self.last
            .said
            .as_ref()
            .expect("an operator is always answered")
            .is_ok()
    }
}

fn erase(from: u64, to: u64) -> Wish {
    Wish::Erase {
        year: 2026,
        from,
        to,
        fields: Vec::new(),
        reason: "保存期間の満了".to_owned(),
    }
}

fn hold(from: u64, to: u64) -> Wish {
    Wish::Hold {
        year: 2026,
        from,
        to,
        reason: "訴訟".to_owned(),
    }
}

#[test]
fn what_is_under_legal_hold_is_not_erased_until_it_is_released() {
    let mut room = Bench::new();
    assert!(room.orders(0, hold(100, 200)));
    assert!(!room.orders(0, erase(199, 300)));
    assert!(!room.orders(0, erase(0, 101)));
    assert!(room.orders(0, erase(200, 300)), "beside it");
    let release = |hold| Wish::Release {
        hold,
        reason: "終結".to_owned(),
    };
    assert!(!room.orders(0, release(2)), "there is no second one");
    assert!(room.orders(0, release(1)));
    assert!(room.orders(0, erase(0, 300)));
    let erased = |record: &Record| {
        matches!(
            record,
            Record::Log {
                record: LogRecord::Erased { .. }
            }
        )
    };
    assert_eq!(room.recorded(erased), 1);
}

#[test]
fn a_hold_is_in_force_after_a_restart() {
    let mut room = Bench::new();
    assert!(room.orders(0, hold(100, 200)));
    room.restart(site());
    assert!(!room.orders(0, erase(150, 151)));
}

#[test]
fn nobody_else_orders_and_nobody_without_a_reason() {
    let mut room = Bench::new();
    assert!(!room.orders(1_000, hold(1, 2)));
    assert!(!room.orders(0, hold(2, 2)), "an empty range");
    let silent = Wish::Hold {
        year: 2026,
        from: 1,
        to: 2,
        reason: "  ".to_owned(),
    };
    assert!(!room.orders(0, silent));
}
