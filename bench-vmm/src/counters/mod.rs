//! What can be counted of a running guest. Each counter is there, or [`Unavailable`] with the reason.
//!
//! | counter | counts | needs |
//! | --- | --- | --- |
//! | [`Statistics`] | all exits, emulated instructions… of one vCPU | Linux 5.14, or debugfs (per VM) |
//! | [`ExitTrace`] | exits by class, on this thread | root or CAP_PERFMON, tracefs |
//! | [`Cycles`] | cycles and instructions, guest and host apart | a PMU |
//! | [`breakpoints_taken`] | breakpoints that the host uses itself | perf's breakpoint events |

mod breakpoints;
mod cycles;
mod exit_trace;
mod statistics;
mod stats_format;

use std::io;
use std::time::Duration;

pub use breakpoints::{BREAKPOINTS, breakpoints_taken};
pub use cycles::{CycleCounts, Cycles};
pub use exit_trace::{ExitCounts, ExitTrace};
pub use statistics::{Statistic, Statistics, StatisticsSource, StatisticsValues};
pub use stats_format::{Descriptor, FormatError, parse_statistics};

/// A counter that cannot be had here, and the one thing to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{missing}: {remedy}")]
pub struct Unavailable {
    /// What is missing, `the kernel's tracing files`.
    pub missing: String,
    /// What to do, `mount -t tracefs tracefs /sys/kernel/tracing`.
    pub remedy: String,
}

impl Unavailable {
    fn new(missing: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { missing: missing.into(), remedy: remedy.into() }
    }
}

/// A counter that was there and could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CounterError {
    /// An operation on it failed.
    #[error("{operation} the {counter} failed: {source}; open it again")]
    Failed {
        /// `reading`, `starting`…
        operation: &'static str,
        /// Which counter.
        counter: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// It had to share the hardware, so it saw part of the section only.
    #[error(
        "the {counter} counted for {running:?} of {enabled:?} only; stop other users of the \
         performance counters (perf, the NMI watchdog) and repeat"
    )]
    Shared {
        /// Which counter.
        counter: &'static str,
        /// How long it was switched on.
        enabled: Duration,
        /// How long it really counted.
        running: Duration,
    },
}
