//! Fast paths of a kernel that never intercepts.
//!
//! Its exits do not tell them. Its costs do: a full exit saves the debug registers and loads them
//! again, but not under guest debug, where they are the host debugger's. An exit of a control that
//! takes the same in both did neither.

use std::num::NonZeroU32;

use guest_payloads::{Interposed, InterposedKind, Pattern, Policy, Rearm};

use super::Costed;
use crate::plan::Session;

/// How this cell's interposed exits enter the guest again.
pub fn rearm(cell: &Costed<'_>, cells: &[Costed<'_>]) -> Rearm {
    match cell.cell.workload.interposed {
        Some(Interposed { kind, .. })
            if cell.policy == Policy::Never && takes_the_same(cells, kind) =>
        {
            Rearm::No
        }
        _ => cell.rearm,
    }
}

fn takes_the_same(cells: &[Costed<'_>], kind: InterposedKind) -> bool {
    let each = Some(Interposed { kind, every: NonZeroU32::MIN });
    let [own, debugged] = Session::ALL.map(|session| {
        let is_control = |cell: &&Costed<'_>| {
            let workload = &cell.cell.workload;
            let plain = workload.pattern == Pattern::None && workload.armed == kind.needs_armed();
            plain && workload.interposed == each && cell.cell.session == session
        };
        cells.iter().find(is_control).map(|cell| cell.ticks)
    });
    own.is_some() && own == debugged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Cell, Role};

    #[test]
    fn only_a_kernel_that_never_intercepts_is_asked_by_its_costs() {
        let control = |session| Cell {
            workload: "none,tsc-deadline/1".parse().unwrap(),
            session,
            role: Role::Cell,
        };
        let (kernel, debugged) = (control(Session::Kernel), control(Session::GuestDebug));
        let costed = |cell, policy, ticks| Costed { policy, ticks, ..Costed::of(cell) };
        let found = |policy, ticks| {
            let cells = [costed(&kernel, policy, ticks), costed(&debugged, Policy::Always, 4000)];
            cells.map(|cell| rearm(&cell, &cells))
        };
        assert_eq!(found(Policy::Never, 4000), [Rearm::No, Rearm::Yes]);
        assert_eq!(found(Policy::Never, 4620), [Rearm::Yes, Rearm::Yes]);
        assert_eq!(found(Policy::Lazy, 4000), [Rearm::Yes, Rearm::Yes]);
    }
}
