//! What exits cost: a linear model, fitted on one half of the cost suite's cells and tested on the
//! other.
//!
//! A section's ticks are the payload's own instructions, known exactly, and a price for each exit and
//! for what exits make KVM do besides: [`Parameter`] lists what has a price, [`features`] counts how
//! often a section pays it. The counts come from the exit model, so the fit also says whether the
//! model is complete: what it leaves out shows in the half that the fit has not seen.

mod features;
mod fit;

pub use features::{Parameter, features};

use guest_payloads::{Policy, Rearm};
use reports::{Metric, Outcome, Record, Source, Value};

use crate::job::sha256;
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
    /// The payload's own instructions.
    pub instructions: u64,
}

impl Costed<'_> {
    fn observation(&self) -> Observation {
        let counts = features(&self.cell.workload, self.policy, self.rearm);
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
        let digits = sha256(self.cell.to_string().as_bytes());
        digits.starts_with(|digit: char| digit < '8')
    }
}

/// The rows of a cost suite that is done: a price for each parameter, and how far off the cells of
/// both halves are at worst.
pub fn rows(context: &Context, cells: &[Costed<'_>]) -> Rows {
    if context.clock != Clock::Instructions {
        // Nanoseconds of whole sections are noisy, and fitted in another way.
        return Rows::default();
    }
    let (fitted, tested): (Vec<_>, Vec<_>) = cells.iter().partition(|cell| cell.is_fitted());
    let observations = |half: &[&Costed<'_>]| half.iter().map(|cell| cell.observation()).collect();
    let (fitted, tested): (Vec<Observation>, Vec<Observation>) =
        (observations(&fitted), observations(&tested));
    let mut rows = Rows::default();
    match Fit::of(&fitted) {
        Ok(fit) => {
            rows.records.extend(fit.prices.iter().map(|price| {
                let outcome = Outcome::ok(rounded(price.value));
                let row = context.suite_row(Metric::Cost(name(price.parameter.name())), outcome);
                Record { samples: price.cells as u64, ..row }
            }));
            rows.records.push(residual(context, "fitted", &fit, &fitted, fit.prices.len()));
            rows.records.push(residual(context, "tested", &fit, &tested, fit.prices.len()));
        }
        Err(reason) => {
            let metric = Metric::Residual(name("fitted"));
            rows.records.push(context.suite_row(metric, Outcome::failed(None, reason)));
        }
    }
    rows
}

/// The worst of one half, as a share of the cell's ticks. In the lab it has to be small: nothing there
/// is noise.
fn residual(
    context: &Context,
    half: &str,
    fit: &Fit,
    cells: &[Observation],
    parameters: usize,
) -> Record {
    let metric = Metric::Residual(name(half));
    let Some((worst, at)) = fit.worst(cells) else {
        return context.suite_row(metric, Outcome::skipped("no cell of this half was measured"));
    };
    let value = Value::real(rounded(worst * 1e6).as_f64() / 1e6);
    let outcome = if worst > WITHIN {
        Outcome::failed(value, format!("the model does not hold in {at}"))
    } else if cells.len() < CELLS_PER_PARAMETER * parameters {
        let (cells, needed) = (cells.len(), CELLS_PER_PARAMETER);
        let why = format!("{cells} cells for {parameters} parameters, {needed} each are needed");
        Outcome::unresolved(value, why)
    } else {
        value.map_or_else(|| Outcome::skipped("no number"), Outcome::ok)
    };
    Record { samples: cells.len() as u64, ..context.suite_row(metric, outcome) }
}

/// To a thousandth of an instruction: what is finer is the arithmetic's.
fn rounded(value: f64) -> Value {
    let thousandths = (value * 1000.0).round() / 1000.0;
    // No negative zero.
    Value::real(thousandths + 0.0).unwrap_or(Value::count(0))
}

fn name(text: &str) -> reports::Name {
    text.parse().expect("names of parameters and halves are plain words")
}

impl Context {
    /// A row that is about all cells of the suite.
    fn suite_row(&self, metric: Metric, outcome: Outcome) -> Record {
        let key = reports::Key {
            target: self.on.clone(),
            cell: crate::recorder::no_cell(&self.suite),
            metric,
            source: Source::Model,
        };
        let deterministic = self.clock == Clock::Instructions;
        Record {
            deterministic,
            ..Record::new(self.run.clone(), self.subject.clone(), key, outcome)
        }
    }
}
