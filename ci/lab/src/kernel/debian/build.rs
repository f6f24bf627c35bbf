//! What rebuilding modules needs from Debian: a kernel's headers, its source, and a compiler of the
//! release that the kernel was built in, each unpacked into the cache once and then used as it is.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::{APT, DebianError, PackageVersion, Refresh, current_index};
use crate::cache::{Cache, CacheError, Digest};
use crate::kernel::package::read_data;
use crate::kernel::{Kernel, KernelError, compression};

/// The cache's kinds of entry. The numbers rise when their layout changes.
const HEADERS: &str = "headers-1";
const SOURCES: &str = "sources-1";
const ROOTS: &str = "build-roots-1";
/// The directory that remembers which entry belongs to which name, so that nothing is asked again.
const KNOWN: &str = "build-parts-1";

/// Each release's compiler, with the libraries of the tools that kernels are built with.
const RELEASES: [(&str, &[&str]); 3] = [
    ("bullseye", &["gcc-10", "libelf1", "libssl1.1", "zlib1g"]),
    ("bookworm", &["gcc-12", "libelf1", "libssl3", "zlib1g"]),
    ("trixie", &["gcc-14", "libelf1t64", "libssl3t64", "zlib1g"]),
];
/// What else a build calls, and what applies patches.
const TOOLS: [&str; 10] = [
    "make",
    "dash",
    "coreutils",
    "sed",
    "grep",
    "findutils",
    "mawk",
    "diffutils",
    "patch",
    "coccinelle",
];
/// Where merged systems keep what packages still name by the old directories.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];
/// The parts of a kernel's source that modules can be rebuilt from.
pub(crate) const SOURCE_PARTS: [&str; 3] = ["arch/x86/kvm", "virt", "arch/x86/include/asm"];

/// All that is needed to rebuild the kvm modules of a Debian kernel.
#[derive(Debug)]
pub(crate) struct BuildParts {
    /// Holds `usr/src/linux-headers-…` and `usr/lib/linux-kbuild-…`.
    pub(crate) headers: PathBuf,
    /// The directory in `usr/src` to build in: `linux-headers-6.1.0-56-amd64`.
    pub(crate) build_dir: String,
    /// The one with what the flavours share: `linux-headers-6.1.0-56-common`.
    pub(crate) common_dir: String,
    /// Holds [`SOURCE_PARTS`].
    pub(crate) source: PathBuf,
    /// A system with compiler and tools, to change root into.
    pub(crate) root: PathBuf,
}

