//! The register as the people who keep it use it.

use super::decide::Ground;
use super::*;
use crate::site::{self, Access, Label, Passes, Portal};
use proptest::prelude::*;
use shared::access::{Entry, UnsetClock};

/// 2026-11-24, a Tuesday.
const TODAY: u16 = 20_781;
const DAY_MS: i64 = 86_400_000;

fn access() -> Access {
    let portal = |name: &str, node| Portal {
        name: name.to_owned(),
        label: Label::new(name, name),
        node,
        portal: 0,
        reader: 0,
        door: None,
        area: name.to_owned(),
        passes: Passes::Entry,
    };
    Access {
        portals: vec![portal("front", 1), portal("vault", 2)],
        unset_clock: UnsetClock::Deny,
        ..Access::default()
    }
}

struct Office {
    register: Register,
    access: Access,
    rules: Rules,
    today: u16,
    records: Vec<Record>,
}

impl Office {
    fn new() -> Self {
        Self {
            register: Register::default(),
            access: access(),
            rules: Rules::default(),
            today: TODAY,
            records: Vec::new(),
        }
    }

    fn at_ms(&self) -> i64 {
        i64::from(self.today) * DAY_MS
    }

    fn orders(&mut self, wishes: &[Wish]) -> Result<(), Vec<(usize, String)>> {
        let ground = Ground {
            access: &self.access,
            rules: self.rules,
            today: self.today,
            at_ms: self.at_ms(),
        };
        let before = self.register.clone();
        match self.register.decide(ground, "yamada (uid 1)", wishes) {
            Ok(records) => {
                let at_ms = self.at_ms();
                for record in &records {
                    self.register.apply(at_ms, self.today, record);
                }
                self.records.extend(records);
                Ok(())
            }
            Err(problems) => {
                assert_eq!(before, self.register);
                Err(problems.into_iter().map(|row| (row.at, row.why.en)).collect())
            }
        }
    }

    /// Somebody with a card that opens these portals all week.
    fn with(mut self, person: &str, card: &str, portals: &[&str]) -> Self {
        let number = self.register.cards.len() + 1;
        self.orders(&[
            add(person, Kind::Staff, None),
            grant(person, portals),
            issue(card, &format!("{number:016x}")),
            lend(card, person, None),
        ])
        .unwrap();
        self
    }

    /// What the door of this node would say to a card at noon.
    fn says(&self, card: &str, node: u16) -> &'static str {
        let cards = self
            .register
            .cards(self.today, self.rules, &self.access.cards, &|_, _| false);
        let access = Access {
            cards,
            ..self.access.clone()
        };
        let list = crate::access::List::of(&access, node, 1).unwrap();
        let shared::wire::Down::ListBegin(head) = list.begin() else {
            panic!("another frame")
        };
        let mut entries = Vec::new();
        while entries.len() < usize::from(list.count()) {
            let shared::wire::Down::ListEntries { entries: more, .. } = list.part(entries.len() as u32, 16)
            else {
                panic!("another frame")
            };
            entries.extend(more.iter().map(Entry::decode));
        }
        let mut id = CardId::default();
        if !crate::hex::read(card.as_bytes(), &mut id) {
            id = self.register.cards[card].id;
        }
        let entry = entries.iter().find(|entry| entry.id == id);
        let noon = (u64::from(self.today) * 86_400 + 3 * 3_600) * 1_000;
        shared::access::decide(Some(&head), entry, Some(noon)).word()
    }
}

fn add(person: &str, kind: Kind, until: Option<u16>) -> Wish {
    Wish::Add {
        person: person.to_owned(),
        kind,
        from: None,
        until,
    }
}

fn grant(person: &str, portals: &[&str]) -> Wish {
    Wish::Grant {
        person: person.to_owned(),
        portals: portals.iter().map(|name| (*name).to_owned()).collect(),
        right: RightWish::default(),
    }
}

