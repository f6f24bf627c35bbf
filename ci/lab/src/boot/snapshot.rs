//! Saved machines: one entry of the cache each, whole or not used.
//!
//! ```text
//! console        what the kernel had written until then
//! manifest.json  the key, and length and checksum of every other file
//!
//! on QEMU:
//! memory         the guest's memory, a sparse file that later runs map privately
//! devices        the state of everything else, as QEMU's migration writes it
//!
//! on Bochs:
//! rom            the firmware
//! whole          written last; how many bytes were on the console
//! config, cpu0, memory, memory.ram, pc_system and so on, as Bochs writes them
//! ```

use super::Boot;
use crate::cache::{Cache, CacheError, Digest};
use crate::emulator::Emulator;
use nix::unistd::{Whence, lseek64};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The cache's kind of entry. Another number: older entries are not looked at.
pub const KIND: &str = "snapshots-2";

const MANIFEST: &str = "manifest.json";

/// A saved machine, checked.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    folder: PathBuf,
}

/// Why an entry of the cache is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    /// It cannot be read.
    #[error("{name} cannot be read: {source}")]
    Unreadable { name: String, source: io::Error },
    /// It was made from something else.
    #[error("it is another machine's")]
    Foreign,
    /// It is not what was written.
    #[error("{name} is not as it was written")]
    Changed { name: String },
}

/// What a file was when it was written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    bytes: u64,
    crc32: u32,
}

/// What makes an entry a snapshot.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    key: Digest,
    files: BTreeMap<String, Sum>,
}

impl Snapshot {
    /// The one that is being made in `folder`.
    pub(super) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn memory(&self) -> PathBuf {
        self.folder.join("memory")
    }

    pub(super) fn devices(&self) -> PathBuf {
        self.folder.join("devices")
    }

    pub(super) fn console(&self) -> PathBuf {
        self.folder.join("console")
    }

    pub(super) fn rom(&self) -> PathBuf {
        self.folder.join("rom")
    }

