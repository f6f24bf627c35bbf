//! `--shard I/N`: which cells of a plan are this machine's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The I-th of N parts, from 1.
///
/// ```
/// use suites::matrix::Shard;
/// let shard: Shard = "2/3".parse()?;
/// assert_eq!((0..7).filter(|&cell| shard.has(cell)).collect::<Vec<_>>(), [1, 4]);
/// assert!("0/3".parse::<Shard>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    /// Whether the cell at this place of the plan, from 0, belongs to it.
    pub fn has(self, cell: usize) -> bool {
        cell % self.of == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, of)| {
            let shard = Self { index: index.parse().ok()?, of: of.parse().ok()? };
            (1..=shard.of).contains(&shard.index).then_some(shard)
        });
        parsed.ok_or_else(|| format!("`{text}` is no shard: write I/N with I from 1 to N, as 1/3"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}
