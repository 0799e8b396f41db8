//! Alarms of parts that fail while everything still works, of uplinks and of groups.

use crate::alarm::Definition;
use crate::redundancy::Kind;
use crate::site::groups::Group;
use crate::site::{Label, Priority};
use crate::time::Millis;

/// A switch-over takes its time; what is over sooner needs nobody.
pub const GROUP_ON_DELAY: Millis = Millis(10_000);
/// Links come and go while a switch restarts.
pub const UPLINK_ON_DELAY: Millis = Millis(5_000);

/// Alarm id of the parts of a kind.
#[must_use]
pub fn parts_id(device: &str, kind: Kind) -> String {
    format!("{device}.{}", kind.word())
}

/// Alarm of the parts of a kind.
#[must_use]
pub fn parts(device: &str, place: Label, kind: Kind) -> Definition {
    let (priority, what, action) = match kind {
        Kind::Supply => (
            Priority::Warning,
            Label::new(
                "電源装置の異常または片系の給電断",
                "A power supply has failed or lost its feed",
            ),
            Label::new(
                "もう一方の電源で動いています。電源ケーブル・PDU・遮断器を確認し、給電があれば電源装置を交換してください。",
                "It runs on what is left. Check the cord, the PDU and the breaker; if there is a feed, replace the supply.",
            ),
        ),
        Kind::Array => (
            Priority::Warning,
            Label::new(
                "ディスクアレイの冗長性なし",
                "A disc array works without redundancy",
            ),
            Label::new(
                "次の 1 台の故障でデータを失います。故障したディスクを交換し、再構築が終わるまで確認してください。",
                "The next failed disc loses data. Replace the failed one and watch until the array is rebuilt.",
            ),
        ),
        Kind::ArrayLost => (
            Priority::Critical,
            Label::new("ディスクアレイが停止", "A disc array has failed"),
            Label::new(
                "電源を切らず、ディスクを抜かずに保守業者へ連絡し、バックアップを確認してください。",
                "Do not switch it off and pull no disc. Call the maintenance contractor and check the backup.",
            ),
        ),
        Kind::CacheBattery => (
            Priority::Advisory,
            Label::new(
                "書き込みキャッシュの電池の異常",
                "The battery of a write cache is bad",
            ),
            Label::new(
                "書き込みが遅くなり、停電で失われるおそれがあります。電池の交換を依頼してください。",
                "Writing is slow, or can be lost with the power. Have the battery replaced.",
            ),
        ),
        Kind::Disc => (
            Priority::Warning,
            Label::new("ディスクの故障または故障予告", "A disc has failed or will"),
            Label::new(
                "位置を確かめて交換を依頼してください。隣のディスクを抜かないでください。",
                "Make sure of its slot and have it replaced. Do not pull its neighbour.",
            ),
        ),
        Kind::Fan => (
            Priority::Warning,
            Label::new("ファンの故障", "A fan has failed"),
            Label::new(
                "吸気口を塞いでいないか見て、ファンの交換を依頼してください。温度の上昇に注意してください。",
                "Look whether the air inlet is free, and have the fan replaced. Watch the temperature.",
            ),
        ),
        Kind::Memory => (
            Priority::Warning,
            Label::new("メモリの故障または故障予告", "A memory module has failed or will"),
            Label::new(
                "次の停止の機会にメモリを交換してください。",
                "Replace the module at the next planned stop.",
            ),
        ),
        Kind::Redundancy => (
            Priority::Warning,
            Label::new(
                "機器の冗長性が失われた",
                "The device says that its redundancy is lost",
            ),
            Label::new(
                "電源・ファン・スタックの接続のうち欠けているものを直してください。次の故障で止まります。",
                "Mend what is missing: a supply, a fan, a cable of the stack. The next failure stops it.",
            ),
        ),
        Kind::Other => (
            Priority::Advisory,
            Label::new("部品の異常", "A part is bad"),
            Label::new(
                "機器の管理画面で内容を確認してください。",
                "See the device's own management page.",
            ),
        ),
    };
    Definition {
        id: parts_id(device, kind),
        priority,
        what,
        place,
        action,
        on_delay: Millis(0),
        off_delay: Millis(0),
        latching: false,
        // One failure, one line: the disc explains the array, the supply the lost redundancy.
        cause: match kind {
            Kind::Array => Some(parts_id(device, Kind::Disc)),
            Kind::Redundancy => Some(parts_id(device, Kind::Supply)),
            _ => None,
        },
    }
}

