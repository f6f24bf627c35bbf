//! Results as tests have them: named checks in groups, each with an outcome.
//!
//! | status of a row | outcome |
//! | --- | --- |
//! | ok | passed |
//! | failed | failed |
//! | unresolved | error: it could not be told |
//! | skipped, unconfirmed | skipped |
//!
//! A cell is a check. The gravest of its rows decides, but what cannot be had here does not spoil what
//! could be measured.

use super::index::Index;
use super::name;
use super::rows::{columns, interval, value};
use super::text::{prose, tame, visible};
use crate::kept::KeptRun;
use crate::record::{Key, Record, Source, Status, Subject, Target, Unit, Value};
use jiff::Timestamp;
use std::fmt::Write;

/// How a check ended, in the order of weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Nothing can be said here.
    Skipped,
    /// It could not be told.
    Error,
    /// Not as it should be.
    Failed,
}

impl From<Status> for Verdict {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::Passed,
            Status::Skipped | Status::Unconfirmed => Self::Skipped,
            Status::Unresolved => Self::Error,
            Status::Failed => Self::Failed,
        }
    }
}

/// One check. All texts are of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name, which no other of its group has.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why it did not pass; empty if it did.
    pub message: String,
    /// What it has to say besides: values, and every reason.
    pub lines: Vec<String>,
}

/// Checks of one suite on one kernel and machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name, which no other group has; the same from kernel to kernel, unless there are several.
    pub name: String,
    /// What is known of all of them.
    pub properties: Vec<(&'static str, String)>,
    /// When they began, if that is known.
    pub started_at: Option<Timestamp>,
    /// The checks.
    pub checks: Vec<Check>,
}

/// Everything that was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    /// By suite, kernel and machine.
    pub groups: Vec<Group>,
}

/// What a group is made for.
pub(super) struct Place {
    subject: Subject,
    target: Target,
    suite: String,
}

impl Place {
    pub fn of(subject: &Subject, key: &Key) -> Self {
        let suite = key.cell.suite.to_string();
        Self { subject: subject.clone(), target: Target::clone(&key.target), suite }
    }

    /// Without the kernel's version.
    fn stable_name(&self) -> String {
        let Self { subject, target, suite } = self;
        format!("{suite}/{}/{}", name::target(target), tame(&subject.variant))
    }

    /// With it.
    pub fn name(&self) -> String {
        let Subject { kernel, kernel_id, .. } = &self.subject;
        format!("{}/{}/{}", self.stable_name(), tame(kernel), tame(kernel_id))
    }

    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let mut all = columns(&self.subject);
        all.extend(columns(&self.target));
        all.into_iter().map(|(name, text)| (name, visible(&text))).collect()
    }
}

/// Names for groups: with the kernel's version, and with the run, where without them two would be called
/// the same.
pub(super) fn names(places: &[(&Place, &str)]) -> Vec<String> {
    let mut names: Vec<String> = places.iter().map(|(place, _)| place.stable_name()).collect();
    for with_run in [false, true] {
        let mut index = Index::default();
        let first: Vec<usize> = names.iter().map(|name| index.place(name.clone())).collect();
        let is_shared = |at: usize| first.iter().filter(|other| **other == first[at]).count() > 1;
        let shared: Vec<usize> = (0..names.len()).filter(|at| is_shared(*at)).collect();
        for at in shared {
            let (place, run) = places[at];
            names[at] = if with_run { format!("{}/{run}", place.name()) } else { place.name() };
        }
    }
    names
}

impl Checks {
    /// The cells of runs.
    pub fn of_runs(runs: &[KeptRun]) -> Self {
        let mut found: Vec<(Place, &KeptRun, Vec<&Record>)> = Vec::new();
        let mut index = Index::default();
        for (number, run) in runs.iter().enumerate() {
            for record in &run.records {
                let place = Place::of(&record.subject, &record.key);
                let id = format!("{number}/{}", place.name());
                index.of(&mut found, id, || (place, run, Vec::new())).2.push(record);
            }
        }
        let places: Vec<_> =
            found.iter().map(|(place, _, rows)| (place, rows[0].run.run_id.as_str())).collect();
        let names = names(&places);
        let group = |((place, run, records), name): (&(Place, &KeptRun, Vec<&Record>), String)| {
            let mut properties = place.properties();
            let run_of_rows = &records[0].run; // a group is made for a row
            properties.extend(columns(run_of_rows));
            properties.extend(run.info.as_ref().map(|info| ("drbench", visible(&info.drbench))));
            Group {
                name,
                properties,
                started_at: Some(run_of_rows.started_at),
                checks: checks(records),
            }
        };
        Self { groups: found.iter().zip(names).map(group).collect() }
    }

    /// How many ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.groups.iter().map(|group| group.count(verdict)).sum()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.checks.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Group {
    /// How many ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }
}

/// A check for each cell, and one for each result that is no number.
fn checks(records: &[&Record]) -> Vec<Check> {
    let mut cells: Vec<(String, Vec<&Record>)> = Vec::new();
    let mut index = Index::default();
    for record in records {
        let key = &record.key;
        let cell = key.cell.within_suite();
        let name = if key.metric.is_wordy() { format!("{} of {cell}", what(key)) } else { cell };
        index.of(&mut cells, name.clone(), || (name, Vec::new())).1.push(record);
    }
    cells.into_iter().map(|(name, rows)| check(name, &rows)).collect()
}

fn check(name: String, rows: &[&Record]) -> Check {
    let had: Vec<&Record> =
        rows.iter().copied().filter(|row| row.status != Status::Skipped).collect();
    let deciding = if had.is_empty() { rows } else { &had };
    let verdict = |row: &Record| Verdict::from(row.status);
    let gravest = deciding.iter().map(|row| verdict(row)).max().unwrap_or(Verdict::Skipped);
    let reasons = deciding
        .iter()
        .filter(|row| gravest != Verdict::Passed && verdict(row) == gravest)
        .map(|row| line(row));
    let message = first_of(reasons);
    Check { name, verdict: gravest, message, lines: rows.iter().map(|row| line(row)).collect() }
}

/// The first of several lines, and how many more there are.
pub(super) fn first_of(mut lines: impl Iterator<Item = String>) -> String {
    let first = lines.next().unwrap_or_default();
    match lines.count() {
        0 => first,
        more => format!("{first} (and {more} more)"),
    }
}

/// What a row says: `dr_exits by tracepoint = 4 exits, predicted 4`, or why it says nothing.
fn line(record: &Record) -> String {
    let what = what(&record.key);
    let Some(value) = value(record) else {
        let reason = prose(&record.reason);
        return match record.status {
            Status::Ok if reason.is_empty() => what,
            Status::Ok => format!("{what}: {reason}"),
            status => format!("{what}: {status}: {reason}"),
        };
    };
    let mut line = format!("{what} = {}", amount(value, record.unit));
    if let Some((low, high)) = interval(record) {
        // A String takes everything: writing to it cannot fail.
        let _ = write!(line, ", 95 % interval {low} to {high}");
    }
    if let Some(predicted) = record.predicted {
        let _ = write!(line, ", predicted {predicted}");
    }
    line
}

/// `dr_exits by tracepoint`, or `verdict`.
pub(super) fn what(key: &Key) -> String {
    match key.source {
        Source::None => key.metric.to_string(),
        source => format!("{} by {source}", key.metric),
    }
}

/// `4 exits`, or a number that has no unit.
pub(super) fn amount(value: Value, unit: Unit) -> String {
    match unit {
        Unit::None => value.to_string(),
        unit => format!("{value} {unit}"),
    }
}