fn issue(card: &str, id: &str) -> Wish {
    Wish::Issue {
        card: card.to_owned(),
        id: id.to_owned(),
        pin_id: None,
    }
}

fn lend(card: &str, person: &str, due: Option<u16>) -> Wish {
    Wish::Lend {
        card: card.to_owned(),
        person: person.to_owned(),
        due,
    }
}

fn lost(card: &str) -> Wish {
    Wish::Lost {
        card: card.to_owned(),
    }
}

#[test]
fn a_card_opens_what_its_holder_may_and_a_spare_one_nothing() {
    let mut office = Office::new().with("p-aaaaaaaa", "C1", &["front"]);
    assert_eq!(
        (office.says("C1", 1), office.says("C1", 2)),
        ("granted", "unknown")
    );
    office
        .orders(&[Wish::Return {
            card: "C1".to_owned(),
        }])
        .unwrap();
    assert_eq!(office.says("C1", 1), "unknown");
}

#[test]
fn fixed_term_staff_end_on_31_march_and_the_node_knows_it_without_the_controller() {
    let mut office = Office::new();
    office
        .orders(&[
            add("p-aaaaaaaa", Kind::FixedTerm, None),
            grant("p-aaaaaaaa", &["front"]),
            issue("C1", "00000000000000a1"),
            lend("C1", "p-aaaaaaaa", None),
        ])
        .unwrap();
    assert_eq!(office.register.persons["p-aaaaaaaa"].until, day_of("2027-03-31"));
    let list = |today| {
        let cards = office.register.cards(today, office.rules, &[], &|_, _| false);
        (cards[0].valid_until, cards[0].suspended)
    };
    // The last day stands in the list that the node has since November.
    assert_eq!(list(TODAY), (day_of("2027-03-31").unwrap(), false));
    office.today = day_of("2027-03-31").unwrap();
    assert_eq!(office.says("C1", 1), "granted");
    office.today += 1;
    assert_eq!(office.says("C1", 1), "expired");
}

#[test]
fn contractors_need_an_end_and_visitors_have_their_day() {
    let mut office = Office::new();
    let refused = office
        .orders(&[add("p-aaaaaaaa", Kind::Contractor, None)])
        .unwrap_err();
    assert!(refused[0].1.contains("needs a last day"), "{refused:?}");
    office.orders(&[add("p-bbbbbbbb", Kind::Visitor, None)]).unwrap();
    assert_eq!(office.register.persons["p-bbbbbbbb"].until, Some(TODAY));
}

#[test]
fn a_lent_card_that_is_overdue_stops_by_itself_and_is_named() {
    let mut office = Office::new();
    office
        .orders(&[
            add("p-aaaaaaaa", Kind::Staff, None),
            grant("p-aaaaaaaa", &["front"]),
            issue("C1", "00000000000000a1"),
            lend("C1", "p-aaaaaaaa", Some(TODAY + 7)),
        ])
        .unwrap();
    office.today = TODAY + 7;
    assert_eq!(
        (
            office.says("C1", 1),
            office.register.overdue(office.today).count()
        ),
        ("granted", 0)
    );
    office.today = TODAY + 8;
    assert_eq!(office.says("C1", 1), "suspended");
    let named: Vec<_> = office
        .register
        .overdue(office.today)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(named, ["C1"]);
}

#[test]
fn a_lost_card_is_blocked_at_every_door_it_opened_until_it_is_found() {
    let mut office = Office::new().with("p-aaaaaaaa", "C1", &["front", "vault"]);
    office.orders(&[lost("C1")]).unwrap();
    assert_eq!(
        (office.says("C1", 1), office.says("C1", 2)),
        ("suspended", "suspended")
    );
    let open: Vec<_> = office.register.stopping().collect();
    let open: Vec<_> = open
        .iter()
        .map(|(card, door)| (card.as_str(), door.as_str()))
        .collect();
    assert_eq!(open, [("C1", "front"), ("C1", "vault")]);
    // Lent again while it is lost: never.
    let refused = office.orders(&[lend("C1", "p-aaaaaaaa", None)]).unwrap_err();
    assert!(refused[0].1.contains("lost"), "{refused:?}");
    office
        .orders(&[Wish::Return {
            card: "C1".to_owned(),
        }])
        .unwrap();
    assert_eq!(
        (office.says("C1", 1), office.register.stopping().count()),
        ("unknown", 0)
    );
}

