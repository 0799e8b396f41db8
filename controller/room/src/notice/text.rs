//! A notice as a person reads it: subject and body, in Japanese or English.
//!
//! Whoever gets it is no engineer and may be called at night. So every notice about an alarm says,
//! in this order: what, where, since when and for how long, what to do, by when, who has it, and
//! where the procedure is. Those who asked for a test call or are responsible stay unnamed: mails
//! and chats are kept by others for years.
//!
//! Whatever stands in the site file or came from a device goes through [`line()`] first: one line,
//! nothing that cannot be seen, nothing that turns the direction of reading, and an end.

use super::{About, Lamp, Light, Moment, Notice, Summary, Told};
use crate::site::{Label, Priority};
use crate::time::{Millis, Wall};
use std::fmt::Write as _;

/// Longest subject in characters; mail programs and phones show some forty of them.
pub const MAX_SUBJECT: usize = 120;
/// Longest piece of text that comes from outside, in characters.
pub const MAX_PIECE: usize = 500;
/// Most alarms of a summary that are listed.
pub const MAX_LISTED: usize = 20;

/// In which language people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Japanese.
    Ja,
    /// English.
    En,
}

impl Language {
    /// Every language and its word in the site file.
    pub const WORDS: [(&'static str, Self); 2] = [("ja", Self::Ja), ("en", Self::En)];
}

/// What a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line, at most [`MAX_SUBJECT`] characters.
    pub subject: String,
    /// Lines ended by `\n`.
    pub body: String,
}

/// The text of a notice. `utc_offset_min` is local time minus UTC in minutes.
#[must_use]
pub fn text(notice: &Notice, language: Language, utc_offset_min: i16) -> Text {
    let write = Writer {
        language,
        utc_offset_min,
    };
    let (subject, mut body) = match &notice.about {
        About::Alarm(told) => write.alarm(told, &notice.site),
        About::Summary(summary) => write.summary(summary, notice),
        About::Test { .. } => write.test(notice),
        About::Heartbeat { count } => write.heartbeat(*count, notice),
        About::Lamp(lamp) => write.lamp(*lamp, notice),
    };
    let rehearsal = if notice.simulated {
        write.say("【模擬】", "[SIMULATED] ")
    } else {
        ""
    };
    if notice.simulated {
        body.push_str(write.say(
            "\n模擬の部屋からの通知です。実際の設備の異常ではありません。\n",
            "\nThis comes from a simulated room. No real equipment is concerned.\n",
        ));
    }
    let _ = writeln!(
        body,
        "\n-- \n{} {}",
        write.say("自動送信 Yagura / 通知番号", "Sent by Yagura / notice"),
        notice.id()
    );
    Text {
        subject: shorten(&format!("{rehearsal}{subject}"), MAX_SUBJECT),
        body,
    }
}

/// One line of printable text: control characters become blanks, characters that are not seen or
/// that turn the direction of reading are left out, and what is longer than [`MAX_PIECE`] ends in
/// an ellipsis.
#[must_use]
pub fn line(text: &str) -> String {
    let seen = text.chars().filter(|ch| !is_hidden(*ch)).map(|ch| {
        // The two separators end a line in some readers.
        if ch.is_control() || matches!(ch, '\u{2028}' | '\u{2029}') {
            ' '
        } else {
            ch
        }
    });
    let mut out = String::with_capacity(text.len().min(MAX_PIECE * 4));
    for (count, ch) in seen.enumerate() {
        if count == MAX_PIECE {
            out.push('…');
            break;
        }
        out.push(ch);
    }
    out.trim().to_owned()
}

/// Marks, embeddings, overrides and isolates of the bidirectional algorithm (UAX #9), the byte
/// order mark, blanks without width, tags. The joiner U+200D stays: emoji are made with it.
const fn is_hidden(ch: char) -> bool {
    matches!(
        ch,
        '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    short.push('…');
    short
}

struct Writer {
    language: Language,
    utc_offset_min: i16,
}

impl Writer {
    const fn say<'a>(&self, ja: &'a str, en: &'a str) -> &'a str {
        match self.language {
            Language::Ja => ja,
            Language::En => en,
        }
    }

    fn label(&self, label: &Label) -> String {
        line(self.say(&label.ja, &label.en))
    }

    const fn priority(&self, priority: Priority) -> &'static str {
        match (priority, self.language) {
            (Priority::Critical, Language::Ja) => "重大",
            (Priority::Critical, Language::En) => "Critical",
            (Priority::Warning, Language::Ja) => "警告",
            (Priority::Warning, Language::En) => "Warning",
            (Priority::Advisory, Language::Ja) => "注意",
            (Priority::Advisory, Language::En) => "Advisory",
        }
    }

    fn alarm(&self, told: &Told, site: &Label) -> (String, String) {
        let (what, place, site) = (self.label(&told.what), self.label(&told.place), self.label(site));
        let lasted = self.span(told.lasted);
        let happened = match (told.moment, self.language) {
            (Moment::Raised, Language::Ja) => "発生".to_owned(),
            (Moment::Raised, Language::En) => "raised".to_owned(),
            (Moment::Escalated, Language::Ja) => format!("{lasted}対応者なし"),
            (Moment::Escalated, Language::En) => format!("nobody has it after {lasted}"),
            (Moment::Reminder, Language::Ja) => format!("{lasted}継続中"),
            (Moment::Reminder, Language::En) => format!("still standing after {lasted}"),
            (Moment::Acknowledged, Language::Ja) => "対応中".to_owned(),
            (Moment::Acknowledged, Language::En) => "somebody has it".to_owned(),
            (Moment::Shelved, Language::Ja) => "一時保留".to_owned(),
            (Moment::Shelved, Language::En) => "shelved".to_owned(),
            (Moment::Returned, Language::Ja) => "復旧".to_owned(),
            (Moment::Returned, Language::En) => "returned to normal".to_owned(),
        };
        let priority = self.priority(told.priority);
        let subject = match self.language {
            Language::Ja => format!(
                "【{priority}】{happened}: {what}{} {site}",
                self.parenthesised(&place)
            ),
            Language::En => format!(
                "[{priority}] {happened}: {what}{} {site}",
                self.parenthesised(&place)
            ),
        };

        let mut body = String::new();
        let mut row = |ja: &str, en: &str, value: &str| {
            if !value.is_empty() {
                let _ = writeln!(body, "{}: {value}", self.say(ja, en));
            }
        };
        row("状態", "State", &format!("{priority} {happened}"));
        row("何が", "What", &what);
        row("どこで", "Where", &self.joined(&place, &site));
        row("いつから", "Since", &self.time(told.since));
        if told.lasted.0 >= 1000 {
            row("継続時間", "For", &lasted);
        }
        row("状況", "Because", &self.label(&told.because));
        match told.moment {
            Moment::Returned => {
                row(
                    "すること",
                    "What to do",
                    self.say(
                        "正常に戻りました。原因を確かめ、画面で確認してください。",
                        "It is normal again. Find out why it was not, and acknowledge it on the page.",
                    ),
                );
                row(
                    "いつまでに",
                    "By when",
                    self.say("期限なし(復旧済み)", "no limit (it has returned)"),
                );
            }
            _ => {
                row("すること", "What to do", &self.label(&told.action));
                let by = Wall(told.since.0.saturating_add_unsigned(told.respond_within.0));
                let within = self.span(told.respond_within);
                let by = match self.language {
                    Language::Ja => format!("{}(発生から{within}以内)", self.time(by)),
                    Language::En => format!("{} (within {within})", self.time(by)),
                };
                row("いつまでに", "By when", &by);
            }
        }
        let owner = told
            .owner
            .as_ref()
            .map(|owner| self.label(owner))
            .unwrap_or_default();
        row(
            "担当",
            "Who has it",
            if owner.is_empty() {
                self.say(
                    "未定。画面で「対応する」を押した人が担当です",
                    "nobody yet; who acknowledges it on the page has it",
                )
            } else {
                &owner
            },
        );
        let procedure = told.procedure.as_deref().map(line).unwrap_or_default();
        row(
            "手順書",
            "Procedure",
            if procedure.is_empty() {
                self.say("登録なし", "none is written down")
            } else {
                &procedure
            },
        );
        row("考えられる原因", "Probable cause", &self.label(&told.cause));
        if told.moment != Moment::Returned {
            row("放置すると", "If nobody acts", &self.label(&told.consequence));
        }
        if told.count > 1 {
            let times = match self.language {
                Language::Ja => format!("正常に戻る前に {} 回発生", told.count),
                Language::En => format!("raised {} times since it was last normal", told.count),
            };
            row("回数", "Count", &times);
        }
        if told.folded > 0 {
            let folded = match self.language {
                Language::Ja => format!("これに伴う警報 {} 件は個別に通知しません", told.folded),
                Language::En => format!("{} alarms that follow from it are not told singly", told.folded),
            };
            row("関連", "Folded", &folded);
        }
        row("警報", "Alarm", &line(&told.alarm));
        (subject, body)
    }

    fn summary(&self, summary: &Summary, notice: &Notice) -> (String, String) {
        let [critical, warning, advisory] = summary.counts;
        let all = critical.saturating_add(warning).saturating_add(advisory);
        let site = self.label(&notice.site);
        let split = [
            (Priority::Critical, critical),
            (Priority::Warning, warning),
            (Priority::Advisory, advisory),
        ]
        .map(|(priority, count)| format!("{} {count}", self.priority(priority)))
        .join(self.say("、", ", "));
        let subject = match self.language {
            Language::Ja if all == 0 => format!("【まとめ】警報 {} 件が復旧 {site}", summary.returned),
            Language::En if all == 0 => format!("[Summary] {} alarms returned {site}", summary.returned),
            Language::Ja => format!("【まとめ】警報 {all} 件({split}) {site}"),
            Language::En => format!("[Summary] {all} alarms ({split}) {site}"),
        };
        let mut body = String::new();
        let _ = match self.language {
            Language::Ja => writeln!(
                body,
                "警報が続いたため、まとめて知らせます。\n何が: 警報 {all} 件({split})\nどこで: {site}\nいつ: {}\nすること: 画面の警報一覧を開き、上から順に対応してください。\nいつまでに: 警報ごとに異なります。一覧に示します。\n担当: 警報ごとに、一覧で「対応する」を押した人です。\n手順書: 一覧の各警報にあります。",
                self.time(notice.at)
            ),
            Language::En => writeln!(
                body,
                "Alarms came one after the other, so they are told together.\nWhat: {all} alarms ({split})\nWhere: {site}\nWhen: {}\nWhat to do: open the alarm list and begin at its top.\nBy when: each alarm has its own time; the list shows it.\nWho has it: whoever acknowledges an alarm in the list.\nProcedure: with each alarm of the list.",
                self.time(notice.at)
            ),
        };
        for (priority, what, place) in summary.some.iter().take(MAX_LISTED) {
            let _ = writeln!(
                body,
                "  {} {}{}",
                self.bracketed(self.priority(*priority)),
                self.label(what),
                self.parenthesised(&self.label(place))
            );
        }
        let listed = summary.some.len().min(MAX_LISTED);
        if all > listed && listed > 0 {
            let more = all - listed;
            let _ = match self.language {
                Language::Ja => writeln!(body, "  ほか {more} 件"),
                Language::En => writeln!(body, "  and {more} more"),
            };
        }
        let over = summary.returned;
        if over > 0 {
            let _ = match self.language {
                Language::Ja => writeln!(body, "復旧: 先に知らせた警報のうち {over} 件が復旧しました。"),
                Language::En => writeln!(body, "Over: {over} of the alarms told before have returned."),
            };
        }
        (subject, body)
    }

    fn test(&self, notice: &Notice) -> (String, String) {
        let site = self.label(&notice.site);
        match self.language {
            Language::Ja => (
                format!("【試験】通知の試験です {site}"),
                format!(
                    "何が: 通知が届くかどうかの試験です。異常はありません。\nどこで: {site}\nいつ: {}\nすること: 届いたことを、試験をした担当に伝えてください。\nいつまでに: 本日中\n担当: 試験をした人\n手順書: 不要\n",
                    self.time(notice.at)
                ),
            ),
            Language::En => (
                format!("[Test] A test of notices {site}"),
                format!(
                    "What: a test whether notices arrive. Nothing is wrong.\nWhere: {site}\nWhen: {}\nWhat to do: tell whoever makes the test that it arrived.\nBy when: today\nWho has it: whoever makes the test\nProcedure: none is needed\n",
                    self.time(notice.at)
                ),
            ),
        }
    }

    fn heartbeat(&self, count: u64, notice: &Notice) -> (String, String) {
        let site = self.label(&notice.site);
        let at = self.time(notice.at);
        match self.language {
            Language::Ja => (
                format!("【正常】監視は動いています {site}"),
                format!(
                    "監視は動いています。\nどこで: {site}\nいつ: {at}\n起動から {count} 回目\nすること: 届かなくなったら、監視の機械を確かめてください。\n"
                ),
            ),
            Language::En => (
                format!("[Alive] The room is watched {site}"),
                format!(
                    "The room is watched.\nWhere: {site}\nWhen: {at}\nNumber {count} since the start\nWhat to do: when these stop, look after the machine that watches.\n"
                ),
            ),
        }
    }

    fn lamp(&self, lamp: Lamp, notice: &Notice) -> (String, String) {
        let site = self.label(&notice.site);
        let units = [
            (self.say("赤", "red"), lamp.red),
            (self.say("黄", "amber"), lamp.amber),
            (self.say("緑", "green"), lamp.green),
            (self.say("青", "blue"), lamp.blue),
            (self.say("白", "white"), lamp.white),
        ];
        let mut shown: Vec<String> = units
            .iter()
            .filter_map(|(colour, light)| {
                let light = match light {
                    Light::Off => return None,
                    Light::Steady => self.say("点灯", "steady"),
                    Light::Flashing => self.say("点滅", "flashing"),
                };
                Some(format!("{colour} {light}"))
            })
            .collect();
        if lamp.buzzer {
            shown.push(self.say("ブザー", "buzzer").to_owned());
        }
        if shown.is_empty() {
            shown.push(self.say("消灯", "dark").to_owned());
        }
        let shown = shown.join(self.say("、", ", "));
        let (title, when) = (self.say("信号灯", "Signal tower"), self.say("いつ", "When"));
        (
            format!("{title}: {shown} {site}"),
            format!("{title}: {shown}\n{when}: {}\n", self.time(notice.at)),
        )
    }

    fn joined(&self, place: &str, site: &str) -> String {
        match (place.is_empty(), site.is_empty() || place == site) {
            (true, _) => site.to_owned(),
            (_, true) => place.to_owned(),
            _ => format!("{place}{}", self.parenthesised(site)),
        }
    }

    fn bracketed(&self, text: &str) -> String {
        match self.language {
            Language::Ja => format!("【{text}】"),
            Language::En => format!("[{text}]"),
        }
    }

    fn parenthesised(&self, text: &str) -> String {
        match (text.is_empty(), self.language) {
            (true, _) => String::new(),
            (false, Language::Ja) => format!("({text})"),
            (false, Language::En) => format!(" ({text})"),
        }
    }

    /// A moment in the site's time: `2026年4月1日(水) 09:05:03`, `Wed 2026-04-01 09:05:03`.
    fn time(&self, at: Wall) -> String {
        let local = at.0.saturating_add(i64::from(self.utc_offset_min) * 60_000);
        let Civil {
            year,
            month,
            day,
            weekday,
            hour,
            minute,
            second,
            ..
        } = Civil::of(local);
        match self.language {
            Language::Ja => {
                let weekday = ["木", "金", "土", "日", "月", "火", "水"][weekday];
                format!("{year}年{month}月{day}日({weekday}) {hour:02}:{minute:02}:{second:02}")
            }
            Language::En => {
                let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][weekday];
                format!("{weekday} {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
            }
        }
    }

    /// A span by its two largest units: `6分12秒`, `2 h 3 min`.
    fn span(&self, span: Millis) -> String {
        let secs = span.0 / 1000;
        let units = [
            (secs / 86_400, "日", "d"),
            (secs / 3600 % 24, "時間", "h"),
            (secs / 60 % 60, "分", "min"),
            (secs % 60, "秒", "s"),
        ];
        let first = units.iter().position(|(count, ..)| *count > 0).unwrap_or(3);
        let parts = units[first..]
            .iter()
            .take(2)
            .filter(|(count, ..)| *count > 0 || secs == 0);
        match self.language {
            Language::Ja => parts.map(|(count, ja, _)| format!("{count}{ja}")).collect(),
            Language::En => {
                let parts: Vec<String> = parts.map(|(count, _, en)| format!("{count} {en}")).collect();
                parts.join(" ")
            }
        }
    }
}

/// A moment in UTC as RFC 3339 with milliseconds: `2026-04-01T00:05:03.000Z`.
#[must_use]
pub fn rfc3339(at: Wall) -> String {
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
        milli,
        ..
    } = Civil::of(at.0);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// A moment of the proleptic Gregorian calendar.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    /// From Thursday, as 1970 began.
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
}

impl Civil {
    /// Of milliseconds since 1970. Years are counted from March, so that the leap day is the last
    /// one, in eras of 400 years, which all have the same number of days.
    fn of(ms: i64) -> Self {
        const DAY: i64 = 86_400_000;
        const ERA: i64 = 146_097;
        let (days, rest) = (ms.div_euclid(DAY), ms.rem_euclid(DAY));
        // 1970-01-01 is 719,468 days after 0000-03-01.
        let shifted = days + 719_468;
        let (era, in_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
        let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
        let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Five months from March have 153 days.
        let from_march = (5 * in_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month,
            day: in_year - (153 * from_march + 2) / 5 + 1,
            weekday: usize::try_from(days.rem_euclid(7)).unwrap_or(0),
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1000 % 60,
            milli: rest % 1000,
        }
    }
}
