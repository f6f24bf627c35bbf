//! What travels between the command line and the place where the guest runs.
//!
//! A target gets a [`Job`] and answers with [`Message`]s, one for each finished thing, so that
//! nothing measured is lost when what comes after it fails. On this host the messages are function
//! calls, in the lab they are frames; both sides are the same binary, so the encoding needs no names:
//! postcard is short, and each byte costs the lab's kernel instructions and the emulator time.

use bench_vmm::exits::ExitClass;
use guest_payloads::Workload;
use serde::{Deserialize, Serialize};

use crate::plan::Session;
use crate::smp::{CrewMeasured, JobCrew};

/// A job or message as bytes.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ProtocolError> {
    postcard::to_stdvec(value).map_err(ProtocolError)
}

/// A job or message from its bytes.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ProtocolError> {
    postcard::from_bytes(bytes).map_err(ProtocolError)
}

/// Bytes that are no job or message of this very binary.
#[derive(Debug, thiserror::Error)]
#[error(
    "a message between drbench and its target makes no sense ({0}); both must be the same binary"
)]
pub struct ProtocolError(postcard::Error);

/// What a target has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Measure cells.
    Measure(Plan),
    /// Measure cells, which decide the verdict, and then crews of vCPUs.
    Together {
        /// The cells.
        deciding: Plan,
        /// The crews.
        crews: Vec<JobCrew>,
    },
    /// Check the VMM itself.
    Selfcheck,
}

impl Job {
    /// The cells to measure, if there are any.
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Measure(plan) | Self::Together { deciding: plan, .. } => Some(plan),
            Self::Selfcheck => None,
        }
    }
}

/// Cells to measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In this order.
    pub cells: Vec<JobCell>,
    /// How many batches.
    pub effort: Effort,
    /// What is done against noise; nothing where there is none.
    pub against_noise: Option<AgainstNoise>,
    /// As an ordinary user who may open /dev/kvm; in the lab, where PID 1 can become one.
    pub unprivileged: bool,
}

/// What is done against the noise of hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgainstNoise {
    /// Costed cells are measured in rounds, in orders that follow from this seed.
    pub seed: u32,
    /// The measuring thread is bound to one CPU.
    pub pin: bool,
}

/// One cell of a job, ready to run: targets have no assembler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCell {
    /// The payload's machine code.
    pub code: Vec<u8>,
    /// What is asked of KVM.
    pub session: Session,
    /// An earlier cell that makes the same kind of exit once: if the guest did not survive that, this
    /// one is not tried.
    pub needs: Option<u32>,
    /// Whether it is measured a second time, with no tracepoint: what it costs.
    pub costed: bool,
    /// Whether the machine has a LAPIC in the kernel.
    pub lapic: bool,
    /// Fresh pages that a section touches, each an exit that is the guest's doing.
    pub touches: u64,
    /// Longest time it may take, in seconds of the target's clock.
    pub watchdog_seconds: u32,
}

/// How long to go on with a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// Stop after this many undisturbed batches.
    pub undisturbed: u32,
    /// Stop after this many batches in any case.
    pub most: u32,
    /// How long a guest may stand still before it counts as one that never ends.
    pub patience_seconds: u32,
    /// Sections are exactly alike when undisturbed: costs are known as soon as two are, and nothing
    /// has to be warmed up.
    pub exact: bool,
}

impl Effort {
    /// Undisturbed batches a cell needs to be judged at all.
    pub const NEEDED: u32 = 2;
    /// In an emulator that counts instructions every batch is alike: as few as can be judged. One
    /// second of its clock is a thousand million instructions.
    pub const REPEATABLE: Self =
        Self { undisturbed: Self::NEEDED, most: 24, patience_seconds: 1, exact: true };
    /// An emulator on the wall clock: no more batches are needed, but many more attempts.
    pub const DISTURBED: Self =
        Self { undisturbed: Self::NEEDED, most: 150, patience_seconds: 20, exact: false };
    /// Hardware: enough batches for a median.
    pub const HARDWARE: Self =
        Self { undisturbed: 15, most: 150, patience_seconds: 5, exact: false };

    /// Longest time a cell may take, in seconds of the target's clock: a good deal more than any
    /// kernel needs, or a guest that never ends would not be told from a slow one.
    pub fn watchdog_seconds(self, workload: &Workload) -> u32 {
        let switches = u64::from(workload.switches);
        let exits = switches * (u64::from(workload.accesses()) + 1);
        let rounds = switches.saturating_mul(workload.work.into());
        self.watchdog_seconds_of(exits, rounds)
    }

