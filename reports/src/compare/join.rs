//! The rows of two runs joined: which row of the one is which of the other, and what the two say.

use super::rows::{Facts, Id};
use super::{Change, CompareError, Comparison, Difference, Open, Rows, pair, text};
use crate::record::{Larger, Metric, Status, Subject};

/// What a comparison keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Rows that differ.
    Differences,
    /// Every row of AFTER, and those that are missing.
    Everything,
}

/// Compares two runs.
///
/// # Errors
/// Several kernels on the two sides, and nothing says which belong together.
pub fn compare(before: &Rows, after: &Rows, keep: Keep) -> Result<Comparison, CompareError> {
    let mut result = Comparison {
        before: before.subjects.iter().map(|it| Subject::clone(it)).collect(),
        after: after.subjects.iter().map(|it| Subject::clone(it)).collect(),
        keep_rest: keep == Keep::Everything,
        ..Comparison::default()
    };
    let partners = pair::pairs(&result.before, &result.after).ok_or_else(|| {
        let (before, after) = (text::list(&result.before), text::list(&result.after));
        CompareError::Unpaired { before, after }
    })?;
    let pair = |(after, partner): (&Subject, &Option<usize>)| {
        partner.map(|partner| (result.before[partner].clone(), after.clone()))
    };
    result.pairs = result.after.iter().zip(&partners).filter_map(pair).collect();
    Join::new(before, after, &partners).join(keep, &mut result);
    Ok(result)
}

/// Two tables of rows, and where what stands in AFTER's stands in BEFORE's.
struct Join<'a> {
    before: &'a Rows,
    after: &'a Rows,
    subjects: Vec<Option<u32>>,
    targets: Vec<Option<u32>>,
    cells: Vec<Option<u32>>,
    metrics: Vec<Option<u32>>,
}

impl<'a> Join<'a> {
    fn new(before: &'a Rows, after: &'a Rows, partners: &[Option<usize>]) -> Self {
        let place = |index: Option<usize>| index.and_then(|index| u32::try_from(index).ok());
        Self {
            before,
            after,
            subjects: partners.iter().map(|partner| place(*partner)).collect(),
            targets: after
                .targets
                .iter()
                .map(|it| place(before.targets.get_index_of(it)))
                .collect(),
            cells: after.cells.iter().map(|it| place(before.cells.get_index_of(it))).collect(),
            metrics: after
                .metrics
                .iter()
                .map(|it| place(before.metrics.get_index_of(it)))
                .collect(),
        }
    }

    /// What a row of AFTER is called in BEFORE.
    fn in_before(&self, id: &Id) -> Option<Id> {
        Some(Id {
            subject: self.subjects[id.subject as usize]?,
            target: self.targets[id.target as usize]?,
            cell: self.cells[id.cell as usize]?,
            metric: self.metrics[id.metric as usize]?,
            source: id.source,
        })
    }

    fn join(&self, keep: Keep, result: &mut Comparison) {
        let mut met = vec![false; self.before.len()];
        let mut new = Vec::new();
        // Runs of one plan have their rows in one order: the next is nearly always the next.
        let mut next = 0;
        for (at, (id, facts)) in self.after.facts.iter().enumerate() {
            let found = self.in_before(id).and_then(|id| match self.before.facts.get_index(next) {
                Some((other, before)) if *other == id => Some((next, other, before)),
                _ => self.before.facts.get_full(&id),
            });
            let Some((place, partner, before)) = found else {
                let change = Change::New { after: self.after.side(facts) };
                new.push(self.difference(id, change));
                continue;
            };
            met[place] = true;
            next = place + 1;
            let judgement = self.judge(id, before, facts);
            let places = (place, at);
            self.note(judgement, places, (partner, before), (id, facts), keep, result);
        }
        for ((id, facts), _) in self.before.facts.iter().zip(&met).filter(|(_, met)| !**met) {
            result.differences.push(Difference {
                subject: self.before.subject(id).clone(),
                key: self.before.key(id),
                change: Change::Missing { before: self.before.side(facts) },
                ruling: None,
            });
        }
        result.differences.append(&mut new);
    }

