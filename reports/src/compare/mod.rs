//! Two runs held against each other, row by row.
//!
//! Deterministic metrics are compared exactly. Noisy ones are judged by their single values
//! ([`noise`]), where both sides have them; one that newly failed is a difference whatever the noise.
//!
//! If each holds one kernel, their rows are joined, whatever the versions. Of several, equal kernels
//! are joined, then those that can be no others: the same variant of a series, another variant of a
//! package. What has no partner is missing, or new.

mod gate;
mod markdown;
mod noise;
mod pair;
mod rank;
mod surroundings;
mod text;

pub use gate::{Gate, GateError, Ruling};
use noise::findings;
pub use noise::{Finding, Noisy, Rule};
pub use rank::rank_test;
pub use surroundings::Surroundings;

use crate::read::ReadError;
use crate::record::{Key, Larger, Metric, Record, Sample, Status, Subject, Unit, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

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
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The kernel: of AFTER, or of BEFORE where the row is missing.
    pub subject: Subject,
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
                _ => !self.is_better(),
            },
        }
    }

    /// Whether AFTER costs less, and nothing else is different.
    pub fn is_better(&self) -> bool {
        let ((Some(before), Some(after)), false) = (self.change.sides(), self.is_of_two_kinds())
        else {
            return false;
        };
        let ok = before.status == Status::Ok && after.status == Status::Ok;
        match (ok && before.unit == after.unit, before.value.zip(after.value)) {
            (true, Some((before, after))) => match self.key.metric.larger_is() {
                Larger::Worse => after.as_f64() < before.as_f64(),
                Larger::Better => after.as_f64() > before.as_f64(),
                Larger::Neither => false,
            },
            _ => after.status == Status::Ok && before.status == Status::Failed,
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
    /// Noisy rows of both sides that [`Comparison::judge`] has not judged.
    pub noisy: usize,
    /// Of those that it has, how many changed too little to matter.
    pub noisy_same: usize,
    /// And of how many neither is shown.
    pub cannot_tell: usize,
    /// Rows that are unresolved in AFTER only.
    pub newly_open: usize,
    /// The rows that are to be judged.
    open: Vec<Open>,
    /// Changed rows in the order of AFTER, then missing ones in the order of BEFORE, then new ones
    /// in the order of AFTER.
    pub differences: Vec<Difference>,
}

/// A noisy row of both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    /// The kernels: BEFORE's and AFTER's.
    subjects: (Subject, Subject),
    key: Key,
    before: Side,
    after: Side,
}

impl Comparison {
    /// Judges the noisy rows by the single values behind them. A row without some on both sides stays
    /// as it is.
    pub fn judge(&mut self, before: &[Sample], after: &[Sample], rule: Rule) {
        let (before, after) = (Boots::of(before), Boots::of(after));
        let mut asked = Vec::new();
        let rows = self.open.len();
        for open in std::mem::take(&mut self.open) {
            let ours = before.get(&open.subjects.0, &open.key);
            let theirs = after.get(&open.subjects.1, &open.key);
            match Noisy::of(&ours, &theirs, rows, rule) {
                Some(noisy) => asked.push((open, noisy)),
                None => self.open.push(open),
            }
        }
        self.noisy -= asked.len();
        let (rows, noisy): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let found = findings(&noisy, rule);
        for ((row, noisy), finding) in rows.into_iter().zip(noisy).zip(found) {
            match finding {
                Finding::Same => self.noisy_same += 1,
                Finding::CannotTell => self.cannot_tell += 1,
                Finding::More | Finding::Less => {
                    let Open { subjects: (_, subject), key, before, after } = row;
                    // A row's own value may be its first boot's: what was judged is what is shown.
                    let judged = |side: Side, median: f64| Side {
                        value: Value::real(median).or(side.value),
                        ..side
                    };
                    let before = judged(before, noisy.before.value);
                    let after = judged(after, noisy.after.value);
                    let change = Change::Shifted { before, after, noisy: Box::new(noisy) };
                    self.differences.push(Difference { subject, key, change, ruling: None });
                }
            }
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
        sorted.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| b.size().total_cmp(&a.size())));
        sorted.into_iter()
    }

    /// Whether AFTER is not as good as BEFORE: something changed, or is missing.
    pub fn is_regression(&self) -> bool {
        self.differences.iter().any(Difference::is_regression)
    }
}

/// Compares two runs.
///
/// # Errors
/// A side that cannot be read, or whose rows cannot be told apart.
pub fn compare<B, A>(before: B, after: A) -> Result<Comparison, CompareError>
where
    B: IntoIterator<Item = Result<Record, ReadError>>,
    A: IntoIterator<Item = Result<Record, ReadError>>,
{
    let mut join = Join::default();
    for record in before {
        join.before(record?)?;
    }
    let after: Vec<Record> = after.into_iter().collect::<Result<_, _>>()?;
    join.pair(&after)?;
    for record in after {
        join.after(record)?;
    }
    Ok(join.finish())
}

/// A row of BEFORE, and whether AFTER has it.
struct Waiting {
    place: usize,
    side: Side,
    met: bool,
}

#[derive(Default)]
struct Join {
    waiting: HashMap<(usize, Key), Waiting>,
    /// For each kernel of AFTER the one of BEFORE.
    partners: Vec<Option<usize>>,
    new: HashSet<(usize, Key)>,
    new_rows: Vec<Difference>,
    result: Comparison,
}

impl Join {
    fn before(&mut self, record: Record) -> Result<(), CompareError> {
        let (subject, key, side) = split(record);
        let index = index_of(&mut self.result.before, &subject);
        let waiting = Waiting { place: self.waiting.len(), side, met: false };
        match self.waiting.insert((index, key.clone()), waiting) {
            None => Ok(()),
            Some(_) => Err(duplicate("BEFORE", subject, key)),
        }
    }

