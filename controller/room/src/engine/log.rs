//! Orders about the entry log, and the legal holds in force. What is done is a record, and the log
//! carries it out when it comes to that record.

use super::Engine;
use crate::event::Turn;
use crate::log::record::Record as LogRecord;
use crate::log::wish::{MAX_FIELDS, MAX_HOLDS, MAX_REASON, Wish};
use crate::outage::operator::{self, Person};
use crate::record::Record;
use crate::site::{Label, World};
use crate::time::Now;
use std::collections::BTreeMap;

/// Leaves of a year's log: year, first, behind the last.
type Range = (i64, u64, u64);

/// Legal holds (durable).
#[derive(Debug, Default)]
pub(super) struct Holds {
    last: u32,
    in_force: BTreeMap<u32, Range>,
}

impl Holds {
    /// The hold that covers some of these leaves.
    fn on(&self, (year, from, to): Range) -> Option<u32> {
        self.in_force
            .iter()
            .find(|(_, held)| held.0 == year && held.1 < to && from < held.2)
            .map(|(hold, _)| *hold)
    }
}

impl<W: World> Engine<W> {
    pub(super) fn apply_log(&mut self, record: &LogRecord) {
        match record {
            LogRecord::Held {
                hold, year, from, to, ..
            } => {
                self.holds.last = self.holds.last.max(*hold);
                self.holds.in_force.insert(*hold, (*year, *from, *to));
            }
            LogRecord::Released { hold, .. } => {
                self.holds.in_force.remove(hold);
            }
            LogRecord::Viewed { .. }
            | LogRecord::Exported { .. }
            | LogRecord::KeyChanged { .. }
            | LogRecord::Erased { .. }
            | LogRecord::WitnessSaw { .. } => {}
        }
    }

    /// Somebody at the controller's own socket orders something of the log.
    pub(super) fn log_order(&mut self, now: Now, person: &Person, wish: Wish, turn: &mut Turn) {
        turn.said = Some(match self.judge_log_order(person, wish) {
            Ok((record, said)) => {
                self.commit(now, turn, Record::Log { record });
                Ok(said)
            }
            Err(why) => Err(why),
        });
    }

    fn judge_log_order(&self, person: &Person, wish: Wish) -> Result<(LogRecord, Label), Label> {
        if !operator::may(&self.site.operators, person) {
            return Err(Label::new(
                format!("{} には操作の権限がありません（[operators]）", person.who),
                format!("{} is not one of the site's [operators]", person.who),
            ));
        }
        let reason = wish.reason().trim();
        if reason.is_empty() || reason.chars().count() > MAX_REASON {
            return Err(Label::new(
                format!("理由を 1〜{MAX_REASON} 文字で書いてください"),
                format!("give a reason of 1 to {MAX_REASON} characters"),
            ));
        }
        if let Wish::Hold { from, to, .. } | Wish::Erase { from, to, .. } | Wish::Export { from, to, .. } =
            &wish
            && from >= to
        {
            return Err(Label::new(
                "範囲が空です（最初の番号 < 最後の次の番号）",
                "the range is empty: the first leaf must be below the one behind the last",
            ));
        }
        let by = person.who.to_string();
        match wish {
            Wish::RotateKey { key, reason } => Ok((
                LogRecord::KeyChanged {
                    key: key.clone(),
                    by,
                    reason,
                },
                Label::new(
                    format!("署名鍵を交代します。新しい検証鍵を台帳に控えてください: {key}"),
                    format!("the key is changed; put the new verifier key into the ledger: {key}"),
                ),
            )),
            Wish::Hold {
                year,
                from,
                to,
                reason,
            } => {
                if self.holds.in_force.len() >= MAX_HOLDS {
                    return Err(Label::new(
                        format!("証拠保全は {MAX_HOLDS} 件までです"),
                        format!("there are {MAX_HOLDS} legal holds, which is the most"),
                    ));
                }
                let hold = self.holds.last + 1;
                Ok((
                    LogRecord::Held {
                        hold,
                        year,
                        from,
                        to,
                        reason,
                        by,
                    },
                    Label::new(
                        format!("証拠保全 {hold} を始めました"),
                        format!("legal hold {hold} begins"),
                    ),
                ))
            }
            Wish::Release { hold, reason } => {
                if !self.holds.in_force.contains_key(&hold) {
                    return Err(Label::new(
                        format!("証拠保全 {hold} はありません"),
                        format!("there is no legal hold {hold}"),
                    ));
                }
                Ok((
                    LogRecord::Released { hold, reason, by },
                    Label::new(
                        format!("証拠保全 {hold} を解除しました"),
                        format!("legal hold {hold} is over"),
                    ),
                ))
            }
            Wish::Erase {
                year,
                from,
                to,
                fields,
                reason,
            } => {
                if let Some(hold) = self.holds.on((year, from, to)) {
                    return Err(Label::new(
                        format!("証拠保全 {hold} の範囲を含むため消去できません"),
                        format!("legal hold {hold} covers some of these leaves"),
                    ));
                }
                if fields.len() > MAX_FIELDS {
                    return Err(Label::new(
                        format!("項目は {MAX_FIELDS} 個までです"),
                        format!("at most {MAX_FIELDS} fields"),
                    ));
                }
                Ok((
                    LogRecord::Erased {
                        year,
                        from,
                        to,
                        fields,
                        reason,
                        by,
                    },
                    Label::new(
                        "個人情報の消去を記録し、実行します",
                        "the erasure is recorded, and carried out",
                    ),
                ))
            }
            Wish::Export {
                year,
                from,
                to,
                openings,
                reason,
            } => Ok((
                LogRecord::Exported {
                    by,
                    reason,
                    year,
                    from,
                    to,
                    openings,
                },
                Label::new("持ち出しを記録しました", "the export is recorded"),
            )),
        }
    }
}
