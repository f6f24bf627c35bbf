//! Turns measurements into rows as they arrive.
//!
//! The cells that decide the verdict come first. Until they are there, rows wait; afterwards each
//! measurement becomes rows at once, so that what is finished is on disk whatever happens next.

use std::sync::Arc;

use guest_payloads::{CpuVendor, InterposedKind, Payload, Rearm};
use reports::{Metric, Source};

use crate::cli::Suite;
use crate::cost::{self, Costed};
use crate::judge::{self, Evidence, Verdict};
use crate::plan::{Cell, Role};
use crate::protocol::{Batch, Measured, Pass};
use crate::rows::{self, Context, Meant, Passed, Prediction, Rows};
use crate::slowdown;
use crate::smp::assess::Judging;
use crate::smp::{Crew, CrewMeasured, Crews};
use crate::trace::{Load, play};

/// The state of one target's run.
pub struct Assessment {
    context: Context,
    cells: Vec<Cell>,
    measured: Vec<Passes>,
    verdict: Option<Verdict>,
    rearm: Vec<(InterposedKind, Rearm)>,
    vendor: CpuVendor,
    /// What is played after the cells. Its rows come at the end: they are sums.
    load: Option<Arc<Load>>,
    played: Vec<Passes>,
    /// What several vCPUs run after the cells. Their rows come with each pass.
    crews: Crews,
}

#[derive(Debug, Default)]
struct Passes {
    counted: Option<Result<Vec<Batch>, String>>,
    costed: Option<Result<Vec<Batch>, String>>,
    cycles: Option<Result<Vec<Batch>, String>>,
}

impl Assessment {
    /// For a plan whose deciding cells stand before the cells they decide about.
    pub fn new(context: Context, cells: Vec<Cell>, vendor: CpuVendor) -> Self {
        let measured = cells.iter().map(|_| Passes::default()).collect();
        let (load, played, crews) = (None, vec![], Crews::default());
        Self { context, cells, measured, verdict: None, rearm: vec![], vendor, load, played, crews }
    }

    /// The same for a plan that goes on with a record's pieces after its cells.
    #[must_use]
    pub fn with_load(self, load: Option<Arc<Load>>) -> Self {
        let pieces = load.as_ref().map_or(0, |load| load.pieces.len());
        Self { load, played: (0..pieces).map(|_| Passes::default()).collect(), ..self }
    }

    /// The same for a plan that goes on with crews after its cells.
    #[must_use]
    pub fn with_crews(self, crews: Vec<Crew>) -> Self {
        Self { crews: Crews::new(crews), ..self }
    }

    /// Takes a finished pass over a crew; its rows.
    pub fn push_crew(&mut self, measured: CrewMeasured) -> Rows {
        let judging = |crew: &Crew| self.judging(&crew.cell);
        let Some(judging) = self.crews.get(measured.crew).map(judging) else {
            return Rows::default();
        };
        self.crews.push(&self.context, &judging, measured)
    }

    /// By what a cell is judged.
    fn judging(&self, cell: &Cell) -> Judging {
        Judging {
            verdict: self.verdict.clone().unwrap_or_else(|| {
                Verdict::Unresolved("what decides the verdict was not measured".to_owned())
            }),
            rearm: self.rearm_after(cell),
            instructions: self.instructions(cell).unwrap_or_default(),
        }
    }

    /// The verdict, once there is one.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// What was found out about kinds of exits.
    pub fn rearm(&self, kind: InterposedKind) -> Rearm {
        let found = self.rearm.iter().find(|(known, _)| *known == kind);
        found.map_or(Rearm::Yes, |(_, rearm)| *rearm)
    }

