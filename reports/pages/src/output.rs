//! The directory of the pages: written beside, then put in its place in one step.

use crate::PagesError;
use crate::foreign::{Foreign, files, is_page};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use reports::store::{StoreError, beside};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The file by which a directory of pages is known again.
const MARKER: &str = "drbench-pages.txt";
/// What it says before the list of the files.
const ABOUT: &str = "drbench report --html wrote the files below, and replaces them the next time; others \
                     stay. Open index.html.\n\n";

/// Where pages are written until all are there.
pub(crate) struct Output {
    /// Where they go; a symbolic link is followed.
    place: PathBuf,
    beside: tempfile::TempDir,
    replaces: bool,
}

impl Output {
    /// Begins. `runs` are the paths of what the pages are about.
    ///
    /// # Errors
    /// `dir` is there and not of drbench's making, or holds runs; or the file system's.
    pub(crate) fn begin<'p>(
        dir: &Path,
        runs: impl Iterator<Item = &'p Path>,
    ) -> Result<Self, PagesError> {
        let replaces = dir.symlink_metadata().is_ok();
        let place = if replaces {
            let place = dir.canonicalize().map_err(StoreError::io("open", dir))?;
            if !place.join(MARKER).is_file() {
                return Err(PagesError::Foreign(dir.to_owned()));
            }
            let holds = |run: &&Path| run.canonicalize().is_ok_and(|run| run.starts_with(&place));
            if let Some(run) = runs.into_iter().find(holds) {
                return Err(PagesError::HoldsRun { dir: dir.to_owned(), run: run.to_owned() });
            }
            place
        } else {
            dir.to_owned()
        };
        let beside = beside(&place, ".pages-")?;
        Ok(Self { place, beside, replaces })
    }

    /// With ordinary permissions, unlike the temporary directory around it.
    fn pages(&self) -> PathBuf {
        self.beside.path().join("pages")
    }

    /// Writes a page.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn write(&self, file: &str, text: &str) -> Result<(), PagesError> {
        let path = self.pages().join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(StoreError::io("create directory", parent))?;
        }
        Ok(fs::write(&path, text).map_err(StoreError::io("write to", &path))?)
    }

    /// Puts all in place. Files of others in an earlier directory are in the new one, too.
    ///
    /// # Errors
    /// A page has the name of such a file; or the file system's. What was there before stays whole.
    pub(crate) fn finish(self) -> Result<(), PagesError> {
        let (pages, place) = (self.pages(), &self.place);
        let names: Vec<_> =
            files(&pages)?.iter().map(|file| format!("{}\n", file.display())).collect();
        self.write(MARKER, &(ABOUT.to_owned() + &names.concat()))?;
        if !self.replaces {
            return Ok(fs::rename(&pages, place).map_err(StoreError::io("create", place))?);
        }
        Foreign::new(place, &pages, &written_before(place)?).keep()?;
        let exchanged = renameat2(AT_FDCWD, &pages, AT_FDCWD, place, RenameFlags::RENAME_EXCHANGE);
        if exchanged.is_ok() {
            return Ok(());
        }
        // A file system that cannot exchange two: one after the other.
        let old = self.beside.path().join("old");
        fs::rename(place, &old).map_err(StoreError::io("rename", place))?;
        if let Err(error) = fs::rename(&pages, place) {
            let back = fs::rename(&old, place);
            back.map_err(StoreError::io("put back", place))?;
            return Err(StoreError::io("replace", place)(error).into());
        }
        Ok(())
    }
}

/// The files of earlier pages that drbench wrote.
fn written_before(place: &Path) -> Result<HashSet<PathBuf>, StoreError> {
    let marker = place.join(MARKER);
    let text = fs::read_to_string(&marker).map_err(StoreError::io("read", &marker))?;
    let mut ours: HashSet<_> = match text.split_once("\n\n") {
        Some((_, list)) => list.lines().map(PathBuf::from).collect(),
        None => files(place)?.into_iter().filter(|file| is_page(file)).collect(),
    };
    ours.insert(MARKER.into());
    Ok(ours)
}
