//! What disturbed a run on hardware, as far as it could be seen.

use crate::record::Value;
use serde::{Deserialize, Serialize};

/// Something that was looked at: what was seen, or why it cannot be. What cannot be seen is not 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen<T> {
    /// What was seen.
    Value(T),
    /// Why it cannot be seen here.
    Unknown(String),
}

impl<T> Seen<T> {
    /// What was seen.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

impl<T> From<Result<T, String>> for Seen<T> {
    fn from(result: Result<T, String>) -> Self {
        result.map_or_else(Self::Unknown, Self::Value)
    }
}

/// The lowest and the highest of what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The lowest.
    pub low: u64,
    /// The highest.
    pub high: u64,
}

impl Span {
    /// The same and one more.
    #[must_use]
    pub fn with(self, value: u64) -> Self {
        Self { low: self.low.min(value), high: self.high.max(value) }
    }
}

impl From<u64> for Span {
    fn from(value: u64) -> Self {
        Self { low: value, high: value }
    }
}

/// How long fixed pieces of work take that neither the guest nor KVM has a part in: controls, by which
/// a machine that was slower is told from a kernel that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Work that needs nothing but the core, in nanoseconds: its frequency, and who shares it.
    pub core_ns: u64,
    /// CPUID on the host, so many times, in nanoseconds: where the host is a guest itself, exits to the
    /// hypervisor below.
    pub below_ns: u64,
}

/// By how much calls below differ between runs while nothing else does: here up to 2.5 %. Less than twice
/// that explains nothing.
const BELOW_MATTERS: f64 = 0.05;

impl Pace {
    /// By how much another's controls took longer, as shares of these; 0 where that is within what the
    /// control itself varies by.
    pub fn slower(&self, other: &Self) -> [f64; 2] {
        let share = |ours: u64, theirs: u64| {
            let [ours, theirs] = [ours, theirs].map(|ns| Value::count(ns).as_f64());
            if ours > 0.0 { theirs / ours - 1.0 } else { 0.0 }
        };
        let below = share(self.below_ns, other.below_ns);
        let below = if below.abs() > BELOW_MATTERS { below } else { 0.0 };
        [share(self.core_ns, other.core_ns), below]
    }
}

/// How a run on hardware was measured, and what disturbed it meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noise {
    /// The order of its cells comes from this number: `--seed` repeats it.
    pub seed: u32,
    /// The CPU its thread was bound to.
    pub cpu: Seen<u32>,
    /// How long all of it took, in milliseconds.
    pub took_ms: u64,
    /// Time that the hypervisor below gave to others instead of that CPU, or of all if there is no one
    /// CPU, in milliseconds.
    pub steal_ms: Seen<u64>,
    /// How often another program got the CPU while the thread wanted to go on.
    pub preemptions: Seen<u64>,
    /// Batches in which that happened. They were thrown away, and others measured instead.
    pub preempted_batches: u64,
    /// The CPU's own pace, as it usually was. Unknown of runs before schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// Batches during which the CPU itself was not as usual. Others were measured instead, and where
    /// those were too few, the row is unresolved.
    #[serde(default)]
    pub unusual_batches: u64,
    /// Between which frequencies the CPU was seen, in kHz.
    pub frequency_khz: Seen<Span>,
    /// Hardware breakpoints of this host that are in use where the thread ran: with one enabled KVM
    /// loads the host's debug registers after every exit.
    pub host_breakpoints: Seen<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_below_explain_a_change_only_beyond_what_they_vary_by() {
        let pace = |core_ns, below_ns| Pace { core_ns, below_ns };
        let quiet = pace(5000, 10_000).slower(&pace(5000, 10_300));
        assert!(quiet.iter().all(|share| share.abs() < 1e-9), "{quiet:?}");
        let [core, below] = pace(5000, 10_000).slower(&pace(5050, 11_000));
        assert!((core - 0.01).abs() < 1e-9 && (below - 0.1).abs() < 1e-9, "{core} {below}");
    }
}
