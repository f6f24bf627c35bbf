//! The rows of a run, compactly: what stands in many rows is kept once. A million of them take some
//! hundred megabytes less than as many [`Record`]s, and are read in a fraction of the time.

use super::{CompareError, Side};
use crate::read::{ReadError, Texts, open_texts};
use crate::record::columns::{Fields, Misread, Part};
use crate::record::{
    Cell, Key, Metric, Name, Record, Run, Source, Status, Subject, Target, Unit, Value, check,
    verdict_name,
};
use crate::statistics::Median;
use csv::StringRecord;
use foldhash::fast::RandomState;
use indexmap::map::Entry;
use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// Tables whose hashes are quick and seeded anew by each process.
type IndexMap<K, V> = indexmap::IndexMap<K, V, RandomState>;
type IndexSet<K> = indexmap::IndexSet<K, RandomState>;

/// Which row, by places in the tables of its [`Rows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id {
    pub subject: u32,
    pub target: u32,
    pub cell: u32,
    pub metric: u32,
    pub source: Source,
}

/// What a row says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub value: Option<Value>,
    /// Place in the table. Of a verdict's reason only the name: explanations may differ.
    pub reason: u32,
    /// From 1; 0 for a row of no file.
    line: u32,
    pub unit: Unit,
    pub status: Status,
    pub deterministic: bool,
}

/// The rows of one side of a comparison, in their order, each once.
#[derive(Debug, Default)]
pub struct Rows {
    runs: IndexSet<Name>,
    pub(super) subjects: IndexSet<Arc<Subject>>,
    pub(super) targets: IndexSet<Arc<Target>>,
    pub(super) cells: IndexSet<Arc<Cell>>,
    pub(super) metrics: IndexSet<Metric>,
    reasons: IndexSet<Box<str>>,
    pub(super) facts: IndexMap<Id, Facts>,
    /// Intervals of those that have one, by their places in `facts`, in order: few rows do.
    intervals: Vec<(u32, (f64, f64))>,
}

