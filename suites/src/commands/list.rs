//! `drbench list`: what there is to choose from.

use clap::ValueEnum;
use drbench_lab::emulator::{Machine, MachineKind};
use guest_payloads::{InterposedKind, Pattern};

use crate::cli::{ListArgs, Listing, Suite};
use crate::lab;
use crate::status::{Failure, Status};
use crate::terminal::outln;

/// Prints one list.
pub fn list(args: &ListArgs) -> Result<Status, Failure> {
    match args.what {
        Listing::Kernels => lab::list_kernels()?,
        Listing::Workloads => workloads()?,
        Listing::Machines => machines()?,
        Listing::Suites => suites()?,
    }
    Ok(Status::Done)
}

fn workloads() -> Result<(), Failure> {
    outln!("A workload is PATTERN[,KIND/K][,armed][,work=N][,switches=N], for example");
    outln!("  windows,cpuid/3,armed,switches=20\n\nPATTERN, the accesses of one switch:");
    for (pattern, about) in Pattern::CATALOGUE {
        outln!("  {pattern:<14}{:>3}  {about}", pattern.accesses());
    }
    outln!("\nKIND/K, an exit that is no DR access after every K-th switch:");
    for kind in InterposedKind::ALL {
        outln!("  {:<14}{}", kind.name(), kind.about());
    }
    outln!("\narmed: DR7 enables the breakpoints, on bytes that only the kind breakpoint touches");
    outln!("work=N: N rounds of a two-instruction loop after every switch");
    outln!("switches=N: switches in the measured section");
    Ok(())
}

fn machines() -> Result<(), Failure> {
    outln!("{:<28}{:<8}{:<12}also as", "--cpu", "vendor", "--machine");
    let machines = Machine::all();
    for (index, machine) in machines.iter().enumerate() {
        let same = |one: &Machine| one.vendor == machine.vendor && one.kind == machine.kind;
        let vendor = machine.vendor.to_string();
        let first = !machines[..index].iter().any(same);
        let is_default = Machine::choose(&vendor, None).is_ok_and(|default| default == *machine);
        let also = match (first, is_default) {
            (_, true) => format!("--cpu {vendor}"),
            (true, false) => format!("--cpu {vendor} --machine {}", machine.kind),
            (false, false) => String::new(),
        };
        outln!("{:<28}{vendor:<8}{:<12}{also}", machine.cpu, machine.kind.name());
    }
    outln!("");
    for kind in [MachineKind::QemuTcg, MachineKind::Bochs] {
        match lab::emulator(kind, None) {
            Ok(emulator) => outln!("{kind}: {}", emulator.version_line()),
            Err(failure) => outln!("{kind}: not here: {failure}"),
        }
    }
    match ["amd", "intel"].map(|cpu| Machine::choose(cpu, Some(MachineKind::QemuKvm))) {
        [Ok(_), _] | [_, Ok(_)] => outln!("qemu-kvm: this host's CPU, with real cycles"),
        [Err(error), Err(_)] => outln!("qemu-kvm: {error}"),
    }
    Ok(())
}

fn suites() -> Result<(), Failure> {
    for suite in Suite::value_variants() {
        let about = suite.to_possible_value().and_then(|value| value.get_help().cloned());
        outln!("{:<12}{}", suite.name(), about.unwrap_or_default());
    }
    Ok(())
}
