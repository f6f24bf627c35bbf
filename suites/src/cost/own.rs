//! The guest's own part of a section, where it is not known: hardware takes its time for instructions
//! too, so they have prices like everything else.

use guest_payloads::Policy;

use super::{Costed, Parameter};

/// What the guest itself does in a section, and how often.
pub fn features(cell: &Costed<'_>) -> Vec<(Parameter, u64)> {
    let workload = &cell.cell.workload;
    let accesses = u64::from(workload.switches) * u64::from(workload.accesses());
    // Where every access exits, KVM executes it; a lazy kernel has the guest execute it again.
    let by_kvm = if cell.policy == Policy::Always { accesses } else { 0 };
    let counts = [
        (Parameter::Section, 1),
        (Parameter::OwnAccess, accesses - by_kvm),
        (Parameter::OwnInstruction, cell.instructions.saturating_sub(accesses)),
    ];
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}
