//! Crashes, safe mode, restarts, and what a witness remembers.

use super::*;

fn crashed(task: u8) -> Boot {
    Boot {
        cause: ResetCause::Watchdog,
        crash: Some(Crash {
            kind: CrashKind::Hang,
            pc: 0x1234,
            lr: 0,
            task,
            mark: 0,
            up_ms: 99_000,
        }),
        rtc_unix_ms: None,
    }
}

#[test]
fn what_the_last_life_ended_with_is_told_right_after_hello() {
    let mut rig = Rig::new();
    rig.acknowledge();
    rig.restart(crashed(2));
    let bodies = rig.bodies();
    assert_eq!(bodies[0], hello(ResetCause::Watchdog));
    assert!(matches!(
        bodies[1],
        Up::Crashed(Crash {
            task: 2,
            up_ms: 99_000,
            ..
        })
    ));
    assert_eq!(bodies.len(), 2);
}

/// A node that has crashed so often that it keeps to itself.
fn in_safe_mode() -> Rig {
    let mut rig = Rig::new();
    for _ in 0..CRASHES_TO_SAFE {
        assert!(!rig.node.safe_mode());
        rig.acknowledge();
        rig.restart(crashed(0));
    }
    assert!(rig.node.safe_mode());
    rig
}

#[test]
fn five_crashes_in_a_row_lead_to_safe_mode() {
    let mut rig = in_safe_mode();
    let told = Up::SafeMode {
        on: true,
        crashes: CRASHES_TO_SAFE,
    };
    assert_eq!(rig.bodies().last(), Some(&told));
    // Nothing in the room is touched, and nothing is said of it.
    rig.door(true);
    rig.node.reading(2, Err(NoData::Absent), 0);
    rig.node.reading(2, Err(NoData::Absent), 0);
    rig.node.connected(0);
    assert_eq!(
        rig.node
            .telemetry_to_send(0)
            .map(|frame| rig.open(&frame, Stream::Telemetry).1),
        {
            Some(Up::Heartbeat {
                pending: rig.node.outbox.unreleased() as u16,
                last_event: rig.node.outbox.last(),
                refused: 0,
                dropped: 0,
            })
        }
    );
    let health = rig.health();
    assert!(health.safe_mode && health.crashes == CRASHES_TO_SAFE);
    assert!(
        !rig.bodies()
            .iter()
            .any(|body| matches!(body, Up::Contact { .. } | Up::SensorLost { .. }))
    );
}

#[test]
fn safe_mode_is_left_by_restart_and_by_a_loss_of_power() {
    for cause in [ResetCause::Requested, ResetCause::PowerOn] {
        let mut rig = in_safe_mode();
        if cause == ResetCause::Requested {
            rig.down(&Down::Restart);
            assert_eq!(rig.node.take_order(RESTART_MS - 1), None);
            assert_eq!(rig.node.take_order(RESTART_MS), Some(Order::Restart));
        }
        rig.restart(because(cause));
        assert!(!rig.node.safe_mode());
        assert_eq!(rig.health().crashes, 0);
        rig.door(true);
        assert_eq!(rig.bodies().last(), Some(&DOOR_OPEN));
    }
}

#[test]
fn safe_mode_is_left_after_an_hour_and_comes_back_with_the_next_crash() {
    let mut rig = in_safe_mode();
    rig.acknowledge();
    rig.run(SAFE_MS - 1);
    assert!(rig.node.safe_mode());
    rig.run(1);
    rig.node.tick(rig.now_ms);
    assert!(!rig.node.safe_mode());
    let left = Up::SafeMode {
        on: false,
        crashes: CRASHES_TO_SAFE,
    };
    assert_eq!(rig.bodies().last(), Some(&left));
    rig.restart(crashed(0));
    assert!(rig.node.safe_mode());
}