    /// Writes down what the files are, now that they are finished.
    pub(super) fn seal(&self, key: &Digest) -> Result<(), CacheError> {
        let mut manifest = Manifest { key: *key, files: BTreeMap::new() };
        let listing = fs::read_dir(&self.folder).map_err(CacheError::io("list", &self.folder))?;
        for entry in listing {
            let path = entry.map_err(CacheError::io("list", &self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            manifest.files.insert(name, sum(&path).map_err(CacheError::io("read", &path))?);
        }
        let text = serde_json::to_vec(&manifest).expect("names and numbers are JSON");
        Cache::write(&self.folder.join(MANIFEST), &text)
    }

    /// Whether it is the one of this key, and its files are what was written.
    pub(super) fn check(&self, key: &Digest) -> Result<(), Damage> {
        let unreadable = |name: &str| {
            let name = name.to_owned();
            move |source| Damage::Unreadable { name, source }
        };
        let text = fs::read(self.folder.join(MANIFEST)).map_err(unreadable(MANIFEST))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(io::Error::from).map_err(unreadable(MANIFEST))?;
        if manifest.key != *key {
            return Err(Damage::Foreign);
        }
        for (name, written) in &manifest.files {
            let found = sum(&self.folder.join(name)).map_err(unreadable(name))?;
            if *written != found {
                return Err(Damage::Changed { name: name.clone() });
            }
        }
        Ok(())
    }
}

/// Length and checksum. Zeros count by their position, not byte by byte: most of a machine's memory
/// was never touched.
fn sum(path: &Path) -> io::Result<Sum> {
    let file = File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    each_page(&file, &mut |at, page| {
        hasher.update(&at.to_le_bytes());
        hasher.update(page);
        Ok(())
    })?;
    Ok(Sum { bytes: file.metadata()?.len(), crc32: hasher.finalize() })
}

/// Copies a machine's memory; what is zero stays a hole.
pub(super) fn copy_memory(from: &File, to: &Path) -> io::Result<()> {
    let copy = File::create_new(to)?;
    copy.set_len(from.metadata()?.len())?;
    // Pages that follow each other are written together.
    let (mut begin, mut run) = (0, Vec::with_capacity(1 << 20));
    each_page(from, &mut |at, page| {
        if at != begin + run.len() as u64 || run.len() + page.len() > run.capacity() {
            copy.write_all_at(&run, begin)?;
            run.clear();
            begin = at;
        }
        run.extend_from_slice(page);
        Ok(())
    })?;
    copy.write_all_at(&run, begin)
}

/// Every page that is not zero, with its offset. Zeros that were written and zeros that were not are
/// the same: a copy may have either.
fn each_page(file: &File, found: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let bytes = file.metadata()?.len();
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let Some(data) = seek(file, at, Whence::SeekData)? else { break };
        let end = seek(file, data, Whence::SeekHole)?.unwrap_or(bytes);
        at = data;
        while at < end {
            let wanted = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            file.read_exact_at(&mut buffer[..wanted], at)?;
            for (index, page) in (0..).zip(buffer[..wanted].chunks(PAGE_BYTES)) {
                if page.iter().any(|byte| *byte != 0) {
                    found(at + index * PAGE_BYTES as u64, page)?;
                }
            }
            at += wanted as u64;
        }
    }
    Ok(())
}

/// What holes are made of.
const PAGE_BYTES: usize = 4096;

/// Where data or a hole begins, from `at` on.
fn seek(file: &File, at: u64, what: Whence) -> io::Result<Option<u64>> {
    let at = i64::try_from(at).map_err(io::Error::other)?;
    match lseek64(file, at, what) {
        Ok(found) => Ok(u64::try_from(found).ok()),
        Err(nix::errno::Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// What a saved machine depends on. Two boots with the same key stop in the same state.
pub(super) fn key(boot: &Boot, emulator: &Emulator) -> Digest {
    let mut text = format!("{KIND}\n{:?}\n{:?}\n", boot.machine, boot.clock);
    let mut add = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{name} {value}").expect("a string takes everything");
    };
    let kernel = Path::new("kernel");
    let words = emulator.recorded_command_line(&boot.machine, kernel, boot.clock, &boot.append);
    add("words", &format!("{words:?}"));
    add("kernel", &boot.image_sum);
    add("init", &boot.init.sum());
    for (name, bytes) in &boot.modules {
        add(name, &Digest::of(bytes));
    }
    add("emulator", &emulator.version_line());
    // Of one version there can be several builds.
    let program = emulator.program();
    let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let stamp = fs::metadata(&program).map(|at| (at.len(), at.mtime(), at.mtime_nsec())).ok();
    add("program", &format!("{} {stamp:?}", program.display()));
    Digest::of(text.as_bytes())
}

/// The log that the machine had written, for the run that goes on from it.
pub(super) fn copy_console(snapshot: &Snapshot, to: &Path) -> io::Result<()> {
    let mut log = Vec::new();
    File::open(snapshot.console())?.read_to_end(&mut log)?;
    fs::write(to, log)
}

#[cfg(test)]
mod tests {
    use super::{Damage, Digest, Snapshot, copy_memory};
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::{FileExt, MetadataExt};

    const FILES: [&str; 3] = ["memory", "devices", "console"];

    fn key() -> Digest {
        Digest::of(b"key")
    }

    fn sealed() -> (tempfile::TempDir, Snapshot) {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = Snapshot::at(folder.path());
        for name in FILES {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_len(1 << 20).unwrap();
            file.write_all_at(b"state", 300_000).unwrap();
        }
        snapshot.seal(&key()).unwrap();
        snapshot.check(&key()).unwrap();
        (folder, snapshot)
    }

    #[test]
    fn every_kind_of_damage_is_found() {
        for name in FILES {
            let (folder, snapshot) = sealed();
            let file = OpenOptions::new().write(true).open(folder.path().join(name)).unwrap();
            // In a hole, in data, at the end.
            for (at, good) in [(9000, 0), (300_000, b's')] {
                file.write_all_at(&[0xff], at).unwrap();
                let found = snapshot.check(&key()).unwrap_err();
                assert!(matches!(found, Damage::Changed { name: ref n } if n == name), "{found}");
                file.write_all_at(&[good], at).unwrap();
                snapshot.check(&key()).unwrap();
            }
            file.set_len((1 << 20) - 1).unwrap();
            assert!(matches!(snapshot.check(&key()), Err(Damage::Changed { .. })));
            fs::remove_file(folder.path().join(name)).unwrap();
            assert!(matches!(snapshot.check(&key()), Err(Damage::Unreadable { .. })));
        }
    }

    #[test]
    fn another_machines_is_not_taken() {
        let (_folder, snapshot) = sealed();
        assert!(matches!(snapshot.check(&Digest::of(b"other")), Err(Damage::Foreign)));
    }

    #[test]
    fn a_copy_that_filled_the_holes_is_as_good() {
        let (folder, snapshot) = sealed();
        let path = folder.path().join(FILES[0]);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        snapshot.check(&key()).unwrap();

        let copy = folder.path().join("copy");
        copy_memory(&fs::File::open(&path).unwrap(), &copy).unwrap();
        assert!(fs::read(&copy).unwrap() == bytes);
        assert!(fs::metadata(&copy).unwrap().blocks() < fs::metadata(&path).unwrap().blocks());
    }
}
