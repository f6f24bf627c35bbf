//! `drbench list`: what there is to choose from.

use clap::ValueEnum;
use guest_payloads::{InterposedKind, Pattern};

use crate::cli::{ListArgs, Listing, Suite};
use crate::lab;
use crate::status::{Failure, Status};

/// Prints one list.
pub fn list(args: &ListArgs) -> Result<Status, Failure> {
    match args.what {
        Listing::Kernels => lab::list_kernels()?,
        Listing::Workloads => workloads(),
        Listing::Suites => suites(),
    }
    Ok(Status::Done)
}

fn workloads() {
    println!("A workload is PATTERN[,KIND/K][,armed][,work=N][,switches=N], for example");
    println!("  windows,cpuid/3,armed,switches=20\n\nPATTERN, the accesses of one switch:");
    for (pattern, about) in Pattern::CATALOGUE {
        println!("  {pattern:<14}{:>3}  {about}", pattern.accesses());
    }
    println!("\nKIND/K, an exit that is no DR access after every K-th switch:");
    for kind in InterposedKind::ALL {
        println!("  {}", kind.name());
    }
    println!("\narmed: DR7 enables the breakpoints, on bytes that nobody touches");
    println!("work=N: N rounds of a two-instruction loop after every switch");
    println!("switches=N: switches in the measured section");
}

fn suites() {
    for suite in Suite::value_variants() {
        let about = suite.to_possible_value().and_then(|value| value.get_help().cloned());
        println!("{:<12}{}", suite.name(), about.unwrap_or_default());
    }
}
