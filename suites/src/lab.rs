//! The lab, as the command line uses it: which CPU, which kernel, which emulator.

use std::cell::RefCell;
use std::path::Path;

use drbench_lab::boot::Boot;
use drbench_lab::cache::Cache;
use drbench_lab::emulator::{Clock, CpuVendor, Emulator, Machine, MachineKind};
use drbench_lab::kernel::{self, Kernel, KernelSpec, debian};

use crate::cli::RunArgs;
use crate::protocol::{self, Job, Message};
use crate::recorder::Recorder;
use crate::status::Failure;
use crate::terminal::{Progress, outln};

/// `--cpu` of commands that need no machine.
pub fn cpu_vendor(text: &str) -> Result<CpuVendor, Failure> {
    [CpuVendor::Amd, CpuVendor::Intel]
        .into_iter()
        .find(|vendor| vendor.to_string() == text)
        .ok_or_else(|| Failure::usage(format!("--cpu `{text}` is not known: write amd or intel")))
}

/// The machines of `--cpu` and `--machine`, with their emulators. Without `--cpu` it is both vendors,
/// less one whose emulator is not here, which is told.
pub fn machines(
    cpus: &[String],
    kind: Option<MachineKind>,
    qemu: Option<&Path>,
) -> Result<Vec<(Machine, Emulator)>, Failure> {
    let one = |cpu: &str| {
        let machine = Machine::choose(cpu, kind).map_err(Failure::environment)?;
        let emulator = emulator(machine.kind, qemu)?;
        Ok((machine, emulator))
    };
    if !cpus.is_empty() {
        return cpus.iter().map(|cpu| one(cpu)).collect();
    }
    let (found, mut missing) = (Vec::new(), Vec::new());
    let found = ["amd", "intel"].into_iter().fold(found, |mut found, cpu| {
        match one(cpu) {
            Ok(machine) => found.push(machine),
            Err(failure) => missing.push((cpu, failure)),
        }
        found
    });
    if found.is_empty() {
        return Err(missing.swap_remove(0).1);
    }
    for (cpu, failure) in missing {
        eprintln!("drbench: not measured on {cpu}: {failure}");
    }
    Ok(found)
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

/// A kernel made ready.
pub fn prepare(name: &str, progress: &Progress) -> Result<Kernel, Failure> {
    let spec: KernelSpec = name.parse().map_err(Failure::environment)?;
    kernel::prepare(&spec, &cache()?, &|text| progress.say(text)).map_err(Failure::of_lab)
}

/// The emulator's command line for the record: what varies from boot to boot is a plain name.
pub fn command_line(
    emulator: &Emulator,
    machine: &Machine,
    kernel: &Kernel,
    args: &RunArgs,
) -> Vec<String> {
    emulator.recorded_command_line(machine, &kernel.image, clock(machine, args), &args.append)
}

/// The words the lab's kernel is given.
pub fn kernel_words(machine: &Machine, args: &RunArgs) -> Vec<String> {
    let line = machine.kernel_command_line(&args.append);
    line.split_whitespace().map(str::to_owned).collect()
}

/// What makes time pass in the guest.
pub fn clock(machine: &Machine, args: &RunArgs) -> Clock {
    if args.no_icount { Clock::Wall } else { machine.kind.default_clock() }
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
    /// Where the console log is kept.
    pub console: Option<std::path::PathBuf>,
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
            modules: modules
                .into_iter()
                .map(|module| (format!("{}.ko", module.name), module.bytes))
                .collect(),
            init: std::env::current_exe().map_err(Failure::environment)?,
            job: protocol::encode(self.job).map_err(Failure::environment)?,
            machine: self.machine.clone(),
            clock: clock(self.machine, self.args),
            append: self.args.append.clone(),
            time_limit: std::time::Duration::from_secs(self.args.time_limit.into()),
            console: self.console.clone(),
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