#[test]
fn every_card_of_a_person_is_stopped_by_the_persons_id() {
    let mut office = Office::new().with("p-aaaaaaaa", "C1", &["front"]);
    office
        .orders(&[
            issue("C9", "00000000000000c9"),
            lend("C9", "p-aaaaaaaa", None),
            lost("p-aaaaaaaa"),
        ])
        .unwrap();
    assert_eq!(
        (office.says("C1", 1), office.says("C9", 1)),
        ("suspended", "suspended")
    );
}

#[test]
fn a_card_of_the_sites_file_can_be_lost_without_any_register() {
    let mut office = Office::new();
    office.access.cards = vec![site::Card {
        id: [0xab; 8],
        pin_id: None,
        holder: "設備 佐藤".to_owned(),
        portals: vec!["front".to_owned()],
        from: 0,
        to: 144,
        days: 0xff,
        valid_from: 0,
        valid_until: u16::MAX,
        suspended: false,
    }];
    assert_eq!(office.says(&"ab".repeat(8), 1), "granted");
    office.orders(&[lost("設備 佐藤")]).unwrap();
    assert_eq!(office.says(&"ab".repeat(8), 1), "suspended");
    // The journal has the card's id, not what the file calls its holder.
    let journaled = serde_json::to_string(&office.records).unwrap();
    assert!(!journaled.contains("佐藤"), "{journaled}");
    office.orders(&[Wish::Return { card: "ab".repeat(8) }]).unwrap();
    assert_eq!(office.says(&"ab".repeat(8), 1), "granted");
}

#[test]
fn a_registered_card_takes_the_place_of_its_line_in_the_file() {
    let mut office = Office::new();
    office.access.cards = vec![site::Card {
        id: [0; 8],
        pin_id: None,
        holder: "x".to_owned(),
        portals: vec!["vault".to_owned()],
        from: 0,
        to: 144,
        days: 0xff,
        valid_from: 0,
        valid_until: u16::MAX,
        suspended: false,
    }];
    office.orders(&[issue("C1", &"00".repeat(8))]).unwrap();
    assert_eq!(office.says("C1", 2), "unknown");
}

#[test]
fn a_leaver_is_out_in_one_act_and_can_be_erased_once_the_card_is_back() {
    let mut office = Office::new().with("p-aaaaaaaa", "C1", &["front"]);
    office.orders(&[add("p-bbbbbbbb", Kind::Staff, None)]).unwrap();
    let deputy = Wish::Deputy {
        deputy: "p-bbbbbbbb".to_owned(),
        of: "p-aaaaaaaa".to_owned(),
        from: TODAY,
        until: TODAY + 30,
    };
    office
        .orders(&[
            deputy,
            issue("C2", "00000000000000c2"),
            lend("C2", "p-bbbbbbbb", None),
        ])
        .unwrap();
    assert_eq!(office.says("C2", 1), "granted");
    let person = "p-aaaaaaaa".to_owned();
    office
        .orders(&[Wish::Leave {
            person: person.clone(),
            last: None,
        }])
        .unwrap();
    assert_eq!(
        (office.says("C1", 1), office.says("C2", 1)),
        ("suspended", "unknown")
    );
    let asked = matches!(office.records.last(), Some(Record::PersonLeft { cards, .. }) if *cards == ["C1"]);
    assert!(asked, "{:?}", office.records.last());
    let erase = [Wish::Erase {
        person: person.clone(),
    }];
    assert!(office.orders(&erase).unwrap_err()[0].1.contains("not given back"));
    office
        .orders(&[Wish::Return {
            card: "C1".to_owned(),
        }])
        .unwrap();
    office.orders(&erase).unwrap();
    assert!(!office.register.persons.contains_key(&person));
    // The id is never given to somebody else.
    assert!(office.orders(&[add(&person, Kind::Staff, None)]).is_err());
}

