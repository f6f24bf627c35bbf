//! The LAPIC that KVM emulates, as exits by way of its timer need it.
//!
//! AMD APM vol. 2, 16.4 and 16.4.1; Intel SDM vol. 3A, 11.5.1, 11.5.4.1 and 11.9.

use kvm_bindings::{CpuId, kvm_lapic_state};
use kvm_ioctls::VcpuFd;

/// CPUID leaf 1, ECX: the LAPIC's timer knows TSC-deadline mode. KVM leaves it out of what it supports
/// because it depends on the LAPIC (virt/kvm/api.rst, 4.46).
const TSC_DEADLINE_TIMER: u32 = 1 << 24;
/// Spurious-interrupt vector register: its offset, and its value with the LAPIC enabled.
const SPURIOUS: (usize, u32) = (0xf0, 1 << 8 | 0xff);
/// Timer's entry of the local vector table: its offset; TSC-deadline mode; masked; its vector.
const TIMER: (usize, u32) = (0x320, 0b10 << 17 | 1 << 16 | 0xec);

/// The same CPUID with a timer that knows TSC-deadline mode.
pub fn with_deadline_timer(cpuid: &CpuId) -> CpuId {
    let mut cpuid = cpuid.clone();
    for entry in cpuid.as_mut_slice().iter_mut().filter(|entry| entry.function == 1) {
        entry.ecx |= TSC_DEADLINE_TIMER;
    }
    cpuid
}

/// Enables the LAPIC with its timer in TSC-deadline mode, so that a write of `IA32_TSC_DEADLINE` sets
/// it. It is masked: a guest without interrupts is not to be interrupted.
///
/// # Errors
/// The ioctl that failed, and how.
pub fn begin_deadline_mode(vcpu: &VcpuFd) -> Result<(), (&'static str, kvm_ioctls::Error)> {
    let mut state = vcpu.get_lapic().map_err(|error| ("KVM_GET_LAPIC", error))?;
    for (offset, value) in [SPURIOUS, TIMER] {
        write(&mut state, offset, value);
    }
    vcpu.set_lapic(&state).map_err(|error| ("KVM_SET_LAPIC", error))
}

fn write(state: &mut kvm_lapic_state, offset: usize, value: u32) {
    for (byte, new) in state.regs[offset..offset + 4].iter_mut().zip(value.to_le_bytes()) {
        *byte = i8::from_ne_bytes([new]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timers_entry_is_masked_and_in_deadline_mode() {
        let mut state = kvm_lapic_state::default();
        write(&mut state, TIMER.0, TIMER.1);
        let bytes: Vec<u8> = state.regs[0x320..0x324].iter().map(|b| b.to_ne_bytes()[0]).collect();
        assert_eq!(bytes, [0xec, 0, 0b101, 0]);
    }
}
