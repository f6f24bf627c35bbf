//! From one judged cell to rows of the record.

mod costed;
mod counted;
mod played;

use guest_payloads::{InterposedKind, Policy, PredictedExits, Rearm};
use reports::{Key, Metric, Name, Outcome, Record, Sample, Source, Value};

use crate::judge::{self, Verdict};
use crate::plan::{Cell, Session};
use crate::protocol::Target;
use crate::slowdown::Assumed;

pub use costed::{cost, costed, cycles, section_ticks};
pub use counted::{Meant, counted};
pub use played::{Passed, played};

/// What every row of a run shares.
#[derive(Clone, Debug)]
pub struct Context {
    /// Which run.
    pub run: reports::Run,
    /// Which kernel.
    pub subject: reports::Subject,
    /// On what.
    pub on: reports::Target,
    /// What can be counted there.
    pub target: Target,
    /// What a tick of the guest's time stamps is.
    pub clock: Clock,
    /// The suite's name.
    pub suite: Name,
    /// What the slowdown suite is told.
    pub assumed: Assumed,
}

/// What the guest's time stamps count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// One tick per executed instruction, host kernel and guest together.
    Instructions,
    /// The hardware's time.
    Hardware,
    /// The emulator's time on a busy machine: it measures nothing of the kernel's.
    EmulatorTime,
}

/// Rows for both files.
#[derive(Debug, Default)]
pub struct Rows {
    /// For `results.csv`.
    pub records: Vec<Record>,
    /// For `samples.csv`.
    pub samples: Vec<Sample>,
}

impl Rows {
    /// Appends other rows.
    pub fn extend(&mut self, other: Self) {
        self.records.extend(other.records);
        self.samples.extend(other.samples);
    }
}

/// A cell's prediction under the verdict: the policy in force and what it makes.
#[derive(Clone, Copy, Debug)]
pub struct Prediction {
    /// The policy in force.
    pub policy: Policy,
    /// Its exits.
    pub exits: PredictedExits,
}

impl Prediction {
    /// For a verdict that has a model. Interpreted guests have none: their exits are the
    /// interpreter's business.
    pub fn of(cell: &Cell, verdict: &Verdict, rearm: Rearm) -> Option<Self> {
        let policy = verdict.policy().filter(|&policy| policy != Policy::Emulated)?;
        let policy = judge::in_force(policy, cell.session);
        Some(Self { policy, exits: cell.workload.predict(policy, rearm) })
    }
}

impl Context {
    fn key(&self, cell: &Cell, metric: Metric, source: Source) -> Key {
        let (target, cell) = (self.on.clone().into(), described(&self.suite, cell).into());
        Key { target, cell, metric, source }
    }

    /// A row of a cell.
    pub fn row(&self, cell: &Cell, metric: Metric, source: Source, outcome: Outcome) -> Record {
        let key = self.key(cell, metric, source);
        let repeats = self.clock == Clock::Instructions;
        Record {
            deterministic: repeats,
            ..Record::new(self.run.clone(), self.subject.clone(), key, outcome)
        }
    }

    /// A row that a model of all cells of the suite gives.
    pub fn suite_row(&self, metric: Metric, outcome: Outcome) -> Record {
        let (target, cell) = (self.on.clone().into(), no_cell(&self.suite).into());
        let key = Key { target, cell, metric, source: Source::Model };
        let deterministic = self.clock == Clock::Instructions;
        Record {
            deterministic,
            ..Record::new(self.run.clone(), self.subject.clone(), key, outcome)
        }
    }

    /// The verdict's own row. It stands beside the anchors' first cell.
    pub fn verdict(&self, anchor: &Cell, verdict: &Verdict) -> Record {
        let outcome = match verdict {
            Verdict::Policy { policy, confirmed: true } => Outcome::named(policy.name()),
            Verdict::Policy { policy, confirmed: false } => Outcome::unconfirmed(
                None,
                format!("{policy}: by subtraction; {}", self.missing_trace()),
            ),
            Verdict::Emulated(shown_by) => Outcome::named(format!("emulated: {shown_by}")),
            Verdict::Unknown(broken) => {
                Outcome::failed(None, format!("unknown: {}", broken.join("; ")))
            }
            Verdict::Unresolved(why) => Outcome::unresolved(None, format!("unresolved: {why}")),
        };
        let row = self.row(anchor, Metric::Verdict, Source::None, outcome);
        // A verdict is the same every time wherever it is one.
        Record { deterministic: verdict.policy().is_some(), ..row }
    }

