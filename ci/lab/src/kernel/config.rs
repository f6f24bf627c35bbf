//! The configuration a kernel was built with: where it may lie.

use std::fs;
use std::path::{Path, PathBuf};

use super::compression;

/// Where a package's configuration lies once it is unpacked.
pub(super) const CONFIG: &str = "config";

/// The places where a kernel's configuration may lie, each with what it is called in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigPlaces {
    places: Vec<(&'static str, PathBuf)>,
    /// Why it is in none of them.
    absent: &'static str,
}

impl ConfigPlaces {
    /// Of a kernel whose package was unpacked into this directory.
    pub(super) fn of_package(entry: &Path) -> Self {
        Self {
            places: vec![("package", entry.join(CONFIG))],
            absent: "its package has none, or was unpacked when none was kept: after \
                     `drbench cache prune --kind kernels-2` it is unpacked anew",
        }
    }

    /// Of a kernel in files: distributions have it beside the image or the modules, a build tree in
    /// its top directory.
    pub(super) fn of_files(image: &Path, module_dir: &Path, release: &str) -> Self {
        Self {
            places: vec![
                ("build tree", module_dir.join(".config")),
                ("beside the image", image.with_file_name(format!("config-{release}"))),
                ("beside the modules", module_dir.join(CONFIG)),
            ],
            absent: "there is no config-RELEASE beside the image, nor config or .config in the \
                     modules' directory",
        }
    }

    /// Of the kernel that runs here.
    pub fn of_this_host(release: &str) -> Self {
        Self {
            places: vec![
                ("/proc/config.gz", PathBuf::from("/proc/config.gz")),
                ("/boot/config-RELEASE", PathBuf::from(format!("/boot/config-{release}"))),
                (
                    "/lib/modules/RELEASE/config",
                    Path::new("/lib/modules").join(release).join(CONFIG),
                ),
            ],
            absent: "there is no /proc/config.gz (CONFIG_IKCONFIG_PROC), /boot/config-RELEASE or \
                     /lib/modules/RELEASE/config",
        }
    }

    /// The first that there is: what its place is called, and its text; else why there is none.
    pub fn read(&self) -> Result<(&'static str, Vec<u8>), String> {
        let found = self.places.iter().find(|(_, path)| path.is_file());
        let (name, path) = found.ok_or_else(|| self.absent.to_owned())?;
        let text = fs::read(path).and_then(|file| compression::unpack(&file));
        text.map(|text| (*name, text)).map_err(|error| format!("{name} cannot be read: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::compression::{Compression, samples::compress};

    #[test]
    fn the_first_place_that_has_a_configuration_is_read_whether_compressed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let places = ConfigPlaces::of_files(&dir.path().join("vmlinuz"), dir.path(), "6.1");
        let absent = places.read().unwrap_err();
        assert!(absent.contains("beside the image"), "{absent}");
        fs::write(dir.path().join("config-6.1"), compress(Compression::Gzip, b"CONFIG_A=y\n"))
            .unwrap();
        assert_eq!(places.read().unwrap(), ("beside the image", b"CONFIG_A=y\n".to_vec()));
        fs::write(dir.path().join(".config"), "CONFIG_B=y\n").unwrap();
        assert_eq!(places.read().unwrap(), ("build tree", b"CONFIG_B=y\n".to_vec()));
    }
}
