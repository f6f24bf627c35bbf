//! What exits cost: a linear model, fitted on one half of the cost suite's cells and tested on the
//! other.
//!
//! In the lab a section's ticks are the payload's own instructions, known exactly, and a price for each exit and
//! for what exits make KVM do besides: [`Parameter`] lists what has a price, [`features`] counts how
//! often a section pays it. The counts come from the exit model, so the fit also says whether the
//! model is complete: what it leaves out shows in the half that the fit has not seen. On hardware the
//! guest's own instructions take their time as well: they get prices too, all in nanoseconds.

mod counting;
mod fast_paths;
mod features;
mod fit;
mod own;

pub use features::{Parameter, features};

use drbench_lab::cache::Digest;
use guest_payloads::{Policy, Rearm};
use reports::{Metric, Outcome, Record, Unit, Value};

use crate::plan::Cell;
use crate::rows::{Clock, Context, Rows};
use fit::{Fit, Observation};

/// How far from its prediction a cell of the tested half may be in the lab, as a share.
const WITHIN: f64 = 0.01;
/// A parameter needs that many cells.
const CELLS_PER_PARAMETER: usize = 10;

/// A cell and what its section took.
#[derive(Clone, Copy, Debug)]
pub struct Costed<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// The policy in force in it.
    pub policy: Policy,
    /// Whether its interposed exits are full ones.
    pub rearm: Rearm,
    /// Ticks of the whole section, of an undisturbed batch.
    pub ticks: u64,
    /// The same in the counted pass, with the tracepoint open.
    pub traced_ticks: Option<u64>,
    /// Exits between the section's time stamps.
    pub exits: u64,
    /// The payload's own instructions.
    pub instructions: u64,
}

#[cfg(test)]
impl<'a> Costed<'a> {
    /// A cell of which nothing is known yet.
    pub fn of(cell: &'a Cell) -> Self {
        let (policy, rearm) = (Policy::Always, Rearm::Yes);
        Self { cell, policy, rearm, ticks: 0, traced_ticks: None, exits: 0, instructions: 0 }
    }
}

impl Costed<'_> {
    fn observation(&self, cells: &[Self], clock: Clock) -> Observation {
        let rearm = fast_paths::rearm(self, cells);
        let mut counts = features(&self.cell.workload, self.policy, rearm);
        let mut known = self.instructions;
        if clock == Clock::Hardware {
            counts.extend(own::features(self));
            known = 0;
        }
        Observation { name: self.cell.to_string(), total: self.ticks, known, counts }
    }

    /// Which half it belongs to: by a checksum of its name, so that neither half has a pattern, a
    /// kind or a period to itself, and every run splits alike.
    fn is_fitted(&self) -> bool {
        let digits = Digest::of(self.cell.to_string().as_bytes()).to_string();
        digits.starts_with(|digit: char| digit < '8')
    }
}

/// What the price of this name is of, in words.
pub fn meaning(name: &str) -> Option<&'static str> {
    let (tracepoint, meaning) = counting::TRACEPOINT;
    features::meaning(name).or_else(|| (name == tracepoint).then_some(meaning))
}

