//! Exits that are no DR access, placed in the loop on purpose.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// Whose virtualization extensions the guest runs on. Only the hypercall instruction depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuVendor {
    /// SVM.
    Amd,
    /// VMX.
    Intel,
}

/// A kind of interposed exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InterposedKind {
    /// CPUID leaf 0: handled in the kernel.
    Cpuid,
    /// VMMCALL or VMCALL with a call number KVM answers at once.
    Hypercall,
    /// HLT, without an interrupt controller in the kernel: the VMM sees it, and goes on at once.
    Hlt,
    /// OUT to a port that belongs to an eventfd (`KVM_IOEVENTFD`): handled in the kernel.
    PioKernel,
    /// OUT to a port that nobody in the kernel owns: the VMM sees it. Never a fast path.
    PioUser,
    /// RDMSR of `IA32_APIC_BASE`: handled in the kernel.
    Rdmsr,
    /// WRMSR of `IA32_PAT`, its reset value: handled in the kernel.
    Wrmsr,
    /// WRMSR of `IA32_TSC_DEADLINE`, a deadline long after the section: with a LAPIC in the kernel, in
    /// deadline mode, a fast path on some.
    TscDeadline,
    /// A read of a page that was never touched: a nested page fault.
    PageTouch,
    /// A write of a watched byte: KVM intercepts the #DB and delivers it, to a handler that counts it
    /// and returns.
    Breakpoint,
}

impl InterposedKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Cpuid,
        Self::Hypercall,
        Self::Hlt,
        Self::PioKernel,
        Self::PioUser,
        Self::Rdmsr,
        Self::Wrmsr,
        Self::TscDeadline,
        Self::PageTouch,
        Self::Breakpoint,
    ];

    /// The kind's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpuid => "cpuid",
            Self::Hypercall => "hypercall",
            Self::Hlt => "hlt",
            Self::PioKernel => "pio-kernel",
            Self::PioUser => "pio-user",
            Self::Rdmsr => "rdmsr",
            Self::Wrmsr => "wrmsr",
            Self::TscDeadline => "tsc-deadline",
            Self::PageTouch => "page-touch",
            Self::Breakpoint => "breakpoint",
        }
    }

    /// What it is, for lists.
    pub fn about(self) -> &'static str {
        match self {
            Self::Cpuid => "CPUID",
            Self::Hypercall => "VMCALL or VMMCALL",
            Self::Hlt => "HLT, to userspace and back",
            Self::PioKernel => "OUT to an eventfd in the kernel",
            Self::PioUser => "OUT to userspace and back",
            Self::Rdmsr => "RDMSR of IA32_APIC_BASE",
            Self::Wrmsr => "WRMSR of IA32_PAT",
            Self::TscDeadline => "WRMSR of IA32_TSC_DEADLINE, with a LAPIC in the kernel",
            Self::PageTouch => "a read of a page never touched: a nested page fault",
            Self::Breakpoint => "a write of a watched byte: a #DB; with `armed` beside it",
        }
    }

    /// Whether the machine must have a LAPIC in the kernel. No other kind may have one: there HLT
    /// would never return.
    pub fn needs_lapic(self) -> bool {
        self == Self::TscDeadline
    }

    /// Whether breakpoints must be enabled for it to happen.
    pub fn needs_armed(self) -> bool {
        self == Self::Breakpoint
    }
}

/// An interposed exit after every k-th switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interposed {
    /// What exits.
    pub kind: InterposedKind,
    /// k: one exit after this many switches.
    pub every: NonZeroU32,
}

impl fmt::Display for Interposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name(), self.every)
    }
}

impl FromStr for Interposed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, every) = text
            .split_once('/')
            .ok_or_else(|| format!("`{text}`: an interposed exit is written KIND/K, cpuid/1"))?;
        let kind = InterposedKind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| {
            let known = InterposedKind::ALL.map(InterposedKind::name).join(", ");
            format!("`{name}` is no kind of interposed exit; known are {known}")
        })?;
        let every = every
            .parse()
            .map_err(|_| format!("`{text}`: K must be a number from 1 to {}", u32::MAX))?;
        Ok(Self { kind, every })
    }
}
