//! What somebody else has put among earlier pages, such as a CNAME or a `.git`: it is kept.

use crate::{PLACES, PagesError};
use reports::store::StoreError;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The files below a directory, relative to it. Symbolic links are files.
///
/// # Errors
/// The file system's.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let (mut files, mut dirs) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(below) = dirs.pop() {
        for (at, is_dir) in entries(dir, &below)? {
            if is_dir { dirs.push(at) } else { files.push(at) }
        }
    }
    files.sort();
    Ok(files)
}

/// What is in `dir` at `below`, as paths relative to `dir`; and whether it is a directory.
fn entries(dir: &Path, below: &Path) -> Result<Vec<(PathBuf, bool)>, StoreError> {
    let place = dir.join(below);
    let of = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok((below.join(entry.file_name()), entry.file_type()?.is_dir()))
    };
    let listing = fs::read_dir(&place).map_err(StoreError::io("list", &place))?;
    listing.map(of).collect::<Result<_, _>>().map_err(StoreError::io("list", &place))
}

/// Whether a page has such a name: for directories of a drbench that kept no list of its files.
pub(crate) fn is_page(file: &Path) -> bool {
    let Some(name) = file.to_str() else { return false };
    let Some((folder, page)) = name.split_once('/') else {
        return PLACES.iter().any(|(place, _)| *place == name);
    };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    folder.starts_with("run-")
        && page.strip_suffix(".html").is_some_and(|page| match page {
            "index" | "compared" | "rows" => true,
            page => page.strip_prefix("rows-").is_some_and(is_number),
        })
}

/// Earlier pages, and the new ones that are to stand in their place.
pub(crate) struct Foreign<'a> {
    old: &'a Path,
    new: &'a Path,
    /// Files of `old` that are drbench's.
    ours: &'a HashSet<PathBuf>,
    /// The directories of those files.
    folders: HashSet<&'a Path>,
}

impl<'a> Foreign<'a> {
    pub(crate) fn new(old: &'a Path, new: &'a Path, ours: &'a HashSet<PathBuf>) -> Self {
        let folders = ours.iter().flat_map(|file| file.ancestors().skip(1)).collect();
        Self { old, new, ours, folders }
    }

    /// Puts what is not drbench's into the new directory as well. The old one stays as it is, so that
    /// nothing is lost wherever this ends.
    ///
    /// # Errors
    /// A page has the same name; or the file system's.
    pub(crate) fn keep(&self) -> Result<(), PagesError> {
        self.keep_below(Path::new(""))
    }

    fn keep_below(&self, below: &Path) -> Result<(), PagesError> {
        for (at, is_dir) in entries(self.old, below)? {
            if !is_dir {
                if !self.ours.contains(&at) {
                    self.keep_file(&at)?;
                }
            } else if self.folders.contains(&*at) {
                self.keep_below(&at)?;
            } else {
                self.keep_folder(&at)?;
            }
        }
        Ok(())
    }

    fn keep_folder(&self, at: &Path) -> Result<(), PagesError> {
        let [from, to] = [self.old, self.new].map(|dir| dir.join(at));
        if to.is_file() {
            return Err(PagesError::InTheWay(from));
        }
        fs::create_dir_all(&to).map_err(StoreError::io("create directory", &to))?;
        self.keep_below(at)?;
        // At last: one that may not be written to can be filled before.
        let mode = fs::metadata(&from).map_err(StoreError::io("read", &from))?.permissions();
        Ok(fs::set_permissions(&to, mode).map_err(StoreError::io("set the mode of", &to))?)
    }

    fn keep_file(&self, at: &Path) -> Result<(), PagesError> {
        let [from, to] = [self.old, self.new].map(|dir| dir.join(at));
        if to.symlink_metadata().is_ok() {
            return Err(PagesError::InTheWay(from));
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(StoreError::io("create directory", parent))?;
        }
        // A second name for the same file: its owner, mode and times stay. Not every file system can.
        let kept = fs::hard_link(&from, &to).or_else(|_| copy(&from, &to));
        Ok(kept.map_err(StoreError::io("keep", &from))?)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = from.symlink_metadata()?.file_type();
    if kind.is_symlink() {
        symlink(from.read_link()?, to)
    } else if kind.is_file() {
        fs::copy(from, to).map(drop)
    } else {
        Err(io::Error::other("it is no file, directory or symbolic link: remove it"))
    }
}
