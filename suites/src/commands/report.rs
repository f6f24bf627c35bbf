//! `drbench report`: runs written down for others.

mod pages;

use reports::kept::{Gathered, LeftOut};

use super::export::export;
use crate::cli::ReportArgs;
use crate::status::{Failure, Status};

/// Writes what was asked for. Pages are of all runs that can be read, and name the others; a file in a
/// format has no place for that, and is of all runs or not written.
pub fn report(args: &ReportArgs) -> Result<Status, Failure> {
    let gathered = Gathered::read(&args.runs, args.html.is_some());
    refuse_nothing(&gathered)?;
    for left_out in &gathered.left_out {
        eprintln!("drbench: {left_out}");
    }
    let is_damaged = gathered.left_out.iter().any(LeftOut::is_damaged);
    if let Some(dir) = &args.html {
        pages::write(&gathered, dir)?;
    }
    if let Some(format) = args.format {
        if is_damaged {
            return Err(Failure::usage(format_args!(
                "no {} file is written, for rows would be missing: mend or remove what is left out, or name \
                 the other runs",
                format.name
            )));
        }
        return export(&gathered.runs, format, args);
    }
    Ok(if is_damaged { Status::Environment } else { Status::Done })
}

/// Refuses what would be about no run at all.
fn refuse_nothing(Gathered { runs, left_out }: &Gathered) -> Result<(), Failure> {
    if !runs.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = match &left_out[..] {
        [only] => vec![only.why.to_string()],
        all => {
            let lines = all.iter().map(|one| format!("\n  {}: {}", one.path.display(), one.why));
            let all = "none of the runs can be read, and nothing is written:".to_owned();
            std::iter::once(all).chain(lines).collect()
        }
    };
    Err(Failure::usage(lines.concat()))
}
