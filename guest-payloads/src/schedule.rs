//! A schedule: context switches one by one, as a record of a real machine has them.
//!
//! Where a [`Workload`](crate::Workload) repeats one switch, a schedule says of each which of its two
//! tasks carries breakpoints: one that leaves costs the save half of the pattern, one that comes the
//! restore half, any other switch nothing. Exits that are no DR access stand between them.

use crate::interposed::InterposedKind;
use crate::model::{Policy, PredictedExits, Rearm};
use crate::pattern::{Access, Pattern, Switch};

/// One thing that the guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A context switch.
    Switch {
        /// The task that leaves carries breakpoints.
        leaves: bool,
        /// The task that comes carries breakpoints.
        comes: bool,
    },
    /// An exit that is no DR access.
    Exit,
}

/// What the guest executes from one marker to the next, step by step.
///
/// ```
/// use guest_payloads::{InterposedKind, Pattern, Policy, Rearm, Schedule, Slot, Step};
/// let comes = Step::Switch { leaves: false, comes: true };
/// let leaves = Step::Switch { leaves: true, comes: false };
/// let schedule = Schedule {
///     pattern: Pattern::LinuxHwbp(Slot::S0),
///     exit: InterposedKind::Cpuid,
///     steps: vec![comes, leaves, Step::Exit, comes],
/// };
/// assert_eq!((schedule.switches(), schedule.accesses()), (3, 5));
/// assert_eq!(schedule.predict(Policy::Always, Rearm::Yes).dr, 5);
/// assert_eq!(schedule.predict(Policy::Lazy, Rearm::Yes).dr, 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// What a task with breakpoints costs at a switch.
    pub pattern: Pattern,
    /// What [`Step::Exit`] is.
    pub exit: InterposedKind,
    /// In this order.
    pub steps: Vec<Step>,
}

/// How large a section of a schedule may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionSize {
    /// After this many possible exits the next [`Step::Exit`] ends the section.
    pub wanted: u64,
    /// This many possible exits end it in any case.
    pub most: u64,
    /// And so do this many switches.
    pub switches: u64,
}

impl Schedule {
    /// Switches.
    pub fn switches(&self) -> u64 {
        self.steps.iter().filter(|step| matches!(step, Step::Switch { .. })).count() as u64
    }

    /// Accesses to debug registers, all switches together.
    pub fn accesses(&self) -> u64 {
        let switch = self.pattern.switch();
        self.steps.iter().map(|&step| accesses(&switch, step).count() as u64).sum()
    }

    /// Exits that are no DR access.
    pub fn exits(&self) -> u64 {
        self.steps.iter().filter(|&&step| step == Step::Exit).count() as u64
    }

    /// The same without breakpoints.
    #[must_use]
    pub fn control(&self) -> Self {
        Self { pattern: Pattern::None, ..self.clone() }
    }

    /// The exits it must cause under a policy that is in force.
    pub fn predict(&self, policy: Policy, rearm: Rearm) -> PredictedExits {
        let switch = self.pattern.switch();
        // The BEGIN OUT was a full exit.
        let (mut armed, mut dr) = (true, 0);
        for &step in &self.steps {
            let accesses = accesses(&switch, step).count() as u64;
            match (policy, step) {
                (_, Step::Exit) => armed |= !rearm.is_fast_path(),
                (Policy::Always, Step::Switch { .. }) => dr += accesses,
                (Policy::Lazy, Step::Switch { .. }) => {
                    dr += u64::from(armed && accesses > 0);
                    armed &= accesses == 0;
                }
                (Policy::Never | Policy::Emulated, Step::Switch { .. }) => {}
            }
        }
        PredictedExits::new(dr, self.exits(), Some(self.exit), rearm)
    }

    /// Cut into sections that can be measured one by one. A section begins with intercepts that are
    /// armed, so it is cut after an exit, where a lazy kernel has armed them anyway: then all sections
    /// together have the exits of the whole. Only where no exit comes is it cut elsewhere.
    pub fn sections(&self, size: SectionSize) -> Vec<Self> {
        let switch = self.pattern.switch();
        let (mut sections, mut steps) = (Vec::new(), Vec::new());
        let (mut exits, mut switches) = (0, 0);
        for &step in &self.steps {
            steps.push(step);
            exits += match step {
                Step::Exit => 1,
                Step::Switch { .. } => accesses(&switch, step).count() as u64,
            };
            switches += u64::from(step != Step::Exit);
            let cut = exits >= size.most
                || switches >= size.switches
                || (step == Step::Exit && exits >= size.wanted);
            if cut {
                sections.push(Self { steps: std::mem::take(&mut steps), ..*self });
                (exits, switches) = (0, 0);
            }
        }
        if !steps.is_empty() {
            sections.push(Self { steps, ..*self });
        }
        sections
    }
}

