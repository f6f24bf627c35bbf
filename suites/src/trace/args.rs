//! The options of the suite. Their doc comments are the help texts.
#![allow(clippy::doc_markdown)]

use std::path::PathBuf;

use clap::Args;
use guest_payloads::{Pattern, Slot};

use super::record::MOST_SWITCHES;

/// What `--suite trace` plays.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// The record of context switches that the suite trace plays: the text of `perf script` or
    /// `trace-cmd report`, of the event sched:sched_switch
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// The tasks of this name in the trace carry breakpoints. Repeatable
    #[arg(long, value_name = "COMM", requires = "trace")]
    pub debugged: Vec<String>,
    /// How the guest switches their breakpoints; `drbench list workloads` names the patterns
    #[arg(long, value_name = "PATTERN", requires = "trace", default_value_t = Pattern::LinuxHwbp(Slot::S0))]
    pub debugged_as: Pattern,
    /// How many exits other than for debug registers a CPU of the trace makes in a second in which it
    /// is not idle: timer ticks, interrupts. The trace does not have them
    #[arg(long, value_name = "N", requires = "trace", default_value_t = 1000)]
    pub exits_per_second: u32,
    /// Play only the first N switches of the trace
    #[arg(long, value_name = "N", requires = "trace", value_parser = clap::value_parser!(u64).range(1..=MOST_SWITCHES))]
    pub trace_switches: Option<u64>,
}
