//! From one judged cell to rows of the record.

use guest_payloads::{InterposedKind, Policy, PredictedExits, Rearm};
use reports::{Key, Metric, Name, Outcome, Record, Sample, Source, Status, Value, statistics};

use crate::judge::{self, Contradiction, Finding, Judgement, Verdict};
use crate::plan::{Cell, Session};
use crate::protocol::{Availability, Batch, Effort, Target, Trace};

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

/// The metric and source of a cell's cost under a clock.
pub fn cost(clock: Clock) -> (Metric, Source) {
    match clock {
        Clock::Instructions | Clock::EmulatorTime => (Metric::Instructions, Source::Tsc),
        Clock::Hardware => (Metric::Ns, Source::Tsc),
    }
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
        let workload = &cell.workload;
        Key {
            target: self.on.clone(),
            cell: reports::Cell {
                suite: self.suite.clone(),
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
            },
            metric,
            source,
        }
    }

    fn row(&self, cell: &Cell, metric: Metric, source: Source, outcome: Outcome) -> Record {
        let key = self.key(cell, metric, source);
        let repeats = self.clock == Clock::Instructions;
        Record {
            deterministic: repeats,
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
            Ok(Rearm::No) => Outcome::ok(1),
            Ok(Rearm::Yes) => Outcome::ok(0),
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

/// A counted cell, judged.
struct Counted<'a> {
    blot: Blot,
    /// The batch whose counts are shown: an undisturbed one, or the one that contradicts.
    shown: Option<&'a Batch>,
    /// How many batches agree with it.
    alike: u64,
}

fn judged<'a>(
    context: &Context,
    batches: &'a [Batch],
    verdict: &Verdict,
    prediction: Option<Prediction>,
) -> Counted<'a> {
    let Some(Prediction { policy, exits }) = prediction else {
        return without_prediction(batches, verdict);
    };
    let finding = |batch: &&Batch| judge::examine(batch, policy, exits);
    let exact = || batches.iter().filter(|batch| finding(batch) == Finding::Exact);
    match judge::judge(batches, policy, exits) {
        Judgement::Agrees => Counted {
            blot: if batches.iter().all(|batch| batch.trace.is_some()) {
                Blot::None
            } else {
                Blot::Unconfirmed(context.missing_trace().to_owned())
            },
            shown: exact().next(),
            alike: exact().count() as u64,
        },
        Judgement::Unresolved(reason) => Counted {
            blot: Blot::Unresolved(reason),
            shown: exact().next(),
            alike: exact().count() as u64,
        },
        Judgement::Broken(Contradiction::DrExits(reason) | Contradiction::Counters(reason)) => {
            let broken = |batch: &&Batch| matches!(finding(batch), Finding::Broken(_));
            Counted {
                blot: Blot::Failed(reason),
                shown: batches.iter().find(broken),
                alike: batches.iter().filter(broken).count() as u64,
            }
        }
    }
}

/// No model: counts are shown as they are; only the counters' own agreement is judged.
fn without_prediction<'a>(batches: &'a [Batch], verdict: &Verdict) -> Counted<'a> {
    let disagrees = |batch: &&Batch| match (&batch.trace, batch.exits) {
        (Some(trace), Some(exits)) => trace.total != exits,
        _ => false,
    };
    if let Some(batch) = batches.iter().find(disagrees) {
        let reason = "the statistics and the tracepoint counted different totals".to_owned();
        return Counted { blot: Blot::Failed(reason), shown: Some(batch), alike: 1 };
    }
    let undisturbed =
        |batch: &&Batch| batch.trace.as_ref().is_none_or(|trace| trace.asynchronous == 0);
    let mut ordered: Vec<_> = batches.iter().filter(undisturbed).collect();
    ordered.sort_by_key(|batch| batch.exits);
    let shown = ordered.get(ordered.len() / 2).copied();
    let blot = match verdict {
        Verdict::Unresolved(_) => Blot::Unresolved("there is no verdict to judge it by".to_owned()),
        _ if shown.is_none() => Blot::Unresolved("no batch was undisturbed".to_owned()),
        _ => Blot::None,
    };
    Counted { blot, shown, alike: ordered.len() as u64 }
}

