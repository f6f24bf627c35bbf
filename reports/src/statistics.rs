//! Small statistics over single values.

/// A median with an interval for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// The middle value; of an even number, the mean of the two.
    pub value: f64,
    /// An interval that holds the true median in 95 % of cases, from order statistics alone: no
    /// assumption on the distribution. None below six values, which cannot give 95 %.
    pub interval: Option<(f64, f64)>,
}

/// The median of `values`, none if there are none.
///
/// ```
/// use reports::statistics::median;
/// assert_eq!(median(&[3.0, 1.0, 2.0]).unwrap().value, 2.0);
/// assert_eq!(median(&[]), None);
/// let ten: Vec<f64> = (1..=10).map(f64::from).collect();
/// assert_eq!(median(&ten).unwrap().interval, Some((2.0, 9.0)));
/// ```
pub fn median(values: &[f64]) -> Option<Median> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let value = match sorted.len() {
        0 => return None,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    };
    let interval =
        outer_rank(sorted.len()).map(|rank| (sorted[rank], sorted[sorted.len() - 1 - rank]));
    Some(Median { value, interval })
}

/// How many values may be left off at each end, so that what is between still holds the median with
/// a probability of 95 %: each value lies below it with probability 1/2.
fn outer_rank(count: usize) -> Option<usize> {
    const EACH_SIDE: f64 = 0.025;
    let n = i32::try_from(count).ok()?;
    // 0.5^n would reach zero near n = 1074; such samples need no rank exact to one.
    if n > 1000 {
        let width = 0.98 * f64::from(n).sqrt();
        return (0..n / 2)
            .rev()
            .find(|&rank| f64::from(rank) <= f64::from(n) / 2.0 - width)
            .and_then(|rank| usize::try_from(rank).ok());
    }
    // Probability that exactly k of n lie below, from k = 0 upwards.
    let mut probability = 0.5f64.powi(n);
    let mut below = 0.0;
    let mut rank = None;
    for k in 0..n / 2 {
        below += probability;
        if below > EACH_SIDE {
            break;
        }
        rank = usize::try_from(k).ok();
        probability *= f64::from(n - k) / f64::from(k + 1);
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_values_give_no_interval_and_six_their_ends() {
        let values: Vec<f64> = (0..6).map(f64::from).collect();
        assert_eq!(median(&values[..5]).unwrap().interval, None);
        assert_eq!(median(&values).unwrap().interval, Some((0.0, 5.0)));
    }

    #[test]
    fn large_samples_have_narrow_intervals_on_both_sides_of_the_median() {
        for n in [999, 1001, 100_000] {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            let Median { value, interval } = median(&values).unwrap();
            let (low, high) = interval.unwrap();
            assert!(low < value && value < high);
            assert!(high - low < 2.1 * f64::from(n).sqrt(), "{n}: {low}..{high}");
        }
    }
}
