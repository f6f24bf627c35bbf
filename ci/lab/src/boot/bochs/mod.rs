//! Booting in Bochs: what is written into the run's folder, and the command line.

mod memory;
mod rom;

pub use memory::MemoryError;

use super::snapshot::Snapshot;
use super::{Boot, BootError, Files};
use crate::emulator::Bochs;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

/// What Bochs says when the machine was switched off, or reset (see [`rom`]).
pub(super) const SWITCHED_OFF: &str = "Shutdown port: shutdown requested";

/// Names in the run's folder, which is where Bochs runs: no path of the user's gets into its
/// configuration, whose syntax has no quotes for them.
pub(super) const ROM: &str = "rom";
const VIDEO_ROM: &str = "video-rom";
const MEMORY: &str = "memory";
const CONSOLE: &str = "com1";
const FRAMES: &str = "com2";
/// Where the lab's Bochs saves the machine, if this is there (ci/lab/bochs/saved-machines.patch).
const SAVE: &str = "save";
/// Where it finds the saved one.
const SAVED: &str = "saved";

/// A video ROM there must be; an empty one will do.
const VIDEO_ROM_BYTES: usize = 2048;

/// Writes what Bochs reads when it boots, and is saved on its way if there is a place for it. Returns
/// the command line.
pub(super) fn prepare(
    boot: &Boot,
    bochs: &Bochs,
    files: &Files,
    save: Option<&Snapshot>,
) -> Result<Vec<OsString>, BootError> {
    let at = |name: &str| files.folder.path().join(name);
    let read = |path: &Path| fs::read(path).map_err(BootError::io("read", path));
    let kernel = read(&boot.image)?;
    let initramfs = read(&files.initramfs)?;
    let image = File::create(at(MEMORY)).map_err(BootError::io("create", &at(MEMORY)))?;
    let words = boot.machine.kernel_command_line(&boot.append);
    let memory = u64::from(boot.machine.memory_mib) << 20;
    let layout = memory::write(&image, &kernel, &boot.image, &initramfs, &words, memory)?;
    fs::write(at(ROM), rom::image(&layout)).map_err(BootError::io("write", &at(ROM)))?;
    if let Some(snapshot) = save {
        link(snapshot.folder(), &at(SAVE))?;
    }
    prepare_devices(files)?;

    let mut words = in_folder(files);
    let command_line = bochs.command_line(&boot.machine, boot.clock);
    words.extend(command_line.map_err(BootError::io("find", bochs.program()))?);
    words.push(format!("romimage: file={ROM}, address={:#x}", rom::ADDRESS).into());
    words.push(format!("optramimage1: file={MEMORY}, address={:#x}", layout.base).into());
    Ok(words)
}

/// The same for a machine that goes on from a snapshot.
pub(super) fn prepare_resume(
    bochs: &Bochs,
    files: &Files,
    snapshot: &Snapshot,
) -> Result<Vec<OsString>, BootError> {
    let at = |name: &str| files.folder.path().join(name);
    link(&snapshot.rom(), &at(ROM))?;
    link(snapshot.folder(), &at(SAVED))?;
    prepare_devices(files)?;
    let mut words = in_folder(files);
    let command_line = bochs.resume_command_line(SAVED);
    words.extend(command_line.map_err(BootError::io("find", bochs.program()))?);
    Ok(words)
}

/// What the devices read and write.
fn prepare_devices(files: &Files) -> Result<(), BootError> {
    let at = |name: &str| files.folder.path().join(name);
    fs::write(at(VIDEO_ROM), [0; VIDEO_ROM_BYTES])
        .map_err(BootError::io("write", &at(VIDEO_ROM)))?;
    link(&files.console, &at(CONSOLE))?;
    link(&files.frames, &at(FRAMES))
}

fn link(to: &Path, name: &Path) -> Result<(), BootError> {
    let target = std::path::absolute(to).map_err(BootError::io("find", to))?;
    symlink(target, name).map_err(BootError::io("create", name))
}

/// The beginning of a command line that runs in the run's folder.
fn in_folder(files: &Files) -> Vec<OsString> {
    vec!["env".into(), "-C".into(), files.folder.path().into()]
}
