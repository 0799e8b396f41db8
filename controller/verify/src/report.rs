//! What was found, in the three verdicts, for people (Japanese and English) and for machines.

use crate::forms::{japan_time, to_hex};
use crate::json::quoted;
use crate::words::{Words, of};
use std::fmt::Write as _;

/// Findings of a verdict that are printed; the others are counted.
pub const MAX_SHOWN: usize = 20;

/// The answer of one verdict. Doubt is never good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Everything that was asked holds.
    Good,
    /// Something that would be needed is not there.
    CannotTell,
    /// Something is wrong.
    Bad,
}

/// How a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Worth reading, changes nothing.
    Remark,
    /// Makes the verdict at best "cannot tell".
    Doubt,
    /// Makes the verdict bad.
    Bad,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, as a word; [`crate::words`] has the sentence.
    pub code: &'static str,
    /// Its weight.
    pub weight: Weight,
    /// The leaf concerned.
    pub leaf: Option<u64>,
    /// Names and numbers, in no language.
    pub detail: String,
}

/// One of the three verdicts.
#[derive(Debug, Default)]
pub struct Verdict {
    bad: Vec<Finding>,
    doubts: Vec<Finding>,
    remarks: Vec<Finding>,
    counts: [u64; 3],
}

impl Verdict {
    /// Notes a finding; `detail` is only made for those that are shown.
    pub fn found(
        &mut self,
        weight: Weight,
        code: &'static str,
        leaf: Option<u64>,
        detail: impl FnOnce() -> String,
    ) {
        let (list, count) = match weight {
            Weight::Bad => (&mut self.bad, &mut self.counts[0]),
            Weight::Doubt => (&mut self.doubts, &mut self.counts[1]),
            Weight::Remark => (&mut self.remarks, &mut self.counts[2]),
        };
        *count += 1;
        if list.len() < MAX_SHOWN {
            let detail = detail();
            list.push(Finding {
                code,
                weight,
                leaf,
                detail,
            });
        }
    }

    /// Something is wrong.
    pub fn bad(&mut self, code: &'static str, leaf: Option<u64>, detail: impl FnOnce() -> String) {
        self.found(Weight::Bad, code, leaf, detail);
    }

    /// Something that would be needed is not there.
    pub fn doubt(&mut self, code: &'static str, leaf: Option<u64>, detail: impl FnOnce() -> String) {
        self.found(Weight::Doubt, code, leaf, detail);
    }

    /// Worth reading.
    pub fn remark(&mut self, code: &'static str, leaf: Option<u64>, detail: impl FnOnce() -> String) {
        self.found(Weight::Remark, code, leaf, detail);
    }

    /// The answer.
    pub fn answer(&self) -> Answer {
        match (self.bad.is_empty(), self.doubts.is_empty()) {
            (false, _) => Answer::Bad,
            (true, false) => Answer::CannotTell,
            (true, true) => Answer::Good,
        }
    }

    /// What is shown, the heaviest first.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.bad.iter().chain(&self.doubts).chain(&self.remarks)
    }

    /// How many findings are not shown, by weight: bad, doubts, remarks.
    pub fn more(&self) -> [u64; 3] {
        let lengths = [self.bad.len(), self.doubts.len(), self.remarks.len()];
        std::array::from_fn(|at| self.counts[at] - lengths[at] as u64)
    }
}

/// Everything.
#[derive(Debug, Default)]
pub struct Report {
    /// The log that was checked, if it says which.
    pub origin: String,
    /// Leaves that were read.
    pub size: u64,
    /// The root of their tree.
    pub root: [u8; 32],
    /// 改ざんなし
    pub integrity: Verdict,
    /// 欠落なし; none where it is not asked (a single row).
    pub completeness: Option<Verdict>,
    /// 外部照合; none where it is not asked (a single row without witnesses).
    pub witnesses: Option<Verdict>,
}

impl Report {
    /// The verdicts that were asked for, with their names.
    pub fn verdicts(&self) -> impl Iterator<Item = (&'static str, &'static str, &Verdict)> {
        let completeness = self
            .completeness
            .as_ref()
            .map(|verdict| ("completeness", "欠落なし", verdict));
        let witnesses = self
            .witnesses
            .as_ref()
            .map(|verdict| ("witnesses", "外部照合", verdict));
        std::iter::once(("integrity", "改ざんなし", &self.integrity))
            .chain(completeness)
            .chain(witnesses)
    }

