//! Guest debug (`KVM_SET_GUEST_DEBUG`) and the debug registers as the host sees them.

use std::fmt;

use guest_payloads::{Dr6, Dr7};
use kvm_bindings::{
    KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_GUESTDBG_USE_HW_BP, KVM_GUESTDBG_USE_SW_BP,
    kvm_debugregs, kvm_guest_debug, kvm_guest_debug_arch,
};

/// What the host debugs of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuestDebug {
    /// Nothing.
    #[default]
    Off,
    /// `KVM_GUESTDBG_ENABLE` alone. The guest keeps its debug registers, but every access of them
    /// exits: the `always` policy, on any kernel.
    Enabled,
    /// A stop after every instruction.
    SingleStep,
    /// A stop at every INT3 the host put into the code.
    SoftwareBreakpoints,
    /// The host's own breakpoints take the place of the guest's.
    HardwareBreakpoints {
        /// Linear addresses, for DR0 to DR3.
        addresses: [u64; 4],
        /// Which of them are on, and on what they stop.
        dr7: Dr7,
    },
}

impl From<GuestDebug> for kvm_guest_debug {
    fn from(debug: GuestDebug) -> Self {
        let mut arch = kvm_guest_debug_arch::default();
        let control = match debug {
            GuestDebug::Off => 0,
            GuestDebug::Enabled => KVM_GUESTDBG_ENABLE,
            GuestDebug::SingleStep => KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
            GuestDebug::SoftwareBreakpoints => KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP,
            GuestDebug::HardwareBreakpoints { addresses, dr7 } => {
                arch.debugreg[..4].copy_from_slice(&addresses);
                // `arch.debugreg` is indexed by register number.
                arch.debugreg[7] = dr7.bits();
                KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP
            }
        };
        Self { control, pad: 0, arch }
    }
}

/// The guest's debug registers, as `KVM_GET_DEBUGREGS` tells them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DebugRegisters {
    /// DR0 to DR3: linear addresses.
    pub address: [u64; 4],
    /// Status.
    pub dr6: u64,
    /// Control.
    pub dr7: u64,
}

impl DebugRegisters {
    /// What a processor has after reset.
    pub const RESET: Self =
        Self { address: [0; 4], dr6: Dr6::CLEAR.bits(), dr7: Dr7::DISABLED.bits() };
}

impl fmt::Display for DebugRegisters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, address) in self.address.iter().enumerate() {
            write!(f, "DR{number}={address:016x} ")?;
        }
        write!(f, "DR6={:08x} DR7={:08x}", self.dr6, self.dr7)
    }
}

impl fmt::Debug for DebugRegisters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<kvm_debugregs> for DebugRegisters {
    fn from(registers: kvm_debugregs) -> Self {
        Self { address: registers.db, dr6: registers.dr6, dr7: registers.dr7 }
    }
}

impl From<DebugRegisters> for kvm_debugregs {
    fn from(registers: DebugRegisters) -> Self {
        Self { db: registers.address, dr6: registers.dr6, dr7: registers.dr7, ..Default::default() }
    }
}

#[cfg(test)]
mod tests {
    use guest_payloads::{BreakCondition, BreakLength, Slot};

    use super::*;

    #[test]
    fn host_breakpoints_carry_their_dr7() {
        let dr7 = Dr7::DISABLED
            .with(Slot::S0, BreakCondition::Execute, BreakLength::One)
            .enable(Slot::S0);
        let addresses = [0x10_0000, 0, 0, 0];
        let raw: kvm_guest_debug = GuestDebug::HardwareBreakpoints { addresses, dr7 }.into();
        assert_eq!(raw.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP);
        assert_eq!((raw.arch.debugreg[0], raw.arch.debugreg[7]), (0x10_0000, 0x401));
    }

    #[test]
    fn enabled_asks_for_nothing_else() {
        let raw: kvm_guest_debug = GuestDebug::Enabled.into();
        assert_eq!((raw.control, raw.arch.debugreg), (1, [0; 8]));
    }
}