    /// Puts a row that both sides have where it belongs.
    fn note(
        &self,
        judgement: Judgement,
        (place, at): (usize, usize),
        (partner, before): (&Id, &Facts),
        (id, after): (&Id, &Facts),
        keep: Keep,
        result: &mut Comparison,
    ) {
        let sides = || (self.before.side(before), self.after.side(after));
        match judgement {
            Judgement::Same => result.same += 1,
            Judgement::Silent => result.silent += 1,
            Judgement::Open => result.unresolved += 1,
            Judgement::NewlyOpen => {
                let (before, after) = sides();
                result.differences.push(self.difference(id, Change::Opened { before, after }));
                return;
            }
            Judgement::Noisy => {
                let subjects =
                    (self.before.subject(partner).clone(), self.after.subject(id).clone());
                let (before, after) = sides();
                let medians = self.before.median(place).zip(self.after.median(at));
                let key = self.after.key(id);
                result.open.push(Open { subjects, key, before, after, medians });
                return;
            }
            Judgement::New => {
                let change = Change::New { after: self.after.side(after) };
                result.differences.push(self.difference(id, change));
                return;
            }
            Judgement::Changed => {
                let (before, after) = sides();
                result.differences.push(self.difference(id, Change::Changed { before, after }));
                return;
            }
            Judgement::OfTwoKinds => {
                let (before, after) = sides();
                result.differences.push(self.difference(id, Change::Determinism { before, after }));
                return;
            }
        }
        if keep == Keep::Everything {
            let (before, after) = sides();
            let change = match judgement {
                Judgement::Same => Change::Same { before, after },
                _ => Change::CannotTell { before, after },
            };
            result.rest.push(self.difference(id, change));
        }
    }

    fn difference(&self, id: &Id, change: Change) -> Difference {
        let (subject, key) = (self.after.subject(id).clone(), self.after.key(id));
        Difference { subject, key, change, ruling: None }
    }

    fn judge(&self, id: &Id, before: &Facts, after: &Facts) -> Judgement {
        let metric = &self.after.metrics[id.metric as usize];
        let newly_failed = after.status == Status::Failed && before.status != Status::Failed;
        let equal = (before.value, before.status, before.unit)
            == (after.value, after.status, after.unit)
            && (*metric != Metric::Verdict
                || self.before.reason(before) == self.after.reason(after));
        let open = |side: &Facts| side.status == Status::Unresolved;
        if !newly_failed && !open(before) && open(after) {
            return Judgement::NewlyOpen;
        }
        if !newly_failed && (open(before) || open(after)) {
            return Judgement::Open;
        }
        let is_absent = |side: &Facts| side.status == Status::Skipped && side.value.is_none();
        match (before.deterministic, after.deterministic) {
            // What could be had on neither side is no noise.
            (false, false) if is_absent(before) && equal => Judgement::Same,
            (true, true) if equal => Judgement::Same,
            _ if is_absent(before) && !newly_failed => Judgement::New,
            (false, false) if is_absent(after) => Judgement::Changed,
            // How much of it there was says nothing of the kernel.
            (false, false) if !newly_failed && metric.larger_is() == Larger::Neither => {
                Judgement::Silent
            }
            (false, false) if !newly_failed => Judgement::Noisy,
            (true, true) | (false, false) => Judgement::Changed,
            (true, false) | (false, true) => Judgement::OfTwoKinds,
        }
    }
}

/// What a row of both sides is.
#[derive(Clone, Copy)]
enum Judgement {
    Same,
    /// Nothing of the kernel's: there is nothing to hold against it.
    Silent,
    /// Neither pass nor fail, in BEFORE at least.
    Open,
    /// Resolved in BEFORE, and not in AFTER.
    NewlyOpen,
    Noisy,
    /// There was nothing to be had of it in BEFORE.
    New,
    Changed,
    /// Exact on one side and noisy on the other.
    OfTwoKinds,
}
