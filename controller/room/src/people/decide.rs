//! From a wish to records, or the reason why not: all of them, or none.
//!
//! Every wish is tried on a copy of the register, one after the other; what the last one leaves must
//! fit into the lists of the doors. Nothing is applied here.

use super::{
    Card, CardState, Kind, MAX_CARDS, MAX_DEPUTIES, MAX_PERSONS, MAX_WISHES, Record, Register, Rules, Wish,
    date_text,
};
use crate::access::List;
use crate::site::{Access, Label};
use serde::{Deserialize, Serialize};
use shared::access::{CardId, STEPS_PER_DAY};
use std::collections::BTreeSet;

/// Longest name of a card in characters.
const MAX_CARD_NAME: usize = 24;
/// Persons that one confirmation names.
const MAX_CONFIRMED: usize = MAX_PERSONS;

/// Why nothing of an order is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which wish, from 0.
    pub at: usize,
    /// Why.
    pub why: Label,
}

/// What a decision stands on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    /// Portals, the file's cards, and what holds for all lists.
    pub access: &'a Access,
    /// The site's rules.
    pub rules: Rules,
    /// Local day.
    pub today: u16,
    /// Milliseconds since 1970 UTC.
    pub at_ms: i64,
}

fn no<T>(ja: impl Into<String>, en: impl Into<String>) -> Result<T, Label> {
    Err(Label::new(ja, en))
}

impl Register {
    /// The records that fulfil all of these wishes in their order.
    ///
    /// # Errors
    /// Every wish that cannot be fulfilled, with the reason; then nothing may be done of any.
    pub(crate) fn decide(
        &self,
        ground: Ground<'_>,
        by: &str,
        wishes: &[Wish],
    ) -> Result<Vec<Record>, Vec<Problem>> {
        if wishes.len() > MAX_WISHES {
            let why = Label::new(
                format!("一度に {MAX_WISHES} 件までです。分けてください"),
                format!("at most {MAX_WISHES} changes at once; split them"),
            );
            return Err(vec![Problem { at: MAX_WISHES, why }]);
        }
        let mut copy = self.clone();
        let (mut records, mut problems) = (Vec::new(), Vec::new());
        for (at, wish) in wishes.iter().enumerate() {
            match copy.one(ground, by, wish) {
                Ok(made) => {
                    made.iter()
                        .for_each(|record| copy.apply(ground.at_ms, ground.today, record));
                    records.extend(made);
                }
                Err(why) => problems.push(Problem { at, why }),
            }
        }
        if problems.is_empty()
            && wishes.iter().any(Wish::may_lengthen)
            && let Err(why) = copy.fits(ground)
        {
            let at = wishes.len().saturating_sub(1);
            problems.push(Problem { at, why });
        }
        if problems.is_empty() {
            Ok(records)
        } else {
            Err(problems)
        }
    }

    /// Every list must hold what it would have to. What only stops somebody never waits for that.
    fn fits(&self, ground: Ground<'_>) -> Result<(), Label> {
        let access = Access {
            cards: self.cards(ground.today, ground.rules, &ground.access.cards, &|_, _| false),
            ..ground.access.clone()
        };
        let nodes: BTreeSet<u16> = access.portals.iter().map(|portal| portal.node).collect();
        for node in nodes {
            if let Err(too_many) = List::of(&access, node, 1) {
                let names = access.portals.iter().filter(|portal| portal.node == node);
                let names: Vec<&str> = names.map(|portal| portal.name.as_str()).collect();
                let names = names.join(", ");
                return no(
                    format!("{names} のカードが多すぎます（{} 件）", too_many.entries),
                    format!("{names}: {too_many}"),
                );
            }
        }
        Ok(())
    }

