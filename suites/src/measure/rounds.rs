//! A pass over cells on hardware: in rounds, so that what changes on the machine meanwhile meets all
//! cells alike.
//!
//! In each round every cell that has not enough yet gets one batch, in an order of its own. Its payload
//! is loaded for that, and the first section after loading is run without counting: it pays for what
//! loading has pushed out of caches and made KVM forget. So batches of a cell lie as far apart as the
//! pass is long, and what one of them met tells nothing of the next. One during which another program
//! had the CPU is no measurement of the guest, and is thrown away; one during which the CPU itself was
//! not as usual ([`Pace`]) is put aside.

use std::time::Duration;

use bench_vmm::Watchdog;
use reports::statistics;

use super::{Bench, Counters, Emit, Error, Goal, Run};
use crate::noise::{Looks, Order, Pace, Watch, preemptions};
use crate::protocol::{Batch, JobCell, Measured, Message, Pass};

/// Machines that take turns. Where a machine's parts lie in the host's memory is chance, and was seen to
/// make all its exits up to 5 % dearer: so no run has but the one.
const MACHINES: usize = 9;

/// How many batches at an unusual CPU are waited out for each one that a cell may be tried: here such
/// times last some tenths of a second, seldom three seconds.
const PATIENCE: u32 = 8;

/// A cell in the rounds.
struct Arm<'a> {
    index: usize,
    cell: &'a JobCell,
    goal: Goal,
    batches: Vec<Batch>,
    /// The looks at the CPU beside each of them.
    looks: Vec<Looks>,
    /// Batches that were put aside, as the CPU was not as usual; no more than are told.
    unusual: Vec<Batch>,
    /// How many there were.
    unusual_batches: u32,
    /// Batches that were begun.
    tries: u32,
    /// Why it was given up.
    broken: Option<String>,
    told: bool,
}

impl<'a> Arm<'a> {
    fn new(index: usize, cell: &'a JobCell, goal: Goal, broken: Option<String>) -> Self {
        let (batches, looks, unusual) = (vec![], vec![], vec![]);
        let (unusual_batches, tries, told) = (0, 0, false);
        Self { index, cell, goal, batches, looks, unusual, unusual_batches, tries, broken, told }
    }

    fn is_done(&self) -> bool {
        let most = self.goal.effort.most;
        let waited = self.unusual_batches;
        let tired = self.tries.saturating_sub(waited) >= most || waited >= most * PATIENCE;
        self.told || self.broken.is_some() || tired || self.goal.reached(&self.batches)
    }

    /// One more batch, and the looks at the CPU beside it.
    fn take(&mut self, batch: Batch, looks: Looks) {
        self.batches.push(batch);
        self.looks.push(looks);
    }

    /// One more, beside which the CPU was not as usual.
    fn set_aside(&mut self, batch: Batch) {
        if self.unusual_batches < self.goal.effort.most {
            self.unusual.push(batch);
        }
        self.unusual_batches += 1;
    }

    /// Sets aside what turned out to be unusual: what is usual is known better with every round.
    fn put_aside(&mut self, pace: &Pace) {
        let all =
            std::mem::take(&mut self.batches).into_iter().zip(std::mem::take(&mut self.looks));
        for (batch, looks) in all {
            if pace.is_usual(looks) {
                self.take(batch, looks);
            } else {
                self.set_aside(batch);
            }
        }
    }

    /// What came of it. With too few batches at a CPU as usual, the others come too, as what they are.
    fn measured(&mut self, pass: Pass) -> Measured {
        self.told = true;
        if self.batches.len() < statistics::FEWEST {
            let unusual = std::mem::take(&mut self.unusual).into_iter();
            self.batches.extend(unusual.map(|batch| Batch { unusual: true, ..batch }));
        }
        Measured {
            cell: self.index as u32,
            pass,
            batches: std::mem::take(&mut self.batches),
            error: self.broken.clone(),
        }
    }
}

/// Makes the pass. Cells that are done are told at the end of their round, in the plan's order; a cell
/// that breaks is the only one that fails.
///
/// # Errors
/// No machine can be made any more, or nobody takes what was measured. What was measured until then is
/// told as it is.
pub fn pass(
    run: &mut Run<'_>,
    pass: Pass,
    counters: &mut Counters,
    watch: &mut Watch,
    emit: &mut Emit<'_>,
) -> Result<(), Error> {
    let mut arms: Vec<Arm<'_>> = run
        .cells_of(pass)
        .map(|(index, cell)| Arm::new(index, cell, run.goal(index), run.broken[index].clone()))
        .collect();
    // Each pass has orders of its own.
    let orders = Order::new(watch.seed() ^ pass as u32, arms.len());
    let mut ended = tell(&mut arms, pass, Which::Done, emit);
    for (number, order) in orders.enumerate() {
        if ended.is_err() || arms.iter().all(|arm| arm.told) {
            break;
        }
        ended = run.benches.turn(number, MACHINES);
        ended = ended.and_then(|()| round(run, &mut arms, &order, counters, watch));
        watch.look();
        for arm in arms.iter_mut().filter(|arm| !arm.told) {
            arm.put_aside(watch.pace());
        }
        let told = tell(&mut arms, pass, Which::Done, emit);
        ended = ended.and(told);
    }
    let rest = tell(&mut arms, pass, Which::Begun, emit);
    for Arm { index, broken, unusual_batches, .. } in arms {
        watch.unusual(unusual_batches.into());
        run.broken[index] = run.broken[index].take().or(broken);
    }
    ended.and(rest)
}

