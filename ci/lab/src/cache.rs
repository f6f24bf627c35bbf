//! What drbench keeps between runs: directories named by the SHA-256 of what they were made from.
//!
//! An entry is filled in a temporary directory beside its place and then renamed into it, so it is
//! either whole or absent, whatever happens to the process and however many of them run at once.

mod digest;
mod usage;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

pub use digest::{Digest, DigestError};
pub use usage::Kept;

use crate::fault::{Blame, Blamed};

/// Name of unfinished entries. A process that was killed leaves them behind.
const UNFINISHED: &str = ".unfinished-";
/// An unfinished entry older than this belongs to nobody any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory of prepared kernels, package indexes and unpacked emulators.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// Why the cache cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// None of the variables that say where the cache lives is set.
    #[error(
        "no place for the cache: none of DRBENCH_CACHE, XDG_CACHE_HOME and HOME is set; \
         set DRBENCH_CACHE to a directory"
    )]
    NoPlace,
    /// A file operation inside the cache failed.
    #[error("cannot {action} {path} in the cache: {source}; is the disk full or the directory another user's? (DRBENCH_CACHE chooses another)", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}

impl Blamed for CacheError {
    fn blame(&self) -> Blame {
        Blame::Environment
    }
}

impl CacheError {
    /// For `map_err`: a failed `action` on `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl Cache {
    /// Where the cache lives unless told otherwise: `$DRBENCH_CACHE`, else
    /// `$XDG_CACHE_HOME/drbench`, else `~/.cache/drbench`.
    pub fn default_dir() -> Result<PathBuf, CacheError> {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        set("DRBENCH_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("drbench")))
            .or_else(|| set("HOME").map(|dir| dir.join(".cache/drbench")))
            .ok_or(CacheError::NoPlace)
    }

    /// Opens the cache in `dir` and creates it where it does not exist.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, CacheError> {
        let dir = dir.as_ref();
        fs::create_dir_all(dir).map_err(CacheError::io("create", dir))?;
        let root = dir.canonicalize().map_err(CacheError::io("find", dir))?;
        Ok(Self { root })
    }

    /// The cache's directory, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory of this name in the cache, created where it does not exist.
    pub fn dir(&self, name: &str) -> Result<PathBuf, CacheError> {
        let dir = self.root.join(name);
        fs::create_dir_all(&dir).map_err(CacheError::io("create", &dir))?;
        Ok(dir)
    }

    /// The finished entry of this `kind` and `key`, if there is one.
    pub fn entry(&self, kind: &str, key: &Digest) -> Option<PathBuf> {
        let dir = self.root.join(kind).join(key.to_string());
        dir.is_dir().then_some(dir)
    }

    /// All finished entries of this `kind`, in the order of their keys.
    pub fn entries(&self, kind: &str) -> Vec<PathBuf> {
        let Ok(listing) = fs::read_dir(self.root.join(kind)) else {
            return Vec::new();
        };
        let mut found: Vec<PathBuf> = listing
            .flatten()
            .filter(|e| e.file_name().to_str().is_some_and(|n| n.parse::<Digest>().is_ok()))
            .map(|e| e.path())
            .collect();
        found.sort();
        found
    }

    /// The entry of this `kind` and `key`; `fill` makes it, in a directory of its own, if it is absent.
    ///
    /// If another process finishes the same entry first, that one is kept and ours is dropped.
    pub fn entry_or_fill<T: From<CacheError>>(
        &self,
        kind: &str,
        key: &Digest,
        fill: impl FnOnce(&Path) -> Result<(), T>,
    ) -> Result<PathBuf, T> {
        if let Some(dir) = self.entry(kind, key) {
            return Ok(dir);
        }
        let parent = self.dir(kind)?;
        clear_abandoned(&parent);
        let unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&parent)
            .map_err(CacheError::io("create a directory in", &parent))?;
        fill(unfinished.path())?;
        let place = parent.join(key.to_string());
        match fs::rename(unfinished.path(), &place) {
            Ok(()) => {
                // It has another name now: there is nothing left to remove.
                let _ = unfinished.keep();
                Ok(place)
            }
            Err(_) if place.is_dir() => Ok(place),
            Err(source) => Err(CacheError::io("move an entry to", &place)(source).into()),
        }
    }

    /// Writes `bytes` to `path`, which lies in the cache: readers see the old content or the new.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        let parent = path.parent().unwrap_or(Path::new("."));
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(parent)?;
            io::Write::write_all(&mut file, bytes)?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(CacheError::io("write", path))
    }

    /// Waits until no other process holds the lock of this name, and holds it until dropped.
    pub fn lock(&self, name: &str) -> Result<CacheLock, CacheError> {
        let path = self.root.join(format!("{name}.lock"));
        let file = File::create(&path).map_err(CacheError::io("create", &path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| CacheError::io("lock", &path)(errno.into()))?;
        Ok(CacheLock { _lock: lock })
    }
}

/// Held while one process alone may work on something in the cache.
#[derive(Debug)]
pub struct CacheLock {
    _lock: Flock<File>,
}

/// Removes what killed processes left unfinished. Failures are harmless: the next one tries again.
fn clear_abandoned(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let age = entry
            .metadata()
            .and_then(|m| m.modified())
            .ok()
            .and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if unfinished && age.is_some_and(|age| age > ABANDONED_AFTER) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        (dir, cache)
    }

    #[test]
    fn an_entry_is_filled_once() {
        let (_dir, cache) = cache();
        let key = Digest::of(b"key");
        let fill = |text: &'static str| {
            move |dir: &Path| {
                fs::write(dir.join("file"), text).map_err(CacheError::io("write", dir))
            }
        };
        let first = cache.entry_or_fill("kind", &key, fill("first")).unwrap();
        let second = cache.entry_or_fill("kind", &key, fill("second")).unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::read_to_string(second.join("file")).unwrap(), "first");
        assert_eq!(cache.entries("kind"), [first]);
    }

    #[test]
    fn a_failed_entry_leaves_nothing() {
        let (_dir, cache) = cache();
        let key = Digest::of(b"key");
        let result = cache.entry_or_fill("kind", &key, |dir| {
            fs::write(dir.join("half"), "x").unwrap();
            Err(CacheError::NoPlace)
        });
        assert!(matches!(result, Err(CacheError::NoPlace)));
        assert_eq!(cache.entry("kind", &key), None);
        assert_eq!(fs::read_dir(cache.root().join("kind")).unwrap().count(), 0);
    }

    #[test]
    fn of_many_writers_one_wins_and_all_get_its_entry() {
        let (_dir, cache) = cache();
        let key = Digest::of(b"key");
        let barrier = std::sync::Barrier::new(8);
        let seen: Vec<String> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|n| {
                    let (cache, barrier) = (&cache, &barrier);
                    scope.spawn(move || {
                        let dir = cache.entry_or_fill("kind", &key, |dir| {
                            barrier.wait();
                            fs::write(dir.join("n"), n.to_string())
                                .map_err(CacheError::io("write", dir))
                        });
                        fs::read_to_string(dir.unwrap().join("n")).unwrap()
                    })
                })
                .collect();
            writers.into_iter().map(|w| w.join().unwrap()).collect()
        });
        assert!(seen.iter().all(|n| *n == seen[0]), "{seen:?}");
        assert_eq!(fs::read_dir(cache.root().join("kind")).unwrap().count(), 1);
    }
}
