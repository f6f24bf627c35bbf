//! Where a series of measurements begins.
//!
//! What is measured first is often slower: caches are cold, a processor has not raised its frequency
//! yet, KVM does what it does only once. Or faster: a turbo that does not last. How long that goes on
//! depends on the machine, so it is looked for in the series itself:
//!
//! 1. The second half of the series says what its values are like: from its lower quartile to its
//!    upper one, and one and a half times as much as lies between them on either side (Tukey's
//!    fences), but at least [`RESOLUTION`] of its median on either side.
//! 2. Values at the beginning are left out while they lie outside of that.
//! 3. If more than a quarter of the series would be left out, it has not settled.
//! 4. If the medians of the two halves of the rest differ by more than [`RESOLUTION`], and their
//!    intervals do not meet, it has not settled either: it drifts.

use super::{FEWEST, RESOLUTION, median, sorted};

/// At most one value of so many is left out.
const MOST_LEFT_OUT: usize = 4;

/// Why a series says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// The beginning is too long.
    #[error(
        "did not settle: more than a quarter of its batches, at the beginning, are unlike the rest"
    )]
    Beginning,
    /// The values go on changing.
    #[error("did not settle: the later half of its batches differs from the earlier one")]
    Drift,
}

/// How many values at the beginning are warm-up. A series that is too short to have an interval is
/// taken as it is.
///
/// ```
/// use reports::statistics::settled;
/// let mut series = vec![180.0, 130.0];
/// series.extend([100.0, 101.0, 99.0].repeat(5));
/// assert_eq!(settled(&series), Ok(2));
/// ```
///
/// # Errors
/// It never settled.
pub fn settled(series: &[f64]) -> Result<usize, Unsettled> {
    if series.len() < FEWEST {
        return Ok(0);
    }
    let usual = Fences::of(&series[series.len() / 2..]);
    let most = series.len() / MOST_LEFT_OUT;
    let begin = series
        .iter()
        .take(most + 1)
        .position(|value| usual.hold(*value))
        .ok_or(Unsettled::Beginning)?;
    if drifts(&series[begin..]) { Err(Unsettled::Drift) } else { Ok(begin) }
}

/// What most values lie between.
struct Fences {
    low: f64,
    high: f64,
}

impl Fences {
    fn of(values: &[f64]) -> Self {
        const BEYOND: f64 = 1.5;
        let sorted = sorted(values);
        let at = |quarters: usize| sorted[(sorted.len() - 1) * quarters / 4];
        let (lower, middle, upper) = (at(1), at(2), at(3));
        let (beyond, least) = (BEYOND * (upper - lower), RESOLUTION * middle.abs());
        Self {
            low: (lower - beyond).min(middle - least),
            high: (upper + beyond).max(middle + least),
        }
    }

    fn hold(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// Whether the two halves differ, as far as they can tell.
fn drifts(series: &[f64]) -> bool {
    let (early, late) = series.split_at(series.len() / 2);
    let (Some(early), Some(late)) = (median(early), median(late)) else { return false };
    let (Some(one), Some(other)) = (early.interval, late.interval) else { return false };
    let apart = one.1 < other.0 || other.1 < one.0;
    apart && (early.value - late.value).abs() > RESOLUTION * late.value.abs()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A series around 1000 whose noise is less than what has to be resolved.
    fn quiet(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(995.0..1005.0, length)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_series_that_begins_as_it_goes_on_is_whole(series in quiet(0..80)) {
            prop_assert_eq!(settled(&series), Ok(0));
        }

        #[test]
        fn a_beginning_of_other_values_is_left_out_to_the_value(
            series in quiet(12..80),
            warm in any::<prop::sample::Index>(),
            factor in prop_oneof![0.2..0.9, 1.1..50.0],
        ) {
            let mut series = series;
            let warm = warm.index(series.len() / 4 + 1);
            for value in &mut series[..warm] {
                *value *= factor;
            }
            prop_assert_eq!(settled(&series), Ok(warm));
        }

        #[test]
        fn too_long_a_beginning_is_no_measurement(
            series in quiet(12..80), more in 0usize..8, factor in 1.1..50.0,
        ) {
            let mut series = series;
            let warm = (series.len() / 4 + 1 + more).min(series.len() / 2);
            for value in &mut series[..warm] {
                *value *= factor;
            }
            prop_assert_eq!(settled(&series), Err(Unsettled::Beginning));
        }

        #[test]
        fn a_series_that_never_stops_growing_is_no_measurement(
            series in quiet(24..80), growth in 0.3..3.0,
        ) {
            let count = f64::from(u32::try_from(series.len()).unwrap());
            let grown = |(index, value): (u32, &f64)| {
                value * (1.0 + growth * f64::from(index) / count)
            };
            let series: Vec<f64> = (0..).zip(&series).map(grown).collect();
            prop_assert!(settled(&series).is_err());
        }

        #[test]
        fn whatever_comes_at_most_a_quarter_is_left_out_and_the_unit_does_not_matter(
            series in prop::collection::vec(1.0..1e6, 0..60),
        ) {
            let result = settled(&series);
            if let Ok(begin) = result {
                prop_assert!(begin <= series.len() / 4);
            }
            let scaled: Vec<f64> = series.iter().map(|value| value * 64.0).collect();
            prop_assert_eq!(settled(&scaled), result);
        }
    }

    #[test]
    fn single_disturbances_later_on_are_no_warm_up_and_no_drift() {
        let mut series = vec![100.0; 40];
        for at in [7, 19, 33] {
            series[at] = 900.0;
        }
        assert_eq!(settled(&series), Ok(0));
    }
}
