//! The emulator's process: it never outlives ours.

use super::BootError;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// The kernel kills the emulator when the thread that started it dies, however it dies: the
/// parent-death signal of prctl(2) survives exec. The shell closes the one gap there is: a parent
/// that died before setpriv asked for the signal is no longer the parent.
const LEASH: [&str; 6] =
    ["setpriv", "--pdeathsig", "KILL", "sh", "-c", r#"test "$PPID" = "$0" && exec "$@""#];

/// A running emulator. Dropping it kills and reaps it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

/// How an emulator ended by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit(ExitStatus);

impl Exit {
    /// It ended as after a guest's power-off or reset.
    pub(super) fn orderly(self) -> bool {
        self.0.success()
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0.signal(), self.0.code()) {
            (Some(signal), _) => match nix::sys::signal::Signal::try_from(signal) {
                Ok(signal) => write!(f, "was killed by {signal}"),
                Err(_) => write!(f, "was killed by signal {signal}"),
            },
            (None, Some(code)) => write!(f, "ended with status {code}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

impl Process {
    /// Starts `command_line` from this thread, which has to live as long as the emulator shall.
    /// A process group of its own keeps the terminal's Ctrl-C for us: we die, and it with us.
    pub(super) fn start(command_line: &[OsString], stderr: &Path) -> Result<Self, BootError> {
        Self::spawn(command_line, stderr, Stdio::null(), Stdio::null())
    }

    /// The same, with a line to its standard input and output.
    pub(super) fn start_with_line(
        command_line: &[OsString],
        stderr: &Path,
    ) -> Result<(Self, UnixStream), BootError> {
        let spawn = |source| BootError::Spawn { source };
        let (ours, theirs) = UnixStream::pair().map_err(spawn)?;
        let input = OwnedFd::from(theirs.try_clone().map_err(spawn)?);
        let output = OwnedFd::from(theirs);
        Ok((Self::spawn(command_line, stderr, input.into(), output.into())?, ours))
    }

    fn spawn(
        command_line: &[OsString],
        stderr: &Path,
        input: Stdio,
        output: Stdio,
    ) -> Result<Self, BootError> {
        let complaints = File::create(stderr).map_err(BootError::io("create", stderr))?;
        let child = Command::new(LEASH[0])
            .args(&LEASH[1..])
            .arg(std::process::id().to_string())
            .args(command_line)
            .stdin(input)
            .stdout(output)
            .stderr(complaints)
            .process_group(0)
            .spawn()
            .map_err(|source| BootError::Spawn { source })?;
        Ok(Self { child })
    }

    /// How it ended, if it has.
    pub(super) fn exited(&mut self) -> Result<Option<Exit>, BootError> {
        let status = self.child.try_wait().map_err(|source| BootError::Spawn { source })?;
        Ok(status.map(Exit))
    }

    /// Kills and reaps it.
    pub(super) fn stop(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
