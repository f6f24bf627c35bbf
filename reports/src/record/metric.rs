//! What a row measures.

use super::{Name, Unexpected, Unit};
use std::fmt;
use std::str::FromStr;

/// A metric. Counts are totals over the section, costs are per switch.
///
/// ```
/// use reports::Metric;
/// let metric: Metric = "exits:cpuid".parse().unwrap();
/// assert!(matches!(metric, Metric::ExitsBy(_)));
/// assert_eq!(metric.to_string(), "exits:cpuid");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// The verdict; its name stands in `reason`.
    Verdict,
    /// All exits.
    Exits,
    /// Exits for an access to a debug register.
    DrExits,
    /// Exits placed in the loop on purpose.
    InterposedExits,
    /// Exits that are not the guest's doing.
    AsyncExits,
    /// Exits for one reason, by the source's own word for it.
    ExitsBy(Name),
    /// Time-stamp ticks in the guest, per switch.
    GuestCycles,
    /// Instructions, guest and host together, per switch.
    Instructions,
    /// Cycles in the host, per switch.
    HostCycles,
    /// Nanoseconds per switch.
    Ns,
    /// The share of the guest's time that is lost, 0 to 1.
    ShareLost,
    /// The same under a policy at a rate: `POLICY:SWITCHES`, or `POLICY:SWITCHES:EXITS` with so many
    /// other exits; both per second.
    ShareLostAt(Name),
    /// The fewest switches per second at which a policy loses so many percent of the guest's time:
    /// `POLICY:PERCENT`; `POLICY:full`: the most that a CPU can do.
    Crossing(Name),
    /// What a switch loses to this policy, above the same loop without accesses.
    Lost(Name),
    /// Undisturbed batches at the beginning of a cell that were left out: warm-up.
    WarmUp,
    /// Switches of a recorded machine that the guest executed.
    PlayedSwitches,
    /// How long a record of a machine is, in nanoseconds.
    RecordedNs,
    /// What a recorded load takes, for each second of a CPU's record.
    TakenPerSecond,
    /// What a recorded load takes more than without breakpoints, for each second of a CPU's record.
    LostPerSecond,
    /// Whether this kind of exit re-enters the guest without rearming anything: 1 or 0.
    Fastpath(Name),
    /// What one thing costs each time, by a model fitted on many cells; `samples` are the cells.
    Cost(Name),
    /// How far a fitted model is off at worst, over the cells of this half, as a share.
    Residual(Name),
    /// What a model was told, not measured.
    Parameter(Name),
    /// A correctness check; its status is the result.
    Check(Name),
}

/// What it means that a value is larger than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Larger {
    /// It costs the guest more.
    Worse,
    /// It costs the guest less.
    Better,
    /// It is another experiment, or something else is wrong.
    Neither,
}

/// The metrics of one word.
const PLAIN: [(&str, Metric); 15] = [
    ("verdict", Metric::Verdict),
    ("exits", Metric::Exits),
    ("dr_exits", Metric::DrExits),
    ("interposed_exits", Metric::InterposedExits),
    ("async_exits", Metric::AsyncExits),
    ("guest_cycles", Metric::GuestCycles),
    ("instructions", Metric::Instructions),
    ("host_cycles", Metric::HostCycles),
    ("ns", Metric::Ns),
    ("share_lost", Metric::ShareLost),
    ("warm_up", Metric::WarmUp),
    ("played_switches", Metric::PlayedSwitches),
    ("recorded_ns", Metric::RecordedNs),
    ("taken_per_second", Metric::TakenPerSecond),
    ("lost_per_second", Metric::LostPerSecond),
];

