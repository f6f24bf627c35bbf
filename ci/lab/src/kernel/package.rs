//! Debian packages as files: `ar` around a compressed `tar` (deb(5)).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::compression;
use super::config::CONFIG;
use super::module::{self, ModuleInfo};
use super::{KERNEL_MODULES, KernelError};

/// What is wrong with a package.
#[derive(Debug, Error)]
pub enum PackageError {
    /// Not an `ar` archive, or a broken one.
    #[error("it is no Debian package, or a damaged one ({0}); get the file again")]
    Archive(io::Error),
    /// The member `data.tar` is missing.
    #[error("it is cut off or no Debian package: it has no data.tar; get the file again")]
    NoData,
    /// The content does not unpack.
    #[error("its content is cut off or damaged ({0}); get the file again")]
    Content(io::Error),
    /// No kernel image in it.
    #[error(
        "it holds no kernel image; give a linux-image package, not one of modules, headers or debug data"
    )]
    NoImage,
    /// A kernel image without any module: half of a split kernel.
    #[error(
        "it holds a kernel image but no module of it; since 6.19 Debian splits kernels into \
         several packages, and debian:VERSION takes them all"
    )]
    NoModules,
}

/// Where an unpacked kernel's image lies.
pub(super) const IMAGE: &str = "vmlinuz";
/// Where its modules lie, all in one directory.
pub(super) const MODULES: &str = "modules";

/// Modules that KVM's own depend on in one kernel or another. A first guess that saves a second pass
/// over the package; the truth is in each module's `.modinfo`.
const LIKELY: [&str; 3] = ["irqbypass", "ccp", "rng_core"];

/// Unpacks the image, KVM's modules and all they depend on from a kernel's packages into `place`.
pub(super) fn unpack(packages: &[PathBuf], place: &Path) -> Result<(), KernelError> {
    let modules = place.join(MODULES);
    fs::create_dir(&modules).map_err(crate::cache::CacheError::io("create", &modules))?;
    let mut wanted: BTreeSet<String> =
        KERNEL_MODULES.iter().chain(&LIKELY).map(|n| module::canonical(n)).collect();
    let mut missing = wanted.clone();
    while !missing.is_empty() {
        for path in packages {
            extract(path, place, &missing)
                .map_err(|source| KernelError::Package { path: path.clone(), source })?;
        }
        missing = dependencies(&modules)?.difference(&wanted).cloned().collect();
        wanted.extend(missing.iter().cloned());
    }
    let whole = if !place.join(IMAGE).is_file() {
        Err(PackageError::NoImage)
    } else if fs::read_dir(&modules).is_ok_and(|mut files| files.next().is_none()) {
        Err(PackageError::NoModules)
    } else {
        Ok(())
    };
    whole.map_err(|source| KernelError::Package { path: packages[0].clone(), source })
}

/// The names that the modules in this directory depend on.
fn dependencies(dir: &Path) -> Result<BTreeSet<String>, KernelError> {
    let broken = |path: &Path| {
        let path = path.to_owned();
        move |source| KernelError::Module { path, source }
    };
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(broken(dir))? {
        let path = entry.map_err(broken(dir))?.path();
        if path.file_name().and_then(|n| n.to_str()).and_then(module::name_of_file).is_some() {
            let file = fs::read(&path).map_err(broken(&path))?;
            let bytes = compression::unpack(&file).map_err(broken(&path))?;
            let info = ModuleInfo::of(&bytes).map_err(io::Error::other).map_err(broken(&path))?;
            names.extend(info.depends);
        }
    }
    Ok(names)
}

/// The content of a package, given to `take`.
pub(super) fn read_data<T>(
    package: &Path,
    take: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> Result<T, PackageError> {
    let file = File::open(package).map_err(PackageError::Archive)?;
    let mut archive = ar::Archive::new(io::BufReader::new(file));
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(PackageError::Archive)?;
        // `data.tar`, or with `.xz`, `.gz` or `.zst` after it.
        if member.header().identifier().starts_with(b"data.tar") {
            let mut data = compression::reader(member).map_err(PackageError::Content)?;
            return take(&mut data).map_err(PackageError::Content);
        }
    }
    Err(PackageError::NoData)
}

/// Copies the image, the configuration, the list of built-in modules and the `wanted` modules out of one package.
fn extract(package: &Path, place: &Path, wanted: &BTreeSet<String>) -> Result<(), PackageError> {
    read_data(package, |data| extract_tar(data, place, wanted))
}

fn extract_tar(data: impl Read, place: &Path, wanted: &BTreeSet<String>) -> io::Result<()> {
    let mut archive = tar::Archive::new(data);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some(target) = target(&entry.path()?, wanted) else {
            continue;
        };
        let written = io::copy(&mut entry, &mut File::create(place.join(target))?)?;
        if written != entry.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    // The checksum of the whole comes after the archive's end.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

/// Where a file of the package goes. Only its own name is used, so none can leave the directory.
fn target(path: &Path, wanted: &BTreeSet<String>) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let in_boot = path.parent().is_some_and(|dir| dir.ends_with("boot"));
    // A whole kernel has boot/vmlinuz-RELEASE, a split one usr/lib/modules/RELEASE/vmlinuz.
    if name == "vmlinuz" || in_boot && name.starts_with("vmlinuz-") {
        return Some(IMAGE.into());
    }
    // The configuration lies beside the image either way.
    let of_release =
        path.parent().and_then(Path::parent).is_some_and(|dir| dir.ends_with("lib/modules"));
    if name == CONFIG && of_release || in_boot && name.starts_with("config-") {
        return Some(CONFIG.into());
    }
    let needed = name == "modules.builtin"
        || module::name_of_file(name).is_some_and(|module| wanted.contains(&module));
    needed.then(|| Path::new(MODULES).join(name))
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
