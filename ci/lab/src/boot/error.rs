//! How a boot fails, and whose fault it is.

use super::{Boot, Console, MemoryError, bochs, process::Exit, qmp::QmpError};
use crate::emulator::MachineKind;
use crate::fault::{Blame, Blamed};
use crate::frame::{Fatal, FatalKind, FrameError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a boot did not reach its end marker.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The emulator given cannot be the machine asked for.
    #[error("{program} cannot be a {kind} machine: another emulator is needed", program = program.display())]
    WrongEmulator {
        /// The program.
        program: PathBuf,
        /// The machine.
        kind: MachineKind,
    },
    /// Bochs cannot be given this kernel.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A file of the run.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File {
        /// What was tried, such as "read".
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The emulator's process could not be made.
    #[error(
        "cannot start the emulator: {source}; setpriv (package util-linux), sh and env are needed on PATH"
    )]
    Spawn {
        /// What went wrong.
        source: io::Error,
    },
    /// A conversation with the emulator broke off.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// The emulator failed, the guest did not.
    #[error("the emulator {exit}, before the guest's end: {complaint}\n{console}")]
    Emulator {
        /// How it ended, such as "was killed by SIGKILL".
        exit: String,
        /// What it wrote to stderr.
        complaint: String,
        /// What the kernel wrote.
        console: Console,
    },
    /// The kernel panicked.
    #[error("the kernel panicked: {line}\n{console}")]
    Panicked {
        /// The kernel.
        image: PathBuf,
        /// The console's line about it.
        line: String,
        /// What the kernel wrote.
        console: Console,
    },
    /// PID 1 ended without a word, which the kernel answers with a panic.
    #[error("the init ended by itself, and the kernel panicked for it: {line}\n{console}")]
    InitDied {
        /// The console's line about it.
        line: String,
        /// What the kernel wrote.
        console: Console,
    },
    /// The kernel neither ended nor panicked in time.
    #[error("the kernel did not boot, or hung: no end after {limit:?}\n{console}")]
    Hung {
        /// The kernel.
        image: PathBuf,
        /// The time limit.
        limit: Duration,
        /// What the kernel wrote.
        console: Console,
    },
    /// The machine was reset or powered off, with no end marker and no panic.
    #[error("the kernel reset or powered off the machine before the run's end\n{console}")]
    Reset {
        /// The kernel.
        image: PathBuf,
        /// What the kernel wrote.
        console: Console,
    },
    /// The init gave up and said why.
    #[error("{fatal}\n{console}")]
    Init {
        /// Its words.
        fatal: Fatal,
        /// What the kernel wrote.
        console: Console,
    },
    /// Frames were lost or damaged on their way.
    #[error("the guest ended, but its results are incomplete: {0}")]
    Frames(FrameError),
}

impl Blamed for BootError {
    fn blame(&self) -> Blame {
        match self {
            Self::Panicked { .. } | Self::Hung { .. } | Self::Reset { .. } => Blame::Kernel,
            Self::Init { fatal, .. } => match fatal.kind {
                FatalKind::Module | FatalKind::SetUp => Blame::Kernel,
                FatalKind::Program => Blame::Environment,
            },
            Self::WrongEmulator { .. }
            | Self::Memory(_)
            | Self::File { .. }
            | Self::Spawn { .. }
            | Self::Qmp(_)
            | Self::Emulator { .. }
            | Self::InitDied { .. }
            | Self::Frames(_) => Blame::Environment,
        }
    }
}

impl BootError {
    /// For `map_err`: what was tried, on which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// The emulator ended and no end marker came.
    pub(super) fn exited(boot: &Boot, exit: Exit, stderr: &Path, console: Console) -> Self {
        let complaint = std::fs::read(stderr).unwrap_or_default();
        let complaint = String::from_utf8_lossy(&complaint);
        let switched_off = exit.orderly() || complaint.contains(bochs::SWITCHED_OFF);
        if switched_off || console.panic.is_some() {
            return Self::panicked(boot, console)
                .unwrap_or_else(|console| Self::Reset { image: boot.image().to_owned(), console });
        }
        // QEMU warns of every CPU feature it leaves out, at every start.
        let said: Vec<_> = complaint.lines().filter(|line| !line.contains(": warning: ")).collect();
        let complaint =
            if said.is_empty() { "it said nothing".to_owned() } else { said.join("; ") };
        Self::Emulator { exit: exit.to_string(), complaint, console }
    }

    /// The time is up. A kernel that panicked and then hung panicked.
    pub(super) fn hung(boot: &Boot, console: Console) -> Self {
        Self::panicked(boot, console).unwrap_or_else(|console| Self::Hung {
            image: boot.image().to_owned(),
            limit: boot.time_limit,
            console,
        })
    }

    /// The panic on the console, or the console back if there is none.
    fn panicked(boot: &Boot, console: Console) -> Result<Self, Console> {
        match console.panic.clone() {
            Some(line) if console.init_died() => Ok(Self::InitDied { line, console }),
            Some(line) => Ok(Self::Panicked { image: boot.image().to_owned(), line, console }),
            None => Err(console),
        }
    }
}
