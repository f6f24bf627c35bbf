//! The policy suite as data: which cells it has, and what each is for.

use std::fmt;
use std::num::NonZeroU32;

use guest_payloads::{Interposed, InterposedKind, Pattern, Slot, Workload};
use serde::{Deserialize, Serialize};

/// What a cell asks of KVM: the column `policy` of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Session {
    /// The kernel's own policy.
    Kernel,
    /// `KVM_SET_GUEST_DEBUG` with `KVM_GUESTDBG_ENABLE` alone: every access must exit.
    GuestDebug,
}

impl Session {
    /// Both, the kernel's own first.
    pub const ALL: [Self; 2] = [Self::Kernel, Self::GuestDebug];
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "kernel",
            Self::GuestDebug => "guest-debug",
        })
    }
}

/// What a cell is measured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Its exits decide the verdict.
    Anchor,
    /// Dirty, X, access: whether X is a fast path. Counted only.
    FastPathProbe(InterposedKind),
    /// A long control loop: whether the guest is interpreted. Counted only.
    EmulationProbe,
    /// Judged against the verdict's prediction.
    Cell,
}

/// One cell of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What the guest executes.
    pub workload: Workload,
    /// What is asked of KVM.
    pub session: Session,
    /// What it is measured for.
    pub role: Role,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.workload)?;
        match self.session {
            Session::Kernel => Ok(()),
            Session::GuestDebug => write!(f, " under guest debug"),
        }
    }
}

/// The anchors' pattern: five accesses tell the policies apart at every period.
pub const ANCHOR_PATTERN: Pattern = Pattern::Accesses(5);
/// The anchors' interposed exit: one that reaches userspace is a full exit on every kernel.
pub const ANCHOR_INTERPOSED: Interposed =
    Interposed { kind: InterposedKind::PioUser, every: NonZeroU32::MIN };
/// Switches of the emulation probe's long control loop.
const EMULATION_PROBE_SWITCHES: u32 = Workload::DEFAULT_SWITCHES + 128;

/// Patterns of the policy suite, the control first.
const PATTERNS: [Pattern; 8] = [
    Pattern::None,
    Pattern::Dr7,
    ANCHOR_PATTERN,
    Pattern::Scan,
    Pattern::LinuxHwbp(Slot::S0),
    Pattern::LinuxHwbp(Slot::S3),
    Pattern::SaveRestore,
    Pattern::Windows,
];

/// Interposed exits of the policy suite. Of four switches, every third leaves a rest: floor and
/// ceiling differ there.
const INTERPOSED: [Option<(InterposedKind, u32)>; 4] = [
    None,
    Some((InterposedKind::PioUser, 1)),
    Some((InterposedKind::Cpuid, 1)),
    Some((InterposedKind::Cpuid, 3)),
];

/// Kinds that the policy suite probes: it is quick, so none that needs another machine, fresh pages or
/// armed breakpoints. The cost suite probes all.
const PROBED: [InterposedKind; 7] = [
    InterposedKind::Cpuid,
    InterposedKind::Hypercall,
    InterposedKind::Hlt,
    InterposedKind::PioKernel,
    InterposedKind::PioUser,
    InterposedKind::Rdmsr,
    InterposedKind::Wrmsr,
];

/// Every cell of the policy suite, those that decide the verdict first, so that all later cells can
/// be judged as they arrive. `more` are the user's own workloads, judged like the rest.
pub fn policy(more: &[Workload]) -> Vec<Cell> {
    let mut cells = anchors();
    cells.push(emulation_probe());
    cells.extend(PROBED.map(fast_path_probe));
    for session in Session::ALL {
        for interposed in INTERPOSED {
            for pattern in PATTERNS {
                push_new(
                    &mut cells,
                    Workload { interposed: period(interposed), ..Workload::new(pattern) },
                    session,
                );
            }
        }
    }
    for &workload in more {
        for session in Session::ALL {
            push_new(&mut cells, workload, session);
        }
    }
    cells
}

/// Patterns of the cost suite: sweeps by size, and what guests really do.
const SWEPT: [Pattern; 18] = [
    Pattern::None,
    Pattern::Accesses(1),
    Pattern::Accesses(2),
    Pattern::Accesses(3),
    Pattern::Accesses(4),
    Pattern::Accesses(5),
    Pattern::Accesses(6),
    Pattern::Accesses(8),
    Pattern::Accesses(12),
    Pattern::Accesses(16),
    Pattern::Accesses(24),
    Pattern::Dr7,
    Pattern::Scan,
    Pattern::LinuxHwbp(Slot::S0),
    Pattern::LinuxHwbp(Slot::S1),
    Pattern::LinuxHwbp(Slot::S3),
    Pattern::SaveRestore,
    Pattern::Windows,
];
/// Periods of the cost suite's interposed exits, in a section of [`Workload::DEFAULT_SWITCHES`].
const SWEPT_PERIODS: [u32; 3] = [1, 2, 4];
/// Long periods, each in a section that has one such exit; for a pattern of one access, and not under
/// guest debug: a thousand DR exits take a good part of a timer's period, and a tick that falls into
/// the host's part of an exit adds its 3000 instructions and no exit by which it could be told.
const LONG_PERIODS: [u32; 3] = [10, 100, 1000];

