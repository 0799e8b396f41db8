//! Pages to print: A4, Japanese or English, legible in black and white, without scripts. They are
//! made from documents that are complete already and add nothing to them.
//!
//! Everything that comes from people or devices is escaped; the style is a file of its own, because
//! the content policy allows nothing inline.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use room::incident::document::{AlarmRow, CLASS, Document, Figures, Proof};
use room::incident::timeline::{Timeline, Topic, priority_words};
use room::outage::exercise::{self, ExerciseKind};
use room::site::Label;
use serde::Deserialize;
use std::fmt::Write as _;

/// The style sheet of every page, served as `/print/document.css`.
pub const STYLE: &str = include_str!("print.css");

/// Language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Japanese.
    #[default]
    Ja,
    /// English.
    En,
}

impl Language {
    fn of(self, label: &Label) -> &str {
        match self {
            Self::Ja => &label.ja,
            Self::En => &label.en,
        }
    }

    const fn pick<'a>(self, ja: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Ja => ja,
            Self::En => en,
        }
    }
}

/// The page of an incident.
#[must_use]
pub fn incident(document: &Document, lang: Language) -> String {
    let incident = &document.incident;
    let mut page = Page::begin(lang, &document.document, &document.class);
    if document.simulated {
        page.raw("<p class=\"watermark\">");
        page.text(lang.pick("模擬（実際の部屋ではありません）", "SIMULATED (no real room)"));
        page.raw("</p>");
    }
    page.raw("<h1>");
    page.text(lang.pick("情報セキュリティ事案 報告書", "Incident report"));
    page.raw("</h1>");
    page.boxes();
    let state = if incident.open {
        lang.pick("継続中", "open").to_owned()
    } else {
        format!(
            "{} {}",
            lang.pick("終結", "closed"),
            incident.closed_ms.map_or_else(String::new, |at| time(lang, at))
        )
    };
    let opened_by = incident
        .opened_by
        .clone()
        .unwrap_or_else(|| lang.pick("警報による自動開始", "opened by an alarm").to_owned());
    page.facts(&[
        (lang.pick("事案番号", "Incident"), incident.number.clone()),
        (lang.pick("件名", "Title"), lang.of(&incident.title).to_owned()),
        (
            lang.pick("区分", "Nature"),
            lang.of(&incident.nature.label()).to_owned(),
        ),
        (lang.pick("場所", "Room"), lang.of(&document.site).to_owned()),
        (
            lang.pick("開始", "Opened"),
            match lang {
                Language::Ja => format!("{}（{opened_by}）", time(lang, incident.opened_ms)),
                Language::En => format!("{} ({opened_by})", time(lang, incident.opened_ms)),
            },
        ),
        (lang.pick("状態", "State"), state),
    ]);
    page.heading(lang.pick("1. 結論", "1. Conclusion"));
    page.raw("<p class=\"text\">");
    page.text(
        incident
            .conclusion
            .as_deref()
            .unwrap_or(lang.pick("（未記入）", "(none yet)")),
    );
    page.raw("</p>");
    page.heading(lang.pick("2. 概要（数値）", "2. Figures"));
    page.facts(&figures(lang, &document.figures));
    page.heading(lang.pick("3. 警報", "3. Alarms"));
    page.alarms(&document.alarms);
    page.heading(lang.pick("4. 経過", "4. Timeline"));
    page.timeline(&document.timeline);
    page.heading(lang.pick("5. 引き継ぎ", "5. Handed over"));
    let rows: Vec<[String; 4]> = incident
        .handed_over
        .iter()
        .map(|given| {
            [
                time(lang, given.at_ms),
                given.to.clone(),
                given.by.clone(),
                given.evidence.document.clone(),
            ]
        })
        .collect();
    page.table(
        [
            lang.pick("日時", "Time"),
            lang.pick("引き継ぎ先", "To"),
            lang.pick("引き継いだ人", "By"),
            "SHA-256",
        ],
        &rows,
    );
    page.heading(lang.pick("6. 記録の証明", "6. Proof"));
    page.proof(&document.proof);
    page.end(&document.document, &document.class)
}

