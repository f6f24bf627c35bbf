//! A CSV file that only grows, by whole rows.

use super::StoreError;
use crate::record::columns::Part;
use crate::record::header;
use csv::StringRecord;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// An open CSV file and the length up to which it is known to be whole.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    file: File,
    whole: u64,
}

impl Appender {
    /// A new file with the header of `P`.
    pub(super) fn create<P: Part>(path: PathBuf) -> Result<Self, StoreError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(StoreError::io("create", &path))?;
        let mut appender = Self { path, file, whole: 0 };
        appender.write(&[StringRecord::from(header::<P>())])?;
        Ok(appender)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends rows. A row that could only be written in part is taken back.
    pub(super) fn append<P: Part>(&mut self, rows: &[P]) -> Result<(), StoreError> {
        let texts: Vec<_> = rows
            .iter()
            .map(|row| {
                let mut texts = StringRecord::new();
                row.write(&mut texts);
                texts
            })
            .collect();
        self.write(&texts)
    }

    fn write(&mut self, rows: &[StringRecord]) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        {
            // Writing to memory: neither of the two can fail.
            let mut csv = csv::Writer::from_writer(&mut bytes);
            for row in rows {
                csv.write_record(row)
                    .map_err(|error| self.failed("format rows for", error.into()))?;
            }
            csv.flush().map_err(|error| self.failed("format rows for", error))?;
        }
        if let Err(error) = self.file.write_all(&bytes) {
            // Should this fail too, the reader will find the torn line.
            let _ = self.file.set_len(self.whole);
            let _ = self.file.seek(SeekFrom::Start(self.whole));
            return Err(self.failed("write to", error));
        }
        self.whole += bytes.len() as u64;
        Ok(())
    }

    /// Waits until the rows have reached the disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::io("write to", &self.path))
    }

    fn failed(&self, action: &'static str, error: std::io::Error) -> StoreError {
        StoreError::io(action, &self.path)(error)
    }
}
