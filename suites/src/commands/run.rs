//! `drbench run`: measure, write down, judge, show.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bench_vmm::{Host, HostError};
use drbench_lab::emulator::{Clock as LabClock, Emulator, Machine, MachineKind};
use drbench_lab::kernel::KernelSpec;
use guest_payloads::{CpuVendor, Payload, Policy};
use reports::{Record, RunDir, RunInfo, policy_table};

use crate::cli::{RunArgs, Suite};
use crate::environment;
use crate::judge::Verdict;
use crate::lab;
use crate::plan::{self, Cell};
use crate::protocol::{Effort, Job, JobCell, Plan};
use crate::recorder::{About, Recorder};
use crate::rows::Clock;
use crate::status::{Failure, Status};
use crate::terminal::{self, Progress, outln, write_out};
use crate::{assess, target};

/// The lab's command for whoever cannot measure here.
const LAB_COMMAND: &str = "drbench run --kernel debian:6.1 --cpu amd";

/// Runs, prints the table, and ends with the worst of what was found.
pub fn run(args: &RunArgs) -> Result<Status, Failure> {
    refuse_words(args)?;
    if args.kernel.is_empty() {
        refuse_native(args)?;
        Session::begin(args)?.native()
    } else {
        let lab = Lab::ready(args)?;
        Session::begin(args)?.lab(&lab)
    }
}

/// One `drbench run`.
struct Session<'a> {
    args: &'a RunArgs,
    dir: RunDir,
    records: Vec<Record>,
    status: Status,
    /// Kernels measured in the lab.
    done: Vec<(String, Machine)>,
}

