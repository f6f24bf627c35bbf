//! The bootstrap interval of a median.
//!
//! The percentile bootstrap (Efron, "Bootstrap methods: another look at the jackknife", Annals of
//! Statistics 7, 1979), as Criterion uses it too: draw as many values as there are, with replacement,
//! take their median, and do so often. What 95 % of those medians lie between is the interval. The
//! plain form is taken on purpose: corrections of its bias (`BCa`) need the median's derivative, which
//! a sample's median does not have.

use oorandom::Rand32;

/// Resampled medians: 50 of them lie beyond either end.
const RESAMPLES: usize = 2000;
/// Of either side: 2.5 %.
const TAIL: usize = RESAMPLES / 40;
/// Any number does; it is part of the result's definition.
const SEED: u64 = 2014;

/// Of values that are sorted, and not none.
pub(super) fn interval(sorted: &[f64]) -> (f64, f64) {
    let mut random = Rand32::new(SEED);
    let count = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
    let mut places = vec![0; sorted.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            places.fill_with(|| random.rand_range(0..count));
            middle_at(sorted, &mut places)
        })
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    (medians[TAIL], medians[RESAMPLES - 1 - TAIL])
}

/// The median of the values at these places: that of the places, as values are sorted.
fn middle_at(sorted: &[f64], places: &mut [u32]) -> f64 {
    let even = places.len().is_multiple_of(2);
    let (below, &mut upper, _) = places.select_nth_unstable(places.len() / 2);
    let lower = if even { below.iter().copied().max().unwrap_or(upper) } else { upper };
    f64::midpoint(sorted[lower as usize], sorted[upper as usize])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{median, middle};
    use super::*;

    /// Two numbers between 0 and 1, both excluded.
    fn uniform(random: &mut Rand32) -> f64 {
        (f64::from(random.rand_u32()) + 0.5) / (f64::from(u32::MAX) + 1.0)
    }

    /// Box and Muller's.
    fn normal(random: &mut Rand32) -> f64 {
        let (one, other) = (uniform(random), uniform(random));
        (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
    }

    /// In how many of a thousand samples of `count` the interval holds the true median.
    fn held(count: usize, truth: f64, draw: fn(&mut Rand32) -> f64) -> usize {
        let mut random = Rand32::new(7);
        let one = |_: &usize| {
            let values: Vec<f64> = (0..count).map(|_| draw(&mut random)).collect();
            let (low, high) = median(&values).unwrap().interval.unwrap();
            (low..=high).contains(&truth)
        };
        (0..1000).filter(one).count()
    }

    #[test]
    fn the_true_median_is_in_the_interval_nineteen_times_of_twenty_whatever_the_distribution() {
        type Distribution = (&'static str, f64, fn(&mut Rand32) -> f64);
        let distributions: [Distribution; 4] = [
            ("normal", 100.0, |random| 100.0 + 3.0 * normal(random)),
            ("exponential", 2f64.ln(), |random| -uniform(random).ln()),
            ("lognormal", 1.0, |random| normal(random).exp()),
            // A section, and every fifth disturbed: 5/8 of the others lie below their median then.
            ("disturbed", 10.125, |random| {
                let disturbed = if uniform(random) < 0.2 { 50.0 } else { 0.0 };
                10.0 + 0.2 * uniform(random) + disturbed
            }),
        ];
        for (name, truth, draw) in distributions {
            for count in [6, 15, 45] {
                let held = held(count, truth, draw);
                assert!((900..=990).contains(&held), "{name}, {count} values: {held} of 1000");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_interval_holds_its_median_and_nothing_beyond_the_values(
            values in prop::collection::vec(-1e9..1e9, 6..60),
        ) {
            let median = median(&values).unwrap();
            let (low, high) = median.interval.unwrap();
            prop_assert!(low <= median.value && median.value <= high);
            prop_assert!(values.iter().any(|value| *value <= low));
            prop_assert!(values.iter().any(|value| *value >= high));
            prop_assert_eq!(Some(median.value), middle(&values));
        }

        #[test]
        fn the_order_of_the_values_and_their_unit_do_not_matter(
            values in prop::collection::vec(1.0..1e6, 6..40),
        ) {
            let (low, high) = median(&values).unwrap().interval.unwrap();
            let other: Vec<f64> = values.iter().rev().map(|value| value * 1024.0).collect();
            let expected = Some((low * 1024.0, high * 1024.0));
            prop_assert_eq!(median(&other).unwrap().interval, expected);
        }
    }
}
