//! Noisy values held against each other.
//!
//! A change needs both: ranks that one distribution would hardly give ([`rank_test`], corrected for how
//! many metrics were asked at once), and a size that matters, by the intervals of both medians. What is
//! neither a change nor known to be none is told as such.

use super::rank::rank_test;
use crate::statistics::{Median, median};
use std::f64::consts::SQRT_2;

/// What counts as a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The smallest change of a median that matters, as a share.
    pub effect: f64,
    /// By how much two boots of one kernel may differ, as a share: where there is but one on a side the
    /// medians' change must be larger by that.
    pub between_boots: f64,
    /// How probable a change may be that is none, over all metrics together.
    pub level: f64,
    /// By how much AFTER's machine itself was slower, by each control, as shares: a change that this
    /// explains is none of the kernel's.
    pub slower: [f64; 2],
}

impl Default for Rule {
    /// 2 %, as a measurement must be able to resolve; 1 % between boots: of 280 pairs of boots of one kernel
    /// 8 differed by more than the 2 % alone, half of those by less than 3 %; and one in twenty.
    fn default() -> Self {
        let effect = crate::statistics::RESOLUTION;
        Self { effect, between_boots: 0.01, level: 0.05, slower: [0.0; 2] }
    }
}

impl Rule {
    /// A change as it is, and as it is in units of each control.
    fn explained(&self, change: f64) -> [f64; 3] {
        let [core, below] = self.slower.map(|slower| (1.0 + change) / (1.0 + slower) - 1.0);
        [change, core, below]
    }

    /// Whether the machine itself was another by more than matters.
    fn is_another_machine(&self) -> bool {
        self.slower.iter().any(|slower| slower.abs() > self.effect)
    }
}

/// What the single values say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// AFTER is larger.
    More,
    /// AFTER is smaller.
    Less,
    /// Whatever change there is, it is too small to matter.
    Same,
    /// Neither is shown.
    CannotTell,
}

/// A noisy metric of both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Noisy {
    /// BEFORE's median.
    pub before: Median,
    /// AFTER's.
    pub after: Median,
    /// The probability of such ranks without a change, not corrected yet.
    pub p: f64,
    /// Whether there is but one boot on a side.
    single: bool,
    /// Whether the boots of the two sides do not overlap; none of a single boot.
    apart: Option<bool>,
}

impl Noisy {
    /// Of single values by boot, one of so many rows that are asked at once. None where a side has no
    /// value.
    pub fn of(before: &[Vec<f64>], after: &[Vec<f64>], rows: usize, rule: Rule) -> Option<Self> {
        let boots = |side: &[Vec<f64>]| -> Vec<f64> {
            side.iter().filter_map(|values| Some(median(values)?.value)).collect()
        };
        let (boots_before, boots_after) = (boots(before), boots(after));
        // Boots differ more than the batches of one. Where there are so many that their medians alone
        // can show a change, only they count; of fewer, none of one side may lie among the other's.
        let enough = can_show(boots_before.len(), boots_after.len(), rows, rule);
        let (ours, theirs) = if enough {
            (boots_before.clone(), boots_after.clone())
        } else {
            (before.concat(), after.concat())
        };
        Some(Self {
            before: median(&ours)?,
            after: median(&theirs)?,
            p: rank_test(&ours, &theirs)?,
            single: boots_before.len().min(boots_after.len()) == 1,
            apart: (boots_before.len().max(boots_after.len()) > 1 && !enough)
                .then(|| are_apart(&boots_before, &boots_after)),
        })
    }

    /// Of two medians, of whose single values nothing is known but their intervals.
    pub fn of_medians(before: Median, after: Median) -> Self {
        /// So many standard errors lie between a normal distribution's middle and each end of 95 %.
        const ENDS: f64 = 1.96;
        let error =
            |side: Median| side.interval.map_or(0.0, |(low, high)| (high - low) / 2.0 / ENDS);
        let distance = (after.value - before.value).abs();
        let errors = error(before).hypot(error(after));
        // Equal values are no change, however narrow their intervals.
        let p = if distance > 0.0 { libm::erfc(distance / errors / SQRT_2) } else { 1.0 };
        Self { before, after, p, single: true, apart: None }
    }

    /// The change of the median, as a share of BEFORE's.
    pub fn change(&self) -> f64 {
        (self.after.value - self.before.value) / self.before.value.abs()
    }

    /// The least and the most that the change may be, by the intervals of both medians.
    pub fn change_between(&self) -> Option<(f64, f64)> {
        let ((low, high), (new_low, new_high)) = self.before.interval.zip(self.after.interval)?;
        let size = self.before.value.abs();
        Some(((new_low - high) / size, (new_high - low) / size))
    }

