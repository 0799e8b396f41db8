//! What people did and were told, in the story of an incident: limits, maintenance, orders, notices.
//! Test calls are no part of what happened and are left out.

use super::{Topic, Words, Writer, action};
use crate::notice::Moment;
use crate::notice::record::Record as NoticeRecord;
use crate::record::Record;
use crate::site::Label;

impl Writer<'_> {
    /// What people ordered besides: whoever moved a limit or opened a window is part of the story.
    pub(super) fn ordered(&self, record: &Record) -> Option<Words> {
        Some(match record {
            Record::LimitChanged {
                limit,
                by,
                reason,
                before,
                after,
                ..
            } => {
                let (was, is) = (before.limit, after.limit);
                action(
                    format!("限界値の変更 {limit}：{was} → {is}（{reason}）"),
                    format!("limit {limit} changed from {was} to {is} ({reason})"),
                    by,
                )
            }
            Record::MaintenanceStarted {
                by,
                minutes,
                reason,
                scope,
                ..
            } => {
                let about = scope.join(", ");
                action(
                    format!("保守時間帯を開始：{about}（最長 {minutes} 分、{reason}）"),
                    format!("maintenance window opened: {about} (at most {minutes} min, {reason})"),
                    by,
                )
            }
            Record::MaintenanceEnded { by, .. } => (
                Topic::Action,
                Label::new("保守時間帯の終わり", "maintenance window ended"),
                by.clone(),
                None,
            ),
            Record::MaintenanceResult { by, result, .. } => action(
                format!("作業の結果：{result}"),
                format!("result of the work: {result}"),
                by,
            ),
            _ => return None,
        })
    }

    /// Who was told of what, and who could not be.
    pub(super) fn notice(&self, record: &NoticeRecord) -> Option<Words> {
        let about = |alarm: &str| match self.raised.get(alarm) {
            Some((what, place)) => Label::new(
                format!("{}：{}", place.ja, what.ja),
                format!("{}: {}", place.en, what.en),
            ),
            None => Label::new(alarm, alarm),
        };
        let words =
            |ja, en, alarm: Option<&String>| Some((Topic::Notice, Label::new(ja, en), None, alarm.cloned()));
        match record {
            NoticeRecord::Sent {
                contact,
                notifier,
                alarm,
                moment,
                ..
            } => {
                let (what, (ja, en)) = (about(alarm), moment_words(*moment));
                words(
                    format!("通報［{ja}］{contact}（{notifier}）：{}", what.ja),
                    format!("{contact} told by {notifier} [{en}]: {}", what.en),
                    Some(alarm),
                )
            }
            NoticeRecord::SummarySent {
                contact, notifier, ..
            } => words(
                format!("まとめて通報 {contact}（{notifier}）"),
                format!("{contact} told of many alarms in one summary by {notifier}"),
                None,
            ),
            NoticeRecord::Failed {
                contact,
                alarm,
                problem,
                ..
            } => words(
                format!("通報できない {contact}（{problem}）"),
                format!("{contact} could not be told ({problem})"),
                alarm.as_ref(),
            ),
            // Test calls are no part of what happened.
            _ => None,
        }
    }
}

const fn moment_words(moment: Moment) -> (&'static str, &'static str) {
    match moment {
        Moment::Raised => ("発生", "raised"),
        Moment::Escalated => ("次の連絡先へ", "escalated"),
        Moment::Reminder => ("継続中", "still stands"),
        Moment::Acknowledged => ("確認", "acknowledged"),
        Moment::Shelved => ("一時保留", "shelved"),
        Moment::Returned => ("復旧", "returned"),
    }
}
