//! Two runs held against each other, row by row.
//!
//! Deterministic metrics are compared exactly. Noisy ones are only counted here, but for those
//! that newly failed: that is a difference whatever the noise.
//!
//! If each holds one kernel, their rows are joined, whatever the versions. Of several, equal kernels
//! are joined, then those that can be no others: the same variant of a series, another variant of a
//! package. What has no partner is missing, or new.

mod pair;
mod text;

use crate::read::ReadError;
use crate::record::{Key, Metric, Record, Status, Subject, Unit, Value};
use std::collections::{HashMap, HashSet};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An exact metric, or its status, is another; or a noisy one newly failed.
    Changed {
        /// In BEFORE.
        before: Side,
        /// In AFTER.
        after: Side,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The kernel: of AFTER, or of BEFORE where the row is missing.
    pub subject: Subject,
    /// Which row.
    pub key: Key,
    /// How.
    pub change: Change,
}

impl Difference {
    /// Whether it fails the comparison. A new row does not.
    pub const fn is_regression(&self) -> bool {
        !matches!(self.change, Change::New { .. })
    }
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The kernels of BEFORE.
    pub before: Vec<Subject>,
    /// The kernels of AFTER.
    pub after: Vec<Subject>,
    /// Which of them were held against each other: BEFORE's and AFTER's.
    pub pairs: Vec<(Subject, Subject)>,
    /// Exact rows that are equal.
    pub same: usize,
    /// Noisy rows of both sides, not compared yet.
    pub noisy: usize,
    /// Changed rows in the order of AFTER, then missing ones in the order of BEFORE, then new ones
    /// in the order of AFTER.
    pub differences: Vec<Difference>,
}

impl Comparison {
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
        let different = |change| Difference { subject, key: id.1, change };
        match judgement {
            Judgement::Same => self.result.same += 1,
            Judgement::Noisy => self.result.noisy += 1,
            Judgement::New(after) => self.new_rows.push(different(Change::New { after })),
            Judgement::Different(change) => self.result.differences.push(different(change)),
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
            });
        }
        self.result.differences.append(&mut self.new_rows);
        self.result
    }
}

enum Judgement {
    Same,
    Noisy,
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
    if open(&before) || open(&after) {
        // Neither pass nor fail: there is nothing to hold against it.
        return Judgement::Noisy;
    }
    match (before.deterministic, after.deterministic) {
        (true, true) if equal => Judgement::Same,
        (false, false) if !newly_failed => Judgement::Noisy,
        (true, true) | (false, false) => Judgement::Different(Change::Changed { before, after }),
        (true, false) | (false, true) => {
            Judgement::Different(Change::Determinism { before, after })
        }
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
