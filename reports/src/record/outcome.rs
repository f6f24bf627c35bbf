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
        let metric = &self.key.metric;
        let wrong = |column, problem: String| Err(Invalid { column, problem });
        match (self.status, self.value) {
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
            _ if self.reason.is_empty() && self.needs_reason() => wrong(
                "reason",
                format!("a `{metric}` with status {} needs a reason; found none", self.status),
            ),
            _ if self.ci_low.is_some() != self.ci_high.is_some() => {
                wrong("ci_high", "an interval has both ends or none; found one".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn needs_reason(&self) -> bool {
        self.status != Status::Ok || self.key.metric == Metric::Verdict
    }
}
