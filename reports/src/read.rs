//! Reading `results.csv` and `samples.csv`: strictly, one row at a time, saying where what is wrong.
//!
//! [`Texts`] gives rows as texts that are whole; [`Reader`] what they mean.

use crate::record::columns::{Fields, Misread, Part};
use crate::record::{Invalid, Record, Sample, Unexpected, header};
use crate::store::{RESULTS, SAMPLES};
use csv::{ErrorKind, StringRecord};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

mod watch;
use watch::{LONGEST_LINE, Watch};

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The file.
    pub path: PathBuf,
    /// The line on which the row begins, from 1.
    pub line: u64,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.path.display(), self.line)
    }
}

/// Why results cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file, or it may not be read.
    #[error(
        "cannot read {}: {source}; name a {RESULTS} or the run directory that holds it",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The first line is not the header.
    #[error("{}: {problem}; is it a file of this version of drbench?", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        problem: String,
    },
    /// A row with too few or too many fields.
    #[error("{at}: expected {expected} fields, found {found}")]
    FieldCount {
        /// Where.
        at: At,
        /// As many as columns.
        expected: u64,
        /// As many as there are.
        found: u64,
    },
    /// Bytes that are no UTF-8.
    #[error("{at}, column `{column}`: expected UTF-8 text, found other bytes")]
    NotUtf8 {
        /// Where.
        at: At,
        /// In which column.
        column: &'static str,
    },
    /// A text that the column cannot hold.
    #[error("{at}, column `{column}`: {source}")]
    Field {
        /// Where.
        at: At,
        /// In which column.
        column: &'static str,
        /// What was expected and found.
        source: Unexpected,
    },
    /// Columns that contradict each other.
    #[error("{at}, {source}")]
    Invalid {
        /// Where.
        at: At,
        /// What contradicts what.
        source: Invalid,
    },
    /// The file ends within a row.
    #[error(
        "{at}: the last line is cut off; the writer was stopped, or the copy is incomplete: \
         remove the line if the rows before it are enough"
    )]
    Truncated {
        /// Where.
        at: At,
    },
    /// A line without an end, as far as anybody would read it.
    #[error(
        "{at}: the line is longer than {LONGEST_LINE} bytes; no file of drbench has such lines"
    )]
    TooLong {
        /// Where.
        at: At,
    },
    /// The same metric of the same cell twice.
    #[error("{at}: the same kernel, cell, metric and source as on line {first}; expected it once")]
    Duplicate {
        /// Where.
        at: At,
        /// The line on which it stands first.
        first: u64,
    },
}

/// A row of one of the files.
pub trait Row: Part {
    /// What must hold between its columns.
    ///
    /// # Errors
    /// The first column that contradicts the others.
    fn check(&self) -> Result<(), Invalid>;
    /// The hash of what may stand in a file only once.
    fn identity(&self, hasher: &RandomState) -> u64;
}

impl Row for Record {
    fn check(&self) -> Result<(), Invalid> {
        self.validate()
    }
    fn identity(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one((&self.subject, &self.key))
    }
}

impl Row for Sample {
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
    fn identity(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one((&self.subject, &self.key, self.boot, self.batch))
    }
}

/// The rows of one file as texts, as many as there are columns. After an error there is nothing more.
#[derive(Debug)]
pub struct Texts<R> {
    path: PathBuf,
    csv: csv::Reader<Watch<R>>,
    columns: Vec<&'static str>,
    row: StringRecord,
    ended: bool,
}

/// The rows of one file, in its order. After an error there is nothing more.
#[derive(Debug)]
pub struct Reader<R, P = Record> {
    texts: Texts<R>,
    /// The line of each row by the hash of its kernel and key: 16 bytes a row instead of 500.
    /// Two of a million keys share a hash once in 40 million files.
    lines: HashMap<u64, u64>,
    hasher: RandomState,
    rows: PhantomData<P>,
}

/// All rows of `path`, a `results.csv` or a run directory.
///
/// # Errors
/// The first thing wrong with the file.
pub fn read(path: &Path) -> Result<Vec<Record>, ReadError> {
    open(path)?.collect()
}

/// The rows of `path`, a `results.csv` or a run directory, one at a time.
///
/// # Errors
/// No such file, or not a file of results; every row can be an error too.
pub fn open(path: &Path) -> Result<Reader<File>, ReadError> {
    Ok(Reader::over(open_texts(path)?.0))
}

/// The rows of `path`, a `results.csv` or a run directory, as texts; and the file's size in bytes.
///
/// # Errors
/// No such file, or not a file of results.
pub fn open_texts(path: &Path) -> Result<(Texts<File>, u64), ReadError> {
    let path = if path.is_dir() { path.join(RESULTS) } else { path.to_owned() };
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    match opened {
        Ok((bytes, file)) => Ok((Texts::of::<Record>(file, path)?, bytes)),
        Err(source) => Err(ReadError::Io { path, source }),
    }
}

/// All single values of a run directory.
///
/// # Errors
/// The first thing wrong with its `samples.csv`.
pub fn read_samples(dir: &Path) -> Result<Vec<Sample>, ReadError> {
    let path = dir.join(SAMPLES);
    match File::open(&path) {
        Ok(file) => Reader::of(file, path)?.collect(),
        Err(source) => Err(ReadError::Io { path, source }),
    }
}

impl<R: io::Read> Reader<R> {
    /// The records of `bytes`; `path` is their name in errors.
    ///
    /// # Errors
    /// If the first line is not the header.
    pub fn new(bytes: R, path: impl Into<PathBuf>) -> Result<Self, ReadError> {
        Self::of(bytes, path)
    }
}