/// What a step does to the debug registers.
pub(crate) fn accesses(switch: &Switch, step: Step) -> impl Iterator<Item = Access> + '_ {
    let (leaves, comes) = match step {
        Step::Switch { leaves, comes } => (leaves, comes),
        Step::Exit => (false, false),
    };
    let save = switch.save.iter().filter(move |_| leaves);
    let restore = switch.restore.iter().filter(move |_| comes);
    save.chain(restore).copied()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::interposed::Interposed;
    use crate::workload::Workload;
    use crate::workload::tests::any_pattern;

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Exit),
            any::<(bool, bool)>().prop_map(|(leaves, comes)| Step::Switch { leaves, comes }),
        ]
    }

    prop_compose! {
        pub(crate) fn any_schedule()(
            pattern in any_pattern(),
            exit in prop::sample::select(InterposedKind::ALL.to_vec()),
            steps in prop::collection::vec(any_step(), 0..120),
        ) -> Schedule {
            Schedule { pattern, exit, steps }
        }
    }

    proptest! {
        #[test]
        fn a_schedule_of_like_switches_is_predicted_as_the_workload_of_them(
            pattern in any_pattern(),
            every in 1u32..6,
            switches in 1u32..40,
            policy in prop::sample::select(Policy::ALL.to_vec()),
            rearm in prop::sample::select(Rearm::ALL.to_vec()),
        ) {
            let exit = InterposedKind::Cpuid;
            let every = NonZeroU32::new(every).unwrap();
            let interposed = Some(Interposed { kind: exit, every });
            let workload = Workload { interposed, switches, ..Workload::new(pattern) };
            let steps = (1..=switches).flat_map(|number| {
                let exits = u32::from(number % every == 0) as usize;
                let one = Step::Switch { leaves: true, comes: true };
                std::iter::once(one).chain(std::iter::repeat_n(Step::Exit, exits))
            });
            let schedule = Schedule { pattern, exit, steps: steps.collect() };
            prop_assert_eq!(schedule.predict(policy, rearm), workload.predict(policy, rearm));
            prop_assert_eq!(schedule.switches(), u64::from(switches));
        }

        #[test]
        fn sections_have_every_step_once_and_cut_at_exits_the_same_predicted_exits(
            schedule in any_schedule(),
            policy in prop::sample::select(Policy::ALL.to_vec()),
            wanted in 1u64..30,
        ) {
            let at_exits = SectionSize { wanted, most: u64::MAX, switches: u64::MAX };
            let sections = schedule.sections(at_exits);
            let steps: Vec<_> = sections.iter().flat_map(|one| one.steps.clone()).collect();
            prop_assert_eq!(&steps, &schedule.steps);
            let sum: u64 = sections.iter().map(|one| one.predict(policy, Rearm::Yes).dr).sum();
            prop_assert_eq!(sum, schedule.predict(policy, Rearm::Yes).dr);
        }

        #[test]
        fn no_section_is_larger_than_it_may_be(schedule in any_schedule()) {
            let size = SectionSize { wanted: 10, most: 40, switches: 8 };
            for section in schedule.sections(size) {
                // The last switch may carry it over the mark.
                let exits = section.accesses() + section.exits();
                prop_assert!(exits < size.most + u64::from(schedule.pattern.accesses()).max(1));
                prop_assert!(section.switches() <= size.switches);
            }
        }
    }

    #[test]
    fn only_halves_of_tasks_with_breakpoints_are_executed() {
        let switch = Pattern::Windows.switch();
        let count = |leaves, comes| accesses(&switch, Step::Switch { leaves, comes }).count();
        assert_eq!([count(false, false), count(true, false), count(false, true)], [0, 7, 6]);
        assert_eq!(count(true, true), 13);
        assert_eq!(accesses(&switch, Step::Exit).count(), 0);
    }
}
