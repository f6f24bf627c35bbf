//! Runs held against each other: each with the one before it that measured the same.
//!
//! Of all earlier runs the newest that measured the same machines with the same suites, and kernels of
//! the same series and variants: what changed since. If none did, the newest with the same machines and
//! suites, whatever the kernels. If none, the newest that shares any of them, and only what is shared is
//! compared. A kernel that only one of the two has is told, and is no difference. Of one that is held
//! against another series or variant the figures are shown, and none of them is worse or better.

mod shown;

pub(crate) use shown::{difference_text, page};

use crate::PagesError;
use crate::block::{Bit, Tone};
use crate::shelf::{Group, Shelf};
use crate::sorted::{distinct, sorted};
use crate::text;
use reports::compare::{
    Change, CompareError, Comparison, Difference, Keep, Rows, Rule, Surroundings, compare,
};
use reports::kept::samples_of;
use reports::record::{Key, Record, Subject, Target};
use reports::version::series;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::rc::Rc;

/// What a run measured: with which suite on which machine, and of which series and variant of kernels.
#[derive(PartialEq)]
struct Scope<'a> {
    machines: Vec<(&'a Target, &'a str)>,
    kernels: Vec<(&'a Target, &'a str, &'a str, &'a str)>,
}

impl<'a> Scope<'a> {
    fn of(groups: &[Group<'a>]) -> Self {
        let machines = distinct(groups.iter().map(|group| (group.target, group.suite)));
        let kernels = distinct(groups.iter().map(|group| {
            let Subject { kernel, variant, .. } = group.subject;
            (group.target, group.suite, series(kernel), variant.as_str())
        }));
        Self {
            machines: sorted(&machines, &|a, b| a.cmp(b)),
            kernels: sorted(&kernels, &|a, b| a.cmp(b)),
        }
    }
}

/// A run held against another.
pub(crate) struct Compared {
    pub before: usize,
    pub after: usize,
    /// What came out, or why nothing did.
    pub result: Result<Comparison, String>,
    surroundings: Option<Surroundings>,
    /// What only one of the two measured.
    left_out: Vec<String>,
    /// Rows of AFTER that differ.
    changed: HashSet<(Subject, Key)>,
}

/// How many rows came out how.
#[derive(Default)]
pub(crate) struct Counts {
    pub worse: usize,
    pub missing: usize,
    pub better: usize,
    pub new: usize,
    /// Unresolved in AFTER only.
    pub opened: usize,
    /// Of a kernel that was held against another series or variant.
    pub of_another: usize,
}

/// Comparisons as they are asked for, each made once.
pub(crate) struct Comparisons<'s, 'a> {
    shelf: &'s Shelf<'a>,
    scopes: Vec<Scope<'a>>,
    made: HashMap<(usize, usize), Rc<Compared>>,
}

impl<'s, 'a> Comparisons<'s, 'a> {
    pub(crate) fn new(shelf: &'s Shelf<'a>) -> Self {
        let runs = 0..shelf.runs.len();
        let scopes = runs.map(|run| Scope::of(shelf.of_run(run))).collect();
        Self { shelf, scopes, made: HashMap::new() }
    }

    /// A run held against the one before it; none if no earlier one measured anything of it.
    pub(crate) fn with_the_one_before(
        &mut self,
        after: usize,
    ) -> Result<Option<Rc<Compared>>, PagesError> {
        let before = one_before(&self.scopes, after);
        before.map(|before| self.between(before, after)).transpose()
    }

