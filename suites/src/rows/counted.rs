//! The rows of a counted pass: exits beside their prediction.

use guest_payloads::{Policy, PredictedExits, Rearm};
use reports::{Metric, Outcome, Record, Source, Value};

use super::{Blot, Context, Prediction, Rows, name};
use crate::judge::{self, Contradiction, Finding, Judgement, Verdict};
use crate::plan::Cell;
use crate::protocol::{Batch, Trace};

/// Why there are no DR exits under the verdict `emulated`.
pub const NO_DR_EXITS: &str =
    "the guest's kernel code is interpreted: no DR exits exist to be counted";

/// A counted cell, judged.
pub(super) struct Counted<'a> {
    /// Why its counts are not simply ok.
    pub(super) blot: Blot,
    /// The batch whose counts are shown: an undisturbed one, or the one that contradicts.
    pub(super) shown: Option<&'a Batch>,
    /// How many batches agree with it.
    alike: u64,
}

/// Whether a cell's sections are meant to be disturbed by asynchronous exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// Not: those without any must equal the prediction, and there must be enough of them.
    Undisturbed,
    /// All of them: they must keep to the bounds.
    Disturbed,
}

/// Holds a cell's batches against its prediction.
pub(super) fn judged<'a>(
    context: &Context,
    batches: &'a [Batch],
    verdict: &Verdict,
    prediction: Option<Prediction>,
    meant: Meant,
) -> Counted<'a> {
    let Some(Prediction { policy, exits }) = prediction else {
        return without_prediction(batches, verdict);
    };
    let finding = |batch: &&Batch| judge::examine(batch, policy, exits);
    let (fits, judgement): (fn(&Finding) -> bool, _) = match meant {
        Meant::Undisturbed => {
            (|finding| *finding == Finding::Exact, judge::judge(batches, policy, exits))
        }
        Meant::Disturbed => (
            |finding| !matches!(finding, Finding::Broken(_)),
            judge::judge_disturbed(batches, policy, exits),
        ),
    };
    let exact = || batches.iter().filter(|batch| fits(&finding(batch)));
    match judgement {
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
    meant: Meant,
) -> Rows {
    let prediction = Prediction::of(cell, verdict, rearm);
    let judged = judged(context, batches, verdict, prediction, meant);
    let predicted = prediction.map(|prediction| prediction.exits);
    // How many asynchronous exits come of a disturbed section, no model says.
    let whole = predicted.filter(|_| meant == Meant::Undisturbed);
    let interposed = |trace: &Trace| match cell.workload.interposed {
        Some(interposed) => judge::interposed_exits(trace, interposed.kind),
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
        traced(Metric::Exits, trace.map(|trace| trace.total), whole.map(|p| p.total())),
        statistics_total(context, &judged, whole.map(|p| p.counted())),
    ];
    for (code, count) in trace.map_or(&[][..], |trace| &trace.by_class) {
        let class = name(code.class().name());
        counts.push(traced(Metric::ExitsBy(class), Some(*count), None));
    }
    let mut rows = Rows::default();
    for Counts { metric, source, outcome, predicted } in counts {
        let row = context.row(cell, metric, source, outcome);
        rows.records.push(Record {
            samples: if row.value.is_some() { judged.alike } else { 0 },
            predicted: predicted.map(Value::count),
            deterministic: row.deterministic || predicted.is_some(),
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
        let outcome = Outcome::skipped(NO_DR_EXITS);
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

/// One of the single values behind the rows.
type Single = (Metric, Source, fn(&Batch) -> Option<u64>);

fn samples(context: &Context, cell: &Cell, batches: &[Batch], rows: &mut Rows) {
    let values: [Single; 4] = [
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
