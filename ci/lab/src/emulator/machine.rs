//! The machines that can be asked for: which emulator, whose CPU, how much memory, and the words
//! the kernel in it is given.

use super::cpu::{self, CpuModel, CpuVendor};
use super::{bochs, nested};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// What a kernel in the lab runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MachineKind {
    /// QEMU's software emulation.
    QemuTcg,
    /// QEMU on this host's KVM, where that can run hypervisors as guests: real cycles.
    QemuKvm,
    /// Bochs.
    Bochs,
}

impl MachineKind {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::QemuTcg, Self::QemuKvm, Self::Bochs];

    /// Its name in the record and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::QemuTcg => "qemu-tcg",
            Self::QemuKvm => "qemu-kvm",
            Self::Bochs => "bochs",
        }
    }

    /// What makes time pass in it if nothing else is asked for.
    pub fn default_clock(self) -> Clock {
        match self {
            Self::QemuTcg | Self::Bochs => Clock::Instructions,
            Self::QemuKvm => Clock::Wall,
        }
    }
}

impl fmt::Display for MachineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no machine's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no machine of the lab: write qemu-tcg (or qemu), qemu-kvm or bochs")]
pub struct UnknownMachine(String);

impl FromStr for MachineKind {
    type Err = UnknownMachine;

    fn from_str(text: &str) -> Result<Self, UnknownMachine> {
        match text {
            "qemu" => Ok(Self::QemuTcg),
            _ => Self::ALL
                .into_iter()
                .find(|kind| kind.name() == text)
                .ok_or_else(|| UnknownMachine(text.to_owned())),
        }
    }
}

/// What makes time pass in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Clock {
    /// Time stamps count executed instructions: exactly repeatable.
    #[default]
    Instructions,
    /// The host's clock: timer interrupts come when they come, as on a real machine.
    Wall,
}

/// No emulator can be this CPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEmulator {
    /// The name is neither a vendor nor a model.
    #[error("--cpu `{cpu}` is not known: write amd, intel, or one of {models}")]
    Unknown {
        /// What was asked for.
        cpu: String,
        /// The models that there are.
        models: String,
    },
    /// Another machine could.
    #[error("{kind} cannot be --cpu {cpu}; {kind} can be {models}")]
    Elsewhere {
        /// What was asked for.
        cpu: String,
        /// On what.
        kind: MachineKind,
        /// What it can be instead.
        models: String,
    },
    /// This host's KVM cannot run hypervisors as guests.
    #[error("--machine qemu-kvm cannot run --cpu {cpu} here: {reason}")]
    NoNesting {
        /// What was asked for.
        cpu: String,
        /// What is missing.
        reason: String,
    },
}

/// An emulated machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// The emulator.
    pub kind: MachineKind,
    /// The CPU's vendor.
    pub vendor: CpuVendor,
    /// The emulator's name of the CPU model, with the features added to it: for the record.
    pub cpu: Cow<'static, str>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// How many CPUs.
    pub cpus: u8,
}

/// What every kernel is told. `panic=-1` ends the emulator at a panic; addresses and random numbers
/// are the same at every boot.
const KERNEL_WORDS: &[&str] = &[
    "console=ttyS0,115200",
    "quiet",
    "panic=-1",
    "nokaslr",
    "norandmaps",
    "mitigations=off",
    "random.trust_cpu=off",
];

/// What a kernel on Bochs is told as well: the machine is bare, it has neither PCI nor ACPI, and one
/// timer, which needs no check. How fast its time stamps are spares the kernel a measurement.
const BOCHS_WORDS: &[&str] =
    &["pci=off", "acpi=off", "nosmp", "no_timer_check", "cryptomgr.notests"];

/// What a kernel with several CPUs is told as well. Of an AMD processor's time stamps it takes them
/// for unsynchronized otherwise (`unsynchronized_tsc`), and KVM then moves its guests' time stamps on to
/// another clock's time at every load of a vCPU: by 279, the ticks of the ACPI timer. Here they are one
/// counter.
const SEVERAL_CPUS_WORDS: &[&str] = &["tsc=reliable"];

