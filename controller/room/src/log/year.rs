//! Fiscal years (年度) of Japan, and the names of logs.

use crate::site::Label;
use crate::time::Wall;

/// Japan's offset; the year of a log is Japanese wherever the machine thinks it is.
const JST_MS: i64 = 9 * 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Longest part of an origin that is made of the site's name.
const MAX_SLUG: usize = 60;

/// The fiscal year of a moment: April 1st 00:00 to March 31st, Japan time.
#[must_use]
pub fn fiscal_year(at: Wall) -> i64 {
    let days = at.0.saturating_add(JST_MS).div_euclid(DAY_MS);
    let (year, month) = civil(days);
    if month >= 4 { year } else { year - 1 }
}

/// Year and month of a day since 1970-01-01, in years that begin with March.
fn civil(days: i64) -> (i64, i64) {
    // 719,468 days from 0000-03-01; an era is 400 years of 146,097 days.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month)
}

/// The site's part of an origin: the letters and digits of its English name, else `site`.
#[must_use]
pub fn slug(site: &Label) -> String {
    let mut slug = String::new();
    for letter in site.en.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= MAX_SLUG {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "site".to_owned()
    } else {
        slug.to_owned()
    }
}

/// The name of a site's keys: `<site>/entry-log`.
#[must_use]
pub fn key_name(slug: &str) -> String {
    format!("{slug}/entry-log")
}

/// The origin of a year's log.
#[must_use]
pub fn origin(slug: &str, year: i64) -> String {
    format!("{slug}/entry-log/{year}")
}
