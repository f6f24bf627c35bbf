//! What counting exits by reason would have cost: the counted pass against the costed one.

use reports::{Metric, Outcome, Record, Unit};

use super::{Costed, name, rounded};
use crate::rows::{Clock, Context};

/// The row's price in reports, and what it says there.
pub const TRACEPOINT: (&str, &str) =
    ("tracepoint", "counting an exit by reason, on average: in none of these prices");

/// What the tracepoint adds to an exit, by least squares over all cells that were measured with it and
/// without; none where no cell was. In the lab a section without exits must take the same in both passes.
/// `tick`: what one is, in `unit`.
// Ticks of a section are far below 2^52.
#[allow(clippy::cast_precision_loss)]
pub fn row(context: &Context, cells: &[Costed<'_>], unit: Unit, tick: f64) -> Option<Record> {
    let (mut squares, mut products, mut count) = (0.0, 0.0, 0);
    let mut outcome = None;
    for cell in cells {
        let Some(traced) = cell.traced_ticks else { continue };
        let (exits, more) = (cell.exits as f64, traced as f64 - cell.ticks as f64);
        if context.clock == Clock::Instructions && cell.exits == 0 && more != 0.0 {
            let why = format!("without an exit counting added {more} instructions: {}", cell.cell);
            outcome.get_or_insert(Outcome::failed(None, why));
        }
        squares += exits * exits;
        products += exits * more;
        count += 1;
    }
    let each = (squares > 0.0).then(|| tick * products / squares);
    let found = each.and_then(|each| rounded(each, 3)).map(Outcome::ok);
    let row = context.suite_row(Metric::Cost(name(TRACEPOINT.0)), outcome.or(found)?);
    Some(Record { samples: count, unit, ..row })
}
