//! What has a price, and how often a section pays it.

use std::collections::BTreeMap;

use guest_payloads::{Access, Content, DebugRegister, InterposedKind, Policy, Rearm, Workload};

/// Something that costs host instructions each time it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parameter {
    /// The DR exit of a lazy kernel: it loads the guest's registers and enters again; the guest then
    /// executes the instruction itself.
    DrExitLazy,
    /// An access that KVM executes for the guest: MOV from a debug register.
    DrExitRead,
    /// The same: MOV to DR0-3.
    DrExitWriteAddress,
    /// The same: MOV to DR6.
    DrExitWriteStatus,
    /// The same: MOV to DR7.
    DrExitWriteControl,
    /// What a REX prefix of such an access costs. Only where it is KVM's instruction emulator that
    /// executes it.
    Prefix,
    /// An interposed exit, with clean debug registers.
    Exit(InterposedKind),
    /// What a full exit costs more when the guest has the registers: they are read back.
    DirtySync,
    /// What a DR exit costs more with a LAPIC in the kernel whose timer is set.
    LapicEntry,
    /// What a full exit costs more where the guest always has the registers: they are saved, and
    /// loaded again.
    SaveAndLoad,
    /// What an entry costs more with a breakpoint enabled: the registers are loaded.
    ArmedEntry,
    /// What an access that KVM executes costs more with a breakpoint enabled: KVM's instruction
    /// emulator asks first whether one is hit (`kvm_vcpu_check_code_breakpoint`). Only where it is the
    /// emulator that executes it.
    ArmedAccess,
    /// On hardware: the two time stamps, and what stands between them in any case.
    Section,
    /// On hardware: a MOV to or from a debug register that the guest executes.
    OwnAccess,
    /// On hardware: any other instruction of the guest.
    OwnInstruction,
}

/// Every parameter, its name in reports, and what it says there.
const KNOWN: [(Parameter, &str, &str); 24] = [
    (
        Parameter::DrExitLazy,
        "dr-exit-lazy",
        "DR exit of a lazy kernel, the first after each full exit",
    ),
    (Parameter::DrExitRead, "dr-exit-read", "MOV from a debug register, executed by KVM"),
    (Parameter::DrExitWriteAddress, "dr-exit-write-dr0-3", "MOV to DR0-3, executed by KVM"),
    (Parameter::DrExitWriteStatus, "dr-exit-write-dr6", "MOV to DR6, executed by KVM"),
    (Parameter::DrExitWriteControl, "dr-exit-write-dr7", "MOV to DR7, executed by KVM"),
    (
        Parameter::Prefix,
        "emulated-prefix",
        "a REX prefix of such a MOV, where KVM's emulator executes it",
    ),
    (
        Parameter::Exit(InterposedKind::Cpuid),
        "exit-cpuid",
        "interposed CPUID, with clean debug registers as all of these",
    ),
    (Parameter::Exit(InterposedKind::Hypercall), "exit-hypercall", "interposed hypercall"),
    (Parameter::Exit(InterposedKind::Hlt), "exit-hlt", "interposed HLT, to userspace and back"),
    (
        Parameter::Exit(InterposedKind::PioKernel),
        "exit-pio-kernel",
        "interposed OUT, to an eventfd in the kernel",
    ),
    (
        Parameter::Exit(InterposedKind::PioUser),
        "exit-pio-user",
        "interposed OUT, to userspace and back",
    ),
    (Parameter::Exit(InterposedKind::Rdmsr), "exit-rdmsr", "interposed RDMSR"),
    (Parameter::Exit(InterposedKind::Wrmsr), "exit-wrmsr", "interposed WRMSR"),
    (
        Parameter::Exit(InterposedKind::TscDeadline),
        "exit-tsc-deadline",
        "interposed WRMSR of IA32_TSC_DEADLINE",
    ),
    (
        Parameter::Exit(InterposedKind::PageTouch),
        "exit-page-touch",
        "first touch of a page: a nested page fault, on memory that the host has",
    ),
    (
        Parameter::Exit(InterposedKind::Breakpoint),
        "exit-breakpoint",
        "a #DB: intercepted, and delivered to the guest",
    ),
    (
        Parameter::DirtySync,
        "dirty-sync",
        "a full exit with dirty debug registers: reading them back",
    ),
    (
        Parameter::LapicEntry,
        "lapic-entry",
        "a DR exit in a machine with a LAPIC in the kernel, its timer set",
    ),
    (
        Parameter::SaveAndLoad,
        "save-and-load",
        "an exit and entry without intercepts: saving and loading the registers",
    ),
    (
        Parameter::ArmedEntry,
        "armed-entry",
        "an entry with a breakpoint enabled: loading the registers",
    ),
    (
        Parameter::ArmedAccess,
        "armed-access",
        "an access by KVM with a breakpoint enabled: asking if it is hit",
    ),
    (Parameter::Section, "section", "a section without anything in it"),
    (Parameter::OwnAccess, "own-access", "MOV to or from a debug register, without an exit"),
    (Parameter::OwnInstruction, "own-instruction", "any other instruction of the guest"),
];