/// The rows of a cell's counted pass.
pub fn counted(
    context: &Context,
    cell: &Cell,
    batches: &[Batch],
    verdict: &Verdict,
    rearm: Rearm,
    names_of: &dyn Fn(InterposedKind) -> Vec<String>,
) -> Rows {
    let prediction = Prediction::of(cell, verdict, rearm);
    let judged = judged(context, batches, verdict, prediction);
    let predicted = prediction.map(|prediction| prediction.exits);
    let interposed = |trace: &Trace| match cell.workload.interposed {
        Some(interposed) => {
            judge::interposed_exits(trace, interposed.kind, &names_of(interposed.kind))
        }
        None => 0,
    };
    let trace = judged.shown.and_then(|batch| batch.trace.as_ref());
    let traced = |metric: Metric, value: Option<u64>, predicted: Option<u64>| {
        let outcome = match (value, context.target.trace.missing()) {
            (None, Some(missing)) => Outcome::skipped(missing),
            (value, _) => judged.blot.outcome(value.map(Value::count)),
        };
        Counts { metric, source: Source::Tracepoint, outcome, predicted }
    };
    let mut counts = vec![
        dr_exits(context, &judged, verdict, predicted.as_ref(), trace),
        traced(Metric::InterposedExits, trace.map(interposed), predicted.map(|p| p.interposed)),
        traced(Metric::Exits, trace.map(|trace| trace.total), predicted.map(|p| p.total())),
        statistics_total(context, &judged, predicted.map(|p| p.total())),
    ];
    for (reason, count) in trace.map_or(&[][..], |trace| &trace.by_reason) {
        counts.push(traced(Metric::ExitsBy(name(reason)), Some(*count), None));
    }
    let mut rows = Rows::default();
    for Counts { metric, source, outcome, predicted } in counts {
        let row = context.row(cell, metric, source, outcome);
        let exact = row.status == Status::Ok && predicted.is_some();
        rows.records.push(Record {
            samples: if row.value.is_some() { judged.alike } else { 0 },
            predicted: predicted.map(Value::count),
            deterministic: row.deterministic || exact,
            ..row
        });
    }
    rows.records.push(asynchronous(context, cell, batches));
    samples(context, cell, batches, &mut rows);
    rows
}

struct Counts {
    metric: Metric,
    source: Source,
    outcome: Outcome,
    predicted: Option<u64>,
}

fn dr_exits(
    context: &Context,
    judged: &Counted<'_>,
    verdict: &Verdict,
    predicted: Option<&PredictedExits>,
    trace: Option<&Trace>,
) -> Counts {
    let metric = Metric::DrExits;
    let expected = predicted.map(|predicted| predicted.dr);
    if verdict.policy() == Some(Policy::Emulated) {
        let outcome = Outcome::skipped(
            "the guest's kernel code is interpreted: no DR exits exist to be counted",
        );
        return Counts { metric, source: Source::Tracepoint, outcome, predicted: expected };
    }
    if let Some(trace) = trace {
        let outcome = judged.blot.outcome(Some(Value::count(trace.dr)));
        return Counts { metric, source: Source::Tracepoint, outcome, predicted: expected };
    }
    // By subtraction: the total less what is known to be no DR exit.
    let left =
        judged.shown.and_then(|batch| batch.exits).zip(predicted).map(|(exits, predicted)| {
            Value::count(exits.saturating_sub(predicted.interposed + predicted.marker))
        });
    let outcome = match (left, &judged.blot) {
        (None, Blot::None) => Outcome::skipped(context.missing_trace()),
        (left, blot) => blot.outcome(left),
    };
    Counts { metric, source: Source::Model, outcome, predicted: expected }
}

fn statistics_total(context: &Context, judged: &Counted<'_>, predicted: Option<u64>) -> Counts {
    let exits = judged.shown.and_then(|batch| batch.exits);
    let outcome = match (exits, context.target.statistics.missing()) {
        (None, Some(missing)) => Outcome::skipped(missing),
        (exits, _) => judged.blot.outcome(exits.map(Value::count)),
    };
    Counts { metric: Metric::Exits, source: Source::Statistics, outcome, predicted }
}