/// One batch of each cell that is not done.
fn round(
    run: &mut Run<'_>,
    arms: &mut [Arm<'_>],
    order: &[usize],
    counters: &mut Counters,
    watch: &mut Watch,
) -> Result<(), Error> {
    for &place in order {
        let arm = &mut arms[place];
        if arm.is_done() {
            continue;
        }
        arm.tries += 1;
        let bench = run.benches.of(arm.cell);
        match bench.and_then(|bench| batch(bench, arm.cell, counters, watch.pace())) {
            Ok(Some((batch, looks))) => arm.take(batch, looks),
            Ok(None) => watch.preempted(),
            Err(error) => {
                arm.broken = Some(error.to_string());
                run.benches.renew(arm.cell)?;
            }
        }
    }
    Ok(())
}

/// A batch of a cell and the looks at the CPU beside it; none if another program had the CPU meanwhile.
fn batch(
    bench: &mut Bench,
    cell: &JobCell,
    counters: &mut Counters,
    pace: &mut Pace,
) -> Result<Option<(Batch, Looks)>, Error> {
    let watchdog = Watchdog::start(Duration::from_secs(cell.watchdog_seconds.into()))?;
    bench.load(&cell.code, cell.session, cell.touches)?;
    bench.warm_up(&watchdog)?;
    let before = preemptions()?;
    let (batch, looks) = pace.beside(|| bench.batch(counters, &watchdog));
    let batch = batch?;
    Ok((preemptions()? == before).then_some((batch, looks)))
}

/// Which cells to tell of.
#[derive(Clone, Copy)]
enum Which {
    /// Those that have enough, or are given up.
    Done,
    /// Those that have something: no more will come.
    Begun,
}

impl Which {
    fn has(self, arm: &Arm<'_>) -> bool {
        match self {
            Self::Done => arm.is_done(),
            Self::Begun => !arm.batches.is_empty() || !arm.unusual.is_empty(),
        }
    }
}

/// Tells of those that were not told yet.
fn tell(arms: &mut [Arm<'_>], pass: Pass, which: Which, emit: &mut Emit<'_>) -> Result<(), Error> {
    for arm in arms.iter_mut().filter(|arm| !arm.told) {
        if which.has(arm) {
            emit(Message::Measured(arm.measured(pass)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bench_vmm::Host;
    use guest_payloads::layout::SAVE_AREA;
    use guest_payloads::layout::port::{BEGIN, END};

    use super::*;
    use crate::measure::{Ready, measure};
    use crate::plan::Session;
    use crate::protocol::{AgainstNoise, Effort, Plan};

    /// Sections without anything in them, one after the other.
    fn endless() -> Vec<u8> {
        // begin: out BEGIN, al; out END, al; jmp begin
        vec![0xe6, BEGIN, 0xe6, END, 0xeb, 0xfa]
    }

    /// The same until it was loaded so many times, by a counter in memory that loading leaves alone:
    /// then an instruction that is none.
    fn dying(loads: u8) -> Vec<u8> {
        let [a, b, c, d] = u32::try_from(SAVE_AREA).unwrap().to_le_bytes();
        let mut code = vec![0x48, 0xff, 0x04, 0x25, a, b, c, d]; // inc qword [counter]
        code.extend([0x48, 0x83, 0x3c, 0x25, a, b, c, d, loads]); // cmp qword [counter], loads
        code.extend([0x77, 6]); // ja dead
        code.extend(endless());
        code.extend([0x0f, 0x0b]); // dead: ud2
        code
    }

    fn cell(code: Vec<u8>) -> JobCell {
        JobCell {
            code,
            session: Session::Kernel,
            needs: None,
            costed: true,
            lapic: false,
            touches: 0,
            watchdog_seconds: 20,
        }
    }

    /// What comes of these payloads in a run on hardware; nothing where there is no KVM.
    fn messages(payloads: Vec<Vec<u8>>) -> Option<Vec<Message>> {
        let host = match Host::open() {
            Ok(host) => host,
            Err(error) => {
                println!("there is no KVM here, so there is nothing to be tested: {error}");
                return None;
            }
        };
        let plan = Plan {
            cells: payloads.into_iter().map(cell).collect(),
            effort: Effort::HARDWARE,
            against_noise: Some(AgainstNoise { seed: 3, pin: true }),
            unprivileged: false,
        };
        let mut messages = Vec::new();
        let mut ready = Ready::with(host).unwrap();
        measure(&mut ready, &plan, &mut |message| {
            messages.push(message);
            Ok(())
        })
        .unwrap();
        Some(messages)
    }

    fn costed(messages: &[Message]) -> Vec<&Measured> {
        let all = messages.iter().filter_map(|message| match message {
            Message::Measured(measured) => Some(measured),
            _ => None,
        });
        all.filter(|measured| measured.pass == Pass::Costed).collect()
    }

    #[test]
    fn a_cell_that_dies_in_a_later_round_fails_alone() {
        // Loaded once for the counted pass and once for the first round, it dies when it is the first
        // machine's turn again.
        let Some(messages) = messages(vec![endless(), dying(2), endless()]) else { return };
        let mut costed = costed(&messages);
        costed.sort_by_key(|measured| measured.cell);
        let [first, dead, last] = costed[..] else { panic!("{costed:?}") };
        for alive in [first, last] {
            assert_eq!(alive.error, None);
            assert!(alive.batches.len() >= Effort::HARDWARE.undisturbed as usize);
        }
        let told = dead.batches.len();
        assert!((1..=MACHINES).contains(&told), "{told} batches until its second turn");
        let error = dead.error.as_ref().expect("it died of an invalid opcode");
        assert!(error.contains("#UD"), "{error}");
    }

    #[test]
    fn a_cell_that_was_told_gets_no_more_rounds() {
        let goal = Goal { effort: Effort::HARDWARE, total: Some(2) };
        let cell = cell(endless());
        let mut arm = Arm::new(0, &cell, goal, None);
        assert!(!arm.is_done());
        for looks in Pace::of(&[1000]).see(&[[1000; 2]; Effort::HARDWARE.undisturbed as usize]) {
            arm.take(of_two_exits(), looks);
        }
        assert!(arm.is_done());
        assert_eq!(arm.measured(Pass::Costed).batches.len(), 15);
        assert!(arm.is_done(), "its batches are gone, and no others are wanted");
    }

    #[test]
    fn batches_at_an_unusual_cpu_are_put_aside_and_come_as_such_if_there_are_no_others() {
        let cell = cell(endless());
        let goal = Goal { effort: Effort::HARDWARE, total: Some(2) };
        let arm = |looks: &[u64]| {
            let mut pace = Pace::of(&[1000]);
            let mut arm = Arm::new(0, &cell, goal, None);
            for looks in pace.see(&looks.iter().map(|&look| [look; 2]).collect::<Vec<_>>()) {
                arm.tries += 1;
                arm.take(of_two_exits(), looks);
            }
            arm.put_aside(&pace);
            arm
        };
        let told = |looks: &[u64]| {
            let mut arm = arm(looks);
            (arm.unusual_batches, arm.measured(Pass::Costed).batches)
        };
        let (put_aside, batches) = told(&[&[1000; 3][..], &[1200], &[1005; 7]].concat());
        assert_eq!((put_aside, batches.len()), (5, 6), "with two on either side");
        assert!(batches.iter().all(|batch| !batch.unusual));
        let (put_aside, batches) = told(&[1000, 1005, 1000, 1200, 1300]);
        assert_eq!((put_aside, batches.len()), (4, 5));
        assert_eq!(batches.iter().filter(|batch| batch.unusual).count(), 4);

        // An unusual CPU is waited out: for long, not for ever.
        let most = Effort::HARDWARE.most as usize;
        assert!(arm(&vec![1000; most]).is_done());
        assert!(!arm(&vec![1200; 2 * most]).is_done());
        let forever = told(&vec![1200; PATIENCE as usize * most]);
        assert_eq!(forever.1.len(), most, "no more are told than of any cell");
        assert!(arm(&vec![1200; PATIENCE as usize * most]).is_done());
    }

    fn of_two_exits() -> Batch {
        Batch { exits: Some(2), ..Batch::default() }
    }

    #[test]
    fn a_run_on_hardware_says_what_disturbed_it_before_it_is_done() {
        let Some(messages) = messages(vec![endless(), endless()]) else { return };
        let [.., Message::Noise(noise)] = &messages[..] else { panic!("{:?}", messages.last()) };
        assert_eq!(noise.seed, 3);
        let cpu = noise.cpu.value().expect("a thread may bind itself to the CPU it is on");
        assert!(noise.preemptions.value().is_some(), "CPU {cpu}: {noise:?}");
    }
}