/// What the parameter of this name is, in words.
pub fn meaning(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(_, known, _)| *known == name).map(|(.., meaning)| *meaning)
}

impl Parameter {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        let known = KNOWN.iter().find(|(parameter, ..)| *parameter == self);
        known.map(|(_, name, _)| *name).expect("the table has every parameter")
    }

    fn of_access(access: Access) -> Self {
        match access {
            Access::Read(_) => Self::DrExitRead,
            Access::Write(DebugRegister::Dr6, _) => Self::DrExitWriteStatus,
            Access::Write(DebugRegister::Dr7, _) => Self::DrExitWriteControl,
            Access::Write(..) => Self::DrExitWriteAddress,
        }
    }
}

/// How often a section pays for what, under a policy that is in force: walked through access by
/// access, as the guest executes it. Each parameter once, in their order; none with 0.
pub fn features(workload: &Workload, policy: Policy, rearm: Rearm) -> Vec<(Parameter, u64)> {
    let mut walk = Walk {
        policy,
        rearm,
        // The BEGIN OUT was a full exit.
        intercepted: matches!(policy, Policy::Always | Policy::Lazy),
        enabled: workload.armed,
        lapic: workload.interposed.is_some_and(|interposed| interposed.kind.needs_lapic()),
        counts: BTreeMap::new(),
    };
    let switch = workload.pattern.switch();
    let accesses: Vec<Access> = switch.save.into_iter().chain(switch.restore).collect();
    for number in 1..=workload.switches {
        for &access in &accesses {
            walk.access(access, workload.armed);
        }
        if let Some(interposed) = workload.interposed
            && number % interposed.every == 0
        {
            walk.interposed(interposed.kind);
        }
    }
    walk.counts.into_iter().collect()
}

struct Walk {
    policy: Policy,
    rearm: Rearm,
    /// Whether the next access exits.
    intercepted: bool,
    /// Whether DR7 enables a breakpoint.
    enabled: bool,
    /// Whether the machine has a LAPIC in the kernel.
    lapic: bool,
    counts: BTreeMap<Parameter, u64>,
}

impl Walk {
    fn pay(&mut self, parameter: Parameter) {
        *self.counts.entry(parameter).or_default() += 1;
    }

    fn pay_for_lapic(&mut self) {
        if self.lapic {
            self.pay(Parameter::LapicEntry);
        }
    }

    fn access(&mut self, access: Access, armed: bool) {
        let enabled_before = self.enabled;
        if let Access::Write(DebugRegister::Dr7, content) = access {
            self.enabled = armed && content != Content::Control(0);
        }
        match self.policy {
            Policy::Lazy if self.intercepted => {
                self.pay(Parameter::DrExitLazy);
                self.pay_for_lapic();
                self.intercepted = false;
            }
            Policy::Always => {
                self.pay(Parameter::of_access(access));
                self.pay_for_lapic();
                if access.has_prefix() {
                    self.pay(Parameter::Prefix);
                }
                if self.enabled {
                    self.pay(Parameter::ArmedEntry);
                }
                if enabled_before {
                    self.pay(Parameter::ArmedAccess);
                }
            }
            Policy::Lazy | Policy::Never | Policy::Emulated => {}
        }
    }