    fn one(&self, ground: Ground<'_>, by: &str, wish: &Wish) -> Result<Vec<Record>, Label> {
        let today = ground.today;
        let by = by.to_owned();
        match wish {
            Wish::Add {
                person,
                kind,
                from,
                until,
            } => self.add(today, by, person, *kind, (*from, *until)),
            Wish::Change { person, kind, until } => {
                let known = self.present(person, today)?;
                let group = kind.unwrap_or(known.kind);
                let until = until.unwrap_or(known.until);
                ended(group, known.from, until)?;
                let person = person.clone();
                Ok(vec![Record::PersonChanged {
                    person,
                    group,
                    until,
                    by,
                }])
            }
            Wish::Leave { person, last } => {
                self.present(person, today)?;
                let from = match last {
                    None => today,
                    Some(last) if *last >= today => last.saturating_add(1),
                    Some(last) => {
                        return no(
                            format!("最終日 {} は過ぎています。すぐ止めるには --now", date_text(*last)),
                            format!(
                                "the last day {} is over; to stop at once, --now",
                                date_text(*last)
                            ),
                        );
                    }
                };
                let with = self
                    .cards
                    .iter()
                    .filter(|(_, card)| card.person() == Some(person));
                let cards = with.map(|(name, _)| name.clone()).collect();
                let person = person.clone();
                Ok(vec![Record::PersonLeft {
                    person,
                    from,
                    cards,
                    by,
                }])
            }
            Wish::Erase { person } => self.erase(today, by, person),
            Wish::Confirm { persons } => {
                if persons.is_empty() || persons.len() > MAX_CONFIRMED {
                    return no("確認する人を指定してください", "name those who are confirmed");
                }
                for person in persons {
                    self.present(person, today)?;
                }
                let persons = persons.clone();
                Ok(vec![Record::Confirmed { persons, by }])
            }
            Wish::Grant {
                person,
                portals,
                right,
            } => {
                self.present(person, today)?;
                portals_exist(ground.access, portals)?;
                let right = right.right(today);
                if right.from > STEPS_PER_DAY
                    || right.to > STEPS_PER_DAY
                    || right.from == right.to
                    || right.days == 0
                {
                    return no("時間帯または曜日がありません", "these hours or days open nothing");
                }
                if right.valid_until < right.valid_from {
                    return no("終了日が開始日より前です", "the last day lies before the first");
                }
                let granted = |portal: &String| Record::RightGranted {
                    person: person.clone(),
                    portal: portal.clone(),
                    right,
                    by: by.clone(),
                };
                Ok(portals.iter().map(granted).collect())
            }
            Wish::Revoke { person, portals } => self.revoke(by, person, portals),
            Wish::Deputy {
                deputy,
                of,
                from,
                until,
            } => self.deputy(today, by, (deputy, of), (*from, *until)),
            Wish::Issue { card, id, pin_id } => self.issue(by, card, id, pin_id.as_deref()),
            Wish::Lend { card, person, due } => {
                self.present(person, today)?;
                let known = self.card(card)?;
                if let CardState::Lent { person, .. } = &known.state {
                    return no(
                        format!("カード {card} は {person} に貸出中です。先に返却してください"),
                        format!("card {card} is with {person}; take it back first"),
                    );
                }
                usable(card, known)?;
                if due.is_some_and(|due| due < today) {
                    return no("返却期限が過ぎた日です", "the day on which it is due is over");
                }
                let (card, person) = (card.clone(), person.clone());
                Ok(vec![Record::CardLent {
                    card,
                    person,
                    due: *due,
                    by,
                }])
            }
            Wish::Return { card } => {
                let of_file = !self.cards.contains_key(card) && self.lost(card).is_some();
                if !of_file && self.card(card)?.state == CardState::Spare {
                    return no(
                        format!("カード {card} は保管中です"),
                        format!("card {card} is in the drawer already"),
                    );
                }
                if !of_file && self.card(card)?.state == CardState::Broken {
                    return no(
                        format!("カード {card} は破損として廃棄済みです"),
                        format!("card {card} is broken and was taken out of use"),
                    );
                }
                let card = card.clone();
                Ok(vec![Record::CardReturned { card, by }])
            }
            Wish::Broken { card } => {
                self.card(card)?;
                let card = card.clone();
                Ok(vec![Record::CardBroken { card, by }])
            }
            Wish::Lost { card } => self.lose(ground, by, card),
        }
    }

    fn add(
        &self,
        today: u16,
        by: String,
        person: &str,
        kind: Kind,
        (from, until): (Option<u16>, Option<u16>),
    ) -> Result<Vec<Record>, Label> {
        if !is_person_id(person) {
            return no(
                format!("「{person}」は人の番号ではありません"),
                format!("{person} is no id of a person (p- and eight letters or digits)"),
            );
        }
        if self.persons.contains_key(person) || self.erased.iter().any(|id| id == person) {
            return no(
                format!("{person} は使用済みです"),
                format!("{person} is in use already"),
            );
        }
        if self.persons.len() >= MAX_PERSONS {
            return no(
                format!("{MAX_PERSONS} 人までです。退職者を消去してください"),
                format!("the register holds {MAX_PERSONS} persons; erase those who left"),
            );
        }
        let from = from.unwrap_or(today);
        let until = match until {
            Some(until) => Some(until),
            None => kind.default_end(from).map_err(|()| {
                Label::new(
                    format!("{} には終了日が必要です", kind.ja()),
                    format!("a {} needs a last day", kind.word()),
                )
            })?,
        };
        ended(kind, from, until)?;
        Ok(vec![Record::PersonAdded {
            person: person.to_owned(),
            group: kind,
            from,
            until,
            by,
        }])
    }

