//! Alarms of a sensor node as a whole.

use crate::alarm::Definition;
use crate::site::{Label, Node, Priority};
use crate::time::Millis;

/// A node that has not taken its access list for so long needs a person.
pub const LIST_PATIENCE: Millis = Millis(600_000);
/// A node that has not changed its key for so long after it was told needs a person.
pub const ROTATION_PATIENCE: Millis = Millis(600_000);

/// What can be wrong with a node as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeTrouble {
    /// Nothing authentic heard.
    Silent,
    /// The controller has no key of it, so that nothing it says can be proven.
    NoKey,
    /// Frames refused in its name.
    Refused,
    /// Events missing or lost.
    Missing,
    /// Another board says that it is this node.
    Twin,
    /// Its program ended badly and was started again.
    Crashed,
    /// It crashed again and again and watches nothing any more.
    SafeMode,
    /// It does not take the access list.
    List,
    /// Its access list was not confirmed for too long.
    ListStale,
    /// It does not take its new key.
    Key,
    /// It did not take a new firmware.
    Update,
}

impl NodeTrouble {
    /// Every trouble.
    pub const ALL: [Self; 11] = [
        Self::Silent,
        Self::NoKey,
        Self::Refused,
        Self::Missing,
        Self::Twin,
        Self::Crashed,
        Self::SafeMode,
        Self::List,
        Self::ListStale,
        Self::Key,
        Self::Update,
    ];

    /// True for what has no end of its own: its alarm holds for a while and then returns.
    #[must_use]
    pub const fn is_occurrence(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Missing | Self::Twin | Self::Crashed | Self::Update
        )
    }
}

/// Alarm id of a node.
#[must_use]
pub fn node_id(node: &str, trouble: NodeTrouble) -> String {
    let word = match trouble {
        NodeTrouble::Silent => "silent",
        NodeTrouble::NoKey => "no_key",
        NodeTrouble::Refused => "refused",
        NodeTrouble::Missing => "missing",
        NodeTrouble::Twin => "twin",
        NodeTrouble::Crashed => "crashed",
        NodeTrouble::SafeMode => "safe_mode",
        NodeTrouble::List => "list",
        NodeTrouble::ListStale => "list_stale",
        NodeTrouble::Key => "key",
        NodeTrouble::Update => "update",
    };
    format!("{node}.{word}")
}

/// Alarm of a node as a whole.
#[must_use]
pub fn node(node: &Node, trouble: NodeTrouble) -> Definition {
    let (priority, what, action) = words(trouble);
    Definition {
        id: node_id(&node.name, trouble),
        priority,
        what,
        place: node.label.clone(),
        action,
        on_delay: match trouble {
            NodeTrouble::List => LIST_PATIENCE,
            NodeTrouble::Key => ROTATION_PATIENCE,
            _ => Millis(0),
        },
        off_delay: Millis(0),
        latching: matches!(
            trouble,
            NodeTrouble::Refused | NodeTrouble::Missing | NodeTrouble::Twin
        ),
        cause: matches!(trouble, NodeTrouble::List | NodeTrouble::Key)
            .then(|| node_id(&node.name, NodeTrouble::Silent)),
    }
}

