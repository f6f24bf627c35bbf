//! Runs that begin where an earlier boot was saved: after set-up, before the job is known.
//!
//! The machine's memory is a file that the boot to the stop shares and every later run maps
//! privately, so neither saving nor resuming copies it. The first run of a key also goes on from
//! what it saved: every run takes the same way and gives the same figures.

use super::process::Process;
use super::qmp::Qmp;
use super::receive::Receiver;
use super::snapshot::{self, Snapshot};
use super::stage::Stage;
use super::{Boot, BootError, Console, Files, Outcome, POLL, Stopped};
use crate::cache::{Cache, CacheError, Digest};
use crate::emulator::{Emulator, Qemu};
use crate::fault::{Blame, Blamed};
use crate::initramfs::Errand;
use nix::sys::statvfs::statvfs;
use serde_json::json;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Free space that a disk must have besides a machine's memory: a full one would kill the emulator.
const SPARE_BYTES: u64 = 64 << 20;

/// How long an emulator that broke off may take to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// QEMU's event when the guest has stopped itself.
const STOPPED_ITSELF: &str = "GUEST_PANICKED";

/// Why a run could not go through a snapshot.
pub(super) enum Detour {
    /// The kernel failed on the way there: that is the run's result.
    Failed(Box<BootError>),
    /// Something else; a cold boot may do.
    Unsaved(String),
}

impl From<BootError> for Detour {
    fn from(error: BootError) -> Self {
        match (&error, error.blame()) {
            // The guest's own words, or its end, would be the same in a cold boot.
            (BootError::Init { .. } | BootError::InitDied { .. }, _) | (_, Blame::Kernel) => {
                Self::Failed(Box::new(error))
            }
            _ => Self::Unsaved(error.to_string()),
        }
    }
}

impl From<CacheError> for Detour {
    fn from(error: CacheError) -> Self {
        Self::Unsaved(error.to_string())
    }
}

/// One run of a boot with snapshots.
pub(super) struct WarmRun<'a> {
    pub(super) boot: &'a Boot,
    pub(super) emulator: &'a Emulator,
    pub(super) qemu: &'a Qemu,
    pub(super) cache: &'a Cache,
    pub(super) started: Instant,
    /// What the user should know, although the run went on.
    pub(super) warnings: Vec<String>,
}

