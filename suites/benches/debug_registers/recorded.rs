//! What a run of `drbench run` in the lab recorded, cell by cell.

use std::process::{Command, Stdio};

use reports::{Metric, Record, Source, Status};
use suites::cli::Suite;
use suites::measure::Error;
use suites::plan::Cell;
use suites::rows;

/// The rows of one run of the policy suite. It goes on from the machine that an earlier run saved,
/// if there is one, as `drbench run` does anyway.
pub fn run(kernel: &str, cpu: &str) -> Result<Vec<Record>, Error> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("run");
    let program = env!("CARGO_BIN_EXE_drbench");
    let status = Command::new(program)
        .args(["run", "--suite", Suite::Policy.name(), "--kernel", kernel, "--cpu", cpu, "--out"])
        .arg(&out)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("{program} could not be started: {error}"))?;
    if !status.success() {
        Err(format!("drbench run --kernel {kernel} --cpu {cpu} ended with {status}, see above"))?;
    }
    Ok(reports::read(&out)?)
}

/// What one section of a cell counted: a whole number.
pub fn section(
    rows: &[Record],
    cell: &Cell,
    metric: &Metric,
    source: Source,
) -> Result<f64, Error> {
    let described = rows::described(&Suite::Policy.recorded(), cell);
    let is_it = |row: &&Record| {
        *row.key.cell == described && row.key.metric == *metric && row.key.source == source
    };
    let row = rows.iter().find(is_it).ok_or_else(|| format!("{cell}: no row of {metric}"))?;
    let value = row
        .value
        .filter(|_| row.status == Status::Ok)
        .ok_or_else(|| format!("{cell}: no value of {metric}: {}", row.reason))?;
    Ok(match metric {
        // The record has the mean of the section's switches.
        Metric::Instructions => (value.as_f64() * f64::from(cell.workload.switches)).round(),
        _ => value.as_f64(),
    })
}