/// The page of a rehearsal or drill.
#[must_use]
pub fn rehearsal(document: &exercise::Document, lang: Language) -> String {
    let result = &document.result;
    let mut page = Page::begin(lang, &document.document, &document.class);
    if document.simulated {
        page.raw("<p class=\"watermark\">");
        page.text(lang.pick("模擬（実際の部屋ではありません）", "SIMULATED (no real room)"));
        page.raw("</p>");
    }
    page.raw("<h1>");
    page.text(match result.kind {
        ExerciseKind::Rehearsal => lang.pick("停止計画 予行記録", "Rehearsal of the shutdown plan"),
        ExerciseKind::Drill => lang.pick("停止計画 訓練記録", "Drill of the shutdown plan"),
    });
    page.raw("</h1>");
    page.boxes();
    let verdict = match (&result.broken_off, result.passed) {
        (Some(because), _) => match lang {
            Language::Ja => format!("中断（{}）", because.ja),
            Language::En => format!("broken off ({})", because.en),
        },
        (None, true) => lang.pick("合格", "passed").to_owned(),
        (None, false) => lang.pick("不合格", "failed").to_owned(),
    };
    page.facts(&[
        (lang.pick("場所", "Room"), lang.of(&document.site).to_owned()),
        (lang.pick("開始", "Began"), time(lang, result.began_ms)),
        (lang.pick("終了", "Ended"), time(lang, result.ended_ms)),
        (lang.pick("実施者", "By"), result.by.clone()),
        (
            lang.pick("対象", "Host"),
            result.host.clone().unwrap_or_else(|| {
                lang.pick(
                    "計画の全サーバー（停止せず確認のみ）",
                    "all (checked, none stopped)",
                )
                .to_owned()
            }),
        ),
        (lang.pick("結果", "Result"), verdict),
        (
            lang.pick("計画の照合値", "Hash of the plan"),
            result.plan_hash.clone(),
        ),
    ]);
    page.heading(lang.pick("1. サーバーごとの結果", "1. Servers"));
    let rows: Vec<[String; 5]> = result
        .steps
        .iter()
        .map(|step| {
            let state = match step.state.as_str() {
                "passed" => lang.pick("合格", "passed"),
                "failed" => lang.pick("不合格", "failed"),
                _ => lang.pick("未実施", "not done"),
            };
            let took = step
                .took_s
                .map_or_else(|| "-".to_owned(), |secs| format!("{secs:.1} s"));
            [
                format!("{} ({})", lang.of(&step.label), step.id),
                step.action.clone(),
                state.to_owned(),
                took,
                step.problem
                    .as_ref()
                    .map_or_else(String::new, |problem| lang.of(problem).to_owned()),
            ]
        })
        .collect();
    page.table(
        [
            lang.pick("サーバー", "Server"),
            lang.pick("方法", "Action"),
            lang.pick("結果", "Result"),
            lang.pick("所要", "Took"),
            lang.pick("問題", "Problem"),
        ],
        &rows,
    );
    page.heading(lang.pick("2. 記録の証明", "2. Proof"));
    page.proof(&document.proof);
    page.end(&document.document, &document.class)
}

fn figures(lang: Language, figures: &Figures) -> Vec<(&'static str, String)> {
    let taken = figures.first_acknowledged_ms.map_or_else(
        || lang.pick("なし", "none").to_owned(),
        |span| duration(lang, span),
    );
    let count = |count: u64| count.to_string();
    let words: [(&str, &str, String); 11] = [
        ("継続時間", "Lasted", duration(lang, figures.lasted_ms)),
        ("最初の確認まで", "First acknowledged after", taken),
        ("警報の発生", "Alarms raised", count(figures.alarms_raised)),
        ("うち重大", "of them critical", count(figures.critical_raised)),
        ("入室の許可", "Cards granted", count(figures.granted)),
        ("入室の拒否", "Cards denied", count(figures.denied)),
        ("扉の開放", "Door openings", count(figures.door_openings)),
        ("停電（バッテリ運転）", "Times on battery", count(figures.outages)),
        ("停止したサーバー", "Hosts stopped", count(figures.hosts_stopped)),
        (
            "監視装置の起動",
            "Starts of the controller",
            count(figures.controller_starts),
        ),
        ("所見", "Notes", count(figures.notes)),
    ];
    words
        .into_iter()
        .map(|(ja, en, value)| (lang.pick(ja, en), value))
        .collect()
}