#[test]
fn somebody_who_leaves_later_may_enter_until_the_last_day() {
    let mut office = Office::new().with("p-aaaaaaaa", "C1", &["front"]);
    let leave = |last| Wish::Leave {
        person: "p-aaaaaaaa".to_owned(),
        last: Some(last),
    };
    assert!(office.orders(&[leave(TODAY - 1)]).is_err());
    office.orders(&[leave(TODAY + 3)]).unwrap();
    for (day, says) in [
        (TODAY, "granted"),
        (TODAY + 3, "granted"),
        (TODAY + 4, "suspended"),
    ] {
        office.today = day;
        assert_eq!(office.says("C1", 1), says, "{day}");
    }
}

#[test]
fn a_deputy_may_what_the_other_may_and_only_in_that_time() {
    let mut office =
        Office::new()
            .with("p-aaaaaaaa", "C1", &["front", "vault"])
            .with("p-bbbbbbbb", "C2", &["front"]);
    let deputy = |from, until| Wish::Deputy {
        deputy: "p-bbbbbbbb".to_owned(),
        of: "p-aaaaaaaa".to_owned(),
        from,
        until,
    };
    assert_eq!(office.says("C2", 2), "unknown");
    office.orders(&[deputy(TODAY + 2, TODAY + 4)]).unwrap();
    for (day, says) in [
        (TODAY, "not_yet_valid"),
        (TODAY + 2, "granted"),
        (TODAY + 4, "granted"),
        (TODAY + 5, "unknown"),
    ] {
        office.today = day;
        assert_eq!(
            (office.says("C2", 1), office.says("C2", 2)),
            ("granted", says),
            "{day}"
        );
    }
    office.today = TODAY + 2;
    office.orders(&[deputy(1, 0)]).unwrap();
    assert_eq!(office.says("C2", 2), "unknown");
}

#[test]
fn who_was_not_confirmed_for_a_year_is_named_and_suspended_where_the_site_says_so() {
    let mut office = Office::new().with("p-aaaaaaaa", "C1", &["front"]);
    office.rules.reconfirm_days = 365;
    office.today = TODAY + 365;
    assert_eq!(office.register.unconfirmed(TODAY, office.today).count(), 0);
    assert_eq!(office.register.unconfirmed(TODAY + 1, office.today).count(), 1);
    office.today = TODAY + 366;
    assert_eq!(office.says("C1", 1), "granted");
    office.rules.suspend_unconfirmed = true;
    assert_eq!(office.says("C1", 1), "suspended");
    let confirm = Wish::Confirm {
        persons: vec!["p-aaaaaaaa".to_owned()],
    };
    office.orders(&[confirm]).unwrap();
    assert_eq!(office.says("C1", 1), "granted");
}

#[test]
fn an_import_with_one_bad_row_changes_nothing_and_says_which() {
    let mut office = Office::new().with("p-aaaaaaaa", "C1", &["front"]);
    let wishes = [
        add("p-bbbbbbbb", Kind::Staff, None),
        issue("C2", "0000000000000001"),
        grant("p-bbbbbbbb", &["cellar"]),
        add("p-bbbbbbbb", Kind::Staff, None),
    ];
    let problems = office.orders(&wishes).unwrap_err();
    let at: Vec<usize> = problems.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [1, 2, 3]);
    assert!(problems[0].1.contains("duplicate"), "{problems:?}");
    assert!(problems[1].1.contains("front, vault"), "{problems:?}");
    assert_eq!(office.register.persons.len(), 1);
}