    fn interposed(&mut self, kind: InterposedKind) {
        self.pay(Parameter::Exit(kind));
        if self.rearm.is_fast_path() {
            return;
        }
        if self.policy == Policy::Lazy && !self.intercepted {
            self.pay(Parameter::DirtySync);
            self.intercepted = true;
        }
        if self.policy == Policy::Never {
            self.pay(Parameter::SaveAndLoad);
        }
        if self.enabled && self.policy != Policy::Never {
            self.pay(Parameter::ArmedEntry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::cost::{Costed, own};

    fn counts(text: &str, policy: Policy) -> Vec<(Parameter, u64)> {
        features(&text.parse().unwrap(), policy, Rearm::Yes)
    }

    #[test]
    fn every_parameter_that_the_suite_meets_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        let mut met = BTreeSet::new();
        for cell in crate::plan::cost() {
            for policy in Policy::ALL {
                let paid = features(&cell.workload, policy, Rearm::Yes);
                let instructions = u64::from(cell.workload.accesses()) * 10 + 10;
                let costed = Costed { policy, instructions, ..Costed::of(&cell) };
                let paid = paid.into_iter().chain(own::features(&costed));
                met.extend(paid.map(|(parameter, _)| parameter));
            }
        }
        names.extend(met.iter().map(|parameter| parameter.name()));
        assert_eq!((met.len(), names.len()), (KNOWN.len(), KNOWN.len()));
    }

    #[test]
    fn a_lazy_kernel_pays_for_the_first_access_after_each_full_exit() {
        let cpuid = Parameter::Exit(InterposedKind::Cpuid);
        assert_eq!(
            counts("n:5,cpuid/2", Policy::Lazy),
            [(Parameter::DrExitLazy, 2), (cpuid, 2), (Parameter::DirtySync, 2)]
        );
        assert_eq!(counts("none,cpuid/1", Policy::Lazy), [(cpuid, 4)], "the control stays clean");
    }

    #[test]
    fn a_kernel_that_always_exits_pays_by_register() {
        assert_eq!(
            counts("save-restore", Policy::Always),
            [
                (Parameter::DrExitRead, 24),
                (Parameter::DrExitWriteAddress, 16),
                (Parameter::DrExitWriteStatus, 4),
                (Parameter::DrExitWriteControl, 4),
                (Parameter::Prefix, 24),
            ]
        );
    }

    #[test]
    fn breakpoints_cost_while_they_are_enabled() {
        // Six reads, and the write that enables them again: not the write that disables them, nor
        // the five writes after that.
        let armed = counts("windows,armed,switches=1", Policy::Always);
        assert!(armed.contains(&(Parameter::ArmedEntry, 7)), "{armed:?}");
    }

    proptest! {
        #[test]
        fn exits_are_those_of_the_exit_model(
            accesses in 0u32..8, every in 1u32..6, switches in 1u32..20, full: bool,
            policy in prop::sample::select(vec![Policy::Always, Policy::Lazy, Policy::Never]),
        ) {
            let pattern = if accesses == 0 { "none".to_owned() } else { format!("n:{accesses}") };
            let text = format!("{pattern},cpuid/{every},switches={switches}");
            let workload: Workload = text.parse().unwrap();
            let rearm = if full { Rearm::Yes } else { Rearm::No };
            let (mut dr, mut interposed) = (0, 0);
            for (parameter, count) in features(&workload, policy, rearm) {
                match parameter {
                    Parameter::DrExitLazy | Parameter::DrExitWriteAddress => dr += count,
                    Parameter::Exit(_) => interposed += count,
                    _ => {}
                }
            }
            let predicted = workload.predict(policy, rearm);
            prop_assert_eq!((dr, interposed), (predicted.dr, predicted.interposed));
        }
    }
}
