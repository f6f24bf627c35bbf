//! Runs put together: the shards of one plan become one run.
//!
//! Rows are sorted by kernel and key, so the order of the shards does not matter, and the result is
//! what one undivided run gives when its rows are sorted, but for `run_id` and `started_at`.

use crate::read::{ReadError, read, read_samples};
use crate::record::{Key, Record, Run, Sample, Subject, Target};
use crate::store::{Environment, RunDir, RunInfo, StoreError, beside};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Why runs cannot be put together. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A run cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A run's `run.json` cannot be read, or the result not written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is something in the result's place.
    #[error("{} exists already: name a directory that does not exist yet", .0.display())]
    Exists(PathBuf),
    /// Nothing was named.
    #[error("there is nothing to put together: name the run directories of the shards")]
    Nothing,
    /// A run that was cut short.
    #[error(
        "the run in {} has not ended, rows would be missing: finish it with drbench run --resume, \
         then merge",
        .0.display()
    )]
    Unfinished(PathBuf),
    /// Runs of different plans.
    #[error(
        "{} and {} are not shards of one plan: {what} is {one} in the one and {other} in the other; \
         repeat one of them with the other's command line and program", dirs.0.display(), dirs.1.display()
    )]
    Settings {
        /// The two runs.
        dirs: (PathBuf, PathBuf),
        /// What differs.
        what: String,
        /// In the first.
        one: String,
        /// In the second.
        other: String,
    },
    /// The same row with two results.
    #[error(
        "{} and {} both hold {key} of {subject}, and differ: {one} and {other} \
         ({more} more rows differ); leave one of the two out",
        dirs.0.display(), dirs.1.display()
    )]
    Conflict {
        /// The two runs.
        dirs: (PathBuf, PathBuf),
        /// The kernel.
        subject: Box<Subject>,
        /// The row.
        key: Box<Key>,
        /// The first run's result.
        one: String,
        /// The second's.
        other: String,
        /// How many rows differ besides.
        more: usize,
    },
}

/// What came out of [`merge`].
#[derive(Debug)]
pub struct Merged {
    /// The result's `run.json`.
    pub info: RunInfo,
    /// How many rows `results.csv` has.
    pub rows: usize,
    /// How many rows were in several shards, and agreed.
    pub repeated: usize,
}

/// The order of rows in a result that is put together. No two rows of a run have the same.
pub fn sort_key(record: &Record) -> (&Subject, &Key) {
    (&record.subject, &record.key)
}

/// The order of single values in a result that is put together.
pub fn sample_sort_key(sample: &Sample) -> (&Subject, &Key, u32, u32) {
    (&sample.subject, &sample.key, sample.boot, sample.batch)
}

/// Puts the run directories `inputs`, shards of one plan, together in the new directory `out`:
/// rows, single values and environments. Run id and beginning are those of the shard that began
/// first. A row that several shards hold is kept once if they agree on it.
///
/// # Errors
/// See [`MergeError`]; `out` is there whole or not at all.
pub fn merge(inputs: &[PathBuf], out: &Path) -> Result<Merged, MergeError> {
    if out.symlink_metadata().is_ok() {
        return Err(MergeError::Exists(out.to_owned()));
    }
    let mut shards = inputs.iter().map(|dir| Shard::read(dir)).collect::<Result<Vec<_>, _>>()?;
    shards.sort_by(|a, b| a.age().cmp(&b.age()));
    let info = common_info(&shards)?;
    let mut rows = Vec::new();
    let mut samples = Vec::new();
    for shard in shards {
        rows.push((shard.dir.clone(), shard.rows));
        samples.push((shard.dir, shard.samples));
    }
    let (rows, repeated) = union(rows, &info.run)?;
    let (samples, _) = union(samples, &info.run)?;
    let info = write(out, info, &rows, &samples)?;
    Ok(Merged { info, rows: rows.len(), repeated })
}

