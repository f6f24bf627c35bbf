//! A run as it lies on the disk: a run directory, its `results.csv`, or such a file alone.

use crate::read::{self, ReadError};
use crate::record::{Record, Sample};
use crate::store::{RESULTS, RUN, RunInfo, SAMPLES, StoreError};
use std::fmt;
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

/// A run that is not among those that were taken up.
#[derive(Debug)]
pub struct LeftOut {
    /// As it was named, or found.
    pub path: PathBuf,
    /// What is the matter with it.
    pub why: Why,
}

/// Why a run is not among those that were taken up.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// Found in a directory of runs: it goes on, or was cut short.
    #[error(
        "it is not finished: it goes on, or was cut short; `drbench run --resume {}` does the rest",
        .0.display()
    )]
    Unfinished(PathBuf),
    /// It cannot be read.
    #[error(transparent)]
    Damaged(#[from] KeptError),
}

impl LeftOut {
    /// Whether something is wrong with it. A run that goes on is no fault.
    pub fn is_damaged(&self) -> bool {
        matches!(self.why, Why::Damaged(_))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is left out: {}", self.path.display(), self.why)
    }
}

/// Runs, and those that could not be taken up beside them.
#[derive(Debug, Default)]
pub struct Gathered {
    /// In the order in which they were named; those of a directory by name.
    pub runs: Vec<KeptRun>,
    /// In the same order.
    pub left_out: Vec<LeftOut>,
}

impl Gathered {
    /// Reads all runs that `paths` name; with `samples` a run whose single values cannot be read is left
    /// out, too. One that cannot be taken up does not stop the others.
    pub fn read(paths: &[PathBuf], samples: bool) -> Self {
        let mut gathered = Self::default();
        for path in paths {
            match runs_at(path) {
                Ok(runs) => {
                    for run in runs {
                        let is_named = run == *path;
                        gathered.add(run, is_named, samples);
                    }
                }
                Err(error) => gathered.leave_out(path.clone(), error.into()),
            }
        }
        gathered
    }

    fn add(&mut self, path: PathBuf, is_named: bool, samples: bool) {
        let run = KeptRun::read(&path).and_then(|run| {
            if samples {
                samples_of(&path)?;
            }
            Ok(run)
        });
        match run {
            Ok(run) => self.runs.push(run),
            // Who names a run wants it: then it is an error that there is nothing of it yet.
            Err(error) if !is_named && is_unfinished(&path, &error) => {
                self.leave_out(path.clone(), Why::Unfinished(path));
            }
            Err(error) => self.leave_out(path, error.into()),
        }
    }

    fn leave_out(&mut self, path: PathBuf, why: Why) {
        self.left_out.push(LeftOut { path, why });
    }
}

/// Whether a run that cannot be read goes on, or was cut short: it has not ended by its `run.json`, and has
/// no rows yet or ends within one.
fn is_unfinished(path: &Path, error: &KeptError) -> bool {
    let goes_on = match error {
        KeptError::Read(ReadError::Truncated { .. }) => true,
        KeptError::Read(ReadError::Io { .. }) => !path.join(RESULTS).exists(),
        KeptError::Read(_) | KeptError::Store(_) | KeptError::NoRuns(_) => false,
    };
    goes_on && matches!(info_of(path), Ok(Some(RunInfo { finished_at: None, .. })))
}

/// The runs that `path` names: itself, or those in a directory of runs, by name, which is by time. Those
/// that have no rows yet are among them.
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
    runs.retain(|entry| entry.join(RESULTS).exists() || entry.join(RUN).exists());
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