    /// The newest of each kind: of those with the same machines and suites, and kernels of the same
    /// series and variants, the last. A night on one machine says nothing of another machine's.
    pub(crate) fn newest_of_each_kind<'c>(
        &self,
        all: &'c [Option<Rc<Compared>>],
    ) -> Vec<&'c Compared> {
        let mut newest: Vec<&Compared> = Vec::new();
        for compared in all.iter().rev().flatten() {
            let kind = &self.scopes[compared.after];
            if !newest.iter().any(|known| self.scopes[known.after] == *kind) {
                newest.push(compared);
            }
        }
        newest
    }

    /// Two runs held against each other.
    pub(crate) fn between(
        &mut self,
        before: usize,
        after: usize,
    ) -> Result<Rc<Compared>, PagesError> {
        if let Some(made) = self.made.get(&(before, after)) {
            return Ok(made.clone());
        }
        let made = Rc::new(Compared::of(self.shelf, &self.scopes, before, after)?);
        self.made.insert((before, after), made.clone());
        Ok(made)
    }

    /// Whether a row is another than the same one of an earlier run: an exact one if its value is
    /// another, a noisy one if the comparison of the runs says so.
    pub(crate) fn is_change(
        &mut self,
        before: &Record,
        after: &Record,
    ) -> Result<bool, PagesError> {
        if before.deterministic && after.deterministic {
            return Ok((before.value, before.status) != (after.value, after.status));
        }
        let [(one, _), (other, _)] = [before, after].map(|record| self.shelf.place(record));
        if one == other {
            return Ok(false);
        }
        let compared = self.between(one, other)?;
        Ok(compared.changed.contains(&(after.subject.clone(), after.key.clone())))
    }
}

