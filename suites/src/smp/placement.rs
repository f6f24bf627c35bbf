//! Where the threads of vCPUs run.

use std::fmt;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// Where the threads of vCPUs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Placement {
    /// Each on a CPU of its own.
    Pinned,
    /// Wherever the scheduler puts them.
    Unpinned,
    /// All on one CPU.
    OverCommitted,
    /// Each moves itself to the next CPU at every interposed exit to userspace. All that run at the
    /// same time move together, with no guest running meanwhile, so that none is disturbed by another.
    Moved,
    /// All on one CPU, with so much work after each switch that they preempt each other.
    Preempted,
}

impl Placement {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Pinned, Self::Unpinned, Self::OverCommitted, Self::Moved, Self::Preempted];

    /// Its name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::OverCommitted => "over-committed",
            Self::Moved => "moved",
            Self::Preempted => "preempted",
        }
    }

    /// The fewest vCPUs for which it is one: one vCPU alone does not over-commit a CPU.
    pub const fn fewest_vcpus(self) -> u8 {
        match self {
            Self::OverCommitted | Self::Preempted => 2,
            Self::Pinned | Self::Unpinned | Self::Moved => 1,
        }
    }

    /// Why it cannot be had with so many CPUs, if it cannot; `exact`: by a clock of instructions.
    pub fn impossible(self, vcpus: u8, cpus: usize, exact: bool) -> Option<String> {
        if self == Self::Preempted && !exact {
            return Some(
                "how long a section must be to be preempted is known only where the clock counts \
                 instructions: in the lab"
                    .to_owned(),
            );
        }
        let needed = match self {
            Self::Pinned => usize::from(vcpus),
            Self::Moved => 2,
            Self::Unpinned | Self::OverCommitted | Self::Preempted => 1,
        };
        let what = match self {
            Self::Pinned => format!("{vcpus} pinned vCPUs need a CPU each"),
            Self::Moved => "a vCPU is moved between two CPUs at least".to_owned(),
            Self::Unpinned | Self::OverCommitted | Self::Preempted => {
                "a vCPU needs a CPU".to_owned()
            }
        };
        (cpus < needed).then(|| format!("{what}, and this target has {cpus}"))
    }

    /// The CPUs on which vCPU number `vcpu` runs, of those there are, after so many moves.
    fn cpus(self, vcpu: u8, moves: usize, cpus: &[usize]) -> &[usize] {
        let one = |index: usize| std::slice::from_ref(&cpus[index % cpus.len()]);
        match self {
            Self::Pinned => one(usize::from(vcpu)),
            Self::Unpinned => cpus,
            Self::OverCommitted | Self::Preempted => one(0),
            Self::Moved => one(usize::from(vcpu) + moves),
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A thread could not be placed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{call} for CPU {cpus:?} failed: {errno}; see which CPUs this process may use (taskset -p)"
)]
pub struct PlacementError {
    call: &'static str,
    cpus: Vec<usize>,
    errno: Errno,
}

/// The calling thread.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// The CPUs that this thread may use.
pub fn allowed() -> Result<Vec<usize>, PlacementError> {
    let failed = |errno| PlacementError { call: "sched_getaffinity", cpus: vec![], errno };
    let set = sched_getaffinity(THIS_THREAD).map_err(failed)?;
    Ok((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu) == Ok(true)).collect())
}

/// The place of a vCPU's thread, which is the one that made it.
#[derive(Debug)]
pub struct Place<'a> {
    placement: Placement,
    vcpu: u8,
    cpus: &'a [usize],
    moves: usize,
}

impl<'a> Place<'a> {
    /// Puts this thread, of vCPU number `vcpu`, where it belongs among `cpus`.
    pub fn take(placement: Placement, vcpu: u8, cpus: &'a [usize]) -> Result<Self, PlacementError> {
        let place = Self { placement, vcpu, cpus, moves: 0 };
        place.set().map(|()| place)
    }

    /// Moves this thread on to the next CPU.
    pub fn advance(&mut self) -> Result<(), PlacementError> {
        self.moves += 1;
        self.set()
    }

    fn set(&self) -> Result<(), PlacementError> {
        let cpus = self.placement.cpus(self.vcpu, self.moves, self.cpus);
        let mut set = CpuSet::new();
        cpus.iter()
            .try_for_each(|&cpu| set.set(cpu))
            .and_then(|()| sched_setaffinity(THIS_THREAD, &set))
            .map_err(|errno| PlacementError {
                call: "sched_setaffinity",
                cpus: cpus.to_vec(),
                errno,
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_had_says_what_it_needs() {
        let impossible =
            |placement: Placement, vcpus, cpus| placement.impossible(vcpus, cpus, true);
        assert_eq!(impossible(Placement::Pinned, 2, 2), None);
        let why = impossible(Placement::Pinned, 3, 2).unwrap();
        assert_eq!(why, "3 pinned vCPUs need a CPU each, and this target has 2");
        let why = impossible(Placement::Moved, 1, 1).unwrap();
        assert!(why.ends_with("this target has 1"), "{why}");
        assert_eq!(impossible(Placement::Moved, 4, 2), None);
        assert_eq!(impossible(Placement::OverCommitted, 4, 1), None);
        assert_eq!(impossible(Placement::Unpinned, 4, 1), None);
        assert_eq!(impossible(Placement::Preempted, 2, 1), None);
        let why = Placement::Preempted.impossible(2, 2, false).unwrap();
        assert!(why.contains("in the lab"), "{why}");
    }

    proptest! {
        #[test]
        fn threads_are_where_their_placement_says(
            count in 2usize..9,
            vcpus in 1u8..5,
            moves in 0usize..20,
        ) {
            let cpus: Vec<usize> = (0..count).map(|cpu| 3 * cpu).collect();
            let of = |placement: Placement, vcpu, moves| placement.cpus(vcpu, moves, &cpus).to_vec();
            for vcpu in 0..vcpus {
                prop_assert_eq!(of(Placement::Unpinned, vcpu, moves), cpus.clone());
                prop_assert_eq!(of(Placement::OverCommitted, vcpu, moves), [cpus[0]]);
                prop_assert_eq!(of(Placement::Pinned, vcpu, moves), of(Placement::Pinned, vcpu, 0));
                let moved = of(Placement::Moved, vcpu, moves);
                prop_assert_eq!(moved.len(), 1);
                prop_assert_ne!(&moved, &of(Placement::Moved, vcpu, moves + 1));
            }
            // As many vCPUs as CPUs at most: never two on one.
            if usize::from(vcpus) <= count {
                for placement in [Placement::Pinned, Placement::Moved] {
                    let mut all: Vec<_> =
                        (0..vcpus).flat_map(|vcpu| of(placement, vcpu, moves)).collect();
                    all.sort_unstable();
                    all.dedup();
                    prop_assert_eq!(all.len(), usize::from(vcpus));
                }
            }
        }
    }

    #[test]
    fn this_thread_goes_where_it_is_put() {
        let cpus = allowed().unwrap();
        assert!(!cpus.is_empty());
        std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                let mut place = Place::take(Placement::Moved, 1, &cpus).unwrap();
                let first = allowed().unwrap();
                place.advance().unwrap();
                (first, allowed().unwrap())
            });
            let at = |index: usize| vec![cpus[index % cpus.len()]];
            assert_eq!(there.join().unwrap(), (at(1), at(2)));
        });
        assert_eq!(allowed().unwrap(), cpus, "other threads stay where they are");
    }
}
