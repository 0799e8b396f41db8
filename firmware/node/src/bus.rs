//! What is done about a bus that is stuck, and when.
//!
//! ```text
//! Well --a part fails twice--> Troubled --TRIES_BEFORE_CUT tries later--> rail cut
//!   ^                            ^ |                                        | CUT_MS
//!   +------- all answer ---------+ +-------------- rail on, SETTLE_MS ------+
//! ```
//! First the cheap remedy: nine clocks free a part that was interrupted within a byte (NXP UM10204,
//! section 3.1.16); where another part answers, the bus is well and that is left out. When it does
//! not help, the power of the sensors is cut for a moment, where
//! the board has a switch for it; that comes back at growing intervals with an end that is named
//! below, so a part that is really dead does not keep the others from being read.
//!
//! The rail feeds sensors only. EEPROM, clock and the expander of strike and reader hang on the
//! permanent supply; a board that wires one of them to the rail must not offer the switch
//! ([`Care::new`]). Parts that the door needs are on the same two wires, though, so nothing here
//! holds them for longer than one recovery, 200 us at 100 kHz.

use embedded_hal::delay::DelayNs;

/// The two wires of a bus, open drain: high means let go.
pub trait Wires {
    /// Pulls the clock low or lets go of it.
    fn clock(&mut self, high: bool);
    /// Pulls the data line low or lets go of it.
    fn data(&mut self, high: bool);
    /// True when the clock is high: nobody stretches it.
    fn clock_is_high(&mut self) -> bool;
    /// True when the data line is high: nobody holds it.
    fn data_is_high(&mut self) -> bool;
}

/// What came of freeing a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freed {
    /// Both wires are high after so many clocks, and a stop was sent.
    After(u8),
    /// The clock stays low: a part or a short holds it, and clocks cannot help.
    ClockHeld,
    /// The data line stays low through all clocks.
    DataHeld,
}

/// Most clocks: the rest of any byte and its acknowledge.
pub const RECOVERY_CLOCKS: u8 = 9;
/// Half a clock at 100 kHz, in microseconds.
const HALF_CLOCK_US: u32 = 5;

/// Frees a bus: clocks until whoever holds the data line lets go, then a stop. The board takes the
/// pins from its controller before, and gives them back after.
pub fn free(wires: &mut impl Wires, delay: &mut impl DelayNs) -> Freed {
    wires.data(true);
    wires.clock(true);
    delay.delay_us(HALF_CLOCK_US);
    if !wires.clock_is_high() {
        return Freed::ClockHeld;
    }
    let mut clocks = 0;
    while !wires.data_is_high() && clocks < RECOVERY_CLOCKS {
        wires.clock(false);
        delay.delay_us(HALF_CLOCK_US);
        wires.clock(true);
        delay.delay_us(HALF_CLOCK_US);
        clocks += 1;
    }
    if !wires.data_is_high() {
        return Freed::DataHeld;
    }
    // A start and a stop: every part that listened to half a transfer is done with it.
    wires.data(false);
    delay.delay_us(HALF_CLOCK_US);
    wires.data(true);
    delay.delay_us(HALF_CLOCK_US);
    Freed::After(clocks)
}

/// What the board is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Free the bus with [`free`].
    FreeBus,
    /// Switch the sensor rail off.
    CutRail,
    /// Switch the sensor rail on again.
    RestoreRail,
}

/// Wait between two tries, in milliseconds. It does not grow: to free the bus takes
/// 200 us and disturbs nobody, and what held the bus may let go at any time.
pub const TRY_MS: u64 = 2_000;
/// Tries that go before a cut of the rail.
pub const TRIES_BEFORE_CUT: u8 = 3;
/// How long the rail stays off: supply capacitors empty themselves through the parts, in
/// milliseconds.
pub const CUT_MS: u64 = 500;
/// From rail on to the first transfer: the slowest part needs 50 ms, in milliseconds.
pub const SETTLE_MS: u64 = 100;
/// First wait between two cuts of the rail, in milliseconds.
pub const CUT_FIRST_MS: u64 = 60_000;
/// Longest wait between two cuts of the rail, in milliseconds: a dead part costs the others a
/// second an hour.
pub const CUT_MAX_MS: u64 = 3_600_000;

const _: () = assert!(TRY_MS < CUT_FIRST_MS && CUT_FIRST_MS <= CUT_MAX_MS);
// The cut ends before anybody calls the sensors late.
const _: () = assert!(CUT_MS + SETTLE_MS < crate::REPORT_MS);

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Every part answers, or failed only now and then.
    None,
    /// A part fails again and again, while others answer.
    Part,
    /// Nobody has answered since a part began to fail.
    Bus,
}

