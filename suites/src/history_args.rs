//! What can be said to `drbench history`. The doc comments are its help texts.
#![allow(clippy::doc_markdown)]

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use glob::Pattern;
use reports::{Metric, Policy, Subject, Target, Vendor};

use crate::cli::Suite;

/// `drbench history`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HistoryArgs {
    /// What to do with kept runs; without it, list
    #[command(subcommand)]
    pub action: Option<HistoryAction>,
    /// The directory that holds the runs
    #[arg(value_name = "DIR", default_value = "results")]
    pub dir: PathBuf,
    /// Only kernels whose version or package version fits: 6.1*
    #[arg(long, value_name = "GLOB")]
    pub kernel: Option<Pattern>,
    /// Only kernels of this variant: stock, always, never, or a patch's name
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Only what ran on this vendor's KVM module: amd, intel, pvm
    #[arg(long, value_name = "VENDOR", value_parser = vendor)]
    pub vendor: Option<Vendor>,
    /// How many runs, the newest
    #[arg(long, value_name = "N", default_value = "50")]
    pub last: NonZeroU64,
    /// All runs
    #[arg(long, conflicts_with = "last")]
    pub all: bool,
    /// Only the newest whole run of every kernel, variant and machine
    #[arg(long, conflicts_with = "metric")]
    pub newest: bool,
    /// Show this metric's values, and how each differs from the one before: instructions, dr_exits,
    /// verdict, ...
    #[arg(long, value_name = "METRIC")]
    pub metric: Option<Metric>,
    /// Only this suite's values
    #[arg(long, requires = "metric")]
    pub suite: Option<Suite>,
    /// Only values of workloads that fit, with these interposed exits if any are named: windows,
    /// linux-hwbp-*,none or n:5,cpuid/1
    #[arg(long, value_name = "GLOB[,KIND/K]", requires = "metric", value_parser = workload)]
    pub workload: Option<(Pattern, Option<String>)>,
    /// Only values under this policy: kernel, guest-debug
    #[arg(long, requires = "metric")]
    pub policy: Option<Policy>,
}

/// What can be done with kept runs.
#[derive(Debug, Subcommand)]
pub enum HistoryAction {
    /// Keep a copy of a run by name, for `drbench compare --baseline NAME`. It stays when the run goes
    Keep {
        /// The name: letters, digits, - _ . : and +
        name: String,
        /// The run: its id, the beginning or the end of it, or its directory's name
        run: String,
        /// Give the name to this run, whichever had it before
        #[arg(long)]
        replace: bool,
        /// Where
        #[command(flatten)]
        store: Store,
    },
    /// List what is kept: names, and where the copies are
    Kept {
        /// Where
        #[command(flatten)]
        store: Store,
    },
    /// Remove a kept copy; the run itself is left alone
    Forget {
        /// The name it is kept by
        name: String,
        /// Where
        #[command(flatten)]
        store: Store,
    },
    /// Print a run's directory
    Path {
        /// The run: its id, the beginning or the end of it, or its directory's name
        run: String,
        /// Where
        #[command(flatten)]
        store: Store,
    },
}

/// Which directory of runs.
#[derive(Debug, Args)]
pub struct Store {
    /// The directory that holds the runs
    #[arg(long = "in", value_name = "DIR", default_value = "results")]
    pub store: PathBuf,
}

impl HistoryArgs {
    /// Whether a kernel on a machine is asked for.
    pub fn wants(&self, subject: &Subject, target: &Target) -> bool {
        let fits =
            |glob: &Pattern| [&subject.kernel, &subject.kernel_id].map(|id| glob.matches(id));
        self.kernel.as_ref().is_none_or(|glob| fits(glob).contains(&true))
            && self.variant.as_ref().is_none_or(|variant| *variant == subject.variant)
            && self.vendor.is_none_or(|vendor| vendor == target.vendor)
    }

    /// Whether nothing is left out.
    pub fn wants_all(&self) -> bool {
        self.kernel.is_none() && self.variant.is_none() && self.vendor.is_none()
    }
}

/// `amd` as in --cpu, or the module's name.
fn vendor(text: &str) -> Result<Vendor, String> {
    let full = format!("kvm_{}", text.strip_prefix("kvm_").unwrap_or(text));
    full.parse().map_err(|_| format!("`{text}` is none of amd, intel, pvm"))
}

fn workload(text: &str) -> Result<(Pattern, Option<String>), String> {
    let (pattern, interposed) =
        text.split_once(',').map_or((text, None), |(pattern, kind)| (pattern, Some(kind)));
    let pattern = Pattern::new(pattern).map_err(|error| format!("`{pattern}`: {error}"))?;
    Ok((pattern, interposed.map(str::to_owned)))
}
