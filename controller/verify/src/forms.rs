//! Small forms of text: hexadecimal, base64, decimal numbers, RFC 3339. Each has one spelling.

/// 32 bytes: a hash.
pub type Hash = [u8; 32];

/// Bytes from hexadecimal in lower case.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

/// A hash from hexadecimal in lower case.
pub fn hash_from_hex(text: &str) -> Option<Hash> {
    from_hex(text)?.try_into().ok()
}

/// Hexadecimal in lower case.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from base64 (RFC 4648 section 4) with padding; bits that mean nothing must be 0.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    fn digit(byte: u8) -> Option<u32> {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        Some(u32::from(value))
    }
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for (at, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if padding > 2 || (padding > 0 && at + 1 != groups.len()) {
            return None;
        }
        let mut bits = 0;
        for byte in &group[..4 - padding] {
            bits = bits << 6 | digit(*byte)?;
        }
        bits <<= 6 * padding;
        let [_, three @ ..] = bits.to_be_bytes();
        if three[3 - padding..].iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(&three[..3 - padding]);
    }
    Some(bytes)
}

/// A decimal number without needless zeros, at most 2^53 - 1.
pub fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok().filter(|value| *value < 1 << 53)
}

/// Milliseconds since 1970 UTC of an RFC 3339 time such as `2027-04-01T00:00:00+09:00`.
pub fn from_rfc3339(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let sign = |at: usize, wanted: &str| text.get(at..=at).filter(|found| wanted.contains(*found));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    sign(4, "-")?;
    sign(7, "-")?;
    sign(10, "Tt ")?;
    sign(13, ":")?;
    sign(16, ":")?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut ms = 0;
    if text.get(19..20) == Some(".") {
        let digits = text[20..].bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 9 {
            return None;
        }
        let three: String = text[20..20 + digits]
            .chars()
            .chain("000".chars())
            .take(3)
            .collect();
        ms = three.parse().ok()?;
        at = 20 + digits;
    }
    let offset = match text.get(at..)? {
        "Z" | "z" => 0,
        zone if zone.len() == 6 => {
            let side = if sign(at, "+-")? == "+" { 1 } else { -1 };
            sign(at + 3, ":")?;
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            side * (hours * 60 + minutes)
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
    Some(seconds * 1_000 + ms)
}

/// The moment when a fiscal year ends: April 1st 00:00 in Japan of the year after.
pub fn end_of_fiscal_year(year: i64) -> i64 {
    (days_from_civil(year + 1, 4, 1) * 86_400 - 9 * 3_600) * 1_000
}

/// Japan's time, for people: `2026-11-22 18:31:50`.
pub fn japan_time(ms: i64) -> String {
    let seconds = ms.div_euclid(1_000).saturating_add(9 * 3_600);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The civil calendar, counted in eras of 400 years that begin on March 1st.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Days since 1970-01-01 of a day of the civil calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(from_base64("AAEC/w==").as_deref(), Some(&[0, 1, 2, 255][..]));
        assert_eq!(from_base64("").as_deref(), Some(&[][..]));
        assert_eq!(from_base64("YQ==").as_deref(), Some(&b"a"[..]));
        for bad in ["YR==", "YQ=", "YQ", "Y===", "====", "YQ==YQ==", "Y Q=", "Y-_="] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_read_and_shown() {
        assert_eq!(from_rfc3339("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            from_rfc3339("2027-04-01T00:00:00+09:00"),
            Some(end_of_fiscal_year(2026))
        );
        assert_eq!(from_rfc3339("2026-11-22T18:31:50.5Z"), Some(1_795_372_310_500));
        assert_eq!(japan_time(1_795_372_310_500), "2026-11-23 03:31:50");
        assert_eq!(
            japan_time(from_rfc3339("2028-02-29T12:00:00+09:00").unwrap()),
            "2028-02-29 12:00:00"
        );
        for bad in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00+0900",
            "2026-01-01T00:00:00.Z",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:0櫓",
        ] {
            assert_eq!(from_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("9007199254740991"), Some((1 << 53) - 1));
        for bad in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            "9007199254740992",
            "99999999999999999999",
        ] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }
}
