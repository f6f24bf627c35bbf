//! The lab, as the command line uses it: which CPU, which kernel, which emulator.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use drbench_lab::Init;
use drbench_lab::boot::Boot;
use drbench_lab::cache::Cache;
use drbench_lab::emulator::{Clock, CpuVendor, Emulator, Machine, MachineKind};
use drbench_lab::kernel::{self, Kernel, KernelSpec, debian};

use crate::cli::{RunArgs, Suite};
use crate::job::Measuring;
use crate::protocol::{self, Job, Message};
use crate::recorder::{About, Recorder};
use crate::slowdown::Assumed;
use crate::status::Failure;
use crate::terminal::{Progress, outln};
use crate::{config, smp};

/// The lab's command for whoever cannot measure here.
pub const COMMAND: &str = "drbench run --kernel debian:6.1 --cpu amd";

/// `--cpu` of commands that need no machine.
pub fn cpu_vendor(text: &str) -> Result<CpuVendor, Failure> {
    [CpuVendor::Amd, CpuVendor::Intel]
        .into_iter()
        .find(|vendor| vendor.to_string() == text)
        .ok_or_else(|| Failure::usage(format!("--cpu `{text}` is not known: write amd or intel")))
}

/// The same vendor, as payloads know it.
pub fn payload_vendor(vendor: CpuVendor) -> guest_payloads::CpuVendor {
    match vendor {
        CpuVendor::Amd => guest_payloads::CpuVendor::Amd,
        CpuVendor::Intel => guest_payloads::CpuVendor::Intel,
    }
}

/// The user's cache.
pub fn cache() -> Result<Cache, Failure> {
    Cache::default_dir().and_then(Cache::open).map_err(Failure::environment)
}

/// The emulator to use; `qemu` is the user's choice of a QEMU.
pub fn emulator(kind: MachineKind, qemu: Option<&Path>) -> Result<Emulator, Failure> {
    let explicit = qemu.filter(|_| kind != MachineKind::Bochs);
    Emulator::find(kind, explicit, None).map_err(Failure::of_lab)
}

/// The emulators of a run, found before anything is measured.
#[derive(Default)]
pub struct Emulators(BTreeMap<MachineKind, Emulator>);

impl Emulators {
    /// Finds the emulator of this kind of machine, if it is not known yet.
    pub fn find(&mut self, kind: MachineKind, qemu: Option<&Path>) -> Result<(), Failure> {
        if let Entry::Vacant(place) = self.0.entry(kind) {
            place.insert(emulator(kind, qemu)?);
        }
        Ok(())
    }

    /// One that was found.
    pub fn get(&self, kind: MachineKind) -> Result<&Emulator, Failure> {
        self.0.get(&kind).ok_or_else(|| Failure::usage(format!("no emulator for {kind} was found")))
    }
}

/// What is known of a kernel on a machine before it runs.
pub fn about(
    args: &RunArgs,
    name: &str,
    kernel: &Kernel,
    machine: &Machine,
    emulator: &Emulator,
    measuring: &Measuring,
) -> About {
    let line = machine.kernel_command_line(&args.append);
    let clock = clock(machine, args);
    About {
        subject: reports::Subject {
            kernel: kernel.version.clone(),
            kernel_id: kernel.kernel_id.clone(),
            variant: kernel.variant.clone(),
        },
        package: matches!(name.parse(), Ok(KernelSpec::Debian(_) | KernelSpec::Package(_)))
            .then(|| format!("linux-image-{} {}", kernel.release, kernel.kernel_id)),
        config: Some(config::read(&kernel.config)),
        emulator: Some(reports::store::Emulator {
            version: emulator.version_line().to_owned(),
            argv: emulator.recorded_command_line(machine, &kernel.image, clock, &args.append),
        }),
        kernel_words: line.split_whitespace().map(str::to_owned).collect(),
        ..about_missing(args, name, machine, measuring)
    }
}

/// The same where the kernel could not be made ready: it is called what the user calls it.
pub fn about_missing(
    args: &RunArgs,
    name: &str,
    machine: &Machine,
    measuring: &Measuring,
) -> About {
    let (kernel, variant) = match name.parse() {
        Ok(KernelSpec::Variant { base, change }) => (base.to_string(), change.to_string()),
        Ok(_) | Err(_) => (name.to_owned(), "stock".to_owned()),
    };
    About {
        subject: reports::Subject { kernel_id: kernel.clone(), kernel, variant },
        machine: recorded(machine.kind),
        cpu_model: Some(machine.cpu.clone().into_owned()),
        cpu: payload_vendor(machine.vendor),
        clock: measuring.clock,
        suite: args.suite.recorded(),
        assumed: Assumed::of(args),
        package: None,
        config: None,
        emulator: None,
        kernel_words: vec![],
        payloads: measuring.hashes(),
    }
}

