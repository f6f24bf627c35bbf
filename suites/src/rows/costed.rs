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
        Clock::Hardware => {
            let settled = settled(undisturbed, blot);
            rows.records.push(settled.row(context, cell, Source::Tsc));
            nanosecond_rows(context, cell, &settled, &mut rows);
        }
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
    let settled = settled(undisturbed, blot);
    let mut rows = Rows::default();
    rows.records.push(settled.row(context, cell, Source::Pmu));
    for (metric, count) in HARDWARE {
        let per_switch = |batch: &Batch| {
            batch.cycles.as_ref().map_or(f64::NAN, |counts| Value::count(count(counts)).as_f64())
                / f64::from(cell.workload.switches)
        };
        medians(context, cell, metric, Source::Pmu, &settled, &per_switch, &mut rows);
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
        _ if batches.iter().any(|batch| batch.unusual) => at_an_unusual_cpu(batches),
        None | Some(_) => Blot::None,
    };
    (undisturbed, blot)
}

/// Too few batches were measured while the CPU was as usual.
fn at_an_unusual_cpu(batches: &[Batch]) -> Blot {
    Blot::Unresolved(format!(
        "the CPU itself was not as usual during {} of {} batches: its frequency changed, or something \
         shared its core; measure again when the machine is quiet",
        batches.iter().filter(|batch| batch.unusual).count(),
        batches.len()
    ))
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

/// Batches of a cell on hardware, without its warm-up.
struct Settled<'a> {
    batches: Vec<(u32, &'a Batch)>,
    /// Batches that were left out; none if nobody looked.
    warm_up: Option<usize>,
    blot: Blot,
}

/// Leaves the warm-up out of undisturbed batches, in the order in which they ran: by the time that they
/// took. What is blotted already is taken as it is.
fn settled(mut batches: Vec<(u32, &Batch)>, blot: Blot) -> Settled<'_> {
    if !matches!(blot, Blot::None) {
        return Settled { batches, warm_up: None, blot };
    }
    let ticks = |(_, batch): &(u32, &Batch)| Value::count(batch.tsc).as_f64();
    match statistics::settled(&batches.iter().map(ticks).collect::<Vec<_>>()) {
        Ok(warm_up) => {
            batches.drain(..warm_up);
            Settled { batches, warm_up: Some(warm_up), blot }
        }
        Err(why) => Settled { batches, warm_up: None, blot: Blot::Unresolved(why.to_string()) },
    }
}

impl Settled<'_> {
    /// How much was left out; where that is not known, the row says why: a run in which a cell did not
    /// settle has no row less than one in which it did.
    fn row(&self, context: &Context, cell: &Cell, source: Source) -> Record {
        let outcome = match self.warm_up {
            Some(left_out) => Outcome::ok(left_out as u64),
            None => self.blot.outcome(None),
        };
        context.row(cell, Metric::WarmUp, source, outcome)
    }
}

