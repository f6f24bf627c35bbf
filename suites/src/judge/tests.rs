//! Kernels are simulated exit by exit, with asynchronous exits where chance puts them.

use guest_payloads::Workload;
use proptest::prelude::*;

use super::*;
use crate::plan;
use crate::protocol::CheckOutcome;

/// A simulated kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    /// One of the policies, as it should be.
    Sound(Policy),
    /// Lazy, but it arms its intercepts at every third exit only.
    RearmsEveryThird,
    /// `never` that forgets to arm the intercepts when guest debug begins.
    NeverForgetsGuestDebug,
}

/// One vCPU of a simulated kernel, counting its exits as the tracepoint would.
struct Vcpu {
    kernel: Kernel,
    session: Session,
    intercepted: bool,
    exits_since_armed: u32,
    trace: Trace,
    interposed: u64,
}

impl Vcpu {
    fn new(kernel: Kernel, session: Session) -> Self {
        let mut vcpu = Self {
            kernel,
            session,
            intercepted: false,
            exits_since_armed: 0,
            trace: Trace::default(),
            interposed: 0,
        };
        vcpu.intercepted = vcpu.arms();
        vcpu
    }

    fn policy(&self) -> Policy {
        match self.kernel {
            Kernel::Sound(policy) => in_force(policy, self.session),
            Kernel::RearmsEveryThird => in_force(Policy::Lazy, self.session),
            Kernel::NeverForgetsGuestDebug => Policy::Never,
        }
    }

    fn arms(&self) -> bool {
        matches!(self.policy(), Policy::Always | Policy::Lazy)
    }

    /// Any exit that is handled in full.
    fn exit(&mut self) {
        self.trace.total += 1;
        self.exits_since_armed += 1;
        let rearms = match self.kernel {
            Kernel::RearmsEveryThird if self.policy() == Policy::Lazy => {
                self.exits_since_armed.is_multiple_of(3)
            }
            _ => true,
        };
        self.intercepted |= rearms && self.arms();
    }

    fn access(&mut self) {
        if self.intercepted {
            self.trace.dr += 1;
            self.exit();
            self.intercepted = self.policy() == Policy::Always;
        }
    }
}

/// Runs a section; `ticks` are the positions of asynchronous exits among its events.
fn section(kernel: Kernel, cell: &Cell, ticks: &[u32]) -> Batch {
    let mut vcpu = Vcpu::new(kernel, cell.session);
    let mut event = 0;
    let mut step = |vcpu: &mut Vcpu| {
        for _ in ticks.iter().filter(|tick| **tick == event) {
            vcpu.trace.asynchronous += 1;
            vcpu.exit();
        }
        event += 1;
    };
    for switch in 1..=cell.workload.switches {
        for _ in 0..cell.workload.accesses() {
            step(&mut vcpu);
            vcpu.access();
        }
        if cell.workload.interposed.is_some_and(|interposed| switch % interposed.every == 0) {
            step(&mut vcpu);
            vcpu.interposed += 1;
            vcpu.exit();
        }
    }
    step(&mut vcpu);
    vcpu.exit();
    Batch {
        exits: Some(vcpu.trace.total),
        emulated: Some(0),
        trace: Some(vcpu.trace),
        ..Batch::default()
    }
}

fn untraced(batches: &mut [Vec<Batch>]) {
    for batch in batches.iter_mut().flatten() {
        batch.trace = None;
    }
}

/// All batches of all deciding cells, with `ticks(cell, batch)` for each.
fn measure(
    kernel: Kernel,
    cells: &[Cell],
    ticks: &dyn Fn(usize, usize) -> Vec<u32>,
) -> Vec<Vec<Batch>> {
    let batches = Effort::DISTURBED.most.min(12) as usize;
    cells
        .iter()
        .enumerate()
        .map(|(index, cell)| {
            (0..batches).map(|b| section(kernel, cell, &ticks(index, b))).collect()
        })
        .collect()
}

