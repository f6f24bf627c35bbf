//! Several vCPUs at once: where their threads run, and which cells the suite has.
//!
//! [`placement`] says where a vCPU's thread may run, [`measure`] runs the vCPUs together on a target,
//! [`gate`] is where their threads meet, [`assess`] makes rows of what came of it.

pub mod assess;
pub mod gate;
pub mod measure;
pub mod placement;

pub use assess::Crews;
pub use placement::Placement;

use std::fmt;
use std::num::NonZeroU32;

use guest_payloads::layout::MAX_VCPUS;
use guest_payloads::{Interposed, InterposedKind, Pattern, Slot, Workload};
use serde::{Deserialize, Serialize};

use crate::plan::{Cell, Role, Session};
use crate::protocol::{Batch, JobCell, Pass};

/// CPUs of a machine in the lab, where its emulator can have several: as many as it takes to pin
/// vCPUs apart and to move them.
pub const LAB_CPUS: u8 = 2;

/// One cell of the suite: a workload that several vCPUs execute together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crew {
    /// What each vCPU executes.
    pub cell: Cell,
    /// How many there are.
    pub vcpus: u8,
    /// Where their threads run.
    pub placement: Placement,
}

impl fmt::Display for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vcpus = if self.vcpus == 1 { "vCPU" } else { "vCPUs" };
        write!(f, "{}, {} {vcpus} {}", self.cell, self.vcpus, self.placement)
    }
}

impl Crew {
    /// Whether its sections have a cost: those that other vCPUs preempt have none of their own.
    pub fn is_costed(&self) -> bool {
        self.placement != Placement::Preempted
    }
}

/// The same as a target gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCrew {
    /// The payload, and how it is run.
    pub cell: JobCell,
    /// How many vCPUs.
    pub vcpus: u8,
    /// Where their threads run.
    pub placement: Placement,
    /// Whether each vCPU writes its watched bytes at the end, outside of the section.
    pub shows_breakpoint: bool,
    /// Whether its sections have exits to userspace.
    pub comes_out: bool,
}

impl JobCrew {
    /// Why its threads would stay where they are although they are to be moved.
    fn never_moved(&self) -> Option<String> {
        (self.placement == Placement::Moved && !self.comes_out).then(|| {
            "threads are moved at exits to userspace, and this workload has none: write it with \
             pio-user/K or hlt/K"
                .to_owned()
        })
    }
}

/// Whether a section has interposed exits that the host sees.
pub fn comes_out(workload: &Workload) -> bool {
    let kind = workload.interposed.map(|interposed| interposed.kind);
    let seen = matches!(kind, Some(InterposedKind::PioUser | InterposedKind::Hlt));
    seen && workload.interposed_exits() > 0
}

/// One pass over one crew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrewMeasured {
    /// Index into the job's crews.
    pub crew: u32,
    /// Which pass.
    pub pass: Pass,
    /// What came of it.
    pub came: Came,
}

/// What comes of a pass over a crew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Came {
    /// What each vCPU gave.
    Measured(Vec<OfVcpu>),
    /// The target has not what the placement needs.
    Impossible(String),
    /// A vCPU hung, crashed, could not be entered: which, and how.
    Broken(String),
}

/// What one vCPU gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfVcpu {
    /// Its sections, in the order in which they ran.
    pub batches: Vec<Batch>,
    /// What came of its write to the watched bytes, where it made one.
    pub touched: Option<Touched>,
    /// How often the scheduler took its thread off the CPU in them (getrusage(2), `ru_nivcsw`).
    pub preemptions: u64,
}

/// What the guest's handlers logged when it wrote its first watched bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// #DB exceptions whose only cause was the first breakpoint.
    pub hits: u32,
    /// All exceptions.
    pub exceptions: u32,
}

impl Touched {
    /// Whether the breakpoint was in force.
    ///
    /// # Errors
    /// What came instead of one #DB.
    pub fn verify(self) -> Result<(), String> {
        match self {
            Self { hits: 1, exceptions: 1 } => Ok(()),
            Self { hits, exceptions } => Err(format!(
                "a write to the watched bytes must give one #DB by the first breakpoint; it gave \
                 {exceptions} exceptions, {hits} of them that"
            )),
        }
    }
}

/// What the suite's vCPUs execute: an exit to userspace after each switch, at which a thread can be
/// moved; with breakpoints armed and left alone, and armed and switched.
const WORKLOADS: [Workload; 2] = [armed(Pattern::None), armed(Pattern::LinuxHwbp(Slot::S3))];

/// Rounds of work after each switch of a section that is to be preempted: three million instructions,
/// so that four switches take three periods of a timer of 250 Hz, and more than a scheduler's slice.
const PREEMPTED_WORK: u32 = 1_500_000;

