//! The air of the room: a small model, pure, one step at a time.
//!
//! First order: every measuring place moves toward the temperature at which heat and cooling
//! balance, with a time constant. With cooling that is the set point, lifted a little by the
//! servers' heat and the time of day; without it, well beyond what servers bear. A real room of
//! this size needs ten to twenty minutes to reach 32 °C; the demo runs [`Climate::speed`] times
//! as fast. The water in the air stays, so the relative humidity falls as it gets warmer.

/// Supply air of the cooling, °C.
pub const SUPPLY: f64 = 18.0;
/// Cold-aisle temperature at half the servers' heat, °C.
pub const COOLED: f64 = 23.0;
/// Where it would end without cooling and with all servers on, °C.
pub const UNCOOLED: f64 = 52.0;
/// Where it would end without cooling and without servers, °C.
pub const OUTSIDE: f64 = 27.0;
/// Time constant while it warms up without cooling, in seconds.
pub const WARMING: f64 = 1_500.0;
/// Time constant under cooling, in seconds.
pub const COOLING: f64 = 500.0;
/// Swing over a day, to each side, °C.
pub const DAY_SWING: f64 = 0.6;
/// Relative humidity at [`COOLED`], percent.
pub const HUMIDITY: f64 = 45.0;
/// Seconds of a day.
pub const DAY: f64 = 86_400.0;

/// The air.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Climate {
    /// Cold-aisle temperature, °C.
    pub temperature: f64,
    /// Simulated seconds for each second.
    pub speed: f64,
    /// Simulated seconds since midnight.
    pub time_of_day: f64,
}

/// What acts on the air.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forces {
    /// The cooling runs.
    pub cooling: bool,
    /// Heat of the running servers as a share of all, 0 to 1.
    pub heat: f64,
}

impl Climate {
    /// A quiet room at noon.
    #[must_use]
    pub const fn quiet(speed: f64) -> Self {
        Self {
            temperature: COOLED,
            speed,
            time_of_day: DAY / 2.0,
        }
    }

    /// The air `seconds` later.
    #[must_use]
    pub fn after(self, seconds: f64, forces: Forces) -> Self {
        let passed = (seconds * self.speed).clamp(0.0, DAY);
        let time_of_day = (self.time_of_day + passed) % DAY;
        let swing = DAY_SWING * ((time_of_day / DAY - 0.375) * std::f64::consts::TAU).sin();
        let (balance, constant) = if forces.cooling {
            (COOLED + swing + (forces.heat - 0.5), COOLING)
        } else {
            (OUTSIDE + (UNCOOLED - OUTSIDE) * forces.heat, WARMING)
        };
        // The exact solution of the step, which stays stable for any length of it.
        let share = 1.0 - (-passed / constant).exp();
        Self {
            temperature: self.temperature + (balance - self.temperature) * share,
            time_of_day,
            ..self
        }
    }

    /// Relative humidity in percent: the same water in warmer or cooler air.
    #[must_use]
    pub fn humidity(self) -> f64 {
        (HUMIDITY * saturation(COOLED) / saturation(self.temperature)).clamp(0.0, 100.0)
    }
}

/// Magnus: saturation vapour pressure over water in hPa.
fn saturation(celsius: f64) -> f64 {
    6.112 * ((17.62 * celsius) / (243.12 + celsius)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mut climate: Climate, seconds: u32, forces: Forces) -> Climate {
        for _ in 0..seconds {
            climate = climate.after(1.0, forces);
        }
        climate
    }

    const NORMAL: Forces = Forces {
        cooling: true,
        heat: 1.0,
    };
    const FAILED: Forces = Forces {
        cooling: false,
        heat: 1.0,
    };

    #[test]
    fn a_cooled_room_stays_in_the_recommended_range_all_day() {
        let mut climate = Climate::quiet(1.0);
        for _ in 0..1440 {
            climate = climate.after(60.0, NORMAL);
            assert!((21.0..25.0).contains(&climate.temperature), "{climate:?}");
            assert!((38.0..55.0).contains(&climate.humidity()), "{climate:?}");
        }
    }

    #[test]
    fn without_cooling_it_passes_32_degrees_in_ten_minutes_and_comes_back_with_it() {
        let warm = run(Climate::quiet(1.0), 300, FAILED);
        assert!(warm.temperature < 30.0, "{warm:?}");
        let hot = run(warm, 500, FAILED);
        assert!(hot.temperature > 32.0 && hot.humidity() < 32.0, "{hot:?}");
        let back = run(hot, 2400, NORMAL);
        assert!(back.temperature < 24.5, "{back:?}");
    }

    #[test]
    fn stopped_servers_heat_less_and_a_long_step_equals_many_short_ones() {
        let off = Forces { heat: 0.1, ..FAILED };
        assert!(
            run(Climate::quiet(10.0), 60, off).temperature
                < run(Climate::quiet(10.0), 60, FAILED).temperature
        );
        let long = Climate::quiet(1.0).after(600.0, FAILED).temperature;
        let short = run(Climate::quiet(1.0), 600, FAILED).temperature;
        assert!((long - short).abs() < 0.01, "{long} {short}");
    }
}
