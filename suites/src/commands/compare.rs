//! `drbench compare`: what changed between two runs.

use std::path::Path;

use reports::compare::{Gate, Rule, Surroundings};
use reports::export::{junit, ktap};
use reports::kept;

use super::export::checks;
use crate::cli::{CompareArgs, CompareFormat};
use crate::status::{Failure, Status};
use crate::terminal::{self, write_out};

/// What surrounded the runs, where both have a `run.json`.
fn surroundings(args: &CompareArgs) -> Result<Option<Surroundings>, Failure> {
    let read = |path: &Path| kept::info_of(path).map_err(Failure::environment);
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    Ok(before.zip(after).map(|(before, after)| Surroundings::of(&before, &after)))
}

/// Compares, prints, and says by its status whether anything changed or is missing.
pub fn compare(args: &CompareArgs) -> Result<Status, Failure> {
    let gate = args.gate.as_deref().map(Gate::open).transpose().map_err(Failure::environment)?;
    let before = reports::open(&args.before).map_err(Failure::environment)?;
    let after = reports::open(&args.after).map_err(Failure::environment)?;
    let mut comparison = reports::compare(before, after).map_err(Failure::environment)?;
    if comparison.noisy > 0 {
        let rule = Rule { effect: args.min_effect / 100.0, ..Rule::default() };
        let [before, after] = [&args.before, &args.after]
            .map(|path| kept::samples_of(path).map_err(Failure::environment));
        comparison.judge(&before?, &after?, rule);
    }
    if let Some(gate) = &gate {
        comparison.gate(gate);
    }
    if comparison.before.is_empty() {
        return Err(Failure::usage(format!(
            "{} holds no rows: its run ended before anything was measured; compare with another",
            args.before.display()
        )));
    }
    let surroundings = surroundings(args)?;
    let text = match args.format {
        CompareFormat::Table => comparison.render(surroundings.as_ref(), terminal::style()),
        CompareFormat::Markdown => comparison.markdown(surroundings.as_ref()),
        CompareFormat::Junit => junit(&checks(&comparison, &args.after)?),
        CompareFormat::Ktap => ktap(&checks(&comparison, &args.after)?),
    };
    write_out(format_args!("{text}"))?;
    Ok(if comparison.is_regression() { Status::Regression } else { Status::Done })
}