    /// Takes a finished pass over a cell; the rows that can be written now.
    pub fn push(&mut self, measured: Measured) -> Rows {
        let index = measured.cell as usize;
        let cells = self.measured.len();
        let passes = self.measured.get_mut(index);
        let passes = passes.or_else(|| self.played.get_mut(index.checked_sub(cells)?));
        let Some(passes) = passes else { return Rows::default() };
        let result = measured.error.map_or(Ok(measured.batches), Err);
        match measured.pass {
            Pass::Counted => passes.counted = Some(result),
            Pass::Costed => passes.costed = Some(result),
            Pass::Cycles => passes.cycles = Some(result),
        }
        if index >= cells {
            return Rows::default();
        }
        if self.verdict.is_some() {
            return self.rows(index, measured.pass);
        }
        let deciding = self.cells.iter().rposition(|cell| cell.role != Role::Cell).unwrap_or(0);
        let all_there = self.measured[..=deciding].iter().all(|passes| passes.counted.is_some());
        if all_there { self.decide() } else { Rows::default() }
    }

    /// Ends the run. What was not measured becomes failed rows with `reason`.
    pub fn finish(&mut self, reason: &str) -> Rows {
        let missing: Vec<usize> =
            (0..self.cells.len()).filter(|&index| self.measured[index].counted.is_none()).collect();
        for &index in &missing {
            self.measured[index].counted = Some(Err(reason.to_owned()));
        }
        let mut rows = Rows::default();
        if self.verdict.is_none() {
            if missing.len() == self.cells.len() {
                self.verdict = Some(Verdict::Unresolved(reason.to_owned()));
            }
            rows.extend(self.decide());
        } else {
            for index in missing {
                rows.extend(self.rows(index, Pass::Counted));
            }
        }
        for index in 0..self.cells.len() {
            if self.is_costed(index) && self.measured[index].costed.is_none() {
                self.measured[index].costed = Some(Err(reason.to_owned()));
                rows.extend(self.rows(index, Pass::Costed));
            }
        }
        if self.context.suite.as_str() == Suite::Cost.name() {
            let planned = self.cells.iter().filter(|cell| is_costed(cell)).count();
            rows.extend(cost::rows(&self.context, &self.costed(), planned));
        }
        if let Some(verdict) = &self.verdict
            && self.context.suite.as_str() == Suite::Slowdown.name()
        {
            rows.extend(slowdown::rows(&self.context, verdict, &self.costed()));
        }
        rows.extend(self.played(reason));
        for measured in self.crews.missing(reason) {
            rows.extend(self.push_crew(measured));
        }
        rows
    }

    /// The rows of a played record. What was not measured of it is so because of `reason`.
    fn played(&self, reason: &str) -> Rows {
        let (Some(load), Some(verdict)) = (&self.load, &self.verdict) else {
            return Rows::default();
        };
        let passed: Vec<Passed<'_>> = self
            .played
            .iter()
            .map(|Passes { counted, costed, .. }| {
                let [counted, costed] = [counted, costed].map(|pass| match pass {
                    Some(result) => result.as_deref().map_err(String::as_str),
                    None => Err(reason),
                });
                Passed { counted, costed }
            })
            .collect();
        rows::played(&self.context, load, &passed, verdict, self.rearm(play::EXIT))
    }