impl Rows {
    /// The rows of `path`, a `results.csv` or a run directory.
    ///
    /// # Errors
    /// The first thing wrong with the file.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        /// A usual row's, and the most that is made room for before a row is seen.
        const BYTES: u64 = 256;
        const MOST_ROOM: u64 = 1 << 20;
        let (texts, bytes) = open_texts(path)?;
        let room = usize::try_from((bytes / BYTES).min(MOST_ROOM)).unwrap_or_default();
        let facts = IndexMap::with_capacity_and_hasher(room, RandomState::default());
        Self { facts, ..Self::default() }.with_texts(texts)
    }

    /// The rows of two runs, read side by side.
    pub fn read_both(
        one: &Path,
        other: &Path,
    ) -> (Result<Self, ReadError>, Result<Self, ReadError>) {
        thread::scope(|scope| {
            let one = scope.spawn(|| Self::read(one));
            let other = Self::read(other);
            (one.join().unwrap_or_else(|panic| resume_unwind(panic)), other)
        })
    }

    /// The rows of a file that is open.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn of_texts<R: io::Read>(texts: Texts<R>) -> Result<Self, ReadError> {
        Self::default().with_texts(texts)
    }

    /// The same rows and those of an open file.
    fn with_texts<R: io::Read>(self, mut texts: Texts<R>) -> Result<Self, ReadError> {
        let mut rows = self;
        let mut repeated = Repeated::default();
        while let Some((row, line)) = texts.next_row()? {
            let taken = rows.take(row, line, &mut repeated);
            taken.map_err(|refused| match refused {
                Refused::Misread(misread) => texts.misread(line, misread),
                Refused::Invalid(invalid) => texts.invalid(line, invalid),
                Refused::Duplicate(first) => texts.duplicate(line, first),
            })?;
        }
        Ok(rows)
    }

    /// Rows that were read before; `side` is what an error calls them.
    ///
    /// # Errors
    /// The first that is there twice, or could not be read.
    pub fn of<I>(records: I, side: &'static str) -> Result<Self, CompareError>
    where
        I: IntoIterator<Item = Result<Record, ReadError>>,
    {
        let mut rows = Self::default();
        for record in records {
            rows.push(record?).map_err(|Record { subject, key, .. }| CompareError::Duplicate {
                side,
                subject: Box::new(subject),
                key: Box::new(key),
            })?;
        }
        Ok(rows)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Adds a row, or gives it back if it is there.
    // Big, and hardly ever given back.
    #[allow(clippy::result_large_err)]
    fn push(&mut self, record: Record) -> Result<(), Record> {
        let id = Id {
            subject: place(&mut self.subjects, &Arc::new(record.subject.clone())),
            target: place(&mut self.targets, &record.key.target),
            cell: place(&mut self.cells, &record.key.cell),
            metric: place(&mut self.metrics, &record.key.metric),
            source: record.key.source,
        };
        let reason = record.verdict().unwrap_or(&record.reason);
        let facts = Facts {
            value: record.value,
            reason: place_of_text(&mut self.reasons, reason),
            line: 0,
            unit: record.unit,
            status: record.status,
            deterministic: record.deterministic,
        };
        match self.facts.entry(id) {
            Entry::Occupied(_) => Err(record),
            Entry::Vacant(free) => {
                free.insert(facts);
                place(&mut self.runs, &record.run.run_id);
                self.keep_interval(record.ci_low.zip(record.ci_high));
                Ok(())
            }
        }
    }

    /// Keeps the interval of the row that came last.
    fn keep_interval(&mut self, ends: Option<(Value, Value)>) {
        if let Some((low, high)) = ends {
            let place = place_of(self.facts.len() - 1);
            self.intervals.push((place, (low.as_f64(), high.as_f64())));
        }
    }

    /// Adds a row of a file, by its columns as [`Record`] has them.
    fn take(
        &mut self,
        row: &StringRecord,
        line: u64,
        repeated: &mut Repeated,
    ) -> Result<(), Refused> {
        let mut fields = Fields::new(row);
        let runs = &mut self.runs;
        let run = |fields: &mut Fields<'_>| Ok(place(runs, &Run::read(fields)?.run_id));
        repeated.run.skip_or(&mut fields, run)?;
        let id = Id {
            subject: repeated.subject.place(&mut fields, &mut self.subjects)?,
            target: repeated.target.place(&mut fields, &mut self.targets)?,
            cell: repeated.cell.place(&mut fields, &mut self.cells)?,
            metric: repeated.metric(&mut fields, &mut self.metrics)?,
            source: Part::read(&mut fields)?,
        };
        let unit = Part::read(&mut fields)?;
        let value = Part::read(&mut fields)?;
        let interval: [Option<Value>; 2] = [Part::read(&mut fields)?, Part::read(&mut fields)?];
        let _samples = u64::read(&mut fields)?;
        let _predicted = Option::<Value>::read(&mut fields)?;
        let deterministic = Part::read(&mut fields)?;
        let status = Part::read(&mut fields)?;
        let reason = fields.text();
        let metric = &self.metrics[id.metric as usize];
        let ends = (interval[0].is_some(), interval[1].is_some());
        check(metric, status, value, ends, reason).map_err(Refused::Invalid)?;
        let reason = verdict_name(metric, reason).unwrap_or(reason);
        let facts = Facts {
            value,
            reason: place_of_text(&mut self.reasons, reason),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            unit,
            status,
            deterministic,
        };
        match self.facts.entry(id) {
            Entry::Occupied(there) => Err(Refused::Duplicate(there.get().line.into())),
            Entry::Vacant(free) => {
                free.insert(facts);
                self.keep_interval(interval[0].zip(interval[1]));
                Ok(())
            }
        }
    }

    /// Whether some of them are of this run.
    pub fn are_of(&self, run_id: &Name) -> bool {
        self.runs.contains(run_id)
    }

    /// What each row is of, in their order.
    pub fn keys(&self) -> impl Iterator<Item = (&Subject, Key)> {
        self.facts.keys().map(|id| (&**self.subject(id), self.key(id)))
    }

    /// The value of a row and its interval, by its place; none where it has none.
    pub(super) fn median(&self, place: usize) -> Option<Median> {
        let (_, facts) = self.facts.get_index(place)?;
        let found = self.intervals.binary_search_by_key(&place_of(place), |(place, _)| *place);
        let interval = self.intervals[found.ok()?].1;
        Some(Median { value: facts.value?.as_f64(), interval: Some(interval) })
    }

    /// The kernel of a row.
    pub(super) fn subject(&self, id: &Id) -> &Arc<Subject> {
        &self.subjects[id.subject as usize]
    }

    /// The key of a row.
    pub(super) fn key(&self, id: &Id) -> Key {
        Key {
            target: self.targets[id.target as usize].clone(),
            cell: self.cells[id.cell as usize].clone(),
            metric: self.metrics[id.metric as usize].clone(),
            source: id.source,
        }
    }

    /// What a row says, in full.
    pub(super) fn side(&self, facts: &Facts) -> Side {
        Side {
            unit: facts.unit,
            value: facts.value,
            status: facts.status,
            reason: self.reason(facts).to_owned(),
            deterministic: facts.deterministic,
        }
    }

    /// The reason of a row; of a verdict, its name.
    pub(super) fn reason(&self, facts: &Facts) -> &str {
        &self.reasons[facts.reason as usize]
    }
}

/// Why a row of a file is not taken.
enum Refused {
    Misread(Misread),
    Invalid(crate::record::Invalid),
    /// It stood on this line before.
    Duplicate(u64),
}

impl From<Misread> for Refused {
    fn from(misread: Misread) -> Self {
        Self::Misread(misread)
    }
}

/// What the row before had in groups of columns that many rows share.
struct Repeated {
    run: Last,
    subject: Last,
    target: Last,
    cell: Last,
    /// The places of metrics by their texts: they change from row to row, and are few.
    metrics: HashMap<Box<str>, u32, RandomState>,
}

impl Repeated {
    fn metric(
        &mut self,
        fields: &mut Fields<'_>,
        table: &mut IndexSet<Metric>,
    ) -> Result<u32, Misread> {
        let text = fields.left().next().unwrap_or_default();
        if let Some(place) = self.metrics.get(text) {
            fields.skip(1);
            return Ok(*place);
        }
        let place = place_of(table.insert_full(Metric::read(fields)?).0);
        self.metrics.insert(text.into(), place);
        Ok(place)
    }
}

impl Default for Repeated {
    fn default() -> Self {
        Self {
            run: Last::of::<Run>(),
            subject: Last::of::<Subject>(),
            target: Last::of::<Target>(),
            cell: Last::of::<Cell>(),
            metrics: HashMap::default(),
        }
    }
}

/// The texts of one group of columns in the row before, and what they came to.
struct Last {
    width: usize,
    texts: StringRecord,
    place: u32,
}

impl Last {
    fn of<P: Part>() -> Self {
        let mut columns = Vec::new();
        P::columns("", &mut columns);
        Self { width: columns.len(), texts: StringRecord::new(), place: 0 }
    }

    /// The place in the table of what the next columns say.
    fn place<P: Part + Hash + Eq>(
        &mut self,
        fields: &mut Fields<'_>,
        table: &mut IndexSet<P>,
    ) -> Result<u32, Misread> {
        self.skip_or(fields, |fields| Ok(place_of(table.insert_full(P::read(fields)?).0)))
    }

    /// Passes the next columns if they are those of the row before; else what `read` gives for them.
    fn skip_or(
        &mut self,
        fields: &mut Fields<'_>,
        read: impl FnOnce(&mut Fields<'_>) -> Result<u32, Misread>,
    ) -> Result<u32, Misread> {
        if self.texts.len() == self.width && fields.next_are(&self.texts) {
            fields.skip(self.width);
            return Ok(self.place);
        }
        // Until it is known what they say.
        self.texts.clear();
        let texts: StringRecord = fields.left().take(self.width).collect();
        self.place = read(fields)?;
        self.texts = texts;
        Ok(self.place)
    }
}

/// The place of a value in its table, where it is put if it is new.
fn place<T: Hash + Eq + Clone>(table: &mut IndexSet<T>, value: &T) -> u32 {
    let found = table.get_index_of(value);
    place_of(found.unwrap_or_else(|| table.insert_full(value.clone()).0))
}

fn place_of_text(table: &mut IndexSet<Box<str>>, text: &str) -> u32 {
    let found = table.get_index_of(text);
    place_of(found.unwrap_or_else(|| table.insert_full(text.into()).0))
}

/// No table has as many entries: a file of so many rows would need a terabyte.
fn place_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
