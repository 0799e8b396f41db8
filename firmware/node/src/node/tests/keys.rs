//! Rotation of the key, and taking the node out of service.

use super::*;

const SALT: [u8; 16] = [9; 16];

fn rotated(by: u8) -> Down {
    Down::Rotate {
        key_id: by,
        salt: SALT,
    }
}

#[test]
fn a_rotated_key_seals_old_events_too_and_the_old_key_is_gone_with_the_first_new_frame() {
    let mut rig = Rig::new();
    rig.door(true);
    rig.down(&rotated(2));
    let old = core::mem::replace(&mut rig.key, (2, ours().device_key().rotated(&SALT)));
    // `events` proves every tag with the new key.
    assert_eq!(
        rig.bodies(),
        [
            hello(ResetCause::PowerOn),
            DOOR_OPEN,
            Up::Key(KeyEvent::Rotated { key_id: 2 }),
        ]
    );
    // The controller may not have heard of it: its old key still counts.
    let new = core::mem::replace(&mut rig.key, old.clone());
    rig.down(&Down::Ack { upto: 1 });
    assert_eq!(rig.node.pending(), 2);
    // Now it uses the new one.
    rig.key = new.clone();
    rig.down(&Down::Ack { upto: 2 });
    assert_eq!(rig.node.pending(), 1);
    rig.key = old;
    rig.down(&Down::Ack { upto: 3 });
    assert_eq!(rig.node.pending(), 2, "refused, and that is an event");
    rig.node.tick(rig.now_ms);
    assert!(
        !rig.chip.bytes().windows(32).any(|bytes| bytes == [5; 32]),
        "nor can it be read out"
    );
    rig.key = new;
    rig.restart(POWER_ON);
    assert!(rig.bodies().contains(&hello(ResetCause::PowerOn)));
}

#[test]
fn a_repeated_rotation_changes_nothing() {
    let mut rig = Rig::new();
    rig.down(&rotated(2));
    rig.down(&rotated(2));
    // Not even when it names another key: who sends it has not heard of the first.
    rig.down(&rotated(3));
    rig.key = (2, ours().device_key().rotated(&SALT));
    rig.down(&rotated(2));
    let told = rig.bodies();
    let rotations = told.iter().filter(|body| matches!(body, Up::Key(_))).count();
    assert_eq!(rotations, 1);
}

#[test]
fn after_a_rotation_the_old_key_acknowledges_and_asks_but_orders_nothing() {
    let mut rig = Rig::new();
    rig.down(&rotated(2));
    let seal_with_old = rig.key.clone();
    let new = (2, ours().device_key().rotated(&SALT));
    let head = ListHead {
        version: 9,
        count: 0,
        utc_offset_min: 540,
        unset_clock: UnsetClock::AllowAndFlag,
        stale_after_days: 0,
        holidays: heapless::Vec::new(),
    };
    for (order, refused) in [
        (Down::Erase, 1),
        (Down::Restart, 2),
        (Down::ListBegin(head), 3),
        (Down::ListConfirm { version: 1 }, 4),
        (
            Down::Checkpoint {
                size: 1,
                root: [1; 32],
            },
            5,
        ),
        (Down::UpdateEnd, 6),
        (Down::SetTime, 6),
        (Down::Report, 6),
        (rotated(3), 6),
        (Down::Ack { upto: 1 }, 6),
    ] {
        rig.key = seal_with_old.clone();
        rig.down(&order);
        assert_eq!(rig.node.refusals.total, refused, "{order:?}");
    }
    assert!(!rig.node.erasing.is_on());
    assert_eq!(rig.node.restart_at_ms, None);
    rig.key = new;
    rig.down(&Down::Restart);
    assert!(rig.node.restart_at_ms.is_some(), "the new key does");
}

#[test]
fn power_may_fail_at_every_byte_of_a_rotation_and_the_node_is_heard() {
    let old = (1, ours().device_key());
    let new = (2, ours().device_key().rotated(&SALT));
    // The block, the event's slot, and the old copy with the first new frame.
    for cut in (0..=1_200).step_by(3) {
        let mut rig = Rig::new();
        rig.chip.cut_after(Some(cut));
        rig.down(&rotated(2));
        rig.key = new.clone();
        rig.down(&Down::Report);
        rig.node.tick(0);
        rig.chip.cut_after(None);
        let block = provision(&mut rig.chip.clone()).unwrap().unwrap();
        rig.key = if block.key_id == 1 {
            old.clone()
        } else {
            new.clone()
        };
        assert_eq!(&block.key, rig.key.1.expose(), "cut {cut}");
        rig.restart(POWER_ON);
        assert!(rig.bodies().contains(&hello(ResetCause::PowerOn)), "cut {cut}");
        rig.acknowledge();
        // What the controller sends with the old key is still understood, unless it has used the new.
        let mut controller = rig;
        controller.key = old.clone();
        let refused = controller.node.refusals.total;
        controller.down(&Down::Report);
        let understood = controller.node.refusals.total == refused;
        assert!(understood || cut > 512 + 64, "cut {cut}");
    }
}

#[test]
fn a_key_that_cannot_be_kept_is_not_used() {
    let mut rig = Rig::new();
    rig.chip.kill_page(BLOCK_AT[1] + 64);
    rig.down(&rotated(2));
    assert_eq!(
        rig.bodies().last(),
        Some(&Up::Key(KeyEvent::NotKept { key_id: 2 }))
    );
}