fn words(trouble: NodeTrouble) -> (Priority, Label, Label) {
    match trouble {
        NodeTrouble::Silent => (
            Priority::Critical,
            Label::new("センサー端末が応答しない", "Sensor node silent"),
            Label::new(
                "端末の電源と網を確認してください。この端末の扉・漏水・温度は監視されていません。",
                "Check the node's power and network. Its door, water and temperature are not watched.",
            ),
        ),
        NodeTrouble::NoKey => (
            Priority::Critical,
            Label::new(
                "端末の鍵がない、または読めない",
                "The key of a node is missing or cannot be read",
            ),
            Label::new(
                "この端末の扉・漏水・温度は監視されていません。端末を初期設定し直すか、鍵ファイルを戻すか、site.toml から外し、監視装置を再起動してください。",
                "Its door, water and temperature are not watched. Provision the node again, put its key file back, or take it out of site.toml; then start the controller again.",
            ),
        ),
        NodeTrouble::Refused => (
            Priority::Critical,
            Label::new(
                "偽造または再送の疑いがある通信を拒否",
                "Forged or replayed frames refused",
            ),
            Label::new(
                "監視網に許可のない機器がないか確認し、情報システム管理者へ連絡してください。",
                "Look for a foreign device in the monitoring network and call the system administrator.",
            ),
        ),
        NodeTrouble::Missing => (
            Priority::Warning,
            Label::new("端末の記録に欠落がある", "Events of a node are missing"),
            Label::new(
                "欠落した時間帯の入退室を別の記録（カメラ等）で確認し、所見を残してください。",
                "Check the missing period by other means (camera) and note what you found.",
            ),
        ),
        NodeTrouble::Twin => (
            Priority::Critical,
            Label::new(
                "同じ端末番号と鍵を持つ端末が二台ある",
                "Two nodes with one identity",
            ),
            Label::new(
                "どちらが本来の端末かを確認し、もう一方の電源を切って設定し直し、残した端末の電源を入れ直してください。それまでどちらの事象も端末に残ります。心当たりがなければ複製の疑いとして情報システム管理者へ連絡してください。",
                "Find out which is the right one, switch the other off and provision it anew, then power-cycle the one that stays. Until then both keep their events. If nobody knows of a second one, it may be a copy: call the system administrator.",
            ),
        ),
        NodeTrouble::Crashed => (
            Priority::Warning,
            Label::new("端末のプログラムが異常終了した", "A node crashed and restarted"),
            Label::new(
                "監視は再開しています。繰り返すときは記録を保存して保守業者へ渡してください。",
                "It watches again. If this repeats, save the records and give them to the maintainer.",
            ),
        ),
        NodeTrouble::SafeMode => (
            Priority::Critical,
            Label::new(
                "端末が安全モードで何も監視していない",
                "Node in safe mode watches nothing",
            ),
            Label::new(
                "この端末の扉・漏水・温度は監視されていません。現地で見張りを立て、端末を再起動し、直らなければ交換してください。",
                "Its door, water and temperature are not watched: have somebody look after them, restart the node, and replace it if that does not help.",
            ),
        ),
        NodeTrouble::List => (
            Priority::Warning,
            Label::new(
                "入室許可一覧を端末が受け取らない",
                "A node does not take the access list",
            ),
            Label::new(
                "紛失停止などの変更がこの扉に効いていません。端末の状態を確認し、急ぐときは現地で入室を管理してください。",
                "Changes such as a suspended card have no effect at this door. Check the node; if it is urgent, control the door on site.",
            ),
        ),
        NodeTrouble::ListStale => (
            Priority::Warning,
            Label::new("入室許可一覧が古い", "The access list is old"),
            Label::new(
                "端末は古い一覧のまま判断を続けています。監視装置との通信と端末の時計を確認してください。",
                "The node goes on deciding by an old list. Check its connection to the controller and its clock.",
            ),
        ),
        NodeTrouble::Key => (
            Priority::Warning,
            Label::new("端末の鍵の更新が終わらない", "A node does not change its key"),
            Label::new(
                "端末は古い鍵のまま動いています。通信を確認し、続くときは端末を設定し直してください。",
                "It works on with the old key. Check its connection; if this lasts, provision the node anew.",
            ),
        ),
        NodeTrouble::Update => (
            Priority::Warning,
            Label::new(
                "端末が新しいファームウェアを受け付けなかった",
                "A node did not take a new firmware",
            ),
            Label::new(
                "端末は前の版で動いています。理由を確認し、正しい版を配り直してください。",
                "It works on with the version before. Read the reason and send the right image.",
            ),
        ),
    }
}