    /// 0 good, 1 bad, 2 cannot tell.
    pub fn exit_code(&self) -> u8 {
        match self.verdicts().map(|(_, _, verdict)| verdict.answer()).max() {
            Some(Answer::Good) => 0,
            Some(Answer::Bad) => 1,
            Some(Answer::CannotTell) | None => 2,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{}  {} 件 leaves  {}",
            self.origin,
            self.size,
            to_hex(&self.root)
        );
        for (at, (name, ja, verdict)) in self.verdicts().enumerate() {
            let (answer_ja, answer) = match verdict.answer() {
                Answer::Good => ("良", "GOOD"),
                Answer::CannotTell => ("判定できない（良ではない）", "CANNOT TELL (not good)"),
                Answer::Bad => ("不良", "BAD"),
            };
            let _ = writeln!(out, "\n{}. {ja}: {answer_ja}  /  {name}: {answer}", at + 1);
            for finding in verdict.findings() {
                let Words { ja, en } = of(finding.code);
                let mark = match finding.weight {
                    Weight::Bad => '×',
                    Weight::Doubt => '?',
                    Weight::Remark => '-',
                };
                let place = finding.leaf.map(|leaf| format!("[{leaf}] ")).unwrap_or_default();
                let gap = if finding.detail.is_empty() { "" } else { ": " };
                let _ = writeln!(
                    out,
                    "   {mark} {place}{ja} / {en}{gap}{}",
                    printable(&finding.detail)
                );
            }
            let more: u64 = verdict.more().iter().sum();
            if more > 0 {
                let _ = writeln!(out, "   … ほか {more} 件 / and {more} more");
            }
        }
        let (ja, en) = match self.exit_code() {
            0 => ("良", "GOOD"),
            1 => ("不良", "BAD"),
            _ => ("判定できない（良ではない）", "CANNOT TELL (not good)"),
        };
        let _ = writeln!(out, "\n総合: {ja}  /  all: {en}");
        out
    }

    /// For machines.
    pub fn json(&self) -> String {
        let mut verdicts = Vec::new();
        for (name, _, verdict) in self.verdicts() {
            let answer = match verdict.answer() {
                Answer::Good => "good",
                Answer::CannotTell => "cannot tell",
                Answer::Bad => "bad",
            };
            let findings: Vec<String> = verdict.findings().map(finding_json).collect();
            let [bad, doubts, remarks] = verdict.more();
            verdicts.push(format!(
                "\"{name}\":{{\"answer\":\"{answer}\",\"findings\":[{}],\"more\":{{\"bad\":{bad},\"doubt\":{doubts},\"remark\":{remarks}}}}}",
                findings.join(",")
            ));
        }
        format!(
            "{{\"exit\":{},\"origin\":{},\"root\":\"{}\",\"size\":{},\"verdicts\":{{{}}}}}",
            self.exit_code(),
            quoted(&self.origin),
            to_hex(&self.root),
            self.size,
            verdicts.join(",")
        )
    }
}

fn finding_json(finding: &Finding) -> String {
    let Words { ja, en } = of(finding.code);
    let weight = match finding.weight {
        Weight::Bad => "bad",
        Weight::Doubt => "doubt",
        Weight::Remark => "remark",
    };
    let leaf = finding
        .leaf
        .map(|leaf| format!("\"leaf\":{leaf},"))
        .unwrap_or_default();
    format!(
        "{{\"code\":\"{}\",\"detail\":{},\"en\":{},\"ja\":{},{leaf}\"weight\":\"{weight}\"}}",
        finding.code,
        quoted(&finding.detail),
        quoted(en),
        quoted(ja)
    )
}

/// Names from an export are not trusted: nothing of them may steer the terminal or turn the line round.
fn printable(text: &str) -> String {
    let steers = |character: char| {
        character.is_control()
            || matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|character| if steers(character) { '\u{fffd}' } else { character })
        .take(300)
        .collect()
}

/// A moment for people, in Japan's time.
pub fn moment(ms: i64) -> String {
    format!("{} JST", japan_time(ms))
}
