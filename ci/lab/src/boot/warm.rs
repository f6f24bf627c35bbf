//! Runs that begin where an earlier boot was saved: after set-up, before the job is known.
//!
//! The first run of a key boots, is saved on its way, and goes on: saving takes a moment, and a second
//! emulator would have to learn the kernel's code anew. Later runs resume what was saved, and do the
//! same from there, instruction by instruction. How a machine is saved and resumed is the emulator's
//! business: [`on_qemu`], [`on_bochs`].

mod on_bochs;
mod on_qemu;

use super::receive::Receiver;
use super::snapshot::{self, Snapshot};
use super::{Boot, BootError, Outcome};
use crate::cache::{Cache, CacheError, Digest};
use crate::emulator::Emulator;
use crate::fault::{Blame, Blamed};
use nix::sys::statvfs::statvfs;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

/// Free space that a disk must have besides a machine's memory: a full one would kill the emulator.
const SPARE_BYTES: u64 = 64 << 20;

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
    pub(super) cache: &'a Cache,
    pub(super) started: Instant,
    /// What the user should know, although the run went on.
    pub(super) warnings: Vec<String>,
}

/// A snapshot to be made, and the key it is sealed with.
#[derive(Clone, Copy)]
struct New<'a> {
    snapshot: &'a Snapshot,
    key: &'a Digest,
}

/// How a run with its job ended.
type Ended = Result<Outcome, Box<BootError>>;

impl WarmRun<'_> {
    /// Does the job in a machine resumed from a snapshot; if there is none, in one that boots, and
    /// is saved on its way.
    pub(super) fn run(&mut self, on_frame: &mut dyn FnMut(&[u8])) -> Result<Outcome, Detour> {
        let key = snapshot::key(self.boot, self.emulator);
        if let Some(snapshot) = self.existing(&key) {
            return self.resume(&snapshot, on_frame);
        }
        // Who comes second waits and finds it: two boots at once would take as long.
        self.cache.dir(snapshot::KIND)?;
        let lock = self.cache.lock(&format!("{}/{key}", snapshot::KIND))?;
        match self.existing(&key) {
            Some(snapshot) => {
                drop(lock);
                self.resume(&snapshot, on_frame)
            }
            None => self.first(&key, on_frame),
        }
    }

    /// Boots, saves the machine as the entry of this key, and does the job in it.
    fn first(&mut self, key: &Digest, on_frame: &mut dyn FnMut(&[u8])) -> Result<Outcome, Detour> {
        let mut ended: Option<Ended> = None;
        let saved = self.cache.entry_or_fill(snapshot::KIND, key, |folder| -> Result<(), Detour> {
            let snapshot = Snapshot::at(folder);
            self.room(folder)?;
            let new = New { snapshot: &snapshot, key };
            match self.emulator {
                Emulator::Qemu(qemu) => self.first_on_qemu(qemu, new, &mut ended, on_frame),
                Emulator::Bochs(bochs) => self.first_on_bochs(bochs, new, &mut ended, on_frame),
            }
        });
        match (ended, saved) {
            (Some(ended), saved) => {
                if let (Ok(_), Err(Detour::Unsaved(why))) = (&ended, saved) {
                    let text = format!("the machine was not saved for later runs: {why}");
                    self.warnings.push(text);
                }
                ended.map_err(Detour::Failed)
            }
            (None, Err(detour)) => Err(detour),
            (None, Ok(_)) => Err(Detour::Unsaved("another process saved it".to_owned())),
        }
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

    /// Does the job in a machine resumed from `snapshot`.
    fn resume(
        &mut self,
        snapshot: &Snapshot,
        on_frame: &mut dyn FnMut(&[u8]),
    ) -> Result<Outcome, Detour> {
        let files = self.boot.prepare(self.emulator)?;
        snapshot::copy_console(snapshot, &files.console)
            .map_err(BootError::io("write", &files.console))?;
        let mut receiver = Receiver::open(&files.frames)?;
        let ended = match self.emulator {
            Emulator::Qemu(qemu) => {
                self.resume_on_qemu(qemu, snapshot, &files, &mut receiver, on_frame)
            }
            Emulator::Bochs(bochs) => {
                self.resume_on_bochs(bochs, snapshot, &files, &mut receiver, on_frame)
            }
        };
        match ended {
            Ok(outcome) => Ok(Outcome { warm: true, ..outcome }),
            // It did not even begin.
            Err(error) if receiver.data_frames() == 0 && does_not_run(&error) => {
                self.discard(snapshot, "the emulator does not resume it");
                Err(Detour::Unsaved(error.to_string()))
            }
            Err(error) => Err(Detour::Failed(error)),
        }
    }

    fn room(&self, folder: &Path) -> Result<(), Detour> {
        let needed = (u64::from(self.boot.machine.memory_mib) << 20) + SPARE_BYTES;
        let free = free_bytes(folder).map_err(CacheError::io("ask for free space at", folder))?;
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

/// What is left of the file system that this folder is on.
fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = statvfs(folder)?;
    Ok(disk.blocks_available() * disk.fragment_size())
}

/// Whether it is the emulator that failed.
fn does_not_run(error: &BootError) -> bool {
    matches!(error, BootError::Emulator { .. } | BootError::Spawn { .. } | BootError::Qmp(_))
}
