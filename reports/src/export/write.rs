//! A file that is there whole or not at all.

use crate::store::{StoreError, written_beside};
use std::fs;
use std::io;
use std::path::Path;

/// Puts a text into a file: beside it, then renamed. What was there stays until then. Through a link the
/// file it points to is written; what is no file (a pipe, a terminal) is written to as it is.
///
/// # Errors
/// The file system's.
pub fn write(path: &Path, text: &str) -> Result<(), StoreError> {
    // A link that points nowhere is replaced.
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let written = match place.metadata() {
        Ok(data) if !data.is_file() && !data.is_dir() => fs::write(&place, text),
        _ => replace(&place, text),
    };
    written.map_err(StoreError::io("write", path))
}

fn replace(place: &Path, text: &str) -> io::Result<()> {
    if place.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    let folder = place.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    written_beside(folder, ".report-", text.as_bytes())?.persist(place)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for text in ["one", "two"] {
            write(&link, text).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_device_is_written_to_and_stays_a_device() {
        write(Path::new("/dev/null"), "text").unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    }

    #[test]
    fn where_nothing_can_be_written_the_error_names_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let error = write(&dir.path().join("absent/file"), "text").unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("absent/file"), "{error}");
        let error = write(dir.path(), "text").unwrap_err().to_string();
        assert!(error.contains("it is a directory"), "{error}");
    }
}
