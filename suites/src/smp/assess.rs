//! From what crews gave to rows: for each vCPU those of a cell, by the same rules.
//!
//! The record has no column for a placement or for one vCPU of several. Both stand in the workload's
//! name, `linux-hwbp-4.moved.vcpu1`, as the CPU does in those of a played record; the column `vcpus`
//! says of how many it is one.

use std::sync::Arc;

use guest_payloads::{Policy, Rearm};
use reports::{Metric, Name, Outcome, Record, Source};

use super::{Came, Crew, CrewMeasured, OfVcpu, Placement, Touched};
use crate::judge::Verdict;
use crate::protocol::{Availability, Batch, Pass};
use crate::rows::{self, Context, Meant, Prediction, Rows};

/// The check that a breakpoint was in force after the sections.
const BREAKPOINT: &str = "breakpoint";
/// The check that sections which are to be preempted were.
const PREEMPTED: &str = "preempted";

/// Why nothing is known of sections that are meant to be disturbed.
const NOT_TOLD_APART: &str =
    "only the tracepoint tells the exits of a preempted guest from those that are not its doing";

/// By what a crew is judged.
pub struct Judging {
    /// The verdict.
    pub verdict: Verdict,
    /// What the crew's interposed exits do to a lazy kernel's intercepts.
    pub rearm: Rearm,
    /// The payload's own instructions.
    pub instructions: u64,
}

/// The crews of a run, and what came of them.
#[derive(Default)]
pub struct Crews {
    crews: Vec<Crew>,
    done: Vec<Done>,
}

/// What is known of a crew.
#[derive(Clone, Default)]
struct Done {
    counted: bool,
    costed: bool,
    /// By vCPU, the statistics total of undisturbed sections.
    totals: Vec<Option<u64>>,
}

impl Crews {
    /// In the order of the job.
    pub fn new(crews: Vec<Crew>) -> Self {
        let done = |crew: &Crew| Done { costed: !crew.is_costed(), ..Done::default() };
        let done = crews.iter().map(done).collect();
        Self { crews, done }
    }

    /// The crew of this number.
    pub fn get(&self, crew: u32) -> Option<&Crew> {
        self.crews.get(crew as usize)
    }

    /// Takes a pass over a crew; its rows.
    pub fn push(&mut self, context: &Context, judging: &Judging, measured: CrewMeasured) -> Rows {
        let CrewMeasured { crew, pass, came } = measured;
        let (Some(&crew), Some(done)) =
            (self.crews.get(crew as usize), self.done.get_mut(crew as usize))
        else {
            return Rows::default();
        };
        match pass {
            Pass::Counted => done.counted = true,
            Pass::Costed | Pass::Cycles => done.costed = true,
        }
        let mut rows = Rows::default();
        match came {
            Came::Measured(all) => {
                if pass == Pass::Counted {
                    done.totals = all.iter().map(|vcpu| undisturbed_total(&vcpu.batches)).collect();
                }
                for (index, vcpu) in (0..).zip(&all) {
                    let total = done.totals.get(usize::from(index)).copied().flatten();
                    let seat = Seat { context, crew, index };
                    rows.extend(seat.rows(judging, pass, vcpu, total));
                }
            }
            Came::Impossible(why) => {
                let why = Outcome::skipped(with_machine(context, &why));
                (0..crew.vcpus).for_each(|vcpu| {
                    rows.extend(Seat { context, crew, index: vcpu }.nothing(pass, &why));
                });
            }
            Came::Broken(why) => (0..crew.vcpus).for_each(|vcpu| {
                let why = Outcome::failed(None, why.clone());
                rows.extend(Seat { context, crew, index: vcpu }.nothing(pass, &why));
            }),
        }
        rows
    }

    /// The passes that were not made, as failed because of `reason`.
    pub fn missing(&self, reason: &str) -> Vec<CrewMeasured> {
        let passes = |(crew, done): (u32, &Done)| {
            [(Pass::Counted, done.counted), (Pass::Costed, done.costed)]
                .into_iter()
                .filter(|(_, done)| !done)
                .map(move |(pass, _)| (crew, pass))
        };
        let missing = (0..).zip(&self.done).flat_map(passes);
        let failed =
            |(crew, pass)| CrewMeasured { crew, pass, came: Came::Broken(reason.to_owned()) };
        missing.map(failed).collect()
    }
}