/// Alarm id of a switch's uplinks.
#[must_use]
pub fn uplink_id(device: &str) -> String {
    format!("{device}.uplink")
}

/// Alarm of a switch's uplinks.
#[must_use]
pub fn uplink(device: &str, place: Label) -> Definition {
    Definition {
        id: uplink_id(device),
        priority: Priority::Warning,
        what: Label::new("上位への回線が切れた", "An uplink is down"),
        place,
        action: Label::new(
            "残りの回線で通信しています。両端の挿し込みとモジュール、相手のスイッチを確認してください。",
            "Traffic takes what is left. Check the plugs and modules at both ends, and the other switch.",
        ),
        on_delay: UPLINK_ON_DELAY,
        off_delay: Millis(0),
        latching: false,
        cause: None,
    }
}

/// What can be wrong with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupTrouble {
    /// It does not do its work.
    Service,
    /// Both halves of a pair say that they serve.
    Both,
    /// It works, and the next failure stops it.
    Redundancy,
    /// It works and bears another failure, but a member is down.
    Reduced,
}

impl GroupTrouble {
    /// Every trouble.
    pub const ALL: [Self; 4] = [Self::Service, Self::Both, Self::Redundancy, Self::Reduced];

    const fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Both => "both",
            Self::Redundancy => "redundancy",
            Self::Reduced => "reduced",
        }
    }
}

/// Alarm id of a group.
#[must_use]
pub fn group_id(group: &str, trouble: GroupTrouble) -> String {
    format!("group.{group}.{}", trouble.word())
}

/// Alarm of a group.
#[must_use]
pub fn group(group: &Group, trouble: GroupTrouble) -> Definition {
    let (priority, what, action) = match trouble {
        GroupTrouble::Service => (
            Priority::Critical,
            Label::new("冗長構成のサービスが停止", "The service of a group is lost"),
            Label::new(
                "どの機器も役目を果たしていません。電源と網を確認し、復旧手順に従って起動してください。",
                "No member does its work. Check power and network, and start them by the recovery procedure.",
            ),
        ),
        GroupTrouble::Both => (
            Priority::Critical,
            Label::new("両系が同時に稼働", "Both halves of a pair serve"),
            Label::new(
                "データが食い違うおそれがあります。勝手に片方を止めず、系統間の接続を確認して保守業者へ連絡してください。",
                "Their data may differ. Do not stop one of them on your own; check the link between them and call the contractor.",
            ),
        ),
        GroupTrouble::Redundancy => (
            Priority::Warning,
            Label::new(
                "冗長性の喪失（サービスは継続）",
                "Redundancy is lost; the service goes on",
            ),
            Label::new(
                "次の故障で止まります。停止している側を復旧してください。",
                "The next failure stops it. Bring the other member back.",
            ),
        ),
        GroupTrouble::Reduced => (
            Priority::Advisory,
            Label::new(
                "構成機器の一部が停止（冗長性あり）",
                "A member is down; still redundant",
            ),
            Label::new("停止している機器を復旧してください。", "Bring the member back."),
        ),
    };
    Definition {
        id: group_id(&group.name, trouble),
        priority,
        what,
        place: group.label.clone(),
        action,
        on_delay: GROUP_ON_DELAY,
        off_delay: Millis(0),
        latching: false,
        cause: match trouble {
            GroupTrouble::Redundancy | GroupTrouble::Reduced => {
                Some(group_id(&group.name, GroupTrouble::Service))
            }
            GroupTrouble::Service | GroupTrouble::Both => None,
        },
    }
}

/// Words for a device that does not answer and has others behind it.
#[must_use]
pub fn with_devices_behind(because: &Label, count: usize) -> Label {
    if count == 0 {
        return because.clone();
    }
    Label::new(
        format!("{}。この先の {count} 台の状態は不明", because.ja),
        format!("{}; {count} devices behind it are unknown", because.en),
    )
}