#[test]
fn a_healthy_minute_ends_the_row_of_crashes() {
    let mut rig = Rig::new();
    for _ in 0..3 * CRASHES_TO_SAFE {
        rig.restart(crashed(0));
        assert!(!rig.node.safe_mode());
        rig.run(HEALTHY_MS + 1);
    }
    // And one that is a second short does not.
    for _ in 0..CRASHES_TO_SAFE {
        rig.restart(crashed(0));
        rig.run(HEALTHY_MS - 1_000);
    }
    assert!(rig.node.safe_mode());
}

#[test]
fn a_checkpoint_is_said_at_every_boot() {
    let mut rig = Rig::new();
    rig.down(&Down::SetTime);
    let root = [0xab; 32];
    rig.down(&Down::Checkpoint { size: 4_711, root });
    rig.run(1);
    rig.restart(POWER_ON);
    rig.node.connected(0);
    let said = Up::Checkpoint {
        size: 4_711,
        root,
        given_unix_s: UNIX_MS / 1_000,
    };
    assert!(rig.telemetry().contains(&said));
    assert!(!rig.telemetry().contains(&said), "once");
    rig.down(&Down::Report);
    assert!(rig.telemetry().contains(&said));
}

#[test]
fn a_restart_on_order_repeats_nothing() {
    let mut rig = Rig::new();
    rig.acknowledge();
    rig.down(&Down::Restart);
    assert_eq!(rig.node.take_order(RESTART_MS), Some(Order::Restart));
    rig.restart(because(ResetCause::Requested));
    assert_eq!(rig.bodies(), [hello(ResetCause::Requested)]);
}

/// Any content of the memory, and the node starts or says that it has no block.
#[test]
fn no_content_of_the_memory_panics() {
    for seed in 1..=40 {
        let mut random = Random(seed);
        let mut bytes: Vec<u8> = (0..32_768).map(|_| random.byte()).collect();
        bytes[..512].copy_from_slice(&ours().encode());
        if seed % 2 == 0 {
            bytes[1_024..].fill(random.byte());
        }
        let mut rig = Rig::on(Chip::holding(bytes), POWER_ON);
        rig.run(5_000);
        rig.door(true);
        assert_eq!(rig.bodies().last(), Some(&DOOR_OPEN));
    }
}

/// Whatever is sealed with our key, in any order and with any numbers: obeyed or refused.
#[test]
fn no_downward_body_panics() {
    for seed in 1..=400 {
        let mut random = Random(seed);
        let mut rig = Rig::new();
        for _ in 0..30 {
            let mut entries = Entries::new();
            for _ in 0..random.below(17) {
                let _ = entries.push([random.byte(); 16]);
            }
            let version = random.below(3) as u32;
            let body = match random.below(12) {
                0 => Down::Ack {
                    upto: random.below(1 << 32) as u32,
                },
                1 => Down::SetTime,
                2 => Down::Report,
                3 => Down::ListBegin(ListHead {
                    version,
                    count: [0, 1, 16, 500, 501, u16::MAX][random.below(6) as usize],
                    utc_offset_min: random.below(1 << 16) as i16,
                    unset_clock: UnsetClock::Deny,
                    stale_after_days: random.byte(),
                    holidays: heapless::Vec::new(),
                }),
                4..=6 => Down::ListEntries {
                    version,
                    at: [0, 16, 499, u16::MAX][random.below(4) as usize],
                    entries,
                },
                7 => Down::ListCommit {
                    version,
                    digest: [0; 16],
                },
                8 => Down::ListConfirm { version },
                9 => Down::Checkpoint {
                    size: u64::MAX,
                    root: [1; 32],
                },
                10 => Down::UpdateChunk {
                    at: u32::MAX,
                    bytes: heapless::Vec::new(),
                },
                _ => Down::UpdateEnd,
            };
            rig.unix_ms = [0, 1, UNIX_MS, u64::MAX][random.below(4) as usize];
            rig.down(&body);
            rig.now_ms += random.below(100_000);
            rig.node.tick(rig.now_ms);
            rig.events();
            rig.telemetry();
        }
        assert_eq!(rig.node.list.version(), 0, "seed {seed}: no list had its digest");
    }
}