    /// Decides which kernels are held against each other.
    fn pair(&mut self, after: &[Record]) -> Result<(), CompareError> {
        for record in after {
            index_of(&mut self.result.after, &record.subject);
        }
        let (before, after) = (&self.result.before, &self.result.after);
        self.partners = pair::pairs(before, after).ok_or_else(|| CompareError::Unpaired {
            before: text::list(before),
            after: text::list(after),
        })?;
        let pair = |(after, partner): (&Subject, &Option<usize>)| {
            partner.map(|partner| (before[partner].clone(), after.clone()))
        };
        self.result.pairs = after.iter().zip(&self.partners).filter_map(pair).collect();
        Ok(())
    }

    fn after(&mut self, record: Record) -> Result<(), CompareError> {
        let (subject, key, after) = split(record);
        let id = (self.partner(&subject), key);
        let judgement = match self.waiting.get_mut(&id) {
            Some(waiting) if waiting.met => return Err(duplicate("AFTER", subject, id.1)),
            Some(waiting) => {
                waiting.met = true;
                judge(&id.1.metric, &waiting.side, after)
            }
            None if !self.new.insert(id.clone()) => return Err(duplicate("AFTER", subject, id.1)),
            None => Judgement::New(after),
        };
        let different = |subject, key, change| Difference { subject, key, change, ruling: None };
        match judgement {
            Judgement::Same => self.result.same += 1,
            Judgement::Open => self.result.noisy += 1,
            Judgement::NewlyOpen => self.result.newly_open += 1,
            Judgement::Noisy(before, after) => {
                self.result.noisy += 1;
                let key = id.1;
                // A partner beyond BEFORE's kernels has no row there, so it cannot be met here.
                let subjects = (self.result.before[id.0].clone(), subject);
                self.result.open.push(Open { subjects, key, before, after });
            }
            Judgement::New(after) => {
                self.new_rows.push(different(subject, id.1, Change::New { after }));
            }
            Judgement::Different(change) => {
                self.result.differences.push(different(subject, id.1, change));
            }
        }
        Ok(())
    }

    /// The index of the kernel in BEFORE that this one of AFTER is compared with; beyond all of
    /// BEFORE's if there is none.
    fn partner(&mut self, subject: &Subject) -> usize {
        let index = index_of(&mut self.result.after, subject);
        self.partners[index].unwrap_or(self.result.before.len() + index)
    }

    fn finish(mut self) -> Comparison {
        let mut missing: Vec<_> =
            self.waiting.into_iter().filter(|(_, waiting)| !waiting.met).collect();
        missing.sort_unstable_by_key(|(_, waiting)| waiting.place);
        for ((subject, key), waiting) in missing {
            self.result.differences.push(Difference {
                subject: self.result.before[subject].clone(),
                key,
                change: Change::Missing { before: waiting.side },
                ruling: None,
            });
        }
        self.result.differences.append(&mut self.new_rows);
        self.result
    }
}

enum Judgement {
    Same,
    /// Neither pass nor fail on one side, or nothing of the kernel's: there is nothing to hold
    /// against it.
    Open,
    /// Resolved in BEFORE, and not in AFTER.
    NewlyOpen,
    Noisy(Side, Side),
    New(Side),
    Different(Change),
}

fn judge(metric: &Metric, before: &Side, after: Side) -> Judgement {
    let newly_failed = after.status == Status::Failed && before.status != Status::Failed;
    let same_name = *metric != Metric::Verdict || before.reason == after.reason;
    let equal = same_name
        && (before.value, before.status, before.unit) == (after.value, after.status, after.unit);
    let before = before.clone();
    let open = |side: &Side| side.status == Status::Unresolved;
    if !newly_failed && !open(&before) && open(&after) {
        return Judgement::NewlyOpen;
    }
    if !newly_failed && (open(&before) || open(&after)) {
        return Judgement::Open;
    }
    let is_absent = |side: &Side| side.status == Status::Skipped && side.value.is_none();
    match (before.deterministic, after.deterministic) {
        // What could be had on neither side is no noise.
        (false, false) if is_absent(&before) && equal => Judgement::Same,
        (true, true) if equal => Judgement::Same,
        (false, false) if is_absent(&before) && !newly_failed => Judgement::New(after),
        (false, false) if is_absent(&after) => {
            Judgement::Different(Change::Changed { before, after })
        }
        // How much of it there was says nothing of the kernel.
        (false, false) if !newly_failed && metric.larger_is() == Larger::Neither => Judgement::Open,
        (false, false) if !newly_failed => Judgement::Noisy(before, after),
        (true, true) | (false, false) => Judgement::Different(Change::Changed { before, after }),
        (true, false) | (false, true) => {
            Judgement::Different(Change::Determinism { before, after })
        }
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

/// A record's parts. Of a verdict's reason only the name is kept: explanations may differ.
fn split(record: Record) -> (Subject, Key, Side) {
    let reason = match record.verdict() {
        Some(name) => name.to_owned(),
        None => record.reason,
    };
    let side = Side {
        unit: record.unit,
        value: record.value,
        status: record.status,
        reason,
        deterministic: record.deterministic,
    };
    (record.subject, record.key, side)
}

fn index_of(subjects: &mut Vec<Subject>, subject: &Subject) -> usize {
    subjects.iter().position(|other| other == subject).unwrap_or_else(|| {
        subjects.push(subject.clone());
        subjects.len() - 1
    })
}

fn duplicate(side: &'static str, subject: Subject, key: Key) -> CompareError {
    CompareError::Duplicate { side, subject: Box::new(subject), key: Box::new(key) }
}
