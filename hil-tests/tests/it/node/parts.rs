//! Sensors and lines.

use super::last;
use hil_tests::bench::{Bench, ROPE_LINE, channel};
use hil_tests::probe::Fault;
use hil_tests::standin::{Controller, sample};
use shared::wire::{LineFault, Up};
use shared::{NoData, Quantity};
use tokio_modbus::ExceptionCode;

/// Waits for a value of a channel that was measured after everything so far.
async fn measures(controller: &Controller, channel: u8, value: Result<i32, NoData>) {
    let seen = controller.read(|heard| heard.telemetry.len());
    controller
        .until(&format!("{value:?} on channel {channel}"), |heard| {
            let new = heard.telemetry[seen..].iter();
            let mut samples = new.filter_map(|(_, body)| sample(body));
            samples
                .any(|sample| (sample.channel, sample.value) == (channel, value))
                .then_some(())
        })
        .await;
}

pub(super) async fn a_probe_that_lies_or_is_mute_is_no_data(bench: &mut impl Bench, controller: &Controller) {
    bench.probe().climate(231, 487);
    measures(controller, channel::PROBE, Ok(23_100)).await;
    measures(controller, channel::HUMIDITY, Ok(48_700)).await;
    controller
        .sample("the probe's humidity", |sample| {
            sample.quantity == Quantity::Humidity
        })
        .await;
    for fault in [
        Fault::BadCrc,
        Fault::Mute,
        Fault::Exception(ExceptionCode::ServerDeviceFailure),
    ] {
        let seq = last(controller);
        bench.probe().fault(Some(fault));
        for channel in [channel::PROBE, channel::HUMIDITY] {
            let lost = |event: &Up| matches!(event, Up::SensorLost { channel: of, .. } if *of == channel);
            let (_, lost) = controller
                .event_after(seq, &format!("{fault:?}: channel {channel} lost"), lost)
                .await;
            eprintln!("{fault:?}: {lost:?}");
        }
        bench.probe().fault(None);
        for channel in [channel::PROBE, channel::HUMIDITY] {
            let back = |event: &Up| *event == Up::SensorBack { channel };
            controller
                .event_after(seq, &format!("{fault:?}: channel {channel} back"), back)
                .await;
        }
    }
    // No number ever stood in for the probe.
    let honest = controller.read(|heard| {
        let mut samples = heard.telemetry.iter().filter_map(|(_, body)| sample(body));
        samples.all(|sample| {
            let honest = match sample.channel {
                channel::PROBE => matches!(sample.value, Ok(22_500 | 23_100) | Err(_)),
                channel::HUMIDITY => matches!(sample.value, Ok(45_000 | 48_700) | Err(_)),
                _ => true,
            };
            if !honest {
                eprintln!("{sample:?}");
            }
            honest
        })
    });
    assert!(honest);
}

pub(super) async fn a_rope_is_dry_wet_broken_or_shorted(bench: &mut impl Bench, controller: &Controller) {
    let rope = channel::ROPE;
    let wet = |open| Up::Contact { channel: rope, open };
    let fault = |fault| Up::LineFault { channel: rope, fault };
    let mut seq = last(controller);
    for (millivolts, expected) in [
        (400, wet(true)),
        (1_000, wet(false)),
        (2_000, fault(LineFault::Cut)),
        (1_000, wet(false)),
        (20, fault(LineFault::Shorted)),
        (400, wet(true)),
        (1_000, wet(false)),
    ] {
        bench.line_voltage(ROPE_LINE, millivolts).await;
        let what = format!("{expected:?} at {millivolts} mV");
        seq = controller
            .event_after(seq, &what, |event| *event == expected)
            .await
            .0
            .seq;
    }
}

pub(super) async fn a_bouncing_contact_becomes_one_event(bench: &mut impl Bench, controller: &Controller) {
    let leak = channel::LEAK;
    let seq = last(controller);
    let chatters = |event: &Up| matches!(event, Up::Chattering { channel, .. } if *channel == leak);
    for edge in 1.. {
        bench.contact(leak, edge % 2 == 1).await;
        super::tells(controller).await;
        let chattering = controller.read(|heard| {
            let mut after = heard.events.iter().filter(|(header, _)| header.seq > seq);
            after.any(|(_, event)| chatters(event))
        });
        if chattering {
            break;
        }
        assert!(edge < 100, "it is told forever");
    }
    // From now on its edges are counted, not told.
    let told = last(controller);
    for edge in 0..30 {
        bench.contact(leak, edge % 2 == 1).await;
        super::tells(controller).await;
    }
    let more = controller.read(|heard| {
        let after = heard.events.iter().filter(|(header, _)| header.seq > told);
        let edge = |event: &Up| matches!(event, Up::Contact { channel, .. } if *channel == leak);
        after.map(|(_, event)| *event).filter(edge).collect::<Vec<_>>()
    });
    assert!(more.is_empty(), "{more:?}");
}
