//! The rows of a costed pass: what a switch costs.

use reports::{Metric, Outcome, Record, Source, Status, Value, statistics};

use super::{Blot, Clock, Context, Prediction, Rows};
use crate::plan::Cell;
use crate::protocol::{Availability, Batch, Effort, HardwareCounts};

/// The metric and source of a cell's cost under a clock.
pub fn cost(clock: Clock) -> (Metric, Source) {
    match clock {
        Clock::Instructions | Clock::EmulatorTime => (Metric::Instructions, Source::Tsc),
        Clock::Hardware => (Metric::Ns, Source::Tsc),
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
    let (undisturbed, blot) = undisturbed(batches, counted_total);
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
    if let Availability::No(missing) = &context.target.pmu {
        for (metric, _) in HARDWARE {
            let outcome = Outcome::skipped(missing.clone());
            rows.records.push(context.row(cell, metric, Source::Pmu, outcome));
        }
    }
    rows
}

/// A metric, and which of the hardware's counts it is.
type Hardware = (Metric, fn(&HardwareCounts) -> u64);

/// What the hardware's counters give.
const HARDWARE: [Hardware; 3] = [
    (Metric::GuestCycles, |counts| counts.guest_cycles),
    (Metric::HostCycles, |counts| counts.host_cycles),
    (Metric::Instructions, |counts| counts.instructions),
];

/// The rows of a cell's pass with the hardware's cycle counters.
pub fn cycles(
    context: &Context,
    cell: &Cell,
    batches: &[Batch],
    counted_total: Option<u64>,
) -> Rows {
    let (undisturbed, blot) = undisturbed(batches, counted_total);
    let mut rows = Rows::default();
    for (metric, count) in HARDWARE {
        let per_switch = |batch: &Batch| {
            batch.cycles.as_ref().map_or(f64::NAN, |counts| Value::count(count(counts)).as_f64())
                / f64::from(cell.workload.switches)
        };
        medians(context, cell, metric, Source::Pmu, &undisturbed, &blot, &per_switch, &mut rows);
    }
    rows
}

/// The batches with as many exits as the counted pass's undisturbed ones, by their number; and what
/// is to be said if they are too few. Where nothing counts exits, all are taken.
fn undisturbed(batches: &[Batch], counted_total: Option<u64>) -> (Vec<(u32, &Batch)>, Blot) {
    let total = counted_total.filter(|_| batches.iter().any(|batch| batch.exits.is_some()));
    let like_counted = |batch: &Batch| total.is_none() || batch.exits == total;
    let undisturbed: Vec<_> = (0..).zip(batches).filter(|(_, batch)| like_counted(batch)).collect();
    let blot = match total {
        Some(total) if undisturbed.len() < Effort::NEEDED as usize => {
            too_few(total, undisturbed.len(), batches)
        }
        None | Some(_) => Blot::None,
    };
    (undisturbed, blot)
}

/// Disturbed batches have more exits than the counted pass's; fewer cannot come from disturbance.
fn too_few(total: u64, undisturbed: usize, batches: &[Batch]) -> Blot {
    let fewest = batches.iter().filter_map(|batch| batch.exits).min().unwrap_or_default();
    let reason = format!(
        "{undisturbed} of {} costed batches had the counted pass's {total} exits, {} are needed; \
         the fewest exits were {fewest}",
        batches.len(),
        Effort::NEEDED
    );
    if fewest < total { Blot::Failed(reason) } else { Blot::Unresolved(reason) }
}

/// Ticks of a whole section: of instructions, as its undisturbed batches agree on them, and none if no
/// two do; of time, their median. None where ticks measure nothing.
pub fn section_ticks(clock: Clock, batches: &[Batch], counted_total: Option<u64>) -> Option<u64> {
    let (undisturbed, blot) = undisturbed(batches, counted_total);
    let ticks = undisturbed.iter().map(|(_, batch)| batch.tsc);
    match (clock, blot) {
        (Clock::Instructions, _) => {
            let (ticks, alike) = shared(ticks)?;
            (alike > 1).then_some(ticks)
        }
        (Clock::Hardware, Blot::None) => {
            let mut sorted: Vec<u64> = ticks.collect();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).copied()
        }
        (Clock::Hardware | Clock::EmulatorTime, _) => None,
    }
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
    let per_switch = |batch: &Batch| {
        Value::count(batch.tsc).as_f64() * 1e6 / f64::from(khz) / f64::from(cell.workload.switches)
    };
    medians(context, cell, Metric::Ns, Source::Tsc, batches, blot, &per_switch, rows);
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
