//! The rows of an export, and what may stand for them.

use super::index::Index;
use super::{ExportError, Runs};
use crate::kept::KeptRun;
use crate::record::columns::Part;
use crate::record::{Record, Status, Value};
use csv::StringRecord;

impl<'a> Runs<'a> {
    /// Every row and the run it is of.
    pub fn rows(&self) -> impl Iterator<Item = (&'a KeptRun, &'a Record)> + use<'a> {
        self.all.iter().flat_map(|run| run.records.iter().map(move |record| (run, record)))
    }

    /// Every row that has a value, with what it is called.
    ///
    /// # Errors
    /// Two rows are called the same.
    pub fn named(
        &self,
        name: fn(&Record) -> String,
    ) -> Result<Vec<(String, Value, &'a Record)>, ExportError> {
        // Rows without a value count, too: whether a file is refused must not depend on a failure.
        self.refuse_equal(name)?;
        let named = |(_, record): (_, &'a Record)| Some((name(record), value(record)?, record));
        Ok(self.rows().filter_map(named).collect())
    }

    /// Refuses two rows that are called the same.
    pub fn refuse_equal(&self, name: fn(&Record) -> String) -> Result<(), ExportError> {
        let (mut index, mut seen) = (Index::default(), Vec::new());
        for (run, record) in self.rows() {
            match seen.get(index.place(name(record))) {
                Some(first) => return Err(self.collision(*first, (run, record))),
                None => seen.push((run, record)),
            }
        }
        Ok(())
    }

    /// Refuses a file without a value; `notes` say what became of the rows.
    pub fn refuse_nothing(&self, values: usize, notes: &[String]) -> Result<(), ExportError> {
        match self.all.first().filter(|_| values == 0) {
            None => Ok(()),
            Some(first) => Err(ExportError::Nothing {
                format: self.format,
                run: first.path.clone(),
                why: notes.join("; "),
            }),
        }
    }

    fn collision(&self, one: (&KeptRun, &Record), other: (&KeptRun, &Record)) -> ExportError {
        let (format, runs) = (self.format, (one.0.path.clone(), other.0.path.clone()));
        let (one, other) = (one.1, other.1);
        if one.subject == other.subject {
            let (subject, key) = (one.subject.clone(), one.key.clone());
            ExportError::Twice { format, runs, subject: Box::new(subject), key: Box::new(key) }
        } else {
            let (one, other) = (Box::new(one.subject.clone()), Box::new(other.subject.clone()));
            ExportError::Kernels { format, runs, one, other }
        }
    }
}

/// What may stand for a row: its value, if it is as it should be.
pub fn value(record: &Record) -> Option<Value> {
    record.value.filter(|_| record.status == Status::Ok)
}

/// The interval of a row that has a value.
pub fn interval(record: &Record) -> Option<(Value, Value)> {
    value(record)?;
    record.ci_low.zip(record.ci_high)
}

/// The columns of a part of a row: their names and texts.
pub fn columns<P: Part>(part: &P) -> Vec<(&'static str, String)> {
    let mut names = Vec::new();
    P::columns("", &mut names);
    let mut texts = StringRecord::new();
    part.write(&mut texts);
    names.into_iter().zip(texts.iter().map(str::to_owned)).collect()
}
