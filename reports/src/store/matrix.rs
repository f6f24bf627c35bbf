//! A run of several cells: each has a directory of its own, whole or absent, and the run's files are
//! put together from those.
//!
//! ```text
//! OUT/results.csv, samples.csv, run.json   from the finished cells, in the plan's order
//! OUT/cells/NAME/                          a finished cell: its rows, run.json, cell.json
//! OUT/cells/.NAME.partial/                 one being measured
//! ```

use super::{RESULTS, RUN, RunDir, RunInfo, SAMPLES, StoreError};
use crate::record::{Subject, Target};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The directory of the cells.
const CELLS: &str = "cells";
/// What is known of a finished cell beside its rows.
const CELL: &str = "cell.json";
/// What names of files that are being written end with.
const PARTIAL: &str = ".partial";

/// A run directory that is put together from its cells. One process at a time may write to it: the
/// caller sees to that.
#[derive(Debug)]
pub struct MatrixDir {
    dir: PathBuf,
    info: RunInfo,
    cells: Vec<String>,
}

impl MatrixDir {
    /// Begins a run of `cells`, names of directories, in the order of the plan.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if a run is there already, else the file system's.
    pub fn create(dir: &Path, info: RunInfo, cells: Vec<String>) -> Result<Self, StoreError> {
        RunDir::create(dir, info.clone())?;
        Self::new(dir, info, cells)
    }

    /// Goes on with a run whose `run.json` was read. What a killed process left half done goes.
    ///
    /// # Errors
    /// The file system's.
    pub fn reopen(dir: &Path, info: RunInfo, cells: Vec<String>) -> Result<Self, StoreError> {
        let matrix = Self::new(dir, info, cells)?;
        for place in [dir.to_owned(), dir.join(CELLS)] {
            let listing = fs::read_dir(&place).map_err(StoreError::io("list", &place))?;
            for entry in listing.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let ours = name.ends_with(PARTIAL) || name.starts_with(".run-");
                if name.starts_with('.') && ours {
                    remove(&entry.path())?;
                }
            }
        }
        Ok(matrix)
    }

    fn new(dir: &Path, info: RunInfo, cells: Vec<String>) -> Result<Self, StoreError> {
        let folder = dir.join(CELLS);
        fs::create_dir_all(&folder).map_err(StoreError::io("create directory", &folder))?;
        Ok(Self { dir: dir.to_owned(), info, cells })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// What `run.json` says.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// The directory of a finished cell.
    pub fn finished(&self, cell: &str) -> Option<PathBuf> {
        let dir = self.dir.join(CELLS).join(cell);
        dir.is_dir().then_some(dir)
    }

    /// What was written down beside the rows of a finished cell.
    ///
    /// # Errors
    /// No such cell, or not JSON of this form.
    pub fn about<T: DeserializeOwned>(&self, cell: &str) -> Result<T, StoreError> {
        let path = self.dir.join(CELLS).join(cell).join(CELL);
        let text = fs::read(&path).map_err(StoreError::io("read", &path))?;
        serde_json::from_slice(&text)
            .map_err(|error| StoreError::io("understand", &path)(error.into()))
    }

    /// Begins a cell: an empty run directory under another name.
    ///
    /// # Errors
    /// The file system's.
    pub fn begin(&self, cell: &str) -> Result<RunDir, StoreError> {
        let partial = self.partial(cell);
        remove(&partial)?;
        RunDir::create(&partial, RunInfo { plan: None, environments: vec![], ..self.info.clone() })
    }

    /// Ends a cell: everything is on the disk, then it gets its name, then the run's files are put
    /// together anew. `about` is kept beside its rows.
    ///
    /// # Errors
    /// The file system's; all that was finished before stays whole.
    pub fn end(
        &mut self,
        cell: &str,
        rows: RunDir,
        about: &impl Serialize,
    ) -> Result<(), StoreError> {
        let partial = rows.path().to_owned();
        rows.finish()?;
        let text = serde_json::to_vec_pretty(about).unwrap_or_default();
        write_whole(&partial.join(CELL), &text)?;
        let place = self.dir.join(CELLS).join(cell);
        fs::rename(&partial, &place).map_err(StoreError::io("rename to", &place))?;
        sync_directory(&self.dir.join(CELLS))?;
        self.assemble()
    }

    /// Takes a finished cell back, so that it can be measured again.
    ///
    /// # Errors
    /// The file system's.
    pub fn forget(&self, cell: &str) -> Result<(), StoreError> {
        let (place, partial) = (self.dir.join(CELLS).join(cell), self.partial(cell));
        remove(&partial)?;
        fs::rename(&place, &partial).map_err(StoreError::io("rename", &place))?;
        remove(&partial)
    }

    /// Notes in `run.json` that the run has ended.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        self.info.finished_at = Some(Timestamp::now());
        self.assemble()
    }

    /// Writes the run's files from the finished cells, each beside and renamed. Of two cells that
    /// turned out to be one kernel on one machine, the later is left out.
    ///
    /// # Errors
    /// The file system's; the old files stay whole.
    pub fn assemble(&mut self) -> Result<(), StoreError> {
        let (mut results, mut samples) = (Vec::new(), Vec::new());
        let (mut environments, mut seen) = (Vec::new(), HashSet::new());
        for cell in &self.cells {
            let Some(dir) = self.finished(cell) else { continue };
            let info = RunInfo::read(&dir)?;
            let id = info.environments.first().map(|e| (e.subject.clone(), e.target.clone()));
            if id.is_some_and(|id: (Subject, Target)| !seen.insert(id)) {
                continue;
            }
            environments.extend(info.environments);
            append_rows(&dir.join(RESULTS), &mut results)?;
            append_rows(&dir.join(SAMPLES), &mut samples)?;
        }
        for (file, text) in [(RESULTS, results), (SAMPLES, samples)] {
            if !text.is_empty() {
                self.replace(file, &text)?;
            }
        }
        self.info.environments = environments;
        let text = serde_json::to_vec_pretty(&self.info).unwrap_or_default();
        self.replace(RUN, &[text, b"\n".to_vec()].concat())
    }

    fn replace(&self, file: &str, text: &[u8]) -> Result<(), StoreError> {
        let (beside, place) = (self.dir.join(format!(".{file}{PARTIAL}")), self.dir.join(file));
        write_whole(&beside, text)?;
        fs::rename(&beside, &place).map_err(StoreError::io("replace", &place))
    }

    fn partial(&self, cell: &str) -> PathBuf {
        self.dir.join(CELLS).join(format!(".{cell}{PARTIAL}"))
    }
}

/// Appends a CSV file's rows; the header too if it is the first.
fn append_rows(path: &Path, text: &mut Vec<u8>) -> Result<(), StoreError> {
    let file = fs::read(path).map_err(StoreError::io("read", path))?;
    let header = file.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    text.extend_from_slice(if text.is_empty() { &file } else { &file[header..] });
    Ok(())
}

fn write_whole(path: &Path, text: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(text)?;
        file.sync_all()
    };
    write().map_err(StoreError::io("write to", path))
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(StoreError::io("write to", path))
}

/// Removes a file or a directory, if it is there.
fn remove(path: &Path) -> Result<(), StoreError> {
    let removed = match path.symlink_metadata() {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