impl<'a> Session<'a> {
    /// Creates the run directory: a place that cannot be written is told before an hour of work.
    fn begin(args: &'a RunArgs) -> Result<Self, Failure> {
        let mut info = RunInfo::begin(env!("CARGO_PKG_VERSION"), std::env::args().collect());
        let binary =
            std::env::current_exe().and_then(std::fs::read).map_err(Failure::environment)?;
        info.hashes.insert("binary".to_owned(), sha256(&binary));
        let path = args
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from("results").join(info.run.run_id.as_str()));
        let dir = RunDir::create(&path, info).map_err(Failure::environment)?;
        Ok(Self { args, dir, records: vec![], status: Status::Done, done: vec![] })
    }

    fn native(mut self) -> Result<Status, Failure> {
        let host = Host::open().map_err(|error| no_kvm(&error))?;
        let vendor = host.cpu_vendor().unwrap_or(CpuVendor::Intel);
        let (cells, job) = job(self.args, vendor, Effort::HARDWARE)?;
        let release = environment::release();
        let about = About {
            subject: reports::Subject {
                kernel: environment::upstream_version(&release).to_owned(),
                kernel_id: release,
                variant: "stock".to_owned(),
            },
            machine: reports::Machine::Native,
            cpu_model: None,
            cpu: vendor,
            clock: Clock::Hardware,
            suite: suite_name(self.args.suite),
            package: None,
            emulator: None,
            kernel_words: environment::kernel_words(),
            payloads: hashes(&cells, &job),
        };
        drop(host);
        let progress = Progress::new("measuring this host's KVM", steps(&job));
        let mut recorder = Recorder::new(&mut self.dir, &progress, about, cells);
        let outcome = target::work(&job, &mut |message| {
            recorder.take(message).map_err(|failure| failure.to_string().into())
        });
        let outcome = outcome.map_err(Failure::usage);
        let ended = end(recorder, outcome);
        drop(progress);
        self.finish_part(ended, "kvm on this host");
        self.finish()
    }

    fn lab(mut self, lab: &Lab) -> Result<Status, Failure> {
        for name in &self.args.kernel {
            for (machine, emulator) in &lab.machines {
                let ended = self.lab_cell(emulator, name, machine);
                self.finish_part(ended, &format!("{name} on {}", machine.vendor));
            }
        }
        self.finish()
    }

    /// One kernel on one machine.
    fn lab_cell(
        &mut self,
        emulator: &Emulator,
        name: &str,
        machine: &Machine,
    ) -> Result<Ended, Failure> {
        let vendor = lab::payload_vendor(machine.vendor);
        let (clock, effort) = match (machine.kind, lab::clock(machine, self.args)) {
            (MachineKind::QemuKvm, _) => (Clock::Hardware, Effort::HARDWARE),
            // A Bochs without our patch: exact, but its time stamps are not.
            (MachineKind::Bochs, _) if !emulator.counts_instructions() => {
                (Clock::EmulatorTime, Effort::REPEATABLE)
            }
            (_, LabClock::Wall) => (Clock::EmulatorTime, Effort::DISTURBED),
            (_, LabClock::Instructions) => (Clock::Instructions, Effort::REPEATABLE),
        };
        let (cells, job) = job(self.args, vendor, effort)?;
        let progress = Progress::new(&format!("{name} on {}", machine.vendor), steps(&job));
        let kernel = lab::prepare(name, &progress)?;
        let id = (kernel.kernel_id.clone(), machine.clone());
        if self.done.contains(&id) {
            progress.warn(&format!("{name} is {}, which was measured already", kernel.kernel_id));
            return Ok(Ended::default());
        }
        self.done.push(id);
        let about = About {
            subject: reports::Subject {
                kernel: kernel.version.clone(),
                kernel_id: kernel.kernel_id.clone(),
                variant: "stock".to_owned(),
            },
            machine: recorded(machine.kind),
            cpu_model: Some(machine.cpu.clone().into_owned()),
            cpu: vendor,
            clock,
            suite: suite_name(self.args.suite),
            package: matches!(name.parse(), Ok(KernelSpec::Debian(_) | KernelSpec::Package(_)))
                .then(|| format!("linux-image-{} {}", kernel.release, kernel.kernel_id)),
            emulator: Some(reports::store::Emulator {
                version: emulator.version_line().to_owned(),
                argv: lab::command_line(emulator, machine, &kernel, self.args),
            }),
            kernel_words: lab::kernel_words(machine, self.args),
            payloads: hashes(&cells, &job),
        };
        let console = self.args.keep_console.then(|| {
            let id = kernel.kernel_id.replace('/', "_");
            self.dir.path().join(format!("console-{id}-{}.log", machine.vendor))
        });
        progress.say("booting");
        let mut recorder = Recorder::new(&mut self.dir, &progress, about, cells);
        let kernel = &kernel;
        let run = lab::Run {
            args: self.args,
            emulator,
            kernel,
            machine,
            job: &job,
            console,
            progress: &progress,
        };
        let outcome = run.run(&mut recorder);
        end(recorder, outcome)
    }

    /// Takes what one target gave; an error is told here, and the next target still runs.
    fn finish_part(&mut self, ended: Result<Ended, Failure>, what: &str) {
        match ended {
            Ok(ended) => {
                let expected = ended.against(self.args);
                self.status = self.status.worst(ended.status).worst(expected);
                self.records.extend(ended.records);
                if let Some(failure) = ended.failure {
                    self.tell(what, &failure);
                }
            }
            Err(failure) => self.tell(what, &failure),
        }
    }

    fn tell(&mut self, what: &str, failure: &Failure) {
        eprintln!("drbench: {what}: {failure}");
        self.status = self.status.worst(failure.status);
    }

    fn finish(self) -> Result<Status, Failure> {
        if self.args.suite == Suite::Policy && !self.records.is_empty() {
            write_out(format_args!("{}", policy_table(&self.records, terminal::style())))?;
        }
        let checks = self.records.iter().filter(|row| row.key.cell.suite.as_str() == "selfcheck");
        for check in checks {
            outln!("{:<8}{}  {}", check.status.to_string(), check.key.metric, check.reason);
        }
        let path = self.dir.path().to_owned();
        self.dir.finish().map_err(Failure::environment)?;
        outln!("\nresults: {}", path.join("results.csv").display());
        Ok(self.status)
    }
}

/// What one target gave.
#[derive(Default)]
struct Ended {
    records: Vec<Record>,
    verdict: Option<Verdict>,
    vendor: Option<String>,
    status: Status,
    failure: Option<Failure>,
}

impl Ended {
    /// Whether the verdict is the expected one; says so if not.
    fn against(&self, args: &RunArgs) -> Status {
        let Some(expectation) = &args.expect else { return Status::Done };
        let (Some(vendor), Some(verdict)) = (&self.vendor, &self.verdict) else {
            return Status::Done;
        };
        let Some(expected) = expectation.of(vendor) else { return Status::Done };
        match verdict {
            verdict if verdict.policy() == Some(expected) => Status::Done,
            // Nothing was found out; what went wrong has its own status.
            Verdict::Unresolved(_) if self.failure.is_some() => Status::Done,
            Verdict::Unresolved(why) => {
                eprintln!("drbench: {vendor}: expected {expected}, found nothing out: {why}");
                Status::Environment
            }
            Verdict::Policy { .. } | Verdict::Emulated(_) | Verdict::Unknown(_) => {
                eprintln!("drbench: {vendor}: expected {expected}, found {}", verdict.name());
                Status::Regression
            }
        }
    }
}

