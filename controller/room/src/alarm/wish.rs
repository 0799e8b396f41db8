//! What an operator wants of an alarm: permitted by the tables, or refused in words for the page.
//! The records must be applied.

use super::book::{Book, Known};
use super::machine::{Cover, Covering, Input, Standing, cover, next};
use crate::event::Refused;
use crate::record::Record;
use crate::site::Label;

/// Longest shelf: 8 hours, one working day. It ends by itself.
pub const MAX_SHELF_MINUTES: u32 = 480;
/// Longest time out of service: 30 days. What needs longer is taken out of the site's file.
pub const MAX_OUT_OF_SERVICE_MINUTES: u32 = 30 * 24 * 60;
/// Longest name or reason an operator can give, in characters.
pub const MAX_OPERATOR_TEXT: usize = 200;

impl Book {
    /// Takes an alarm that nobody has.
    ///
    /// # Errors
    /// [`Refused`] when it is unknown or does not wait for an acknowledgement.
    pub fn acknowledge(&self, id: &str, by: &str) -> Result<Record, Refused> {
        let known = self.find(id)?;
        let by = operator_text("by", by)?;
        known.allows(Input::Acknowledge, || {
            Label::new(
                format!("警報 {id} は対応を待っていません"),
                format!("alarm {id} does not wait for an acknowledgement"),
            )
        })?;
        Ok(Record::AlarmAcknowledged {
            alarm: id.to_owned(),
            by,
        })
    }

    /// Takes an alarm over from whoever has it.
    ///
    /// # Errors
    /// [`Refused`] when it is unknown, nobody has it, or the same person has it already.
    pub fn take(&self, id: &str, by: &str) -> Result<Record, Refused> {
        let known = self.find(id)?;
        let by = operator_text("by", by)?;
        known.allows(Input::Take, || match known.standing {
            Standing::Unacknowledged | Standing::ReturnedUnacknowledged => Label::new(
                format!("警報 {id} にはまだ誰も対応していません。先に対応してください"),
                format!("nobody has alarm {id}; acknowledge it"),
            ),
            _ => Label::new(
                format!("警報 {id} は正常に戻っていて、引き継ぐものがありません"),
                format!("alarm {id} is normal; nothing to take over"),
            ),
        })?;
        if known.owner.as_ref() == Some(&by) {
            return Err(Refused::conflict(
                format!("警報 {id} はすでに {by} が対応しています"),
                format!("{by} has alarm {id} already"),
            ));
        }
        Ok(Record::AlarmTaken {
            alarm: id.to_owned(),
            by,
        })
    }

    /// Resets a latched alarm.
    ///
    /// # Errors
    /// [`Refused`] when it is unknown or not latched.
    pub fn reset(&self, id: &str, by: &str) -> Result<Record, Refused> {
        let known = self.find(id)?;
        let by = operator_text("by", by)?;
        known.allows(Input::Reset, || {
            Label::new(
                format!("警報 {id} は解除待ちではありません"),
                format!("alarm {id} is not latched; nothing to reset"),
            )
        })?;
        Ok(Record::AlarmReset {
            alarm: id.to_owned(),
            by,
        })
    }

    /// Puts an alarm away for 1 to [`MAX_SHELF_MINUTES`] minutes.
    ///
    /// # Errors
    /// [`Refused`] when it is unknown, normal or out of service, or a field is wrong.
    pub fn shelve(&self, id: &str, by: &str, minutes: u32, reason: &str) -> Result<Record, Refused> {
        let known = self.find(id)?;
        let by = operator_text("by", by)?;
        let reason = operator_text("reason", reason)?;
        span(minutes, MAX_SHELF_MINUTES)?;
        if known.standing == Standing::Normal && known.cover() == Cover::Open {
            return Err(Refused::conflict(
                format!("警報 {id} は正常に戻っていて、一時保留するものがありません"),
                format!("alarm {id} is normal; nothing to shelve"),
            ));
        }
        known.lets(Covering::Shelve, || {
            Label::new(
                format!("警報 {id} は使用停止中です"),
                format!("alarm {id} is out of service"),
            )
        })?;
        Ok(Record::AlarmShelved {
            alarm: id.to_owned(),
            by,
            minutes,
            reason,
        })
    }