    /// What costs are computed from: every cell with a prediction whose cost is known.
    fn costed(&self) -> Vec<Costed<'_>> {
        let one = |(cell, passes)| {
            let (cell, passes): (&Cell, &Passes) = (cell, passes);
            let Prediction { policy, exits } = self.prediction(cell)?;
            let batches = passes.costed.as_ref()?.as_ref().ok()?;
            let clock = self.context.clock;
            let ticks = |batches| rows::section_ticks(clock, batches, Some(exits.counted()));
            let counted = passes.counted.as_ref().and_then(|counted| counted.as_ref().ok());
            let traced = counted.filter(|batches| batches.iter().all(|b| b.trace.is_some()));
            Some(Costed {
                cell,
                policy,
                rearm: self.rearm_after(cell),
                ticks: ticks(batches)?,
                traced_ticks: traced.and_then(|batches| ticks(batches)),
                exits: exits.total() - exits.marker,
                instructions: self.instructions(cell)?,
            })
        };
        self.cells.iter().zip(&self.measured).filter_map(one).collect()
    }

    /// What its interposed exits do to a lazy kernel's intercepts.
    fn rearm_after(&self, cell: &Cell) -> Rearm {
        cell.workload.interposed.map_or(Rearm::Yes, |interposed| self.rearm(interposed.kind))
    }

    fn prediction(&self, cell: &Cell) -> Option<Prediction> {
        Prediction::of(cell, self.verdict.as_ref()?, self.rearm_after(cell))
    }

    /// The payload's own instructions.
    fn instructions(&self, cell: &Cell) -> Option<u64> {
        let payload = Payload::assemble(&cell.workload, self.vendor).ok()?;
        Some(payload.instructions)
    }

    /// Whether a cell has a second pass: probes are only counted.
    pub fn is_costed(&self, index: usize) -> bool {
        is_costed(&self.cells[index])
    }

    fn decide(&mut self) -> Rows {
        let evidence: Vec<Evidence<'_>> =
            self.cells.iter().zip(&self.measured).filter_map(evidence).collect();
        let verdict = self.verdict.take().unwrap_or_else(|| judge::verdict(&evidence));
        let mut rows = Rows::default();
        let anchor = self.cells.iter().find(|cell| cell.role == Role::Anchor);
        rows.records.extend(anchor.map(|anchor| self.context.verdict(anchor, &verdict)));
        for (cell, batches) in &evidence {
            if let Role::FastPathProbe(kind) = cell.role {
                let found = batches
                    .map_err(str::to_owned)
                    .and_then(|batches| judge::fast_path(&verdict, cell, batches));
                rows.records.push(self.context.fast_path(cell, kind, &found));
                self.rearm.extend(found.ok().map(|rearm| (kind, rearm)));
            }
        }
        self.verdict = Some(verdict);
        for index in 0..self.cells.len() {
            for pass in [Pass::Counted, Pass::Costed, Pass::Cycles] {
                rows.extend(self.rows(index, pass));
            }
        }
        rows
    }

    /// The rows of one pass over one cell, if it was made.
    fn rows(&self, index: usize, pass: Pass) -> Rows {
        let (cell, passes) = (&self.cells[index], &self.measured[index]);
        let Some(verdict) = &self.verdict else { return Rows::default() };
        if matches!(cell.role, Role::FastPathProbe(_) | Role::EmulationProbe) {
            return Rows::default();
        }
        let measured = match pass {
            Pass::Counted => &passes.counted,
            Pass::Costed => &passes.costed,
            Pass::Cycles => &passes.cycles,
        };
        match (pass, measured) {
            (_, None) => Rows::default(),
            (Pass::Counted, Some(Ok(batches))) => {
                let rearm = self.rearm_after(cell);
                rows::counted(&self.context, cell, batches, verdict, rearm, Meant::Undisturbed)
            }
            (Pass::Counted, Some(Err(reason))) => {
                self.context.unmeasured(cell, Metric::DrExits, Source::Tracepoint, reason)
            }
            (Pass::Costed | Pass::Cycles, Some(Ok(batches))) => {
                let prediction = self.prediction(cell);
                let counted = passes.counted.as_ref().and_then(|counted| counted.as_ref().ok());
                let total = prediction
                    .map(|prediction| prediction.exits.counted())
                    .or_else(|| undisturbed_total(counted?));
                if pass == Pass::Cycles {
                    return rows::cycles(&self.context, cell, batches, total);
                }
                let instructions = self.instructions(cell).unwrap_or_default();
                rows::costed(&self.context, cell, batches, prediction, total, instructions)
            }
            (Pass::Costed, Some(Err(reason))) => {
                let (metric, source) = rows::cost(self.context.clock);
                self.context.unmeasured(cell, metric, source, reason)
            }
            (Pass::Cycles, Some(Err(reason))) => {
                self.context.unmeasured(cell, Metric::GuestCycles, Source::Pmu, reason)
            }
        }
    }
}

/// Whether a cell has a second pass.
pub fn is_costed(cell: &Cell) -> bool {
    match cell.role {
        Role::Anchor | Role::Cell => true,
        Role::FastPathProbe(_) | Role::EmulationProbe => false,
    }
}

