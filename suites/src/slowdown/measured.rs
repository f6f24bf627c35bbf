//! What a switch loses, from sections that were measured.

use guest_payloads::{Interposed, Pattern, Policy, Rearm, Workload};
use reports::Value;

use super::model::Loss;
use crate::cost::Costed;
use crate::plan::{INTERPOSED_EACH, LONG_SWITCHES, Session};
use crate::rows::Untimed;

/// Sections of a kernel whose policy is known.
pub struct Measured<'a> {
    /// Their ticks.
    pub cells: &'a [Costed<'a>],
    /// The policy that was found.
    pub policy: Policy,
}

/// One switch under a policy, in measured ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Switch {
    policy: Policy,
    /// What it takes without an exit.
    pub own: f64,
    /// What it loses: at each switch, at the first after another exit, or at each other exit, as the
    /// policy is.
    pub lost: f64,
    /// Exits that are part of that.
    exits: f64,
    /// What the loss was computed from; none: it was measured.
    pub basis: Option<&'static str>,
}

impl Switch {
    /// With `world_switch` ticks for each exit.
    pub fn loss(&self, world_switch: f64) -> Loss {
        let ticks = self.exits.mul_add(world_switch, self.lost);
        match self.policy {
            Policy::Always => Loss::EachSwitch(ticks),
            Policy::Lazy => Loss::FirstSwitch(ticks),
            Policy::Never | Policy::Emulated => Loss::EachExit(ticks),
        }
    }
}

/// Why the price of `never` is not measured on a lazy kernel, and what it is computed from.
const NEVER_OF_LAZY: &str = "not measured, this kernel does not have it; computed as what it takes to \
                             read dirty registers back after an exit and to load registers at an \
                             entry with a breakpoint enabled, both measured";