    fn erase(&self, today: u16, by: String, person: &str) -> Result<Vec<Record>, Label> {
        let Some(known) = self.persons.get(person) else {
            return unknown(person);
        };
        if !known.has_left(today) && !known.is_over(today) {
            return no(
                format!("{person} は在籍中です。先に person leave"),
                format!("{person} has not left; `person leave` first"),
            );
        }
        let with = self.cards.iter().find(|(_, card)| card.person() == Some(person));
        if let Some((card, _)) = with {
            return no(
                format!("カード {card} が未返却です"),
                format!("card {card} was not given back"),
            );
        }
        let person = person.to_owned();
        Ok(vec![Record::PersonErased { person, by }])
    }

    fn revoke(&self, by: String, person: &str, portals: &[String]) -> Result<Vec<Record>, Label> {
        let Some(known) = self.persons.get(person) else {
            return unknown(person);
        };
        let asked: BTreeSet<&String> = if portals.is_empty() {
            known.rights.keys().collect()
        } else {
            portals.iter().collect()
        };
        if let Some(portal) = asked.iter().find(|portal| !known.rights.contains_key(**portal)) {
            return no(
                format!("{person} に {portal} の権限はありません"),
                format!("{person} has no right to {portal}"),
            );
        }
        if asked.is_empty() {
            return no(
                format!("{person} に権限はありません"),
                format!("{person} has no rights"),
            );
        }
        let revoked = |portal: &String| Record::RightRevoked {
            person: person.to_owned(),
            portal: portal.clone(),
            by: by.clone(),
        };
        Ok(asked.into_iter().map(revoked).collect())
    }

    fn deputy(
        &self,
        today: u16,
        by: String,
        (deputy, of): (&str, &str),
        (from, until): (u16, u16),
    ) -> Result<Vec<Record>, Label> {
        self.present(deputy, today)?;
        self.present(of, today)?;
        let (deputy, of) = (deputy.to_owned(), of.to_owned());
        if deputy == of {
            return no("本人は代理になれません", "nobody is their own deputy");
        }
        if until < from {
            let known = self
                .deputies
                .iter()
                .any(|row| (&row.deputy, &row.of) == (&deputy, &of));
            if !known {
                return no("その代理はありません", "there is no such deputy");
            }
            return Ok(vec![Record::DeputyEnded { deputy, of, by }]);
        }
        if until < today {
            return no("代理の終了日が過ぎています", "the deputy's last day is over");
        }
        if self.deputies.iter().filter(|row| row.until >= today).count() >= MAX_DEPUTIES {
            return no(
                format!("代理は {MAX_DEPUTIES} 件までです"),
                format!("there may be {MAX_DEPUTIES} deputies"),
            );
        }
        Ok(vec![Record::DeputyNamed {
            deputy,
            of,
            from,
            until,
            by,
        }])
    }

    fn issue(&self, by: String, card: &str, id: &str, pin_id: Option<&str>) -> Result<Vec<Record>, Label> {
        let named = !card.is_empty()
            && card.len() <= MAX_CARD_NAME
            && card
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && !is_person_id(card)
            && hex_id(card).is_none();
        if !named {
            return no(
                format!("カード名「{card}」は英数字と - _ . で {MAX_CARD_NAME} 文字までです"),
                format!(
                    "the name of a card is up to {MAX_CARD_NAME} letters, digits, - _ . (no person's or card's id)"
                ),
            );
        }
        if self.cards.contains_key(card) {
            return no(
                format!("カード {card} は登録済みです"),
                format!("there is a card {card} already"),
            );
        }
        if self.cards.len() >= MAX_CARDS {
            return no(
                format!("カードは {MAX_CARDS} 枚までです"),
                format!("the register holds {MAX_CARDS} cards"),
            );
        }
        let mut ids = Vec::new();
        for text in [Some(id), pin_id].into_iter().flatten() {
            let Some(read) = hex_id(text) else {
                return no(
                    format!("「{text}」はカードの id ではありません（16 進数 16 桁）"),
                    format!("{text} is no id of a card: 16 hex digits, as `yagura card enroll` shows them"),
                );
            };
            if let Some(other) = self.by_id.get(&read) {
                return no(
                    format!("この id はカード {other} のものです（重複）"),
                    format!("this id is that of card {other}: a duplicate"),
                );
            }
            if ids.contains(&read) {
                return no(
                    "id と PIN の id が同じです",
                    "the id and the one with its PIN are the same",
                );
            }
            ids.push(read);
        }
        Ok(vec![Record::CardIssued {
            card: card.to_owned(),
            id: id.to_ascii_lowercase(),
            pin_id: pin_id.map(str::to_ascii_lowercase),
            by,
        }])
    }

