//! What exits cost: a linear model, fitted on one half of the cost suite's cells and tested on the
//! other.
//!
//! A section's ticks are the payload's own instructions, known exactly, and a price for each exit and
//! for what exits make KVM do besides: [`Parameter`] lists what has a price, [`features`] counts how
//! often a section pays it. The counts come from the exit model, so the fit also says whether the
//! model is complete: what it leaves out shows in the half that the fit has not seen.

mod counting;
mod fast_paths;
mod features;
mod fit;

pub use features::{Parameter, features};

use drbench_lab::cache::Digest;
use guest_payloads::{Policy, Rearm};
use reports::{Metric, Outcome, Record, Value};

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

impl Costed<'_> {
    fn observation(&self, cells: &[Self]) -> Observation {
        let rearm = fast_paths::rearm(self, cells);
        let counts = features(&self.cell.workload, self.policy, rearm);
        Observation {
            name: self.cell.to_string(),
            total: self.ticks,
            known: self.instructions,
            counts,
        }
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
    if context.clock != Clock::Instructions {
        // Nanoseconds of whole sections are noisy, and would have to be fitted in another way.
        let why = "prices are fitted only where time stamps count instructions";
        return no_fit(Outcome::skipped(why));
    }
    let [fitted, tested] = [true, false].map(|wanted| {
        let half = cells.iter().filter(|cell| cell.is_fitted() == wanted);
        half.map(|cell| cell.observation(cells)).collect::<Vec<_>>()
    });
    let fit = match Fit::of(&fitted) {
        Ok(fit) => fit,
        Err(reason) => return no_fit(Outcome::failed(None, reason)),
    };
    let prices = fit.prices.iter().map(|price| {
        let value = rounded(price.value, 3);
        let outcome = value.map_or_else(|| Outcome::skipped("no number"), Outcome::ok);
        let row = context.suite_row(Metric::Cost(name(price.parameter.name())), outcome);
        Record { samples: price.cells as u64, ..row }
    });
    let missing = planned - cells.len();
    let residuals = [("fitted", &fitted), ("tested", &tested)]
        .map(|(half, cells)| residual(context, half, &fit, cells, missing));
    prices.chain(counting::row(context, cells)).chain(residuals).collect()
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
    let outcome = if worst > WITHIN {
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