/// The rows of a cost suite that is done: a price for each parameter, and how far off the cells of
/// both halves are at worst. `planned`: cells there should be.
pub fn rows(context: &Context, cells: &[Costed<'_>], planned: usize) -> Rows {
    Rows { records: records(context, cells, planned), samples: vec![] }
}

fn records(context: &Context, cells: &[Costed<'_>], planned: usize) -> Vec<Record> {
    let no_fit = |outcome| vec![context.suite_row(Metric::Residual(name("fitted")), outcome)];
    let (unit, each) = match tick(context) {
        Ok(tick) => tick,
        Err(why) => return no_fit(Outcome::skipped(why)),
    };
    if cells.is_empty() {
        return no_fit(Outcome::skipped("no cell has both a prediction and an undisturbed cost"));
    }
    let [fitted, tested] = [true, false].map(|wanted| {
        let half = cells.iter().filter(|cell| cell.is_fitted() == wanted);
        half.map(|cell| cell.observation(cells, context.clock)).collect::<Vec<_>>()
    });
    let fit = match Fit::of(&fitted) {
        Ok(fit) => fit,
        Err(reason) => return no_fit(Outcome::failed(None, reason)),
    };
    let prices = fit.prices.iter().map(|price| {
        let value = rounded(price.value * each, 3);
        let outcome = value.map_or_else(|| Outcome::skipped("no number"), Outcome::ok);
        let row = context.suite_row(Metric::Cost(name(price.parameter.name())), outcome);
        Record { samples: price.cells as u64, unit, ..row }
    });
    let missing = planned - cells.len();
    let residuals = [("fitted", &fitted), ("tested", &tested)]
        .map(|(half, cells)| residual(context, half, &fit, cells, missing));
    let counting = counting::row(context, cells, unit, each);
    prices.chain(counting).chain(residuals).collect()
}

/// What prices are in, and how much of it a tick is.
fn tick(context: &Context) -> Result<(Unit, f64), &'static str> {
    match (context.clock, context.target.tsc_khz) {
        (Clock::Instructions, _) => Ok((Unit::Instructions, 1.0)),
        (Clock::Hardware, Some(khz)) => Ok((Unit::Ns, 1e6 / f64::from(khz))),
        (Clock::Hardware, None) => Err("KVM does not tell the guest's time stamp frequency"),
        (Clock::EmulatorTime, _) => Err("the emulator's time on a busy machine has no prices"),
    }
}

/// The worst of one half, as a share of the cell's ticks. In the lab it has to be small: nothing there
/// is noise.
fn residual(
    context: &Context,
    half: &str,
    fit: &Fit,
    cells: &[Observation],
    missing: usize,
) -> Record {
    let metric = Metric::Residual(name(half));
    let Some((worst, at)) = fit.worst(cells) else {
        return context.suite_row(metric, Outcome::skipped("no cell of this half was measured"));
    };
    let (value, parameters) = (rounded(worst, 6), fit.prices.len());
    let outcome = if worst > WITHIN && context.clock == Clock::Hardware {
        Outcome::unresolved(value, format!("noise, or the model does not hold, in {at}"))
    } else if worst > WITHIN {
        Outcome::failed(value, format!("the model does not hold in {at}"))
    } else if missing > 0 {
        let why = format!("{missing} cells of the sweep have no undisturbed cost and are left out");
        Outcome::unresolved(value, why)
    } else if cells.len() < CELLS_PER_PARAMETER * parameters {
        let (cells, needed) = (cells.len(), CELLS_PER_PARAMETER);
        let why = format!("{cells} cells for {parameters} parameters, {needed} each are needed");
        Outcome::unresolved(value, why)
    } else {
        value.map_or_else(|| Outcome::skipped("no number"), Outcome::ok)
    };
    Record { samples: cells.len() as u64, ..context.suite_row(metric, outcome) }
}

/// To so many decimals: what is finer is the arithmetic's.
fn rounded(value: f64, decimals: i32) -> Option<Value> {
    let unit = 10f64.powi(decimals);
    // Plus zero: there is a negative one.
    Value::real((value * unit).round() / unit + 0.0)
}

fn name(text: &str) -> reports::Name {
    text.parse().expect("names of parameters and halves are plain words")
}

#[cfg(test)]
mod tests {
    use guest_payloads::{CpuVendor, Payload};
    use reports::Status;

    use super::*;
    use crate::assess::tests::context;
    use crate::plan::Session;
    use crate::protocol::Target;

    const KHZ: u32 = 2_000_000;

    /// Ticks: twice the nanoseconds.
    fn price(parameter: Parameter) -> u64 {
        match parameter {
            Parameter::Section => 120,
            Parameter::OwnInstruction => 2,
            Parameter::OwnAccess => 90,
            Parameter::DrExitLazy => 2_400,
            Parameter::DirtySync => 700,
            Parameter::ArmedEntry => 300,
            _ => 3_000,
        }
    }

    /// What a lazy kernel with these prices takes for each cell; some cells `noise` thousandths
    /// longer.
    fn costed<'a>(cells: &'a [Cell], noise: u64) -> Vec<Costed<'a>> {
        let one = |(index, cell): (usize, &'a Cell)| {
            let policy = crate::judge::in_force(Policy::Lazy, cell.session);
            let payload = Payload::assemble(&cell.workload, CpuVendor::Intel).unwrap();
            let known = Costed { policy, instructions: payload.instructions, ..Costed::of(cell) };
            let paid = features(&cell.workload, policy, Rearm::Yes);
            let paid = paid.into_iter().chain(own::features(&known));
            let ticks: u64 = paid.map(|(parameter, count)| price(parameter) * count).sum();
            let noise = if index.is_multiple_of(3) { noise } else { 0 };
            Costed { ticks: ticks + ticks * noise / 1000, ..known }
        };
        cells.iter().enumerate().map(one).collect()
    }

    fn on_hardware(noise: u64) -> Vec<Record> {
        let target = Target { tsc_khz: Some(KHZ), ..Target::default() };
        let context = Context { clock: Clock::Hardware, target, ..context() };
        let cells: Vec<Cell> =
            crate::plan::cost().into_iter().filter(crate::assess::is_costed).collect();
        assert!(cells.iter().any(|cell| cell.session == Session::GuestDebug));
        records(&context, &costed(&cells, noise), cells.len())
    }

    #[test]
    fn on_hardware_the_guests_own_instructions_have_prices_and_all_are_nanoseconds() {
        for (noise, within) in [(0, 0.02), (4, 0.05)] {
            let records = on_hardware(noise);
            for parameter in [Parameter::DrExitLazy, Parameter::OwnAccess, Parameter::DirtySync] {
                let metric = Metric::Cost(name(parameter.name()));
                let row = records.iter().find(|row| row.key.metric == metric).unwrap();
                let (truth, found) =
                    (Value::count(price(parameter)).as_f64() / 2.0, row.value.unwrap().as_f64());
                assert!((found / truth - 1.0).abs() < within, "{metric}: {found} is {truth}");
                assert_eq!((row.unit, row.deterministic), (Unit::Ns, false));
            }
        }
    }

    #[test]
    fn noise_makes_a_model_of_hardware_unresolved_and_never_a_failure() {
        let status = |noise| {
            let metric = Metric::Residual(name("tested"));
            let records = on_hardware(noise);
            records.iter().find(|row| row.key.metric == metric).unwrap().status
        };
        assert_eq!(status(2), Status::Ok);
        assert_eq!(status(200), Status::Unresolved);
    }
}
