//! The exit model: how many exits a section causes under each policy.
//!
//! For S switches of a accesses each, with an interposed exit after every k-th switch (none: k = ∞):
//!
//! | policy | DR exits |
//! | --- | --- |
//! | `always` | S·a |
//! | `lazy` | ceil(S/k), 1 without interposed exits; 0 when a = 0 |
//! | `never`, `emulated` | 0 |
//!
//! Interposed exits are floor(S/k), and the OUT that ends the section is one more exit.

use std::fmt;
use std::str::FromStr;

use crate::interposed::InterposedKind;
use crate::workload::Workload;

/// What a host kernel does with the guest's debug-register accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// Every access exits: before Linux 3.15, and on every kernel under guest debug.
    Always,
    /// The first access exits, the next full exit arms the intercepts again: since Linux 3.15
    /// (`KVM_DEBUGREG_WONT_EXIT`, commit c77fb5fe6f03).
    Lazy,
    /// No access exits unless guest debug is on.
    Never,
    /// The guest's kernel code is interpreted: there are no DR exits to be counted.
    Emulated,
}

impl Policy {
    /// All policies a kernel can be found to have.
    pub const ALL: [Self; 4] = [Self::Always, Self::Lazy, Self::Never, Self::Emulated];

    /// The policy's name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Lazy => "lazy",
            Self::Never => "never",
            Self::Emulated => "emulated",
        }
    }

    /// The policy in force while `KVM_SET_GUEST_DEBUG` is enabled: the registers hold the host
    /// debugger's breakpoints then, so every access must exit. Interpreted guests have no exits.
    #[must_use]
    pub const fn under_guest_debug(self) -> Self {
        match self {
            Self::Always | Self::Lazy | Self::Never => Self::Always,
            Self::Emulated => Self::Emulated,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no DR policy; known are {known}")
        })
    }
}

/// Whether an interposed exit is a full one, after which a lazy kernel arms its intercepts again, or
/// is handled on KVM's fast path and re-enters before that. A property of kernel, vendor and kind;
/// found by a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rearm {
    /// A full exit.
    Yes,
    /// A fast-path exit.
    No,
    /// A fast-path exit that KVM's statistics leave out: before about 6.4 (8b703a49c9df).
    NoUncounted,
}

impl Rearm {
    /// From the most telling to the least: with a tick, each has as many exits as the next without.
    pub const ALL: [Self; 3] = [Self::NoUncounted, Self::No, Self::Yes];

    /// Whether KVM enters the guest again before its full exit handling.
    pub const fn is_fast_path(self) -> bool {
        !matches!(self, Self::Yes)
    }
}

/// The exits of one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PredictedExits {
    /// Exits caused by MOV DR.
    pub dr: u64,
    /// Exits placed between the switches.
    pub interposed: u64,
    /// What they are.
    pub kind: Option<InterposedKind>,
    /// Those of them that KVM's statistics leave out.
    pub uncounted: u64,
    /// The OUT that ends the section. The one that begins it is outside.
    pub marker: u64,
}

impl PredictedExits {
    /// All exits of the section, asynchronous ones aside.
    pub const fn total(&self) -> u64 {
        self.dr + self.interposed + self.marker
    }

    /// The total that KVM's statistics show.
    pub const fn counted(&self) -> u64 {
        self.total() - self.uncounted
    }

    /// #DBs that the guest's handler takes.
    pub fn breakpoints(&self) -> u64 {
        if self.kind == Some(InterposedKind::Breakpoint) { self.interposed } else { 0 }
    }

    /// These interposed exits on a kernel that answers them so.
    #[must_use]
    pub(crate) fn new(
        dr: u64,
        interposed: u64,
        kind: Option<InterposedKind>,
        rearm: Rearm,
    ) -> Self {
        let uncounted = if rearm == Rearm::NoUncounted { interposed } else { 0 };
        Self { dr, interposed, kind, uncounted, marker: 1 }
    }
}

