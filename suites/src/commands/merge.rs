//! `drbench merge`: the shards of one run, put together.

use std::path::PathBuf;

use crate::cli::MergeArgs;
use crate::matrix::recorded;
use crate::status::{Failure, Status};
use crate::terminal::outln;

/// Merges, if no cell is missing.
pub fn merge(args: &MergeArgs) -> Result<Status, Failure> {
    refuse_gaps(&args.shards)?;
    let merged = reports::merge(&args.shards, &args.out).map_err(Failure::environment)?;
    outln!("{} rows of {} runs", merged.rows, args.shards.len());
    outln!("results: {}", args.out.join("results.csv").display());
    Ok(Status::Done)
}

/// A cell that is in no shard would be a missing row that nobody notices.
fn refuse_gaps(shards: &[PathBuf]) -> Result<(), Failure> {
    let mut plans = Vec::new();
    for shard in shards {
        plans.push(recorded(shard)?.1);
    }
    let Some(first) = plans.first() else { return Ok(()) };
    let is_there = |name: &str| plans.iter().any(|plan| plan.mine().any(|cell| cell.name == name));
    let missing: Vec<_> = first.cells.iter().filter(|cell| !is_there(&cell.name)).collect();
    let Some(one) = missing.first() else { return Ok(()) };
    let has: Vec<_> = plans.iter().filter_map(|plan| plan.shard).map(|s| s.to_string()).collect();
    Err(Failure::usage(format!(
        "{} of {} cells are in none of these shards ({}), {} for one; name the directories of all",
        missing.len(),
        first.cells.len(),
        has.join(", "),
        one.place
    )))
}