fn evidence<'a>((cell, passes): (&'a Cell, &'a Passes)) -> Option<Evidence<'a>> {
    let counted = passes.counted.as_ref()?;
    Some((cell, counted.as_deref().map_err(String::as_str)))
}

/// The total of the batches that nothing disturbed, where no model predicts it.
fn undisturbed_total(batches: &[Batch]) -> Option<u64> {
    let undisturbed =
        |batch: &&Batch| batch.trace.as_ref().is_some_and(|trace| trace.asynchronous == 0);
    batches.iter().find(undisturbed)?.exits
}

#[cfg(test)]
pub(crate) mod tests {
    use guest_payloads::Policy;
    use reports::Status;

    use super::*;
    use crate::plan::{self, Session};
    use crate::protocol::{Target, Trace};
    use crate::rows::Clock;

    pub(crate) fn context() -> Context {
        let info = reports::RunInfo::begin("test", vec![]);
        Context {
            run: info.run,
            subject: reports::Subject {
                kernel: "6.1".to_owned(),
                kernel_id: "6.1-1".to_owned(),
                variant: "stock".to_owned(),
            },
            on: reports::Target {
                vendor: reports::Vendor::KvmAmd,
                machine: reports::Machine::QemuTcg,
                cpu_model: "EPYC".to_owned(),
            },
            target: Target::default(),
            clock: Clock::Instructions,
            suite: "policy".parse().unwrap(),
            assumed: slowdown::Assumed { world_switch_cycles: 1, clock_mhz: 1 },
        }
    }

    /// What an undisturbed lazy kernel gives.
    fn measured(index: usize, cell: &Cell) -> Measured {
        let policy = match cell.session {
            Session::Kernel => Policy::Lazy,
            Session::GuestDebug => Policy::Always,
        };
        let exits = cell.workload.predict(policy, Rearm::Yes);
        let trace = Trace { total: exits.total(), dr: exits.dr, ..Trace::default() };
        let batch = Batch { exits: Some(exits.total()), trace: Some(trace), ..Batch::default() };
        let batches = vec![batch.clone(), batch];
        Measured { cell: index as u32, pass: Pass::Counted, batches, error: None }
    }

    #[test]
    fn rows_wait_for_the_verdict_and_what_a_dead_target_left_unmeasured_is_a_failed_row() {
        let cells = plan::only(&["windows".parse().unwrap(), "dr7".parse().unwrap()]);
        let mut assessment = Assessment::new(context(), cells.clone(), CpuVendor::Amd);
        let deciding = cells.iter().rposition(|cell| cell.role != Role::Cell).unwrap();
        for (index, cell) in cells.iter().enumerate().take(deciding) {
            assert!(assessment.push(measured(index, cell)).records.is_empty());
        }
        let decided = assessment.push(measured(deciding, &cells[deciding]));
        assert!(decided.records.iter().any(|row| row.verdict() == Some("lazy")));
        let next = assessment.push(measured(deciding + 1, &cells[deciding + 1]));
        assert!(next.records.iter().any(|row| row.status == Status::Ok), "rows come at once now");

        let rest = assessment.finish("the kernel panicked").records;
        let missing = &cells[deciding + 2..];
        let lost = |metric: Metric| rest.iter().filter(|row| row.key.metric == metric).count();
        assert_eq!(lost(Metric::DrExits), missing.len());
        assert_eq!(lost(Metric::Instructions), cells.iter().filter(|c| is_costed(c)).count());
        for row in rest {
            assert_eq!((row.status, row.value), (Status::Failed, None));
            assert_eq!(row.reason, "the kernel panicked");
        }
    }

    #[test]
    fn a_target_that_died_at_once_leaves_failed_rows_and_no_verdict() {
        let cells = plan::only(&[]);
        let mut assessment = Assessment::new(context(), cells, CpuVendor::Amd);
        let rows = assessment.finish("no boot").records;
        let verdict = rows.iter().find_map(reports::Record::verdict);
        assert_eq!(verdict, Some("unresolved"));
        assert!(rows.iter().all(|row| row.value.is_none()));
    }

