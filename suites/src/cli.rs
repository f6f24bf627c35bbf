//! The command line. Its doc comments are the help texts: they are for a terminal, without markup.
#![allow(clippy::doc_markdown)]

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use drbench_lab::emulator::MachineKind;
use guest_payloads::Workload;
use guest_payloads::layout::MAX_VCPUS;
use reports::export::{FORMATS, Format, Origin};

use crate::expect::Expectation;
pub use crate::history_args::{HistoryAction, HistoryArgs, Store};
use crate::matrix::Shard;
use crate::trace::TraceArgs;

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
    Run(Box<RunArgs>),
    /// Print a workload's machine code with addresses, and its predicted exits
    Payload(PayloadArgs),
    /// Compare runs with another: what changed, what is missing
    Compare(CompareArgs),
    /// List the runs of a directory, show one metric over them, or keep a run as a baseline
    History(Box<HistoryArgs>),
    /// Put the parts of a run together that were measured with --shard, maybe on several machines
    Merge(MergeArgs),
    /// Show what is kept between runs, or remove some of it
    Cache(CacheArgs),
    /// Sum up runs: a line per kernel, variant and vendor
    Summary(SummaryArgs),
    /// Draw what one DR exit costs, by kernel version
    Chart(ChartArgs),
    /// Write runs down for others: pages for a browser, or a CI system's own format
    Report(ReportArgs),
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
    /// Emulators and CPU models of the lab
    Machines,
    /// Suites
    Suites,
}

/// What a resumed run has from its own command line.
const MEASURING: [&str; 26] = [
    "kernel",
    "cpu",
    "machine",
    "suite",
    "workload",
    "trace",
    "debugged",
    "debugged_as",
    "exits_per_second",
    "trace_switches",
    "vcpus",
    "repeat",
    "seed",
    "no_pin",
    "shard",
    "out",
    "expect",
    "keep_console",
    "no_icount",
    "cold",
    "unprivileged",
    "append",
    "time_limit",
    "qemu",
    "world_switch_cycles",
    "clock_mhz",
];

/// `drbench run`
// Each flag is a switch of its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Boot this kernel in the lab: debian:VERSION (newest that matches), FILE.deb, host (the
    /// installed one, from /boot), or IMAGE:MODULE_DIR. Repeatable. Without it: this host's KVM
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Vec<String>,
    /// Whose virtualization the lab emulates: amd, intel, or a CPU model that an emulator knows.
    /// Repeatable [default: both vendors]
    #[arg(long, value_name = "CPU")]
    pub cpu: Vec<String>,
    /// The lab's emulator: qemu-tcg, bochs, or qemu-kvm where this host's KVM can run hypervisors
    /// as guests [default: qemu-tcg for AMD, bochs for Intel]
    #[arg(long, value_name = "MACHINE")]
    pub machine: Option<MachineKind>,
    /// The suite to run; `drbench list suites` names them
    #[arg(long, default_value = "policy")]
    pub suite: Suite,
    /// Measure this workload only (and what the verdict needs). Repeatable. For example
    /// windows,cpuid/3,switches=20; `drbench list workloads` names the parts
    #[arg(long, value_name = "WORKLOAD")]
    pub workload: Vec<Workload>,
    /// What the suite trace plays
    #[command(flatten)]
    pub trace: TraceArgs,
    /// Suite smp: 1 to N vCPUs [default: 4, the most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_VCPUS)))]
    pub vcpus: Option<u8>,
    /// Measure every cell so many times, each with a boot of its own: all must agree in every digit.
    /// The first that does not is named, and the status is 1
    #[arg(long, value_name = "N", default_value = "1")]
    pub repeat: NonZeroU32,
    /// On hardware: the order in which cells are measured, which is another in each round, follows from
    /// this number. A run's own stands in its run.json [default: one of the moment]
    #[arg(long, value_name = "N")]
    pub seed: Option<u32>,
    /// On hardware: leave it to the scheduler on which CPUs the guest runs, instead of binding the
    /// measuring thread to the one it is on; `taskset -c N drbench run` chooses another
    #[arg(long)]
    pub no_pin: bool,
    /// Only this machine's part of the cells, as 2/3; `drbench merge` puts the parts together
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// How many cells are measured side by side [default: one per core]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroU32>,
    /// List the cells and how long they will take; measure and fetch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take up an interrupted run: measure what is left in this directory, by the run's own command
    /// line and under its id. Of a finished one, print the table again
    #[arg(long, value_name = "DIR", conflicts_with_all = MEASURING)]
    pub resume: Option<PathBuf>,
    /// Print every cell's own table, also if there are many; else a summary
    #[arg(long)]
    pub details: bool,
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
    /// Boot the lab's kernel anew, instead of going on from a machine that an earlier run saved
    /// after its set-up
    #[arg(long, requires = "kernel")]
    pub cold: bool,
    /// Measure in the lab as an ordinary user who may open /dev/kvm: totals, no exits by reason
    #[arg(long, requires = "kernel")]
    pub unprivileged: bool,
    /// More words for the lab kernel's command line. Repeatable
    #[arg(long, value_name = "WORDS", requires = "kernel")]
    pub append: Vec<String>,
    /// Longest time one boot may take in the lab, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub time_limit: u32,
    /// The QEMU to use, instead of the one drbench finds; $DRBENCH_BOCHS names a Bochs
    #[arg(long, value_name = "PATH", requires = "kernel")]
    pub qemu: Option<PathBuf>,
    /// Suite slowdown in the lab: cycles of leaving the guest and entering it again, which
    /// instructions do not show [default: 1350: from before VMRUN to after the exit 1344 to 1376 were
    /// measured on an AMD processor, lkml.iu.edu/hypermail/linux/kernel/2012.2/00527.html]
    #[arg(long, value_name = "CYCLES", requires = "kernel", allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub world_switch_cycles: Option<u32>,
    /// Suite slowdown in the lab: the clock by which cycles are time [default: 3000, a round figure]
    #[arg(long, value_name = "MHZ", requires = "kernel", allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clock_mhz: Option<u32>,
}

