//! A run as it lies on the disk: a run directory, its `results.csv`, or such a file alone.

use crate::read::{self, ReadError};
use crate::record::{Record, Sample};
use crate::store::{RESULTS, RUN, RunInfo, SAMPLES, StoreError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a kept run cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// Its rows cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its `run.json` cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A directory that holds neither rows nor runs.
    #[error(
        "{} holds no {RESULTS} and no run directories: name a run, or a directory of runs", .0.display()
    )]
    NoRuns(PathBuf),
}

/// A run with everything that is read at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRun {
    /// As it was named.
    pub path: PathBuf,
    /// What surrounded it; none where no `run.json` lies beside the rows.
    pub info: Option<RunInfo>,
    /// Its rows, in the file's order.
    pub records: Vec<Record>,
}

impl KeptRun {
    /// The run at `path`: a run directory or a `results.csv`.
    ///
    /// # Errors
    /// The first thing wrong with its files.
    pub fn read(path: &Path) -> Result<Self, KeptError> {
        // First what says of which version the rows are.
        let info = info_of(path)?;
        Ok(Self { path: path.to_owned(), info, records: read::read(path)? })
    }
}

/// The runs that `path` names: itself, or those in a directory of runs, by name, which is by time.
///
/// # Errors
/// It cannot be listed, or holds no run.
pub fn runs_at(path: &Path) -> Result<Vec<PathBuf>, KeptError> {
    if !path.is_dir() || path.join(RESULTS).exists() || path.join(RUN).exists() {
        return Ok(vec![path.to_owned()]);
    }
    let listing = fs::read_dir(path).map_err(StoreError::io("list", path))?;
    let entries: Result<Vec<_>, io::Error> = listing.collect();
    let entries = entries.map_err(StoreError::io("list", path))?;
    let mut runs: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
    runs.retain(|entry| entry.join(RESULTS).exists());
    runs.sort();
    if runs.is_empty() { Err(KeptError::NoRuns(path.to_owned())) } else { Ok(runs) }
}

/// What surrounded a run; none where no `run.json` lies beside its rows.
///
/// # Errors
/// It is there and cannot be read, or is of a newer version.
pub fn info_of(path: &Path) -> Result<Option<RunInfo>, StoreError> {
    dir_of(path).filter(|dir| dir.join(RUN).exists()).map(RunInfo::read).transpose()
}

/// The single values of a run; none where they do not lie beside its rows.
///
/// # Errors
/// They are there and cannot be read.
pub fn samples_of(path: &Path) -> Result<Vec<Sample>, ReadError> {
    match dir_of(path).filter(|dir| dir.join(SAMPLES).exists()) {
        Some(dir) => read::read_samples(dir),
        None => Ok(vec![]),
    }
}

/// The directory itself, or the one that a `results.csv` lies in.
fn dir_of(path: &Path) -> Option<&Path> {
    let is_results = path.file_name().is_some_and(|name| name == RESULTS);
    let dir = if path.is_dir() { Some(path) } else { path.parent().filter(|_| is_results) }?;
    // Of a bare file name the parent is the empty path.
    Some(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })
}