/// A page under construction.
struct Page {
    lang: Language,
    html: String,
}

impl Page {
    fn begin(lang: Language, number: &str, class: &str) -> Self {
        let mut page = Self {
            lang,
            html: String::with_capacity(64 << 10),
        };
        let code = lang.pick("ja", "en");
        let _ = write!(
            page.html,
            "<!DOCTYPE html>\n<html lang=\"{code}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>"
        );
        page.text(number);
        page.raw("</title><link rel=\"stylesheet\" href=\"/print/document.css\"></head><body><div class=\"head\"><span>");
        page.text(class_words(lang, class));
        page.raw("</span><span>");
        page.text(lang.pick("文書番号 ", "Document "));
        page.text(number);
        page.raw("</span></div>");
        page
    }

    fn end(mut self, number: &str, class: &str) -> String {
        self.raw("<footer>");
        self.text(class_words(self.lang, class));
        self.raw(" / ");
        self.text(number);
        self.raw(" / 櫓 Yagura</footer></body></html>\n");
        self.html
    }

    fn raw(&mut self, html: &str) {
        self.html.push_str(html);
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                '\'' => self.html.push_str("&#39;"),
                c => self.html.push(c),
            }
        }
    }

    /// The piece of the journal that the document rests on.
    fn proof(&mut self, proof: &Proof) {
        let lang = self.lang;
        let intact = if proof.intact {
            lang.pick("連鎖は途切れていない", "the chain is intact")
        } else {
            lang.pick(
                "連鎖が途切れている：記録が変更された疑い",
                "THE CHAIN IS BROKEN: records may have been changed",
            )
        };
        let rest = match lang {
            Language::Ja => format!(
                "記録 {} から {} まで。{intact}。読めない記録 {} 件、収録外の記録 {} 件。\n\
             直前の連鎖値 {}\n最後の連鎖値 {}\n\
             各記録の連鎖値は SHA-256(前の連鎖値 | 番号 | 時刻 | 内容)。端末や外部に控えた照合値と比べて確かめられます。",
                proof.first_seq, proof.last_seq, proof.unreadable, proof.left_out, proof.before, proof.last
            ),
            Language::En => format!(
                "Records {} to {}; {intact}. {} unreadable, {} left out.\n\
             chain before: {}\nchain at the end: {}\n\
             Each record's hash is SHA-256(hash before | number | times | body); checkpoints that witnesses hold prove it.",
                proof.first_seq, proof.last_seq, proof.unreadable, proof.left_out, proof.before, proof.last
            ),
        };
        self.raw("<p class=\"text proof\">");
        self.text(&rest);
        self.raw("</p>");
    }

    fn heading(&mut self, text: &str) {
        self.raw("<h2>");
        self.text(text);
        self.raw("</h2>");
    }

    /// Where the persons sign.
    fn boxes(&mut self) {
        let names = [
            self.lang.pick("作成", "Prepared"),
            self.lang.pick("確認", "Checked"),
            self.lang.pick("承認", "Approved"),
        ];
        self.raw("<table class=\"boxes\"><tr>");
        for name in names {
            self.raw("<th>");
            self.text(name);
            self.raw("</th>");
        }
        self.raw("</tr><tr><td></td><td></td><td></td></tr></table>");
    }

    fn facts(&mut self, rows: &[(&str, String)]) {
        self.raw("<table><tbody>");
        for (name, value) in rows {
            self.raw("<tr><th>");
            self.text(name);
            self.raw("</th><td>");
            self.text(value);
            self.raw("</td></tr>");
        }
        self.raw("</tbody></table>");
    }

    fn table<const N: usize>(&mut self, heads: [&str; N], rows: &[[String; N]]) {
        self.raw("<table><thead><tr>");
        for head in heads {
            self.raw("<th>");
            self.text(head);
            self.raw("</th>");
        }
        self.raw("</tr></thead><tbody>");
        for row in rows {
            self.raw("<tr>");
            for (at, cell) in row.iter().enumerate() {
                self.raw(if at == 0 { "<td class=\"time\">" } else { "<td>" });
                self.text(cell);
                self.raw("</td>");
            }
            self.raw("</tr>");
        }
        self.raw("</tbody></table>");
    }

    fn alarms(&mut self, alarms: &[AlarmRow]) {
        let lang = self.lang;
        let rows: Vec<[String; 6]> = alarms
            .iter()
            .map(|alarm| {
                let (ja, en) = priority_words(alarm.priority);
                let taken = alarm.acknowledged_ms.map_or_else(
                    || "-".to_owned(),
                    |at| {
                        let by = alarm.acknowledged_by.as_deref().unwrap_or("-");
                        format!("{} {by}", time(lang, at))
                    },
                );
                let returned = alarm.returned_ms.map_or_else(
                    || lang.pick("継続中", "still there").to_owned(),
                    |at| time(lang, at),
                );
                let times = match (alarm.times, lang) {
                    (1, _) => String::new(),
                    (times, Language::Ja) => format!("（{times} 回）"),
                    (times, Language::En) => format!(" ({times} times)"),
                };
                [
                    time(lang, alarm.raised_ms),
                    lang.pick(ja, en).to_owned(),
                    format!(
                        "{}{}{}{times}",
                        lang.of(&alarm.place),
                        lang.pick("：", ": "),
                        lang.of(&alarm.what)
                    ),
                    lang.of(&alarm.action).to_owned(),
                    taken,
                    returned,
                ]
            })
            .collect();
        self.table(
            [
                lang.pick("発生", "Raised"),
                lang.pick("優先度", "Priority"),
                lang.pick("内容", "What"),
                lang.pick("すべきこと", "Action"),
                lang.pick("確認", "Acknowledged"),
                lang.pick("復旧", "Returned"),
            ],
            &rows,
        );
    }

    fn timeline(&mut self, timeline: &Timeline) {
        let lang = self.lang;
        let mut rows: Vec<[String; 4]> = Vec::with_capacity(timeline.lines.len() + 1);
        for line in &timeline.lines {
            rows.push([
                time(lang, line.at_ms),
                topic(lang, line.topic).to_owned(),
                lang.of(&line.text).to_owned(),
                line.by.clone().unwrap_or_default(),
            ]);
            if timeline.omitted_after_seq == Some(line.seq) {
                let text = match lang {
                    Language::Ja => format!("… ここで {} 行を省略（記録にはすべてある）", timeline.omitted),
                    Language::En => format!(
                        "... {} lines left out here; the journal has them",
                        timeline.omitted
                    ),
                };
                rows.push([String::new(), String::new(), text, String::new()]);
            }
        }
        self.table(
            [
                lang.pick("日時", "Time"),
                lang.pick("種別", "About"),
                lang.pick("内容", "What"),
                lang.pick("操作した人", "By"),
            ],
            &rows,
        );
    }
}