fn verdict_of(cells: &[Cell], batches: &[Vec<Batch>]) -> Verdict {
    let evidence: Vec<Evidence<'_>> =
        cells.iter().zip(batches).map(|(cell, batches)| (cell, Ok(batches.as_slice()))).collect();
    verdict(&evidence)
}

fn deciding_cells() -> Vec<Cell> {
    plan::only(&[])
}

fn countable() -> impl Strategy<Value = Policy> {
    prop::sample::select(vec![Policy::Always, Policy::Lazy, Policy::Never])
}

proptest! {
    #[test]
    fn ticks_can_leave_a_verdict_open_but_never_turn_it(
        policy in countable(),
        // For each cell and batch, up to two ticks at events of the section.
        seed in prop::collection::vec(prop::collection::vec(0u32..200, 0..3), 12 * 6),
        traced: bool,
    ) {
        let cells = deciding_cells();
        let mut batches = measure(Kernel::Sound(policy), &cells, &|cell, batch| {
            seed[cell * 12 + batch].clone()
        });
        if !traced {
            untraced(&mut batches);
        }
        match verdict_of(&cells, &batches) {
            Verdict::Policy { policy: found, confirmed } => {
                prop_assert_eq!(found, policy);
                prop_assert_eq!(confirmed, traced);
            }
            Verdict::Unresolved(_) => {}
            wrong => prop_assert!(false, "{wrong:?}"),
        }
    }

    #[test]
    fn every_cell_of_a_sound_kernel_agrees_with_its_prediction_or_stays_open(
        policy in countable(),
        workload in "(none|dr7|scan|windows|n:[1-9])(,cpuid/[1-4])?,switches=[1-9]",
        guest_debug: bool,
        ticks in prop::collection::vec(prop::collection::vec(0u32..60, 0..3), 12),
    ) {
        let workload: Workload = workload.parse().unwrap();
        let session = if guest_debug { Session::GuestDebug } else { Session::Kernel };
        let cell = Cell { workload, session, role: Role::Cell };
        let batches: Vec<_> =
            ticks.iter().map(|ticks| section(Kernel::Sound(policy), &cell, ticks)).collect();
        let policy = in_force(policy, session);
        let judgement = judge(&batches, policy, workload.predict(policy, Rearm::Yes));
        prop_assert!(!matches!(judgement, Judgement::Broken(_)), "{judgement:?}");
    }
}

#[test]
fn undisturbed_kernels_get_their_own_verdict_with_and_without_the_tracepoint() {
    let cells = deciding_cells();
    for policy in [Policy::Always, Policy::Lazy, Policy::Never] {
        let mut batches = measure(Kernel::Sound(policy), &cells, &|_, _| vec![]);
        assert_eq!(verdict_of(&cells, &batches), Verdict::Policy { policy, confirmed: true });
        untraced(&mut batches);
        assert_eq!(verdict_of(&cells, &batches), Verdict::Policy { policy, confirmed: false });
    }
}

#[test]
fn kernels_of_no_known_policy_are_unknown_and_the_broken_anchors_are_named() {
    let cells = deciding_cells();
    for kernel in [Kernel::RearmsEveryThird, Kernel::NeverForgetsGuestDebug] {
        let batches = measure(kernel, &cells, &|_, _| vec![]);
        let Verdict::Unknown(broken) = verdict_of(&cells, &batches) else {
            panic!("{kernel:?}: {:?}", verdict_of(&cells, &batches));
        };
        assert_eq!(broken.len(), 3, "{broken:?}");
        assert!(broken.iter().all(|reason| reason.contains("n:5")), "{broken:?}");
    }
}

#[test]
fn too_few_undisturbed_batches_leave_the_verdict_open() {
    let cells = deciding_cells();
    let batches = measure(Kernel::Sound(Policy::Lazy), &cells, &|_, batch| {
        if batch + 1 < Effort::NEEDED as usize { vec![] } else { vec![0] }
    });
    let Verdict::Unresolved(why) = verdict_of(&cells, &batches) else {
        panic!("decided too early")
    };
    assert!(
        why.contains("lazy") && why.contains(&format!("{} of 12", Effort::NEEDED - 1)),
        "{why}"
    );
}