/// Asynchronous exits are told as the sum over all batches: each batch that is reported has none.
fn asynchronous(context: &Context, cell: &Cell, batches: &[Batch]) -> Record {
    let counts: Option<Vec<u64>> =
        batches.iter().map(|batch| batch.trace.as_ref().map(|trace| trace.asynchronous)).collect();
    let outcome = match counts {
        Some(counts) if !counts.is_empty() => Outcome::ok(counts.iter().sum::<u64>()),
        _ => Outcome::skipped(context.missing_trace()),
    };
    let row = context.row(cell, Metric::AsyncExits, Source::Tracepoint, outcome);
    Record { samples: if row.value.is_some() { batches.len() as u64 } else { 0 }, ..row }
}

fn samples(context: &Context, cell: &Cell, batches: &[Batch], rows: &mut Rows) {
    let values: [(Metric, Source, fn(&Batch) -> Option<u64>); 4] = [
        (Metric::Exits, Source::Statistics, |batch| batch.exits),
        (Metric::Exits, Source::Tracepoint, |batch| Some(batch.trace.as_ref()?.total)),
        (Metric::DrExits, Source::Tracepoint, |batch| Some(batch.trace.as_ref()?.dr)),
        (Metric::AsyncExits, Source::Tracepoint, |batch| Some(batch.trace.as_ref()?.asynchronous)),
    ];
    for (metric, source, value) in values {
        let row = context.row(cell, metric, source, Outcome::ok(0));
        for (index, batch) in batches.iter().enumerate() {
            if let Some(value) = value(batch) {
                rows.samples.push(row.sample(0, index as u32, Value::count(value)));
            }
        }
    }
}

/// The rows of a cell's costed pass. `counted_total` is the statistics total of the counted pass.
pub fn costed(
    context: &Context,
    cell: &Cell,
    batches: &[Batch],
    prediction: Option<Prediction>,
    counted_total: Option<u64>,
    instructions: u64,
) -> Rows {
    let undisturbed: Vec<(u32, &Batch)> = (0..)
        .zip(batches)
        .filter(|(_, batch)| counted_total.is_none() || batch.exits == counted_total)
        .collect();
    let blot = match counted_total {
        None => Blot::None,
        Some(total) if undisturbed.len() < Effort::NEEDED as usize => {
            let most = batches.iter().filter_map(|batch| batch.exits).min().unwrap_or_default();
            let reason = format!(
                "{} of {} costed batches had the counted pass's {total} exits, {} are needed; the \
                 fewest exits were {most}",
                undisturbed.len(),
                batches.len(),
                Effort::NEEDED
            );
            if most < total { Blot::Failed(reason) } else { Blot::Unresolved(reason) }
        }
        Some(_) => Blot::None,
    };
    let mut rows = Rows::default();
    let exit_free =
        prediction.is_some_and(|p| p.exits.total() == p.exits.marker).then_some(instructions);
    match context.clock {
        Clock::Instructions => {
            instruction_rows(context, cell, &undisturbed, &blot, exit_free, &mut rows);
        }
        Clock::Hardware => nanosecond_rows(context, cell, &undisturbed, &blot, &mut rows),
        Clock::EmulatorTime => {
            let outcome = Outcome::skipped(
                "without -icount the emulator's time stamps follow the host's clock and measure \
                 nothing of the kernel's",
            );
            rows.records.push(context.row(cell, Metric::Instructions, Source::Tsc, outcome));
        }
    }
    cycle_rows(context, cell, &undisturbed, &blot, &mut rows);
    rows
}

/// The value that the undisturbed batches share: ticks that fall into the host's part of an exit add
/// instructions without adding an exit, so the most frequent value is taken, of equals the smallest.
fn shared(values: impl Iterator<Item = u64>) -> Option<(u64, u64)> {
    let mut sorted: Vec<u64> = values.collect();
    sorted.sort_unstable();
    let mut best: Option<(u64, u64)> = None;
    for run in sorted.chunk_by(|a, b| a == b) {
        let count = run.len() as u64;
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((run[0], count));
        }
    }
    best
}

