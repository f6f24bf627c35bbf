//! Limits for a comparison, from a TOML file: which rows may differ, and by how much.
//!
//! ```toml
//! [[limit]]              # the first limit that fits a row decides
//! metric = "ns"          # globs; without one every row fits: vendor, machine, suite, workload,
//! workload = "windows*"  # policy, interposed, metric, source
//! relative = 0.05        # at most 5 % more (or less, where less is worse)
//!
//! [[limit]]
//! metric = "exits:*"
//! allowed = true         # may differ, may be missing
//! ```

use super::{Change, Comparison, Difference, Rows};
use crate::record::{Key, Larger, Status};
use glob::Pattern;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A gate that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// There is no such file, or it may not be read.
    #[error("cannot read {}: {source}; name a TOML file with [[limit]] tables", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no such file.
    #[error("{} is no gate: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
}

/// Limits, in the order of their file.
#[derive(Debug)]
pub struct Gate {
    limits: Vec<Limit>,
}

/// What a row that differs is by its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It differs by no more than it may.
    Within,
    /// It may differ.
    Allowed,
    /// The limit is broken.
    Broken,
}

/// Which way a value may not go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    More,
    Less,
    Either,
}

#[derive(Debug)]
struct Limit {
    /// A column's value of a row, and what it must look like.
    globs: Vec<(Column, Pattern)>,
    bound: Bound,
    /// None: the way that is worse.
    way: Option<Way>,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    Exact,
    Relative(f64),
    Absolute(f64),
    Allowed,
}

type Column = fn(&Key) -> String;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    limit: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    vendor: Option<String>,
    machine: Option<String>,
    suite: Option<String>,
    workload: Option<String>,
    policy: Option<String>,
    interposed: Option<String>,
    metric: Option<String>,
    source: Option<String>,
    exact: Option<bool>,
    relative: Option<f64>,
    absolute: Option<f64>,
    allowed: Option<bool>,
    direction: Option<Way>,
}

impl Gate {
    /// The limits of this file.
    ///
    /// # Errors
    /// No such file, or what is wrong with it and where.
    pub fn open(path: &Path) -> Result<Self, GateError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| GateError::Io { path: path.to_owned(), source })?;
        Self::parse(&text)
            .map_err(|problem| GateError::Malformed { path: path.to_owned(), problem })
    }

    /// The limits of a TOML text.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let numbered = (1..).zip(file.limit);
        let limits = numbered.map(|(number, written): (usize, Written)| {
            written.limit().map_err(|problem| format!("limit {number}: {problem}"))
        });
        Ok(Self { limits: limits.collect::<Result<_, _>>()? })
    }

    /// Numbers, from 1, of the limits that fit no row of either run: by a typing error, perhaps.
    pub fn idle(&self, before: &Rows, after: &Rows) -> Vec<usize> {
        let fits =
            |limit: &Limit| after.keys().chain(before.keys()).any(|(_, key)| limit.fits(&key));
        (1..).zip(&self.limits).filter(|(_, limit)| !fits(limit)).map(|(at, _)| at).collect()
    }

    /// The first limit that fits a row.
    fn limit(&self, key: &Key) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.fits(key))
    }

    /// Whether a row should be held to a size.
    fn bounds(&self, key: &Key) -> bool {
        self.limit(key).is_some_and(|limit| !matches!(limit.bound, Bound::Allowed))
    }
}

impl Comparison {
    /// Holds what differs against a gate, once noisy rows are judged.
    pub fn gate(&mut self, gate: &Gate) {
        for difference in &mut self.differences {
            let limit = gate.limit(&difference.key);
            difference.ruling = limit.and_then(|limit| limit.ruling(difference));
            let is_open = matches!(difference.change, Change::Opened { .. });
            let unheld = limit.is_some() && difference.ruling.is_none() && is_open;
            self.unheld += usize::from(unheld);
        }
        self.unheld += self.open.iter().filter(|open| gate.bounds(&open.key)).count();
    }
}

