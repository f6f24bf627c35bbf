//! `drbench run`: plan, measure, write down, judge, show.

use std::num::NonZeroU32;
use std::path::Path;
use std::thread::available_parallelism;

use bench_vmm::{Host, HostError};
use drbench_lab::emulator::MachineKind;

use crate::cli::{RunArgs, Suite};
use crate::lab::{self, Emulators};
use crate::matrix::{Plan, Session, forecast, recorded};
use crate::status::{Failure, Status};
use crate::{smp, trace};

/// Runs, prints the table, and ends with the worst of what was found.
pub fn run(args: &RunArgs) -> Result<Status, Failure> {
    match &args.resume {
        Some(dir) => resume(args, dir),
        None => begin(args),
    }
}

/// Whether a verdict is expected: by this command line, or by that of the run to be resumed.
pub fn is_expecting(args: &RunArgs) -> bool {
    let resumed = args.resume.as_deref().and_then(|dir| recorded(dir).ok());
    args.expect.is_some() || resumed.is_some_and(|(args, ..)| args.expect.is_some())
}

fn begin(args: &RunArgs) -> Result<Status, Failure> {
    refuse_words(args)?;
    let load = trace::load(args)?;
    let mut emulators = Emulators::default();
    let mut plan = Plan::of(args, &mut |machine| {
        if args.dry_run { Ok(()) } else { emulators.find(machine.kind, args.qemu.as_deref()) }
    })?;
    plan.settings.extend(load.as_ref().map(|load| ("trace".to_owned(), load.id.clone())));
    if args.dry_run {
        return forecast(args, &plan, &plan.mine().collect::<Vec<_>>(), jobs(args));
    }
    if args.kernel.is_empty() {
        host()?;
    }
    work(args, &Session::begin(args.clone(), plan, load)?, &emulators)
}

fn resume(args: &RunArgs, dir: &Path) -> Result<Status, Failure> {
    let session = Session::resume(dir)?;
    let left = session.left()?;
    if args.dry_run {
        return forecast(&session.args, &session.plan, &left, jobs(args));
    }
    let mut emulators = Emulators::default();
    for cell in &left {
        match cell.place.machine()? {
            Some(machine) => emulators.find(machine.kind, session.args.qemu.as_deref())?,
            None => host()?,
        }
    }
    work(args, &session, &emulators)
}

fn work(args: &RunArgs, session: &Session, emulators: &Emulators) -> Result<Status, Failure> {
    let left = session.left()?;
    let all = session.plan.mine().count();
    if all > 1 {
        let shown = session.shown.display();
        eprintln!(
            "drbench: {} of {all} cells to measure, into {shown}; if that is interrupted, \
             `drbench run --resume {shown}` does the rest",
            left.len()
        );
    }
    session.work(&left, emulators, jobs(args));
    session.finish(args.details)
}

/// How many cells run side by side.
fn jobs(args: &RunArgs) -> usize {
    let cores = || available_parallelism().map_or(1, usize::from);
    args.jobs.map_or_else(cores, |jobs| NonZeroU32::get(jobs) as usize)
}

/// What makes no sense together.
fn refuse_words(args: &RunArgs) -> Result<(), Failure> {
    let selfcheck = args.suite == Suite::Selfcheck;
    let native = args.kernel.is_empty();
    let refusals = [
        (
            selfcheck && args.expect.is_some(),
            "--expect is about verdicts, and selfcheck gives none",
        ),
        (
            selfcheck && !args.workload.is_empty(),
            "--workload is for suites that measure, and selfcheck does not",
        ),
        (
            args.suite == Suite::Cost && !args.workload.is_empty(),
            "--workload is for the suite policy: the cost suite fits its prices on its own sweep",
        ),
        (
            args.suite == Suite::Slowdown && !args.workload.is_empty(),
            "--workload is for the suite policy: the slowdown suite has its own patterns",
        ),
        (
            args.suite != Suite::Slowdown && args.world_switch_cycles.is_some(),
            "--world-switch-cycles is for the suite slowdown: all others tell instructions",
        ),
        (
            args.suite != Suite::Slowdown && args.clock_mhz.is_some(),
            "--clock-mhz is for the suite slowdown: all others tell instructions",
        ),
        (
            args.machine == Some(MachineKind::QemuKvm)
                && (args.world_switch_cycles.is_some() || args.clock_mhz.is_some()),
            "--world-switch-cycles and --clock-mhz are for emulators: qemu-kvm measures time",
        ),
        (
            args.suite == Suite::Trace && !args.workload.is_empty(),
            "--workload is for the suite policy: the suite trace plays what --trace has recorded",
        ),
        (
            args.suite != Suite::Smp && args.vcpus.is_some(),
            "--vcpus is for the suite smp: all others have one vCPU",
        ),
        (
            args.suite == Suite::Smp && !args.workload.iter().all(smp::takes),
            "the suite smp has no tsc-deadline, page-touch or breakpoint exits: its vCPUs share fresh \
             pages, have no LAPIC, and show their breakpoints by themselves",
        ),
        (
            native && !args.cpu.is_empty(),
            "--cpu chooses the lab's emulated CPU and needs --kernel, for example --kernel debian:6.1",
        ),
        (
            native && args.machine.is_some(),
            "--machine chooses the lab's emulator and needs --kernel, for example --kernel debian:6.1",
        ),
        (
            !native
                && args.machine != Some(MachineKind::QemuKvm)
                && (args.seed.is_some() || args.no_pin),
            "--seed and --no-pin are for hardware: in the lab nothing is noise, and every run alike",
        ),
        (
            native && args.unprivileged,
            "--unprivileged is for the lab and needs --kernel; on this host, run drbench as an \
             ordinary user",
        ),
    ];
    match refusals.into_iter().find(|(refused, _)| *refused) {
        Some((_, why)) => Err(Failure::usage(why)),
        None => Ok(()),
    }
}

/// What makes a run on this host impossible, told before anything is written.
fn host() -> Result<(), Failure> {
    Host::open().map(drop).map_err(|error: HostError| {
        let lab = lab::COMMAND;
        Failure::usage(format!("{error}. Without KVM, a kernel can be measured in the lab: {lab}"))
    })
}