/// The class of a document; the document itself keeps the standard's own words, for its hash.
fn class_words(lang: Language, class: &str) -> &str {
    if class == CLASS {
        lang.pick(CLASS, "Importance class II")
    } else {
        class
    }
}

const fn topic(lang: Language, topic: Topic) -> &'static str {
    let (ja, en) = match topic {
        Topic::Alarm => ("警報", "alarm"),
        Topic::Entry => ("入退室", "entry"),
        Topic::Power => ("電源", "power"),
        Topic::Action => ("操作", "action"),
        Topic::Incident => ("事案", "incident"),
        Topic::Node => ("端末", "node"),
        Topic::Controller => ("監視装置", "controller"),
        Topic::Notice => ("通報", "notice"),
    };
    lang.pick(ja, en)
}

/// Japan's time, as people write it.
fn time(lang: Language, at_ms: i64) -> String {
    let Ok(at) = Timestamp::from_millisecond(at_ms) else {
        return "-".to_owned();
    };
    let zone = TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC);
    let at = at.to_zoned(zone);
    match lang {
        Language::Ja => at.strftime("%Y年%-m月%-d日 %H:%M:%S").to_string(),
        Language::En => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    }
}

fn duration(lang: Language, span_ms: i64) -> String {
    let secs = span_ms.max(0) / 1000;
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    match (lang, hours) {
        (Language::Ja, 0) => format!("{minutes}分{secs}秒"),
        (Language::Ja, _) => format!("{hours}時間{minutes}分{secs}秒"),
        (Language::En, 0) => format!("{minutes} min {secs} s"),
        (Language::En, _) => format!("{hours} h {minutes} min {secs} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_cannot_become_markup() {
        let mut page = Page::begin(Language::Ja, "INC-0001-01", "Ⅱ");
        page.text("<script>alert('x')</script> & \"y\"");
        let html = page.end("INC-0001-01", "Ⅱ");
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;"));
    }

    #[test]
    fn the_class_of_a_document_is_told_in_the_language_of_the_page() {
        for (lang, word) in [(Language::Ja, CLASS), (Language::En, "Importance class II")] {
            let html = Page::begin(lang, "INC-0001-01", CLASS).end("INC-0001-01", CLASS);
            assert_eq!(
                html.matches(word).count(),
                2,
                "at the head and at the foot: {html}"
            );
            assert_eq!(html.contains(CLASS), lang == Language::Ja, "{html}");
        }
    }

    #[test]
    fn a_rehearsal_is_printed_with_every_step_and_nothing_of_it_becomes_markup() {
        let document = serde_json::json!({
            "document": "REH-0007", "class": "Ⅱ", "site": { "ja": "部屋", "en": "room" }, "simulated": true,
            "result": {
                "run": 7, "kind": "drill", "host": "db", "by": "<b>山田", "plan_hash": "ab12",
                "began_ms": 1_775_001_903_000_i64, "ended_ms": 1_775_001_953_000_i64, "passed": false,
                "broken_off": null,
                "steps": [
                    { "id": "db", "label": { "ja": "台帳", "en": "ledger" }, "action": "ssh", "state": "failed",
                      "took_s": null, "budget_s": 60.0, "problem": { "ja": "拒否された", "en": "refused" } },
                ],
            },
            "proof": { "first_seq": 2, "last_seq": 5, "before": "00", "last": "ff", "intact": true,
                       "unreadable": 0, "left_out": 0 },
        });
        let document: exercise::Document = serde_json::from_value(document).unwrap();
        let html = rehearsal(&document, Language::Ja);
        for expected in [
            "REH-0007",
            "訓練記録",
            "台帳",
            "拒否された",
            "ab12",
            "2026年4月1日",
            "模擬",
            "記録 2 から 5",
        ] {
            assert!(html.contains(expected), "{expected} is missing:\n{html}");
        }
        assert!(html.contains("&lt;b&gt;山田") && !html.contains("<b>"));
        assert!(rehearsal(&document, Language::En).contains("refused"));
    }

    #[test]
    fn times_are_japans() {
        assert_eq!(time(Language::Ja, 1_775_001_903_000), "2026年4月1日 09:05:03");
        assert_eq!(time(Language::En, 1_775_001_903_000), "2026-04-01 09:05:03");
        assert_eq!(duration(Language::Ja, 312_000), "5分12秒");
    }
}