/// Fetches what is not in the cache yet.
pub(crate) fn parts(
    kernel: &Kernel,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<BuildParts, KernelError> {
    let _lock = cache.lock(APT)?;
    let store = Store { cache, progress, apt: std::cell::OnceCell::new() };
    let version = kernel.kernel_id.as_str();
    let build_dir = format!("linux-headers-{}", kernel.release);
    let (release, headers) = store.headers(&build_dir, version)?;
    let listing = fs::read_dir(headers.join("usr/src"));
    let mut names = listing.into_iter().flatten().flatten().map(|e| e.file_name());
    let common =
        names.find_map(|name| Some(name.to_str()?.to_owned()).filter(|n| n.ends_with("-common")));
    let common_dir = common.ok_or_else(|| DebianError::NoHeaders {
        package: format!("{build_dir}'s common part"),
        version: version.to_owned(),
    })?;
    Ok(BuildParts {
        headers,
        build_dir,
        common_dir,
        source: store.source(version)?,
        root: store.root(&release)?,
    })
}

/// A system with the tools that apply patches, of no particular release.
pub(crate) fn tools(cache: &Cache, progress: &dyn Fn(&str)) -> Result<PathBuf, KernelError> {
    let _lock = cache.lock(APT)?;
    let store = Store { cache, progress, apt: std::cell::OnceCell::new() };
    store.root("bookworm")
}

/// The parts of a kernel's source, by its package version.
#[cfg(test)]
pub(crate) fn source_of(
    version: &str,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<PathBuf, KernelError> {
    let _lock = cache.lock(APT)?;
    Store { cache, progress, apt: std::cell::OnceCell::new() }.source(version)
}

/// Fetches and remembers. The caller holds apt's lock.
struct Store<'a> {
    cache: &'a Cache,
    progress: &'a dyn Fn(&str),
    apt: std::cell::OnceCell<Apt>,
}

impl Store<'_> {
    /// apt with its indexes, set up at the first need.
    fn apt(&self) -> Result<&Apt, DebianError> {
        if self.apt.get().is_none() {
            let apt = Apt::open(&self.cache.dir(APT)?)?;
            current_index(&apt, self.cache, Refresh::default(), self.progress)?;
            let _ = self.apt.set(apt);
        }
        Ok(self.apt.get().expect("it was just set"))
    }

    /// What was remembered under this name, if its entry is still there: the entry and a word.
    fn known(&self, kind: &str, name: &str) -> Option<(PathBuf, String)> {
        let text = fs::read_to_string(self.cache.root().join(KNOWN).join(name)).ok()?;
        let (key, word) = text.split_once(' ')?;
        Some((self.cache.entry(kind, &key.parse().ok()?)?, word.to_owned()))
    }

    /// Downloads `packages`, unpacks them with `unpack` and remembers the entry under `name`.
    fn fetch(
        &self,
        (kind, name, word): (&str, &str, &str),
        packages: &[String],
        unpack: impl Fn(&Path, &Path) -> io::Result<()>,
        finish: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<PathBuf, KernelError> {
        let parent = self.cache.dir(APT)?;
        let place = tempfile::tempdir_in(&parent)
            .map_err(CacheError::io("create a directory in", &parent))?;
        let files = self.apt()?.fetch(packages, place.path())?;
        let sums = files.iter().map(|file| {
            let sum = Digest::of_file(file).map_err(CacheError::io("read", file))?;
            Ok(sum.to_string())
        });
        let sums = sums.collect::<Result<Vec<String>, CacheError>>()?;
        let key = Digest::of(sums.join("\n").as_bytes());
        let entry = self.cache.entry_or_fill::<KernelError>(kind, &key, |dir| {
            for file in &files {
                unpack(file, dir).map_err(|source| KernelError::Package {
                    path: file.clone(),
                    source: crate::kernel::PackageError::Content(source),
                })?;
            }
            Ok(finish(dir).map_err(CacheError::io("finish", dir))?)
        })?;
        let remembered = self.cache.dir(KNOWN)?.join(name);
        Cache::write(&remembered, format!("{key} {word}").as_bytes())?;
        Ok(entry)
    }

    /// The release and the headers of a kernel.
    fn headers(&self, package: &str, version: &str) -> Result<(String, PathBuf), KernelError> {
        let name = format!("{package}_{version}");
        if let Some((entry, release)) = self.known(HEADERS, &name) {
            return Ok((release, entry));
        }
        let apt = self.apt()?;
        let gone =
            || DebianError::NoHeaders { package: package.to_owned(), version: version.to_owned() };
        let release = apt.release_of(package, version)?.ok_or_else(gone)?;
        let mut packages = vec![format!("{package}={version}")];
        let parts = apt.depends(package, version)?;
        let parts = parts.iter().filter(|part| {
            part.starts_with("linux-kbuild-")
                || part.starts_with("linux-headers-") && part.ends_with("-common")
        });
        packages.extend(parts.map(|part| format!("{part}={version}")));
        (self.progress)(&format!("downloading {package}"));
        let wanted = |path: &Path| {
            path.starts_with("usr/src")
                || path.starts_with("usr/lib")
                    && path
                        .iter()
                        .nth(2)
                        .is_some_and(|n| n.to_string_lossy().starts_with("linux-kbuild"))
        };
        let unpack = |file: &Path, dir: &Path| unpack_package(file, dir, wanted);
        let entry = self.fetch((HEADERS, &name, release), &packages, unpack, |dir| {
            // Where the changed sources are mounted. 5.10 looks for them from its build directory.
            for entry in fs::read_dir(dir.join("usr/src"))? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    fs::create_dir_all(entry.path().join("arch/x86/kvm"))?;
                    fs::create_dir_all(entry.path().join("virt"))?;
                }
            }
            Ok(())
        })?;
        Ok((release.to_owned(), entry))
    }

    /// The parts of the kernel's source that modules are rebuilt from.
    fn source(&self, version: &str) -> Result<PathBuf, KernelError> {
        let name = format!("linux-source_{version}");
        if let Some((entry, _)) = self.known(SOURCES, &name) {
            return Ok(entry);
        }
        let package = format!("linux-source-{}", PackageVersion::new(version).series());
        if self.apt()?.release_of(&package, version)?.is_none() {
            return Err(DebianError::NoHeaders { package, version: version.to_owned() }.into());
        }
        (self.progress)(&format!("downloading {package} {version}"));
        let packages = [format!("{package}={version}")];
        self.fetch((SOURCES, &name, "-"), &packages, unpack_source, |_| Ok(()))
    }

    /// A system of one release with compiler and tools.
    fn root(&self, release: &str) -> Result<PathBuf, KernelError> {
        if let Some((entry, _)) = self.known(ROOTS, release) {
            return Ok(entry);
        }
        let compiler = RELEASES.iter().find(|(name, _)| *name == release).map_or(&[][..], |r| r.1);
        let names: Vec<&str> = compiler.iter().chain(&TOOLS).copied().collect();
        let packages = self.apt()?.closure(&names, release)?;
        (self.progress)(&format!(
            "downloading {release}'s compiler and tools, {} packages",
            packages.len()
        ));
        let unpack = |file: &Path, dir: &Path| {
            for name in MERGED {
                let place = dir.join("usr").join(name);
                if !place.exists() {
                    fs::create_dir_all(&place)?;
                    symlink(Path::new("usr").join(name), dir.join(name))?;
                }
            }
            let documentation = |path: &Path| {
                !path.starts_with("usr/share/doc") && !path.starts_with("usr/share/man")
            };
            unpack_package(file, dir, documentation)
        };
        self.fetch((ROOTS, release, "-"), &packages, unpack, finish_root)
    }
}