/// Decides about the remedies of one bus.
#[derive(Debug, Clone, Copy)]
pub struct Care {
    has_rail: bool,
    state: State,
    /// Outlives a recovery: what failed again soon is not power-cycled again soon.
    cut_from_ms: u64,
    cut_wait_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Every part answers, or failed only now and then.
    Well,
    /// A part fails; so many tries were made, the next is due then.
    Troubled { tries: u8, from_ms: u64 },
    /// The rail is off until then.
    Cut { until_ms: u64 },
    /// The rail is on; nobody is spoken to until then.
    Settling { until_ms: u64 },
}

impl Care {
    /// A bus that is well. `has_rail` when the board can switch the power of all of its sensors
    /// and of nothing else.
    #[must_use]
    pub const fn new(has_rail: bool) -> Self {
        Self {
            has_rail,
            state: State::Well,
            cut_from_ms: 0,
            cut_wait_ms: CUT_FIRST_MS,
        }
    }

    /// When the parts may be spoken to: now, or later because the rail is off or settling.
    #[must_use]
    pub const fn quiet_until(&self) -> Option<u64> {
        match self.state {
            State::Well | State::Troubled { .. } => None,
            State::Cut { until_ms } => Some(until_ms + SETTLE_MS),
            State::Settling { until_ms } => Some(until_ms),
        }
    }

    /// The remedy that is due, once. `may_cut` says that the power of the sensors may be cut now.
    pub const fn next(&mut self, trouble: Trouble, may_cut: bool, now_ms: u64) -> Option<Remedy> {
        let free = match trouble {
            Trouble::Bus => Some(Remedy::FreeBus),
            Trouble::None | Trouble::Part => None,
        };
        match self.state {
            State::Well if !matches!(trouble, Trouble::None) => {
                self.state = State::Troubled {
                    tries: 1,
                    from_ms: now_ms + TRY_MS,
                };
                free
            }
            State::Well => {
                // Well for as long as a cut would have to wait: the past is forgiven.
                if now_ms >= self.cut_from_ms + self.cut_wait_ms {
                    self.cut_wait_ms = CUT_FIRST_MS;
                }
                None
            }
            State::Troubled { .. } if matches!(trouble, Trouble::None) => {
                self.state = State::Well;
                None
            }
            State::Troubled { tries, from_ms } => {
                if now_ms < from_ms {
                    return None;
                }
                if self.has_rail && may_cut && tries >= TRIES_BEFORE_CUT && now_ms >= self.cut_from_ms {
                    self.cut_from_ms = now_ms + self.cut_wait_ms;
                    self.cut_wait_ms = at_most(self.cut_wait_ms * 2, CUT_MAX_MS);
                    self.state = State::Cut {
                        until_ms: now_ms + CUT_MS,
                    };
                    return Some(Remedy::CutRail);
                }
                self.state = State::Troubled {
                    tries: tries.saturating_add(1),
                    from_ms: now_ms + TRY_MS,
                };
                free
            }
            State::Cut { until_ms } if now_ms >= until_ms => {
                self.state = State::Settling {
                    until_ms: now_ms + SETTLE_MS,
                };
                Some(Remedy::RestoreRail)
            }
            State::Settling { until_ms } if now_ms >= until_ms => {
                // One more try, after the parts had their chance.
                self.state = State::Troubled {
                    tries: TRIES_BEFORE_CUT,
                    from_ms: now_ms + TRY_MS,
                };
                None
            }
            State::Cut { .. } | State::Settling { .. } => None,
        }
    }

    /// When [`Self::next`] has something to do though nothing new happens.
    #[must_use]
    pub const fn next_ms(&self) -> Option<u64> {
        match self.state {
            State::Well => None,
            State::Troubled { from_ms, .. } => Some(from_ms),
            State::Cut { until_ms } | State::Settling { until_ms } => Some(until_ms),
        }
    }
}

