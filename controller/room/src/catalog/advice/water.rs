//! Alarms of water: leaks and the ropes that find them.

use super::{Advice, Class, Owner, Priority, Text, hours, minutes};

const CLASS: Class = Class::Water;

pub(in crate::catalog) const LEAK: Advice = Advice {
    word: "leak",
    class: CLASS,
    priority: Priority::Critical,
    latching: true,
    what: Text::new("漏水を検知", "Water detected"),
    cause: Text::new(
        "空調の排水詰まり、配管の破損、上階や屋根からの水が考えられます。",
        "A drain of the air conditioner is blocked, a pipe broke, or water comes from above.",
    ),
    consequence: Text::new(
        "床下の電源に水が届くと、感電や室内全体の停電につながります。",
        "When water reaches the power under the floor, people are in danger and the whole room may lose power.",
    ),
    action: Text::new(
        "空調の排水と天井を確認し、水を止めてください。機器の下が濡れていれば設備業者へ連絡してください。",
        "Check the air conditioner's drain and the ceiling and stop the water; if it is wet under equipment, call the contractor.",
    ),
    respond_within: minutes(10),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const LEAK_ROPE_BROKEN: Advice = Advice {
    word: "leak_rope_broken",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("漏水検知線の断線または短絡", "Leak rope cut or shorted"),
    cause: Text::new(
        "床下作業での切断や踏みつぶし、コネクターの抜け、線全体の水没が考えられます。",
        "It was cut or crushed by work under the floor, its plug came off, or all of it lies in water.",
    ),
    consequence: Text::new(
        "直るまで、水が漏れてもこの場所では分かりません。",
        "Until it is mended, water is not noticed here.",
    ),
    action: Text::new(
        "まず水がないことを目で確認してください。次に検知線とコネクターを直してください。",
        "First look yourself that there is no water. Then mend the rope and its plug.",
    ),
    respond_within: hours(4),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const DRAIN_PUMP: Advice = Advice {
    word: "drain_pump",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("排水ポンプの異常", "Drain pump fault"),
    cause: Text::new(
        "ポンプの故障、電源断、または排水管の詰まりです。",
        "The pump is faulty or without power, or the drain is blocked.",
    ),
    consequence: Text::new(
        "空調の水があふれ、床下が水浸しになります。",
        "The air conditioner's water overflows and floods the floor.",
    ),
    action: Text::new(
        "受け皿の水位を確認し、あふれそうなら空調を止めて水を汲み出し、空調の保守業者へ連絡してください。",
        "Look at the level in the tray. If it is about to overflow, stop that air conditioner, empty the tray, and call its contractor.",
    ),
    respond_within: minutes(30),
    owner: Owner::Facilities,
};
