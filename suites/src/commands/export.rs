//! `drbench report --format`, and the comparison as tests.

use std::path::Path;

use reports::export::{Checks, Exported, Format};
use reports::{Comparison, KeptRun};

use crate::cli::ReportArgs;
use crate::status::{Failure, Status};
use crate::terminal::{outln, write_out};

/// Writes runs in a format, and tells what it does not hold. Cells that failed are in the file: they are
/// no failure of the export.
pub fn export(runs: &[KeptRun], format: &Format, args: &ReportArgs) -> Result<Status, Failure> {
    let exported = reports::export::export(format, runs, &args.origin);
    let Exported { text, notes } = exported.map_err(Failure::environment)?;
    for note in notes {
        eprintln!("drbench: {}: {note}", format.name);
    }
    match &args.out {
        None => write_out(format_args!("{text}"))?,
        Some(out) => {
            reports::export::write(out, &text).map_err(Failure::environment)?;
            outln!("{}", out.display());
        }
    }
    Ok(Status::Done)
}

/// A comparison as checks. AFTER is read once more: a comparison keeps what differs, and a cell in which
/// nothing does passes.
pub fn checks(comparison: &Comparison, after: &Path) -> Result<Checks, Failure> {
    let mut wrong = None;
    let rows = reports::open(after).map_err(Failure::environment)?;
    let mut rows = rows.map_while(|row| row.map_err(|error| wrong = Some(error)).ok());
    let checks = Checks::of_comparison(comparison, &mut rows);
    wrong.map_or(Ok(checks), |error| Err(Failure::environment(error)))
}