#[test]
fn an_interpreted_guest_is_known_by_its_control_loop() {
    let cells = deciding_cells();
    let mut batches = measure(Kernel::Sound(Policy::Never), &cells, &|_, _| vec![]);
    for (cell, batches) in cells.iter().zip(&mut batches) {
        for batch in batches {
            batch.emulated = Some(22 + 2 * u64::from(cell.workload.switches));
        }
    }
    assert_eq!(verdict_of(&cells, &batches).policy(), Some(Policy::Emulated));
    // Emulating each DR access, as SVM without decode assists does, is no interpretation.
    let mut batches = measure(Kernel::Sound(Policy::Always), &cells, &|_, _| vec![]);
    for batch in batches.iter_mut().flatten() {
        batch.emulated = batch.trace.as_ref().map(|trace| trace.dr);
    }
    assert_eq!(verdict_of(&cells, &batches).policy(), Some(Policy::Always));
}

#[test]
fn counters_that_do_not_add_up_are_told_apart_from_a_wrong_policy() {
    let cell = Cell {
        workload: "n:5,cpuid/1".parse().unwrap(),
        session: Session::Kernel,
        role: Role::Cell,
    };
    let sound = section(Kernel::Sound(Policy::Lazy), &cell, &[]);
    let predicted = cell.workload.predict(Policy::Lazy, Rearm::Yes);
    assert_eq!(examine(&sound, Policy::Lazy, predicted), Finding::Exact);
    let mut skipping = sound.clone();
    skipping.exits = skipping.exits.map(|exits| exits - 1);
    let Finding::Broken(Contradiction::Counters(reason)) =
        examine(&skipping, Policy::Lazy, predicted)
    else {
        panic!("the statistics miss an exit");
    };
    assert!(reason.contains("say 8 exits") && reason.contains("tracepoint 9"), "{reason}");
    let mut extra = sound;
    extra.exits = extra.exits.map(|exits| exits + 1);
    extra.trace.as_mut().unwrap().total += 1;
    let finding = examine(&extra, Policy::Lazy, predicted);
    assert!(matches!(finding, Finding::Broken(Contradiction::Counters(_))), "{finding:?}");
}

#[test]
fn a_breakpoint_that_the_guest_did_not_take_breaks_the_cell() {
    let cell = Cell {
        workload: "n:5,breakpoint/2,armed".parse().unwrap(),
        session: Session::Kernel,
        role: Role::Cell,
    };
    let predicted = cell.workload.predict(Policy::Lazy, Rearm::Yes);
    let taken = |played| {
        let batch = Batch { played, ..section(Kernel::Sound(Policy::Lazy), &cell, &[]) };
        examine(&batch, Policy::Lazy, predicted)
    };
    assert_eq!(taken(2), Finding::Exact);
    for lost_or_doubled in [0, 1, 3] {
        let Finding::Broken(Contradiction::Counters(reason)) = taken(lost_or_doubled) else {
            panic!("{lost_or_doubled} of two breakpoints");
        };
        assert!(reason.contains("2 were due"), "{reason}");
    }
}

#[test]
fn statistics_that_leave_fast_paths_out_agree_only_where_the_prediction_says_so() {
    let cell = Cell {
        workload: "n:5,tsc-deadline/1".parse().unwrap(),
        session: Session::GuestDebug,
        role: Role::Cell,
    };
    let counted = section(Kernel::Sound(Policy::Lazy), &cell, &[]);
    let less = Batch { exits: counted.exits.map(|exits| exits - 4), ..counted.clone() };
    let finding =
        |batch, rearm| examine(batch, Policy::Always, cell.workload.predict(Policy::Always, rearm));
    assert_eq!(finding(&counted, Rearm::No), Finding::Exact);
    assert_eq!(finding(&less, Rearm::NoUncounted), Finding::Exact);
    for (batch, rearm) in [(&less, Rearm::No), (&counted, Rearm::NoUncounted)] {
        let finding = finding(batch, rearm);
        assert!(matches!(finding, Finding::Broken(Contradiction::Counters(_))), "{finding:?}");
    }
}

