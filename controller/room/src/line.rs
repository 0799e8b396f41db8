//! A straight line through measured points: least squares, how sure its slope is, and one
//! outlier left out.
//!
//! Rates of change, runaway and the long trends all stand on it. It never says how a quantity
//! will go on; it says how it went, and how much the points scatter about that.

/// Fewer points say nothing about a slope and its spread.
pub const MIN_POINTS: usize = 4;
/// With fewer points one that lies apart cannot be told from the others' scatter.
pub const MIN_FOR_OUTLIER: usize = 6;
/// A point is an outlier when its externally studentised residual exceeds this. With ten points of
/// normal scatter one in ten thousand lies so far out.
pub const OUTLIER: f64 = 6.0;
/// Scatter below this share of the values' size is rounding of the arithmetic.
const ROUNDING: f64 = 1e-9;

/// A fitted line, in the units of its points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Change of y per unit of x.
    pub slope: f64,
    /// Standard error of the slope; 0 when the points lie on the line.
    pub slope_error: f64,
    /// Mean of x.
    pub middle: f64,
    /// y at the mean of x.
    pub level: f64,
    /// Standard deviation of the points about the line.
    pub scatter: f64,
    /// Points it was fitted to.
    pub points: usize,
    /// Whether one point was left out.
    pub left_out: bool,
}

impl Line {
    /// The line's y at `x`.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        self.level + self.slope * (x - self.middle)
    }

    /// How many times its own error the slope is; infinite when the points lie on the line.
    #[must_use]
    pub fn certainty(&self) -> f64 {
        if self.slope_error > 0.0 {
            self.slope.abs() / self.slope_error
        } else if self.slope == 0.0 {
            0.0
        } else {
            f64::INFINITY
        }
    }
}

/// The line through these points; `None` when there are too few, or all at one x.
#[must_use]
pub fn fit(points: &[(f64, f64)]) -> Option<Line> {
    let line = least_squares(points)?;
    if points.len() < MIN_FOR_OUTLIER {
        return Some(line);
    }
    match outlier(points, &line) {
        Some(at) => {
            let rest: Vec<(f64, f64)> = points
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != at)
                .map(|(_, point)| *point)
                .collect();
            least_squares(&rest).map(|line| Line {
                left_out: true,
                ..line
            })
        }
        None => Some(line),
    }
}

#[expect(clippy::cast_precision_loss, reason = "some hundred points")]
fn least_squares(points: &[(f64, f64)]) -> Option<Line> {
    if points.len() < MIN_POINTS {
        return None;
    }
    let n = points.len() as f64;
    let middle = points.iter().map(|(x, _)| x).sum::<f64>() / n;
    let level = points.iter().map(|(_, y)| y).sum::<f64>() / n;
    let spread = points.iter().map(|(x, _)| (x - middle).powi(2)).sum::<f64>();
    if spread <= 0.0 || !spread.is_finite() || !level.is_finite() {
        return None;
    }
    let slope = points
        .iter()
        .map(|(x, y)| (x - middle) * (y - level))
        .sum::<f64>()
        / spread;
    let squares = points
        .iter()
        .map(|(x, y)| (y - level - slope * (x - middle)).powi(2))
        .sum::<f64>();
    let size = points.iter().map(|(_, y)| y.abs()).fold(0.0, f64::max);
    let scatter = (squares / (n - 2.0)).sqrt();
    let scatter = if scatter <= size * ROUNDING { 0.0 } else { scatter };
    let slope = if (slope * spread.sqrt()).abs() <= size * ROUNDING {
        0.0
    } else {
        slope
    };
    Some(Line {
        slope,
        slope_error: scatter / spread.sqrt(),
        middle,
        level,
        scatter,
        points: points.len(),
        left_out: false,
    })
}

/// The one point that lies far outside of what the others scatter.
#[expect(clippy::cast_precision_loss, reason = "some hundred points")]
fn outlier(points: &[(f64, f64)], line: &Line) -> Option<usize> {
    if line.scatter == 0.0 {
        return None;
    }
    let n = points.len() as f64;
    let spread = points.iter().map(|(x, _)| (x - line.middle).powi(2)).sum::<f64>();
    let squares = line.scatter.powi(2) * (n - 2.0);
    let mut worst: Option<(usize, f64)> = None;
    for (index, (x, y)) in points.iter().enumerate() {
        let residual = y - line.at(*x);
        // The pull that the point has on the line itself.
        let own = 1.0 - 1.0 / n - (x - line.middle).powi(2) / spread;
        if own <= 0.0 {
            continue;
        }
        let of_others = ((squares - residual.powi(2) / own) / (n - 3.0)).max(0.0).sqrt();
        let floor = points.iter().map(|(_, y)| y.abs()).fold(0.0, f64::max) * ROUNDING;
        let apart = residual.abs() / (of_others.max(floor) * own.sqrt());
        if apart > OUTLIER && worst.is_none_or(|(_, most)| apart > most) {
            worst = Some((index, apart));
        }
    }
    worst.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: u32, y: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..count).map(|x| (f64::from(x), y(f64::from(x)))).collect()
    }

    #[test]
    fn a_known_slope_is_found_exactly_and_is_certain() {
        let line = fit(&points(15, |x| 22.0 + 0.25 * x)).unwrap();
        assert!((line.slope - 0.25).abs() < 1e-12);
        assert!((line.at(100.0) - 47.0).abs() < 1e-9);
        assert_eq!((line.scatter, line.slope_error, line.left_out), (0.0, 0.0, false));
        assert_eq!(line.certainty(), f64::INFINITY);
    }

    #[test]
    fn a_constant_has_no_slope_and_no_certainty() {
        let line = fit(&points(15, |_| 22.1)).unwrap();
        assert_eq!((line.slope, line.certainty()), (0.0, 0.0));
    }

    #[test]
    fn one_outlier_anywhere_is_left_out_and_two_are_not() {
        for at in 0..15 {
            let mut spoilt = points(15, |x| 22.0 + 0.25 * x + 0.02 * (x * 2.4).sin());
            spoilt[at].1 = 85.0;
            let line = fit(&spoilt).unwrap();
            assert!(line.left_out, "{at}");
            assert!((line.slope - 0.25).abs() < 0.01, "{at}: {}", line.slope);
        }
        let mut spoilt = points(15, |x| 22.0 + 0.25 * x);
        spoilt[7].1 = 30.0;
        spoilt[8].1 = 30.0;
        assert!(!fit(&spoilt).unwrap().left_out, "two that agree are no slip");
    }

    #[test]
    fn too_few_points_or_all_at_one_moment_give_no_line() {
        assert_eq!(fit(&points(3, |x| x)), None);
        assert_eq!(fit(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0), (1.0, 4.0)]), None);
        assert_eq!(fit(&points(5, |_| f64::NAN)), None);
    }

    #[test]
    fn the_error_of_the_slope_bounds_what_noise_does_to_it() {
        // A fixed sequence of a small generator, so that the test says the same every time.
        let mut seed: u32 = 7;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(seed >> 8) / f64::from(1_u32 << 24) - 0.5
        };
        let mut within = 0;
        for _ in 0..200 {
            let spoilt: Vec<(f64, f64)> = (0..30)
                .map(|x| (f64::from(x), 20.0 + 0.1 * f64::from(x) + noise()))
                .collect();
            let line = fit(&spoilt).unwrap();
            within += usize::from((line.slope - 0.1).abs() <= 2.0 * line.slope_error);
        }
        assert!((180..=200).contains(&within), "{within} of 200 within two errors");
    }
}
