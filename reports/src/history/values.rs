//! One metric's values over the runs.

use super::derived::{Derived, Found, Kept};
use super::{History, PastRun, State, Work};
use crate::read::{self, ReadError};
use crate::record::{Metric, Name, Policy, Record, Source, Status, Subject, Target, Unit, Value};
use glob::Pattern;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// What is asked of each run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The metric.
    pub metric: Metric,
    /// Only of this suite.
    pub suite: Option<Name>,
    /// Only of workloads of this name.
    pub workload: Option<Pattern>,
    /// Only with these interposed exits: `none`, `cpuid/1`.
    pub interposed: Option<String>,
    /// Only under this policy.
    pub policy: Option<Policy>,
}

impl Asked {
    fn wants(&self, row: &Record) -> bool {
        let cell = &row.key.cell;
        row.key.metric == self.metric
            && self.suite.as_ref().is_none_or(|suite| *suite == cell.suite)
            && self.policy.is_none_or(|policy| policy == cell.policy)
            && self.workload.as_ref().is_none_or(|glob| glob.matches(cell.workload.as_str()))
            && self.interposed.as_ref().is_none_or(|text| *text == cell.interposed_exits())
    }
}

/// All of it, so that no two questions look alike: what is not asked is `*`.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metric, suite, workload, interposed, policy } = self;
        let suite = suite.as_ref().map_or("*", Name::as_str);
        let workload = workload.as_ref().map_or("*", Pattern::as_str);
        let interposed = interposed.as_deref().unwrap_or("*");
        let policy = policy.map_or("*", Policy::as_str);
        write!(f, "{metric} {suite} {policy} {interposed:?} {workload:?}")
    }
}

/// Values that can be held against each other: of one cell, by one source, of one variant on one
/// machine. Kernels differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Series {
    /// The machine.
    pub target: Target,
    /// The cell, with its suite.
    pub cell: String,
    /// Where the values come from.
    pub source: Source,
    /// The kernels' variant.
    pub variant: String,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point<'a> {
    /// Whose.
    pub run: &'a PastRun,
    /// Of which kernel.
    pub subject: Subject,
    /// The value, if there is one.
    pub value: Option<Value>,
    /// What it counts.
    pub unit: Unit,
    /// How it ended.
    pub status: Status,
    /// Why; of a verdict, its name.
    pub reason: String,
}

/// A point, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeptPoint {
    series: Series,
    subject: Subject,
    /// The text, as in the rows: no digit is lost.
    value: String,
    unit: Unit,
    status: Status,
    reason: String,
}

impl KeptPoint {
    fn of(row: Record) -> Self {
        let reason = row.verdict().map(str::to_owned).unwrap_or(row.reason);
        Self {
            series: Series {
                cell: row.key.cell.to_string(),
                target: Target::clone(&row.key.target),
                source: row.key.source,
                variant: row.subject.variant.clone(),
            },
            subject: row.subject,
            value: row.value.map(|value| value.to_string()).unwrap_or_default(),
            unit: row.unit,
            status: row.status,
            reason,
        }
    }
}

impl History {
    /// The values of what is asked, by series, in the order of the runs and their rows; of the runs and
    /// kernels that are `wanted`. Answers are kept: asked again, only new and changed runs are read.
    pub fn values(
        &self,
        asked: &Asked,
        wanted: impl Fn(&PastRun, &Subject, &Target) -> bool,
    ) -> (Vec<(Series, Vec<Point<'_>>)>, Work) {
        let about = asked.to_string();
        let file = format!("values-{:08x}", crc32fast::hash(about.as_bytes()));
        let kept = Kept { store: &self.store, file: &file, about: &about };
        let worth = |run: &&PastRun| {
            run.state == State::Whole
                && run.parts.iter().any(|part| wanted(run, &part.subject, &part.target))
        };
        let names: HashSet<_> =
            self.runs.iter().filter(worth).map(|run| run.name.as_str()).collect();
        let is_wanted = |found: &Found| names.contains(found.name.as_str());
        let (mut all, work) = kept.updated(&self.found, &is_wanted, |found| points(found, asked));
        let mut series: Vec<(Series, Vec<Point<'_>>)> = Vec::new();
        let mut places: HashMap<Series, usize> = HashMap::new();
        for run in &self.runs {
            for point in all[run.place].take().unwrap_or_default() {
                let KeptPoint { series: whose, subject, value, unit, status, reason } = point;
                if wanted(run, &subject, &whose.target) {
                    let value = value.parse().ok();
                    let point = Point { run, subject, value, unit, status, reason };
                    let place = *places.entry(whose.clone()).or_insert(series.len());
                    if place == series.len() {
                        series.push((whose, Vec::new()));
                    }
                    series[place].1.push(point);
                }
            }
        }
        (series, work)
    }
}

fn points(found: &Found, asked: &Asked) -> Derived<Vec<KeptPoint>> {
    let read = || -> Result<Vec<KeptPoint>, ReadError> {
        let mut points = Vec::new();
        for row in read::open(&found.path)? {
            let row = row?;
            if asked.wants(&row) {
                points.push(KeptPoint::of(row));
            }
        }
        Ok(points)
    };
    // The listing tells what is wrong with a run that cannot be read.
    match read() {
        Ok(of) => Derived { of, lasts: true },
        Err(_) => Derived { of: Vec::new(), lasts: false },
    }
}
