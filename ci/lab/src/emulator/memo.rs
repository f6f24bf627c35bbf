//! What emulators said of their version, kept in the cache: QEMU takes a tenth of a second to say it, and
//! every run asks.

use crate::cache::Cache;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The file, below the cache.
const FILE: &str = "emulators.json";

/// Texts by program, its length, and the time at which it was last changed.
type Told = BTreeMap<String, String>;

/// What this very program said, if it was asked before.
pub(super) fn recall(cache: &Path, program: &Path) -> Option<String> {
    read(cache).remove(&key(program)?)
}

/// Keeps what it said. Whatever goes wrong only means that it is asked again.
pub(super) fn keep(cache: &Path, program: &Path, said: &str) {
    let Some(key) = key(program) else { return };
    if !cache.is_dir() {
        return;
    }
    let mut told = read(cache);
    told.insert(key, said.to_owned());
    if let Ok(text) = serde_json::to_vec_pretty(&told) {
        let _ = Cache::write(&cache.join(FILE), &text);
    }
}

fn read(cache: &Path) -> Told {
    let text = fs::read(cache.join(FILE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn key(program: &Path) -> Option<String> {
    let file = program.canonicalize().ok()?;
    let at = fs::metadata(&file).ok()?;
    let path = program.to_str()?;
    Some(format!("{path} = {} {} {}.{:09}", file.display(), at.len(), at.mtime(), at.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::{FILE, keep, recall};
    use std::fs;

    #[test]
    fn another_program_in_the_same_place_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, program) = (folder.path(), folder.path().join("qemu"));
        fs::write(&program, "one").unwrap();
        assert_eq!(recall(cache, &program), None);
        keep(cache, &program, "version 1");
        assert_eq!(recall(cache, &program).as_deref(), Some("version 1"));
        fs::write(&program, "another").unwrap();
        assert_eq!(recall(cache, &program), None);
    }

    #[test]
    fn a_broken_file_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{").unwrap();
        let program = folder.path().join("qemu");
        fs::write(&program, "one").unwrap();
        assert_eq!(recall(folder.path(), &program), None);
        keep(folder.path(), &program, "version 1");
        assert_eq!(recall(folder.path(), &program).as_deref(), Some("version 1"));
    }
}
