//! What a listing tells of a run.

use super::derived::{Derived, Found};
use crate::figures::graver;
use crate::kept;
use crate::read::{self, ReadError};
use crate::record::{Cell, Metric, Name, Record, Run, Status, Subject, Target};
use crate::store::{RUN, RunInfo, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Whether a run can be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It has ended, and can be read.
    Whole,
    /// It goes on, or was cut short; why that is known.
    Unfinished(String),
    /// Something in its files is wrong.
    Damaged(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Unfinished(why) => write!(f, "unfinished: {why}"),
            Self::Damaged(why) => write!(f, "damaged: {why}"),
        }
    }
}

/// One kernel on one machine, in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The kernel.
    pub subject: Subject,
    /// The machine.
    pub target: Target,
    /// The suites, in the order of the rows.
    pub suites: Vec<Name>,
    /// The verdict, if one was asked for.
    pub verdict: Option<String>,
    /// Cells that were measured.
    pub cells: u64,
    /// Of these, such that cannot be told.
    pub open: u64,
    /// Of these, such that are not as they should be.
    pub failed: u64,
}

/// A run, as the index knows it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest {
    pub(super) run: Option<Run>,
    pub(super) state: State,
    pub(super) parts: Vec<Part>,
}

impl Digest {
    pub(super) fn of(found: &Found) -> Derived<Self> {
        let info = kept::info_of(&found.path);
        let (mut parts, mut run) = (Parts::default(), None);
        let rows = read::open(&found.path).and_then(|rows| {
            for row in rows {
                let row = row?;
                run.get_or_insert_with(|| row.run.clone());
                parts.add(row);
            }
            Ok(())
        });
        // A file that could not be read may be read the next time.
        let lasts = !matches!(&info, Err(StoreError::Io { .. }))
            && !matches!(&rows, Err(ReadError::Io { .. }));
        let state = state(&info, rows);
        let run = info.ok().flatten().map(|info| info.run).or(run);
        Derived { of: Self { run, state, parts: parts.finish() }, lasts }
    }
}

fn state(info: &Result<Option<RunInfo>, StoreError>, rows: Result<(), ReadError>) -> State {
    let ended = match info {
        Err(error) => return State::Damaged(error.to_string()),
        Ok(info) => info.as_ref().map(|info| info.finished_at.is_some()),
    };
    match rows {
        Err(ReadError::Truncated { at }) if ended != Some(true) => {
            State::Unfinished(format!("{at} is being written, or was cut off"))
        }
        Err(error) => State::Damaged(error.to_string()),
        Ok(()) if ended.is_none() => {
            State::Unfinished(format!("no {RUN} beside the rows says that it has ended"))
        }
        Ok(()) if ended == Some(false) => State::Unfinished(
            "it goes on, or was cut short; `drbench run --resume` does the rest".to_owned(),
        ),
        Ok(()) => State::Whole,
    }
}

/// Parts being put together from rows.
#[derive(Default)]
struct Parts {
    list: Vec<Part>,
    cells: HashMap<(usize, Arc<Cell>), Status>,
}

impl Parts {
    fn add(&mut self, row: Record) {
        let is_it = |part: &Part| part.subject == row.subject && part.target == *row.key.target;
        let at = self.list.iter().rposition(is_it).unwrap_or(self.list.len());
        if at == self.list.len() {
            self.list.push(Part {
                subject: row.subject.clone(),
                target: Target::clone(&row.key.target),
                suites: Vec::new(),
                verdict: None,
                cells: 0,
                open: 0,
                failed: 0,
            });
        }
        let part = &mut self.list[at];
        if !part.suites.contains(&row.key.cell.suite) {
            part.suites.push(row.key.cell.suite.clone());
        }
        if let Some(verdict) = row.verdict() {
            part.verdict.get_or_insert_with(|| verdict.to_owned());
        } else if !matches!(row.key.metric, Metric::Fastpath(_)) {
            let cell = self.cells.entry((at, row.key.cell)).or_insert(row.status);
            *cell = graver(*cell, row.status);
        }
    }

    fn finish(mut self) -> Vec<Part> {
        for ((at, _), status) in self.cells {
            let part = &mut self.list[at];
            part.cells += 1;
            part.open += u64::from(status == Status::Unresolved);
            part.failed += u64::from(status == Status::Failed);
        }
        self.list
    }
}
