//! KVM's own statistics: totals without reasons, and without any privilege since Linux 5.14.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::stats_format::parse_statistics;
use super::{CounterError, Unavailable};
use crate::sys;
use crate::vcpu::Vcpu;

const DEBUGFS: &str = "/sys/kernel/debug";
/// More than any kernel's statistics take; the file of one vCPU has about 5 KiB.
const MAX_FILE: usize = 1 << 20;
/// Digits of the largest `u64`, a newline, and room to spare.
const MAX_DIGITS: usize = 24;

macro_rules! statistics {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// A statistic KVM keeps of a vCPU.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Statistic {
            $($(#[$doc])+ $variant,)+
        }

        impl Statistic {
            /// Every one.
            pub const ALL: [Self; COUNT] = [$(Self::$variant,)+];

            /// Its name in the statistics and in debugfs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        const COUNT: usize = [$($name,)+].len();
    };
}

statistics! {
    /// Exits of any reason. Before about 6.4 without those that re-enter on the fast path
    /// (8b703a49c9df).
    Exits = "exits",
    /// Instructions KVM emulated.
    InsnEmulation = "insn_emulation",
    /// Instructions KVM failed to emulate.
    InsnEmulationFail = "insn_emulation_fail",
    /// Port I/O that went to userspace.
    IoExits = "io_exits",
    /// Memory-mapped I/O that went to userspace.
    MmioExits = "mmio_exits",
    /// HLT.
    HaltExits = "halt_exits",
    /// Exits by a host interrupt.
    IrqExits = "irq_exits",
    /// Returns to userspace by a signal.
    SignalExits = "signal_exits",
    /// Loads of host state that a run in the kernel can do without.
    HostStateReload = "host_state_reload",
    /// Hypercalls.
    Hypercalls = "hypercalls",
    /// Nested page faults and shadow page faults that KVM resolved.
    PageFaultsFixed = "pf_fixed",
    /// Nested page faults and shadow page faults taken.
    PageFaultsTaken = "pf_taken",
}

/// Where the values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticsSource {
    /// `KVM_GET_STATS_FD`: this vCPU's own.
    Binary,
    /// debugfs: the sum of all vCPUs of the machine.
    Debugfs,
}

/// Values at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatisticsValues {
    values: [Option<u64>; COUNT],
}

impl StatisticsValues {
    /// One statistic; `None` where it was not asked for or this kernel does not keep it.
    pub fn get(&self, statistic: Statistic) -> Option<u64> {
        self.values[statistic as usize]
    }

    /// How much each has grown since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut values = self.values;
        for (value, before) in values.iter_mut().zip(earlier.values) {
            *value = value.zip(before).map(|(now, before)| now.wrapping_sub(before));
        }
        Self { values }
    }
}

/// Some statistics of one vCPU, ready to be read with one system call.
#[derive(Debug)]
pub struct Statistics {
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Binary {
        file: File,
        /// The bytes from the first to the last value wanted.
        start: u64,
        window: Vec<u8>,
        /// Offsets into the window.
        at: [Option<usize>; COUNT],
    },
    Debugfs {
        /// These files cannot be rewound: each reading opens them anew.
        files: [Option<PathBuf>; COUNT],
    },
}

impl Statistics {
    /// Opens the `wanted` statistics of a vCPU; fewer make [`Statistics::read`] cheaper.
    ///
    /// # Errors
    /// Where neither `KVM_GET_STATS_FD` nor debugfs has them. A single statistic this kernel does not
    /// keep is no error: it reads as `None`.
    pub fn open(vcpu: &Vcpu, wanted: &[Statistic]) -> Result<Self, Unavailable> {
        match sys::statistics_file(vcpu) {
            Ok(file) => Self::open_binary(file, wanted),
            Err(Errno::ENOTTY | Errno::EINVAL) => {
                let vm = vcpu.vm();
                let name = format!("{}-{}", vm.creator, vm.fd);
                Self::open_debugfs(&Path::new(DEBUGFS).join("kvm"), &name, wanted)
            }
            Err(errno) => Err(Unavailable::new(
                format!("KVM's statistics (KVM_GET_STATS_FD failed: {errno})"),
                "raise the limit of open files (ulimit -n)",
            )),
        }
    }

    fn open_binary(file: File, wanted: &[Statistic]) -> Result<Self, Unavailable> {
        let malformed = |error: &dyn std::fmt::Display| {
            Unavailable::new(
                format!("KVM's statistics ({error})"),
                "use debugfs's or report the kernel's version",
            )
        };
        let blob = read_whole(&file).map_err(|error| malformed(&error))?;
        let descriptors = parse_statistics(&blob).map_err(|error| malformed(&error))?;
        let mut offsets = [None; COUNT];
        for statistic in wanted {
            offsets[*statistic as usize] = descriptors
                .iter()
                .find(|descriptor| descriptor.name == statistic.name() && descriptor.count == 1)
                .map(|descriptor| descriptor.offset);
        }
        let start = offsets.iter().flatten().min().copied().unwrap_or(0);
        let end = offsets.iter().flatten().max().map_or(0, |last| last + 8);
        let within = |offset: u64| usize::try_from(offset - start).expect("within the file");
        Ok(Self {
            reader: Reader::Binary {
                file,
                start,
                window: vec![0; within(end)],
                at: offsets.map(|offset| offset.map(within)),
            },
        })
    }

