//! Two runs held against each other, row by row.
//!
//! Deterministic metrics are compared exactly. Noisy ones are judged by their single values
//! (by `noise`), where both sides have them; one that newly failed is a difference whatever the noise.
//!
//! If each holds one kernel, their rows are joined, whatever the versions. Of several, equal kernels
//! are joined, then those that can be no others: the same variant of a series, another variant of a
//! package. What has no partner is missing, or new.

mod gate;
mod join;
mod markdown;
mod noise;
mod pair;
mod rank;
mod rows;
mod surroundings;
mod text;

pub use gate::{Gate, GateError, Ruling};
pub use join::{Keep, compare};
pub use markdown::escaped;
use noise::findings;
pub use noise::{Finding, Noisy, Rule};
pub use rank::rank_test;
pub use rows::Rows;
pub use surroundings::Surroundings;

use crate::read::ReadError;
use crate::record::{Key, Larger, Metric, Sample, Status, Subject, Unit, Value};
use crate::statistics::Median;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Rows that a reader is shown who did not ask for all.
const MOST_SHOWN: usize = 50;

/// Why two runs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One side cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The same row twice on one side.
    #[error("{side} holds two rows for {key} of {subject}: compare files as drbench wrote them")]
    Duplicate {
        /// `BEFORE` or `AFTER`.
        side: &'static str,
        /// The kernel.
        subject: Box<Subject>,
        /// The row.
        key: Box<Key>,
    },
    /// Several kernels, and nothing says which belong together.
    #[error(
        "BEFORE holds {before} and AFTER {after}: which is to be compared with which? \
         Give runs of one kernel each, or of the same kernels and variants on both sides"
    )]
    Unpaired {
        /// The kernels of BEFORE.
        before: String,
        /// The kernels of AFTER.
        after: String,
    },
}

/// What one side says of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The unit of the value.
    pub unit: Unit,
    /// The value.
    pub value: Option<Value>,
    /// The status.
    pub status: Status,
    /// The reason, or the verdict's name.
    pub reason: String,
    /// Whether the value must be the same in every run.
    pub deterministic: bool,
}

/// How a row differs.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// An exact metric, or its status, is another; or a noisy one newly failed.
    Changed {
        /// In BEFORE.
        before: Side,
        /// In AFTER.
        after: Side,
    },
    /// A noisy metric is another, by more than the noise.
    Shifted {
        /// In BEFORE.
        before: Side,
        /// In AFTER.
        after: Side,
        /// Medians, and how sure it is.
        noisy: Box<Noisy>,
    },
    /// Exact on one side and noisy on the other: it cannot be compared.
    Determinism {
        /// In BEFORE.
        before: Side,
        /// In AFTER.
        after: Side,
    },
    /// Not there any more.
    Missing {
        /// In BEFORE.
        before: Side,
    },
    /// Not there before.
    New {
        /// In AFTER.
        after: Side,
    },
    /// Equal, or another by too little to matter.
    Same {
        /// In BEFORE.
        before: Side,
        /// In AFTER.
        after: Side,
    },
    /// Resolved in BEFORE, and not in AFTER.
    Opened {
        /// In BEFORE.
        before: Side,
        /// In AFTER.
        after: Side,
    },
    /// Too noisy, unresolved, or of nothing that could be held against the kernel.
    CannotTell {
        /// In BEFORE.
        before: Side,
        /// In AFTER.
        after: Side,
    },
}

/// A row that differs; with [`Keep::Everything`] also one that does not.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The kernel: of AFTER, or of BEFORE where the row is missing.
    pub subject: Arc<Subject>,
    /// Which row.
    pub key: Key,
    /// How.
    pub change: Change,
    /// What a gate says of it, where one of its limits fits.
    pub ruling: Option<Ruling>,
}

impl Difference {
    /// Whether it fails the comparison: by its limit, or else whatever is not better, but for a new row.
    pub fn is_regression(&self) -> bool {
        match self.ruling {
            Some(ruling) => ruling == Ruling::Broken,
            None => match &self.change {
                Change::New { after } => after.status == Status::Failed,
                Change::Same { .. } | Change::CannotTell { .. } | Change::Opened { .. } => false,
                _ => !self.is_better(),
            },
        }
    }

    /// Whether a reader wants to see it: not a row that is only new, that may differ, or that noise kept
    /// from being resolved.
    fn matters(&self) -> bool {
        match (self.ruling, &self.change) {
            (Some(Ruling::Allowed), _) => false,
            (None, Change::New { .. }) => self.is_regression(),
            (None, Change::Opened { before, .. }) => before.deterministic,
            (Some(Ruling::Within | Ruling::Broken) | None, _) => true,
        }
    }

