//! `drbench chart`: what one DR exit costs, by kernel version.

use anyhow::Context;

use crate::cli::ChartArgs;
use crate::status::{Failure, Status};
use crate::terminal::outln;

/// Draws the runs' stock kernels into one picture.
pub fn chart(args: &ChartArgs) -> Result<Status, Failure> {
    let records = reports::read_all(&args.runs).map_err(Failure::environment)?;
    let svg = reports::cost_chart(&records).map_err(Failure::environment)?;
    std::fs::write(&args.out, svg)
        .with_context(|| format!("cannot write {}", args.out.display()))
        .map_err(Failure::environment)?;
    outln!("{}", args.out.display());
    Ok(Status::Done)
}
