//! Small statistics over single values.
//!
//! | question | answer |
//! | --- | --- |
//! | which value stands for a noisy series? | [`middle`]: half of the values lie on either side |
//! | how far can it be trusted? | [`median`], with a bootstrap interval |
//! | is that good enough? | [`Median::resolves`]: to [`RESOLUTION`] on either side |
//! | where does the series begin? | [`settled`]: what is warm-up is left out |

mod bootstrap;
mod warm_up;

pub use warm_up::{Unsettled, settled};

/// What a measurement must be able to resolve, as a share of its value: half the width of its
/// interval.
pub const RESOLUTION: f64 = 0.02;

/// Values below which there is no interval: of five, even the outermost two hold the true median in
/// less than 95 % of cases (each value lies below it with probability 1/2).
pub const FEWEST: usize = 6;

/// A median with an interval for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// The middle value; of an even number, the mean of the two.
    pub value: f64,
    /// The percentile bootstrap's interval of 95 %: between these ends lie 95 % of the medians of
    /// samples drawn from `values` with replacement. No assumption on the distribution, which for
    /// times has a long tail on one side: so may the interval. The draws are the same every time:
    /// whoever computes it again from `samples.csv` gets the same ends. None below [`FEWEST`] values.
    pub interval: Option<(f64, f64)>,
}

impl Median {
    /// Whether the interval is narrow enough; not, where there is none.
    ///
    /// ```
    /// use reports::statistics::median;
    /// assert!(median(&[99.0, 100.0, 100.0, 101.0, 100.0, 99.0]).unwrap().resolves());
    /// assert!(!median(&[60.0, 100.0, 100.0, 140.0, 90.0, 110.0]).unwrap().resolves());
    /// assert!(!median(&[100.0; 3]).unwrap().resolves());
    /// ```
    pub fn resolves(&self) -> bool {
        self.interval.is_some_and(|interval| is_resolved(self.value, interval))
    }

    /// Why it does not, without figures: many rows share the reason, and have the interval beside it.
    pub fn unresolved(&self) -> String {
        let percent = RESOLUTION * 100.0;
        match self.interval {
            Some(_) => format!(
                "the 95 % interval of the median is wider than {percent} % of it on either side"
            ),
            None => format!("fewer than {FEWEST} undisturbed batches give no interval"),
        }
    }
}

/// Whether an interval's half width is within [`RESOLUTION`] of the value it is for.
pub fn is_resolved(value: f64, (low, high): (f64, f64)) -> bool {
    (high - low) / 2.0 <= RESOLUTION * value.abs()
}

/// The middle one of `values`, of an even number the mean of the two; none if there are none.
///
/// ```
/// use reports::statistics::middle;
/// assert_eq!(middle(&[3.0, 1.0, 2.0]), Some(2.0));
/// assert_eq!(middle(&[3.0, 1.0]), Some(2.0));
/// assert_eq!(middle(&[]), None);
/// ```
pub fn middle(values: &[f64]) -> Option<f64> {
    middle_of(&sorted(values))
}

/// The median of `values` and how far it can be trusted, none if there are none.
///
/// ```
/// use reports::statistics::median;
/// let ten: Vec<f64> = (1..=10).map(f64::from).collect();
/// let median = median(&ten).unwrap();
/// assert_eq!(median.value, 5.5);
/// let (low, high) = median.interval.unwrap();
/// assert!(1.0 < low && low < 5.5 && 5.5 < high && high < 10.0);
/// ```
pub fn median(values: &[f64]) -> Option<Median> {
    let sorted = sorted(values);
    let value = middle_of(&sorted)?;
    let interval = (sorted.len() >= FEWEST).then(|| bootstrap::interval(&sorted));
    Some(Median { value, interval })
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn middle_of(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even.is_multiple_of(2) => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_values_give_no_interval_and_six_do() {
        let values: Vec<f64> = (0..6).map(f64::from).collect();
        assert_eq!(median(&values[..5]).unwrap().interval, None);
        let (low, high) = median(&values).unwrap().interval.unwrap();
        assert!((0.0..2.5).contains(&low) && high > 2.5 && high <= 5.0, "{low}..{high}");
    }

    #[test]
    fn large_samples_have_narrow_intervals_on_both_sides_of_the_median() {
        for n in [999, 1000, 10_000] {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            let Median { value, interval } = median(&values).unwrap();
            let (low, high) = interval.unwrap();
            assert!(low < value && value < high);
            assert!(high - low < 2.3 * f64::from(n).sqrt(), "{n}: {low}..{high}");
        }
    }
}
