//! Every flag QEMU is started with.

use super::{Clock, Machine, MachineKind, turns};
use std::ffi::OsString;
use std::path::Path;

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
];

/// In software.
const TCG: &[&str] =
    &["-accel", "tcg,thread=single", "-seed", "1", "-rtc", "base=2026-01-01,clock=vm"];

/// On the host's KVM.
const KVM: &[&str] = &["-accel", "kvm", "-seed", "1", "-rtc", "base=2026-01-01,clock=vm"];

/// One instruction is 2^0 ns, and an idle guest's clock jumps instead of waiting for the host's.
const INSTRUCTION_CLOCK: &[&str] = &["-icount", "shift=0,sleep=off"];

/// QEMU's random-number instructions begin anew with each process of its own, so a resumed machine
/// would draw other numbers than one that never stopped. No machine has them.
const REPEATABLE: &str = ",rdrand=off,rdseed=off";

/// The board, with its options. q35 starts slower than pc.
const BOARD: &str = "pc,hpet=off";

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
    /// QEMU's arguments.
    pub fn qemu_arguments(
        &self,
        clock: Clock,
        files: MachineFiles<'_>,
        append: &[String],
    ) -> Vec<OsString> {
        // KVM's guests cannot be counted by the instruction.
        let (accelerator, counting) = match (self.kind, clock) {
            (MachineKind::QemuKvm, _) => (KVM, &[][..]),
            (_, Clock::Instructions) => (TCG, INSTRUCTION_CLOCK),
            (_, Clock::Wall) => (TCG, &[][..]),
        };
        let flags = FLAGS.iter().chain(accelerator).chain(counting);
        let mut arguments: Vec<OsString> = flags.map(OsString::from).collect();
        let mut add = |flag: &str, value: OsString| arguments.extend([flag.into(), value]);
        add("-machine", BOARD.into());
        let features = if self.kind == MachineKind::QemuTcg { REPEATABLE } else { "" };
        add("-cpu", format!("{}{features}", self.cpu).into());
        add("-m", self.memory_mib.to_string().into());
        if self.cpus > 1 {
            add("-smp", self.cpus.to_string().into());
        }
        // Under -icount several CPUs take turns by the instruction clock, as long as the host does not
        // interfere: then that repeats as well.
        if turns::matter_for(self, clock) {
            let [flag, value] = turns::NAMED_THREADS;
            add(flag, value.into());
        }
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

/// A chardev that writes a file, after what is there already.
fn file_chardev(id: &str, path: &Path) -> OsString {
    option_with_path(&format!("file,id={id},append=on,path="), path)
}

/// An option that ends with a path. QEMU's option syntax wants commas doubled.
pub(crate) fn option_with_path(option: &str, path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut option = option.as_bytes().to_vec();
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
    use super::{Clock, Machine, MachineFiles, MachineKind};
    use std::path::Path;

    fn arguments(machine: &Machine, clock: Clock) -> String {
        let files = MachineFiles {
            kernel: Path::new("vmlinux"),
            initramfs: Path::new("initramfs"),
            console: Path::new("a,b/console"),
            frames: Path::new("frames"),
        };
        let arguments = machine.qemu_arguments(clock, files, &["extra=1".to_owned()]);
        let words: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    fn amd() -> Machine {
        Machine::choose("amd", None).unwrap()
    }

    #[test]
    fn the_instruction_clock_is_one_flag() {
        let with = arguments(&amd(), Clock::Instructions);
        assert!(with.contains(" -icount shift=0,sleep=off "), "{with}");
        let without = arguments(&amd(), Clock::Wall);
        assert_eq!(with.replace(" -icount shift=0,sleep=off", ""), without);
    }

    #[test]
    fn one_cpu_is_no_flag_and_two_are_one_with_threads_by_name() {
        let (one, two) = (amd(), amd().with_cpus(2));
        let of = |machine: &Machine| arguments(machine, Clock::Instructions);
        let several = " -smp 2 -name debug-threads=on ";
        assert!(of(&two).contains(several), "{}", of(&two));
        assert_eq!(of(&two).replace(several, " ").replace(" tsc=reliable", ""), of(&one));
        assert!(!arguments(&amd().with_cpus(2), Clock::Wall).contains("debug-threads"));
    }

    #[test]
    fn the_hosts_kvm_does_not_count_instructions() {
        let kvm = Machine { kind: MachineKind::QemuKvm, cpu: "host".into(), ..amd() };
        let line = arguments(&kvm, Clock::Instructions);
        assert!(line.contains(" -accel kvm ") && line.contains(" -cpu host "), "{line}");
        assert!(!line.contains("icount"), "{line}");
    }

    #[test]
    fn the_console_is_the_first_serial_port_and_the_callers_words_come_last() {
        let line = arguments(&amd(), Clock::Wall);
        let serial = "-chardev file,id=console,append=on,path=a,,b/console -serial chardev:console \
                      -chardev file,id=frames,append=on,path=frames -serial chardev:frames";
        assert!(line.contains(serial), "{line}");
        assert!(line.ends_with(" random.trust_cpu=off extra=1"), "{line}");
    }
}
