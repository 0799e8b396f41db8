//! Who is there now: local time, hours on duty, deputies.
//!
//! Duty is a matter of the clock on the wall, and this is the one place of the notices that reads
//! it. A clock that is wrong can therefore only change *who* is told first, never *whether*
//! somebody is: when nobody is on duty, all of a step are told.

use crate::site::notice::{Contact, Hours};
use crate::time::Wall;

/// Longest chain of deputies that is followed; a longer one ends with whom it has reached.
pub const MAX_DEPUTY_CHAIN: usize = 8;

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 24 * 60;
/// The bit of a holiday in [`Hours::days`], beside those of Monday (bit 0) to Sunday (bit 6).
pub const HOLIDAY: u8 = 1 << 7;

/// What a site's clock on the wall goes by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calendar {
    /// Local time minus UTC in minutes.
    pub utc_offset_min: i16,
    /// Days since 1970 in local time that are holidays.
    pub holidays: Vec<u16>,
}

/// A moment in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// Days since 1970.
    pub day: i64,
    /// Minute of that day, 0 to 1439.
    pub minute: u16,
}

impl Calendar {
    /// Local time.
    #[must_use]
    pub fn local(&self, wall: Wall) -> Local {
        let minutes = wall
            .0
            .div_euclid(60_000)
            .saturating_add(i64::from(self.utc_offset_min));
        let day_minutes = i64::from(DAY_MINUTES);
        Local {
            day: minutes.div_euclid(day_minutes),
            minute: u16::try_from(minutes.rem_euclid(day_minutes)).unwrap_or_default(),
        }
    }

    /// The bit of [`Hours::days`] that counts on this day: a holiday is no weekday.
    #[must_use]
    pub fn bit(&self, day: i64) -> u8 {
        if u16::try_from(day).is_ok_and(|day| self.holidays.contains(&day)) {
            return HOLIDAY;
        }
        // 1970-01-01 was a Thursday.
        1 << (day.saturating_add(3).rem_euclid(7))
    }

    /// Whether these hours cover the moment. Hours over midnight belong to the day they begin on.
    #[must_use]
    pub fn covers(&self, hours: &Hours, at: Local) -> bool {
        let today = hours.days & self.bit(at.day) != 0;
        if hours.from < hours.to {
            return today && (hours.from..hours.to).contains(&at.minute);
        }
        let yesterday = hours.days & self.bit(at.day.saturating_sub(1)) != 0;
        (today && at.minute >= hours.from) || (yesterday && at.minute < hours.to)
    }

    /// Whether a contact is on duty; one without hours always is.
    #[must_use]
    pub fn on_duty(&self, contact: &Contact, at: Local) -> bool {
        contact.duty.is_empty() || contact.duty.iter().any(|hours| self.covers(hours, at))
    }
}

/// Who is told, and for whom when a deputy stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Place in the site's list of contacts.
    pub contact: usize,
    /// The contact that is away.
    pub instead_of: Option<usize>,
}

/// Who is told on this day when `contact` is meant. A deputy may be away, too.
#[must_use]
pub fn stand_in(contacts: &[Contact], contact: usize, day: i64) -> Target {
    let mut who = contact;
    for _ in 0..MAX_DEPUTY_CHAIN {
        let next = contacts.get(who).and_then(|absent| {
            let deputy = absent
                .deputies
                .iter()
                .find(|deputy| (i64::from(deputy.from)..=i64::from(deputy.until)).contains(&day))?;
            contacts.iter().position(|other| other.name == deputy.contact)
        });
        match next {
            // A circle: everybody is away, so the one who is meant is told.
            Some(next) if next == contact => {
                who = contact;
                break;
            }
            Some(next) => who = next,
            None => break,
        }
    }
    Target {
        contact: who,
        instead_of: (who != contact).then_some(contact),
    }
}

