//! `cargo bench`: the policy suite's cells under Criterion, measured in counts instead of time.
//!
//! On this host's KVM what can be counted there; in the lab, if `DRBENCH_BENCH_KERNEL` names a
//! kernel, what one run of `drbench run` says of it.

mod counted;
mod host;
mod lab;
mod recorded;

use std::fmt;
use std::process::ExitCode;

use criterion::{BenchmarkId, Criterion};
use suites::plan::{self, Cell, Role};

fn main() -> ExitCode {
    let mut ended = ExitCode::SUCCESS;
    for part in [host::bench, lab::bench] {
        if let Err(error) = part() {
            tell(format_args!("{error}"));
            ended = ExitCode::FAILURE;
        }
    }
    Criterion::default().configure_from_args().final_summary();
    ended
}

/// Every cell that has a cost, as `drbench run` measures them.
fn cells() -> impl Iterator<Item = Cell> {
    plan::policy(&[]).into_iter().filter(|cell| matches!(cell.role, Role::Anchor | Role::Cell))
}

/// A cell's name in reports and filters: `windows,cpuid/1,switches=4/guest-debug`.
fn name(cell: &Cell) -> BenchmarkId {
    BenchmarkId::new(cell.workload.to_string(), cell.session)
}

/// Standard output is Criterion's.
fn tell(text: fmt::Arguments<'_>) {
    eprintln!("debug_registers: {text}");
}

/// Criterion refuses a sample of 0: throughputs and changes are divided by it.
fn tell_zeros(measured: &str, cells: u32) {
    if cells > 0 {
        tell(format_args!(
            "{measured}: {cells} cells have none and are left out: Criterion takes no 0"
        ));
    }
}