fn one_before(scopes: &[Scope<'_>], after: usize) -> Option<usize> {
    let wanted = &scopes[after];
    let earlier = || (0..after).rev();
    let shares = |before: &usize| {
        scopes[*before].machines.iter().any(|place| wanted.machines.contains(place))
    };
    if wanted.machines.is_empty() {
        return None;
    }
    earlier()
        .find(|before| scopes[*before].kernels == wanted.kernels)
        .or_else(|| earlier().find(|before| scopes[*before].machines == wanted.machines))
        .or_else(|| earlier().find(shares))
}

impl Compared {
    fn of(
        shelf: &Shelf<'_>,
        scopes: &[Scope<'_>],
        before: usize,
        after: usize,
    ) -> Result<Self, PagesError> {
        let [one, other] = [before, after].map(|run| &scopes[run].machines);
        let shared = |place: &&(&Target, &str)| one.contains(place) && other.contains(place);
        let left_out = one.iter().chain(other).filter(|place| !shared(place));
        let mut left_out: Vec<String> = left_out
            .map(|(target, suite)| format!("{suite} of {}", crate::shelf::target(target)))
            .collect();
        let shared: Vec<_> = one.iter().filter(shared).collect();
        let [ours, theirs] = [before, after].map(|run| &shelf.runs[run]);
        let is_shared = |record: &&Record| {
            let place = (&*record.key.target, record.key.cell.suite.as_str());
            shared.iter().any(|shared| **shared == place)
        };
        let rows = |run: usize| {
            let records = shelf.runs[run].run.records.iter().filter(is_shared);
            Rows::of(records.cloned().map(Ok), "the run")
        };
        let result = rows(before).and_then(|ours| compare(&ours, &rows(after)?, Keep::Differences));
        let mut result = match result {
            Ok(comparison) => Ok(comparison),
            Err(CompareError::Read(error)) => return Err(error.into()),
            Err(error) => Err(text::shown(&error.to_string())),
        };
        let infos = ours.run.info.as_ref().zip(theirs.run.info.as_ref());
        let surroundings = infos.map(|(before, after)| {
            let pairs = result.as_ref().map_or(&[][..], |comparison| &comparison.pairs);
            Surroundings::of(before, after, pairs)
        });
        if let Ok(comparison) = &mut result {
            if comparison.noisy() > 0 {
                let slower = surroundings.as_ref().map_or([0.0; 2], |it| it.slower);
                let [ours, theirs] = [ours, theirs].map(|run| samples_of(&run.run.path));
                comparison.judge(&ours?, &theirs?, Rule { slower, ..Rule::default() });
            }
            left_out.extend(leave_out_alone(comparison));
        }
        let differences = result.iter().flat_map(|comparison| &comparison.differences);
        let changed = differences
            .filter(|it| {
                let change = &it.change;
                !matches!(
                    change,
                    Change::Missing { .. } | Change::New { .. } | Change::Opened { .. }
                )
            })
            .map(|it| (Subject::clone(&it.subject), it.key.clone()))
            .collect();
        Ok(Self { before, after, result, surroundings, left_out, changed })
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for difference in self.differences() {
            match difference.change {
                _ if self.is_of_another(difference) => counts.of_another += 1,
                Change::Missing { .. } => counts.missing += 1,
                Change::New { .. } if !difference.is_regression() => counts.new += 1,
                Change::Opened { .. } => counts.opened += 1,
                _ if difference.is_regression() => counts.worse += 1,
                _ => counts.better += 1,
            }
        }
        counts
    }

    fn differences(&self) -> impl Iterator<Item = &Difference> {
        self.result.iter().flat_map(|comparison| &comparison.differences)
    }

    /// Whether a row's kernel was held against one of another series or variant.
    fn is_of_another(&self, difference: &Difference) -> bool {
        let is_before = matches!(difference.change, Change::Missing { .. });
        let is_its = |(before, after): &&(Subject, Subject)| {
            difference.subject.as_ref() == if is_before { before } else { after }
        };
        let mut pairs = self.result.iter().flat_map(|comparison| &comparison.pairs);
        pairs.find(is_its).is_some_and(is_another)
    }

    /// Whether anything got worse. What another kernel does is no regression of this one.
    pub(crate) fn is_worse(&self) -> bool {
        self.differences().any(|it| it.is_regression() && !self.is_of_another(it))
    }

    /// One word for all of it.
    pub(crate) fn verdict(&self) -> Bit {
        let Ok(comparison) = &self.result else {
            return Bit::badge("cannot tell", Tone::Doubtful);
        };
        if self.is_worse() {
            Bit::badge("worse", Tone::Bad)
        } else if !comparison.pairs.is_empty() && comparison.pairs.iter().all(is_another) {
            Bit::badge("another kernel", Tone::Plain)
        } else if self.differences().any(|it| it.is_better() && !self.is_of_another(it)) {
            Bit::badge("better", Tone::Good)
        } else {
            Bit::badge("not worse", Tone::Good)
        }
    }

    /// How many rows came out how; nothing if they could not be compared.
    pub(crate) fn summary(&self) -> String {
        let Ok(comparison) = &self.result else { return String::new() };
        let counts = self.counts();
        let open = comparison.cannot_tell + comparison.noisy() + comparison.unresolved;
        let parts = [
            (counts.worse, "worse or changed"),
            (counts.missing, "not there any more"),
            (counts.of_another, "different under another kernel"),
            (counts.better, "better"),
            (counts.new, "new"),
            (counts.opened, "unresolved now"),
            (comparison.noisy_same, "noisy and the same"),
            (open, "of which nothing can be told"),
        ];
        let mut sentence = format!("Rows: {} equal", comparison.same);
        for (count, what) in parts.into_iter().filter(|(count, _)| *count != 0) {
            let _ = write!(sentence, ", {count} {what}"); // a String takes everything
        }
        sentence.push('.');
        sentence
    }

    /// The file of its page.
    pub(crate) fn file(&self, runs: &Shelf<'_>) -> String {
        format!("{}/compared.html", runs.runs[self.after].folder)
    }
}

/// Whether two kernels that were held against each other are of different series or variants.
fn is_another((before, after): &(Subject, Subject)) -> bool {
    (series(&before.kernel), &before.variant) != (series(&after.kernel), &after.variant)
}

/// Leaves out the kernels that only one side has, and names them: another plan is no regression.
fn leave_out_alone(comparison: &mut Comparison) -> Vec<String> {
    let Comparison { before, after, pairs, differences, .. } = comparison;
    let ours = |subject: &Subject| pairs.iter().any(|(before, _)| before == subject);
    let theirs = |subject: &Subject| pairs.iter().any(|(_, after)| after == subject);
    differences.retain(|difference| match difference.change {
        Change::Missing { .. } => ours(&difference.subject),
        Change::New { .. } => theirs(&difference.subject),
        _ => true,
    });
    let name = |side: &str, subject: &Subject| {
        let (kernel, variant) = (crate::shelf::kernel(subject), text::name(&subject.variant));
        format!("{kernel} {variant} ({side})")
    };
    let alone = before.iter().filter(|it| !ours(it)).map(|it| name("only before", it));
    alone.chain(after.iter().filter(|it| !theirs(it)).map(|it| name("only after", it))).collect()
}
