//! The node's own life: hangs, screens, twins.

use super::{KEY, NODE, Room, last, missing, tells};
use hil_tests::bench::{Bench, HOST, QemuBench, channel};
use hil_tests::mosquitto::Mosquitto;
use hil_tests::standin::{ACCOUNT, BOUND, Controller};
use hil_tests::{cannot_run, free_port, wait_for};
use shared::provision::Provision;
use shared::wire::{CrashKind, Header, Up};
use std::time::Duration;

/// The board's number of the task that serves the reader.
const READER_TASK: u8 = 4;

/// Hangs the node's reader task until the watchdog has bitten, `times` lives long; mended then.
pub(super) async fn hangs(bench: &mut QemuBench, times: usize) {
    bench.hang().await;
    for turn in 1..=times {
        let before = bites(bench);
        // Four seconds a time; the board tells a bite from its button by them.
        wait_for(&format!("bite {turn} of the watchdog"), BOUND, async || {
            (bites(bench) > before).then_some(())
        })
        .await;
    }
    bench.mend().await;
}

fn bites(bench: &QemuBench) -> usize {
    bench.resets().iter().filter(|event| *event == "WATCHDOG").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_is_ended_by_the_watchdog_and_the_record_names_the_task() {
    if cannot_run(missing()) {
        return;
    }
    let mut room = Room::<QemuBench>::start().await;
    let seq = last(&room.controller);
    hangs(&mut room.bench, 1).await;
    let crashed = |event: &Up| matches!(event, Up::Crashed(_));
    let (_, event) = room
        .controller
        .event_after(seq, "the crash record", crashed)
        .await;
    let Up::Crashed(crash) = event else {
        unreachable!("looked for it");
    };
    eprintln!("{crash:?}");
    assert_eq!(crash.kind, CrashKind::Hang);
    assert_eq!(crash.task, READER_TASK);
    assert!(crash.up_ms > 0 && crash.pc != 0, "{crash:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_display_says_how_the_node_is() {
    if cannot_run(missing()) {
        return;
    }
    let mut room = Room::<QemuBench>::start().await;
    let picture = wait_for("a picture", BOUND, async || {
        let picture = room.bench.screenshot().await?;
        (picture.lit() > 0.01).then_some(picture)
    })
    .await;
    assert_eq!((picture.width, picture.height), (512, 256));
    // Text, not a filled screen.
    assert!(picture.lit() < 0.5, "{}", picture.lit());
    if let Some(file) = std::env::var_os("YAGURA_SCREENSHOT") {
        room.bench.save_screenshot(file.as_ref()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_crashes_ends_in_safe_mode_and_the_node_says_so() {
    /// Crashes in a row that lead to safe mode.
    const CRASHES: usize = 5;
    if cannot_run(missing()) {
        return;
    }
    let mut room = Room::<QemuBench>::start().await;
    hangs(&mut room.bench, CRASHES).await;
    let safe = |event: &Up| matches!(event, Up::SafeMode { on: true, .. });
    let (_, told) = room.controller.event_that("safe mode", safe).await;
    eprintln!("{told:?}");
    // It hears and answers, and touches nothing in the room.
    tells(&room.controller).await;
    let (seq, asked) = (last(&room.controller), room.bench.reader().commands().len());
    room.bench.contact(channel::LEAK, true).await;
    tells(&room.controller).await;
    tells(&room.controller).await;
    let seen = room.controller.read(|heard| {
        let mut after = heard.events.iter().filter(|(header, _)| header.seq > seq);
        after.any(|(_, event)| matches!(event, Up::Contact { .. }))
    });
    assert!(!seen, "no contact is looked at");
    assert_eq!(
        room.bench.reader().commands().len(),
        asked,
        "the reader is left alone"
    );
    // Power cut and back: it watches again.
    room.bench.power_cut().await;
    room.bench.power_on().await;
    let wet = Up::Contact {
        channel: channel::LEAK,
        open: true,
    };
    room.controller
        .event_after(seq, "the leak", |event| *event == wet)
        .await;
}

/// A day of the node's own time, as fast as this machine computes. Nothing is mounted: what is
/// measured would only make more frames, and the day longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_passes_without_a_missed_heartbeat() {
    const DAY_MS: u64 = 24 * 3_600 * 1_000;
    const LONGEST: Duration = Duration::from_secs(100);
    /// Twice the time between two heartbeats: none was missed in between.
    const MISSED_MS: u64 = 10_000;
    if cannot_run(missing()) {
        return;
    }
    let (addr, node) = (free_port(), NODE.to_string());
    let folder = tempfile::tempdir().unwrap();
    let provision = Provision::new(NODE, 1, KEY, HOST, addr.port());
    let accounts = [ACCOUNT, (&node, &provision.broker_password())];
    let _mosquitto = Mosquitto::with_accounts_on(folder.path(), addr, &accounts);
    let controller = Controller::start(addr, &provision).await;
    let mut bench = QemuBench::prepare(&provision);
    bench.hurry();
    bench.power_on().await;
    let begun = std::time::Instant::now();
    wait_for("a day to pass", LONGEST, async || {
        let up_ms = controller.read(|heard| heard.telemetry.last().map(|(header, _)| header.up_ms));
        up_ms.filter(|up_ms| *up_ms > DAY_MS)
    })
    .await;
    let (beats, boot) = controller.read(|heard| {
        let is = |(_, body): &&(Header, Up)| matches!(body, Up::Heartbeat { .. });
        let beats = heard.telemetry.iter().filter(is).map(|(header, _)| header.up_ms);
        (beats.collect::<Vec<u64>>(), heard.boot)
    });
    let gaps = beats.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let longest = gaps.max().unwrap();
    eprintln!(
        "{} heartbeats, {longest} ms at most between two, in {:?} of ours",
        beats.len(),
        begun.elapsed()
    );
    assert_eq!(boot, 1, "it never restarted");
    assert!(longest < MISSED_MS, "{longest} ms without a heartbeat");
}