impl<R: io::Read> Texts<R> {
    /// The rows of `bytes` with the columns of `P`; `path` is their name in errors.
    ///
    /// # Errors
    /// If the first line is not the header.
    pub fn of<P: Part>(bytes: R, path: impl Into<PathBuf>) -> Result<Self, ReadError> {
        const BUFFER: usize = 1 << 16;
        let mut reader = Self {
            path: path.into(),
            csv: csv::ReaderBuilder::new().buffer_capacity(BUFFER).from_reader(Watch::new(bytes)),
            columns: header::<P>(),
            row: StringRecord::new(),
            ended: false,
        };
        let found = match reader.csv.headers() {
            Ok(found) => found.clone(),
            Err(error) => return Err(reader.csv_error(error)),
        };
        if reader.csv.get_ref().is_torn() {
            return Err(ReadError::Truncated { at: reader.at(1) });
        }
        match header_problem(&reader.columns, &found) {
            None => Ok(reader),
            Some(problem) => Err(ReadError::Header { path: reader.path, problem }),
        }
    }

    fn at(&self, line: u64) -> At {
        At { path: self.path.clone(), line }
    }

    /// The next row and its line.
    ///
    /// # Errors
    /// It is not as a row must be.
    pub fn next_row(&mut self) -> Result<Option<(&StringRecord, u64)>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        // Until it is known that there is one.
        self.ended = true;
        let more = self.csv.read_record(&mut self.row);
        let line = match &more {
            Ok(_) => self.row.position().map_or(0, csv::Position::line),
            Err(error) => error.position().map_or(0, csv::Position::line),
        };
        if self.csv.get_ref().is_torn() {
            return Err(ReadError::Truncated { at: self.at(line) });
        }
        match more {
            Ok(true) => {
                self.ended = false;
                Ok(Some((&self.row, line)))
            }
            Ok(false) => Ok(None),
            Err(error) => Err(self.csv_error(error)),
        }
    }

    /// What is wrong with a field of the row on this line.
    pub(crate) fn misread(&self, line: u64, Misread { index, unexpected }: Misread) -> ReadError {
        ReadError::Field { at: self.at(line), column: self.column(index), source: unexpected }
    }

    /// The row on this line contradicts itself.
    pub(crate) fn invalid(&self, line: u64, source: Invalid) -> ReadError {
        ReadError::Invalid { at: self.at(line), source }
    }

    /// The row on this line stood on another before.
    pub(crate) fn duplicate(&self, line: u64, first: u64) -> ReadError {
        ReadError::Duplicate { at: self.at(line), first }
    }

    fn column(&self, index: usize) -> &'static str {
        self.columns.get(index).copied().unwrap_or("?")
    }

    fn csv_error(&self, error: csv::Error) -> ReadError {
        let at = self.at(error.position().map_or(1, csv::Position::line));
        match error.into_kind() {
            ErrorKind::Io(_) if self.csv.get_ref().is_too_long() => ReadError::TooLong { at },
            ErrorKind::Io(source) => ReadError::Io { path: self.path.clone(), source },
            ErrorKind::Utf8 { err, .. } => {
                ReadError::NotUtf8 { at, column: self.column(err.field()) }
            }
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                ReadError::FieldCount { at, expected: expected_len, found: len }
            }
            // The other kinds belong to seeking, serde and writing.
            other => ReadError::Io {
                path: self.path.clone(),
                source: io::Error::other(format!("{other:?}")),
            },
        }
    }
}

impl<R: io::Read, P: Row> Reader<R, P> {
    fn of(bytes: R, path: impl Into<PathBuf>) -> Result<Self, ReadError> {
        Ok(Self::over(Texts::of::<P>(bytes, path)?))
    }

    fn over(texts: Texts<R>) -> Self {
        Self { texts, lines: HashMap::new(), hasher: RandomState::new(), rows: PhantomData }
    }

    fn next_row(&mut self) -> Result<Option<P>, ReadError> {
        let Some((texts, line)) = self.texts.next_row()? else { return Ok(None) };
        let row = P::read(&mut Fields::new(texts));
        let row = row.map_err(|misread| self.texts.misread(line, misread))?;
        row.check().map_err(|source| self.texts.invalid(line, source))?;
        match self.lines.insert(row.identity(&self.hasher), line) {
            None => Ok(Some(row)),
            Some(first) => Err(self.texts.duplicate(line, first)),
        }
    }
}

impl<R: io::Read, P: Row> Iterator for Reader<R, P> {
    type Item = Result<P, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_row().transpose();
        self.texts.ended |= !matches!(next, Some(Ok(_)));
        next
    }
}

/// What distinguishes the header found from the one expected.
fn header_problem(expected: &[&str], found: &StringRecord) -> Option<String> {
    if found.iter().eq(expected.iter().copied()) {
        return None;
    }
    if found.is_empty() {
        return Some("expected a header, found an empty file".to_owned());
    }
    let missing: Vec<_> = expected
        .iter()
        .filter(|name| !found.iter().any(|other| other == **name))
        .map(|name| format!("`{name}`"))
        .collect();
    if !missing.is_empty() {
        return Some(format!("missing in the header: {}", missing.join(", ")));
    }
    let (place, (found, expected)) = found
        .iter()
        .zip(expected.iter().copied().chain(std::iter::repeat("no more columns")))
        .enumerate()
        .find(|(_, (found, expected))| found != expected)?;
    let place = place + 1;
    Some(Unexpected::new(format!("column {place} to be `{expected}`"), found).to_string())
}