    /// The same for a section of so many exits at most, and rounds of work.
    pub fn watchdog_seconds_of(self, exits: u64, rounds: u64) -> u32 {
        const MOST_SECONDS: u32 = 600;
        const NS_PER_EXIT: u64 = 20_000;
        const NS_PER_ROUND: u64 = 10;
        let section = exits * NS_PER_EXIT + rounds.saturating_mul(NS_PER_ROUND);
        let all = section.saturating_mul(self.most.into()) / 1_000_000_000;
        self.patience_seconds + u32::try_from(all).unwrap_or(u32::MAX).min(MOST_SECONDS)
    }
}

/// Which of the two passes over a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pass {
    /// The tracepoint counts exits by reason.
    Counted,
    /// No perf event at all.
    Costed,
    /// The hardware's cycle counters, where there are any.
    Cycles,
}

/// What a target says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// Once, first.
    Target(Box<Target>),
    /// A pass over a cell is done.
    Measured(Measured),
    /// A pass over a crew is done.
    Crew(CrewMeasured),
    /// A check of the VMM is done.
    Checked(Checked),
    /// On hardware, before the end: what disturbed the measuring.
    Noise(Box<reports::Noise>),
    /// All is done.
    Done,
}

/// Where the guest runs and what can be counted there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The vendor module, `kvm_amd`.
    pub vendor: String,
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub build: String,
    /// CPU model name.
    pub cpu_model: String,
    /// Microcode revision, where there is one.
    pub microcode: Option<String>,
    /// Parameters of kvm and the vendor module, `kvm_amd.npt=1`.
    pub module_parameters: Vec<String>,
    /// Mitigations in force, `spectre_v2: …`.
    pub mitigations: Vec<String>,
    /// kHz of the guest's time stamp counter, if KVM says.
    pub tsc_khz: Option<u32>,
    /// Where the exit statistics come from; or why there are none.
    pub statistics: Availability,
    /// The `kvm:kvm_exit` tracepoint.
    pub trace: Availability,
    /// Hardware cycle counters.
    pub pmu: Availability,
}

/// Whether a counter can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Availability {
    /// It can, in this way.
    Yes(String),
    /// It cannot: what is missing, and what to do.
    No(String),
}

impl Default for Availability {
    fn default() -> Self {
        Self::No("not looked for".to_owned())
    }
}

impl Availability {
    /// Why it cannot be had.
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Yes(_) => None,
            Self::No(reason) => Some(reason),
        }
    }
}

/// One pass over one cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Index into the job's cells.
    pub cell: u32,
    /// Which pass.
    pub pass: Pass,
    /// In the order in which they ran.
    pub batches: Vec<Batch>,
    /// Why the cell ended early, if it did: the guest hung, crashed, could not be entered.
    pub error: Option<String>,
}

/// One check of the VMM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What must hold, in a few words.
    pub name: String,
    /// Whether it does.
    pub outcome: CheckOutcome,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckOutcome {
    /// It holds; with the figures that show it.
    Passed(String),
    /// It cannot be judged here, and why.
    Skipped(String),
    /// What was expected and what came.
    Failed(String),
}

/// What was counted over one section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Exits by the KVM statistics.
    pub exits: Option<u64>,
    /// Instructions emulated, by the KVM statistics.
    pub emulated: Option<u64>,
    /// Difference of the guest's time stamps.
    pub tsc: u64,
    /// What the guest itself counted: switches of a schedule that it executed, #DBs that it took.
    pub played: u64,
    /// Nested page faults that KVM answered with a mapping, by its statistics.
    pub faults: Option<u64>,
    /// Exits by the tracepoint.
    pub trace: Option<Trace>,
    /// By the PMU.
    pub cycles: Option<HardwareCounts>,
    /// The CPU itself was not as usual meanwhile: only where too few batches were better.
    pub unusual: bool,
}

/// What the hardware counted over one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareCounts {
    /// Cycles in the guest.
    pub guest_cycles: u64,
    /// Cycles outside of it.
    pub host_cycles: u64,
    /// Instructions, guest and host together.
    pub instructions: u64,
}

/// Exits by the tracepoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// All exits.
    pub total: u64,
    /// Exits by MOV DR.
    pub dr: u64,
    /// Asynchronous exits; faults of pages that the payload touches on purpose are none.
    pub asynchronous: u64,
    /// Every class of exits that occurred.
    pub by_class: Vec<(ClassCode, u64)>,
}

/// An [`ExitClass`] as one byte: its place in [`ExitClass::ALL`], the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCode(u8);

impl From<ExitClass> for ClassCode {
    fn from(class: ExitClass) -> Self {
        let place = ExitClass::ALL.iter().position(|known| *known == class);
        Self(place.expect("ALL has every class") as u8)
    }
}

impl ClassCode {
    /// The class; one that this binary does not know counts as another.
    pub fn class(self) -> ExitClass {
        ExitClass::ALL.get(usize::from(self.0)).copied().unwrap_or(ExitClass::Other)
    }
}