impl Measured<'_> {
    /// A switch of this pattern under this policy.
    pub fn switch(&self, pattern: Pattern, policy: Policy) -> Result<Switch, Untimed> {
        let own = self.own(pattern)?;
        let accesses = own - self.own(Pattern::None)?;
        let switch = Switch { policy, own, lost: 0.0, exits: 0.0, basis: None };
        match (policy, self.policy) {
            (Policy::Always, _) => Ok(Switch {
                lost: self.above_control(pattern, Session::GuestDebug, None)? - accesses,
                exits: pattern.accesses().into(),
                ..switch
            }),
            (Policy::Lazy, Policy::Lazy) => {
                let lost = self.first_after_exit(pattern)? - accesses;
                Ok(Switch { lost, exits: 1.0, ..switch })
            }
            (Policy::Never, Policy::Never) => {
                // Under guest debug this kernel switches no registers.
                let exit = |session| self.per_switch(&control(Some(INTERPOSED_EACH)), session);
                let lost = exit(Session::Kernel)? - exit(Session::GuestDebug)?;
                Ok(Switch { lost, ..switch })
            }
            (Policy::Never, Policy::Lazy) => {
                let lost = self.read_back()? + self.load()?;
                Ok(Switch { lost, basis: Some(NEVER_OF_LAZY), ..switch })
            }
            (wanted, found) => Err(Untimed::Unavailable(format!(
                "this kernel's policy is {found}, and nothing in it tells what {wanted} would cost: \
                 measure a kernel that has it"
            ))),
        }
    }

    /// What another exit takes, without what `never` does at each.
    pub fn other_exit(&self) -> Result<f64, Untimed> {
        let session = Session::GuestDebug;
        let with = self.per_switch(&control(Some(INTERPOSED_EACH)), session)?;
        Ok(with - self.per_switch(&control(None), session)?)
    }

    /// What a switch takes while its accesses do not exit: what a long section takes more than a short
    /// one, by the switches it has more. A kernel whose accesses always exit does not show it: there
    /// it is the control's.
    fn own(&self, pattern: Pattern) -> Result<f64, Untimed> {
        let pattern = if self.policy == Policy::Always { Pattern::None } else { pattern };
        let short = Workload::new(pattern);
        let long = Workload { switches: LONG_SWITCHES, ..short };
        let [short_ticks, long_ticks] =
            [&short, &long].map(|workload| self.section(workload, Session::Kernel));
        Ok((long_ticks? - short_ticks?) / f64::from(long.switches - short.switches))
    }

    /// The DR exit of a lazy kernel after another exit, and reading the registers back.
    fn first_after_exit(&self, pattern: Pattern) -> Result<f64, Untimed> {
        let interposed = Some(INTERPOSED_EACH);
        let full = |cell: &&Costed<'_>| {
            cell.cell.workload.interposed == interposed && cell.rearm == Rearm::Yes
        };
        if !self.cells.iter().any(|cell| full(&cell)) {
            let kind = INTERPOSED_EACH.kind.name();
            let why = format!("{kind} is a fast path on this kernel and arms no intercepts");
            return Err(Untimed::Unavailable(why));
        }
        self.above_control(pattern, Session::Kernel, interposed)
    }

    /// What it takes a lazy kernel to read the registers back: two sections have as many DR exits, one
    /// at each switch and one at the first.
    fn read_back(&self) -> Result<f64, Untimed> {
        let pattern = Pattern::Dr7;
        let accesses = self.own(pattern)? - self.own(Pattern::None)?;
        let short = Workload::new(pattern);
        let first = self.above_control(pattern, Session::Kernel, None)? - accesses;
        let first = first * f64::from(short.switches);
        Ok(self.first_after_exit(pattern)? - accesses - first)
    }

    /// What an entry takes more with a breakpoint enabled.
    fn load(&self) -> Result<f64, Untimed> {
        let idle = control(Some(INTERPOSED_EACH));
        let armed = Workload { armed: true, ..idle };
        let [idle, armed] = [idle, armed].map(|cell| self.per_switch(&cell, Session::Kernel));
        Ok(armed? - idle?)
    }

    /// What a switch takes more than one of the control with the same exits.
    fn above_control(
        &self,
        pattern: Pattern,
        session: Session,
        interposed: Option<Interposed>,
    ) -> Result<f64, Untimed> {
        let workload = Workload { interposed, ..Workload::new(pattern) };
        let control = self.per_switch(&control(interposed), session)?;
        Ok(self.per_switch(&workload, session)? - control)
    }

    fn per_switch(&self, workload: &Workload, session: Session) -> Result<f64, Untimed> {
        Ok(self.section(workload, session)? / f64::from(workload.switches))
    }

    fn section(&self, workload: &Workload, session: Session) -> Result<f64, Untimed> {
        let same =
            |one: &&Costed<'_>| one.cell.workload == *workload && one.cell.session == session;
        let found = self.cells.iter().find(same);
        // A cell whose pass broke has failed rows of its own.
        let why = || format!("the cell {workload}, {session}, has no undisturbed cost");
        let ticks = found.map(|cell| Value::count(cell.ticks).as_f64());
        ticks.ok_or_else(|| Untimed::Disturbed(why()))
    }
}

fn control(interposed: Option<Interposed>) -> Workload {
    Workload { interposed, ..Workload::new(Pattern::None) }
}

#[cfg(test)]
pub(super) mod tests {
    use guest_payloads::{CpuVendor, Payload};

    use super::*;
    use crate::cost::{Parameter, features};
    use crate::plan::{self, Cell};

    const READ_BACK: u64 = 140;
    const LOAD: u64 = 60;
    const LAZY: u64 = 800;
    const ACCESS: u64 = 3_000;
    const CPUID: u64 = 2_700;
    /// What `never` does at each other exit.
    const SWITCHING: u64 = 170;

    /// What a kernel with these prices takes for a cell.
    fn ticks(cell: &Cell, policy: Policy) -> u64 {
        let price = |parameter| match parameter {
            Parameter::DrExitLazy => LAZY,
            Parameter::DirtySync => READ_BACK,
            Parameter::ArmedEntry => LOAD,
            Parameter::SaveAndLoad => SWITCHING,
            Parameter::Exit(_) => CPUID,
            Parameter::Prefix | Parameter::ArmedAccess => 0,
            _ => ACCESS,
        };
        let paid = features(&cell.workload, policy, Rearm::Yes);
        let paid: u64 = paid.into_iter().map(|(parameter, count)| price(parameter) * count).sum();
        Payload::assemble(&cell.workload, CpuVendor::Amd).unwrap().instructions + paid
    }

