//! Why a vCPU came back to userspace. Documented: Linux, virt/kvm/api.rst, 5, `struct kvm_run`.

use std::fmt;

use kvm_ioctls::VcpuExit;

/// Why a vCPU came back to userspace. It allocates nothing: this is on the measured path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// OUT to a port.
    PortOut {
        /// The port.
        port: u16,
        /// The value's low four bytes (of a string instruction, the first four).
        value: u32,
    },
    /// IN from a port. It is answered with all bits set, as an empty bus does.
    PortIn {
        /// The port.
        port: u16,
    },
    /// A read beyond the guest's memory, answered with all bits set.
    MmioRead {
        /// Guest-physical address.
        address: u64,
    },
    /// A write beyond the guest's memory; it goes nowhere.
    MmioWrite {
        /// Guest-physical address.
        address: u64,
    },
    /// HLT, with no interrupt controller in the kernel to wait for.
    Hlt,
    /// A breakpoint or step of guest debug.
    Debug(DebugStop),
    /// A hypercall that KVM leaves to userspace.
    Hypercall {
        /// Its number.
        number: u64,
    },
    /// RDMSR that KVM leaves to userspace.
    ReadMsr {
        /// The register.
        index: u32,
    },
    /// WRMSR that KVM leaves to userspace.
    WriteMsr {
        /// The register.
        index: u32,
    },
    /// Triple fault.
    Shutdown,
    /// The processor would not enter the guest.
    FailEntry {
        /// VMX: the VM-instruction error or exit reason; SVM: the exit code.
        reason: u64,
        /// The host processor it happened on.
        cpu: u32,
    },
    /// KVM could not go on, most often because it could not emulate an instruction.
    InternalError {
        /// `KVM_INTERNAL_ERROR_*`: 1 is a failed emulation.
        suberror: u32,
    },
    /// The guest can take an interrupt now.
    InterruptWindow,
    /// The guest asked to be reset or switched off.
    SystemEvent {
        /// `KVM_SYSTEM_EVENT_*`.
        kind: u32,
    },
    /// An access of guest memory that KVM could not resolve.
    MemoryFault {
        /// Guest-physical address.
        address: u64,
    },
    /// An exit with no name here.
    Other {
        /// `KVM_EXIT_*`.
        reason: u32,
    },
}

/// What `KVM_EXIT_DEBUG` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugStop {
    /// Exception vector: 1 or 3.
    pub vector: u32,
    /// Linear address of the instruction.
    pub pc: u64,
    /// The causes, as DR6 would tell them.
    pub dr6: u64,
    /// DR7 at the time.
    pub dr7: u64,
}

impl Stop {
    /// Names an exit and answers reads. What userspace must look up elsewhere (the sub-error, the
    /// number of an exit kvm-ioctls has no fields for) is 0 here; [`crate::Vcpu::run`] fills it in.
    #[inline]
    pub(crate) fn from_exit(exit: VcpuExit<'_>) -> Self {
        match exit {
            VcpuExit::IoOut(port, data) => Self::PortOut { port, value: first_bytes(data) },
            VcpuExit::IoIn(port, data) => {
                data.fill(0xff);
                Self::PortIn { port }
            }
            VcpuExit::MmioRead(address, data) => {
                data.fill(0xff);
                Self::MmioRead { address }
            }
            VcpuExit::MmioWrite(address, _) => Self::MmioWrite { address },
            VcpuExit::Hlt => Self::Hlt,
            VcpuExit::Debug(debug) => Self::Debug(DebugStop {
                vector: debug.exception,
                pc: debug.pc,
                dr6: debug.dr6,
                dr7: debug.dr7,
            }),
            VcpuExit::Hypercall(call) => Self::Hypercall { number: call.nr },
            VcpuExit::X86Rdmsr(access) => Self::ReadMsr { index: access.index },
            VcpuExit::X86Wrmsr(access) => Self::WriteMsr { index: access.index },
            VcpuExit::Shutdown => Self::Shutdown,
            VcpuExit::FailEntry(reason, cpu) => Self::FailEntry { reason, cpu },
            VcpuExit::InternalError => Self::InternalError { suberror: 0 },
            VcpuExit::IrqWindowOpen => Self::InterruptWindow,
            VcpuExit::SystemEvent(kind, _) => Self::SystemEvent { kind },
            VcpuExit::MemoryFault { gpa, .. } => Self::MemoryFault { address: gpa },
            _ => Self::Other { reason: 0 },
        }
    }
}

#[inline]
fn first_bytes(data: &[u8]) -> u32 {
    let mut value = [0; 4];
    for (to, from) in value.iter_mut().zip(data) {
        *to = *from;
    }
    u32::from_le_bytes(value)
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortOut { port, value } => write!(f, "OUT of {value:#x} to port {port:#x}"),
            Self::PortIn { port } => write!(f, "IN from port {port:#x}"),
            Self::MmioRead { address } => write!(f, "read of {address:#x}, beyond memory"),
            Self::MmioWrite { address } => write!(f, "write to {address:#x}, beyond memory"),
            Self::Hlt => write!(f, "HLT"),
            Self::Debug(debug) => write!(
                f,
                "guest debug: vector {} at {:#x}, DR6 {:#x}",
                debug.vector, debug.pc, debug.dr6
            ),
            Self::Hypercall { number } => write!(f, "hypercall {number}"),
            Self::ReadMsr { index } => write!(f, "RDMSR of {index:#x}"),
            Self::WriteMsr { index } => write!(f, "WRMSR of {index:#x}"),
            Self::Shutdown => write!(f, "triple fault"),
            Self::FailEntry { reason, cpu } => {
                write!(f, "failed entry, hardware reason {reason:#x}, on CPU {cpu}")
            }
            Self::InternalError { suberror } => match internal_error_name(*suberror) {
                Some(name) => write!(f, "KVM internal error {suberror} ({name})"),
                None => write!(f, "KVM internal error {suberror}"),
            },
            Self::InterruptWindow => write!(f, "interrupt window"),
            Self::SystemEvent { kind } => write!(f, "system event {kind}"),
            Self::MemoryFault { address } => write!(f, "memory fault at {address:#x}"),
            Self::Other { reason } => write!(f, "exit reason {reason} of KVM_RUN"),
        }
    }
}

/// `KVM_INTERNAL_ERROR_*` of linux/kvm.h.
fn internal_error_name(suberror: u32) -> Option<&'static str> {
    match suberror {
        1 => Some("an instruction could not be emulated"),
        2 => Some("two exceptions at once"),
        3 => Some("an exit during the delivery of an event"),
        4 => Some("an exit reason KVM does not know"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_answered_like_an_empty_bus() {
        let mut data = [0; 4];
        let stop = Stop::from_exit(VcpuExit::IoIn(0x70, &mut data));
        assert_eq!((stop, data), (Stop::PortIn { port: 0x70 }, [0xff; 4]));
    }

    #[test]
    fn a_string_of_values_gives_its_first_bytes() {
        let stop = Stop::from_exit(VcpuExit::IoOut(0xe0, &[1, 2, 3, 4, 5]));
        assert_eq!(stop, Stop::PortOut { port: 0xe0, value: 0x0403_0201 });
        assert_eq!(
            Stop::from_exit(VcpuExit::IoOut(0xe0, &[7])),
            Stop::PortOut { port: 0xe0, value: 7 }
        );
    }
}
