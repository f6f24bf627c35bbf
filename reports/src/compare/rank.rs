//! The Mann-Whitney rank test: do two series come from the same distribution?
//!
//! H. B. Mann and D. R. Whitney, "On a test of whether one of two random variables is stochastically
//! larger than the other", Annals of Mathematical Statistics 18 (1947). No assumption on the
//! distribution: times have long tails, and a mean follows the tail.

/// Below this many pairs of values, and without ties, the probability is counted out; above, U is as
/// good as normal.
const COUNTED_OUT: usize = 400;

/// The probability of ranks at least as unequal as these, either way, if both series come from one
/// distribution; none if one of them is empty. Values must be numbers.
///
/// ```
/// use reports::compare::rank_test;
/// assert!(rank_test(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]).unwrap() < 0.01);
/// assert!(rank_test(&[1.0, 3.0, 5.0, 7.0], &[2.0, 4.0, 6.0, 8.0]).unwrap() > 0.5);
/// assert_eq!(rank_test(&[], &[1.0]), None);
/// ```
pub fn rank_test(one: &[f64], other: &[f64]) -> Option<f64> {
    if one.is_empty() || other.is_empty() {
        return None;
    }
    let ranks = Ranks::of(one, other);
    let pairs = one.len() * other.len();
    Some(if ranks.ties == 0.0 && pairs <= COUNTED_OUT {
        ranks.counted_out(one.len(), other.len())
    } else {
        ranks.normal(one.len(), other.len())
    })
}

/// What the ranks of two series say.
struct Ranks {
    /// U of the first: in how many pairs it is the larger, ties as halves.
    u: f64,
    /// Sum of t³ - t over all groups of t equal values.
    ties: f64,
}

// Series have far fewer than 2^52 values.
#[allow(clippy::cast_precision_loss)]
impl Ranks {
    fn of(one: &[f64], other: &[f64]) -> Self {
        let mut values: Vec<(f64, bool)> = one
            .iter()
            .map(|value| (*value, true))
            .chain(other.iter().map(|value| (*value, false)))
            .collect();
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut rank_sum, mut ties, mut before) = (0.0, 0.0, 0.0);
        for equal in values.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let size = equal.len() as f64;
            let own = equal.iter().filter(|(_, first)| *first).count() as f64;
            // Equal values share the mean of their ranks, which begin with 1.
            rank_sum += own * (before + f64::midpoint(size, 1.0));
            ties += size.powi(3) - size;
            before += size;
        }
        let n = one.len() as f64;
        Self { u: rank_sum - n * (n + 1.0) / 2.0, ties }
    }

    /// By counting all orders of the two series: how many have a U this far out.
    fn counted_out(&self, n: usize, m: usize) -> f64 {
        let orders = orders_by_u(n, m);
        let all: f64 = orders.iter().sum();
        let outer = self.u.min((n * m) as f64 - self.u);
        let tail: f64 =
            orders.iter().enumerate().filter(|(u, _)| *u as f64 <= outer).map(|(_, c)| c).sum();
        (2.0 * tail / all).min(1.0)
    }

    /// By the normal distribution, corrected for ties and for U being a whole number.
    fn normal(&self, n: usize, m: usize) -> f64 {
        let (n, m) = (n as f64, m as f64);
        let all = n + m;
        let variance = n * m / 12.0 * (all + 1.0 - self.ties / (all * (all - 1.0)));
        if variance <= 0.0 {
            return 1.0; // all values are equal
        }
        let distance = ((self.u - n * m / 2.0).abs() - 0.5).max(0.0);
        libm::erfc(distance / variance.sqrt() / std::f64::consts::SQRT_2)
    }
}

/// How many of the orders of n and m different values have each U, from 0 to nm: the last value is one
/// of the first series, larger than all m, or one of the second.
fn orders_by_u(n: usize, m: usize) -> Vec<f64> {
    // By the number of the first series' values; each with the second's values so far.
    let mut by_n = vec![vec![1.0]; n + 1];
    for m in 1..=m {
        for n in 1..=n {
            let mut orders = vec![0.0; n * m + 1];
            for (u, count) in by_n[n].iter().enumerate() {
                orders[u] += count;
            }
            for (u, count) in by_n[n - 1].iter().enumerate() {
                orders[u + m] += count;
            }
            by_n[n] = orders;
        }
    }
    by_n.swap_remove(n)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn orders_are_all_there_are_and_as_many_one_way_as_the_other() {
        for (n, m, all) in [(1, 1, 2.0), (3, 2, 10.0), (5, 5, 252.0), (10, 4, 1001.0)] {
            let orders = orders_by_u(n, m);
            assert_eq!(orders.len(), n * m + 1);
            assert!((orders.iter().sum::<f64>() - all).abs() < 1e-9, "{n} {m}");
            assert!(orders.iter().eq(orders.iter().rev()), "{n} {m}");
        }
    }

    #[test]
    fn the_smallest_probabilities_are_those_of_the_published_tables() {
        // All of three below all of three: one order of 20, either way. Of four and four: 70. Of five
        // and five U = 2 is the largest with p <= 0.05 (table of Mann and Whitney).
        let p = |one: &[f64], other: &[f64]| rank_test(one, other).unwrap();
        assert!((p(&[1., 2., 3.], &[4., 5., 6.]) - 0.1).abs() < 1e-12);
        assert!((p(&[1., 2., 3., 4.], &[5., 6., 7., 8.]) - 2.0 / 70.0).abs() < 1e-12);
        let five = [1., 2., 3., 4., 8.];
        assert!((p(&five, &[5., 6., 7., 9., 10.]) - 14.0 / 252.0).abs() < 1e-12);
        assert!(p(&[1., 2., 3., 4., 7.], &[5., 6., 8., 9., 10.]) <= 0.05);
    }

    #[test]
    fn equal_series_are_no_evidence_however_long() {
        assert_eq!(rank_test(&[5.0; 300], &[5.0; 200]), Some(1.0));
    }

    proptest! {
        #[test]
        fn it_is_a_probability_and_does_not_care_which_comes_first(
            one in prop::collection::vec(0u16..50, 1..60),
            other in prop::collection::vec(0u16..50, 1..60),
        ) {
            let floats = |values: &[u16]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
            let (one, other) = (floats(&one), floats(&other));
            let (p, reverse) = (rank_test(&one, &other).unwrap(), rank_test(&other, &one).unwrap());
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert!((p - reverse).abs() < 1e-9);
        }

        #[test]
        fn counted_out_and_normal_agree_where_both_are_good(seed in prop::collection::vec(any::<u32>(), 40)) {
            let mut values: Vec<f64> = seed.iter().map(|v| f64::from(*v)).collect();
            values.dedup();
            let (one, other) = values.split_at(values.len() / 2);
            let ranks = Ranks::of(one, other);
            prop_assume!(ranks.ties == 0.0);
            let both = [ranks.counted_out(one.len(), other.len()), ranks.normal(one.len(), other.len())];
            prop_assert!((both[0] - both[1]).abs() < 0.01, "{both:?}");
        }
    }
}
