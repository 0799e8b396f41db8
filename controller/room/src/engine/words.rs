//! What nodes say in words of the wire, as a person reads it: Japanese beside the English word.

use crate::site::Label;
use shared::wire::{CrashKind, Refusal, UpdateRefusal};

/// Why a frame was refused here, or what shows a second board.
pub(super) fn said(word: &str) -> Label {
    let ja = match word {
        "forged" => "偽造または別の鍵",
        "replayed" => "再送",
        "retained" => "保持されたメッセージ",
        "misdirected" => "宛先違い",
        "foreign_account" => "別の端末の接続",
        "version" => "版が違う",
        "malformed" => "形式が正しくない",
        "uptime" => "稼働時間が食い違う",
        "boot" => "起動回数が食い違う",
        "event" => "事象が食い違う",
        "taken over" => "接続が奪われた",
        other => other,
    };
    Label::new(ja, word)
}

/// Why a node refused a frame of ours.
pub(super) fn downlink(why: Refusal) -> Label {
    let ja = match why {
        Refusal::Forged => "偽造または別の鍵",
        Refusal::Replayed => "再送",
        Refusal::Misdirected => "宛先違い",
        Refusal::Unknown => "不明な指示",
    };
    Label::new(format!("下りの通信: {ja}"), format!("downlink {why:?}"))
}

/// Why a node did not take an image.
pub(super) const fn image(why: UpdateRefusal) -> &'static str {
    match why {
        UpdateRefusal::NotSupported => "更新できない基板",
        UpdateRefusal::Signature => "署名が正しくない",
        UpdateRefusal::Truncated => "途中で切れている",
        UpdateRefusal::Hash => "内容が壊れている",
        UpdateRefusal::Older => "今の版より古い",
        UpdateRefusal::OtherBoard => "別の基板用",
        UpdateRefusal::TooLarge => "大きすぎる",
        UpdateRefusal::Memory => "記憶に書けない",
        UpdateRefusal::NeverReached => "監視装置に届かず戻した",
        UpdateRefusal::Unsigned => "署名がない",
        UpdateRefusal::Interrupted => "中断した",
        UpdateRefusal::Busy => "ほかの更新の途中",
    }
}

/// How a program ended.
pub(super) const fn crash(kind: CrashKind) -> &'static str {
    match kind {
        CrashKind::Panic => "内部の誤り",
        CrashKind::Fault => "不正な命令またはアドレス",
        CrashKind::Hang => "作業の停止",
    }
}