    /// A card by its name or id, or every card of a person.
    fn lose(&self, ground: Ground<'_>, by: String, what: &str) -> Result<Vec<Record>, Label> {
        let file = &ground.access.cards;
        let lost = |name: &String, card: &Card| Record::CardLost {
            card: name.clone(),
            doors: self.doors_of(card, ground.today, file),
            by: by.clone(),
        };
        if self.persons.contains_key(what) {
            let with = self.cards.iter().filter(|(_, card)| card.person() == Some(what));
            let records: Vec<Record> = with.map(|(name, card)| lost(name, card)).collect();
            if records.is_empty() {
                return no(
                    format!("{what} に貸出中のカードはありません"),
                    format!("{what} has no card"),
                );
            }
            return Ok(records);
        }
        let by_id = hex_id(what).and_then(|id| self.by_id.get(&id));
        if let Some((name, card)) = self.cards.get_key_value(by_id.map_or(what, String::as_str)) {
            return match card.state {
                CardState::Lost { .. } => no(
                    format!("カード {name} は停止済みです"),
                    format!("card {name} is stopped already"),
                ),
                CardState::Broken => usable(name, card).map(|()| Vec::new()),
                _ => Ok(vec![lost(name, card)]),
            };
        }
        // One of the site's file, by its id or by the only one of its holder.
        let id = hex_id(what);
        let mut found = file.iter().filter(|row| {
            Some(row.id) == id || row.pin_id.is_some() && row.pin_id == id || row.holder == what
        });
        let (Some(row), None) = (found.next(), found.next()) else {
            return no(
                format!("カードまたは人「{what}」が見つからないか、複数あります"),
                format!("no card and no person {what}, or more than one; `yagura card list` shows them"),
            );
        };
        if self.of_file.contains_key(&row.id) {
            return no("このカードは停止済みです", "this card is stopped already");
        }
        Ok(vec![Record::CardLost {
            card: crate::hex::text(&row.id),
            doors: row.portals.clone(),
            by,
        }])
    }

    fn present(&self, id: &str, today: u16) -> Result<&super::Person, Label> {
        match self.persons.get(id) {
            None => unknown(id),
            Some(person) if person.has_left(today) => {
                no(format!("{id} は退職・終了済みです"), format!("{id} has left"))
            }
            Some(person) => Ok(person),
        }
    }

    fn card(&self, name: &str) -> Result<&Card, Label> {
        match self.cards.get(name) {
            Some(card) => Ok(card),
            None => no(
                format!("カード {name} は登録されていません"),
                format!("there is no card {name}; `yagura card list` shows them"),
            ),
        }
    }
}

fn unknown<T>(id: &str) -> Result<T, Label> {
    no(
        format!("{id} は登録されていません"),
        format!("there is no person {id}; `yagura person list` shows them"),
    )
}

fn usable(name: &str, card: &Card) -> Result<(), Label> {
    match card.state {
        CardState::Lost { .. } => no(
            format!("カード {name} は紛失中です。見つかったら先に card return"),
            format!("card {name} is lost; if it was found, `card return` first"),
        ),
        CardState::Broken => no(
            format!("カード {name} は破損しています"),
            format!("card {name} is broken"),
        ),
        CardState::Spare | CardState::Lent { .. } => Ok(()),
    }
}

fn portals_exist(access: &Access, portals: &[String]) -> Result<(), Label> {
    let names: Vec<&str> = access.portals.iter().map(|portal| portal.name.as_str()).collect();
    if portals.is_empty() {
        return no("出入口を指定してください", "name the portals");
    }
    match portals.iter().find(|portal| !names.contains(&portal.as_str())) {
        None => Ok(()),
        Some(portal) => no(
            format!("出入口 {portal} はありません（{}）", names.join(", ")),
            format!("there is no portal {portal}; this site has {}", names.join(", ")),
        ),
    }
}

/// Who must have an end has one, and it does not lie before the beginning.
fn ended(kind: Kind, from: u16, until: Option<u16>) -> Result<(), Label> {
    match until {
        Some(until) if until < from => no("終了日が開始日より前です", "the last day lies before the first"),
        None if kind != Kind::Staff => no(
            format!("{} には終了日が必要です", kind.ja()),
            format!("a {} needs a last day", kind.word()),
        ),
        _ => Ok(()),
    }
}

/// `p-` and eight lower case letters or digits.
fn is_person_id(text: &str) -> bool {
    let letters = text.strip_prefix("p-").unwrap_or_default();
    letters.len() == 8
        && letters
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn hex_id(text: &str) -> Option<CardId> {
    let mut id = CardId::default();
    crate::hex::read(text.as_bytes(), &mut id).then_some(id)
}