/// A machine's name in the record.
fn recorded(kind: MachineKind) -> reports::Machine {
    match kind {
        MachineKind::QemuTcg => reports::Machine::QemuTcg,
        MachineKind::QemuKvm => reports::Machine::QemuKvm,
        MachineKind::Bochs => reports::Machine::Bochs,
    }
}

/// What makes time pass in the guest.
pub fn clock(machine: &Machine, args: &RunArgs) -> Clock {
    if args.no_icount { Clock::Wall } else { machine.kind.default_clock() }
}

/// The machine with as many CPUs as the suite wants, if its emulator can have them.
pub fn equipped(machine: Machine, args: &RunArgs) -> Machine {
    match args.suite {
        Suite::Smp => machine.with_cpus(smp::LAB_CPUS),
        Suite::Policy | Suite::Cost | Suite::Slowdown | Suite::Trace | Suite::Selfcheck => machine,
    }
}

/// The module that runs guests on this vendor's CPU.
pub fn module(vendor: CpuVendor) -> &'static str {
    match vendor {
        CpuVendor::Amd => "kvm_amd",
        CpuVendor::Intel => "kvm_intel",
    }
}

/// One boot of a kernel with a job.
pub struct Run<'a> {
    /// The command line's wishes.
    pub args: &'a RunArgs,
    /// The emulator.
    pub emulator: &'a Emulator,
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The machine to emulate.
    pub machine: &'a Machine,
    /// What to do in it.
    pub job: &'a Job,
    /// Where the emulator's files lie while it runs, and the console log, if it is kept.
    pub work: &'a Path,
    /// Which boot of the cell, from 0.
    pub boot: u32,
    /// Where warnings go.
    pub progress: &'a Progress,
}

impl Run<'_> {
    /// Boots, and hands every message over as it comes. What came before a failure is written then.
    pub fn run(&self, recorder: &mut Recorder<'_>) -> Result<(), Failure> {
        let modules = self
            .kernel
            .modules_for(&["kvm", module(self.machine.vendor)])
            .map_err(Failure::of_lab)?;
        let boot = Boot {
            image: self.kernel.image.clone(),
            image_sum: self.kernel.image_sum,
            modules: modules
                .into_iter()
                .map(|module| (format!("{}.ko", module.name), module.bytes))
                .collect(),
            init: Init::this_program().map_err(Failure::environment)?,
            job: protocol::encode(self.job).map_err(Failure::environment)?,
            machine: self.machine.clone(),
            clock: clock(self.machine, self.args),
            append: self.args.append.clone(),
            time_limit: std::time::Duration::from_secs(self.args.time_limit.into()),
            console: self.args.keep_console.then(|| self.console()),
            work: Some(self.work.to_owned()),
            snapshots: if self.args.cold { None } else { Some(cache()?) },
        };
        // A frame that cannot be understood or written ends the run, but only after the boot.
        let trouble: RefCell<Option<Failure>> = RefCell::new(None);
        let outcome = boot.run(self.emulator, &mut |frame| {
            let taken = protocol::decode::<Message>(frame)
                .map_err(Failure::environment)
                .and_then(|message| recorder.take(message));
            if let Err(failure) = taken {
                trouble.borrow_mut().get_or_insert(failure);
            }
        });
        if let Some(failure) = trouble.into_inner() {
            return Err(failure);
        }
        let outcome = outcome.map_err(Failure::of_lab)?;
        for warning in &outcome.warnings {
            self.progress.warn(warning);
        }
        Ok(())
    }
}

impl Run<'_> {
    fn console(&self) -> PathBuf {
        self.work.join(match self.boot {
            0 => "console.log".to_owned(),
            boot => format!("console-{}.log", boot + 1),
        })
    }
}

/// `drbench list kernels`.
pub fn list_kernels() -> Result<(), Failure> {
    let offers = debian::offered(&cache()?, debian::Refresh::default(), &|text| {
        eprintln!("drbench: {text}");
    })
    .map_err(|error| Failure::of_lab(kernel::KernelError::from(error)))?;
    outln!("{:<32}{:<36}suites", "--kernel", "package");
    for offer in offers {
        outln!(
            "{:<32}{:<36}{}",
            format!("debian:{}", offer.package_version.as_str()),
            offer.package,
            offer.suites.join(" ")
        );
    }
    outln!(
        "\nA shorter version is the newest that matches: debian:6.1. Kernels of your own: FILE.deb,\n\
         IMAGE:MODULE_DIR, or host for the one installed in /boot."
    );
    Ok(())
}