    fn load() -> Arc<Load> {
        let text = "a 1 [0] 1.0: sched_switch: a:1 [1] S ==> b:2 [1]\n\
                    b 2 [0] 1.5: sched_switch: b:2 [1] S ==> a:1 [1]\n";
        let selection = crate::trace::Selection { debugged: vec!["b".to_owned()], first: None };
        let path = std::path::Path::new("t");
        let recording = crate::trace::Recording::of(text.as_bytes(), path, &selection).unwrap();
        let pattern = "linux-hwbp-1".parse().unwrap();
        let playing = crate::trace::Playing { pattern, exits_per_second: 0 };
        Arc::new(Load::of(&recording, &selection, playing).unwrap())
    }

    /// The rows of a load of whose switches, by the guest's own count, `missing` were not played.
    fn played(missing: u64) -> Vec<reports::Record> {
        let (load, cells) = (load(), plan::deciding(play::EXIT));
        let mut assessment =
            Assessment::new(context(), cells.clone(), CpuVendor::Amd).with_load(Some(load.clone()));
        for (index, cell) in cells.iter().enumerate() {
            assessment.push(measured(index, cell));
        }
        for (index, piece) in load.pieces.iter().enumerate() {
            let policy = judge::in_force(Policy::Lazy, piece.session);
            let exits = piece.schedule.predict(policy, Rearm::Yes);
            let trace = Trace { total: exits.total(), dr: exits.dr, ..Trace::default() };
            let played = piece.schedule.switches() - missing;
            let tsc = if piece.control { 1000 } else { 1500 };
            let (exits, trace) = (Some(exits.total()), Some(trace));
            let batch = Batch { exits, tsc, played, trace, ..Batch::default() };
            for pass in [Pass::Counted, Pass::Costed] {
                let (cell, batches) = ((cells.len() + index) as u32, vec![batch.clone(); 2]);
                assessment.push(Measured { cell, pass, batches, error: None });
            }
        }
        assessment.finish("it is over").records
    }

    fn of<'a>(rows: &'a [reports::Record], metric: &Metric) -> Vec<&'a reports::Record> {
        rows.iter().filter(|row| row.key.metric == *metric).collect()
    }

    #[test]
    fn a_load_is_judged_by_all_its_pieces_and_loses_what_they_take_more_than_their_controls() {
        let rows = played(0);
        let switches = of(&rows, &Metric::PlayedSwitches);
        assert_eq!(switches.len(), 4, "a CPU and all of them, in two sessions");
        assert!(switches.iter().all(|row| row.status == Status::Ok && row.value == row.predicted));
        assert!(switches.iter().all(|row| row.value == Some(2.into())));
        for lost in of(&rows, &Metric::LostPerSecond) {
            assert_eq!((lost.status, lost.value), (Status::Ok, Some(1000.into())), "500 in 0.5 s");
        }
        assert_eq!(of(&rows, &Metric::RecordedNs)[0].value, Some(500_000_000.into()));
    }

    #[test]
    fn a_switch_that_the_guest_did_not_play_fails_the_load() {
        for row in of(&played(1), &Metric::PlayedSwitches) {
            assert_eq!((row.status, row.value), (Status::Failed, Some(1.into())));
            assert!(row.reason.contains("played 1 of 2 switches"), "{}", row.reason);
        }
    }

    #[test]
    fn a_load_whose_target_died_is_failed_rows_without_values() {
        let cells = plan::deciding(play::EXIT);
        let mut assessment =
            Assessment::new(context(), cells, CpuVendor::Amd).with_load(Some(load()));
        let rows = assessment.finish("no boot").records;
        for metric in [Metric::PlayedSwitches, Metric::LostPerSecond, Metric::TakenPerSecond] {
            let rows = of(&rows, &metric);
            assert!(!rows.is_empty());
            assert!(rows.iter().all(|row| row.status == Status::Failed && row.value.is_none()));
            assert!(rows.iter().all(|row| row.reason.contains("no boot")));
        }
    }
}