#[test]
fn pages_that_a_payload_touches_are_its_own_exits_and_others_are_asynchronous() {
    let classes = [(ExitClass::Asynchronous.into(), 5), (ExitClass::Io.into(), 1)];
    let trace = Trace { total: 6, dr: 0, asynchronous: 1, by_class: classes.to_vec() };
    assert_eq!(interposed_exits(&trace, InterposedKind::PageTouch), 4);
    assert_eq!(interposed_exits(&trace, InterposedKind::PioUser), 0, "the marker is none");
}

#[test]
fn a_probe_tells_a_fast_path_from_a_full_exit_on_lazy_kernels_only() {
    let probe = plan::policy(&[])
        .into_iter()
        .find(|cell| cell.role == Role::FastPathProbe(InterposedKind::Wrmsr))
        .unwrap();
    let lazy = Verdict::Policy { policy: Policy::Lazy, confirmed: true };
    let full = vec![section(Kernel::Sound(Policy::Lazy), &probe, &[]); 3];
    assert_eq!(fast_path(&lazy, &probe, &full), Ok(Rearm::Yes));
    // The second switch's first access does not exit: the WRMSR re-entered without arming anything.
    let mut fast = full.clone();
    for batch in &mut fast {
        let trace = batch.trace.as_mut().unwrap();
        trace.dr -= 1;
        trace.total -= 1;
        batch.exits = Some(trace.total);
    }
    assert_eq!(fast_path(&lazy, &probe, &fast), Ok(Rearm::No));
    // Older statistics know nothing of it; those show it on any kernel.
    let uncounted = |batches: &[Batch]| -> Vec<Batch> {
        let left_out = probe.workload.interposed_exits();
        let less =
            |batch: &Batch| Batch { exits: batch.exits.map(|n| n - left_out), ..batch.clone() };
        batches.iter().map(less).collect()
    };
    assert_eq!(fast_path(&lazy, &probe, &uncounted(&fast)), Ok(Rearm::NoUncounted));
    let never = Verdict::Policy { policy: Policy::Never, confirmed: true };
    assert!(fast_path(&never, &probe, &full).unwrap_err().contains("never"));
    let of_never = vec![section(Kernel::Sound(Policy::Never), &probe, &[]); 3];
    assert!(fast_path(&never, &probe, &of_never).unwrap_err().contains("never"));
    assert_eq!(fast_path(&never, &probe, &uncounted(&of_never)), Ok(Rearm::NoUncounted));
    // Without the tracepoint the totals tell: of each answer they are others.
    for (batches, answer) in [
        (uncounted(&fast), Rearm::NoUncounted),
        (fast.clone(), Rearm::No),
        (full.clone(), Rearm::Yes),
    ] {
        let mut totals = [batches];
        untraced(&mut totals);
        assert_eq!(fast_path(&lazy, &probe, &totals[0]), Ok(answer));
    }
    assert!(fast_path(&lazy, &probe, &full[..1]).is_err(), "one batch proves nothing");
}

#[test]
fn messages_come_back_as_they_went() {
    use crate::protocol::{Checked, Measured, Message, Pass};
    let cell = deciding_cells()[1];
    let batches = vec![section(Kernel::Sound(Policy::Lazy), &cell, &[1])];
    let messages = [
        Message::Measured(Measured { cell: 1, pass: Pass::Counted, batches, error: None }),
        Message::Checked(Checked {
            name: "a check".to_owned(),
            outcome: CheckOutcome::Failed("why".to_owned()),
        }),
        Message::Done,
    ];
    for message in messages {
        let text = crate::protocol::encode(&message).unwrap();
        assert_eq!(crate::protocol::decode::<Message>(&text).unwrap(), message);
    }
}
