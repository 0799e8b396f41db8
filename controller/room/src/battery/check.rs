//! What must be so before a battery is tested.
//!
//! A test spends charge and, should the battery be bad, drops what hangs on it. So it needs a quiet
//! room, a full and cool battery, mains that is seen at the input (else a real outage could not be
//! told from the test), and other feeds for the hosts unless the site says that it needs none.

use crate::site::Label;

/// Charge below which no test begins, in percent.
pub const FULL: f64 = 95.0;

/// What is seen of the room. `None`: it cannot be read.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// Some UPS lives on its battery, or an outage is not over.
    pub outage: bool,
    /// A run, a drill, a rehearsal or a return is under way.
    pub busy: bool,
    /// A maintenance window covers this UPS: somebody works on it.
    pub maintenance: Option<String>,
    /// Another UPS that feeds the same hosts is being tested.
    pub other_test: Option<String>,
    /// Another UPS that feeds the same hosts is not full itself.
    pub drained_beside: Option<String>,
    /// A test of this one is under way.
    pub own_test: bool,
    /// It answers, and supplies from mains.
    pub on_mains: bool,
    /// Mains is measured at its input.
    pub mains_seen: bool,
    /// Percent.
    pub charge: Option<f64>,
    /// Temperature of its battery in °C, where something measures it: outer `None` is nothing.
    pub celsius: Option<Option<f64>>,
    /// Hottest that is allowed, in °C.
    pub hottest: f64,
    /// Hosts that would not run on without this UPS; empty when that does not matter.
    pub not_redundant: Vec<String>,
}

/// What speaks against a test; `None`: nothing.
#[must_use]
pub fn why_not(room: &Room) -> Option<Label> {
    let say = |ja: &str, en: &str| Some(Label::new(ja, en));
    if room.own_test {
        return say("試験中", "a test of it is under way");
    }
    if room.outage {
        return say(
            "停電中、または復電の確認中",
            "there is an outage, or it is not over yet",
        );
    }
    if room.busy {
        return say(
            "停止・復帰・訓練・予行のいずれかが進行中",
            "a run, a return, a drill or a rehearsal is under way",
        );
    }
    if let Some(window) = &room.maintenance {
        return Some(Label::new(
            format!("保守作業中（{window}）"),
            format!("it is under maintenance ({window})"),
        ));
    }
    if let Some(other) = &room.other_test {
        return Some(Label::new(
            format!("同じサーバーに給電する {other} が試験中"),
            format!("{other}, which feeds the same hosts, is being tested"),
        ));
    }
    if !room.on_mains {
        return say(
            "応答がない、または商用電源で運転していない",
            "it does not answer, or does not supply from mains",
        );
    }
    if !room.mains_seen {
        return say(
            "入力電圧が読めず、試験中の停電を見分けられない",
            "it gives no input voltage, so an outage during the test could not be told from it",
        );
    }
    match room.charge {
        None => return say("充電率が読めない", "its charge cannot be read"),
        Some(charge) if charge < FULL => {
            return Some(Label::new(
                format!("充電 {charge:.0} %（{FULL:.0} % 以上必要）"),
                format!("its charge is {charge:.0} %, it needs {FULL:.0} %"),
            ));
        }
        Some(_) => {}
    }
    if let Some(other) = &room.drained_beside {
        return Some(Label::new(
            format!("同じサーバーに給電する {other} の充電が {FULL:.0} % に満たない"),
            format!("{other}, which feeds the same hosts, is not charged to {FULL:.0} %"),
        ));
    }
    match room.celsius {
        Some(None) => {
            return say(
                "電池の温度が読めない",
                "the temperature of its battery cannot be read",
            );
        }
        Some(Some(celsius)) if celsius > room.hottest => {
            let hottest = room.hottest;
            return Some(Label::new(
                format!("電池が {celsius:.1} ℃（上限 {hottest:.1} ℃）"),
                format!("its battery has {celsius:.1} °C, at most {hottest:.1} °C are allowed"),
            ));
        }
        _ => {}
    }
    if !room.not_redundant.is_empty() {
        let hosts = room.not_redundant.join(", ");
        return Some(Label::new(
            format!("この UPS がないと動かないサーバーがある: {hosts}"),
            format!("hosts that would not run without it: {hosts}"),
        ));
    }
    None
}
