//! The emulators: where they are, which version they are, and the machines they are asked to be.

mod bochs;
mod cpu;
mod find;
mod machine;
mod memo;
mod nested;
mod qemu;
mod turns;

pub use bochs::Bochs;
pub use cpu::CpuVendor;
pub use find::{EmulatorVersion, FindError, Qemu};
pub use machine::{Clock, Machine, MachineKind, NoEmulator, UnknownMachine};
pub use qemu::MachineFiles;
pub(crate) use qemu::option_with_path;

use std::path::Path;

/// An emulator's program, found and new enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Emulator {
    /// QEMU, for `qemu-tcg` and `qemu-kvm`.
    Qemu(Qemu),
    /// Bochs.
    Bochs(Bochs),
}

impl Emulator {
    /// Finds the program for a machine: `explicit` if given, else the one that its variable names
    /// (`$DRBENCH_QEMU`, `$DRBENCH_BOCHS`), else the one that `ci/setup` put into the cache (none:
    /// the user's), else the installed one.
    ///
    /// # Errors
    /// If there is none, or it is too old. Always [`crate::Blame::Environment`].
    pub fn find(
        kind: MachineKind,
        explicit: Option<&Path>,
        cache: Option<&Path>,
    ) -> Result<Self, FindError> {
        match kind {
            MachineKind::QemuTcg | MachineKind::QemuKvm => {
                Qemu::find(explicit, cache).map(Self::Qemu)
            }
            MachineKind::Bochs => Bochs::find(explicit, cache).map(Self::Bochs),
        }
    }

    /// The program's path.
    pub fn program(&self) -> &Path {
        match self {
            Self::Qemu(qemu) => qemu.program(),
            Self::Bochs(bochs) => bochs.program(),
        }
    }

    /// What it says of its version, for the record.
    pub fn version_line(&self) -> &str {
        match self {
            Self::Qemu(qemu) => qemu.version_line(),
            Self::Bochs(bochs) => bochs.version_line(),
        }
    }

    /// Whether time stamps can count every instruction. A Bochs that `ci/setup` did not build counts
    /// them in groups.
    pub fn counts_instructions(&self) -> bool {
        match self {
            Self::Qemu(_) => true,
            Self::Bochs(bochs) => bochs.is_the_labs(),
        }
    }

    /// What may be wrong with this machine's figures, for the user.
    pub fn warning(&self, machine: &Machine, clock: Clock) -> Option<String> {
        match self {
            Self::Qemu(qemu) => qemu.warning(machine, clock),
            Self::Bochs(_) => None,
        }
    }

    /// Whether it can be this machine.
    pub fn runs(&self, kind: MachineKind) -> bool {
        match self {
            Self::Qemu(_) => matches!(kind, MachineKind::QemuTcg | MachineKind::QemuKvm),
            Self::Bochs(_) => kind == MachineKind::Bochs,
        }
    }

    /// The command line for the record: plain names for what varies from boot to boot.
    pub fn recorded_command_line(
        &self,
        machine: &Machine,
        kernel: &Path,
        clock: Clock,
        append: &[String],
    ) -> Vec<String> {
        let words = match self {
            Self::Qemu(qemu) => {
                let files = MachineFiles {
                    kernel,
                    initramfs: Path::new("initramfs"),
                    console: Path::new("console"),
                    frames: Path::new("frames"),
                };
                let mut words = qemu.command_line(machine, clock);
                words.extend(machine.qemu_arguments(clock, files, append));
                words
            }
            Self::Bochs(bochs) => {
                // What it would not find is told when it is started.
                let mut words = bochs.command_line(machine, clock).unwrap_or_default();
                words.extend(["romimage: file=rom", "optramimage1: file=memory"].map(Into::into));
                words
            }
        };
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }
}