/// Every cell of the cost suite, those that decide the verdict first.
pub fn cost() -> Vec<Cell> {
    let mut cells = anchors();
    cells.push(emulation_probe());
    cells.extend(InterposedKind::ALL.map(fast_path_probe));
    let every = |kind, every| period(Some((kind, every)));
    for session in Session::ALL {
        for pattern in SWEPT {
            push_new(&mut cells, Workload::new(pattern), session);
            push_new(&mut cells, Workload { armed: true, ..Workload::new(pattern) }, session);
            for kind in InterposedKind::ALL {
                let armed = kind.needs_armed();
                for interposed in SWEPT_PERIODS.map(|k| every(kind, k)) {
                    let workload = Workload { interposed, armed, ..Workload::new(pattern) };
                    push_new(&mut cells, workload, session);
                }
            }
            let interposed = every(InterposedKind::Cpuid, 1);
            let armed = Workload { interposed, armed: true, ..Workload::new(pattern) };
            push_new(&mut cells, armed, session);
        }
    }
    for switches in LONG_PERIODS {
        let interposed = every(InterposedKind::Cpuid, switches);
        let workload = Workload { interposed, switches, ..Workload::new(Pattern::Dr7) };
        push_new(&mut cells, workload, Session::Kernel);
    }
    cells
}

/// Patterns of the slowdown suite, the control among them.
pub const SWITCHED: [Pattern; 8] = PATTERNS;
/// The slowdown suite's other exit, after every switch.
pub const INTERPOSED_EACH: Interposed =
    Interposed { kind: InterposedKind::Cpuid, every: NonZeroU32::MIN };
/// Switches of a section whose first exit, if it has one, is not counted: the rest shows what a switch
/// takes by itself.
pub const LONG_SWITCHES: u32 = Workload::DEFAULT_SWITCHES + 64;

/// Every cell of the slowdown suite, those that decide the verdict first.
pub fn slowdown() -> Vec<Cell> {
    let mut cells = anchors();
    cells.push(emulation_probe());
    cells.push(fast_path_probe(INTERPOSED_EACH.kind));
    let interposed = Some(INTERPOSED_EACH);
    for pattern in SWITCHED {
        let plain = Workload::new(pattern);
        for session in Session::ALL {
            push_new(&mut cells, plain, session);
        }
        push_new(&mut cells, Workload { interposed, ..plain }, Session::Kernel);
        push_new(&mut cells, Workload { switches: LONG_SWITCHES, ..plain }, Session::Kernel);
    }
    let control = Workload { interposed, ..Workload::new(Pattern::None) };
    push_new(&mut cells, control, Session::GuestDebug);
    push_new(&mut cells, Workload { armed: true, ..control }, Session::Kernel);
    cells
}

/// Only what a verdict needs, and the user's workloads.
pub fn only(workloads: &[Workload]) -> Vec<Cell> {
    let mut cells = deciding_for(workloads);
    for &workload in workloads {
        for session in Session::ALL {
            push_new(&mut cells, workload, session);
        }
    }
    cells
}

/// Only what a verdict needs to judge these workloads by: the anchors, the probe for interpretation,
/// and the probes of their exits.
pub fn deciding_for(workloads: &[Workload]) -> Vec<Cell> {
    let mut cells = anchors();
    cells.push(emulation_probe());
    let kinds = workloads.iter().filter_map(|workload| workload.interposed);
    for Interposed { kind, .. } in kinds {
        let probe = fast_path_probe(kind);
        if !cells.contains(&probe) {
            cells.push(probe);
        }
    }
    cells
}

/// Only what a verdict needs, and how exits of this kind behave: for what is no workload.
pub fn deciding(kind: InterposedKind) -> Vec<Cell> {
    let mut cells = anchors();
    cells.extend([emulation_probe(), fast_path_probe(kind)]);
    cells
}

/// k = infinity and k = 1, with and without guest debug; and the control beside them.
fn anchors() -> Vec<Cell> {
    let anchor = |session, interposed| Cell {
        workload: Workload { interposed, ..Workload::new(ANCHOR_PATTERN) },
        session,
        role: Role::Anchor,
    };
    let control =
        Cell { workload: Workload::new(Pattern::None), session: Session::Kernel, role: Role::Cell };
    let mut cells = vec![control];
    for session in Session::ALL {
        cells.extend([None, Some(ANCHOR_INTERPOSED)].map(|interposed| anchor(session, interposed)));
    }
    cells
}