/// What packages leave to their installation scripts, and places to mount on.
fn finish_root(dir: &Path) -> io::Result<()> {
    for (name, program) in [("sh", "dash"), ("awk", "mawk")] {
        let link = dir.join("usr/bin").join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(program, link)?;
        }
    }
    for place in ["tmp", "build", "dev", "proc", "usr/src"] {
        fs::create_dir_all(dir.join(place))?;
    }
    fs::write(dir.join("dev/null"), b"")
}

/// Unpacks the files of a package that are `wanted`, by their paths.
fn unpack_package(package: &Path, place: &Path, wanted: impl Fn(&Path) -> bool) -> io::Result<()> {
    let unpacked = read_data(package, |data| {
        let mut archive = tar::Archive::new(data);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path: PathBuf =
                entry.path()?.components().skip_while(|c| c.as_os_str() == ".").collect();
            // The merged directories are links here.
            let merged = MERGED.iter().any(|name| path == Path::new(name));
            if wanted(&path) && path.parent().is_some() && !merged {
                entry.unpack_in(place)?;
            }
        }
        Ok(())
    });
    unpacked.map_err(io::Error::other)
}

/// Unpacks [`SOURCE_PARTS`] out of the archive in a linux-source package.
fn unpack_source(package: &Path, place: &Path) -> io::Result<()> {
    let unpacked = read_data(package, |data| {
        for entry in tar::Archive::new(data).entries()? {
            let entry = entry?;
            if entry.path()?.to_string_lossy().contains(".tar.") {
                return unpack_parts(compression::reader(entry)?, place);
            }
        }
        Err(io::Error::other("there is no source archive in it"))
    });
    unpacked.map_err(io::Error::other)
}

fn unpack_parts(archive: impl Read, place: &Path) -> io::Result<()> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path: PathBuf = entry.path()?.components().skip(1).collect();
        if SOURCE_PARTS.iter().any(|part| path.starts_with(part)) {
            // Its own directory comes first in the archive, but nothing says that it must.
            fs::create_dir_all(place.join(&path).parent().unwrap_or(place))?;
            entry.unpack(place.join(&path))?;
        }
    }
    Ok(())
}