    /// What that says, with the probability as corrected.
    fn finding(&self, rule: Rule, corrected: f64) -> Finding {
        let shown = corrected < rule.level && self.apart.unwrap_or(true);
        let within = |(least, most): (f64, f64)| least >= -rule.effect && most <= rule.effect;
        // What is told to be more than matters is so at either end of the intervals.
        let (least, most) = self.change_between().unwrap_or((self.change(), self.change()));
        // And by their medians, what a boot may add.
        let larger = rule.effect + if self.single { rule.between_boots } else { 0.0 };
        let all = |end: f64, beyond: fn(f64, f64) -> bool| {
            rule.explained(end).iter().all(|change| beyond(*change, rule.effect))
                && rule.explained(self.change()).iter().all(|change| beyond(*change, larger))
        };
        match self.change_between() {
            _ if shown && all(least, |change, effect| change > effect) => Finding::More,
            _ if shown && all(most, |change, effect| change < -effect) => Finding::Less,
            Some(interval) if within(interval) && !rule.is_another_machine() => Finding::Same,
            _ => Finding::CannotTell,
        }
    }
}

/// Whether the most unequal ranks of so many boots would be evidence for one of so many rows.
fn can_show(before: usize, after: usize, rows: usize, rule: Rule) -> bool {
    let values =
        |count: usize, from: u32| -> Vec<f64> { (from..).take(count).map(f64::from).collect() };
    let most_unequal = rank_test(&values(before, 0), &values(after, 1_000_000));
    let rows = crate::Value::count(rows as u64).as_f64();
    most_unequal.is_some_and(|p| p * rows < rule.level)
}

/// Whether every boot of one side lies beyond every boot of the other.
fn are_apart(one: &[f64], other: &[f64]) -> bool {
    let below = |low: &[f64], high: &[f64]| low.iter().all(|a| high.iter().all(|b| a < b));
    below(one, other) || below(other, one)
}