/// Ticks of a whole section: of instructions, as its undisturbed batches agree on them, and none if no
/// two do; of time, their median without warm-up. None where ticks measure nothing.
pub fn section_ticks(clock: Clock, batches: &[Batch], counted_total: Option<u64>) -> Option<u64> {
    let (undisturbed, blot) = undisturbed(batches, counted_total);
    match clock {
        Clock::Instructions => {
            let (ticks, alike) = shared(undisturbed.iter().map(|(_, batch)| batch.tsc))?;
            (alike > 1).then_some(ticks)
        }
        Clock::Hardware => {
            let Settled { batches, blot, .. } = settled(undisturbed, blot);
            let mut sorted: Vec<u64> = batches.iter().map(|(_, batch)| batch.tsc).collect();
            sorted.sort_unstable();
            let middle = sorted.get(sorted.len() / 2).copied();
            middle.filter(|_| matches!(blot, Blot::None))
        }
        Clock::EmulatorTime => None,
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

fn nanosecond_rows(context: &Context, cell: &Cell, settled: &Settled<'_>, rows: &mut Rows) {
    let Some(khz) = context.target.tsc_khz else {
        let outcome = Outcome::skipped("KVM does not tell the guest's time stamp frequency");
        rows.records.push(context.row(cell, Metric::Ns, Source::Tsc, outcome));
        return;
    };
    let per_switch = |batch: &Batch| {
        Value::count(batch.tsc).as_f64() * 1e6 / f64::from(khz) / f64::from(cell.workload.switches)
    };
    medians(context, cell, Metric::Ns, Source::Tsc, settled, &per_switch, rows);
}

fn medians(
    context: &Context,
    cell: &Cell,
    metric: Metric,
    source: Source,
    settled: &Settled<'_>,
    per_switch: &dyn Fn(&Batch) -> f64,
    rows: &mut Rows,
) {
    let values: Vec<(u32, f64)> = settled
        .batches
        .iter()
        .map(|(index, batch)| (*index, per_switch(batch)))
        .filter(|(_, value)| value.is_finite())
        .collect();
    let median = statistics::median(&values.iter().map(|(_, value)| *value).collect::<Vec<_>>());
    let value = median.and_then(|median| Value::real(median.value));
    let interval = median.and_then(|median| median.interval);
    let outcome = match (&settled.blot, median) {
        (Blot::None, Some(median)) if !median.resolves() => {
            Outcome::unresolved(value, median.unresolved())
        }
        (Blot::None, None) if settled.batches.is_empty() => {
            Outcome::unresolved(None, "no batch was undisturbed")
        }
        (blot, _) => blot.outcome(value),
    };
    let row = context.row(cell, metric, source, outcome);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::tests::context;
    use crate::plan::{Role, Session};
    use crate::protocol::Target;

    /// The rows of a cell on hardware whose sections of four switches took so many ticks.
    fn on_hardware(ticks: &[u64]) -> Rows {
        let target = Target { tsc_khz: Some(1_000_000), ..Target::default() };
        let context = Context { clock: Clock::Hardware, target, ..context() };
        let workload = "dr7,switches=4".parse().unwrap();
        let cell = Cell { workload, session: Session::Kernel, role: Role::Cell };
        let batches: Vec<Batch> =
            ticks.iter().map(|&tsc| Batch { tsc, exits: Some(2), ..Batch::default() }).collect();
        costed(&context, &cell, &batches, None, Some(2), 0)
    }

    fn of<'a>(rows: &'a Rows, metric: &Metric) -> &'a Record {
        rows.records.iter().find(|row| row.key.metric == *metric).expect("a row of it")
    }

    #[test]
    fn warm_up_is_left_out_of_the_cost_and_its_samples_and_told() {
        let mut ticks = vec![9000, 5000];
        ticks.extend([4000, 4004, 4008].repeat(6));
        let rows = on_hardware(&ticks);
        assert_eq!(of(&rows, &Metric::WarmUp).value, Some(2.into()));
        let cost = of(&rows, &Metric::Ns);
        assert_eq!((cost.status, cost.value, cost.samples), (Status::Ok, Some(1001.into()), 18));
        let (low, high) = (cost.ci_low.unwrap().as_f64(), cost.ci_high.unwrap().as_f64());
        assert!(low <= 1001.0 && 1001.0 <= high && high - low <= 2.0, "{low}..{high}");

        // What stands in samples.csv gives the row again.
        let of_cost = rows.samples.iter().filter(|sample| sample.key == cost.key);
        let (numbers, values): (Vec<u32>, Vec<f64>) =
            of_cost.map(|sample| (sample.batch, sample.value.as_f64())).unzip();
        assert!(numbers.into_iter().eq(2..20), "batches keep their numbers");
        let again = statistics::median(&values).unwrap();
        assert_eq!(Value::real(again.value), cost.value);
        assert_eq!(again.interval, Some((low, high)));
    }

    #[test]
    fn a_cost_that_is_not_known_to_two_percent_is_unresolved_and_has_its_value() {
        let noisy: Vec<u64> = [3000, 5000, 4000, 4600, 3400].repeat(3);
        let few = vec![4000; statistics::FEWEST - 1];
        let growing: Vec<u64> = (0..30).map(|index| 4000 + 100 * index).collect();
        for (ticks, value, reason) in [
            (vec![], None, "no batch was undisturbed"),
            (noisy, Some(1000.into()), "wider than 2 %"),
            (few, Some(1000.into()), "fewer than 6 undisturbed batches"),
            (growing, Some(Value::real(1362.5).unwrap()), "did not settle"),
        ] {
            let rows = on_hardware(&ticks);
            let cost = of(&rows, &Metric::Ns);
            assert_eq!((cost.status, cost.value), (Status::Unresolved, value));
            assert!(cost.reason.contains(reason), "{}", cost.reason);
            assert!(rows.records.iter().all(|row| row.validate().is_ok()));
            // No row less than where all is well: nothing is missing when two runs are compared.
            of(&rows, &Metric::WarmUp);
        }
    }

    #[test]
    fn a_cost_from_an_unusual_cpu_is_unresolved_however_well_it_repeats() {
        let mut batches: Vec<Batch> =
            (0..20).map(|_| Batch { tsc: 4000, exits: Some(2), ..Batch::default() }).collect();
        batches[3].unusual = true;
        let (_, blot) = undisturbed(&batches, Some(2));
        let Blot::Unresolved(reason) = blot else { panic!("it is resolved") };
        assert!(reason.contains("during 1 of 20 batches"), "{reason}");
    }

    #[test]
    fn a_section_on_hardware_has_no_ticks_of_its_warm_up_and_none_if_it_never_settles() {
        let batches = |ticks: &[u64]| -> Vec<Batch> {
            ticks.iter().map(|&tsc| Batch { tsc, exits: Some(2), ..Batch::default() }).collect()
        };
        let ticks = |values: &[u64]| section_ticks(Clock::Hardware, &batches(values), Some(2));
        assert_eq!(ticks(&[900, 900, 500, 500, 500, 500, 500, 500, 500]), Some(500));
        assert_eq!(ticks(&[900, 900, 900, 900, 900, 900, 500, 500, 500, 500, 500, 500]), None);
    }
}