    /// Ends a shelf before its time.
    ///
    /// # Errors
    /// [`Refused`] when it is unknown or not shelved.
    pub fn unshelve(&self, id: &str, by: &str) -> Result<Record, Refused> {
        let known = self.find(id)?;
        let by = operator_text("by", by)?;
        known.lets(Covering::Unshelve, || {
            Label::new(
                format!("警報 {id} は一時保留されていません"),
                format!("alarm {id} is not shelved"),
            )
        })?;
        Ok(Record::AlarmUnshelved {
            alarm: id.to_owned(),
            by: Some(by),
            again: known.standing == Standing::Acknowledged,
        })
    }

    /// Takes an alarm out of service for 1 to [`MAX_OUT_OF_SERVICE_MINUTES`] minutes.
    ///
    /// # Errors
    /// [`Refused`] when it is unknown or out of service, or a field is wrong.
    pub fn out_of_service(&self, id: &str, by: &str, minutes: u32, reason: &str) -> Result<Record, Refused> {
        let known = self.find(id)?;
        let by = operator_text("by", by)?;
        let reason = operator_text("reason", reason)?;
        span(minutes, MAX_OUT_OF_SERVICE_MINUTES)?;
        known.lets(Covering::TakeOut, || {
            Label::new(
                format!("警報 {id} はすでに使用停止中です"),
                format!("alarm {id} is out of service already"),
            )
        })?;
        Ok(Record::AlarmOutOfService {
            alarm: id.to_owned(),
            by,
            minutes,
            reason,
        })
    }

    /// Puts an alarm back into service.
    ///
    /// # Errors
    /// [`Refused`] when it is unknown or in service.
    pub fn in_service(&self, id: &str, by: &str) -> Result<Record, Refused> {
        let known = self.find(id)?;
        let by = operator_text("by", by)?;
        known.lets(Covering::PutBack, || {
            Label::new(
                format!("警報 {id} は使用中です"),
                format!("alarm {id} is in service"),
            )
        })?;
        Ok(Record::AlarmInService {
            alarm: id.to_owned(),
            by: Some(by),
            again: known.standing == Standing::Acknowledged,
        })
    }

    fn find(&self, id: &str) -> Result<&Known, Refused> {
        self.get(id)
            .ok_or_else(|| Refused::not_found(format!("警報 {id} はありません"), format!("no alarm {id}")))
    }
}

impl Known {
    fn allows(&self, input: Input, because: impl FnOnce() -> Label) -> Result<(), Refused> {
        next(self.standing, input, self.definition.latching)
            .map(|_| ())
            .ok_or_else(|| Refused::Conflict(because()))
    }

    fn lets(&self, covering: Covering, because: impl FnOnce() -> Label) -> Result<(), Refused> {
        cover(self.cover(), covering)
            .map(|_| ())
            .ok_or_else(|| Refused::Conflict(because()))
    }
}

pub(crate) fn span(minutes: u32, most: u32) -> Result<(), Refused> {
    if (1..=most).contains(&minutes) {
        return Ok(());
    }
    Err(Refused::invalid(
        format!("時間は 1 ～ {most} 分で指定してください（{minutes} 分は指定できません）"),
        format!("minutes must be 1 to {most}, not {minutes}"),
    ))
}

/// Names and reasons come from outside: bounded, not empty, without control characters.
pub(crate) fn operator_text(field: &str, text: &str) -> Result<String, Refused> {
    let text = text.trim();
    written(field, text, MAX_OPERATOR_TEXT, char::is_control)?;
    Ok(text.to_owned())
}

/// The rules of every text that a person writes: not empty, not too long, without what is forbidden.
pub(crate) fn written(
    field: &str,
    text: &str,
    most: usize,
    is_forbidden: impl Fn(char) -> bool,
) -> Result<(), Refused> {
    let ja = match field {
        "by" => "氏名",
        "reason" => "理由",
        "result" => "結果",
        "work_order" => "作業指示番号",
        "conclusion" => "結論",
        "text" => "説明",
        other => other,
    };
    if text.is_empty() {
        return Err(Refused::invalid(
            format!("{ja}を入力してください"),
            format!("{field} must not be empty"),
        ));
    }
    if text.chars().count() > most {
        return Err(Refused::invalid(
            format!("{ja}は {most} 文字までです"),
            format!("{field} is longer than {most} characters"),
        ));
    }
    if text.chars().any(is_forbidden) {
        return Err(Refused::invalid(
            format!("{ja}に使えない文字（制御文字）があります"),
            format!("{field} contains control characters"),
        ));
    }
    Ok(())
}
