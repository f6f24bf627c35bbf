//! The few figures that sum up a policy run of one kernel on one target.
//!
//! All come from one workload of five accesses per switch (`WORKLOAD`) and its control, the same
//! loop without accesses (`CONTROL`), with the section's length of the verdict's anchor:
//!
//! | figure | computed from |
//! | --- | --- |
//! | DR exits per switch | `dr_exits` of the workload with one CPUID after each switch, kernel's policy |
//! | cost of a switch | the cost of the same cell |
//! | cost of a DR exit | (cost of the workload under guest debug, nothing interposed − cost of the control) / its DR exits per switch |
//! | cost of another exit | (cost of the control with one CPUID after each switch − cost of the control) / its interposed exits per switch |
//!
//! With a CPUID in each switch `lazy` arms its intercepts once per switch, so the first figure is
//! 5, 1 or 0 for `always`, `lazy` and `never`, whatever the section's length. Under guest debug every
//! access exits on every kernel, so the cost of a DR exit means the same for all policies. The
//! instructions that exit (MOV, CPUID) are part of their cost.

use crate::record::{
    Cell, Machine, Metric, Policy, Record, Status, Subject, Target, Unit, Value, Vendor,
};
use crate::table::POLICY_SUITE;
use std::collections::HashMap;

/// The columns `interposed` and `exits_every`.
type Interposed = (&'static str, u64);

/// The workload whose accesses are counted.
const WORKLOAD: &str = "n:5";
/// The same loop without accesses.
const CONTROL: &str = "none";
/// What stands in a cell's `interposed` where nothing is.
const ALONE: Interposed = ("none", 0);
/// One cheap exit that is no DR access, after each switch.
const CPUID: Interposed = ("cpuid", 1);

/// What a cost may be measured in; the first that was measured is taken.
const LAB_COSTS: &[Metric] = &[Metric::Instructions];
const HARDWARE_COSTS: &[Metric] = &[Metric::Ns, Metric::Instructions, Metric::GuestCycles];

/// A figure, or why there is none.
pub type Figure<'a> = Result<Found<'a>, Gap<'a>>;

/// A figure and the row it comes from; of several rows, the one it is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found<'a> {
    /// The figure.
    pub value: f64,
    /// The row.
    pub row: &'a Record,
}

/// Why there is no figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap<'a> {
    /// No such cell was measured, or no such exit occurred.
    Nothing,
    /// A row it needs is not as it should be.
    Row(&'a Record),
}

/// The rows of one kernel on one target, and what they come to.
#[derive(Debug, Clone)]
pub struct Figures<'a> {
    /// The kernel.
    pub subject: &'a Subject,
    /// What it ran on.
    pub target: &'a Target,
    /// All rows of the policy suite.
    pub records: Vec<&'a Record>,
    /// The policy found; none if there is no row of it.
    pub verdict: Option<&'a Record>,
    /// What the costs are in.
    pub unit: Unit,
    /// Exits by access to a debug register, of a switch with one CPUID.
    pub dr_exits_per_switch: Figure<'a>,
    /// All of that switch.
    pub cost_of_switch: Figure<'a>,
    /// One access that exits.
    pub cost_of_dr_exit: Figure<'a>,
    /// One CPUID.
    pub cost_of_other_exit: Figure<'a>,
}

/// The figures of every kernel on every target, in the order of first appearance.
pub fn figures(records: &[Record]) -> Vec<Figures<'_>> {
    let mut groups: Vec<Vec<&Record>> = Vec::new();
    let mut index = HashMap::new();
    let suite = |record: &&Record| record.key.cell.suite.as_str() == POLICY_SUITE;
    for record in records.iter().filter(suite) {
        let at = *index.entry((&record.subject, &record.key.target)).or_insert(groups.len());
        if at == groups.len() {
            groups.push(Vec::new());
        }
        groups[at].push(record);
    }
    groups.into_iter().map(Figures::of).collect()
}

/// AMD in the lab: both emulators lack decode assists.
pub const fn lacks_decode_assists(target: &Target) -> bool {
    matches!((target.vendor, target.machine), (Vendor::KvmAmd, Machine::QemuTcg | Machine::Bochs))
}

