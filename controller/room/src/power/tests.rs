//! Properties over readings of every kind, contradicting ones first of all: random polls must
//! never make an outage out of nothing, hide a real one, or make mains out of silence.

use super::Verdict;
use super::state::{self, Contact, State};
use super::watch::{LONGEST_CALIBRATION, Watch};
use crate::device::{Fact, FactValue, Poll, PollFailure, Reading};
use crate::time::{Millis, Mono};
use proptest::prelude::*;

const CONTACT_LOST_AFTER: Millis = Millis::from_secs(15);
/// Between two polls.
const POLL: u64 = 5_000;

/// What one poll says; `None` is a fact that is not there.
#[derive(Debug, Clone, Default)]
struct Said {
    source: Option<&'static str>,
    battery: Option<&'static str>,
    volts: Option<f64>,
    time_on: Option<f64>,
    charge: Option<f64>,
    test: Option<&'static str>,
    calibration: Option<&'static str>,
    replace: bool,
    overload: bool,
}

impl Said {
    fn reading(&self) -> Reading {
        let mut facts = Vec::new();
        let mut add = |name: &str, value: FactValue| {
            facts.push(Fact {
                name: name.into(),
                value: Ok(value),
                unit: "",
                at: String::new(),
                label: None,
                raw: String::new(),
            });
        };
        let states = [
            ("output.source", self.source),
            ("battery.status", self.battery),
            ("ups.test.result", self.test),
            ("ups.calibration", self.calibration),
            ("battery.replace", Some(if self.replace { "yes" } else { "no" })),
            ("ups.overload", Some(if self.overload { "yes" } else { "no" })),
        ];
        for (name, word) in states {
            if let Some(word) = word {
                add(name, FactValue::State(word.into()));
            }
        }
        let numbers = [
            ("input.voltage", self.volts),
            ("battery.time_on", self.time_on),
            ("battery.charge", self.charge),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                add(name, FactValue::Number(number));
            }
        }
        Reading {
            facts,
            ..Reading::default()
        }
    }
}

/// Hears polls one after another and goes by the durable verdict as the engine does.
struct Judge {
    watch: Watch,
    now: Mono,
    on_battery: bool,
}

impl Judge {
    fn new() -> Self {
        Self {
            watch: Watch::new(Mono(0)),
            now: Mono(0),
            on_battery: false,
        }
    }

    fn hear(&mut self, result: Result<Reading, PollFailure>, peer: bool) -> Verdict {
        self.now = Mono(self.now.0 + POLL);
        self.watch.hear(&Poll {
            device: "ups".into(),
            asked: self.now,
            answered: self.now,
            result,
        });
        self.judge(peer)
    }

    fn judge(&mut self, peer: bool) -> Verdict {
        let verdict = self
            .watch
            .judge(self.now, peer, self.on_battery, CONTACT_LOST_AFTER);
        self.on_battery = verdict == Verdict::Battery;
        verdict
    }

    fn state(&mut self) -> State {
        let verdict = self.judge(false);
        let contact = Contact {
            good: self.watch.in_contact(self.now, CONTACT_LOST_AFTER),
            heard: self.watch.heard().is_some(),
            stale: self.watch.is_stale(),
        };
        state::assess(verdict, contact, self.watch.facts())
    }
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    proptest::option::of(proptest::sample::select(words))
}

const SOURCES: &[&str] = &[
    "mains", "battery", "bypass", "booster", "reducer", "eco", "test", "off", "sleeping", "other",
];
const BATTERIES: &[&str] = &["normal", "low", "depleted", "fault", "absent", "unknown"];
const TESTS: &[&str] = &["passed", "warning", "failed", "aborted", "running", "none"];
const CALIBRATIONS: &[&str] = &["running", "no"];

prop_compose! {
    fn said()(
        source in word(SOURCES),
        battery in word(BATTERIES),
        volts in proptest::option::of(prop_oneof![Just(0.0), Just(65.0), 90.0..110.0]),
        time_on in proptest::option::of(prop_oneof![Just(0.0), 1.0..600.0]),
        charge in proptest::option::of(0.0..100.0),
        test in word(TESTS),
        calibration in word(CALIBRATIONS),
        replace in any::<bool>(),
        overload in any::<bool>(),
    ) -> Said {
        Said { source, battery, volts, time_on, charge, test, calibration, replace, overload }
    }
}

