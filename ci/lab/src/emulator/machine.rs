//! Every flag an emulator is started with, and every word the kernel in it is given.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

/// Whose virtualization extensions the emulated CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CpuVendor {
    /// SVM, for `kvm_amd`.
    Amd,
    /// VMX, for `kvm_intel`.
    Intel,
}

impl fmt::Display for CpuVendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amd => "amd",
            Self::Intel => "intel",
        })
    }
}

/// What makes time pass in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Clock {
    /// One executed instruction is one nanosecond and one TSC tick: exactly repeatable.
    #[default]
    Instructions,
    /// The host's clock: timer interrupts come when they come, as on a real machine.
    Wall,
}

/// No emulator can be this CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no emulator for --cpu {0} here yet: the lab runs --cpu amd only")]
pub struct NoEmulator(pub CpuVendor);

/// An emulated machine. What is the same for all of them is in this file's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The CPU's vendor.
    pub vendor: CpuVendor,
    /// QEMU's name of the CPU model, with the features added to it.
    pub cpu: &'static str,
    /// QEMU's name of the board, with its options. q35 starts slower than pc.
    pub board: &'static str,
    /// Memory in MiB.
    pub memory_mib: u32,
}

/// The machines there are.
const MACHINES: [Machine; 1] =
    [Machine { vendor: CpuVendor::Amd, cpu: "EPYC,+svm", board: "pc,hpet=off", memory_mib: 256 }];

/// The same for every machine and clock: nothing of the host's gets in, and the guest's end is ours.
const FLAGS: &[&str] = &[
    "-nodefaults",
    "-no-user-config",
    "-nic",
    "none",
    "-display",
    "none",
    "-monitor",
    "none",
    "-no-reboot",
    "-accel",
    "tcg,thread=single",
    "-seed",
    "1",
    "-rtc",
    "base=2026-01-01,clock=vm",
];

/// One instruction is 2^0 ns, and an idle guest's clock jumps instead of waiting for the host's.
const INSTRUCTION_CLOCK: &[&str] = &["-icount", "shift=0,sleep=off"];

/// What the kernel is told. `panic=-1` with `-no-reboot` ends the emulator at a panic; addresses
/// and random numbers are the same at every boot.
const KERNEL_WORDS: &[&str] = &[
    "console=ttyS0",
    "quiet",
    "panic=-1",
    "nokaslr",
    "norandmaps",
    "mitigations=off",
    "random.trust_cpu=off",
];

/// The files a machine is given, and those it writes.
#[derive(Clone, Copy, Debug)]
pub struct MachineFiles<'a> {
    /// The kernel: an ELF vmlinux (started through PVH) or a bzImage.
    pub kernel: &'a Path,
    /// The initramfs.
    pub initramfs: &'a Path,
    /// Where the first serial port, the console, is written to.
    pub console: &'a Path,
    /// Where the second serial port, the frames, is written to. A file never makes the guest wait,
    /// so the host's speed cannot show in the guest.
    pub frames: &'a Path,
}

impl Machine {
    /// The machine with this vendor's CPU.
    ///
    /// # Errors
    /// If there is no emulator for it.
    pub fn with_cpu(vendor: CpuVendor) -> Result<Self, NoEmulator> {
        MACHINES.into_iter().find(|machine| machine.vendor == vendor).ok_or(NoEmulator(vendor))
    }

    /// The kernel's command line: the lab's words, then the caller's.
    pub fn kernel_command_line(&self, append: &[String]) -> String {
        KERNEL_WORDS
            .iter()
            .copied()
            .chain(append.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// QEMU's arguments.
    pub fn qemu_arguments(
        &self,
        clock: Clock,
        files: MachineFiles<'_>,
        append: &[String],
    ) -> Vec<OsString> {
        let clock: &[&str] = match clock {
            Clock::Instructions => INSTRUCTION_CLOCK,
            Clock::Wall => &[],
        };
        let mut arguments: Vec<OsString> = FLAGS.iter().chain(clock).map(OsString::from).collect();
        let mut add = |flag: &str, value: OsString| arguments.extend([flag.into(), value]);
        add("-machine", self.board.into());
        add("-cpu", self.cpu.into());
        add("-m", self.memory_mib.to_string().into());
        for (id, file) in [("console", files.console), ("frames", files.frames)] {
            add("-chardev", file_chardev(id, file));
            add("-serial", format!("chardev:{id}").into());
        }
        add("-kernel", files.kernel.into());
        add("-initrd", files.initramfs.into());
        add("-append", self.kernel_command_line(append).into());
        arguments
    }
}

/// A chardev that writes a file. QEMU's option syntax wants commas doubled.
fn file_chardev(id: &str, path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut option = format!("file,id={id},path=").into_bytes();
    for &byte in path.as_os_str().as_bytes() {
        option.push(byte);
        if byte == b',' {
            option.push(byte);
        }
    }
    OsString::from_vec(option)
}

#[cfg(test)]
mod tests {
    use super::{Clock, CpuVendor, Machine, MachineFiles, NoEmulator};
    use std::path::Path;

    fn arguments(clock: Clock) -> String {
        let files = MachineFiles {
            kernel: Path::new("vmlinux"),
            initramfs: Path::new("initramfs"),
            console: Path::new("a,b/console"),
            frames: Path::new("frames"),
        };
        let machine = Machine::with_cpu(CpuVendor::Amd).unwrap();
        let arguments = machine.qemu_arguments(clock, files, &["extra=1".to_owned()]);
        let words: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn the_instruction_clock_is_one_flag() {
        let with = arguments(Clock::Instructions);
        assert!(with.contains(" -icount shift=0,sleep=off "), "{with}");
        assert_eq!(with.replace(" -icount shift=0,sleep=off", ""), arguments(Clock::Wall));
    }

    #[test]
    fn the_console_is_the_first_serial_port_and_the_callers_words_come_last() {
        let line = arguments(Clock::Wall);
        let serial = "-chardev file,id=console,path=a,,b/console -serial chardev:console \
                      -chardev file,id=frames,path=frames -serial chardev:frames";
        assert!(line.contains(serial), "{line}");
        assert!(line.ends_with(" random.trust_cpu=off extra=1"), "{line}");
    }

    #[test]
    fn intel_has_no_emulator_yet() {
        let error = Machine::with_cpu(CpuVendor::Intel).unwrap_err();
        assert_eq!(error, NoEmulator(CpuVendor::Intel));
        assert!(error.to_string().contains("--cpu intel"));
    }
}
