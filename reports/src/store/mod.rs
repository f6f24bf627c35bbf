//! The run directory: `results.csv`, `samples.csv`, `run.json`.
//!
//! Rows are on disk when [`RunDir::append`] returns: a crash loses nothing measured before it.
//! `run.json` is always whole: it is written beside and renamed. A run of several cells keeps each of
//! them so, see [`MatrixDir`].

mod appender;
mod config;
mod info;
mod matrix;
mod noise;

pub use config::Config;
pub(crate) use config::bearing;
pub(crate) use info::written_beside;
pub use info::{Emulator, Environment, RunInfo, SCHEMA};
pub use matrix::MatrixDir;
pub use noise::{Noise, Pace, Seen, Span};

use crate::record::{Invalid, Key, Record, Sample, Subject};
use appender::Appender;
use jiff::Timestamp;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file of the records.
pub const RESULTS: &str = "results.csv";
/// The file of the single values.
pub const SAMPLES: &str = "samples.csv";
/// The file of the run's surroundings.
pub const RUN: &str = "run.json";
/// The mode of a new file, less the umask. A temporary one would be its owner's alone.
pub(crate) const ALL_MAY_READ: u32 = 0o666;

/// What went wrong with a run directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A run is there already.
    #[error(
        "{} already holds a run ({found} is there): choose another directory, or remove it first",
        dir.display()
    )]
    Exists {
        /// The directory.
        dir: PathBuf,
        /// The file found in it.
        found: &'static str,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}; check the path, its permissions and the free space", path.display())]
    Io {
        /// What was tried: `create`, `write to`, …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A row contradicts itself. Nothing of its batch was written.
    #[error("row not written to {}: {source} (in {key})", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Which row.
        key: Box<Key>,
        /// What is wrong with it.
        source: Invalid,
    },
    /// The same metric of the same cell was measured twice. Nothing of its batch was written.
    #[error("row not written to {}: {key} is there already; each metric of a cell is one row", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// Which row.
        key: Box<Key>,
    },
    /// A row of another run. Nothing of its batch was written.
    #[error("row not written to {}: it belongs to run {found}, the directory to {expected}", path.display())]
    ForeignRun {
        /// The file.
        path: PathBuf,
        /// The directory's run.
        expected: String,
        /// The row's.
        found: String,
    },
    /// `run.json` cannot be understood.
    #[error("{} is no run description: {problem}", path.display())]
    RunJson {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl StoreError {
    /// An error of the file system: what was tried on what.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// An empty directory beside `place`, removed when it is dropped: what is made in it gets into its place
/// by a rename. Directories above are created if need be.
///
/// # Errors
/// The file system's.
pub fn beside(place: &Path, prefix: &str) -> Result<tempfile::TempDir, StoreError> {
    let parent = match place.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(StoreError::io("create directory", parent))?;
    let beside = tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
    beside.map_err(StoreError::io("create a directory in", parent))
}

/// A run being written.
#[derive(Debug)]
pub struct RunDir {
    dir: PathBuf,
    info: RunInfo,
    results: Appender,
    samples: Appender,
    written: HashSet<(Subject, Key)>,
}

impl RunDir {
    /// Begins a run in `dir`, which is created if need be. The files are there at once, headers
    /// written.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if a run is there already: nothing is ever overwritten.
    pub fn create(dir: &Path, info: RunInfo) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::io("create directory", dir))?;
        if let Some(found) = [RESULTS, SAMPLES, RUN]
            .into_iter()
            .find(|file| dir.join(file).symlink_metadata().is_ok())
        {
            return Err(StoreError::Exists { dir: dir.to_owned(), found });
        }
        info.write_new(dir)?;
        Ok(Self {
            results: Appender::create::<Record>(dir.join(RESULTS))?,
            samples: Appender::create::<Sample>(dir.join(SAMPLES))?,
            dir: dir.to_owned(),
            info,
            written: HashSet::new(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// What `run.json` says.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Appends a batch of rows: all or, on an error, none.
    ///
    /// # Errors
    /// A row that contradicts itself, stands there already, or belongs to another run; or the
    /// disk is full: what was there before stays whole.
    pub fn append(&mut self, rows: &[Record]) -> Result<(), StoreError> {
        let mut new = HashSet::new();
        for row in rows {
            self.check(row)?;
            let id = (row.subject.clone(), row.key.clone());
            if self.written.contains(&id) || !new.insert(id) {
                return Err(StoreError::Duplicate {
                    path: self.results.path().to_owned(),
                    key: Box::new(row.key.clone()),
                });
            }
        }
        self.results.append(rows)?;
        self.written.extend(new);
        Ok(())
    }

    fn check(&self, row: &Record) -> Result<(), StoreError> {
        if row.run.run_id != self.info.run.run_id {
            return Err(StoreError::ForeignRun {
                path: self.results.path().to_owned(),
                expected: self.info.run.run_id.to_string(),
                found: row.run.run_id.to_string(),
            });
        }
        row.validate().map_err(|source| StoreError::Invalid {
            path: self.results.path().to_owned(),
            key: Box::new(row.key.clone()),
            source,
        })
    }

    /// Appends single values: all or, on an error, none.
    ///
    /// # Errors
    /// The file system's.
    pub fn append_samples(&mut self, samples: &[Sample]) -> Result<(), StoreError> {
        self.samples.append(samples)
    }

    /// Adds what was found out about one kernel on one machine, and rewrites `run.json`.
    ///
    /// # Errors
    /// The file system's; the old `run.json` stays whole.
    pub fn add_environment(&mut self, environment: Environment) -> Result<(), StoreError> {
        self.info.environments.push(environment);
        self.info.replace(&self.dir)
    }

    /// Adds to the newest environment what disturbed the measurement there, and rewrites `run.json`.
    ///
    /// # Errors
    /// The file system's; the old `run.json` stays whole.
    pub fn add_noise(&mut self, noise: Noise) -> Result<(), StoreError> {
        if let Some(environment) = self.info.environments.last_mut() {
            environment.noise = Some(noise);
        }
        self.info.replace(&self.dir)
    }

    /// Ends the run: notes the time in `run.json` and waits until everything is on the disk.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(self) -> Result<RunInfo, StoreError> {
        self.finish_at(Some(Timestamp::now()))
    }

    /// [`finish`](Self::finish) at another time.
    pub(crate) fn finish_at(mut self, when: Option<Timestamp>) -> Result<RunInfo, StoreError> {
        self.results.sync()?;
        self.samples.sync()?;
        self.info.finished_at = when;
        self.info.replace(&self.dir)?;
        Ok(self.info)
    }
}
