//! Saving and resuming on Bochs: it does both by itself, with the patch in ci/lab/bochs.

use super::super::process::Process;
use super::super::receive::Receiver;
use super::super::snapshot::Snapshot;
use super::super::{Files, bochs};
use super::{Detour, Ended, New, WarmRun};
use crate::emulator::Bochs;
use std::fs;
use std::io;

/// A line of Bochs' configuration that is not for a resumed machine: it has its memory already.
const MEMORY_IMAGE: &str = "optramimage1:";

impl WarmRun<'_> {
    /// Boots and does the job; Bochs saves the machine on its way. `ended` tells how it was.
    pub(super) fn first_on_bochs(
        &self,
        bochs: &Bochs,
        New { snapshot, key }: New<'_>,
        ended: &mut Option<Ended>,
        on_frame: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Detour> {
        let files = self.boot.prepare(self.emulator)?;
        let command_line = bochs::prepare(self.boot, bochs, &files, Some(snapshot))?;
        let process = Process::start(&command_line, &files.complaints)?;
        let mut receiver = Receiver::open(&files.frames)?;
        let (started, boot) = (self.started, self.boot);
        let outcome = boot.follow(started, process, &mut receiver, &files, command_line, on_frame);
        *ended = Some(outcome.map_err(Box::new));
        finish(snapshot, &files).map_err(|error| {
            Detour::Unsaved(format!(
                "Bochs did not save it in {}: {error}",
                snapshot.folder().display()
            ))
        })?;
        Ok(snapshot.seal(key)?)
    }

    /// Does the job in a machine resumed from `snapshot`.
    pub(super) fn resume_on_bochs(
        &self,
        bochs: &Bochs,
        snapshot: &Snapshot,
        files: &Files,
        receiver: &mut Receiver,
        on_frame: &mut dyn FnMut(&[u8]),
    ) -> Ended {
        let command_line = bochs::prepare_resume(bochs, files, snapshot)?;
        let process = Process::start(&command_line, &files.complaints)?;
        Ok(self.boot.follow(self.started, process, receiver, files, command_line, on_frame)?)
    }
}

/// Adds what Bochs leaves out, and takes out what a resumed machine must not find.
fn finish(snapshot: &Snapshot, files: &Files) -> io::Result<()> {
    let on_console: usize = fs::read_to_string(snapshot.folder().join("whole"))?
        .trim()
        .parse()
        .map_err(io::Error::other)?;
    let mut console = fs::read(&files.console)?;
    console.truncate(on_console);
    fs::write(snapshot.console(), console)?;
    fs::copy(files.folder.path().join(bochs::ROM), snapshot.rom())?;
    let path = snapshot.folder().join("config");
    let config = fs::read_to_string(&path)?;
    let lines = config.lines().filter(|line| !line.starts_with(MEMORY_IMAGE));
    fs::write(&path, lines.flat_map(|line| [line, "\n"]).collect::<String>())
}
