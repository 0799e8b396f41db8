//! Fire and what puts it out. These relays are auxiliary: they never replace the fire panel.

use super::{Advice, Class, Owner, Priority, Text, minutes};

const CLASS: Class = Class::Fire;

pub(in crate::catalog) const SMOKE: Advice = Advice {
    word: "smoke",
    class: CLASS,
    priority: Priority::Critical,
    latching: true,
    what: Text::new("煙感知器の移報", "Smoke relay"),
    cause: Text::new(
        "火災、機器や配線の過熱、または作業のほこりです。",
        "Fire, overheated equipment or wiring, or dust from work.",
    ),
    consequence: Text::new(
        "人命に関わります。燃え広がると室内のすべてを失います。",
        "Lives are in danger; a fire that spreads takes everything in the room.",
    ),
    action: Text::new(
        "自動火災報知設備を確認し、火災なら119番へ通報して避難してください。",
        "Check the fire panel; if there is fire, call the fire brigade and leave.",
    ),
    respond_within: minutes(1),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const FIRE_PANEL: Advice = Advice {
    word: "fire_panel",
    class: CLASS,
    priority: Priority::Critical,
    latching: true,
    what: Text::new("自動火災報知設備の移報", "Relay of the fire panel"),
    cause: Text::new(
        "庁舎の自動火災報知設備が作動しました。",
        "The building's fire alarm system has gone off.",
    ),
    consequence: Text::new(
        "人命に関わります。消火剤が放出される区画では窒息のおそれもあります。",
        "Lives are in danger; where an extinguishing agent is released, one may also suffocate.",
    ),
    action: Text::new(
        "受信機の表示を確認し、火災なら119番へ通報して避難してください。誤報でも受信機の復旧は防災担当が行います。",
        "Read the fire panel; if there is fire, call the fire brigade and leave. Also a false alarm is reset at the panel by fire-safety staff.",
    ),
    respond_within: minutes(1),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const AGENT_LOW: Advice = Advice {
    word: "agent_low",
    class: CLASS,
    priority: Priority::Critical,
    latching: true,
    what: Text::new(
        "消火剤の圧力低下または放出",
        "Extinguishing agent low or released",
    ),
    cause: Text::new(
        "容器からの漏れ、または消火剤の放出です。",
        "The cylinder leaks, or the agent was released.",
    ),
    consequence: Text::new(
        "放出後の室内は酸素が薄く危険です。漏れであれば火災時に消火できません。",
        "After a release the air in the room is dangerous. If it leaks, a fire cannot be put out.",
    ),
    action: Text::new(
        "放出の有無を外から確認してください。放出なら入室せず換気し、そうでなければ消防設備業者へ点検を依頼してください。",
        "Look from outside whether it was released. If so, do not enter and ventilate; if not, have the fire-equipment contractor check the cylinder.",
    ),
    respond_within: minutes(10),
    owner: Owner::Facilities,
};
