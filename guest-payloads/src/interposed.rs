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
}

impl InterposedKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Cpuid,
        Self::Hypercall,
        Self::Hlt,
        Self::PioKernel,
        Self::PioUser,
        Self::Rdmsr,
        Self::Wrmsr,
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
        }
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
