//! The runs of a store: a directory that holds a directory for each run (`results/`, by default).
//!
//! ```text
//! STORE/RUN/                  a run: run.json, results.csv, samples.csv
//! STORE/baselines/NAME        a baseline: a link to a copy, see `keep`
//! STORE/baselines/runs/…      the copies
//! STORE/.history/             what was derived from the runs; may be removed at any time
//! ```
//!
//! [`History::open`] lists ten thousand runs without reading them again: what is wanted of a run is
//! derived once and kept as long as its files do not change. An unfinished or damaged run is listed as
//! such, with the reason, and never stands in the way of the others.

mod baseline;
mod derived;
mod digest;
mod values;

pub use baseline::{BASELINES, Baseline, baseline, baselines, forget, keep};
pub use derived::Work;
pub use digest::{Part, State};
pub use values::{Asked, Point, Series};

use crate::record::{Name, Run, Subject, Target, Unexpected};
use crate::store::{RESULTS, RUN, StoreError};
use derived::Found;
use digest::Digest;
use jiff::Timestamp;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What went wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file system refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such directory.
    #[error(
        "{} is no directory: name the one that holds the runs; `drbench run` makes and fills results",
        .0.display()
    )]
    NoStore(PathBuf),
    /// A run where a directory of runs is wanted.
    #[error("{} is a run: name the directory that holds it and others", .0.display())]
    IsRun(PathBuf),
    /// No run is called so.
    #[error(
        "no run in {} is called `{wanted}`: name its id, the beginning or the end of it, or its \
         directory; `drbench history` lists them", store.display()
    )]
    NoRun {
        /// The store.
        store: PathBuf,
        /// What was asked for.
        wanted: String,
    },
    /// Several runs are called so.
    #[error("`{wanted}` may be {}: name more of it", .found.join(" or "))]
    Several {
        /// What was asked for.
        wanted: String,
        /// Some of the ids.
        found: Vec<String>,
    },
    /// Such a run cannot be held against others.
    #[error("{} cannot be kept as a baseline: it is {state}", run.display())]
    NotWhole {
        /// The run.
        run: PathBuf,
        /// What it is.
        state: State,
    },
    /// A name that cannot be a baseline's.
    #[error("no baseline can have this name: {0}")]
    BaselineName(Unexpected),
    /// There is a baseline of this name.
    #[error("`{name}` is kept already: {run}; --replace keeps the other one instead")]
    IsKept {
        /// The name.
        name: Name,
        /// What is kept: its run.
        run: String,
    },
    /// There is no baseline of this name.
    #[error("no baseline `{name}` in {}: {}", store.display(), kept_names(.kept))]
    NoBaseline {
        /// The store.
        store: PathBuf,
        /// What was asked for.
        name: String,
        /// What there is.
        kept: Vec<Name>,
    },
}

fn kept_names(kept: &[Name]) -> String {
    if kept.is_empty() {
        return "none is kept; `drbench history keep NAME RUN` keeps one".to_owned();
    }
    let names: Vec<_> = kept.iter().map(Name::as_str).collect();
    format!("kept are {}", names.join(", "))
}

/// A run of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRun {
    /// Its directory.
    pub path: PathBuf,
    /// Its id and beginning; none where neither its `run.json` nor its rows tell.
    pub run: Option<Run>,
    /// When it began or, where that is not told, when its files were last written.
    pub when: Timestamp,
    /// Whether it can be believed.
    pub state: State,
    /// Its kernels on their machines, in the order of its rows.
    pub parts: Vec<Part>,
    /// The name of its directory.
    name: String,
    /// Its place in what was found.
    place: usize,
}

impl PastRun {
    /// The run's id or, where that is not told, the name of its directory.
    pub fn id(&self) -> &str {
        self.run.as_ref().map_or(&self.name, |run| run.run_id.as_str())
    }
}

/// All runs of a store.
#[derive(Debug)]
pub struct History {
    /// The store.
    pub store: PathBuf,
    /// Its runs, the newest last.
    pub runs: Vec<PastRun>,
    /// What it took to list them.
    pub work: Work,
    found: Vec<Found>,
}

