//! What lies in the cache, and how to get rid of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Cache, CacheError, Digest, UNFINISHED};

/// One thing that is kept, and can be removed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The directory of the cache in which it lies, such as `qemu`.
    pub kind: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it takes on the disk.
    pub bytes: u64,
    /// When any of its files was last read or written, as far as the file system notes it: often to
    /// the day only.
    pub last_use: SystemTime,
}

impl Cache {
    /// Everything that is kept, by kind. A kind whose entries have no checksums for names is one
    /// thing as a whole.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn kept(&self) -> Result<Vec<Kept>, CacheError> {
        let mut kept = Vec::new();
        for kind in directories(self.root())? {
            let name = file_name(&kind);
            let entries = self.entries(&name);
            if entries.is_empty() {
                kept.push(measure(name, kind));
            } else {
                kept.extend(entries.into_iter().map(|entry| measure(name.clone(), entry)));
            }
        }
        kept.sort_by(|one, other| (&one.kind, &one.path).cmp(&(&other.kind, &other.path)));
        Ok(kept)
    }

    /// Removes one thing. It loses its name first: nobody ever sees half of it.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(&self, kept: &Kept) -> Result<(), CacheError> {
        let parent = kept.path.parent().unwrap_or(self.root());
        let name = format!("{UNFINISHED}{}-{}", std::process::id(), file_name(&kept.path));
        let nameless = parent.join(name);
        fs::rename(&kept.path, &nameless).map_err(CacheError::io("rename", &kept.path))?;
        fs::remove_dir_all(&nameless).map_err(CacheError::io("remove", &nameless))
    }
}

impl Kept {
    /// Its name within its kind: the beginning of its checksum, or nothing.
    pub fn name(&self) -> String {
        const ENOUGH: usize = 12;
        let name = file_name(&self.path);
        name.parse::<Digest>().map_or_else(|_| String::new(), |_| name[..ENOUGH].to_owned())
    }

    /// How long nobody has used it.
    pub fn idle(&self) -> Duration {
        SystemTime::now().duration_since(self.last_use).unwrap_or_default()
    }
}

fn directories(dir: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let listing = fs::read_dir(dir).map_err(CacheError::io("list", dir))?;
    let entries = listing.flatten().filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
    Ok(entries.map(|entry| entry.path()).collect())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The unit in which stat(2) tells what a file takes, whatever the file system's own blocks are.
const BLOCK: u64 = 512;

fn measure(kind: String, path: PathBuf) -> Kept {
    let (mut bytes, mut last_use) = (0, SystemTime::UNIX_EPOCH);
    let mut open = vec![path.clone()];
    while let Some(place) = open.pop() {
        let Ok(data) = place.symlink_metadata() else { continue };
        bytes += data.blocks() * BLOCK;
        if data.is_dir() {
            let listing = fs::read_dir(&place).into_iter().flatten().flatten();
            open.extend(listing.map(|entry| entry.path()));
        } else {
            // Looking at a directory counts as reading it: only files tell.
            let times = [data.accessed(), data.modified()];
            last_use = times.into_iter().flatten().fold(last_use, SystemTime::max);
        }
    }
    Kept { kind, path, bytes, last_use }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_one_by_one_and_removed_alone() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        for key in [b"one", b"two"] {
            let fill = |dir: &Path| {
                fs::write(dir.join("file"), [1; 9000]).map_err(CacheError::io("write", dir))
            };
            cache.entry_or_fill("kernels-1", &Digest::of(key), fill).unwrap();
        }
        fs::create_dir_all(dir.path().join("qemu/usr")).unwrap();
        fs::write(dir.path().join("apt.lock"), "").unwrap();
        let kept = cache.kept().unwrap();
        let kinds: Vec<_> = kept.iter().map(|kept| kept.kind.as_str()).collect();
        assert_eq!(kinds, ["kernels-1", "kernels-1", "qemu"]);
        assert!(kept[0].bytes >= 9000 && kept[0].idle() < Duration::from_secs(3600), "{kept:?}");
        assert_eq!((kept[0].name().len(), kept[2].name().as_str()), (12, ""));

        cache.remove(&kept[0]).unwrap();
        assert_eq!(cache.kept().unwrap(), kept[1..]);
        assert_eq!(fs::read_dir(dir.path().join("kernels-1")).unwrap().count(), 1);
    }
}