impl Written {
    fn limit(self) -> Result<Limit, String> {
        let columns: [(Option<String>, Column); 8] = [
            (self.vendor, |key| key.target.vendor.to_string()),
            (self.machine, |key| key.target.machine.to_string()),
            (self.suite, |key| key.cell.suite.to_string()),
            (self.workload, |key| key.cell.workload.to_string()),
            (self.policy, |key| key.cell.policy.to_string()),
            (self.interposed, |key| key.cell.interposed.to_string()),
            (self.metric, |key| key.metric.to_string()),
            (self.source, |key| key.source.to_string()),
        ];
        let mut globs = Vec::new();
        for (glob, column) in columns {
            let Some(glob) = glob else { continue };
            let pattern = Pattern::new(&glob).map_err(|error| format!("`{glob}`: {error}"))?;
            globs.push((column, pattern));
        }
        let bounds = [
            self.exact.filter(|exact| *exact).map(|_| Bound::Exact),
            self.relative.map(Bound::Relative),
            self.absolute.map(Bound::Absolute),
            self.allowed.filter(|allowed| *allowed).map(|_| Bound::Allowed),
        ];
        let bounds: Vec<Bound> = bounds.into_iter().flatten().collect();
        let [bound] = bounds[..] else {
            return Err(format!(
                "expected one of exact = true, relative = SHARE, absolute = NUMBER, allowed = true; \
                 found {}",
                bounds.len()
            ));
        };
        match (bound, self.direction) {
            (Bound::Relative(by) | Bound::Absolute(by), _) if !(0.0..).contains(&by) => {
                Err(format!("{by} is no size of a change: write a number from 0 on"))
            }
            (Bound::Exact | Bound::Allowed, Some(_)) => {
                Err("direction goes with relative or absolute".to_owned())
            }
            (_, way) => Ok(Limit { globs, bound, way }),
        }
    }
}

impl Limit {
    fn fits(&self, key: &Key) -> bool {
        self.globs.iter().all(|(column, glob)| glob.matches(&column(key)))
    }

    fn ruling(&self, difference: &Difference) -> Option<Ruling> {
        let by = match self.bound {
            Bound::Allowed => return Some(Ruling::Allowed),
            // A new row is told, whatever the limit.
            Bound::Exact if matches!(difference.change, Change::New { .. }) => return None,
            Bound::Exact => return Some(Ruling::Broken),
            Bound::Relative(_) | Bound::Absolute(_) => self.beyond(difference)?,
        };
        Some(if by { Ruling::Broken } else { Ruling::Within })
    }

    /// Whether the value went too far; none where a size says nothing: a row that is missing, new or of
    /// another kind, or one that is no number or not ok.
    fn beyond(&self, difference: &Difference) -> Option<bool> {
        let (Change::Changed { before, after } | Change::Shifted { before, after, .. }) =
            &difference.change
        else {
            return None;
        };
        if before.status != Status::Ok || after.status != Status::Ok || before.unit != after.unit {
            return None;
        }
        let (before, after) = before.value.zip(after.value)?;
        let more = after.as_f64() - before.as_f64();
        let by = match self.bound {
            Bound::Relative(_) => more / before.as_f64().abs(),
            Bound::Exact | Bound::Absolute(_) | Bound::Allowed => more,
        };
        let most = match self.bound {
            Bound::Relative(most) | Bound::Absolute(most) => most,
            Bound::Exact | Bound::Allowed => 0.0,
        };
        let way = self.way.unwrap_or(match difference.key.metric.larger_is() {
            Larger::Worse => Way::More,
            Larger::Better => Way::Less,
            Larger::Neither => Way::Either,
        });
        Some(match way {
            Way::More => by > most,
            Way::Less => -by > most,
            Way::Either => by.abs() > most,
        })
    }
}