impl History {
    /// The runs below `store`. Only what is new or changed is read.
    ///
    /// # Errors
    /// There is no such directory, it is a run itself, or it cannot be listed. What is wrong with a run
    /// is no error but its [`State`]; that nothing can be written down in the store is told in
    /// [`Work::unwritten`].
    pub fn open(store: &Path) -> Result<Self, HistoryError> {
        if !store.is_dir() {
            return Err(HistoryError::NoStore(store.to_owned()));
        }
        if [RUN, RESULTS].iter().any(|file| store.join(file).exists()) {
            return Err(HistoryError::IsRun(store.to_owned()));
        }
        let found = derived::find(store)?;
        let index = derived::Kept { store, file: "index", about: "runs" };
        let (mut digests, work) = index.updated(&found, &|_| true, Digest::of);
        let mut order: Vec<(Timestamp, usize)> = Vec::with_capacity(found.len());
        for (place, digest) in digests.iter().enumerate() {
            let run = digest.as_ref().map(|digest| digest.run.as_ref());
            let began = |run: Option<&Run>| {
                run.map_or_else(|| found[place].written(), |run| run.started_at)
            };
            order.extend(run.map(|run| (began(run), place)));
        }
        order.sort_unstable_by(|(a, one), (b, other)| {
            a.cmp(b).then_with(|| found[*one].name.cmp(&found[*other].name))
        });
        let run = |(when, place): (Timestamp, usize)| {
            let Digest { run, state, parts } = digests[place].take()?;
            let Found { name, path, .. } = &found[place];
            Some(PastRun { path: path.clone(), run, when, state, parts, name: name.clone(), place })
        };
        let runs = order.into_iter().filter_map(run).collect();
        Ok(Self { store: store.to_owned(), runs, work, found })
    }

    /// The run that is called so: by its id, a beginning or end of it that no other has (the end after
    /// a dash), or the name of its directory.
    ///
    /// # Errors
    /// No run is called so, or several are.
    pub fn find(&self, wanted: &str) -> Result<&PastRun, HistoryError> {
        let place = fs::canonicalize(wanted).ok();
        let is_there =
            |run: &&PastRun| place.is_some() && fs::canonicalize(&run.path).ok() == place;
        let exact = |run: &&PastRun| {
            // Only a path can be one: 10000 runs are not looked up for a name.
            run.id() == wanted || run.name == wanted || wanted.contains('/') && is_there(run)
        };
        let part = |run: &&PastRun| {
            let end = run.id().strip_suffix(wanted);
            run.id().starts_with(wanted) || end.is_some_and(|rest| rest.ends_with('-'))
        };
        for called in [&exact as &dyn Fn(&&PastRun) -> bool, &part] {
            let found: Vec<_> = self.runs.iter().filter(called).collect();
            match found[..] {
                [] => {}
                [run] => return Ok(run),
                _ => return Err(several(wanted, &found)),
            }
        }
        Err(HistoryError::NoRun { store: self.store.clone(), wanted: wanted.to_owned() })
    }

    /// The newest whole run of every kernel, variant and machine, in the order of time.
    pub fn newest(&self) -> Vec<(&PastRun, &Part)> {
        let mut seen: HashSet<(&Subject, &Target)> = HashSet::new();
        let mut newest = Vec::new();
        for run in self.runs.iter().rev().filter(|run| run.state == State::Whole) {
            let parts = run.parts.iter().rev();
            let new = parts.filter(|part| seen.insert((&part.subject, &part.target)));
            newest.extend(new.map(|part| (run, part)));
        }
        newest.reverse();
        newest
    }
}

fn several(wanted: &str, found: &[&PastRun]) -> HistoryError {
    const MOST: usize = 4;
    let mut ids: Vec<_> = found
        .iter()
        .take(MOST)
        .map(|run| format!("{} ({})", run.id(), run.path.display()))
        .collect();
    if found.len() > MOST {
        ids.push(format!("{} more", found.len() - MOST));
    }
    HistoryError::Several { wanted: wanted.to_owned(), found: ids }
}