const fn armed(pattern: Pattern) -> Workload {
    let interposed = Interposed { kind: InterposedKind::PioUser, every: NonZeroU32::MIN };
    Workload { interposed: Some(interposed), armed: true, ..Workload::new(pattern) }
}

/// Whether vCPUs can execute it together: fresh pages are the same for all, there is no LAPIC, and the
/// handler that counts #DBs would not log the one that shows a breakpoint.
pub fn takes(workload: &Workload) -> bool {
    match workload.interposed.map(|interposed| interposed.kind) {
        Some(
            InterposedKind::TscDeadline | InterposedKind::PageTouch | InterposedKind::Breakpoint,
        ) => false,
        Some(_) | None => true,
    }
}

/// The workloads of the suite: the user's, if there are any.
pub fn workloads(asked: &[Workload]) -> Vec<Workload> {
    if asked.is_empty() { WORKLOADS.to_vec() } else { asked.to_vec() }
}

/// Every crew of 1 to `most` vCPUs, at most [`MAX_VCPUS`].
pub fn crews(asked: &[Workload], most: u8) -> Vec<Crew> {
    let mut crews = Vec::new();
    for workload in workloads(asked) {
        for session in Session::ALL {
            let cell = Cell { workload, session, role: Role::Cell };
            for placement in Placement::ALL {
                let vcpus = placement.fewest_vcpus()..=most.min(MAX_VCPUS);
                let cell = if placement == Placement::Preempted { preempted(cell) } else { cell };
                for crew in vcpus.map(|vcpus| Crew { cell, vcpus, placement }) {
                    if !crews.contains(&crew) {
                        crews.push(crew);
                    }
                }
            }
        }
    }
    crews
}

fn preempted(cell: Cell) -> Cell {
    let work = cell.workload.work.max(PREEMPTED_WORK);
    Cell { workload: Workload { work, ..cell.workload }, ..cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placement_meets_every_number_of_vcpus_and_a_key_stands_for_one_vcpu() {
        let crews = crews(&[], u8::MAX);
        for placement in Placement::ALL {
            for vcpus in placement.fewest_vcpus()..=MAX_VCPUS {
                let has = |crew: &&Crew| (crew.vcpus, crew.placement) == (vcpus, placement);
                assert_eq!(crews.iter().filter(has).count(), WORKLOADS.len() * 2);
            }
        }
        for (index, crew) in crews.iter().enumerate() {
            assert!(!crews[index + 1..].contains(crew), "{crew}");
        }
    }

    #[test]
    fn a_workload_given_twice_is_measured_once() {
        let work = |text: &str| text.parse::<Workload>().unwrap();
        // A preempted section has work of its own, so two workloads are one there.
        let asked = [
            work("dr7,pio-user/1,work=10"),
            work("dr7,pio-user/1,work=20"),
            work("dr7,pio-user/1,work=10"),
        ];
        let crews = crews(&asked, 2);
        for (index, crew) in crews.iter().enumerate() {
            assert!(!crews[index + 1..].contains(crew), "{crew}");
        }
    }

    #[test]
    fn only_exits_that_the_host_sees_are_places_to_move_a_thread() {
        let out = |text: &str| comes_out(&text.parse().unwrap());
        assert!(out("dr7,pio-user/1") && out("dr7,hlt/2"));
        assert!(!out("dr7") && !out("dr7,cpuid/1") && !out("dr7,pio-kernel/1"));
        assert!(!out("dr7,pio-user/9"), "the section ends before");
    }

    #[test]
    fn what_only_one_vcpu_can_do_is_not_for_several() {
        let taken = |text: &str| takes(&text.parse().unwrap());
        assert!(["dr7", "dr7,cpuid/1", "windows,pio-user/2,armed"].into_iter().all(taken));
        let not = ["dr7,tsc-deadline/1", "dr7,page-touch/1", "dr7,breakpoint/1,armed"];
        assert!(!not.into_iter().any(taken));
    }

    #[test]
    fn a_thread_that_is_moved_has_exits_to_be_moved_at() {
        for workload in WORKLOADS {
            let kind = workload.interposed.map(|interposed| interposed.kind);
            assert_eq!(kind, Some(InterposedKind::PioUser));
            assert!(workload.armed);
        }
    }

    #[test]
    fn one_debug_exception_and_no_other_shows_a_breakpoint() {
        let touched = |hits, exceptions| Touched { hits, exceptions }.verify();
        assert_eq!(touched(1, 1), Ok(()));
        for (hits, exceptions) in [(0, 0), (2, 2), (0, 1), (1, 2)] {
            let why = touched(hits, exceptions).unwrap_err();
            assert!(why.contains(&format!("gave {exceptions} exceptions, {hits} of")), "{why}");
        }
    }
}