/// What each of the metrics says, all asked at once: Holm's step-down correction (S. Holm, "A simple
/// sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979).
pub fn findings(asked: &[Noisy], rule: Rule) -> Vec<Finding> {
    let mut order: Vec<usize> = (0..asked.len()).collect();
    order.sort_by(|&a, &b| asked[a].p.total_cmp(&asked[b].p));
    let mut found = vec![Finding::CannotTell; asked.len()];
    let mut corrected = 0.0_f64;
    for (place, &index) in order.iter().enumerate() {
        let left = crate::Value::count((asked.len() - place) as u64).as_f64();
        corrected = corrected.max(asked[index].p * left).min(1.0);
        found[index] = asked[index].finding(rule, corrected);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values around a middle, a thousandth apart.
    fn around(middle: f64, count: u32) -> Vec<f64> {
        (0..count).map(|i| middle * (1.0 + f64::from(i * 7 % count) / 1000.0)).collect()
    }

    fn one(before: &[Vec<f64>], after: &[Vec<f64>]) -> Finding {
        findings(&[Noisy::of(before, after, 1, Rule::default()).unwrap()], Rule::default())[0]
    }

    #[test]
    fn a_change_must_be_both_sure_and_large_enough() {
        let before = [around(100.0, 20)];
        assert_eq!(one(&before, &[around(105.0, 20)]), Finding::More);
        assert_eq!(one(&before, &[around(95.0, 20)]), Finding::Less);
        assert_eq!(one(&before, &[around(100.5, 20)]), Finding::Same, "sure, but small");
        let border = one(&before, &[around(102.1, 20)]);
        assert_eq!(border, Finding::CannotTell, "sure to be a change, not sure to matter");
        let three = [around(100.0, 3)];
        assert_eq!(one(&three, &[around(105.0, 3)]), Finding::CannotTell, "by chance in 10 %");
        let wide = [(1..=20).map(|i| 80.0 + 2.0 * f64::from(i)).collect()];
        assert_eq!(one(&before, &wide), Finding::CannotTell);
    }

    #[test]
    fn what_a_slower_machine_explains_is_no_change_and_what_is_beyond_it_is() {
        let before = around(100.0, 20);
        let found = |after: f64, slower: [f64; 2]| {
            let rule = Rule { slower, ..Rule::default() };
            findings(
                &[Noisy::of(std::slice::from_ref(&before), &[around(after, 20)], 1, rule).unwrap()],
                rule,
            )[0]
        };
        assert_eq!(found(105.0, [0.0, 0.0]), Finding::More);
        assert_eq!(found(105.0, [0.05, 0.0]), Finding::CannotTell);
        assert_eq!(found(105.0, [0.0, 0.04]), Finding::CannotTell);
        assert_eq!(found(150.0, [0.05, 0.04]), Finding::More);
        assert_eq!(found(150.0, [-0.05, 0.0]), Finding::More);
        assert_eq!(found(100.0, [0.001, 0.0]), Finding::Same);
        assert_eq!(
            found(100.0, [0.05, 0.0]),
            Finding::CannotTell,
            "a faster kernel on a slower machine?"
        );
    }

    #[test]
    fn boots_that_overlap_are_no_change_however_sure_their_batches_are() {
        let boots = |middles: &[f64]| middles.iter().map(|m| around(*m, 50)).collect::<Vec<_>>();
        let before = boots(&[100.0, 107.0]);
        assert_eq!(one(&before, &boots(&[104.0, 108.0])), Finding::CannotTell);
        assert_eq!(one(&before, &boots(&[115.0, 117.0])), Finding::More);
        // With enough of them they are compared as what they are.
        let many = boots(&[100.0, 107.0, 101.0, 106.0, 103.0]);
        assert_eq!(one(&many, &boots(&[104.0, 100.0, 108.0, 103.0, 105.0])), Finding::CannotTell);
        assert_eq!(one(&many, &boots(&[112.0, 111.0, 115.0, 113.0, 114.0])), Finding::More);
    }

    #[test]
    fn medians_alone_tell_a_change_by_their_intervals() {
        let median =
            |value: f64, half: f64| Median { value, interval: Some((value - half, value + half)) };
        let found = |before: Median, after: Median, rows: usize| {
            let asked = vec![Noisy::of_medians(before, after); rows];
            findings(&asked, Rule::default())[0]
        };
        assert_eq!(found(median(100.0, 0.5), median(105.0, 0.5), 64), Finding::More);
        assert_eq!(found(median(105.0, 0.5), median(100.0, 0.5), 64), Finding::Less);
        assert_eq!(found(median(100.0, 0.5), median(100.5, 0.5), 64), Finding::Same);
        assert_eq!(found(median(100.0, 2.0), median(106.5, 2.0), 1), Finding::More);
        assert_eq!(found(median(100.0, 2.0), median(105.0, 2.0), 1), Finding::CannotTell);
        assert_eq!(
            found(median(100.0, 0.0), median(105.0, 0.0), 64),
            Finding::More,
            "all were alike"
        );
        assert_eq!(found(median(100.0, 0.0), median(100.0, 0.0), 64), Finding::Same);
    }

    #[test]
    fn between_single_boots_more_is_wanted_than_between_many() {
        let boots =
            |middle: f64, count| vec![[middle - 0.1, middle, middle + 0.1].repeat(9); count];
        assert_eq!(one(&boots(100.0, 1), &boots(102.5, 1)), Finding::CannotTell);
        assert_eq!(one(&boots(100.0, 5), &boots(102.5, 1)), Finding::CannotTell);
        assert_eq!(one(&boots(100.0, 2), &boots(102.5, 2)), Finding::More);
        assert_eq!(one(&boots(100.0, 1), &boots(103.5, 1)), Finding::More);
    }

    #[test]
    fn of_many_metrics_asked_at_once_more_is_wanted() {
        let rule = Rule::default();
        let (low, high) = ([vec![1.0, 2.0, 3.0, 4.0]], [vec![5.0, 6.0, 7.0, 8.0]]);
        let weak = Noisy::of(&low, &high, 2, rule).unwrap();
        assert!(weak.p < 0.05);
        assert_eq!(findings(std::slice::from_ref(&weak), rule), [Finding::More]);
        assert_eq!(findings(&[weak.clone(), weak], rule), [Finding::CannotTell; 2]);
    }

    #[test]
    fn five_boots_that_are_all_slower_are_seen_in_each_of_many_rows() {
        let boots = |middles: [f64; 5]| middles.map(|middle| around(middle, 50)).to_vec();
        let before = boots([100.0, 101.0, 102.0, 103.0, 104.0]);
        let after = boots([200.0, 201.0, 202.0, 203.0, 204.0]);
        let rule = Rule::default();
        let rows: Vec<_> = (0..64).map(|_| Noisy::of(&before, &after, 64, rule).unwrap()).collect();
        assert!(findings(&rows, rule).iter().all(|finding| *finding == Finding::More));
        // And boots among each other's are no change in any.
        let mixed = boots([99.0, 101.5, 103.5, 150.0, 151.0]);
        let rows: Vec<_> = (0..64).map(|_| Noisy::of(&before, &mixed, 64, rule).unwrap()).collect();
        assert!(findings(&rows, rule).iter().all(|finding| *finding == Finding::CannotTell));
    }

    proptest! {
        #[test]
        fn either_way_round_the_finding_is_the_opposite(
            before in prop::collection::vec(90f64..110.0, 6..40),
            after in prop::collection::vec(90f64..140.0, 6..40),
        ) {
            // An effect of nothing: shares of the two sides are not quite opposite.
            let rule = Rule { effect: 0.0, between_boots: 0.0, ..Rule::default() };
            let find = |one: &[f64], other: &[f64]| {
                findings(&[Noisy::of(&[one.to_vec()], &[other.to_vec()], 1, rule).unwrap()], rule)[0]
            };
            let opposite = match find(&before, &after) {
                Finding::More => Finding::Less,
                Finding::Less => Finding::More,
                same => same,
            };
            prop_assert_eq!(find(&after, &before), opposite);
        }
    }
}
