//! What an operator wants of an alarm: permitted by the tables, or refused in words for the page.
//! The records must be applied.

use super::book::{Book, Known};
use super::machine::{Cover, Covering, Input, Standing, cover, next};
use crate::event::Refused;
use crate::record::Record;

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
            format!("alarm {id} does not wait for an acknowledgement")
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
            Standing::Unacknowledged | Standing::ReturnedUnacknowledged => {
                format!("nobody has alarm {id}; acknowledge it")
            }
            _ => format!("alarm {id} is normal; nothing to take over"),
        })?;
        if known.owner.as_ref() == Some(&by) {
            return Err(Refused::Conflict(format!("{by} has alarm {id} already")));
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
            format!("alarm {id} is not latched; nothing to reset")
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
            return Err(Refused::Conflict(format!(
                "alarm {id} is normal; nothing to shelve"
            )));
        }
        known.lets(Covering::Shelve, || format!("alarm {id} is out of service"))?;
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
        known.lets(Covering::Unshelve, || format!("alarm {id} is not shelved"))?;
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
            format!("alarm {id} is out of service already")
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
        known.lets(Covering::PutBack, || format!("alarm {id} is in service"))?;
        Ok(Record::AlarmInService {
            alarm: id.to_owned(),
            by: Some(by),
            again: known.standing == Standing::Acknowledged,
        })
    }

    fn find(&self, id: &str) -> Result<&Known, Refused> {
        self.get(id)
            .ok_or_else(|| Refused::NotFound(format!("no alarm {id}")))
    }
}

impl Known {
    fn allows(&self, input: Input, because: impl FnOnce() -> String) -> Result<(), Refused> {
        next(self.standing, input, self.definition.latching)
            .map(|_| ())
            .ok_or_else(|| Refused::Conflict(because()))
    }

    fn lets(&self, covering: Covering, because: impl FnOnce() -> String) -> Result<(), Refused> {
        cover(self.cover(), covering)
            .map(|_| ())
            .ok_or_else(|| Refused::Conflict(because()))
    }
}

pub(crate) fn span(minutes: u32, most: u32) -> Result<(), Refused> {
    if (1..=most).contains(&minutes) {
        return Ok(());
    }
    Err(Refused::Invalid(format!(
        "minutes must be 1 to {most}, not {minutes}"
    )))
}

/// Names and reasons come from outside: bounded, not empty, without control characters.
pub(crate) fn operator_text(field: &str, text: &str) -> Result<String, Refused> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refused::Invalid(format!("{field} must not be empty")));
    }
    if text.chars().count() > MAX_OPERATOR_TEXT {
        return Err(Refused::Invalid(format!(
            "{field} is longer than {MAX_OPERATOR_TEXT} characters"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Refused::Invalid(format!("{field} contains control characters")));
    }
    Ok(text.to_owned())
}