/// The rows of several runs (run directories or their `results.csv`) in one list, sorted, under the
/// run id of the first: to be looked at together. Their settings may differ.
///
/// # Errors
/// A run that cannot be read, or a row of two runs that differs.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Record>, MergeError> {
    let one = |path: &PathBuf| Ok((path.clone(), read(path)?));
    let runs = paths.iter().map(one).collect::<Result<Vec<_>, ReadError>>()?;
    match runs.iter().find_map(|(_, rows)| rows.first()).map(|row| row.run.clone()) {
        None => Ok(Vec::new()),
        Some(run) => Ok(union(runs, &run)?.0),
    }
}

/// One run to put together with others.
struct Shard {
    dir: PathBuf,
    info: RunInfo,
    rows: Vec<Record>,
    samples: Vec<Sample>,
}

impl Shard {
    fn read(dir: &Path) -> Result<Self, MergeError> {
        let info = RunInfo::read(dir)?;
        if info.finished_at.is_none() {
            return Err(MergeError::Unfinished(dir.to_owned()));
        }
        Ok(Self { dir: dir.to_owned(), info, rows: read(dir)?, samples: read_samples(dir)? })
    }

    fn age(&self) -> impl Ord + '_ {
        (self.info.run.started_at, &self.info.run.run_id, &self.dir)
    }

    /// What two shards of one plan have in common, by what to call it.
    fn settings(&self) -> Vec<(String, String)> {
        let info = &self.info;
        let mut settings = vec![
            ("the files' schema version".to_owned(), info.schema.to_string()),
            ("drbench's version".to_owned(), info.drbench.clone()),
        ];
        settings.extend(
            info.hashes
                .iter()
                .map(|(name, hash)| (format!("the checksum of {name}"), hash.clone())),
        );
        let suites: BTreeSet<_> = self.rows.iter().map(|row| row.key.cell.suite.as_str()).collect();
        if !suites.is_empty() {
            let suites = suites.into_iter().collect::<Vec<_>>().join(", ");
            settings.push(("the suite".to_owned(), suites));
        }
        settings.extend(plan_settings(info.plan.as_ref()));
        for environment in &info.environments {
            settings.extend(lab_settings(environment));
        }
        settings
    }
}

/// The parts of a plan, but for those in which shards differ.
fn plan_settings(plan: Option<&serde_json::Value>) -> Vec<(String, String)> {
    const OF_ONE_SHARD: [&str; 2] = ["shard", "directory"];
    let parts = plan.and_then(serde_json::Value::as_object).into_iter().flatten();
    parts
        .filter(|(name, _)| !OF_ONE_SHARD.contains(&name.as_str()))
        .map(|(name, part)| (format!("the plan's part `{name}`"), part.to_string()))
        .collect()
}

/// What all cells of an emulated machine have in common.
fn lab_settings(environment: &Environment) -> Vec<(String, String)> {
    let target = &environment.target;
    let Some(emulator) = environment.emulator.as_ref().filter(|_| target.machine.is_emulated())
    else {
        return Vec::new();
    };
    vec![
        (format!("the emulator of {}", target.machine), emulator.version.clone()),
        (format!("the kernel's command line of {target}"), environment.kernel_words.join(" ")),
    ]
}

/// The result's `run.json`. Shards come oldest first.
fn common_info(shards: &[Shard]) -> Result<RunInfo, MergeError> {
    let first = shards.first().ok_or(MergeError::Nothing)?;
    let mut info = RunInfo { environments: Vec::new(), ..first.info.clone() };
    let mut known: Vec<(String, String, &Path)> = Vec::new();
    for shard in shards {
        for (what, other) in shard.settings() {
            match known.iter().find(|(known, ..)| *known == what) {
                Some((_, one, dir)) if *one != other => {
                    let dirs = ((*dir).to_owned(), shard.dir.clone());
                    return Err(MergeError::Settings { dirs, what, one: one.clone(), other });
                }
                Some(_) => {}
                None => known.push((what, other, &shard.dir)),
            }
        }
        info.finished_at = info.finished_at.max(shard.info.finished_at);
        info.hashes.extend(shard.info.hashes.clone());
        info.environments.extend(shard.info.environments.iter().cloned());
    }
    let id = |environment: &Environment| (environment.subject.clone(), environment.target.clone());
    info.environments.sort_by_key(id); // stable: of two the oldest stays
    info.environments.dedup_by_key(|environment| -> (Subject, Target) { id(environment) });
    if let Some(plan) = info.plan.as_mut().and_then(serde_json::Value::as_object_mut) {
        plan.remove("shard");
    }
    Ok(info)
}