/// A suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Which DR policy the kernel has: counted exits beside predicted ones
    Policy,
    /// What exits cost: prices fitted on half of a sweep and tested on the other half
    Cost,
    /// Guest time lost by switches per second, under always, lazy and never
    Slowdown,
    /// What a recorded load loses: the context switches of --trace FILE, played one by one
    Trace,
    /// 1 to N vCPUs pinned, unpinned, on one CPU, and moved between CPUs with breakpoints armed
    Smp,
    /// Whether drbench's own VMM holds on this kernel: watchdog, crash reports, exception log
    Selfcheck,
}

impl Suite {
    /// The suite's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Cost => "cost",
            Self::Slowdown => "slowdown",
            Self::Trace => "trace",
            Self::Smp => "smp",
            Self::Selfcheck => "selfcheck",
        }
    }

    /// The same for the record.
    pub fn recorded(self) -> reports::Name {
        self.name().parse().expect("suites are plain words")
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
    /// The run to compare with, unless --baseline names it, and the runs to judge, each by itself: run
    /// directories or their results.csv
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Compare with the run that `drbench history keep` keeps by this name
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Where it is kept
    #[command(flatten)]
    pub store: Store,
    /// Limits that decide which rows may differ, and by how much: a TOML file of [[limit]] tables
    #[arg(long, value_name = "FILE")]
    pub gate: Option<PathBuf>,
    /// Show every row, also those that are the same, and those of which nothing can be told
    #[arg(long)]
    pub all: bool,
    /// How to print it
    #[arg(long, default_value = "table")]
    pub format: CompareFormat,
    /// The smallest change of a noisy metric's median that matters, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    pub min_effect: f64,
}

/// How `drbench compare` prints.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CompareFormat {
    /// A table for a terminal
    Table,
    /// For a mail or a pull request
    Markdown,
    /// JUnit XML: a test case for each cell
    Junit,
    /// KTAP, the kernel's test results: a test for each cell
    Ktap,
}

/// A share in percent, from 0 to 1000.
fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent),
        _ => Err(format!("`{text}` is no number from 0 to 1000")),
    }
}

/// `drbench cache`
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do; without it, show what is there
    #[command(subcommand)]
    pub action: Option<CacheAction>,
}

/// What can be done to the cache.
#[derive(Debug, Subcommand)]
pub enum CacheAction {
    /// Remove entries; they are fetched or built anew when they are needed
    Prune(PruneArgs),
}

/// `drbench cache prune`
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct PruneArgs {
    /// Only what was not used for so many days
    #[arg(long, value_name = "DAYS")]
    pub older_than: Option<u32>,
    /// Only entries of this kind, as `drbench cache` names them
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Everything
    #[arg(long, conflicts_with_all = ["older_than", "kind"])]
    pub all: bool,
}

/// `drbench merge`
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The directory to make
    pub out: PathBuf,
    /// The run directories of all shards, in any order
    #[arg(required = true)]
    pub shards: Vec<PathBuf>,
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

/// `drbench report`
#[derive(Debug, Args)]
// Not a group of the struct: that has all of its fields, the runs too.
#[command(group = ArgGroup::new("what").required(true).args(["html", "format"]))]
pub struct ReportArgs {
    /// Run directories, their results.csv, or directories of runs
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Write pages that a browser opens from the disk, into a directory that is made
    #[arg(long, value_name = "DIR")]
    pub html: Option<PathBuf>,
    /// Write the rows in a format of others, to standard output or --out
    #[arg(long, value_name = "FORMAT", value_parser = formats())]
    pub format: Option<&'static Format>,
    /// The file that --format writes. One that is there is replaced, in one step
    #[arg(long, value_name = "FILE", requires = "format", conflicts_with = "html")]
    pub out: Option<PathBuf>,
    /// Who submits, for --format kcidb
    #[arg(long, value_name = "NAME", conflicts_with = "html", default_value = "drbench")]
    pub origin: Origin,
}

/// The formats of [`reports::export`], by their names.
fn formats() -> impl TypedValueParser<Value = &'static Format> {
    let names = FORMATS.iter().map(|format| PossibleValue::new(format.name).help(format.about));
    let find = |name: String| FORMATS.iter().find(|format| format.name == name);
    PossibleValuesParser::new(names)
        .map(move |name| find(name).expect("clap lets the names of formats through only"))
}
