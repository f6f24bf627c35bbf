//! Mounting and module loading.

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
    let file = fs::read(path).map_err(GuestError::file("read", path))?;
    let module = if signatures_are_enforced() { &file } else { without_signature(&file) };
    match init_module(module, c"") {
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

/// What ends a signed module (`MODULE_SIG_STRING`, `include/linux/module_signature.h`).
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// `struct module_signature` before it; the signature's length is big-endian at its end.
const SIGNATURE_INFO_BYTES: usize = 12;

/// The module itself. Checking a signature means a hash over the whole file: without it a boot takes
/// a third less of an emulator's time, and the code that is measured is the same.
fn without_signature(module: &[u8]) -> &[u8] {
    let Some(signed) = module.strip_suffix(SIGNED) else { return module };
    let Some((signed, info)) = signed.split_last_chunk::<SIGNATURE_INFO_BYTES>() else {
        return module;
    };
    let [.., a, b, c, d] = *info;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    signed.len().checked_sub(length).map_or(module, |end| &module[..end])
}

/// `kvm` for `/modules/02-kvm.ko`.
fn name(path: &Path) -> String {
    let file = path.file_stem().unwrap_or_default().to_string_lossy();
    file.split_once('-').map_or(&*file, |(_, name)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{SIGNED, without_signature};

    #[test]
    fn a_signature_and_what_describes_it_are_left_out() {
        let signed = |length: u8| [b"code+signature", &[0; 11][..], &[length], SIGNED].concat();
        assert_eq!(without_signature(&signed(10)), b"code");
        for whole in [&b"code"[..], SIGNED, &signed(15)] {
            assert_eq!(without_signature(whole), whole);
        }
    }
}
