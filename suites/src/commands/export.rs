//! `drbench report --format`.

use reports::KeptRun;
use reports::export::{Exported, Format};

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