/// A target with too few CPUs: on Bochs nobody can give it more.
fn with_machine(context: &Context, why: &str) -> String {
    match context.on.machine {
        reports::Machine::Bochs => format!("{why}: the lab's Bochs is built without SMP"),
        reports::Machine::Native | reports::Machine::QemuTcg | reports::Machine::QemuKvm => {
            why.to_owned()
        }
    }
}

/// Whether the breakpoint was in force. Where KVM interprets the guest, none ever comes of a write.
fn breakpoint(touched: Touched, verdict: &Verdict) -> Outcome {
    match touched.verify() {
        Ok(()) => Outcome::passed(),
        Err(_) if touched.exceptions == 0 && verdict.policy() == Some(Policy::Emulated) => {
            Outcome::skipped(
                "KVM interprets this guest, and its emulator knows no data breakpoints",
            )
        }
        Err(why) => Outcome::failed(None, why),
    }
}

fn undisturbed_total(batches: &[Batch]) -> Option<u64> {
    crate::measure::undisturbed(batches)?.exits
}

/// One vCPU of a crew.
struct Seat<'a> {
    context: &'a Context,
    crew: Crew,
    index: u8,
}

impl Seat<'_> {
    fn rows(
        &self,
        judging: &Judging,
        pass: Pass,
        vcpu: &OfVcpu,
        counted_total: Option<u64>,
    ) -> Rows {
        let Judging { verdict, rearm, instructions } = judging;
        let (context, cell) = (self.counting(&vcpu.batches), &self.crew.cell);
        let rows = match pass {
            Pass::Counted => {
                let meant = match self.crew.placement {
                    Placement::Preempted => Meant::Disturbed,
                    Placement::Pinned
                    | Placement::Unpinned
                    | Placement::OverCommitted
                    | Placement::Moved => Meant::Undisturbed,
                };
                if meant == Meant::Disturbed && context.target.trace.missing().is_some() {
                    // By subtraction from totals, every interrupt would be a DR exit.
                    return self.nothing(pass, &Outcome::skipped(NOT_TOLD_APART));
                }
                let mut rows = rows::counted(&context, cell, &vcpu.batches, verdict, *rearm, meant);
                if meant == Meant::Disturbed {
                    rows.records.extend(self.preempted(vcpu));
                }
                if let Some(touched) = vcpu.touched {
                    let outcome = breakpoint(touched, verdict);
                    let metric = Metric::Check(name(BREAKPOINT));
                    rows.records.push(context.row(cell, metric, Source::Guest, outcome));
                }
                rows
            }
            Pass::Costed | Pass::Cycles => {
                let prediction = Prediction::of(cell, verdict, *rearm);
                let total =
                    prediction.map(|prediction| prediction.exits.counted()).or(counted_total);
                rows::costed(&context, cell, &vcpu.batches, prediction, total, *instructions)
            }
        };
        self.named(rows)
    }

    /// The rows of a pass that gave nothing.
    fn nothing(&self, pass: Pass, why: &Outcome) -> Rows {
        let (metric, source) = match pass {
            Pass::Counted => (Metric::DrExits, Source::Tracepoint),
            Pass::Costed | Pass::Cycles => rows::cost(self.context.clock),
        };
        let row = self.context.row(&self.crew.cell, metric, source, why.clone());
        self.named(Rows { records: vec![row], samples: vec![] })
    }

    /// Whether the sections were preempted as they should, and why they have no cost.
    fn preempted(&self, vcpu: &OfVcpu) -> [Record; 2] {
        let interrupted =
            |batch: &Batch| batch.trace.as_ref().is_none_or(|trace| trace.asynchronous > 0);
        let was = if vcpu.preemptions > 0 && vcpu.batches.iter().all(interrupted) {
            Outcome::passed()
        } else {
            Outcome::unresolved(None, "no interrupt took the CPU away from the guest in a section")
        };
        let check = Metric::Check(name(PREEMPTED));
        let (cost, source) = rows::cost(self.context.clock);
        let none = Outcome::skipped("a section that other vCPUs preempt has no cost of its own");
        let cell = &self.crew.cell;
        [
            self.context.row(cell, check, Source::None, was),
            self.context.row(cell, cost, source, none),
        ]
    }

    /// What can be counted of one vCPU of several: debugfs adds all of them up.
    fn counting(&self, batches: &[Batch]) -> Context {
        let mut context = self.context.clone();
        let target = &mut context.target;
        if self.crew.vcpus > 1
            && target.statistics.missing().is_none()
            && batches.iter().all(|batch| batch.exits.is_none())
        {
            target.statistics = Availability::No(
                "this kernel's statistics are of all vCPUs together: KVM_GET_STATS_FD, with those of \
                 each, came with Linux 5.14"
                    .to_owned(),
            );
        }
        context
    }

    /// The same rows under this vCPU's name.
    fn named(&self, rows: Rows) -> Rows {
        let Rows { mut records, mut samples } = rows;
        let records_keys = records.iter_mut().map(|row| &mut row.key.cell);
        for cell in records_keys.chain(samples.iter_mut().map(|sample| &mut sample.key.cell)) {
            let Crew { placement, vcpus, .. } = self.crew;
            let cell = Arc::make_mut(cell);
            cell.workload = name(&format!("{}.{placement}.vcpu{}", cell.workload, self.index));
            cell.vcpus = vcpus.into();
        }
        Rows { records, samples }
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("workloads, placements and numbers are plain words")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use reports::{Status, Value};

    use super::*;
    use crate::assess::tests;
    use crate::plan::Session;
    use crate::protocol::Trace;
    use crate::smp;

    /// With every counter that there is.
    fn context() -> Context {
        let mut context = tests::context();
        let there = || Availability::Yes("there".to_owned());
        (context.target.trace, context.target.statistics) = (there(), there());
        context
    }

    fn judging() -> Judging {
        let verdict = Verdict::Policy { policy: Policy::Lazy, confirmed: true };
        Judging { verdict, rearm: Rearm::Yes, instructions: 50 }
    }

    /// A lazy kernel's vCPU, with so many asynchronous exits in each batch.
    fn vcpu(crew: &Crew, asynchronous: u64) -> OfVcpu {
        let policy = match crew.cell.session {
            Session::Kernel => Policy::Lazy,
            Session::GuestDebug => Policy::Always,
        };
        let exits = crew.cell.workload.predict(policy, Rearm::Yes);
        let total = exits.total() + asynchronous;
        let trace = Trace { total, dr: exits.dr, asynchronous, ..Trace::default() };
        let batch = Batch { exits: Some(total), trace: Some(trace), tsc: 1000, ..Batch::default() };
        let touched = Some(Touched { hits: 1, exceptions: 1 });
        OfVcpu { batches: vec![batch.clone(), batch], touched, preemptions: asynchronous }
    }

    fn push(crews: &mut Crews, index: u32, pass: Pass, came: Came) -> Vec<Record> {
        crews.push(&context(), &judging(), CrewMeasured { crew: index, pass, came }).records
    }

    #[test]
    fn every_row_of_every_vcpu_has_a_key_of_its_own_and_is_judged_like_a_cell() {
        let planned = smp::crews(&[], 4);
        let mut crews = Crews::new(planned.clone());
        let mut keys = HashSet::new();
        for (index, crew) in (0..).zip(&planned) {
            let ticks = u64::from(!crew.is_costed());
            let all = || Came::Measured((0..crew.vcpus).map(|_| vcpu(crew, ticks)).collect());
            let passes = [Some(Pass::Counted), crew.is_costed().then_some(Pass::Costed)];
            for pass in passes.into_iter().flatten() {
                for row in push(&mut crews, index, pass, all()) {
                    assert_eq!(row.key.cell.vcpus, u32::from(crew.vcpus));
                    assert!(row.status <= Status::Skipped, "{}: {}", row.key, row.reason);
                    if row.key.metric == Metric::DrExits {
                        assert_eq!(row.value, row.predicted, "{}", row.key);
                    }
                    row.validate().unwrap();
                    assert!(keys.insert(row.key.clone()), "twice: {}", row.key);
                }
            }
        }
        let breakpoint = Metric::Check(name(BREAKPOINT));
        let vcpus: usize = planned.iter().map(|crew| usize::from(crew.vcpus)).sum();
        assert_eq!(keys.iter().filter(|key| key.metric == breakpoint).count(), vcpus);
        assert!(crews.missing("").is_empty());
    }

    #[test]
    fn one_disturbed_vcpu_is_unresolved_and_the_other_is_not() {
        let crew = smp::crews(&[], 2)
            .into_iter()
            .find(|crew| crew.vcpus == 2 && crew.cell.workload.accesses() > 0)
            .unwrap();
        let mut crews = Crews::new(vec![crew]);
        let came = Came::Measured(vec![vcpu(&crew, 0), vcpu(&crew, 1)]);
        let rows = push(&mut crews, 0, Pass::Counted, came);
        let dr_exits: Vec<_> =
            rows.iter().filter(|row| row.key.metric == Metric::DrExits).collect();
        assert_eq!(dr_exits.len(), 2);
        assert_eq!(dr_exits[0].status, Status::Ok);
        assert_eq!(dr_exits[0].value, Some(Value::count(4)));
        assert_eq!(dr_exits[1].status, Status::Unresolved);
        assert!(dr_exits[1].key.cell.workload.as_str().ends_with(".pinned.vcpu1"));
    }

    #[test]
    fn a_preempted_vcpu_keeps_to_the_bounds_and_must_have_been_preempted() {
        let crew = smp::crews(&[], 2)
            .into_iter()
            .find(|crew| {
                crew.placement == Placement::Preempted && crew.cell.workload.accesses() > 0
            })
            .unwrap();
        let status = |vcpu: OfVcpu, metric: &Metric| {
            let came = Came::Measured(vec![vcpu]);
            let rows = push(&mut Crews::new(vec![crew]), 0, Pass::Counted, came);
            rows.iter().find(|row| row.key.metric == *metric).unwrap().status
        };
        let was = Metric::Check(name(PREEMPTED));
        assert_eq!(status(vcpu(&crew, 2), &Metric::DrExits), Status::Ok);
        assert_eq!(status(vcpu(&crew, 2), &was), Status::Ok);
        assert_eq!(status(vcpu(&crew, 0), &was), Status::Unresolved);

        let mut blind = context();
        blind.target.trace = Availability::No("no tracefs".to_owned());
        let came = Came::Measured(vec![vcpu(&crew, 2)]);
        let measured = CrewMeasured { crew: 0, pass: Pass::Counted, came };
        let rows = Crews::new(vec![crew]).push(&blind, &judging(), measured).records;
        assert_eq!((rows.len(), rows[0].status), (1, Status::Skipped));

        let mut beyond = vcpu(&crew, 2);
        for trace in beyond.batches.iter_mut().filter_map(|batch| batch.trace.as_mut()) {
            trace.dr += 3;
        }
        assert_eq!(status(beyond, &Metric::DrExits), Status::Failed);
    }

    #[test]
    fn a_breakpoint_that_did_not_fire_fails() {
        let crew = smp::crews(&[], 1)[0];
        let silent = OfVcpu { touched: Some(Touched { hits: 0, exceptions: 0 }), ..vcpu(&crew, 0) };
        let rows =
            push(&mut Crews::new(vec![crew]), 0, Pass::Counted, Came::Measured(vec![silent]));
        let failed: Vec<_> = rows.iter().filter(|row| row.status == Status::Failed).collect();
        assert_eq!(failed.len(), 1);
        assert!(failed[0].reason.contains("gave 0 exceptions"), "{}", failed[0].reason);

        let emulated = Verdict::Emulated("shown".to_owned());
        let none = Touched { hits: 0, exceptions: 0 };
        let status = |touched| {
            let outcome = breakpoint(touched, &emulated);
            context()
                .row(&crew.cell, Metric::Check(name(BREAKPOINT)), Source::Guest, outcome)
                .status
        };
        assert_eq!(status(none), Status::Skipped);
        assert_eq!(status(Touched { hits: 0, exceptions: 1 }), Status::Failed);
    }

    #[test]
    fn what_cannot_be_had_is_skipped_and_what_broke_or_is_missing_is_failed_for_each_vcpu() {
        let is_pinned = |crew: &&Crew| (crew.vcpus, crew.placement) == (3, Placement::Pinned);
        let crew = *smp::crews(&[], 4).iter().find(is_pinned).unwrap();
        let mut crews = Crews::new(vec![crew]);
        assert_eq!(crews.missing("no boot").len(), 2);
        for (came, status) in [
            (Came::Impossible("too few".to_owned()), Status::Skipped),
            (Came::Broken("vCPU 1: it hung".to_owned()), Status::Failed),
        ] {
            let rows = push(&mut crews, 0, Pass::Counted, came);
            assert_eq!(rows.len(), 3);
            for row in rows {
                assert_eq!((row.status, row.value), (status, None));
                assert!(!row.reason.is_empty());
            }
        }
        assert_eq!(crews.missing("no boot").len(), 1);
    }
}
