//! VM exits by name, as data: one table per instruction set extension.

mod svm;
mod vmx;

use std::ffi::CString;
use std::fmt;

/// The virtualization extension whose exit codes are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// Intel's.
    Vmx,
    /// AMD's.
    Svm,
}

/// What an exit is about, for both extensions alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExitClass {
    /// A MOV to or from a debug register.
    DebugRegister,
    /// Not the guest's doing: external interrupt, NMI, SMI, preemption timer, nested page fault.
    Asynchronous,
    /// An intercepted exception of the guest, #DB among them.
    Exception,
    /// CPUID.
    Cpuid,
    /// RDMSR or WRMSR.
    Msr,
    /// IN or OUT.
    Io,
    /// VMCALL or VMMCALL.
    Hypercall,
    /// HLT.
    Hlt,
    /// The guest can take an interrupt now.
    InterruptWindow,
    /// A MOV to or from a control register.
    ControlRegister,
    /// The guest's interrupt controller.
    Apic,
    /// An access of memory-mapped I/O.
    Mmio,
    /// Triple fault, failed entry.
    Fatal,
    /// Another instruction.
    Instruction,
    /// An instruction of nested virtualization.
    Nested,
    /// Anything else.
    Other,
}

/// A range of exit codes with one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitReason {
    /// Whose code it is.
    pub isa: Isa,
    /// First code.
    pub first: u32,
    /// Last code.
    pub last: u32,
    /// The name in the vendor's manual, in small letters and without its prefix.
    pub name: &'static str,
    /// What it is about.
    pub class: ExitClass,
    /// A further condition on the tracepoint's fields, where the code alone does not tell.
    condition: Option<&'static str>,
}

impl Isa {
    /// Every exit the extension defines, by code.
    pub fn exits(self) -> &'static [ExitReason] {
        match self {
            Self::Vmx => vmx::EXITS,
            Self::Svm => svm::EXITS,
        }
    }

    /// The exits of one class.
    pub fn exits_of(self, class: ExitClass) -> impl Iterator<Item = &'static ExitReason> {
        self.exits().iter().filter(move |exit| exit.class == class)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vmx => "VMX",
            Self::Svm => "SVM",
        })
    }
}

impl ExitClass {
    /// Every class.
    pub const ALL: [Self; 16] = [
        Self::DebugRegister,
        Self::Asynchronous,
        Self::Exception,
        Self::Cpuid,
        Self::Msr,
        Self::Io,
        Self::Hypercall,
        Self::Hlt,
        Self::InterruptWindow,
        Self::ControlRegister,
        Self::Apic,
        Self::Mmio,
        Self::Fatal,
        Self::Instruction,
        Self::Nested,
        Self::Other,
    ];

    /// The class's name in reports: `exits:<name>`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DebugRegister => "debug-register",
            Self::Asynchronous => "asynchronous",
            Self::Exception => "exception",
            Self::Cpuid => "cpuid",
            Self::Msr => "msr",
            Self::Io => "io",
            Self::Hypercall => "hypercall",
            Self::Hlt => "hlt",
            Self::InterruptWindow => "interrupt-window",
            Self::ControlRegister => "control-register",
            Self::Apic => "apic",
            Self::Mmio => "mmio",
            Self::Fatal => "fatal",
            Self::Instruction => "instruction",
            Self::Nested => "nested",
            Self::Other => "other",
        }
    }

    /// A filter for the `kvm:kvm_exit` tracepoint that passes this class's exits only; `None` where
    /// the extension has none.
    pub(crate) fn filter(self, isa: Isa) -> Option<CString> {
        let terms: Vec<String> = isa.exits_of(self).map(ExitReason::condition).collect();
        (!terms.is_empty())
            .then(|| CString::new(terms.join(" || ")).expect("conditions have no NUL"))
    }
}

impl fmt::Display for ExitClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExitReason {
    /// One code, one name.
    const fn one(isa: Isa, code: u32, name: &'static str, class: ExitClass) -> Self {
        Self::range(isa, code, code, name, class)
    }

    const fn range(isa: Isa, first: u32, last: u32, name: &'static str, class: ExitClass) -> Self {
        Self { isa, first, last, name, class, condition: None }
    }

    const fn when(self, condition: &'static str) -> Self {
        Self { condition: Some(condition), ..self }
    }

    fn condition(&self) -> String {
        let code = if self.first == self.last {
            format!("exit_reason == {:#x}", self.first)
        } else {
            format!("exit_reason >= {:#x} && exit_reason <= {:#x}", self.first, self.last)
        };
        match self.condition {
            Some(condition) => format!("({code} && {condition})"),
            None => format!("({code})"),
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_overlap_only_where_a_condition_tells_them_apart() {
        for exits in [Isa::Vmx.exits(), Isa::Svm.exits()] {
            for pair in exits.windows(2) {
                assert!(pair[0].first <= pair[0].last, "{pair:?}");
                let apart = pair[0].last < pair[1].first;
                let told = pair[0].condition.is_some() && pair[1].condition.is_some();
                assert!(apart || told, "{pair:?}");
            }
        }
    }

    #[test]
    fn names_are_unique() {
        for exits in [Isa::Vmx.exits(), Isa::Svm.exits()] {
            let mut names: Vec<_> = exits.iter().map(|exit| exit.name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }

    #[test]
    fn filters_name_the_debug_register_exits() {
        let filter = |isa| ExitClass::DebugRegister.filter(isa).expect("both have such exits");
        assert_eq!(filter(Isa::Vmx).to_str(), Ok("(exit_reason == 0x1d)"));
        assert_eq!(
            filter(Isa::Svm).to_str(),
            Ok("(exit_reason >= 0x20 && exit_reason <= 0x2f) || \
                (exit_reason >= 0x30 && exit_reason <= 0x3f)")
        );
    }

    #[test]
    fn every_exit_the_model_speaks_of_exists_on_both() {
        use ExitClass::{Asynchronous, Cpuid, Exception, Hlt, Hypercall, Io, Msr};
        for class in [Asynchronous, Cpuid, Exception, Hlt, Hypercall, Io, Msr] {
            assert!(class.filter(Isa::Vmx).is_some() && class.filter(Isa::Svm).is_some());
        }
    }
}