impl WarmRun<'_> {
    /// Finds or makes the snapshot, and does the job in a machine resumed from it.
    pub(super) fn run(&mut self, on_frame: &mut dyn FnMut(&[u8])) -> Result<Outcome, Detour> {
        let (snapshot, warm) = self.snapshot()?;
        let mut outcome = self.resume(&snapshot, on_frame)?;
        outcome.warm = warm;
        Ok(outcome)
    }

    /// A checked snapshot, and whether it was there already.
    fn snapshot(&mut self) -> Result<(Snapshot, bool), Detour> {
        let key = snapshot::key(self.boot, self.emulator)
            .map_err(|error| Detour::Unsaved(format!("cannot name the snapshot: {error}")))?;
        if let Some(snapshot) = self.existing(&key) {
            return Ok((snapshot, true));
        }
        // Who comes second waits and finds it: two boots at once would take as long.
        self.cache.dir(snapshot::KIND)?;
        let _lock = self.cache.lock(&format!("{}/{key}", snapshot::KIND))?;
        if let Some(snapshot) = self.existing(&key) {
            return Ok((snapshot, true));
        }
        let folder =
            self.cache.entry_or_fill(snapshot::KIND, &key, |folder| self.save(&key, folder))?;
        Ok((Snapshot::at(&folder), false))
    }

    /// The entry of this key, if it is there and whole. A damaged one is removed, with a warning.
    fn existing(&mut self, key: &Digest) -> Option<Snapshot> {
        let snapshot = Snapshot::at(&self.cache.entry(snapshot::KIND, key)?);
        match snapshot.check(key) {
            Ok(()) => Some(snapshot),
            Err(damage) => {
                self.discard(&snapshot, &damage.to_string());
                None
            }
        }
    }

    fn discard(&mut self, snapshot: &Snapshot, why: &str) {
        let folder = snapshot.folder();
        // Moved away first: another process finds it whole or not at all.
        let gone = folder.with_extension(format!("damaged-{}", std::process::id()));
        let removed = fs::rename(folder, &gone).and_then(|()| fs::remove_dir_all(&gone));
        let kept = match removed {
            Ok(()) => String::new(),
            Err(error) => format!("; it cannot be removed either: {error}"),
        };
        let folder = folder.display();
        self.warnings.push(format!("the snapshot {folder} is not used: {why}{kept}"));
    }

    /// Boots to the stop and saves the machine in `folder`.
    fn save(&self, key: &Digest, folder: &Path) -> Result<(), Detour> {
        self.room(folder)?;
        let snapshot = Snapshot::at(folder);
        let files = self.boot.prepare(Errand::Later)?;
        let command_line = self.boot.qemu_command_line(self.qemu, &files, Stage::Save(&snapshot));
        let (mut process, line) = Process::start_with_line(&command_line, &files.complaints)?;
        let mut receiver = Receiver::open(&files.frames)?;
        let mut qmp = match Qmp::open(line) {
            Ok(qmp) => qmp,
            Err(error) => return Err(self.ended(&mut process, &files, error.to_string())),
        };
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
        let devices = utf8(&snapshot.devices())?;
        qmp.migrate("migrate", &devices).map_err(|error| Detour::Unsaved(error.to_string()))?;
        process.stop();
        fs::copy(&files.console, snapshot.console())
            .map_err(BootError::io("keep the console's log as", &snapshot.console()))?;
        snapshot.seal(key)?;
        Ok(())
    }

    /// Does the job in a machine resumed from `snapshot`.
    fn resume(
        &mut self,
        snapshot: &Snapshot,
        on_frame: &mut dyn FnMut(&[u8]),
    ) -> Result<Outcome, Detour> {
        let files = self.boot.prepare(Errand::Later)?;
        snapshot::copy_console(snapshot, &files.console)
            .map_err(BootError::io("write", &files.console))?;
        let command_line = self.boot.qemu_command_line(self.qemu, &files, Stage::Resume(snapshot));
        let (mut process, line) = Process::start_with_line(&command_line, &files.complaints)?;
        let devices = utf8(&snapshot.devices())?;
        let running = Qmp::open(line).and_then(|mut qmp| {
            qmp.migrate("migrate-incoming", &devices)?;
            qmp.command("cont", &json!({}))?;
            Ok(qmp)
        });
        // Kept until the end: QEMU need not notice that nobody listens.
        let _qmp = match running {
            Ok(qmp) => qmp,
            Err(error) => {
                let detour = self.ended(&mut process, &files, error.to_string());
                self.discard(snapshot, "the emulator does not resume it");
                return Err(detour);
            }
        };
        let outcome = self.boot.follow(self.started, process, &files, command_line, on_frame)?;
        Ok(outcome)
    }

    /// Why the emulator does not talk: its own words, where it is ending with some.
    fn ended(&self, process: &mut Process, files: &Files, otherwise: String) -> Detour {
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until {
            if let Ok(Some(exit)) = process.exited() {
                let console = Console::default();
                let error = BootError::exited(self.boot, exit, &files.complaints, console);
                return Detour::Unsaved(error.to_string());
            }
            std::thread::sleep(POLL);
        }
        Detour::Unsaved(otherwise)
    }

    fn room(&self, folder: &Path) -> Result<(), Detour> {
        let needed = (u64::from(self.boot.machine.memory_mib) << 20) + SPARE_BYTES;
        let disk = statvfs(folder).map_err(|errno| {
            CacheError::io("ask for free space at", folder)(io::Error::from(errno))
        })?;
        let free = disk.blocks_available() * disk.fragment_size();
        if free < needed {
            let folder = self.cache.root().display();
            return Err(Detour::Unsaved(format!(
                "the disk of {folder} has {} MiB left, and {} MiB are needed",
                free >> 20,
                needed >> 20
            )));
        }
        Ok(())
    }
}

/// QEMU is told file names in JSON.
fn utf8(path: &Path) -> Result<String, Detour> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Detour::Unsaved(format!("the name {} is not UTF-8", path.display())))
}