    /// Whether AFTER costs less, or what it says is surer, and nothing else is different.
    pub fn is_better(&self) -> bool {
        let ((Some(before), Some(after)), false) = (self.change.sides(), self.is_of_two_kinds())
        else {
            return false;
        };
        let Some((ours, theirs)) = self.costs() else {
            let same = (before.value, before.unit) == (after.value, after.unit)
                && (self.key.metric != Metric::Verdict || before.reason == after.reason);
            let surer =
                before.status == Status::Failed || (before.status == Status::Unconfirmed && same);
            return after.status == Status::Ok && surer;
        };
        after.status == Status::Ok && theirs < ours
    }

    /// Whether AFTER costs more.
    pub fn is_worse(&self) -> bool {
        self.costs().is_some_and(|(before, after)| after > before)
    }

    /// BEFORE's and AFTER's value as costs, of which more is worse, where they are and are not equal:
    /// known on both sides, in one unit, of a metric with a better and a worse.
    fn costs(&self) -> Option<(f64, f64)> {
        let (before, after) = self.change.sides();
        let (before, after) = before.zip(after)?;
        let known = |side: &Side| matches!(side.status, Status::Ok | Status::Unconfirmed);
        let values = before.value.zip(after.value).filter(|(before, after)| before != after)?;
        let (ours, theirs) = (values.0.as_f64(), values.1.as_f64());
        let comparable = before.unit == after.unit && known(before) && known(after);
        match self.key.metric.larger_is() {
            Larger::Worse => comparable.then_some((ours, theirs)),
            Larger::Better => comparable.then_some((-ours, -theirs)),
            Larger::Neither => None,
        }
    }

    /// The change as a share of BEFORE's value, whatever its sign; endless where there is none.
    fn size(&self) -> f64 {
        let (before, after) = self.change.sides();
        let values = before.zip(after).and_then(|(before, after)| before.value.zip(after.value));
        values.map_or(f64::INFINITY, |(before, after)| {
            let (before, after) = (before.as_f64(), after.as_f64());
            // Of 0 and 0 it is no number, which is no change.
            let share = ((after - before) / before).abs();
            if share.is_nan() { 0.0 } else { share }
        })
    }

    const fn is_of_two_kinds(&self) -> bool {
        matches!(self.change, Change::Determinism { .. })
    }
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// The kernels of BEFORE.
    pub before: Vec<Subject>,
    /// The kernels of AFTER.
    pub after: Vec<Subject>,
    /// Which of them were held against each other: BEFORE's and AFTER's.
    pub pairs: Vec<(Subject, Subject)>,
    /// Exact rows that are equal.
    pub same: usize,
    /// Noisy rows that say nothing of the kernel.
    pub silent: usize,
    /// Rows that are unresolved in BEFORE, or in both.
    pub unresolved: usize,
    /// Of those that it has, how many changed too little to matter.
    pub noisy_same: usize,
    /// And of how many neither is shown.
    pub cannot_tell: usize,
    /// Rows of which nothing could be told although a limit of the gate is theirs.
    pub unheld: usize,
    /// How many of the judged rows by their intervals only, as the single values are not there.
    pub by_intervals: usize,
    /// Noisy rows of both sides that are to be judged; then, those that could not be.
    open: Vec<Open>,
    /// Changed rows in the order of AFTER, then missing ones in the order of BEFORE, then new ones
    /// in the order of AFTER.
    pub differences: Vec<Difference>,
    /// With [`Keep::Everything`] the others that both sides have, in the order of AFTER; noisy ones last.
    pub rest: Vec<Difference>,
    keep_rest: bool,
}

/// A noisy row of both sides.
#[derive(Debug, Clone, PartialEq)]
struct Open {
    /// The kernels: BEFORE's and AFTER's.
    subjects: (Arc<Subject>, Arc<Subject>),
    key: Key,
    before: Side,
    after: Side,
    /// Their values with intervals, where both have one.
    medians: Option<(Median, Median)>,
}

impl Comparison {
    /// Whether AFTER says as much as BEFORE: no row is unresolved there only, and all could be judged.
    pub fn is_whole(&self) -> bool {
        let opened = |it: &Difference| matches!(it.change, Change::Opened { .. });
        self.open.is_empty() && !self.differences.iter().any(opened)
    }

    /// How many noisy rows are still to be judged, or could not be.
    pub fn noisy(&self) -> usize {
        self.open.len()
    }