#[test]
fn while_nobody_knows_whether_a_key_is_kept_nothing_is_said_and_the_order_can_be_repeated() {
    let mut rig = Rig::new();
    rig.chip.freeze(true);
    rig.down(&rotated(2));
    assert!(!rig.bodies().iter().any(|body| matches!(body, Up::Key(_))));
    rig.chip.freeze(false);
    rig.down(&rotated(2));
    rig.key = (2, ours().device_key().rotated(&SALT));
    assert!(rig.bodies().contains(&Up::Key(KeyEvent::Rotated { key_id: 2 })));
}

#[test]
fn a_new_key_whose_word_was_lost_with_the_power_is_told_when_the_controller_uses_it() {
    let mut rig = Rig::new();
    // The block is whole; of the event nothing is left.
    rig.chip.cut_after(Some(512));
    rig.down(&rotated(2));
    rig.chip.cut_after(None);
    rig.restart(POWER_ON);
    rig.key = (2, ours().device_key().rotated(&SALT));
    let rotations = |rig: &mut Rig| {
        rig.bodies()
            .iter()
            .filter(|body| matches!(body, Up::Key(_)))
            .count()
    };
    assert_eq!(rotations(&mut rig), 0);
    rig.down(&Down::Report);
    assert_eq!(rotations(&mut rig), 1);
    rig.down(&Down::Report);
    assert_eq!(rotations(&mut rig), 0, "once");
}

#[test]
fn a_torn_copy_of_the_old_key_is_erased_by_the_next_start() {
    let mut rig = Rig::new();
    rig.down(&rotated(2));
    rig.key = (2, ours().device_key().rotated(&SALT));
    rig.down(&Down::Report);
    // The key lies behind what is overwritten before the power fails.
    rig.chip.cut_after(Some(6));
    rig.node.tick(0);
    rig.chip.cut_after(None);
    assert!(rig.chip.bytes().windows(32).any(|bytes| bytes == [5; 32]));
    rig.restart(POWER_ON);
    rig.node.tick(0);
    assert!(!rig.chip.bytes().windows(32).any(|bytes| bytes == [5; 32]));
}

#[test]
fn an_erased_node_says_so_with_its_last_frame_and_keeps_nothing() {
    let mut rig = Rig::new();
    rig.door(true);
    let last = rig.events().last().unwrap().0.seq;
    rig.down(&Down::Erase);
    rig.run(1_000);
    assert!(rig.chip.bytes().iter().all(|byte| *byte == 0xff));
    assert_eq!(
        rig.node.take_order(rig.now_ms),
        None,
        "the controller does not know yet"
    );
    let farewell = rig.events();
    assert_eq!(
        (farewell[0].0.seq, farewell[0].1),
        (last + 1, Up::Key(KeyEvent::Erased))
    );
    rig.node.connected(rig.now_ms);
    assert_eq!(
        rig.bodies(),
        [Up::Key(KeyEvent::Erased)],
        "again on a new connection"
    );
    rig.down(&Down::Ack { upto: last });
    assert_eq!(rig.node.take_order(rig.now_ms), None);
    rig.down(&Down::Ack { upto: last + 1 });
    assert_eq!(rig.node.take_order(rig.now_ms), Some(Order::Erased));
    assert!(provision(&mut rig.chip.clone()).unwrap().is_err());
}

#[test]
fn without_a_controller_an_erased_node_does_not_wait_for_ever() {
    let mut rig = Rig::new();
    rig.node.erase(0);
    rig.run(erase::TELL_MS + 1_000);
    assert_eq!(rig.node.take_order(rig.now_ms), Some(Order::Erased));
}

#[test]
fn nothing_is_called_erased_that_is_not() {
    let mut rig = Rig::new();
    rig.chip.freeze(true);
    rig.down(&Down::Erase);
    rig.run(60_000);
    assert_eq!((rig.bodies(), rig.node.take_order(rig.now_ms)), (vec![], None));
    rig.chip.freeze(false);
    rig.run(2_000);
    assert!(rig.chip.bytes().iter().all(|byte| *byte == 0xff));
    assert_eq!(rig.bodies(), [Up::Key(KeyEvent::Erased)]);
}

#[test]
fn while_it_is_erased_nothing_new_is_written() {
    let mut rig = Rig::new();
    rig.down(&Down::Restart);
    rig.down(&Down::Erase);
    rig.door(true);
    rig.node.downward(b"noise", 0);
    rig.down(&Down::Checkpoint {
        size: 1,
        root: [1; 32],
    });
    rig.run(5_000);
    assert_eq!(rig.node.take_order(rig.now_ms), None, "not before it has said so");
    rig.run(55_000);
    assert!(rig.chip.bytes().iter().all(|byte| *byte == 0xff));
}

#[test]
fn power_may_fail_while_a_node_is_erased() {
    for cut in (0..32_768).step_by(97) {
        let mut rig = Rig::new();
        rig.chip.cut_after(Some(cut));
        rig.down(&Down::Erase);
        rig.run(1_000);
        rig.chip.cut_after(None);
        // The key in force is the second block to go: gone with its first byte.
        match provision(&mut rig.chip.clone()).unwrap() {
            Ok(block) => assert!(block.key_id == 1 && cut <= 512, "cut {cut}"),
            Err(_) => assert!(cut > 512, "cut {cut}"),
        }
    }
    assert_eq!(HEADER_AT[0], 1_024);
}
