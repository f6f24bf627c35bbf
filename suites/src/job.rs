//! What a target is to do, and how it is measured there.

use std::collections::BTreeMap;
use std::sync::Arc;

use bench_vmm::Host;
use drbench_lab::cache::Digest;
use drbench_lab::emulator::{Clock as LabClock, Emulator, Machine, MachineKind};
use drbench_lab::kernel::ConfigPlaces;
use guest_payloads::layout::MAX_VCPUS;
use guest_payloads::{CpuVendor, Payload, Workload};

use crate::cli::{RunArgs, Suite};
use crate::plan::{self, Cell};
use crate::protocol::{AgainstNoise, Effort, Job, JobCell, Plan};
use crate::recorder::About;
use crate::rows::Clock;
use crate::slowdown::Assumed;
use crate::smp::{self, Crew, JobCrew};
use crate::status::Failure;
use crate::trace::{Load, Piece, play};
use crate::{assess, config, environment, lab, noise};

/// A suite on a machine: its cells and the job that measures them.
pub struct Measuring {
    /// The cells; none for suites without.
    pub cells: Vec<Cell>,
    /// What is played after the cells, in the suite that plays a record.
    pub load: Option<Arc<Load>>,
    /// What several vCPUs run after the cells, in the suite that has them.
    pub crews: Vec<Crew>,
    /// What the target is sent.
    pub job: Job,
    /// What its time stamps count.
    pub clock: Clock,
    /// Whose virtualization extensions it has.
    pub cpu: CpuVendor,
}

impl Measuring {
    /// For a machine of the lab; none: this host.
    pub fn of(
        args: &RunArgs,
        load: Option<Arc<Load>>,
        machine: Option<(&Machine, &Emulator)>,
    ) -> Result<Self, Failure> {
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
        let against_noise = (clock == Clock::Hardware).then(|| AgainstNoise {
            seed: args.seed.unwrap_or_else(noise::new_seed),
            pin: !args.no_pin,
        });
        let crews = match args.suite {
            Suite::Smp => smp::crews(&args.workload, args.vcpus.unwrap_or(MAX_VCPUS)),
            Suite::Policy | Suite::Cost | Suite::Slowdown | Suite::Trace | Suite::Selfcheck => {
                vec![]
            }
        };
        let (cells, job) = job(args, load.as_deref(), &crews, cpu, effort, against_noise)?;
        Ok(Self { cells, load, crews, job, clock, cpu })
    }

    /// How many messages with results the job will bring.
    pub fn steps(&self) -> usize {
        match self.job.plan() {
            Some(plan) => {
                let costed = plan.cells.iter().filter(|cell| cell.costed).count();
                let crews = self.crews.len() + self.crews.iter().filter(|c| c.is_costed()).count();
                plan.cells.len() + costed + crews
            }
            None => bench_vmm::selfcheck::CHECKS.len(),
        }
    }

    /// Each payload's checksum, by its workload.
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let Some(plan) = self.job.plan() else { return BTreeMap::new() };
        let one = |(cell, job): (&Cell, &JobCell)| {
            (format!("payload:{}", cell.workload), Digest::of(&job.code).to_string())
        };
        let mut hashes: BTreeMap<_, _> = self.cells.iter().zip(&plan.cells).map(one).collect();
        let played = plan.cells.get(self.cells.len()..).unwrap_or_default();
        if !played.is_empty() {
            let code: Vec<u8> = played.iter().flat_map(|job| job.code.iter().copied()).collect();
            hashes.insert("payload:trace".to_owned(), Digest::of(&code).to_string());
        }
        if let Job::Together { crews, .. } = &self.job {
            let together = self.crews.iter().zip(crews);
            hashes.extend(together.map(|(crew, job)| one((&crew.cell, &job.cell))));
        }
        hashes
    }
}

/// What is known of this host before it measures.
pub fn about_host(args: &RunArgs, measuring: &Measuring) -> About {
    let release = environment::release();
    About {
        subject: reports::Subject {
            kernel: environment::upstream_version(&release).to_owned(),
            kernel_id: release.clone(),
            variant: "stock".to_owned(),
        },
        machine: reports::Machine::Native,
        cpu_model: None,
        cpu: measuring.cpu,
        clock: measuring.clock,
        suite: args.suite.recorded(),
        assumed: Assumed::of(args),
        package: None,
        config: Some(config::read(&ConfigPlaces::of_this_host(&release))),
        emulator: None,
        kernel_words: environment::kernel_words(),
        payloads: measuring.hashes(),
    }
}

fn host_vendor() -> CpuVendor {
    Host::open().ok().and_then(|host| host.cpu_vendor()).unwrap_or(CpuVendor::Intel)
}

/// The cells of a suite and the job that measures them.
fn job(
    args: &RunArgs,
    load: Option<&Load>,
    crews: &[Crew],
    vendor: CpuVendor,
    effort: Effort,
    against_noise: Option<AgainstNoise>,
) -> Result<(Vec<Cell>, Job), Failure> {
    if args.suite == Suite::Selfcheck {
        return Ok((vec![], Job::Selfcheck));
    }
    let cells = match args.suite {
        Suite::Cost => plan::cost(),
        Suite::Slowdown => plan::slowdown(),
        Suite::Trace => plan::deciding(play::EXIT),
        Suite::Smp => plan::deciding_for(&smp::workloads(&args.workload)),
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
            lapic: cell.workload.interposed.is_some_and(|exit| exit.kind.needs_lapic()),
            touches: cell.workload.page_touches(),
            watchdog_seconds: effort.watchdog_seconds(&cell.workload),
        })
    };
    let played = |piece: &Piece| {
        let payload =
            Payload::of_schedule(&piece.schedule, vendor).map_err(Failure::environment)?;
        let exits = piece.schedule.accesses() + piece.schedule.exits();
        Ok(JobCell {
            code: payload.code,
            session: piece.session,
            needs: plan::probe_of_kind(&cells, piece.schedule.exit),
            costed: true,
            lapic: piece.schedule.exit.needs_lapic(),
            touches: 0,
            watchdog_seconds: effort.watchdog_seconds_of(exits, piece.schedule.switches()),
        })
    };
    let pieces = load.map_or(&[][..], |load| &load.pieces);
    let plan = Plan {
        cells: cells
            .iter()
            .map(one)
            .chain(pieces.iter().map(played))
            .collect::<Result<_, Failure>>()?,
        effort,
        against_noise,
        unprivileged: args.unprivileged,
    };
    if args.suite != Suite::Smp {
        return Ok((cells, Job::Measure(plan)));
    }
    let crews = crews
        .iter()
        .map(|crew| Ok(together(crew, one(&crew.cell)?, effort)))
        .collect::<Result<_, Failure>>()?;
    Ok((cells, Job::Together { deciding: plan, crews }))
}

/// A crew as a target gets it. All of its vCPUs may have to wait for each other.
fn together(crew: &Crew, cell: JobCell, effort: Effort) -> JobCrew {
    let Crew { vcpus, placement, cell: Cell { workload, .. } } = *crew;
    let switches = workload.switches.saturating_mul(vcpus.into());
    let watchdog_seconds = effort.watchdog_seconds(&Workload { switches, ..workload });
    let cell = JobCell { watchdog_seconds, costed: crew.is_costed(), ..cell };
    JobCrew {
        cell,
        vcpus,
        placement,
        shows_breakpoint: workload.armed,
        comes_out: smp::comes_out(&workload),
    }
}
