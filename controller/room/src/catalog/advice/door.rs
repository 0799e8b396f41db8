//! Doors and the people who pass them.

use super::{Advice, Class, Owner, Priority, Text, minutes};

const CLASS: Class = Class::Door;

pub(in crate::catalog) const DOOR_FORCED: Advice = Advice {
    word: "door_forced",
    class: CLASS,
    priority: Priority::Critical,
    latching: true,
    what: Text::new("扉のこじ開け（許可のない開放）", "Door opened without a grant"),
    cause: Text::new(
        "許可なく扉が開けられました。鍵での解錠や、閉まりきらない扉のこともあります。",
        "The door was opened though nobody was let in: by force, by key, or because it had not closed.",
    ),
    consequence: Text::new(
        "部外者が室内にいるおそれがあります。",
        "A stranger may be in the room.",
    ),
    action: Text::new(
        "現地またはカメラで入室者を確認し、情報システム管理者へ連絡してください。",
        "Check who entered, on site or by camera, and call the system administrator.",
    ),
    respond_within: minutes(5),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const DOOR_HELD: Advice = Advice {
    word: "door_held",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("扉の開放放置", "Door held open"),
    cause: Text::new(
        "扉が閉め忘れられているか、物が挟まっています。",
        "It was left open, or something holds it.",
    ),
    consequence: Text::new(
        "だれでも記録なしに入れます。空調も効きません。",
        "Anybody can enter unrecorded, and the cooling does not work.",
    ),
    action: Text::new(
        "扉を閉めてください。搬入出の作業中なら立会者を確認してください。",
        "Close the door. If something is being carried in or out, check that somebody attends.",
    ),
    respond_within: minutes(3),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const DENIED_REPEATEDLY: Advice = Advice {
    word: "denied_repeatedly",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("入室の拒否が続いている", "Entry was denied again and again"),
    cause: Text::new(
        "期限切れや権限のないカード、または他人のカードを試している人がいます。",
        "Somebody tries a card that has expired, is not allowed here, or is not his or hers.",
    ),
    consequence: Text::new(
        "不正な入室の試みであれば、次の手段を取られます。",
        "If it is an attempt to break in, the next means follows.",
    ),
    action: Text::new(
        "扉の前の人を確認してください。職員ならカードの権限を、心当たりがなければ情報セキュリティ管理者へ連絡してください。",
        "See who stands at the door. For staff, check the rights of the card; if it is a stranger, call the security manager.",
    ),
    respond_within: minutes(5),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const TAMPER: Advice = Advice {
    word: "tamper",
    class: CLASS,
    priority: Priority::Critical,
    latching: true,
    what: Text::new("カードリーダーまたは箱が開けられた", "Reader or enclosure opened"),
    cause: Text::new(
        "工事や点検、または装置への不正な手出しです。",
        "Work, an inspection, or somebody meddles with it.",
    ),
    consequence: Text::new(
        "扉の制御や記録を細工されるおそれがあります。",
        "The control of the door or its records may be manipulated.",
    ),
    action: Text::new(
        "現地を確認し、作業予定がなければ情報システム管理者へ連絡してください。",
        "Check on site; if no work is planned, call the system administrator.",
    ),
    respond_within: minutes(5),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const CARD_ANOMALY: Advice = Advice {
    word: "card_anomaly",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "カードの使われ方がおかしい",
        "A card is used in a way that cannot be right",
    ),
    cause: Text::new(
        "同じカードが続けて入室した、離れた扉で続けて使われた、または紛失届のカードが使われました。",
        "One card entered twice, was used at two places at once, or was reported lost.",
    ),
    consequence: Text::new(
        "カードの貸し借り、共連れ、または複製のおそれがあります。",
        "A card may have been lent, followed through or copied.",
    ),
    action: Text::new(
        "カードの持ち主に確認し、本人でなければカードを停止してください。",
        "Ask its holder; if it was somebody else, suspend the card.",
    ),
    respond_within: minutes(30),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const CARD_OVERDUE: Advice = Advice {
    word: "card_overdue",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new("貸出カードが返却されていない", "A lent card was not given back"),
    cause: Text::new(
        "返却期限を過ぎたカードがあります。カードは自動で停止しています。",
        "The day on which a lent card was due is over. The card is stopped by itself.",
    ),
    consequence: Text::new(
        "カードの所在が分からないままになり、紛失に気付くのが遅れます。",
        "Nobody knows where the card is, and its loss is noticed late.",
    ),
    action: Text::new(
        "借りた人に返却を求めてください。返却は card return、使い続けるなら返却後に card lend、見つからなければ card lost で登録します。",
        "Ask whoever has it. Record `card return`, then `card lend` if it is still needed; if it cannot be found, `card lost`.",
    ),
    respond_within: minutes(480),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const VISITOR_ALONE: Advice = Advice {
    word: "visitor_alone",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("来訪者に立会者がいない", "A visitor is alone in the room"),
    cause: Text::new(
        "立会者が先に退室したか、立会なしで入室しました。",
        "The attendant left first, or nobody went in with the visitor.",
    ),
    consequence: Text::new(
        "部外者が見張りなしで主要機器に触れられます。",
        "An outsider can touch core equipment unwatched.",
    ),
    action: Text::new(
        "すぐに立会者を室内へ向かわせてください。",
        "Send an attendant to the room now.",
    ),
    respond_within: minutes(5),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const CARRY_IN_UNATTENDED: Advice = Advice {
    word: "carry_in_unattended",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("搬入出に立会者がいない", "Nobody attends a carry-in"),
    cause: Text::new(
        "搬入出の予定時刻に立会者の入室がありません。",
        "It is time for the carry-in, and no attendant has entered.",
    ),
    consequence: Text::new(
        "確認されない機器が持ち込まれる、または持ち出されるおそれがあります。",
        "Equipment may come in or go out unseen.",
    ),
    action: Text::new(
        "立会者に連絡し、来るまで搬入出を待たせてください。",
        "Call the attendant, and let the carriers wait until he or she is there.",
    ),
    respond_within: minutes(10),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const READER_FAULT: Advice = Advice {
    word: "reader_fault",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("カードリーダーが使えない", "Card reader does not work"),
    cause: Text::new(
        "リーダーの故障、配線の抜け、または別の機器との取り違えです。",
        "The reader is faulty, its wiring came off, or another one was put in its place.",
    ),
    consequence: Text::new(
        "カードで入室できません。退室には影響しません。",
        "Nobody can enter by card. Leaving is not affected.",
    ),
    action: Text::new(
        "鍵で入室を管理し、カードリーダーの電源と配線を確認してください。",
        "Control entry by key, and check the reader's power and wiring.",
    ),
    respond_within: minutes(30),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const DOOR_UNLOCKED: Advice = Advice {
    word: "door_unlocked",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("扉は閉じているが施錠されていない", "Door closed but not locked"),
    cause: Text::new(
        "ストライクに物が挟まっているか、錠が故障しています。",
        "Something is stuck in the strike, or the lock is faulty.",
    ),
    consequence: Text::new(
        "押すだけで、だれでも記録なしに入れます。",
        "Anybody can push it open and enter unrecorded.",
    ),
    action: Text::new(
        "扉を押して施錠を確認し、ストライクに物が挟まっていないか見てください。",
        "Push the door and check that it locks; look for something stuck in the strike.",
    ),
    respond_within: minutes(10),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const WINDOW_OPEN: Advice = Advice {
    word: "window_open",
    class: CLASS,
    priority: Priority::Warning,
    latching: true,
    what: Text::new("窓が開いている", "Window open"),
    cause: Text::new(
        "閉め忘れ、または外からの侵入です。",
        "It was left open, or somebody comes in.",
    ),
    consequence: Text::new(
        "侵入、雨水、湿った外気の入り口になります。",
        "People, rain and moist air can come in.",
    ),
    action: Text::new(
        "室内を確認し、窓を閉めて施錠してください。心当たりがなければ情報システム管理者へ連絡してください。",
        "Check the room, close and lock the window; if nobody knows why it was open, call the system administrator.",
    ),
    respond_within: minutes(10),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const RACK_OPEN: Advice = Advice {
    word: "rack_open",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new("ラックの扉が開いたまま", "Rack door left open"),
    cause: Text::new("作業後に閉め忘れられています。", "It was left open after work."),
    consequence: Text::new(
        "機器に触れられる状態で、冷気の流れも乱れます。",
        "Anybody can touch the machines, and the cold air goes astray.",
    ),
    action: Text::new(
        "作業が終わっていれば扉を閉めて施錠してください。",
        "If the work is done, close and lock it.",
    ),
    respond_within: minutes(30),
    owner: Owner::Facilities,
};