/// Whom a step tells: those of it who are on duty; when none is, those on duty of the next step
/// that has any; and when there is nobody at all, everybody of this step.
#[must_use]
pub fn of_step(
    contacts: &[Contact],
    calendar: &Calendar,
    steps: &[Vec<usize>],
    step: usize,
    wall: Wall,
) -> Vec<Target> {
    let at = calendar.local(wall);
    let on_duty = |step: &Vec<usize>| -> Vec<usize> {
        step.iter()
            .copied()
            .filter(|contact| {
                contacts
                    .get(*contact)
                    .is_some_and(|contact| calendar.on_duty(contact, at))
            })
            .collect()
    };
    let meant = steps
        .iter()
        .skip(step)
        .map(on_duty)
        .find(|there| !there.is_empty())
        .or_else(|| steps.get(step).cloned())
        .unwrap_or_default();
    let mut targets: Vec<Target> = Vec::new();
    for contact in meant {
        let target = stand_in(contacts, contact, at.day);
        if !targets.iter().any(|other| other.contact == target.contact) {
            targets.push(target);
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Label;
    use crate::site::notice::Deputy;

    fn contact(name: &str, duty: &[Hours], deputies: &[(&str, u16, u16)]) -> Contact {
        Contact {
            name: name.to_owned(),
            label: Label::new(name, name),
            via: Vec::new(),
            duty: duty.to_vec(),
            deputies: deputies
                .iter()
                .map(|(contact, from, until)| Deputy {
                    contact: (*contact).to_owned(),
                    from: *from,
                    until: *until,
                })
                .collect(),
        }
    }

    /// 2026-11-23, a Monday and a holiday.
    const MONDAY: u16 = 20_780;

    fn japan() -> Calendar {
        Calendar {
            utc_offset_min: 540,
            holidays: vec![MONDAY],
        }
    }

    fn at(day: u16, hour: i64, minute: i64) -> Wall {
        Wall(((i64::from(day) * 24 + hour - 9) * 60 + minute) * 60_000)
    }

    const OFFICE: Hours = Hours {
        days: 0b1_1111,
        from: 8 * 60 + 30,
        to: 17 * 60 + 15,
    };
    const NIGHT: Hours = Hours {
        days: 0b111_1111 | HOLIDAY,
        from: 17 * 60 + 15,
        to: 8 * 60 + 30,
    };

    #[test]
    fn office_hours_end_with_the_minute_and_holidays_are_no_weekdays() {
        let calendar = japan();
        for (day, hour, minute, there) in [
            (MONDAY + 1, 8, 29, false),
            (MONDAY + 1, 8, 30, true),
            (MONDAY + 1, 17, 14, true),
            (MONDAY + 1, 17, 15, false),
            (MONDAY, 12, 0, false),
            (MONDAY + 5, 12, 0, false),
            (MONDAY + 7, 12, 0, true),
        ] {
            let local = calendar.local(at(day, hour, minute));
            assert_eq!(calendar.covers(&OFFICE, local), there, "{day} {hour}:{minute}");
        }
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_they_begin_on() {
        let calendar = japan();
        let friday_night = Hours {
            days: 1 << 4,
            from: 22 * 60,
            to: 6 * 60,
        };
        for (day, hour, there) in [
            (MONDAY + 4, 23, true),
            (MONDAY + 5, 5, true),
            (MONDAY + 4, 5, false),
            (MONDAY + 5, 23, false),
        ] {
            let local = calendar.local(at(day, hour, 0));
            assert_eq!(calendar.covers(&friday_night, local), there, "{day} {hour}");
        }
    }

    #[test]
    fn a_clock_before_1970_or_at_the_end_of_time_still_names_a_day() {
        let calendar = japan();
        for wall in [Wall(i64::MIN), Wall(-1), Wall(i64::MAX)] {
            assert!(calendar.local(wall).minute < DAY_MINUTES);
        }
    }

    #[test]
    fn outside_of_duty_the_next_in_the_tree_is_told_and_never_nobody() {
        let contacts = [
            contact("staff", &[OFFICE], &[]),
            contact("guard", &[NIGHT], &[]),
            contact("chief", &[OFFICE], &[]),
        ];
        let names = |steps: &[Vec<usize>], step, wall| -> Vec<usize> {
            of_step(&contacts, &japan(), steps, step, wall)
                .into_iter()
                .map(|target| target.contact)
                .collect()
        };
        let tree = [vec![0], vec![1], vec![2]];
        assert_eq!(names(&tree, 0, at(MONDAY + 1, 12, 0)), [0]);
        assert_eq!(
            names(&tree, 0, at(MONDAY + 1, 3, 0)),
            [1],
            "the guard has the night"
        );
        assert_eq!(
            names(&tree, 2, at(MONDAY + 1, 3, 0)),
            [2],
            "nobody further on: told all the same"
        );
        let office = [vec![0, 2]];
        assert_eq!(
            names(&office, 0, at(MONDAY, 3, 0)),
            [0, 2],
            "nobody on duty: all of the step"
        );
    }

    #[test]
    fn a_deputy_is_told_instead_from_the_first_to_the_last_day() {
        let contacts = [
            contact("staff", &[OFFICE], &[("chief", MONDAY + 1, MONDAY + 2)]),
            contact("chief", &[], &[("mayor", MONDAY + 2, MONDAY + 2)]),
            contact("mayor", &[], &[]),
        ];
        let told = |day| of_step(&contacts, &japan(), &[vec![0]], 0, at(day, 12, 0))[0];
        let target = |contact, instead_of| Target { contact, instead_of };
        assert_eq!(told(MONDAY), target(0, None));
        assert_eq!(told(MONDAY + 1), target(1, Some(0)));
        assert_eq!(told(MONDAY + 2), target(2, Some(0)), "the deputy is away, too");
        assert_eq!(told(MONDAY + 3), target(0, None));
    }

    #[test]
    fn a_circle_of_deputies_tells_whom_it_began_with() {
        let contacts = [
            contact("a", &[], &[("b", 0, u16::MAX)]),
            contact("b", &[], &[("c", 0, u16::MAX)]),
            contact("c", &[], &[("b", 0, u16::MAX)]),
        ];
        assert!(stand_in(&contacts, 1, 100).contact == 1);
        assert!(stand_in(&contacts, 0, 100).contact < 3, "it ends");
    }
}
