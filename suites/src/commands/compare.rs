//! `drbench compare`: what changed between two runs.

use crate::cli::CompareArgs;
use crate::status::{Failure, Status};
use crate::terminal::{self, write_out};

/// Compares, prints, and says by its status whether anything changed or is missing.
pub fn compare(args: &CompareArgs) -> Result<Status, Failure> {
    let before = reports::open(&args.before).map_err(Failure::environment)?;
    let after = reports::open(&args.after).map_err(Failure::environment)?;
    let comparison = reports::compare(before, after).map_err(Failure::environment)?;
    if comparison.before.is_empty() {
        return Err(Failure::usage(format!(
            "{} holds no rows: its run ended before anything was measured; compare with another",
            args.before.display()
        )));
    }
    write_out(format_args!("{}", comparison.render(terminal::style())))?;
    Ok(if comparison.is_regression() { Status::Regression } else { Status::Done })
}