impl Workload {
    /// The exits this workload's section must cause under a policy that is in force.
    ///
    /// ```
    /// use guest_payloads::{Policy, Rearm, Workload};
    /// let workload: Workload = "n:5,cpuid/3,switches=8".parse()?;
    /// let lazy = workload.predict(Policy::Lazy, Rearm::Yes);
    /// assert_eq!((lazy.dr, lazy.interposed, lazy.total()), (3, 2, 6));
    /// # Ok::<(), guest_payloads::ParseWorkloadError>(())
    /// ```
    pub fn predict(&self, policy: Policy, rearm: Rearm) -> PredictedExits {
        let switches = u64::from(self.switches);
        let accesses = u64::from(self.accesses());
        let dr = match policy {
            _ if accesses == 0 => 0,
            Policy::Always => switches * accesses,
            Policy::Lazy => match (self.interposed, rearm) {
                (Some(interposed), Rearm::Yes) => switches.div_ceil(interposed.every.get().into()),
                (Some(_), Rearm::No | Rearm::NoUncounted) | (None, _) => 1,
            },
            Policy::Never | Policy::Emulated => 0,
        };
        let kind = self.interposed.map(|interposed| interposed.kind);
        PredictedExits::new(dr, self.interposed_exits(), kind, rearm)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workload::tests::any_workload;

    /// The intercepts of one vCPU, moved one guest event at a time, as `vcpu_enter_guest` and the
    /// DR exit handlers move them.
    struct Simulation {
        policy: Policy,
        intercepted: bool,
        dr_exits: u64,
        interposed_exits: u64,
        uncounted: u64,
    }

    impl Simulation {
        /// The BEGIN OUT was a full exit: a lazy kernel has its intercepts armed.
        fn begin(policy: Policy) -> Self {
            let intercepted = matches!(policy, Policy::Always | Policy::Lazy);
            Self { policy, intercepted, dr_exits: 0, interposed_exits: 0, uncounted: 0 }
        }

        fn access(&mut self) {
            if self.intercepted {
                self.dr_exits += 1;
                self.intercepted = self.policy == Policy::Always;
            }
        }

        fn interposed(&mut self, rearm: Rearm) {
            self.interposed_exits += 1;
            self.uncounted += u64::from(rearm == Rearm::NoUncounted);
            if self.policy == Policy::Lazy && rearm == Rearm::Yes {
                self.intercepted = true;
            }
        }
    }

    fn simulate(workload: &Workload, policy: Policy, rearm: Rearm) -> PredictedExits {
        let mut simulation = Simulation::begin(policy);
        for switch in 1..=workload.switches {
            for _ in 0..workload.accesses() {
                simulation.access();
            }
            if workload.interposed.is_some_and(|interposed| switch % interposed.every == 0) {
                simulation.interposed(rearm);
            }
        }
        PredictedExits {
            dr: simulation.dr_exits,
            interposed: simulation.interposed_exits,
            kind: workload.interposed.map(|interposed| interposed.kind),
            uncounted: simulation.uncounted,
            marker: 1,
        }
    }

    proptest! {
        #[test]
        fn the_model_agrees_with_a_simulation_step_by_step(
            workload in any_workload(),
            policy in prop::sample::select(Policy::ALL.to_vec()),
            rearm in prop::sample::select(Rearm::ALL.to_vec()),
        ) {
            prop_assert_eq!(workload.predict(policy, rearm), simulate(&workload, policy, rearm));
        }
    }

    #[test]
    fn the_figures_measured_on_real_kernels_are_predicted() {
        // 2000 switches of five writes: 10005, 6 and 5 exits were counted (five of them start-up).
        let plain: Workload = "n:5,switches=2000".parse().unwrap();
        assert_eq!(plain.predict(Policy::Always, Rearm::Yes).dr, 10_000);
        assert_eq!(plain.predict(Policy::Lazy, Rearm::Yes).dr, 1);
        assert_eq!(plain.predict(Policy::Never, Rearm::Yes).dr, 0);
        // The same with CPUID: 12005, 4005, 2005.
        let cpuid: Workload = "n:5,cpuid/1,switches=2000".parse().unwrap();
        let exits = |policy: Policy| {
            let predicted = cpuid.predict(policy, Rearm::Yes);
            predicted.dr + predicted.interposed
        };
        assert_eq!(Policy::ALL.map(exits), [12_000, 4_000, 2_000, 2_000]);
    }

    #[test]
    fn guest_debug_makes_every_policy_exit_but_the_interpreter() {
        let names = Policy::ALL.map(|policy| policy.under_guest_debug().name());
        assert_eq!(names, ["always", "always", "always", "emulated"]);
    }
}