    fn open_debugfs(root: &Path, vm: &str, wanted: &[Statistic]) -> Result<Self, Unavailable> {
        let directory: PathBuf = root.join(vm);
        let mut files = [const { None }; COUNT];
        for statistic in wanted {
            let path = directory.join(statistic.name());
            match File::open(&path) {
                Ok(_) => files[*statistic as usize] = Some(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(no_debugfs(&error)),
            }
        }
        if files.iter().all(Option::is_none) {
            // Without the permission to look into debugfs nothing is found either.
            let error = std::fs::metadata(&directory).err();
            return Err(no_debugfs(&error.unwrap_or_else(|| io::ErrorKind::NotFound.into())));
        }
        Ok(Self { reader: Reader::Debugfs { files } })
    }

    /// Where the values come from.
    pub fn source(&self) -> StatisticsSource {
        match self.reader {
            Reader::Binary { .. } => StatisticsSource::Binary,
            Reader::Debugfs { .. } => StatisticsSource::Debugfs,
        }
    }

    /// Reads the values as they are now. Allocates nothing; one pread(2), or of debugfs an open(2),
    /// read(2) and close(2) for each value.
    pub fn read(&mut self) -> Result<StatisticsValues, CounterError> {
        let read = match &mut self.reader {
            Reader::Binary { file, start, window, at } => read_window(file, *start, window, at),
            Reader::Debugfs { files } => read_files(files),
        };
        read.map_err(|source| CounterError::Failed {
            operation: "reading",
            counter: "KVM statistics",
            source,
        })
    }
}

fn read_window(
    file: &File,
    start: u64,
    window: &mut [u8],
    at: &[Option<usize>; COUNT],
) -> io::Result<StatisticsValues> {
    file.read_exact_at(window, start)?;
    let value = |offset: usize| {
        u64::from_le_bytes(window[offset..offset + 8].try_into().expect("eight bytes"))
    };
    Ok(StatisticsValues { values: at.map(|offset| offset.map(value)) })
}

fn read_files(files: &[Option<PathBuf>; COUNT]) -> io::Result<StatisticsValues> {
    let mut values = [None; COUNT];
    for (value, path) in values.iter_mut().zip(files) {
        if let Some(path) = path {
            let mut text = [0; MAX_DIGITS];
            let length = File::open(path)?.read(&mut text)?;
            let number =
                str::from_utf8(&text[..length]).ok().and_then(|text| text.trim().parse().ok());
            *value = Some(number.ok_or(io::ErrorKind::InvalidData)?);
        }
    }
    Ok(StatisticsValues { values })
}

fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    let mut blob = vec![0; MAX_FILE];
    let mut length = 0;
    while length < blob.len() {
        match file.read_at(&mut blob[length..], length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    blob.truncate(length);
    Ok(blob)
}

fn no_debugfs(error: &io::Error) -> Unavailable {
    let missing = "KVM's exit counts (before Linux 5.14 they are in debugfs only)";
    match error.kind() {
        io::ErrorKind::PermissionDenied => Unavailable::new(missing, "run as root"),
        _ => Unavailable::new(missing, format!("as root, mount -t debugfs debugfs {DEBUGFS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugfs_values_are_read_and_missing_ones_are_none() {
        let root = std::env::temp_dir().join(format!("drbench-debugfs-{}", std::process::id()));
        std::fs::create_dir_all(root.join("7-4")).expect("a temporary directory");
        std::fs::write(root.join("7-4/exits"), "1234\n").expect("a file");
        let wanted = [Statistic::Exits, Statistic::IoExits];
        let mut statistics = Statistics::open_debugfs(&root, "7-4", &wanted).expect("one is there");
        let before = statistics.read().expect("a number");
        std::fs::write(root.join("7-4/exits"), "1240\n").expect("a file");
        let grown = statistics.read().expect("a number").since(&before);
        let absent = Statistics::open_debugfs(&root, "8-4", &wanted).expect_err("no such VM");
        std::fs::remove_dir_all(&root).expect("the same directory");
        assert_eq!(before.get(Statistic::Exits), Some(1234));
        assert_eq!(grown.get(Statistic::Exits), Some(6));
        assert_eq!(grown.get(Statistic::IoExits), None);
        assert!(absent.remedy.contains("debugfs"));
    }
}