fn instruction_rows(
    context: &Context,
    cell: &Cell,
    batches: &[(u32, &Batch)],
    blot: &Blot,
    exit_free: Option<u64>,
    rows: &mut Rows,
) {
    let switches = u64::from(cell.workload.switches);
    let shared = shared(batches.iter().map(|(_, batch)| batch.tsc));
    let (value, alike) = shared.unzip();
    let value = value.and_then(|total| Value::ratio(total, switches));
    let outcome = match (blot, alike) {
        (Blot::None, Some(1)) => {
            Outcome::unresolved(value, "no two undisturbed batches were alike")
        }
        (blot, _) => blot.outcome(value),
    };
    let row = context.row(cell, Metric::Instructions, Source::Tsc, outcome);
    for (index, batch) in batches {
        if let Some(value) = Value::ratio(batch.tsc, switches) {
            rows.samples.push(row.sample(0, *index, value));
        }
    }
    let predicted = exit_free.and_then(|total| Value::ratio(total, switches));
    let row = Record { samples: alike.unwrap_or_default(), predicted, ..row };
    rows.records.push(held_to_prediction(row));
}

/// Without an exit the count is known to the instruction: any other value is a failure.
fn held_to_prediction(row: Record) -> Record {
    match (row.status, row.value, row.predicted) {
        (Status::Ok, Some(value), Some(predicted)) if value != predicted => Record {
            status: Status::Failed,
            reason: "no exit happened, so the payload's own count should have been seen".to_owned(),
            ..row
        },
        _ => row,
    }
}

fn nanosecond_rows(
    context: &Context,
    cell: &Cell,
    batches: &[(u32, &Batch)],
    blot: &Blot,
    rows: &mut Rows,
) {
    let Some(khz) = context.target.tsc_khz else {
        let outcome = Outcome::skipped("KVM does not tell the guest's time stamp frequency");
        rows.records.push(context.row(cell, Metric::Ns, Source::Tsc, outcome));
        return;
    };
    let per_switch =
        |batch: &Batch| batch.tsc as f64 * 1e6 / f64::from(khz) / f64::from(cell.workload.switches);
    medians(context, cell, Metric::Ns, Source::Tsc, batches, blot, &per_switch, rows);
}

fn cycle_rows(
    context: &Context,
    cell: &Cell,
    batches: &[(u32, &Batch)],
    blot: &Blot,
    rows: &mut Rows,
) {
    for (metric, side) in [(Metric::GuestCycles, 0), (Metric::HostCycles, 1)] {
        if let Availability::No(missing) = &context.target.pmu {
            let outcome = Outcome::skipped(missing.clone());
            rows.records.push(context.row(cell, metric, Source::Pmu, outcome));
            continue;
        }
        let per_switch = |batch: &Batch| {
            batch.cycles.map_or(f64::NAN, |cycles| cycles[side] as f64)
                / f64::from(cell.workload.switches)
        };
        medians(context, cell, metric, Source::Pmu, batches, blot, &per_switch, rows);
    }
}

#[allow(clippy::too_many_arguments)]
fn medians(
    context: &Context,
    cell: &Cell,
    metric: Metric,
    source: Source,
    batches: &[(u32, &Batch)],
    blot: &Blot,
    per_switch: &dyn Fn(&Batch) -> f64,
    rows: &mut Rows,
) {
    let values: Vec<(u32, f64)> = batches
        .iter()
        .map(|(index, batch)| (*index, per_switch(batch)))
        .filter(|(_, value)| value.is_finite())
        .collect();
    let median = statistics::median(&values.iter().map(|(_, value)| *value).collect::<Vec<_>>());
    let value = median.and_then(|median| Value::real(median.value));
    let interval = median.and_then(|median| median.interval);
    let row = context.row(cell, metric, source, blot.outcome(value));
    for (index, value) in &values {
        if let Some(value) = Value::real(*value) {
            rows.samples.push(row.sample(0, *index, value));
        }
    }
    rows.records.push(Record {
        deterministic: false,
        samples: values.len() as u64,
        ci_low: interval.and_then(|(low, _)| Value::real(low)),
        ci_high: interval.and_then(|(_, high)| Value::real(high)),
        ..row
    });
}

fn name(text: &str) -> Name {
    text.parse().expect("names of patterns, exits and kinds are plain words")
}
