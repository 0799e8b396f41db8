//! Shown names of the facts of devices, in both languages.
//!
//! What people look at every day has a name of its own. The others are put together from the
//! words of their NUT name: `input.L2.voltage` is "入力 L2 電圧". A word without a translation
//! stands as it is, so that nothing a device tells is without a name.

use crate::site::Label;

/// Facts that are called otherwise than their words say.
const WHOLE: [(&str, &str, &str); 21] = [
    ("output.source", "出力源", "output source"),
    ("battery.status", "蓄電池の状態", "battery status"),
    ("battery.charge", "充電率", "charge"),
    ("battery.runtime", "残り運転時間", "runtime"),
    ("battery.time_on", "電池運転の経過", "time on battery"),
    ("battery.voltage", "蓄電池電圧", "battery voltage"),
    ("battery.temperature", "蓄電池温度", "battery temperature"),
    ("battery.replace", "蓄電池の交換時期", "battery replacement"),
    ("input.voltage", "入力電圧", "input voltage"),
    ("input.frequency", "入力周波数", "input frequency"),
    ("input.source", "給電している系統", "feed in use"),
    ("output.voltage", "出力電圧", "output voltage"),
    ("output.current", "出力電流", "output current"),
    ("output.frequency", "出力周波数", "output frequency"),
    ("ups.load", "負荷率", "load"),
    ("ups.realpower", "有効電力", "real power"),
    ("ups.power", "皮相電力", "apparent power"),
    ("ups.model", "型名", "model"),
    ("ups.test.result", "自己診断", "self-test"),
    ("ups.calibration", "蓄電池の校正", "calibration"),
    ("system.uptime", "起動からの時間", "uptime"),
];

/// Words of names and what they are in Japanese.
const WORDS: [(&str, &str); 92] = [
    ("a", "A 系"),
    ("absent", "なし"),
    ("air_flow", "風量"),
    ("air_pressure", "気圧"),
    ("airflow", "風量"),
    ("alarm", "警報"),
    ("alarms", "警報"),
    ("ambient", "環境"),
    ("auto_restart", "自動再始動"),
    ("b", "B 系"),
    ("bank", "バンク"),
    ("battery", "蓄電池"),
    ("beeper", "ブザー"),
    ("breaker", "ブレーカ"),
    ("bypass", "バイパス"),
    ("calibration", "校正"),
    ("capacity", "容量"),
    ("charge", "充電率"),
    ("charger", "充電器"),
    ("climate", "空調"),
    ("contact", "接点"),
    ("contacts", "接点"),
    ("controller", "コントローラ"),
    ("cooling", "冷却"),
    ("cord", "電源コード"),
    ("cpu", "CPU"),
    ("current", "電流"),
    ("date", "日付"),
    ("device", "機器"),
    ("dew_point", "露点"),
    ("dewpoint", "露点"),
    ("disk", "ディスク"),
    ("door", "扉"),
    ("energy", "電力量"),
    ("errors", "エラー"),
    ("errors_in", "受信エラー"),
    ("errors_out", "送信エラー"),
    ("external", "外部"),
    ("fan", "ファン"),
    ("fault", "故障"),
    ("fdb", "転送表"),
    ("firmware", "ファームウェア"),
    ("free", "空き"),
    ("frequency", "周波数"),
    ("group", "グループ"),
    ("health", "状態"),
    ("high", "上限"),
    ("host", "ホスト"),
    ("humidity", "湿度"),
    ("id", "識別番号"),
    ("input", "入力"),
    ("internal", "内部"),
    ("leak", "漏水"),
    ("limit", "しきい値"),
    ("load", "負荷率"),
    ("low", "下限"),
    ("maximum", "最大"),
    ("memory", "メモリ"),
    ("mfr", "製造者"),
    ("minimum", "最小"),
    ("model", "型名"),
    ("nominal", "定格"),
    ("octets_in", "受信量"),
    ("octets_out", "送信量"),
    ("outlet", "コンセント"),
    ("output", "出力"),
    ("overload", "過負荷"),
    ("phase", "相"),
    ("port", "ポート"),
    ("power", "電力"),
    ("powerfactor", "力率"),
    ("psu", "電源装置"),
    ("raid", "RAID"),
    ("realpower", "有効電力"),
    ("redundancy", "冗長性"),
    ("runtime", "残り運転時間"),
    ("sensor", "センサー"),
    ("serial", "製造番号"),
    ("size", "容量"),
    ("smoke", "煙"),
    ("source", "電源"),
    ("speed", "速度"),
    ("state", "状態"),
    ("status", "状態"),
    ("storage", "記憶装置"),
    ("system", "装置"),
    ("temperature", "温度"),
    ("test", "試験"),
    ("used", "使用量"),
    ("vibration", "振動"),
    ("voltage", "電圧"),
    ("water", "水"),
];

/// Shown name of a device fact.
#[must_use]
pub fn fact_label(device: &Label, fact: &str) -> Label {
    let (ja, en) = match WHOLE.iter().find(|(name, ..)| *name == fact) {
        Some((_, ja, en)) => ((*ja).to_owned(), (*en).to_owned()),
        None => compose(fact),
    };
    Label::new(format!("{} {ja}", device.ja), format!("{} {en}", device.en))
}

fn compose(fact: &str) -> (String, String) {
    // Where a fact has no name of the standard's, its own words say enough.
    let words = fact.strip_prefix("unmapped.").unwrap_or(fact).split('.');
    let (mut ja, mut en) = (Vec::new(), Vec::new());
    for word in words {
        let known = WORDS.binary_search_by_key(&word, |(name, _)| name);
        ja.push(known.map_or_else(|_| word.replace('_', " "), |at| WORDS[at].1.to_owned()));
        en.push(word.replace('_', " "));
    }
    (ja.join(" "), en.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(fact: &str) -> (String, String) {
        let label = fact_label(&Label::new("機器", "Device"), fact);
        (label.ja, label.en)
    }

    #[test]
    fn names_are_said_in_both_languages() {
        assert_eq!(label("ups.load"), ("機器 負荷率".into(), "Device load".into()));
        assert_eq!(
            label("outlet.12.current"),
            (
                "機器 コンセント 12 電流".into(),
                "Device outlet 12 current".into()
            )
        );
        assert_eq!(
            label("unmapped.dew_point.1"),
            ("機器 露点 1".into(), "Device dew point 1".into())
        );
        assert_eq!(
            label("unmapped.k_factor"),
            ("機器 k factor".into(), "Device k factor".into())
        );
    }

    #[test]
    fn the_words_are_in_order_and_none_is_missing_a_translation() {
        assert!(WORDS.is_sorted_by(|a, b| a.0 < b.0), "found by halving");
        assert!(WORDS.iter().all(|(_, ja)| !ja.is_empty()));
    }
}