    /// Whether a kind of exit is a fast path.
    pub fn fast_path(
        &self,
        probe: &Cell,
        kind: InterposedKind,
        found: &Result<Rearm, String>,
    ) -> Record {
        let outcome = match found {
            Ok(rearm) => Outcome::ok(u64::from(rearm.is_fast_path())),
            Err(reason) => Outcome::skipped(reason.clone()),
        };
        self.row(probe, Metric::Fastpath(name(kind.name())), Source::Statistics, outcome)
    }

    /// The rows of a cell of which nothing was measured, in this pass or at all.
    pub fn unmeasured(&self, cell: &Cell, metric: Metric, source: Source, reason: &str) -> Rows {
        let outcome = Outcome::failed(None, reason);
        Rows { records: vec![self.row(cell, metric, source, outcome)], samples: vec![] }
    }

    fn missing_trace(&self) -> &str {
        self.target.trace.missing().unwrap_or("the tracepoint gave no counts")
    }
}

/// Why a time is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untimed {
    /// Its pass broke, or was not made.
    Broken(String),
    /// Too disturbed.
    Disturbed(String),
    /// There is nothing here that measures it.
    Unavailable(String),
}

impl Untimed {
    /// What stands in the place of the figure.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Broken(reason) => Outcome::failed(None, reason.clone()),
            Self::Disturbed(reason) => Outcome::unresolved(None, reason.clone()),
            Self::Unavailable(reason) => Outcome::skipped(reason.clone()),
        }
    }

    /// The same with what it is about; nothing measures anything alike.
    fn of(self, what: &impl std::fmt::Display) -> Self {
        match self {
            Self::Broken(reason) => Self::Broken(format!("{what}: {reason}")),
            Self::Disturbed(reason) => Self::Disturbed(format!("{what}: {reason}")),
            Self::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

/// Why a cell's rows are not simply ok.
enum Blot {
    None,
    Unconfirmed(String),
    Unresolved(String),
    Failed(String),
}

impl Blot {
    fn outcome(&self, value: Option<Value>) -> Outcome {
        match (self, value) {
            (Self::None, Some(value)) => Outcome::ok(value),
            (Self::None, None) => Outcome::skipped("not counted in this cell"),
            (Self::Unconfirmed(reason), value) => Outcome::unconfirmed(value, reason.clone()),
            (Self::Unresolved(reason), value) => Outcome::unresolved(value, reason.clone()),
            (Self::Failed(reason), value) => Outcome::failed(value, reason.clone()),
        }
    }
}

/// A cell as the record's columns tell it.
pub fn described(suite: &Name, cell: &Cell) -> reports::Cell {
    let workload = &cell.workload;
    reports::Cell {
        suite: suite.clone(),
        workload: name(&workload.pattern.to_string()),
        policy: match cell.session {
            Session::Kernel => reports::Policy::Kernel,
            Session::GuestDebug => reports::Policy::GuestDebug,
        },
        interposed: name(workload.interposed.map_or("none", |i| i.kind.name())),
        exits_every: workload.interposed.map_or(0, |i| i.every.get().into()),
        armed: workload.armed,
        vcpus: 1,
        accesses: workload.accesses().into(),
        work: workload.work.into(),
        switches: workload.switches.into(),
    }
}

/// What is about no cell, a check or all of a suite: everything that describes one is empty.
pub fn no_cell(suite: &Name) -> reports::Cell {
    let none = name("none");
    reports::Cell {
        suite: suite.clone(),
        workload: none.clone(),
        policy: reports::Policy::Kernel,
        interposed: none,
        exits_every: 0,
        armed: false,
        vcpus: 1,
        accesses: 0,
        work: 0,
        switches: 0,
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("names of patterns, exits and kinds are plain words")
}
