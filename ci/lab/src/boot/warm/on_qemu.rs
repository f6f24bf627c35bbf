//! Saving and resuming on QEMU: the guest stops itself, and we do the rest over QMP.
//!
//! The machine's memory is a file. While the first run boots it lies in the host's own memory, and is
//! copied into the snapshot; every later run maps that copy privately, so that nothing is read before
//! it is needed.

use super::super::process::Process;
use super::super::qmp::{Qmp, QmpError};
use super::super::receive::Receiver;
use super::super::snapshot::{self, Snapshot};
use super::super::stage::Stage;
use super::super::{Boot, BootError, Console, Files, POLL, Stopped};
use super::{Detour, Ended, New, SPARE_BYTES, WarmRun, free_bytes};
use crate::emulator::Qemu;
use serde_json::json;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long an emulator that broke off may take to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// QEMU's event when the guest has stopped itself.
const STOPPED_ITSELF: &str = "GUEST_PANICKED";

/// A file system in the host's memory (`shm_open(3)`).
const IN_MEMORY: &str = "/dev/shm";

impl WarmRun<'_> {
    /// Boots to the stop, saves the machine, and goes on with the job; `ended` tells how that was.
    pub(super) fn first_on_qemu(
        &self,
        qemu: &Qemu,
        New { snapshot, key }: New<'_>,
        ended: &mut Option<Ended>,
        on_frame: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Detour> {
        let files = self.boot.prepare(self.emulator)?;
        let (memory, name) = memory_file(self.boot, snapshot)?.into_parts();
        let command_line = self.boot.qemu_command_line(qemu, &files, Stage::Save(&name));
        let (mut process, line) = Process::start_with_line(&command_line, &files.complaints)?;
        let mut qmp =
            Qmp::open(line).map_err(|error| self.last_words(&mut process, &files, error))?;
        // QEMU has it open, as we have: from now on nobody can leave it behind.
        drop(name);
        let mut receiver = Receiver::open(&files.frames)?;
        let stopped = self.boot.watch(
            self.started,
            &mut process,
            &mut receiver,
            &mut |_| (),
            // A broken line shows as the emulator's end.
            &mut || matches!(qmp.event(), Ok(Some(event)) if event == STOPPED_ITSELF),
        )?;
        if !matches!(stopped, Stopped::Itself) {
            process.stop();
            let console = Console::read(&files.console);
            return match self.boot.failure(stopped, &files, console) {
                Some(error) => Err(error.into()),
                None => Err(Detour::Unsaved("the guest ended before it got its job".to_owned())),
            };
        }
        let saved = save(&mut qmp, &memory, snapshot, &files);
        // Whatever came of that, the machine goes on.
        qmp.command("cont", &json!({})).map_err(|error| Detour::Unsaved(error.to_string()))?;
        // The frames wait in their file.
        let sealed = saved.and_then(|()| Ok(snapshot.seal(key)?));
        *ended = Some(self.follow(process, &mut receiver, &files, command_line, on_frame));
        sealed
    }

    /// Does the job in a machine resumed from `snapshot`.
    pub(super) fn resume_on_qemu(
        &self,
        qemu: &Qemu,
        snapshot: &Snapshot,
        files: &Files,
        receiver: &mut Receiver,
        on_frame: &mut dyn FnMut(&[u8]),
    ) -> Ended {
        let command_line = self.boot.qemu_command_line(qemu, files, Stage::Resume(snapshot));
        let (mut process, line) = Process::start_with_line(&command_line, &files.complaints)?;
        let running = Qmp::open(line).and_then(|mut qmp| {
            qmp.migrate("migrate-incoming", &snapshot.devices())?;
            qmp.command("cont", &json!({}))?;
            Ok(qmp)
        });
        // Kept until the end: QEMU need not notice that nobody listens.
        let _qmp = running.map_err(|error| self.last_words(&mut process, files, error))?;
        self.follow(process, receiver, files, command_line, on_frame)
    }

    fn follow(
        &self,
        process: Process,
        receiver: &mut Receiver,
        files: &Files,
        command_line: Vec<std::ffi::OsString>,
        on_frame: &mut dyn FnMut(&[u8]),
    ) -> Ended {
        Ok(self.boot.follow(self.started, process, receiver, files, command_line, on_frame)?)
    }

    /// Why the emulator does not talk: its own words, where it is ending with some.
    fn last_words(&self, process: &mut Process, files: &Files, otherwise: QmpError) -> BootError {
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until {
            if let Ok(Some(exit)) = process.exited() {
                let console = Console::default();
                return BootError::exited(self.boot, exit, &files.complaints, console);
            }
            std::thread::sleep(POLL);
        }
        otherwise.into()
    }
}

/// Saves a stopped machine.
fn save(qmp: &mut Qmp, memory: &File, snapshot: &Snapshot, files: &Files) -> Result<(), Detour> {
    let unsaved = |error: QmpError| Detour::Unsaved(error.to_string());
    qmp.migrate("migrate", &snapshot.devices()).map_err(unsaved)?;
    snapshot::copy_memory(memory, &snapshot.memory())
        .map_err(BootError::io("write the machine's memory to", &snapshot.memory()))?;
    fs::copy(&files.console, snapshot.console())
        .map_err(BootError::io("keep the console's log as", &snapshot.console()))?;
    Ok(())
}

/// Where a machine's memory lies while it boots: in the host's memory, where a file system there has
/// room for it; else beside the snapshot's files.
fn memory_file(boot: &Boot, snapshot: &Snapshot) -> Result<tempfile::NamedTempFile, Detour> {
    let needed = (u64::from(boot.machine.memory_mib) << 20) + SPARE_BYTES;
    let create = |folder: &Path| -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix("drbench-memory-").tempfile_in(folder)
    };
    let in_memory = PathBuf::from(IN_MEMORY);
    if free_bytes(&in_memory).is_ok_and(|free| free >= needed)
        && let Ok(file) = create(&in_memory)
    {
        return Ok(file);
    }
    let folder = snapshot.folder().parent().unwrap_or(snapshot.folder());
    Ok(create(folder).map_err(BootError::io("create a file in", folder))?)
}