const fn at_most(value: u64, most: u64) -> u64 {
    if value < most { value } else { most }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two wires with a part that holds the data line for so many more clocks.
    struct Held {
        clocks_left: u8,
        clock_held: bool,
        clock: bool,
        data: bool,
        stops: u8,
    }

    impl Held {
        fn new(clocks_left: u8) -> Self {
            Self {
                clocks_left,
                clock_held: false,
                clock: true,
                data: true,
                stops: 0,
            }
        }
    }

    impl Wires for Held {
        fn clock(&mut self, high: bool) {
            if self.clock && !high {
                self.clocks_left = self.clocks_left.saturating_sub(1);
            }
            self.clock = high;
        }

        fn data(&mut self, high: bool) {
            if self.clock && !self.data && high {
                self.stops += 1;
            }
            self.data = high;
        }

        fn clock_is_high(&mut self) -> bool {
            self.clock && !self.clock_held
        }

        fn data_is_high(&mut self) -> bool {
            self.data && self.clocks_left == 0
        }
    }

    struct NoDelay;
    impl DelayNs for NoDelay {
        fn delay_ns(&mut self, _: u32) {}
    }

    #[test]
    fn a_part_in_the_middle_of_a_byte_is_clocked_out_and_stopped() {
        for left in 0..=9 {
            let mut wires = Held::new(left);
            assert_eq!(free(&mut wires, &mut NoDelay), Freed::After(left));
            assert!(wires.stops >= 1 && wires.clock && wires.data, "{left}");
        }
    }

    #[test]
    fn a_line_that_stays_low_is_said_and_ends_after_nine_clocks() {
        let mut wires = Held::new(100);
        assert_eq!(free(&mut wires, &mut NoDelay), Freed::DataHeld);
        assert_eq!(wires.clocks_left, 100 - RECOVERY_CLOCKS);
        wires.clock_held = true;
        assert_eq!(free(&mut wires, &mut NoDelay), Freed::ClockHeld);
    }

    /// Remedies of a bus that fails between these times, looked at every 100 ms.
    fn remedies(
        has_rail: bool,
        may_cut: bool,
        fails: std::ops::Range<u64>,
        until: u64,
    ) -> Vec<(u64, Remedy)> {
        remedies_of(Trouble::Bus, has_rail, may_cut, fails, until)
    }

    fn remedies_of(
        trouble: Trouble,
        has_rail: bool,
        may_cut: bool,
        fails: std::ops::Range<u64>,
        until: u64,
    ) -> Vec<(u64, Remedy)> {
        let mut care = Care::new(has_rail);
        (0..until)
            .step_by(100)
            .filter_map(|now| {
                let trouble = if fails.contains(&now) {
                    trouble
                } else {
                    Trouble::None
                };
                care.next(trouble, may_cut, now).map(|remedy| (now, remedy))
            })
            .collect()
    }

    #[test]
    fn the_bus_is_freed_three_times_before_the_rail_is_cut_for_half_a_second() {
        assert_eq!(
            remedies(true, true, 1_000..30_000, 13_000),
            [
                (1_000, Remedy::FreeBus),
                (3_000, Remedy::FreeBus),
                (5_000, Remedy::FreeBus),
                (7_000, Remedy::CutRail),
                (7_500, Remedy::RestoreRail),
                (9_600, Remedy::FreeBus),
                (11_600, Remedy::FreeBus),
            ]
        );
    }

    #[test]
    fn a_bus_on_which_others_answer_is_not_freed_but_the_dead_part_is_power_cycled() {
        assert_eq!(
            remedies_of(Trouble::Part, true, true, 1_000..30_000, 13_000),
            [(7_000, Remedy::CutRail), (7_500, Remedy::RestoreRail)]
        );
        assert_eq!(remedies_of(Trouble::Part, false, true, 0..600_000, 600_000), []);
    }

    #[test]
    fn without_a_rail_or_leave_to_cut_it_the_bus_is_only_freed() {
        for (has_rail, may_cut) in [(false, true), (true, false)] {
            let remedies = remedies(has_rail, may_cut, 0..600_000, 600_000);
            assert!(remedies.iter().all(|(_, remedy)| *remedy == Remedy::FreeBus));
            assert_eq!(remedies.len(), 300);
        }
    }

    #[test]
    fn a_dead_part_costs_the_others_less_and_less() {
        let cuts: Vec<u64> = remedies(true, true, 0..86_400_000, 86_400_000)
            .into_iter()
            .filter(|(_, remedy)| *remedy == Remedy::CutRail)
            .map(|(at, _)| at)
            .collect();
        let gaps: Vec<u64> = cuts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.is_sorted_by(|a, b| *a <= b + TRY_MS), "{gaps:?}");
        assert!(gaps.iter().all(|gap| *gap >= CUT_FIRST_MS));
        assert!(cuts.len() < 34, "{}", cuts.len());
    }

    #[test]
    fn a_bus_that_comes_back_is_left_alone() {
        assert_eq!(remedies(true, true, 0..2_500, 60_000).len(), 2);
    }

    #[test]
    fn while_the_rail_is_off_nobody_is_spoken_to_and_it_always_comes_back() {
        let mut care = Care::new(true);
        let mut now = 0;
        while care.next(Trouble::Bus, true, now) != Some(Remedy::CutRail) {
            now += 100;
        }
        assert_eq!(care.quiet_until(), Some(now + CUT_MS + SETTLE_MS));
        // Even when the parts are said to be well, or cutting is forbidden meanwhile.
        assert_eq!(care.next(Trouble::None, false, now + CUT_MS - 1), None);
        assert_eq!(
            care.next(Trouble::None, false, now + CUT_MS),
            Some(Remedy::RestoreRail)
        );
        assert_eq!(care.next(Trouble::None, false, now + CUT_MS + SETTLE_MS), None);
        assert_eq!(care.quiet_until(), None);
    }
}
