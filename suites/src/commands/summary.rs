//! `drbench summary`: a line per kernel, variant and target.

use crate::cli::SummaryArgs;
use crate::status::{Failure, Status};
use crate::terminal::{self, write_out};

/// Prints the summary of one run, or of several together.
pub fn summary(args: &SummaryArgs) -> Result<Status, Failure> {
    let records = reports::read_all(&args.runs).map_err(Failure::environment)?;
    write_out(format_args!("{}", reports::summary_table(&records, terminal::style())))?;
    Ok(Status::Done)
}