fn emulation_probe() -> Cell {
    let switches = EMULATION_PROBE_SWITCHES;
    Cell {
        workload: Workload { switches, ..Workload::new(Pattern::None) },
        session: Session::Kernel,
        role: Role::EmulationProbe,
    }
}

/// The cell that probes the kind of exit this one makes; none for the probe itself.
pub fn probe_of(cells: &[Cell], cell: &Cell) -> Option<u32> {
    let probe = probe_of_kind(cells, cell.workload.interposed?.kind)?;
    (cell.role == Role::Cell).then_some(probe)
}

/// The cell that probes a kind of exit.
pub fn probe_of_kind(cells: &[Cell], kind: InterposedKind) -> Option<u32> {
    let probe = Role::FastPathProbe(kind);
    cells.iter().position(|other| other.role == probe).map(|index| index as u32)
}

/// Two switches with the exit between them: two DR exits if it re-armed the intercepts, else one.
fn fast_path_probe(kind: InterposedKind) -> Cell {
    let interposed = Some(Interposed { kind, every: NonZeroU32::MIN });
    Cell {
        workload: Workload {
            interposed,
            armed: kind.needs_armed(),
            switches: 2,
            ..Workload::new(ANCHOR_PATTERN)
        },
        session: Session::Kernel,
        role: Role::FastPathProbe(kind),
    }
}

fn period(interposed: Option<(InterposedKind, u32)>) -> Option<Interposed> {
    let (kind, every) = interposed?;
    Some(Interposed { kind, every: NonZeroU32::new(every)? })
}

fn push_new(cells: &mut Vec<Cell>, workload: Workload, session: Session) {
    // Probes have no rows of their own: a cell may look like one.
    let known = cells.iter().any(|cell| {
        matches!(cell.role, Role::Anchor | Role::Cell)
            && cell.workload == workload
            && cell.session == session
    });
    if !known {
        cells.push(Cell { workload, session, role: Role::Cell });
    }
}

#[cfg(test)]
mod tests {
    use guest_payloads::{Policy, Rearm};

    use super::*;

    #[test]
    fn no_cell_is_measured_twice() {
        let mut cells = policy(&["windows".parse().unwrap(), "n:7,cpuid/2".parse().unwrap()]);
        cells.retain(|cell| matches!(cell.role, Role::Anchor | Role::Cell));
        for (index, cell) in cells.iter().enumerate() {
            let same =
                |other: &&Cell| (other.workload, other.session) == (cell.workload, cell.session);
            assert_eq!(cells.iter().filter(same).count(), 1, "cell {index}: {cell}");
        }
    }

    #[test]
    fn a_users_workload_that_looks_like_a_probe_is_a_cell_all_the_same() {
        let probe = fast_path_probe(InterposedKind::Cpuid);
        let cells = only(&[probe.workload]);
        let asked = |cell: &&Cell| cell.workload == probe.workload && cell.role == Role::Cell;
        assert_eq!(cells.iter().filter(asked).count(), 2, "with and without guest debug");
    }

    #[test]
    fn a_cell_needs_the_probe_of_its_exits_which_comes_first() {
        let cells = cost();
        let mut needing = 0;
        for (index, cell) in cells.iter().enumerate() {
            let Some(probe) = probe_of(&cells, cell) else { continue };
            assert!((probe as usize) < index, "{cell}");
            let kind = cell.workload.interposed.unwrap().kind;
            assert_eq!(cells[probe as usize].role, Role::FastPathProbe(kind));
            needing += 1;
        }
        let making = |cell: &&Cell| cell.workload.interposed.is_some() && cell.role == Role::Cell;
        assert_eq!(needing, cells.iter().filter(making).count());
    }

    #[test]
    fn each_pair_of_policies_is_told_apart_by_an_anchor() {
        let anchors: Vec<_> =
            anchors().into_iter().filter(|cell| cell.role == Role::Anchor).collect();
        assert_eq!(anchors.len(), 4);
        let signature = |policy: Policy| -> Vec<u64> {
            let of = |cell: &Cell| match cell.session {
                Session::Kernel => policy,
                Session::GuestDebug => policy.under_guest_debug(),
            };
            anchors.iter().map(|cell| cell.workload.predict(of(cell), Rearm::Yes).dr).collect()
        };
        let signatures = Policy::ALL.map(signature);
        for (index, one) in signatures.iter().enumerate() {
            assert!(!signatures[index + 1..].contains(one), "{one:?}");
        }
    }

    #[test]
    fn what_decides_the_verdict_comes_before_what_is_judged_by_it() {
        let cells = policy(&[]);
        let last_deciding = cells.iter().rposition(|cell| cell.role != Role::Cell).unwrap();
        let judged = cells.iter().filter(|cell| cell.role == Role::Cell).count();
        assert_eq!(cells[last_deciding + 1..].len() + 1, judged, "only the control comes earlier");
        assert_eq!(cells[0].workload.pattern, Pattern::None);
    }
}