#[test]
fn more_cards_than_a_node_holds_are_refused_before_anything_is_done() {
    let mut office = Office::new();
    let mut wishes = vec![
        add("p-aaaaaaaa", Kind::Staff, None),
        grant("p-aaaaaaaa", &["front"]),
    ];
    for number in 0..501 {
        wishes.push(issue(&format!("N{number}"), &format!("{number:016x}")));
        wishes.push(lend(&format!("N{number}"), "p-aaaaaaaa", None));
    }
    let refused = office.orders(&wishes).unwrap_err();
    assert!(refused[0].1.contains("501 entries"), "{refused:?}");
    wishes.truncate(wishes.len() - 2);
    office.orders(&wishes).unwrap();
    // The file alone brings more than fits: a lost card is stopped all the same.
    office.access.cards = vec![site::Card {
        id: [0xff; 8],
        pin_id: None,
        holder: "x".to_owned(),
        portals: vec!["front".to_owned()],
        from: 0,
        to: 144,
        days: 0xff,
        valid_from: 0,
        valid_until: u16::MAX,
        suspended: false,
    }];
    let refused = office.orders(&[grant("p-aaaaaaaa", &["front"])]).unwrap_err();
    assert!(refused[0].1.contains("501 entries"), "{refused:?}");
    office.orders(&[lost("N1")]).unwrap();
}

#[test]
fn a_late_passage_belongs_to_whom_had_the_card_then() {
    let mut office = Office::new().with("p-aaaaaaaa", "C1", &["front"]);
    let id = office.register.cards["C1"].id;
    office.today += 10;
    office
        .orders(&[Wish::Return {
            card: "C1".to_owned(),
        }])
        .unwrap();
    office.today += 1;
    office
        .orders(&[
            add("p-bbbbbbbb", Kind::Staff, None),
            lend("C1", "p-bbbbbbbb", None),
        ])
        .unwrap();
    let at = |day: u16| office.register.holder(&id, i64::from(day) * DAY_MS + 1);
    assert_eq!(at(TODAY), Some("p-aaaaaaaa"));
    assert_eq!(at(TODAY + 10), None);
    assert_eq!(at(TODAY + 11), Some("p-bbbbbbbb"));
    assert_eq!(at(TODAY - 1), None);
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let person = prop::sample::select(vec!["p-aaaaaaaa", "p-bbbbbbbb", "p-cccccccc"]);
    let card = prop::sample::select(vec!["C1", "C2", "C3"]);
    (0..9_u8, person, card, 0..40_u16).prop_map(|(what, person, card, days)| match what {
        0 => add(person, Kind::Staff, Some(TODAY + days)),
        1 => grant(person, &["front"]),
        2 => issue(card, &format!("{:016x}", card.as_bytes()[1])),
        3 => lend(card, person, (days > 20).then_some(TODAY + days)),
        4 => Wish::Return {
            card: card.to_owned(),
        },
        5 => lost(card),
        6 => Wish::Leave {
            person: person.to_owned(),
            last: None,
        },
        7 => Wish::Erase {
            person: person.to_owned(),
        },
        _ => Wish::Broken {
            card: card.to_owned(),
        },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_ordered_no_card_opens_without_a_present_holder_and_the_records_give_the_register(
        orders in prop::collection::vec((any_wish(), 0..3_u16), 1..60),
    ) {
        let mut office = Office::new();
        let mut replayed = Register::default();
        for (wish, days) in orders {
            office.today += days;
            let before = office.records.len();
            let _ = office.orders(&[wish]);
            for record in &office.records[before..] {
                replayed.apply(office.at_ms(), office.today, record);
            }
            for (name, card) in &office.register.cards {
                let may = card.person().is_some_and(|person| {
                    let person = &office.register.persons[person];
                    !person.has_left(office.today) && !person.is_over(office.today)
                });
                prop_assert!(may || office.says(name, 1) != "granted", "{name}");
            }
        }
        prop_assert_eq!(&replayed, &office.register);
        let journaled = serde_json::to_string(&office.records).unwrap();
        prop_assert_eq!(serde_json::from_str::<Vec<Record>>(&journaled).unwrap(), office.records);
    }
}