/// A row of one of the files.
trait Piece: PartialEq {
    type Order<'a>: Ord
    where
        Self: 'a;
    fn order(&self) -> Self::Order<'_>;
    fn moved_to(&mut self, run: &Run);
    fn subject_and_key(&self) -> (&Subject, &Key);
    fn result(&self) -> String;
}

impl Piece for Record {
    type Order<'a> = (&'a Subject, &'a Key);

    fn order(&self) -> Self::Order<'_> {
        sort_key(self)
    }
    fn moved_to(&mut self, run: &Run) {
        self.run = run.clone();
    }
    fn subject_and_key(&self) -> (&Subject, &Key) {
        sort_key(self)
    }
    fn result(&self) -> String {
        let value = self.value.map(|value| format!(" {value} {}", self.unit)).unwrap_or_default();
        let reason = if self.reason.is_empty() { "" } else { ": " };
        format!("{}{value}{reason}{}", self.status, self.reason)
    }
}

impl Piece for Sample {
    type Order<'a> = (&'a Subject, &'a Key, u32, u32);

    fn order(&self) -> Self::Order<'_> {
        sample_sort_key(self)
    }
    fn moved_to(&mut self, run: &Run) {
        self.run_id = run.run_id.clone();
    }
    fn subject_and_key(&self) -> (&Subject, &Key) {
        (&self.subject, &self.key)
    }
    fn result(&self) -> String {
        format!("{} in batch {} of boot {}", self.value, self.batch, self.boot)
    }
}

/// All pieces of all runs, sorted and each once; and how many were there more than once.
fn union<P: Piece>(runs: Vec<(PathBuf, Vec<P>)>, run: &Run) -> Result<(Vec<P>, usize), MergeError> {
    let mut all: Vec<(usize, P)> = Vec::new();
    let mut dirs = Vec::new();
    for (dir, pieces) in runs {
        let number = dirs.len();
        dirs.push(dir);
        all.extend(pieces.into_iter().map(|mut piece| {
            piece.moved_to(run);
            (number, piece)
        }));
    }
    all.sort_by(|(_, a), (_, b)| a.order().cmp(&b.order())); // stable: the oldest stays first
    let same = |a: &P, b: &P| a.order() == b.order();
    let differing = |pair: &&[(usize, P)]| same(&pair[0].1, &pair[1].1) && pair[0].1 != pair[1].1;
    let mut conflicts = all.windows(2).filter(differing);
    if let Some([(one, first), (other, second)]) = conflicts.next() {
        let (subject, key) = first.subject_and_key();
        return Err(MergeError::Conflict {
            dirs: (dirs[*one].clone(), dirs[*other].clone()),
            subject: Box::new(subject.clone()),
            key: Box::new(key.clone()),
            one: first.result(),
            other: second.result(),
            more: conflicts.count(),
        });
    }
    let before = all.len();
    all.dedup_by(|(_, later), (_, earlier)| same(earlier, later));
    let repeated = before - all.len();
    Ok((all.into_iter().map(|(_, piece)| piece).collect(), repeated))
}

/// Writes beside, then renames.
fn write(
    out: &Path,
    info: RunInfo,
    rows: &[Record],
    samples: &[Sample],
) -> Result<RunInfo, MergeError> {
    let beside = beside(out, ".merge-")?;
    let place = beside.path().join("run"); // with ordinary permissions, unlike a temporary directory
    let ended = info.finished_at;
    let mut dir = RunDir::create(&place, info)?;
    dir.append(rows)?;
    dir.append_samples(samples)?;
    let info = dir.finish_at(ended)?;
    fs::rename(&place, out).map_err(StoreError::io("create", out))?;
    Ok(info)
}
