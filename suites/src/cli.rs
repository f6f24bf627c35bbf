//! The command line. Its doc comments are the help texts: they are for a terminal, without markup.
#![allow(clippy::doc_markdown)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use guest_payloads::Workload;

use crate::expect::Expectation;

/// What does a kernel's handling of x86 debug registers cost a guest, and is it still correct?
///
/// drbench runs tiny guests that write the debug registers as operating systems do at every context
/// switch, counts how often each write leaves the guest, and says which policy the kernel has:
/// `always` (every access exits), `lazy` (the first one after each exit does), `never`, or `emulated`
/// (the guest is interpreted). It measures this host's KVM, or any kernel in the lab: booted in a
/// software emulator, without KVM and without root, with results that repeat to the last digit.
///
/// To begin: `drbench run --kernel debian:6.1 --cpu amd`
#[derive(Debug, Parser)]
#[command(name = "drbench", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell what can be measured here, and why the rest cannot
    Env(EnvArgs),
    /// List what there is to choose from
    List(ListArgs),
    /// Measure this host's KVM, or kernels in the lab, and print the table
    Run(RunArgs),
    /// Print a workload's machine code with addresses, and its predicted exits
    Payload(PayloadArgs),
    /// Compare two runs: what changed, what is missing
    Compare(CompareArgs),
    /// Sum up runs: a line per kernel, variant and vendor
    Summary(SummaryArgs),
    /// Draw what one DR exit costs, by kernel version
    Chart(ChartArgs),
}

/// `drbench env`
#[derive(Debug, Args)]
pub struct EnvArgs {
    /// The emulator to look at, instead of the one drbench would find
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
}

/// `drbench list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to list
    pub what: Listing,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Listing {
    /// Kernels the lab can boot: what Debian's archive offers today
    Kernels,
    /// Switch patterns and interposed exits
    Workloads,
    /// Suites
    Suites,
}

/// `drbench run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Boot this kernel in the lab: debian:VERSION (newest that matches), FILE.deb, host (the
    /// installed one, from /boot), or IMAGE:MODULE_DIR. Repeatable. Without it: this host's KVM
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Vec<String>,
    /// Whose virtualization the lab emulates: amd (intel comes with a later version). Repeatable
    #[arg(long, value_name = "CPU")]
    pub cpu: Vec<String>,
    /// The suite to run; `drbench list suites` names them
    #[arg(long, default_value = "policy")]
    pub suite: Suite,
    /// Measure this workload only (and what the verdict needs). Repeatable. For example
    /// windows,cpuid/3,switches=20; `drbench list workloads` names the parts
    #[arg(long, value_name = "WORKLOAD")]
    pub workload: Vec<Workload>,
    /// Where results go: a directory that does not exist yet [default: results/RUN_ID]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// End with status 1 if the verdict is another: lazy, or amd=lazy,intel=always. Then 125 means
    /// that the kernel cannot be tested, and 128 that nothing could be found out, so that
    /// `git bisect run` skips the one and stops at the other
    #[arg(long, value_name = "POLICY")]
    pub expect: Option<Expectation>,
    /// Keep the lab's console logs beside the results
    #[arg(long, requires = "kernel")]
    pub keep_console: bool,
    /// Run the emulator on the wall clock instead of counting instructions: results no longer
    /// repeat, and there are no instruction figures
    #[arg(long, requires = "kernel")]
    pub no_icount: bool,
    /// Measure in the lab as an ordinary user who may open /dev/kvm: totals, no exits by reason
    #[arg(long, requires = "kernel")]
    pub unprivileged: bool,
    /// More words for the lab kernel's command line. Repeatable
    #[arg(long, value_name = "WORDS", requires = "kernel")]
    pub append: Vec<String>,
    /// Longest time one kernel may take in the lab, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub time_limit: u32,
    /// The emulator to use, instead of the one drbench finds
    #[arg(long, value_name = "PATH", requires = "kernel")]
    pub qemu: Option<PathBuf>,
}

/// A suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Which DR policy the kernel has: counted exits beside predicted ones
    Policy,
    /// Whether drbench's own VMM holds on this kernel: watchdog, crash reports, exception log
    Selfcheck,
}

impl Suite {
    /// The suite's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Selfcheck => "selfcheck",
        }
    }
}

/// `drbench payload`
#[derive(Debug, Args)]
pub struct PayloadArgs {
    /// The workload: PATTERN[,KIND/K][,armed][,work=N][,switches=N]
    pub workload: Workload,
    /// Whose hypercall instruction to use
    #[arg(long, default_value = "amd")]
    pub cpu: String,
}

/// `drbench compare`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The run to compare with: a run directory or its results.csv
    pub before: PathBuf,
    /// The run to judge
    pub after: PathBuf,
}

/// `drbench summary`
#[derive(Debug, Args)]
pub struct SummaryArgs {
    /// Run directories, or their results.csv
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
}

/// `drbench chart`
#[derive(Debug, Args)]
pub struct ChartArgs {
    /// Run directories, or their results.csv
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Where the picture goes. A picture that is there is replaced
    #[arg(long, value_name = "FILE.svg")]
    pub out: PathBuf,
}