impl<'a> Figures<'a> {
    /// Of the rows of one kernel on one target.
    pub fn of(records: Vec<&'a Record>) -> Self {
        let Record { subject, key, .. } = records[0];
        let verdict = records.iter().copied().find(|record| record.verdict().is_some());
        let rows = Rows::new(&records, &key.target, verdict);
        let control = rows.cost(CONTROL, Policy::Kernel, ALONE);
        let per_exit = |cost: Figure<'a>, exits: Figure<'a>| {
            let (cost, control, exits) = (cost?, control?.value, exits?.value);
            let value = (cost.value - control) / exits;
            if exits > 0.0 { Ok(Found { value, ..cost }) } else { Err(Gap::Nothing) }
        };
        Self {
            subject,
            target: &key.target,
            verdict,
            unit: rows.cost.unit(),
            dr_exits_per_switch: rows.per_switch(WORKLOAD, Policy::Kernel, CPUID, &Metric::DrExits),
            cost_of_switch: rows.cost(WORKLOAD, Policy::Kernel, CPUID),
            cost_of_dr_exit: per_exit(
                rows.cost(WORKLOAD, Policy::GuestDebug, ALONE),
                rows.per_switch(WORKLOAD, Policy::GuestDebug, ALONE, &Metric::DrExits),
            ),
            cost_of_other_exit: per_exit(
                rows.cost(CONTROL, Policy::Kernel, CPUID),
                rows.per_switch(CONTROL, Policy::Kernel, CPUID, &Metric::InterposedExits),
            ),
            records,
        }
    }

    /// Whether the kernel is as its package has it.
    pub fn is_stock(&self) -> bool {
        self.subject.variant == "stock"
    }

    /// How every cell of the suite ended: a metric that cannot be had does not spoil the others.
    pub fn cells(&self) -> Vec<Status> {
        let mut cells: HashMap<&Cell, Status> = HashMap::new();
        let counts = |record: &&&Record| {
            !record.key.metric.is_wordy() && !matches!(record.key.metric, Metric::Fastpath(_))
        };
        for record in self.records.iter().filter(counts) {
            let status = cells.entry(&record.key.cell).or_insert(record.status);
            *status = graver(*status, record.status);
        }
        cells.into_values().collect()
    }
}

/// The one that decides for both.
pub(crate) fn graver(one: Status, other: Status) -> Status {
    match (one, other) {
        (Status::Skipped, status) | (status, Status::Skipped) => status,
        (one, other) => one.max(other),
    }
}

/// The rows to choose from.
struct Rows<'r, 'a> {
    records: &'r [&'a Record],
    cost: &'static Metric,
    /// The section's length: shares of its ends are alike only between cells of equal length.
    switches: Option<u64>,
}

impl<'r, 'a> Rows<'r, 'a> {
    fn new(records: &'r [&'a Record], target: &Target, verdict: Option<&Record>) -> Self {
        let costs = if target.machine.is_emulated() { LAB_COSTS } else { HARDWARE_COSTS };
        let measured = |metric: &&Metric| {
            records.iter().any(|record| record.key.metric == **metric && record.value.is_some())
        };
        let cost = costs.iter().find(measured).unwrap_or(&costs[0]);
        Self { records, cost, switches: verdict.map(|verdict| verdict.key.cell.switches) }
    }

    fn cost(&self, workload: &str, policy: Policy, interposed: Interposed) -> Figure<'a> {
        self.value(workload, policy, interposed, self.cost)
    }

    /// A total over the section, per switch.
    #[allow(clippy::cast_precision_loss)] // sections are short
    fn per_switch(
        &self,
        workload: &str,
        policy: Policy,
        interposed: Interposed,
        metric: &Metric,
    ) -> Figure<'a> {
        let Found { value, row } = self.value(workload, policy, interposed, metric)?;
        match row.key.cell.switches {
            0 => Err(Gap::Nothing),
            switches => Ok(Found { value: value / switches as f64, row }),
        }
    }

    /// A row's value; with several sources, of the first that has a value.
    fn value(
        &self,
        workload: &str,
        policy: Policy,
        interposed: Interposed,
        metric: &Metric,
    ) -> Figure<'a> {
        let is_it = |record: &&&Record| {
            let cell = &record.key.cell;
            record.key.metric == *metric
                && (cell.workload.as_str(), cell.policy) == (workload, policy)
                && (cell.interposed.as_str(), cell.exits_every) == interposed
                && (cell.armed, cell.vcpus, cell.work) == (false, 1, 0)
                && Some(cell.switches) == self.switches
        };
        let best = |record: &&&Record| (record.value.is_none(), record.key.source);
        let record = self.records.iter().filter(is_it).min_by_key(best).ok_or(Gap::Nothing)?;
        match (record.status, record.value.map(Value::as_f64)) {
            (Status::Ok | Status::Unconfirmed, Some(value)) => Ok(Found { value, row: record }),
            _ => Err(Gap::Row(record)),
        }
    }
}
