//! Runs in the formats of others: of CI systems, dashboards and benchmark trackers.
//!
//! A format is a file here and a row of [`FORMATS`]. What all have in common: a value is exported only
//! if its row is ok, to the last digit; a row that is not ok is a failure, an error or a skip with its
//! reason where the format has such a thing, and is told as left out where it has not; and a name says
//! everything that tells a row from another, or the export is refused.

mod action;
mod bmf;
mod checks;
mod compared;
mod criterion;
mod gobench;
mod index;
mod json;
mod junit;
mod kcidb;
mod ktap;
mod name;
mod notes;
mod prometheus;
mod rows;
mod text;
mod write;

pub use checks::{Check, Checks, Group, Verdict};
pub use junit::junit;
pub use ktap::ktap;
pub use write::write;

use crate::kept::KeptRun;
use crate::record::{Key, Subject, Unexpected};
use std::path::PathBuf;
use std::str::FromStr;

/// A format that runs can be written in.
#[derive(Debug)]
pub struct Format {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    write: Writer,
}

/// How a format is written.
#[derive(Debug)]
enum Writer {
    /// Tests, whose names say all there is to tell apart.
    Tests(fn(&Checks) -> String),
    /// All rows there are, whatever became of them.
    Labels(fn(&Runs<'_>) -> Exported),
    /// Rows with names, which may not be enough to tell them apart; or only rows that have a value.
    Names(fn(&Runs<'_>) -> Result<Exported, ExportError>),
}

/// Every format there is.
pub const FORMATS: &[Format] = &[
    Format {
        name: "junit",
        about: "JUnit XML: a test case for each cell; for Jenkins, GitLab and most others",
        write: Writer::Tests(junit),
    },
    Format {
        name: "ktap",
        about: "KTAP, the kernel's test results: a test for each cell; for kunit.py and TAP readers",
        write: Writer::Tests(ktap),
    },
    Format {
        name: "prometheus",
        about: "Prometheus text, for the textfile collector of node_exporter",
        write: Writer::Names(prometheus::export),
    },
    Format {
        name: "bmf",
        about: "Bencher Metric Format, JSON, each row of one kernel; for bencher run --adapter json",
        write: Writer::Names(bmf::export),
    },
    Format {
        name: "github-action-benchmark",
        about: "JSON for its tool customSmallerIsBetter, each row of one kernel: what costs",
        write: Writer::Names(action::smaller),
    },
    Format {
        name: "github-action-benchmark-bigger",
        about: "the same for customBiggerIsBetter: what is better the larger it is",
        write: Writer::Names(action::bigger),
    },
    Format {
        name: "kcidb",
        about: "I/O data of the Linux kernel's common report database, JSON",
        write: Writer::Labels(kcidb::export),
    },
    Format {
        name: "gobench",
        about: "Go benchmark text, for benchstat",
        write: Writer::Names(gobench::export),
    },
    Format {
        name: "criterion",
        about: "a baseline as critcmp exports one, JSON, of one kernel",
        write: Writer::Names(criterion::export),
    },
];

/// What an export came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The whole file.
    pub text: String,
    /// What the file does not hold, or not as it was, in sentences for a person.
    pub notes: Vec<String>,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A run without rows.
    #[error("{} holds no rows: its run ended before anything was measured; name another", .0.display())]
    NoRows(PathBuf),
    /// A row is there twice.
    #[error(
        "{} and {} both hold {key} of {subject}: a {format} file holds each row once; name one of the \
         two, or write a file for each", runs.0.display(), runs.1.display()
    )]
    Twice {
        /// The format.
        format: &'static str,
        /// The two runs.
        runs: (PathBuf, PathBuf),
        /// The kernel.
        subject: Box<Subject>,
        /// The row.
        key: Box<Key>,
    },
    /// Two kernels have the same row, in a format whose names leave the kernel out; or there are two in one
    /// that is of one kernel.
    #[error(
        "{one} (in {}) and {other} (in {}): a {format} file holds each row of one kernel only, for its \
         names stay the same from kernel to kernel; write a file for each: a run's kernels lie in \
         RUN/cells/*",
        runs.0.display(), runs.1.display()
    )]
    Kernels {
        /// The format.
        format: &'static str,
        /// The two runs; may be the same.
        runs: (PathBuf, PathBuf),
        /// The first's kernel.
        one: Box<Subject>,
        /// The second's.
        other: Box<Subject>,
    },
    /// No row has anything for the format. Readers take an empty file for an error, or for success.
    #[error(
        "{} has nothing that a {format} file holds, and an empty one is not written: {why}", run.display()
    )]
    Nothing {
        /// The format.
        format: &'static str,
        /// The run; of several, the first.
        run: PathBuf,
        /// What became of the rows, and what would hold them.
        why: String,
    },
}

/// Who submits results to the kernel's report database: `drbench`, if nothing else was agreed on.
///
/// ```
/// use reports::export::Origin;
/// assert!("kernel_lab_7".parse::<Origin>().is_ok());
/// assert!("Kernel lab".parse::<Origin>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self("drbench".to_owned())
    }
}

impl FromStr for Origin {
    type Err = Unexpected;

    fn from_str(text: &str) -> Result<Self, Unexpected> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if !text.is_empty() && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Unexpected::new("an origin of small letters, digits and _", text))
        }
    }
}

/// What is exported.
struct Runs<'a> {
    all: &'a [KeptRun],
    /// The format's name, for errors.
    format: &'static str,
    origin: &'a Origin,
}

/// Writes runs in a format.
///
/// # Errors
/// A run without rows, rows that the format cannot tell apart, or none that it has a place for. Rows that
/// are not ok are no error as long as others are.
///
/// ```
/// use reports::export::{FORMATS, Origin, export};
/// let nothing = export(&FORMATS[0], &[], &Origin::default()).unwrap();
/// assert!(nothing.text.contains("<testsuites"));
/// ```
pub fn export(format: &Format, runs: &[KeptRun], origin: &Origin) -> Result<Exported, ExportError> {
    if let Some(empty) = runs.iter().find(|run| run.records.is_empty()) {
        return Err(ExportError::NoRows(empty.path.clone()));
    }
    let all = Runs { all: runs, format: format.name, origin };
    // No format may count a row of one run twice.
    all.refuse_equal(name::row_of_run)?;
    match format.write {
        Writer::Tests(text) => Ok(Exported { text: text(&Checks::of_runs(runs)), notes: vec![] }),
        Writer::Labels(write) => Ok(write(&all)),
        Writer::Names(write) => write(&all),
    }
}
