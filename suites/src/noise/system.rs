//! What the kernel says of this machine, in /proc and /sys.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::environment;

/// The files of a machine: this one's, or a made-up one's in tests.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
}

impl System {
    /// This machine.
    pub fn this() -> Self {
        Self::at("/")
    }

    /// A machine whose files lie under `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A file's text.
    ///
    /// # Errors
    /// Which file, and why not, in words.
    pub fn text(&self, path: &str) -> Result<String, String> {
        let why = |error: io::Error| format!("/{path}: {error}");
        fs::read_to_string(self.root.join(path)).map_err(why)
    }

    /// A file's text without the line end.
    ///
    /// # Errors
    /// Which file, and why not, in words.
    pub fn line(&self, path: &str) -> Result<String, String> {
        Ok(self.text(path)?.trim().to_owned())
    }

    /// A number that is all of a file's text.
    ///
    /// # Errors
    /// Which file, and why not, in words.
    pub fn number(&self, path: &str) -> Result<i64, String> {
        let line = self.line(path)?;
        line.parse().map_err(|_| format!("/{path}: a number was expected, not `{line}`"))
    }

    /// The same file of every CPU that has it, by the CPU's number.
    pub fn of_cpus(&self, path: &str) -> Vec<(u32, String)> {
        let cpus = self.numbered("sys/devices/system/cpu", "cpu");
        let file = |cpu| Path::new("sys/devices/system/cpu").join(format!("cpu{cpu}")).join(path);
        let of = |cpu| Some((cpu, environment::read_line(self.root.join(file(cpu)))?));
        cpus.into_iter().filter_map(of).collect()
    }

    /// The numbers of a directory's entries of a name and a number: 0 and 1 for `cpu0`, `cpu1`.
    pub fn numbered(&self, directory: &str, name: &str) -> Vec<u32> {
        let entries = fs::read_dir(self.root.join(directory)).into_iter().flatten().flatten();
        let number = |entry: fs::DirEntry| {
            entry.file_name().to_str()?.strip_prefix(name)?.parse::<u32>().ok()
        };
        let mut numbers: Vec<u32> = entries.filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Milliseconds that a hypervisor gave to others instead of this CPU, or of all together, since
    /// the machine was started (proc(5): `steal`, in hundredths of a second).
    ///
    /// # Errors
    /// It cannot be told, and why. In a virtual machine whose hypervisor has never told any, nothing is
    /// no answer.
    pub fn steal_ms(&self, cpu: Option<u32>) -> Result<u64, String> {
        const FILE: &str = "proc/stat";
        const STEAL: usize = 7;
        const MS_PER_TICK: u64 = 10;
        let text = self.text(FILE)?;
        let ticks = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            line.split_whitespace().nth(STEAL)?.parse::<u64>().ok()
        };
        let name = cpu.map_or_else(|| "cpu".to_owned(), |cpu| format!("cpu{cpu}"));
        let missing = |name: &str| format!("/{FILE}: no steal time of {name}");
        let all = ticks("cpu").ok_or_else(|| missing("cpu"))?;
        if all == 0 && self.is_virtual() == Ok(true) {
            return Err("the hypervisor below has never told of any".to_owned());
        }
        ticks(&name).map(|ticks| ticks * MS_PER_TICK).ok_or_else(|| missing(&name))
    }

    /// Whether a hypervisor runs this machine, by the processor's own flag.
    ///
    /// # Errors
    /// The processor's flags cannot be read.
    pub fn is_virtual(&self) -> Result<bool, String> {
        const FILE: &str = "proc/cpuinfo";
        let text = self.text(FILE)?;
        let flags = text.lines().find(|line| line.starts_with("flags"));
        let flags = flags.ok_or_else(|| format!("/{FILE}: no flags"))?;
        Ok(flags.split_whitespace().any(|flag| flag == "hypervisor"))
    }

    /// A CPU's frequency now, in kHz.
    ///
    /// # Errors
    /// Which file, and why not, in words.
    pub fn frequency_khz(&self, cpu: u32) -> Result<u64, String> {
        let path = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq");
        let khz = self.number(&path)?;
        u64::try_from(khz).map_err(|_| format!("/{path}: {khz} is no frequency"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A machine of these files.
    pub fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let system = System::at(root.path());
        (root, system)
    }

    const STAT: &str = "cpu  10 0 20 900 1 0 3 7 0 0\ncpu0 5 0 9 400 1 0 3 0 0 0\n\
                        cpu1 5 0 11 500 0 0 0 7 0 0\ncpu10 5 0 11 500 0 0 0 99 0 0\nintr 5\n";

    #[test]
    fn steal_is_that_of_the_cpu_asked_for() {
        let (_root, system) = machine(&[("proc/stat", STAT)]);
        let of = |cpu| system.steal_ms(cpu);
        assert_eq!([of(None), of(Some(0)), of(Some(1))], [Ok(70), Ok(0), Ok(70)]);
        assert!(of(Some(2)).unwrap_err().contains("cpu2"));
    }

    #[test]
    fn a_hypervisor_that_never_told_of_steal_is_no_zero() {
        let stat = "cpu  10 0 20 900 1 0 3 0 0 0\n";
        let of = |flags: &str| {
            let (_root, system) = machine(&[("proc/stat", stat), ("proc/cpuinfo", flags)]);
            system.steal_ms(None)
        };
        assert!(of("flags\t\t: fpu hypervisor\n").unwrap_err().contains("never told"));
        assert_eq!(of("flags\t\t: fpu vme\n"), Ok(0), "hardware has none to tell");
    }

    #[test]
    fn what_is_not_there_is_told_with_its_name() {
        let (_root, system) = machine(&[("proc/loadavg", "high"), ("proc/stat", "intr 5\n")]);
        assert!(system.frequency_khz(3).unwrap_err().contains("cpu3/cpufreq"));
        assert!(system.steal_ms(None).unwrap_err().contains("/proc/stat"));
        assert!(system.is_virtual().unwrap_err().contains("/proc/cpuinfo"));
        assert!(system.number("proc/loadavg").unwrap_err().contains("`high`"));
    }

    #[test]
    fn this_machine_can_be_read() {
        let system = System::this();
        assert!(system.is_virtual().is_ok());
        assert!(!system.numbered("sys/devices/system/cpu", "cpu").is_empty());
    }
}
