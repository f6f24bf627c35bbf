//! Booting in Bochs: what is written into the run's folder, and the command line.

mod memory;
mod rom;

pub use memory::MemoryError;

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
const ROM: &str = "rom";
const VIDEO_ROM: &str = "video-rom";
const MEMORY: &str = "memory";
const CONSOLE: &str = "com1";
const FRAMES: &str = "com2";

/// A video ROM there must be; an empty one will do.
const VIDEO_ROM_BYTES: usize = 2048;

/// Writes what Bochs reads. Returns the command line.
pub(super) fn prepare(
    boot: &Boot,
    bochs: &Bochs,
    files: &Files,
) -> Result<Vec<OsString>, BootError> {
    let folder = files.folder.path();
    let at = |name: &str| folder.join(name);
    let read = |path: &Path| fs::read(path).map_err(BootError::io("read", path));
    let kernel = read(&boot.image)?;
    let initramfs = read(&files.initramfs)?;
    let image = File::create(at(MEMORY)).map_err(BootError::io("create", &at(MEMORY)))?;
    let words = boot.machine.kernel_command_line(&boot.append);
    let memory = u64::from(boot.machine.memory_mib) << 20;
    let layout = memory::write(&image, &kernel, &boot.image, &initramfs, &words, memory)?;
    let put = |name: &str, bytes: &[u8]| {
        fs::write(at(name), bytes).map_err(BootError::io("write", &at(name)))
    };
    put(ROM, &rom::image(&layout))?;
    put(VIDEO_ROM, &[0; VIDEO_ROM_BYTES])?;
    for (name, file) in [(CONSOLE, &files.console), (FRAMES, &files.frames)] {
        let target = std::path::absolute(file).map_err(BootError::io("find", file))?;
        symlink(target, at(name)).map_err(BootError::io("create", &at(name)))?;
    }

    let mut words: Vec<OsString> = vec!["env".into(), "-C".into(), folder.into()];
    let command_line = bochs.command_line(&boot.machine, boot.clock);
    words.extend(command_line.map_err(BootError::io("find", bochs.program()))?);
    words.push(format!("romimage: file={ROM}, address={:#x}", rom::ADDRESS).into());
    words.push(format!("optramimage1: file={MEMORY}, address={:#x}", layout.base).into());
    Ok(words)
}
