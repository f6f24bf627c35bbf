//! Mounting and module loading.

use super::module_file::{without_data_symbols, without_signature};
use super::{GuestError, kernel_log};
use nix::errno::Errno;
use nix::kmod::init_module;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::path::{Path, PathBuf};

/// A file system to mount.
struct Mount {
    file_system: &'static str,
    target: &'static str,
    /// Without it nothing works. The others only offer counters, whose absence is told where they
    /// are read.
    needed: bool,
}

/// In the order in which they are mounted.
const MOUNTS: [Mount; 5] = [
    Mount { file_system: "proc", target: "/proc", needed: true },
    Mount { file_system: "sysfs", target: "/sys", needed: true },
    Mount { file_system: "devtmpfs", target: "/dev", needed: true },
    Mount { file_system: "debugfs", target: "/sys/kernel/debug", needed: false },
    Mount { file_system: "tracefs", target: "/sys/kernel/tracing", needed: false },
];

/// Mounts everything in [`MOUNTS`].
pub(super) fn mount_all() -> Result<(), GuestError> {
    for Mount { file_system, target, needed } in MOUNTS {
        let mounted =
            mount(Some(file_system), target, Some(file_system), MsFlags::empty(), None::<&str>);
        match mounted {
            // CONFIG_DEVTMPFS_MOUNT does not reach an initramfs, but a kernel may be patched to.
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(_) if !needed => {}
            Err(errno) => return Err(GuestError::Mount { file_system, target, errno }),
        }
    }
    Ok(())
}

/// Loads every module in `folder`; the file names sort in load order.
pub(super) fn load_modules(folder: &Path) -> Result<(), GuestError> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(GuestError::file("list", folder))?;
    paths.sort();
    paths.iter().try_for_each(|path| load_module(path))
}

fn load_module(path: &Path) -> Result<(), GuestError> {
    let mut file = fs::read(path).map_err(GuestError::file("read", path))?;
    if !signatures_are_enforced() {
        file.truncate(without_signature(&file).len());
        without_data_symbols(&mut file);
    }
    match init_module(&file, c"") {
        // Built into this kernel.
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(GuestError::Module {
            name: name(path),
            errno,
            complaints: kernel_log::last_complaints(),
        }),
    }
}

/// Whether this kernel refuses modules without a valid signature. Where it does not say that it
/// would take them, they are left as they are.
fn signatures_are_enforced() -> bool {
    fs::read_to_string("/sys/module/module/parameters/sig_enforce")
        .map_or(true, |value| value.trim() != "N")
}

/// `kvm` for `/modules/02-kvm.ko`.
fn name(path: &Path) -> String {
    let file = path.file_stem().unwrap_or_default().to_string_lossy();
    file.split_once('-').map_or(&*file, |(_, name)| name).to_owned()
}
