//! How a row ended, and what must hold between its columns.

use super::{Metric, Record, Status, Value};

/// The result of one metric: status, value and reason that fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub(super) status: Status,
    pub(super) value: Option<Value>,
    pub(super) reason: String,
}

impl Outcome {
    fn new(status: Status, value: Option<Value>, reason: impl Into<String>) -> Self {
        Self { status, value, reason: reason.into() }
    }

    /// Measured, and as it should be.
    pub fn ok(value: impl Into<Value>) -> Self {
        Self::new(Status::Ok, Some(value.into()), "")
    }

    /// A verdict: its name, or `name: explanation`.
    pub fn named(name: impl Into<String>) -> Self {
        Self::new(Status::Ok, None, name)
    }

    /// A check that passed.
    pub fn passed() -> Self {
        Self::new(Status::Ok, None, "")
    }

    /// Not as it should be; `value` is what was measured, if anything was.
    pub fn failed(value: Option<Value>, reason: impl Into<String>) -> Self {
        Self::new(Status::Failed, value, reason)
    }

    /// Too disturbed to tell.
    pub fn unresolved(value: Option<Value>, reason: impl Into<String>) -> Self {
        Self::new(Status::Unresolved, value, reason)
    }

    /// Measured, but what would confirm it is absent.
    pub fn unconfirmed(value: Option<Value>, reason: impl Into<String>) -> Self {
        Self::new(Status::Unconfirmed, value, reason)
    }

    /// Cannot be had here: no value, which is not the value 0.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::new(Status::Skipped, None, reason)
    }
}

/// Columns of one row that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}`: {problem}")]
pub struct Invalid {
    /// The column to look at.
    pub column: &'static str,
    /// What is wrong, and what it should be.
    pub problem: String,
}

impl Record {
    /// Checks what must hold between the columns.
    ///
    /// # Errors
    /// The first column that contradicts the others.
    pub fn validate(&self) -> Result<(), Invalid> {
        let interval = (self.ci_low.is_some(), self.ci_high.is_some());
        check(&self.key.metric, self.status, self.value, interval, &self.reason)
    }
}

/// Checks what must hold between these columns of a row; `interval` says which of its ends there are.
pub(crate) fn check(
    metric: &Metric,
    status: Status,
    value: Option<Value>,
    interval: (bool, bool),
    reason: &str,
) -> Result<(), Invalid> {
    let wrong = |column, problem: String| Err(Invalid { column, problem });
    let needs_reason = status != Status::Ok || *metric == Metric::Verdict;
    match (status, value) {
        (Status::Skipped, Some(value)) => wrong(
            "value",
            format!("a skipped metric has no value, expected it empty, found {value}"),
        ),
        (_, Some(_)) if *metric == Metric::Verdict => wrong(
            "value",
            "a verdict's name stands in `reason`, expected an empty value".to_owned(),
        ),
        (Status::Ok, None) if !metric.is_wordy() => {
            wrong("value", format!("`{metric}` is ok, so it needs its value; found none"))
        }
        _ if reason.is_empty() && needs_reason => {
            wrong("reason", format!("a `{metric}` with status {status} needs a reason; found none"))
        }
        _ if interval.0 != interval.1 => {
            wrong("ci_high", "an interval has both ends or none; found one".to_owned())
        }
        _ => Ok(()),
    }
}