    /// Judges the noisy rows by the single values behind them; where those are not there on both sides, by
    /// the intervals of their medians. A row that has neither stays as it is.
    pub fn judge(&mut self, before: &[Sample], after: &[Sample], rule: Rule) {
        let (before, after) = (Boots::of(before), Boots::of(after));
        let mut asked = Vec::new();
        let rows = self.open.len();
        for open in std::mem::take(&mut self.open) {
            let ours = before.get(&open.subjects.0, &open.key);
            let theirs = after.get(&open.subjects.1, &open.key);
            let by_values = Noisy::of(&ours, &theirs, rows, rule);
            let by_intervals =
                || open.medians.map(|(ours, theirs)| Noisy::of_medians(ours, theirs));
            self.by_intervals += usize::from(by_values.is_none() && open.medians.is_some());
            match by_values.or_else(by_intervals) {
                Some(noisy) => asked.push((open, noisy)),
                None => self.open.push(open),
            }
        }
        let (rows, noisy): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let found = findings(&noisy, rule);
        for ((row, noisy), finding) in rows.into_iter().zip(noisy).zip(found) {
            self.tell(row, noisy, finding);
        }
        for open in self.open.clone() {
            self.keep(open, |before, after| Change::CannotTell { before, after });
        }
    }

    /// Puts a noisy row where it belongs, now that it is judged.
    fn tell(&mut self, row: Open, noisy: Noisy, finding: Finding) {
        // A row's own value may be its first boot's: what was judged is what is shown.
        let judged =
            |side: Side, median: f64| Side { value: Value::real(median).or(side.value), ..side };
        let Open { subjects, key, before, after, medians } = row;
        let before = judged(before, noisy.before.value);
        let after = judged(after, noisy.after.value);
        match finding {
            Finding::More | Finding::Less => {
                let change = Change::Shifted { before, after, noisy: Box::new(noisy) };
                let subject = subjects.1;
                self.differences.push(Difference { subject, key, change, ruling: None });
            }
            Finding::Same => {
                self.noisy_same += 1;
                let row = Open { subjects, key, before, after, medians };
                self.keep(row, |before, after| Change::Same { before, after });
            }
            Finding::CannotTell => {
                self.cannot_tell += 1;
                let row = Open { subjects, key, before, after, medians };
                self.keep(row, |before, after| Change::CannotTell { before, after });
            }
        }
    }

    /// Keeps a row that is no difference, if such are kept.
    fn keep(&mut self, row: Open, change: impl FnOnce(Side, Side) -> Change) {
        if self.keep_rest {
            let Open { subjects: (_, subject), key, before, after, .. } = row;
            let change = change(before, after);
            self.rest.push(Difference { subject, key, change, ruling: None });
        }
    }

    /// What differs, the worst first: regressions, then what is only told, then what is better; of each,
    /// the largest change first, and what has no size before it.
    pub fn worst_first(&self) -> impl Iterator<Item = &Difference> {
        let mut sorted: Vec<&Difference> = self.differences.iter().collect();
        let rank = |it: &Difference| match (it.is_regression(), it.is_better()) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        // Sizes are not negative, so their bits are in their order.
        sorted.sort_by_cached_key(|it| (rank(it), u64::MAX - it.size().to_bits()));
        sorted.into_iter()
    }

    /// The rows that a reader is shown, and how many are left: the worst of those that matter; or, where
    /// everything is kept, all.
    fn shown(&self) -> (Vec<&Difference>, usize) {
        let mut rows: Vec<&Difference> = self.worst_first().collect();
        if self.keep_rest {
            rows.extend(&self.rest);
            return (rows, 0);
        }
        rows.retain(|row| row.matters());
        let left = rows.len().saturating_sub(MOST_SHOWN);
        rows.truncate(MOST_SHOWN);
        (rows, left)
    }

    /// Whether AFTER is not as good as BEFORE: something changed, or is missing.
    pub fn is_regression(&self) -> bool {
        self.differences.iter().any(Difference::is_regression)
    }
}

/// Single values by row and boot.
struct Boots<'a>(HashMap<(&'a Subject, &'a Key), BTreeMap<u32, Vec<f64>>>);

impl<'a> Boots<'a> {
    fn of(samples: &'a [Sample]) -> Self {
        let mut boots: HashMap<_, BTreeMap<u32, Vec<f64>>> = HashMap::new();
        for sample in samples {
            let of_row = boots.entry((&sample.subject, &sample.key)).or_default();
            of_row.entry(sample.boot).or_default().push(sample.value.as_f64());
        }
        Self(boots)
    }

    fn get(&self, subject: &Subject, key: &Key) -> Vec<Vec<f64>> {
        self.0.get(&(subject, key)).map_or_else(Vec::new, |of| of.values().cloned().collect())
    }
}
