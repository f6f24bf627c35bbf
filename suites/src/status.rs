//! Exit statuses, and errors that know theirs.

use std::fmt;
use std::process::ExitCode;

use drbench_lab::{Blame, Blamed};
use serde::{Deserialize, Serialize};

/// How a run ended. Of several, the worst counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Done, all as it should be; also cells that are unresolved, which are told.
    #[default]
    Done,
    /// The user's words, or the machine around us.
    Environment,
    /// The kernel itself cannot be tested.
    Untestable,
    /// A regression, a failed cell, a verdict not as expected.
    Regression,
}

impl Status {
    /// 1 before 125 before 2 before 0: a finding outweighs what could not be found out.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        if self.weight() >= other.weight() { self } else { other }
    }

    fn weight(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Environment => 1,
            Self::Untestable => 2,
            Self::Regression => 3,
        }
    }

    /// The exit status. Under `--expect` a broken environment stops `git bisect run` (128), which
    /// takes 1..=127 for an answer about the commit.
    ///
    /// ```
    /// use suites::status::Status;
    /// assert_eq!(Status::Environment.code(false), 2);
    /// assert_eq!(Status::Environment.code(true), 128);
    /// assert_eq!(Status::Untestable.code(true), 125);
    /// ```
    pub fn code(self, expecting: bool) -> u8 {
        match self {
            Self::Done => 0,
            Self::Regression => 1,
            Self::Environment if expecting => 128,
            Self::Environment => 2,
            Self::Untestable => 125,
        }
    }

    /// The exit status as the process gives it.
    pub fn exit_code(self, expecting: bool) -> ExitCode {
        ExitCode::from(self.code(expecting))
    }
}

/// An error with its exit status.
#[derive(Debug)]
pub struct Failure {
    /// What the process ends with.
    pub status: Status,
    /// What is told.
    pub error: anyhow::Error,
}

impl Failure {
    /// The user's words, or the machine around us.
    pub fn environment(error: impl Into<anyhow::Error>) -> Self {
        Self { status: Status::Environment, error: error.into() }
    }

    /// An environment failure in plain words.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::environment(anyhow::anyhow!("{message}"))
    }

    /// An error of the lab, by whose fault it is.
    pub fn of_lab(error: impl Blamed + Send + Sync + 'static) -> Self {
        let status = match error.blame() {
            Blame::Environment => Status::Environment,
            Blame::Kernel => Status::Untestable,
        };
        Self { status, error: error.into() }
    }
}

impl fmt::Display for Failure {
    /// The error and its causes, each once: many errors already say their cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        // Names in it come from files and command lines.
        f.write_str(&reports::table::printable(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_outweighs_what_could_not_be_found_out() {
        use Status::{Done, Environment, Regression, Untestable};
        let worst =
            |all: &[Status]| all.iter().fold(Done, |worst, one| worst.worst(*one)).code(false);
        assert_eq!(worst(&[Done, Environment, Untestable, Regression]), 1);
        assert_eq!(worst(&[Environment, Untestable, Done]), 125);
        assert_eq!(worst(&[Done, Environment]), 2);
        assert_eq!(worst(&[]), 0);
    }

    #[test]
    fn a_cause_that_the_error_quotes_already_is_not_said_twice() {
        let cause = std::io::Error::other("disk full");
        let error = anyhow::Error::new(cause).context("writing results.csv: disk full");
        let failure = Failure { status: Status::Environment, error };
        assert_eq!(failure.to_string(), "writing results.csv: disk full");
    }
}
