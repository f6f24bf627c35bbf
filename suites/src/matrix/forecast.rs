//! `--dry-run`: the cells, and how long they will take.

use std::time::Duration;

use super::times::Estimate;
use super::{MatrixCell, Place, Plan, Times};
use crate::cli::RunArgs;
use crate::lab;
use crate::status::{Failure, Status};
use crate::terminal::outln;

/// Prints the cells that would be measured now, with estimates. Nothing is fetched or written.
pub fn forecast(
    args: &RunArgs,
    plan: &Plan,
    left: &[&MatrixCell],
    jobs: usize,
) -> Result<Status, Failure> {
    let times = lab::cache().map(|cache| Times::read(&cache)).unwrap_or_default();
    let estimates: Vec<Estimate> = left
        .iter()
        .map(|cell| {
            let estimate = times.estimate(&cell.place, args.suite.name());
            Estimate { time: estimate.time * args.repeat.get(), ..estimate }
        })
        .collect();
    outln!("{:<40}{:<12}{:<10}{:>8}  estimate", "kernel", "cpu", "machine", "seconds");
    for (cell, Estimate { time, basis }) in left.iter().zip(&estimates) {
        let (kernel, cpu, machine) = match &cell.place {
            Place::Native => ("this host's", "", "native"),
            Place::Lab { kernel, cpu, machine } => {
                (kernel.as_str(), cpu.as_str(), machine.as_str())
            }
        };
        let seconds = time.as_secs_f64().ceil();
        outln!("{kernel:<39} {cpu:<11} {machine:<10}{seconds:>8}  {basis}");
    }
    let jobs = jobs.clamp(1, left.len().max(1));
    let total = total(estimates.iter().map(|estimate| estimate.time), jobs);
    let others = plan.cells.len() - left.len();
    let others = if others == 0 { String::new() } else { format!(" of {}", plan.cells.len()) };
    outln!(
        "\n{}{others} cells, {jobs} at a time: about {}, and the time to fetch or build kernels that \
         are not in the cache",
        left.len(),
        spoken(total)
    );
    Ok(Status::Done)
}

/// Each cell goes to the worker that is free first.
fn total(times: impl Iterator<Item = Duration>, jobs: usize) -> Duration {
    let mut workers = vec![Duration::ZERO; jobs];
    for time in times {
        if let Some(free) = workers.iter_mut().min() {
            *free += time;
        }
    }
    workers.into_iter().max().unwrap_or_default()
}

fn spoken(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_side_by_side_take_as_long_as_the_busiest_worker() {
        let seconds =
            |all: &[u64], jobs| total(all.iter().map(|&s| Duration::from_secs(s)), jobs).as_secs();
        assert_eq!(seconds(&[10, 10, 10], 1), 30);
        assert_eq!(seconds(&[10, 30, 10, 10], 2), 30);
        assert_eq!(seconds(&[], 2), 0);
    }

    #[test]
    fn long_times_are_told_in_minutes() {
        let told = [30, 600, 7260].map(|seconds| spoken(Duration::from_secs(seconds)));
        assert_eq!(told, ["30 s", "10 min", "2 h 1 min"]);
    }
}