proptest! {
    #[test]
    fn mains_at_the_input_no_time_on_battery_and_a_full_battery_are_no_outage(
        polls in proptest::collection::vec((said(), 90.0..110.0, any::<bool>()), 1..30),
    ) {
        let mut judge = Judge::new();
        for (said, volts, peer) in polls {
            let said = Said { volts: Some(volts), time_on: Some(0.0), charge: Some(100.0), ..said };
            prop_assert_ne!(judge.hear(Ok(said.reading()), peer), Verdict::Battery, "{:?}", said);
        }
    }

    #[test]
    fn a_real_outage_is_seen_at_once_whatever_flags_stand_beside_it(
        before in proptest::collection::vec(said(), 0..5),
        outage in proptest::collection::vec(said(), 1..20),
    ) {
        let mut judge = Judge::new();
        for said in before {
            // An honest device: it measures its input while it runs from it.
            let said = Said { volts: Some(101.0), time_on: Some(0.0), charge: Some(100.0), ..said };
            judge.hear(Ok(said.reading()), false);
        }
        for said in outage {
            let said = Said { volts: Some(0.0), source: Some("battery"), ..said };
            prop_assert_eq!(judge.hear(Ok(said.reading()), false), Verdict::Battery, "{:?}", said);
        }
    }

    #[test]
    fn an_outage_that_only_the_device_tells_is_hidden_by_a_test_no_longer_than_its_bound(
        flags in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..20),
    ) {
        let mut judge = Judge::new();
        let polls = LONGEST_CALIBRATION.0 / POLL + 2;
        let mut last = Verdict::Unknown;
        for poll in 0..polls {
            let (test, calibration) = flags[usize::try_from(poll).unwrap() % flags.len()];
            // No voltage measured; its own count is the second sign.
            #[expect(clippy::cast_precision_loss, reason = "some thousand polls")]
            let time_on = Some((poll * POLL / 1000 + 1) as f64);
            let said = Said {
                source: Some("battery"),
                time_on,
                test: test.then_some("running"),
                calibration: calibration.then_some("running"),
                ..Said::default()
            };
            last = judge.hear(Ok(said.reading()), false);
            if !test && !calibration {
                prop_assert_eq!(last, Verdict::Battery);
            }
        }
        prop_assert_eq!(last, Verdict::Battery);
    }

    #[test]
    fn mains_is_never_made_of_what_nobody_said(
        polls in proptest::collection::vec((said(), any::<bool>()), 1..20),
    ) {
        let mut judge = Judge::new();
        let mut heard_mains = false;
        for (said, fails) in polls {
            // Neither a word for mains nor a voltage that is there.
            let source = said.source.filter(|word| matches!(*word, "battery" | "test" | "other" | "off"));
            let said = Said { source, volts: said.volts.filter(|volts| *volts < 80.0), ..said };
            let result = if fails { Err(PollFailure::Timeout) } else { Ok(said.reading()) };
            heard_mains |= judge.hear(result, false) == Verdict::Mains;
        }
        prop_assert!(!heard_mains);
    }

    #[test]
    fn silence_is_never_a_state_of_supply(
        polls in proptest::collection::vec(said(), 0..6),
        stale in any::<bool>(),
    ) {
        let mut judge = Judge::new();
        let heard = !polls.is_empty();
        for said in polls {
            judge.hear(Ok(said.reading()), false);
        }
        let was_on_battery = judge.on_battery;
        for _ in 0..4 {
            let failure = if stale { PollFailure::Stale("old".into()) } else { PollFailure::Timeout };
            judge.hear(Err(failure), false);
        }
        let expected = match (was_on_battery, stale, heard) {
            (true, _, _) => State::LostOnBattery,
            (false, true, _) => State::Stale,
            (false, false, true) => State::Lost,
            (false, false, false) => State::NeverHeard,
        };
        prop_assert_eq!(judge.state(), expected);
    }

    #[test]
    fn every_state_has_its_evidence(polls in proptest::collection::vec(said(), 1..20)) {
        let mut judge = Judge::new();
        for said in polls {
            let before = judge.on_battery;
            judge.hear(Ok(said.reading()), false);
            match judge.state() {
                State::Eco => prop_assert_eq!(said.source, Some("eco")),
                State::Calibration => prop_assert_eq!(said.calibration, Some("running")),
                State::SelfTest => {
                    prop_assert!(said.test == Some("running") || said.source == Some("test"));
                }
                State::Bypass => prop_assert_eq!(said.source, Some("bypass")),
                State::Off => prop_assert!(matches!(said.source, Some("off" | "sleeping"))),
                State::Suspected => prop_assert!(!before),
                State::Mains => prop_assert!(
                    said.volts.is_some_and(|volts| volts > 80.0)
                        || matches!(said.source, Some("mains" | "booster" | "reducer")),
                    "{:?}", said
                ),
                _ => {}
            }
        }
    }
}

#[test]
fn an_inverter_that_always_says_battery_is_on_mains() {
    let mut judge = Judge::new();
    let said = Said {
        source: Some("battery"),
        volts: Some(231.0),
        time_on: Some(0.0),
        charge: Some(100.0),
        ..Said::default()
    };
    for _ in 0..10 {
        assert_eq!(judge.hear(Ok(said.reading()), true), Verdict::Mains);
    }
    assert_eq!(judge.state(), State::Mains);
}

#[test]
fn a_mark_that_flickers_is_no_mark() {
    let mut judge = Judge::new();
    let quiet = Said {
        source: Some("mains"),
        volts: Some(101.0),
        ..Said::default()
    };
    let loud = Said {
        replace: true,
        overload: true,
        ..quiet.clone()
    };
    for said in [&loud, &quiet, &loud] {
        judge.hear(Ok(said.reading()), false);
        assert!(!judge.watch.needs_battery() && !judge.watch.is_overloaded());
    }
    judge.hear(Ok(loud.reading()), false);
    assert!(judge.watch.needs_battery() && judge.watch.is_overloaded());
}
