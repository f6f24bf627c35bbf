//! `drbench compare`: what changed between runs.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use reports::compare::{Gate, Keep, Rows, Rule, Surroundings};
use reports::export::{Checks, junit, ktap};
use reports::table::printable;
use reports::{Comparison, ReadError, RunInfo, Sample, history, kept};

use crate::cli::{CompareArgs, CompareFormat};
use crate::status::{Failure, Status};
use crate::terminal::{self, write_out};

/// The run to compare with, read once.
struct Before {
    path: PathBuf,
    info: Option<RunInfo>,
    rows: Rows,
    samples: OnceCell<Vec<Sample>>,
}

/// One run held against it, and what surrounded the two.
struct Held {
    rows: Rows,
    comparison: Comparison,
    surroundings: Surroundings,
}

impl Before {
    /// Holds a run against this one; `rows` are that run's.
    fn hold(
        &self,
        args: &CompareArgs,
        gate: Option<&Gate>,
        after: &Path,
        rows: Result<Rows, ReadError>,
    ) -> Result<Held, Failure> {
        // First what says of which version the files are.
        let info = kept::info_of(after).map_err(Failure::environment)?;
        let rows = rows.map_err(Failure::environment)?;
        let keep = if args.all { Keep::Everything } else { Keep::Differences };
        let compared = reports::compare(&self.rows, &rows, keep);
        let mut comparison = compared.map_err(Failure::environment)?;
        let infos = self.info.as_ref().zip(info.as_ref());
        let surroundings = infos
            .map(|(ours, theirs)| Surroundings::of(ours, theirs, &comparison.pairs))
            .unwrap_or_default()
            .with_rows(&self.rows, &rows);
        if comparison.noisy() > 0 {
            let Surroundings { slower, .. } = surroundings;
            let rule = Rule { effect: args.min_effect / 100.0, slower, ..Rule::default() };
            let theirs = samples(after, &rows)?;
            comparison.judge(self.samples()?, &theirs, rule);
        }
        if let Some(gate) = gate {
            comparison.gate(gate);
            for limit in gate.idle(&self.rows, &rows) {
                eprintln!(
                    "drbench: limit {limit} of {} fits no row of either run: look at its globs",
                    args.gate.as_deref().unwrap_or(after).display()
                );
            }
        }
        Ok(Held { rows, comparison, surroundings })
    }

    fn samples(&self) -> Result<&[Sample], Failure> {
        if self.samples.get().is_none() {
            // It was empty, so it takes them.
            let _ = self.samples.set(samples(&self.path, &self.rows)?);
        }
        Ok(self.samples.get().map_or(&[], Vec::as_slice))
    }
}

/// The single values behind these rows.
fn samples(path: &Path, rows: &Rows) -> Result<Vec<Sample>, Failure> {
    let samples = kept::samples_of(path).map_err(Failure::environment)?;
    match samples.iter().find(|sample| !rows.are_of(&sample.run_id)) {
        None => Ok(samples),
        Some(Sample { run_id, .. }) => Err(Failure::usage(format!(
            "the single values (samples.csv) of {} are of another run, {run_id}: put both files of one \
             run beside each other, or name its results.csv by another name to do without",
            path.display()
        ))),
    }
}

/// The run to compare with, and those to judge: at least one.
fn sides(args: &CompareArgs) -> Result<(PathBuf, &[PathBuf]), Failure> {
    if let Some(name) = &args.baseline {
        let kept = history::baseline(&args.store.store, name).map_err(Failure::environment)?;
        return Ok((kept, &args.runs));
    }
    match &args.runs[..] {
        [before, after @ ..] if !after.is_empty() => Ok((before.clone(), after)),
        _ => Err(Failure::usage(
            "there is only one run: name the one to compare with first, or with --baseline NAME",
        )),
    }
}

/// Compares each AFTER with BEFORE, prints, and says by its status whether anything is worse or missing.
/// One that cannot be read keeps none of the others from being told.
pub fn compare(args: &CompareArgs) -> Result<Status, Failure> {
    let gate = args.gate.as_deref().map(Gate::open).transpose().map_err(Failure::environment)?;
    let (path, after) = sides(args)?;
    if after.len() > 1 && matches!(args.format, CompareFormat::Junit | CompareFormat::Ktap) {
        return Err(Failure::usage(
            "a file of this format holds one comparison: compare one run at a time",
        ));
    }
    // First what says of which version the files are.
    let info = kept::info_of(&path).map_err(Failure::environment)?;
    let (rows, first) = Rows::read_both(&path, &after[0]);
    let rows = rows.map_err(Failure::environment)?;
    if rows.is_empty() {
        return Err(Failure::usage(format!(
            "{} holds no rows: its run ended before anything was measured; compare with another",
            path.display()
        )));
    }
    let before = Before { path, info, rows, samples: OnceCell::new() };
    let mut first = Some(first);
    let mut status = Status::Done;
    for (number, run) in after.iter().enumerate() {
        let rows = first.take().unwrap_or_else(|| Rows::read(run));
        let told = before.hold(args, gate.as_ref(), run, rows).and_then(|held| {
            if after.len() > 1 {
                heading(args.format, number, run)?;
            }
            print(args, &held)
        });
        status = status.worst(told.unwrap_or_else(|failure| {
            eprintln!("drbench: {failure}");
            failure.status
        }));
    }
    Ok(status)
}

/// Of several comparisons, which one follows.
fn heading(format: CompareFormat, number: usize, after: &Path) -> Result<(), Failure> {
    let gap = if number == 0 { "" } else { "\n" };
    match format {
        CompareFormat::Table => {
            let name = printable(&after.display().to_string()).replace('\n', " ");
            write_out(format_args!("{gap}== {name}\n\n"))
        }
        CompareFormat::Markdown => {
            let name = reports::compare::escaped(&after.display().to_string());
            write_out(format_args!("{gap}### {name}\n\n"))
        }
        // Such a file holds one comparison.
        CompareFormat::Junit | CompareFormat::Ktap => Ok(()),
    }
}

fn print(args: &CompareArgs, held: &Held) -> Result<Status, Failure> {
    let Held { rows, comparison, surroundings } = held;
    let checks = || Checks::of_comparison(comparison, rows);
    let text = match args.format {
        CompareFormat::Table => comparison.render(Some(surroundings), terminal::style()),
        CompareFormat::Markdown => comparison.markdown(Some(surroundings)),
        CompareFormat::Junit => junit(&checks()),
        CompareFormat::Ktap => ktap(&checks()),
    };
    write_out(format_args!("{text}"))?;
    Ok(if comparison.is_regression() { Status::Regression } else { Status::Done })
}
