//! The record: one tidy row per metric.
//!
//! A row says when ([`Run`]), of which kernel ([`Subject`]), what exactly ([`Key`]) and with which
//! result. The groups stand side by side in the file, so each is described once and shared with
//! `samples.csv`; the fields' names are the columns' names.

pub(crate) mod columns;
mod metric;
mod name;
mod outcome;
mod row;
mod value;
mod vocabulary;

pub use columns::header;
pub use metric::{Larger, Metric};
pub use name::Name;
pub(crate) use outcome::check;
pub use outcome::{Invalid, Outcome};
pub(crate) use row::verdict_name;
pub use row::{Cell, Key, Record, Run, Sample, Subject, Target};
pub use value::Value;
pub use vocabulary::{Machine, Policy, Source, Status, Unit, Vendor};

/// A text that is none of the expected ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found `{}`", shortened(.found))]
pub struct Unexpected {
    /// What may stand here.
    pub expected: String,
    /// What stood here.
    pub found: String,
}

impl Unexpected {
    pub(crate) fn new(expected: impl Into<String>, found: &str) -> Self {
        Self { expected: expected.into(), found: found.to_owned() }
    }
}

/// A foreign text for an error message: one line, no control characters, not endless.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
