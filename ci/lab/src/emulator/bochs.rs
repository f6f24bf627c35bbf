//! Bochs: where it is.

use super::find::{EmulatorVersion, FindError, Found, Sought};
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

    /// Program and arguments for a configuration file.
    pub fn command_line(&self, configuration: &Path) -> Vec<OsString> {
        let words = [self.program().as_os_str(), "-q".as_ref(), "-f".as_ref()];
        let mut words: Vec<OsString> = words.map(OsString::from).into();
        words.push(configuration.into());
        words
    }
}
