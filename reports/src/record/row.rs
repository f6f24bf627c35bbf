//! The groups of columns, and the rows made of them.

use super::columns::{Part, columns};
use super::{Machine, Metric, Name, Outcome, Policy, Source, Status, Unit, Value, Vendor};
use crate::statistics;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::sync::Arc;

columns! {
    /// Which run: the only columns in which two runs of a deterministic measurement differ.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct Run {
        /// Unique per run.
        pub run_id: Name,
        /// When the run began, UTC.
        pub started_at: Timestamp,
    }
}

columns! {
    /// The kernel under test.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub struct Subject {
        /// Upstream version: `6.1.176`.
        pub kernel: String,
        /// Package version, commit or build id.
        pub kernel_id: String,
        /// `stock`, `always`, `never`, or the patch's name.
        pub variant: String,
    }
}

columns! {
    /// What the kernel ran on. Rows of different targets are never compared.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub struct Target {
        /// The vendor module.
        pub vendor: Vendor,
        /// Hardware or emulator.
        pub machine: Machine,
        /// The CPU's or the emulated model's name.
        pub cpu_model: String,
    }
}

columns! {
    /// One experiment of a suite: everything that was chosen before measuring.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Cell {
        /// The suite.
        pub suite: Name,
        /// The guest's pattern.
        pub workload: Name,
        /// What the run asked for.
        pub policy: Policy,
        /// The kind of exit placed in the loop, or `none`.
        pub interposed: Name,
        /// Such an exit after every so many switches; 0: never.
        pub exits_every: u64,
        /// Whether breakpoints are enabled while the loop runs.
        pub armed: bool,
        /// Virtual CPUs.
        pub vcpus: u32,
        /// Debug-register accesses per switch.
        pub accesses: u64,
        /// Work per switch, in iterations of the payload's work loop.
        pub work: u64,
        /// Switches in the section.
        pub switches: u64,
    }
}

columns! {
    /// What makes a row comparable with the same row of another run, whatever the kernel.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Key {
        /// Where.
        pub target: Arc<Target>,
        /// Which experiment.
        pub cell: Arc<Cell>,
        /// What was measured.
        pub metric: Metric,
        /// With what.
        pub source: Source,
    }
}

columns! {
    /// One row of `results.csv`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Record {
        /// Which run.
        pub run: Run,
        /// Which kernel.
        pub subject: Subject,
        /// What exactly.
        pub key: Key,
        /// What `value` counts.
        pub unit: Unit,
        /// The result; empty if there is none, which is not 0.
        pub value: Option<Value>,
        /// Lower end of the confidence interval, where one was computed.
        pub ci_low: Option<Value>,
        /// Upper end.
        pub ci_high: Option<Value>,
        /// How many single values stand behind it.
        pub samples: u64,
        /// What the model says under the verdict's policy; empty without model or verdict.
        pub predicted: Option<Value>,
        /// Whether a second run must give the same value to the digit.
        pub deterministic: bool,
        /// How it ended.
        pub status: Status,
        /// Why, for every status but ok; the name, for a verdict.
        pub reason: String,
    }
}

columns! {
    /// One row of `samples.csv`: a single value behind a [`Record`], which has the same kernel
    /// and key. Units are the record's.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Sample {
        /// The run's id.
        pub run_id: Name,
        /// Which kernel.
        pub subject: Subject,
        /// What exactly.
        pub key: Key,
        /// Which boot of the machine, from 0: boots differ more than batches.
        pub boot: u32,
        /// Which batch of that boot, from 0.
        pub batch: u32,
        /// The value, in the unit of the record.
        pub value: Value,
    }
}

impl Record {
    /// A row with the metric's usual unit, one sample, no interval, no prediction, not
    /// deterministic; set the fields that are otherwise.
    ///
    /// ```
    /// # use reports::{Outcome, Record, Value};
    /// # fn example(run: reports::Run, subject: reports::Subject, key: reports::Key) -> Record {
    /// Record {
    ///     predicted: Some(Value::count(10)),
    ///     deterministic: true,
    ///     ..Record::new(run, subject, key, Outcome::ok(10))
    /// }
    /// # }
    /// ```
    pub fn new(run: Run, subject: Subject, key: Key, outcome: Outcome) -> Self {
        Self {
            run,
            subject,
            unit: key.metric.unit(),
            samples: u64::from(outcome.value.is_some()),
            key,
            value: outcome.value,
            ci_low: None,
            ci_high: None,
            predicted: None,
            deterministic: false,
            status: outcome.status,
            reason: outcome.reason,
        }
    }

    /// The verdict's name, if this is a verdict: `reason` up to its explanation.
    pub fn verdict(&self) -> Option<&str> {
        verdict_name(&self.key.metric, &self.reason)
    }

    /// Whether a noisy cost is known well enough: its interval within
    /// [`RESOLUTION`](crate::statistics::RESOLUTION) of the value on either side, and nothing else wrong
    /// with it. Not, if it has no interval. Nothing is said of what is no cost, has no noise, or was not
    /// measured.
    pub fn is_resolved(&self) -> Option<bool> {
        let is_cost = matches!(
            self.key.metric,
            Metric::Ns | Metric::GuestCycles | Metric::HostCycles | Metric::Instructions
        );
        if !is_cost || self.deterministic || self.key.target.machine.is_emulated() {
            return None;
        }
        if self.status == Status::Unresolved {
            return Some(false);
        }
        let value = self.value?.as_f64();
        let interval = self.ci_low.zip(self.ci_high);
        let interval = interval.map(|(low, high)| (low.as_f64(), high.as_f64()));
        Some(interval.is_some_and(|interval| statistics::is_resolved(value, interval)))
    }

    /// The texts of its columns, as they stand in the file.
    pub fn fields(&self) -> csv::StringRecord {
        let mut row = csv::StringRecord::new();
        self.write(&mut row);
        row
    }

    /// A single value behind this row.
    pub fn sample(&self, boot: u32, batch: u32, value: Value) -> Sample {
        Sample {
            run_id: self.run.run_id.clone(),
            subject: self.subject.clone(),
            key: self.key.clone(),
            boot,
            batch,
            value,
        }
    }
}

pub(crate) fn verdict_name<'a>(metric: &Metric, reason: &'a str) -> Option<&'a str> {
    let name = reason.split(':').next().unwrap_or_default().trim();
    (*metric == Metric::Verdict).then_some(name)
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, kernel_id, variant } = self;
        write!(f, "{kernel} ({kernel_id}, {variant})")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}, {}", self.vendor, self.machine, self.cpu_model)
    }
}

impl Cell {
    /// The cell's name within its suite. Short, but complete: two cells that differ are shown
    /// differently.
    pub fn within_suite(&self) -> String {
        let Self { workload, accesses, policy, switches, work, vcpus, .. } = self;
        let interposed = self.interposed_exits();
        let mut text = format!("{workload} a={accesses} S={switches}, {interposed}, {policy}");
        if self.armed {
            text.push_str(", armed");
        }
        // A String takes everything: writing to it cannot fail.
        if *work != 0 {
            let _ = write!(text, ", work {work}");
        }
        if *vcpus != 1 {
            let _ = write!(text, ", {vcpus} vcpus");
        }
        text
    }

    /// The exits placed in the loop: `none`, `cpuid/1`, `cpuid/10`.
    pub fn interposed_exits(&self) -> String {
        match self.exits_every {
            0 => self.interposed.to_string(),
            every => format!("{}/{every}", self.interposed),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.suite, self.within_suite())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, cell, metric, source } = self;
        write!(f, "{metric} by {source} of {cell} ({target})")
    }
}
