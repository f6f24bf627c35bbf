//! Bochs: where it is, and every option it is started with.

use super::find::{EmulatorVersion, FindError, Found, Sought};
use super::{Clock, Machine};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// What the search looks for.
const BOCHS: Sought = Sought {
    name: "Bochs",
    program: "bochs",
    variable: "DRBENCH_BOCHS",
    cached: "bochs/bin/bochs",
    minimum: EmulatorVersion { major: 3, minor: 0 },
    because: "Bochs 2.7 stops at a debugger's prompt and takes four times as long for a boot",
    ask: |program| {
        let mut command = Command::new(program);
        command.arg("--help");
        command
    },
    parse: |output| {
        let line = output.lines().map(str::trim).find(|line| line.starts_with(BANNER))?;
        Some((EmulatorVersion::after(line, BANNER)?, line.to_owned()))
    },
};

/// How it introduces itself.
const BANNER: &str = "Bochs x86 Emulator ";

/// How the version of one with our patches ends (ci/lab/bochs).
const PATCHED: &str = "+drbench.3";

/// Instructions per second of emulated time, which is also the frequency of the time-stamp counter:
/// the fewer timer ticks fall into a boot, the faster it is, and the longer every delay loop takes.
pub(super) const INSTRUCTIONS_PER_SECOND: u64 = 200_000_000;

/// Lines of its configuration, the same for every machine. Files are in the folder that it runs in.
/// Only panics are told, on stderr.
const CONFIGURATION: &[&str] = &[
    "config_interface: textconfig",
    "display_library: nogui",
    "pci: enabled=0",
    "vga: extension=none, update_freq=1, realtime=0",
    "vgaromimage: file=video-rom",
    "com1: enabled=1, mode=file, dev=com1",
    "com2: enabled=1, mode=file, dev=com2",
    "panic: action=fatal",
    "error: action=ignore",
    "info: action=ignore",
    "debug: action=ignore",
];

/// A Bochs that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bochs {
    found: Found,
}

impl Bochs {
    /// Finds Bochs: `explicit` if given, else `$DRBENCH_BOCHS`, else the one that `ci/setup` built
    /// into the cache (none: [`Cache::default_dir`](crate::cache::Cache::default_dir)), else the
    /// installed one. One named by the user is the only one tried.
    ///
    /// # Errors
    /// If there is none, or it is older than 3.0. Always [`crate::Blame::Environment`].
    pub fn find(explicit: Option<&Path>, cache: Option<&Path>) -> Result<Self, FindError> {
        Ok(Self { found: BOCHS.find(explicit, cache)? })
    }

    /// The program's path.
    pub fn program(&self) -> &Path {
        &self.found.program
    }

    /// Its version.
    pub fn version(&self) -> EmulatorVersion {
        self.found.version
    }

    /// The line of its banner, for the record.
    pub fn version_line(&self) -> &str {
        &self.found.version_line
    }

    /// Whether it has our patches: its time stamps are exact, and it saves and resumes machines.
    pub fn is_the_labs(&self) -> bool {
        self.version_line().ends_with(PATCHED)
    }

    /// Program and arguments of a machine, except those about what is in its memory. It has to run in
    /// the folder with its files.
    ///
    /// # Errors
    /// If the program's path is relative and there is no current folder.
    pub fn command_line(&self, machine: &Machine, clock: Clock) -> std::io::Result<Vec<OsString>> {
        let sync = match clock {
            Clock::Instructions => "none",
            Clock::Wall => "realtime",
        };
        let memory = machine.memory_mib;
        let machine = [
            format!("memory: guest={memory}, host={memory}, block_size=128"),
            format!(
                "cpu: model={}, count=1, ips={INSTRUCTIONS_PER_SECOND}, reset_on_triple_fault=1, \
                 ignore_bad_msrs=1",
                machine.cpu
            ),
            // 2026-01-01, as everywhere in the lab.
            format!("clock: sync={sync}, time0=1767225600"),
        ];
        let mut words: Vec<OsString> = vec![std::path::absolute(self.program())?.into()];
        // Without a file, even an empty one, it would ask.
        words.extend(["-q", "-f", "/dev/null"].map(OsString::from));
        words.extend(CONFIGURATION.iter().map(OsString::from));
        words.extend(machine.map(OsString::from));
        Ok(words)
    }

    /// Program and arguments of a machine that goes on from where it was saved; all else stands there.
    /// It has to run in the folder with its files.
    ///
    /// # Errors
    /// As above.
    pub fn resume_command_line(&self, saved: &str) -> std::io::Result<Vec<OsString>> {
        let program = std::path::absolute(self.program())?;
        Ok(vec![program.into(), "-q".into(), "-r".into(), saved.into()])
    }
}
