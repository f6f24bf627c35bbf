//! `drbench report`: runs written down for others.

mod pages;

use std::path::PathBuf;

use reports::KeptRun;
use reports::kept::runs_at;

use super::export::export;
use crate::cli::ReportArgs;
use crate::status::{Failure, Status};

/// Every run that was named, in that order.
fn runs(paths: &[PathBuf]) -> Result<Vec<KeptRun>, Failure> {
    let mut runs = Vec::new();
    for path in paths {
        for run in runs_at(path).map_err(Failure::environment)? {
            runs.push(KeptRun::read(&run).map_err(Failure::environment)?);
        }
    }
    Ok(runs)
}

/// Writes what was asked for.
pub fn report(args: &ReportArgs) -> Result<Status, Failure> {
    let runs = runs(&args.runs)?;
    if let Some(dir) = &args.html {
        pages::write(&runs, dir)?;
    }
    if let Some(format) = args.format {
        return export(&runs, format, args);
    }
    Ok(Status::Done)
}
