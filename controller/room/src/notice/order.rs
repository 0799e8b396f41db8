//! What operators order of the desk: test calls and lamp tests.

use super::desk::Desk;
use super::record::Record;
use crate::event::Refused;
use crate::time::Now;

impl Desk {
    /// A test call of one contact, or of all. The record must be applied, and then
    /// [`Self::ordered`] called.
    ///
    /// # Errors
    /// [`Refused`] in words for the page.
    pub fn test_call(&self, contact: Option<&str>, by: &str) -> Result<Record, Refused> {
        let contacts = &self.settings.notices.contacts;
        let called: Vec<usize> = match contact {
            None => (0..contacts.len()).collect(),
            Some(name) => {
                let Some(at) = self.names.get(name) else {
                    let names: Vec<&str> = self.names.keys().map(String::as_str).collect();
                    return Err(Refused::not_found(
                        format!("連絡先 {name} はありません（登録: {}）", names.join("、")),
                        format!("no contact {name}; there are: {}", names.join(", ")),
                    ));
                };
                vec![*at]
            }
        };
        if called.is_empty() || self.is_idle() {
            return Err(Refused::conflict(
                "連絡先がありません。設定ファイルに [[notifier]]、[[contact]]、[[route]] を加えてください",
                "the site has nobody to call: add [[notifier]], [[contact]] and [[route]]",
            ));
        }
        if let Some(busy) = called.iter().find(|at| self.is_called(**at)) {
            let name = contacts.get(*busy).map_or("", |contact| contact.name.as_str());
            return Err(Refused::conflict(
                format!("{name} にはすでに連絡中です"),
                format!("{name} is being called already"),
            ));
        }
        Ok(Record::TestCalled {
            by: by.to_owned(),
            contacts: called
                .into_iter()
                .filter_map(|at| Some(contacts.get(at)?.name.clone()))
                .collect(),
        })
    }

    /// A lamp test of every tower. The record must be applied, and then [`Self::ordered`] called.
    ///
    /// # Errors
    /// [`Refused`] in words for the page.
    pub fn lamp_test(&self, by: &str) -> Result<Record, Refused> {
        if !self.has_towers() {
            return Err(Refused::conflict(
                "信号灯がありません。設定ファイルに kind = \"patlite\" の [[notifier]] を加えてください",
                "the site has no signal tower: add a [[notifier]] with kind = \"patlite\"",
            ));
        }
        Ok(Record::LampTested { by: by.to_owned() })
    }

    /// Carries out what was just ordered; a replayed order is not carried out again.
    pub fn ordered(&mut self, now: Now, record: &Record) {
        match record {
            Record::TestCalled { by, contacts } => {
                let contacts: Vec<usize> = contacts
                    .iter()
                    .filter_map(|name| self.names.get(name).copied())
                    .collect();
                self.call(now, &contacts, by);
            }
            Record::LampTested { .. } => self.test_lamps(now.mono),
            _ => {}
        }
    }
}