type WithName = (&'static str, fn(Name) -> Metric);

/// The metrics of a word and a name.
const NAMED: [WithName; 9] = [
    ("exits", Metric::ExitsBy),
    ("share_lost", Metric::ShareLostAt),
    ("crossing", Metric::Crossing),
    ("lost", Metric::Lost),
    ("fastpath", Metric::Fastpath),
    ("cost", Metric::Cost),
    ("residual", Metric::Residual),
    ("parameter", Metric::Parameter),
    ("check", Metric::Check),
];

impl Metric {
    /// The unit such a metric usually has. (Time stamps of an emulated processor are instructions:
    /// they are recorded as [`Metric::Instructions`].)
    pub const fn unit(&self) -> Unit {
        match self {
            Self::Exits
            | Self::DrExits
            | Self::InterposedExits
            | Self::AsyncExits
            | Self::ExitsBy(_) => Unit::Exits,
            Self::GuestCycles | Self::HostCycles => Unit::Cycles,
            Self::Instructions
            | Self::TakenPerSecond
            | Self::LostPerSecond
            | Self::Cost(_)
            | Self::Lost(_) => Unit::Instructions,
            Self::Ns | Self::RecordedNs => Unit::Ns,
            Self::ShareLost | Self::ShareLostAt(_) | Self::Residual(_) => Unit::Ratio,
            Self::Crossing(_) => Unit::PerSecond,
            Self::Verdict
            | Self::WarmUp
            | Self::PlayedSwitches
            | Self::Fastpath(_)
            | Self::Parameter(_)
            | Self::Check(_) => Unit::None,
        }
    }

    /// What a larger value means.
    pub const fn larger_is(&self) -> Larger {
        match self {
            Self::Exits
            | Self::DrExits
            | Self::ExitsBy(_)
            | Self::GuestCycles
            | Self::Instructions
            | Self::HostCycles
            | Self::Ns
            | Self::ShareLost
            | Self::ShareLostAt(_)
            | Self::Lost(_)
            | Self::TakenPerSecond
            | Self::LostPerSecond
            | Self::Cost(_)
            | Self::Residual(_) => Larger::Worse,
            Self::Crossing(_) => Larger::Better,
            Self::Verdict
            | Self::InterposedExits
            | Self::AsyncExits
            | Self::WarmUp
            | Self::PlayedSwitches
            | Self::RecordedNs
            | Self::Fastpath(_)
            | Self::Parameter(_)
            | Self::Check(_) => Larger::Neither,
        }
    }

    /// Whether the result is no number, so that a row may be ok without a value.
    pub const fn is_wordy(&self) -> bool {
        matches!(self, Self::Verdict | Self::Check(_))
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExitsBy(name) => write!(f, "exits:{name}"),
            Self::Fastpath(name) => write!(f, "fastpath:{name}"),
            Self::Cost(name) => write!(f, "cost:{name}"),
            Self::Residual(name) => write!(f, "residual:{name}"),
            Self::ShareLostAt(name) => write!(f, "share_lost:{name}"),
            Self::Crossing(name) => write!(f, "crossing:{name}"),
            Self::Lost(name) => write!(f, "lost:{name}"),
            Self::Parameter(name) => write!(f, "parameter:{name}"),
            Self::Check(name) => write!(f, "check:{name}"),
            plain => PLAIN
                .iter()
                .find(|(_, metric)| metric == plain)
                .map_or(Err(fmt::Error), |(word, _)| f.pad(word)),
        }
    }
}

impl FromStr for Metric {
    type Err = Unexpected;

    fn from_str(text: &str) -> Result<Self, Unexpected> {
        if let Some((_, metric)) = PLAIN.iter().find(|(word, _)| *word == text) {
            return Ok(metric.clone());
        }
        let named = text.split_once(':').and_then(|(word, name)| {
            let (_, metric) = NAMED.iter().find(|(prefix, _)| *prefix == word)?;
            Some(metric(name.parse().ok()?))
        });
        named.ok_or_else(|| {
            let words: Vec<_> = PLAIN.iter().map(|(word, _)| *word).collect();
            let expected = format!(
                "a metric ({}, exits:REASON, fastpath:KIND, cost:NAME, residual:HALF, \
                 share_lost:POLICY:RATE, crossing:POLICY:PERCENT, lost:POLICY, parameter:NAME, \
                 check:NAME)",
                words.join(", ")
            );
            Unexpected::new(expected, text)
        })
    }
}
