//! What a target is to do, and how it is measured there.

use std::collections::BTreeMap;

use bench_vmm::Host;
use drbench_lab::cache::Digest;
use drbench_lab::emulator::{Clock as LabClock, Emulator, Machine, MachineKind};
use guest_payloads::{CpuVendor, Payload};

use crate::cli::{RunArgs, Suite};
use crate::plan::{self, Cell};
use crate::protocol::{Effort, Job, JobCell, Plan};
use crate::recorder::About;
use crate::rows::Clock;
use crate::slowdown::Assumed;
use crate::status::Failure;
use crate::{assess, environment, lab};

/// A suite on a machine: its cells and the job that measures them.
pub struct Measuring {
    /// The cells; none for suites without.
    pub cells: Vec<Cell>,
    /// What the target is sent.
    pub job: Job,
    /// What its time stamps count.
    pub clock: Clock,
    /// Whose virtualization extensions it has.
    pub cpu: CpuVendor,
}

impl Measuring {
    /// For a machine of the lab; none: this host.
    pub fn of(args: &RunArgs, machine: Option<(&Machine, &Emulator)>) -> Result<Self, Failure> {
        let (cpu, clock, effort) = match machine {
            None => (host_vendor(), Clock::Hardware, Effort::HARDWARE),
            Some((machine, emulator)) => {
                let (clock, effort) = match (machine.kind, lab::clock(machine, args)) {
                    (MachineKind::QemuKvm, _) => (Clock::Hardware, Effort::HARDWARE),
                    // A Bochs without our patch: exact, but its time stamps are not.
                    (MachineKind::Bochs, _) if !emulator.counts_instructions() => {
                        (Clock::EmulatorTime, Effort::REPEATABLE)
                    }
                    (_, LabClock::Wall) => (Clock::EmulatorTime, Effort::DISTURBED),
                    (_, LabClock::Instructions) => (Clock::Instructions, Effort::REPEATABLE),
                };
                (lab::payload_vendor(machine.vendor), clock, effort)
            }
        };
        let (cells, job) = job(args, cpu, effort)?;
        Ok(Self { cells, job, clock, cpu })
    }

    /// How many messages with results the job will bring.
    pub fn steps(&self) -> usize {
        match &self.job {
            Job::Measure(plan) => {
                plan.cells.len() + plan.cells.iter().filter(|cell| cell.costed).count()
            }
            Job::Selfcheck => bench_vmm::selfcheck::CHECKS.len(),
        }
    }

    /// Each payload's checksum, by its workload.
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let Job::Measure(plan) = &self.job else { return BTreeMap::new() };
        let one = |(cell, job): (&Cell, &JobCell)| {
            (format!("payload:{}", cell.workload), Digest::of(&job.code).to_string())
        };
        self.cells.iter().zip(&plan.cells).map(one).collect()
    }
}

/// What is known of this host before it measures.
pub fn about_host(args: &RunArgs, measuring: &Measuring) -> About {
    let release = environment::release();
    About {
        subject: reports::Subject {
            kernel: environment::upstream_version(&release).to_owned(),
            kernel_id: release,
            variant: "stock".to_owned(),
        },
        machine: reports::Machine::Native,
        cpu_model: None,
        cpu: measuring.cpu,
        clock: measuring.clock,
        suite: args.suite.recorded(),
        assumed: Assumed::of(args),
        package: None,
        emulator: None,
        kernel_words: environment::kernel_words(),
        payloads: measuring.hashes(),
    }
}

fn host_vendor() -> CpuVendor {
    Host::open().ok().and_then(|host| host.cpu_vendor()).unwrap_or(CpuVendor::Intel)
}

/// The cells of a suite and the job that measures them.
fn job(args: &RunArgs, vendor: CpuVendor, effort: Effort) -> Result<(Vec<Cell>, Job), Failure> {
    if args.suite == Suite::Selfcheck {
        return Ok((vec![], Job::Selfcheck));
    }
    let cells = match args.suite {
        Suite::Cost => plan::cost(),
        Suite::Slowdown => plan::slowdown(),
        _ if !args.workload.is_empty() => plan::only(&args.workload),
        Suite::Policy | Suite::Selfcheck => plan::policy(&[]),
    };
    let one = |cell: &Cell| {
        let payload = Payload::assemble(&cell.workload, vendor).map_err(Failure::environment)?;
        Ok(JobCell {
            code: payload.code,
            session: cell.session,
            needs: plan::probe_of(&cells, cell),
            costed: assess::is_costed(cell),
            watchdog_seconds: effort.watchdog_seconds(&cell.workload),
        })
    };
    let plan = Plan {
        cells: cells.iter().map(one).collect::<Result<_, Failure>>()?,
        effort,
        unprivileged: args.unprivileged,
    };
    Ok((cells, Job::Measure(plan)))
}