/// Closes a target's rows, whatever happened to it.
fn end(mut recorder: Recorder<'_>, outcome: Result<(), Failure>) -> Result<Ended, Failure> {
    let failure = outcome.err();
    let reason = failure.as_ref().map_or_else(
        || "the target ended without measuring this cell".to_owned(),
        ToString::to_string,
    );
    recorder.end(&reason)?;
    let verdict = recorder.verdict().cloned();
    if verdict.as_ref().and_then(Verdict::policy) == Some(Policy::Emulated) {
        eprintln!(
            "drbench: this KVM interprets the guest's kernel code: no debug-register exits exist \
             here that could be counted.\nTo see a real kernel's policy, type: {LAB_COMMAND}"
        );
    }
    // Rows that failed only because the whole target did are not a finding of their own.
    let status = if failure.is_some() { Status::Done } else { recorder.status() };
    let vendor = recorder.records.first().map(|row| row.key.target.vendor.to_string());
    Ok(Ended { records: recorder.records, verdict, vendor, status, failure })
}

/// What the lab needs, found before anything is written.
struct Lab {
    machines: Vec<(Machine, Emulator)>,
}

/// A machine's name in the record.
fn recorded(kind: MachineKind) -> reports::Machine {
    match kind {
        MachineKind::QemuTcg => reports::Machine::QemuTcg,
        MachineKind::QemuKvm => reports::Machine::QemuKvm,
        MachineKind::Bochs => reports::Machine::Bochs,
    }
}

impl Lab {
    fn ready(args: &RunArgs) -> Result<Self, Failure> {
        for name in &args.kernel {
            name.parse::<KernelSpec>().map_err(Failure::environment)?;
        }
        let mut machines = lab::machines(&args.cpu, args.machine, args.qemu.as_deref())?;
        machines.dedup();
        if let Some(expectation) = &args.expect {
            let covered = |(machine, _): &(Machine, Emulator)| {
                expectation.of(lab::module(machine.vendor)).is_some()
            };
            if !machines.iter().any(covered) {
                return Err(Failure::usage("--expect names no vendor that --cpu runs on"));
            }
        }
        Ok(Self { machines })
    }
}

/// What makes no sense together.
fn refuse_words(args: &RunArgs) -> Result<(), Failure> {
    if args.suite == Suite::Selfcheck && args.expect.is_some() {
        return Err(Failure::usage("--expect is about verdicts, and selfcheck gives none"));
    }
    if args.suite == Suite::Selfcheck && !args.workload.is_empty() {
        return Err(Failure::usage(
            "--workload is for suites that measure, and selfcheck does not",
        ));
    }
    Ok(())
}

/// What makes a run on this host impossible, told before anything is written.
fn refuse_native(args: &RunArgs) -> Result<(), Failure> {
    if !args.cpu.is_empty() {
        return Err(Failure::usage(
            "--cpu chooses the lab's emulated CPU and needs --kernel, for example --kernel debian:6.1",
        ));
    }
    if args.machine.is_some() {
        return Err(Failure::usage(
            "--machine chooses the lab's emulator and needs --kernel, for example --kernel debian:6.1",
        ));
    }
    if args.unprivileged {
        return Err(Failure::usage(
            "--unprivileged is for the lab and needs --kernel; on this host, run drbench as an \
             ordinary user",
        ));
    }
    Host::open().map(drop).map_err(|error| no_kvm(&error))
}

fn no_kvm(error: &HostError) -> Failure {
    Failure::usage(format!(
        "{error}. Without KVM, a kernel can be measured in the lab: {LAB_COMMAND}"
    ))
}

/// The cells of a suite and the job that measures them.
fn job(args: &RunArgs, vendor: CpuVendor, effort: Effort) -> Result<(Vec<Cell>, Job), Failure> {
    if args.suite == Suite::Selfcheck {
        return Ok((vec![], Job::Selfcheck));
    }
    let cells =
        if args.workload.is_empty() { plan::policy(&[]) } else { plan::only(&args.workload) };
    let one = |cell: &Cell| {
        let payload = Payload::assemble(&cell.workload, vendor).map_err(Failure::environment)?;
        Ok(JobCell {
            code: payload.code,
            session: cell.session,
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

/// Each payload's checksum, by its workload.
fn hashes(cells: &[Cell], job: &Job) -> BTreeMap<String, String> {
    let Job::Measure(plan) = job else { return BTreeMap::new() };
    let one =
        |(cell, job): (&Cell, &JobCell)| (format!("payload:{}", cell.workload), sha256(&job.code));
    cells.iter().zip(&plan.cells).map(one).collect()
}

/// How many messages with results a job will bring.
fn steps(job: &Job) -> usize {
    match job {
        Job::Measure(plan) => plan.cells.len() + plan.cells.iter().filter(|c| c.costed).count(),
        Job::Selfcheck => bench_vmm::selfcheck::CHECKS.len(),
    }
}

fn suite_name(suite: Suite) -> reports::Name {
    suite.name().parse().expect("suites are plain words")
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