    /// What such a kernel takes for each cell.
    pub fn costed<'a>(cells: &'a [Cell], policy: Policy) -> Vec<Costed<'a>> {
        let one = |cell: &'a Cell| {
            let policy = crate::judge::in_force(policy, cell.session);
            let ticks = ticks(cell, policy);
            Costed { policy, ticks, ..Costed::of(cell) }
        };
        cells.iter().map(one).collect()
    }

    fn close(measured: f64, expected: u64) -> bool {
        (measured - Value::count(expected).as_f64()).abs() < 1e-6
    }

    /// The exit, and the guest's few instructions around it.
    fn is_cpuid(measured: f64) -> bool {
        (2_700.0..2_710.0).contains(&measured)
    }

    #[test]
    fn a_lazy_kernel_shows_what_it_and_guest_debug_take_and_tells_what_never_would() {
        let cells = plan::slowdown();
        let cells = costed(&cells, Policy::Lazy);
        let measured = Measured { cells: &cells, policy: Policy::Lazy };
        for pattern in plan::SWITCHED.into_iter().filter(|pattern| pattern.accesses() > 0) {
            let of = |policy| measured.switch(pattern, policy).unwrap();
            let accesses = u64::from(pattern.accesses());
            assert!(close(of(Policy::Always).lost, ACCESS * accesses), "{pattern}");
            assert!(close(of(Policy::Lazy).lost, LAZY + READ_BACK), "{pattern}");
            assert!(close(of(Policy::Never).lost, READ_BACK + LOAD), "{pattern}");
            let measured =
                [Policy::Always, Policy::Lazy, Policy::Never].map(|policy| of(policy).basis);
            assert_eq!(measured, [None, None, Some(NEVER_OF_LAZY)]);
            assert_eq!(
                of(Policy::Lazy).loss(1000.0),
                Loss::FirstSwitch(of(Policy::Lazy).lost + 1000.0)
            );
            assert_eq!(of(Policy::Never).loss(1000.0), Loss::EachExit(of(Policy::Never).lost));
        }
        assert!(is_cpuid(measured.other_exit().unwrap()));
    }

    #[test]
    fn a_never_kernel_shows_its_toll_and_an_always_kernel_only_itself() {
        let cells = plan::slowdown();
        let windows = Pattern::Windows;
        let never = costed(&cells, Policy::Never);
        let never = Measured { cells: &never, policy: Policy::Never };
        let toll = never.switch(windows, Policy::Never).unwrap();
        assert!(close(toll.lost, SWITCHING) && toll.basis.is_none());
        assert!(is_cpuid(never.other_exit().unwrap()), "the toll is not counted twice");
        assert!(close(never.switch(windows, Policy::Always).unwrap().lost, 13 * ACCESS));

        let always = costed(&cells, Policy::Always);
        let always = Measured { cells: &always, policy: Policy::Always };
        // Its accesses never run without an exit: they are part of the loss here.
        let lost = always.switch(windows, Policy::Always).unwrap().lost;
        assert!(lost >= f64::from(13 * 3_000) && lost < f64::from(13 * 3_002), "{lost}");
        for (kernel, policy) in
            [(&never, Policy::Lazy), (&always, Policy::Lazy), (&always, Policy::Never)]
        {
            let why = kernel.switch(windows, policy).unwrap_err();
            let Untimed::Unavailable(why) = why else { panic!("{why:?}") };
            assert!(why.contains("measure a kernel that has it"), "{why}");
        }
    }

    #[test]
    fn a_cell_without_a_cost_is_named() {
        let measured = Measured { cells: &[], policy: Policy::Lazy };
        let why = measured.switch(Pattern::Windows, Policy::Always).unwrap_err();
        let Untimed::Disturbed(why) = why else { panic!("{why:?}") };
        assert!(why.contains("windows,switches=68") && why.contains("undisturbed"), "{why}");
    }
}