impl Machine {
    /// The machine with this CPU: `amd`, `intel`, or a model's name. Without a `kind` the one that
    /// suits it: AMD on QEMU, which is faster, and Intel on Bochs, which alone has VMX in software.
    ///
    /// # Errors
    /// If there is none; it says what there is.
    pub fn choose(cpu: &str, kind: Option<MachineKind>) -> Result<Self, NoEmulator> {
        if kind == Some(MachineKind::QemuKvm) {
            return nested::machine(cpu);
        }
        let fits = |model: &&CpuModel| {
            kind.is_none_or(|kind| kind == model.kind)
                && (model.name == cpu || model.vendor.to_string() == cpu)
        };
        if let Some(model) = cpu::MODELS.iter().find(fits) {
            return Ok(Self::with_model(model));
        }
        let known = cpu::MODELS.iter().any(|m| m.name == cpu || m.vendor.to_string() == cpu);
        let cpu = cpu.to_owned();
        Err(match kind.filter(|_| known) {
            Some(kind) => NoEmulator::Elsewhere { cpu, kind, models: cpu::names(Some(kind)) },
            None => NoEmulator::Unknown { cpu, models: cpu::names(kind) },
        })
    }

    /// Every machine with a CPU model that is known by name.
    pub fn all() -> Vec<Self> {
        cpu::MODELS.iter().map(Self::with_model).collect()
    }

    fn with_model(model: &CpuModel) -> Self {
        Self {
            kind: model.kind,
            vendor: model.vendor,
            cpu: Cow::Borrowed(model.name),
            memory_mib: 256,
            cpus: 1,
        }
    }

    /// The same with so many CPUs, or as many as its emulator can: Bochs is built without SMP
    /// (`ci/setup`).
    #[must_use]
    pub fn with_cpus(self, cpus: u8) -> Self {
        match self.kind {
            MachineKind::QemuTcg | MachineKind::QemuKvm => Self { cpus, ..self },
            MachineKind::Bochs => self,
        }
    }

    /// The kernel's command line: the lab's words, then the caller's.
    pub fn kernel_command_line(&self, append: &[String]) -> String {
        let mut words: Vec<String> = KERNEL_WORDS.iter().map(ToString::to_string).collect();
        if self.kind == MachineKind::Bochs {
            words.extend(BOCHS_WORDS.iter().map(ToString::to_string));
            words.push(format!("tsc_early_khz={}", bochs::INSTRUCTIONS_PER_SECOND / 1000));
        }
        if self.cpus > 1 {
            words.extend(SEVERAL_CPUS_WORDS.iter().map(ToString::to_string));
        }
        words.extend(append.iter().cloned());
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::{CpuVendor, Machine, MachineKind, NoEmulator};

    #[test]
    fn each_vendor_has_a_machine_of_its_own() {
        let of = |cpu| Machine::choose(cpu, None).map(|machine| (machine.kind, machine.vendor));
        assert_eq!(of("amd"), Ok((MachineKind::QemuTcg, CpuVendor::Amd)));
        assert_eq!(of("intel"), Ok((MachineKind::Bochs, CpuVendor::Intel)));
        let second = Machine::choose("amd", Some(MachineKind::Bochs)).unwrap();
        assert_eq!((second.kind, &*second.cpu), (MachineKind::Bochs, "ryzen"));
    }

    #[test]
    fn more_cpus_are_for_emulators_that_have_them() {
        let with = |cpu| Machine::choose(cpu, None).unwrap().with_cpus(2).cpus;
        assert_eq!([with("amd"), with("intel")], [2, 1]);
        let line =
            |cpus| Machine::choose("amd", None).unwrap().with_cpus(cpus).kernel_command_line(&[]);
        assert!(line(2).ends_with(" tsc=reliable") && !line(1).contains("tsc="));
    }

    #[test]
    fn what_there_is_not_is_told_with_what_there_is() {
        let error = Machine::choose("arm", None).unwrap_err();
        assert!(matches!(error, NoEmulator::Unknown { .. }));
        assert!(error.to_string().contains("ryzen"), "{error}");
        let error = Machine::choose("intel", Some(MachineKind::QemuTcg)).unwrap_err();
        assert!(error.to_string().starts_with("qemu-tcg cannot be --cpu intel"), "{error}");
    }

    #[test]
    fn machines_are_read_as_they_are_shown() {
        for kind in MachineKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("qemu".parse(), Ok(MachineKind::QemuTcg));
        assert!("vmware".parse::<MachineKind>().unwrap_err().to_string().contains("vmware"));
    }
}
