//! Running crews on this kernel's KVM: each vCPU on a thread of its own, with counters of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bench_vmm::counters::{Statistics, StatisticsSource};
use bench_vmm::{GuestImage, Host, Machine, MachineConfig, Marker, Vcpu, Watchdog};
use guest_payloads::{Dr6, Slot, layout};

use super::gate::{Gate, GivenUp};
use super::placement::{self, Place};
use super::{Came, CrewMeasured, JobCrew, OfVcpu, Placement, Touched};
use crate::measure::{
    self, Counters, Emit, Error, Goal, STATISTICS, Section, came_to, guest_debug, undisturbed,
};
use crate::noise::preemptions;
use crate::protocol::{Batch, Effort, Message, Pass, Target};

/// Measures every crew: a pass over all of them for counts, one for costs.
pub fn measure(
    host: &Host,
    target: &Target,
    effort: Effort,
    crews: &[JobCrew],
    emit: &mut Emit<'_>,
) -> Result<(), Error> {
    let cpus = placement::allowed()?;
    let mut totals: Vec<Vec<Option<u64>>> = vec![vec![]; crews.len()];
    let mut broken: BTreeMap<usize, String> = BTreeMap::new();
    for pass in [Pass::Counted, Pass::Costed] {
        let traced = pass == Pass::Counted && target.trace.missing().is_none();
        // Each thread opens its own, which is quick while the kernel's tracepoint is on already.
        let _kept_on = traced.then(|| measure::open_trace(host)).transpose()?;
        let mut machine: Option<Together> = None;
        for (index, crew) in crews.iter().enumerate() {
            if pass == Pass::Costed && !crew.cell.costed {
                continue;
            }
            let impossible = crew
                .placement
                .impossible(crew.vcpus, cpus.len(), effort.exact)
                .or_else(|| crew.never_moved());
            let came = match (impossible, broken.get(&index)) {
                (Some(why), _) => Came::Impossible(why),
                (None, Some(why)) => Came::Broken(why.clone()),
                (None, None) => {
                    let is_preempted = crew.placement == Placement::Preempted;
                    let goals = Goals { effort, totals: totals[index].clone(), is_preempted };
                    let shift = Shift { host, crew, cpus: &cpus, goals, pass, traced };
                    shift.work(&mut machine)?
                }
            };
            match &came {
                Came::Measured(all) if pass == Pass::Counted => {
                    let total = |vcpu: &OfVcpu| undisturbed(&vcpu.batches)?.exits;
                    totals[index] = all.iter().map(total).collect();
                }
                Came::Broken(why) => drop(broken.insert(index, why.clone())),
                Came::Measured(_) | Came::Impossible(_) => {}
            }
            emit(Message::Crew(CrewMeasured { crew: index as u32, pass, came }))?;
        }
    }
    Ok(())
}

/// A machine with several vCPUs.
struct Together {
    machine: Machine,
    /// Of each vCPU, where KVM counts vCPUs apart.
    statistics: Vec<Option<Statistics>>,
}

/// One pass over one crew.
struct Shift<'a> {
    host: &'a Host,
    crew: &'a JobCrew,
    cpus: &'a [usize],
    goals: Goals,
    pass: Pass,
    traced: bool,
}

impl Shift<'_> {
    /// Works in the `machine` of the crew before, if that has as many vCPUs, else in a new one.
    fn work(&self, machine: &mut Option<Together>) -> Result<Came, Error> {
        let fits = machine.take().filter(|machine| machine.vcpus() == self.crew.vcpus);
        let mut together = match fits {
            Some(machine) => machine,
            None => Together::new(self.host, self.crew.vcpus)?,
        };
        Ok(match together.work(self) {
            Ok(all) => {
                *machine = Some(together);
                Came::Measured(all)
            }
            // Its vCPUs may be in any state: the next crew gets a new machine.
            Err(error) => Came::Broken(error.to_string()),
        })
    }
}

/// When all vCPUs have enough batches.
struct Goals {
    effort: Effort,
    /// The statistics totals of undisturbed sections, by vCPU, where they are known.
    totals: Vec<Option<u64>>,
    /// Sections are meant to be disturbed.
    is_preempted: bool,
}

impl Goals {
    fn are_reached(&self, batches: &[Vec<Batch>]) -> bool {
        if self.is_preempted {
            return batches.iter().all(|batches| batches.len() as u32 >= self.effort.undisturbed);
        }
        let total = |vcpu: usize| self.totals.get(vcpu).copied().flatten();
        let goal = |vcpu| Goal { effort: self.effort, total: total(vcpu) };
        batches.iter().enumerate().all(|(vcpu, batches)| goal(vcpu).reached(batches))
    }
}

impl Together {
    fn new(host: &Host, vcpus: u8) -> Result<Self, Error> {
        let nothing = GuestImage { code: &[], entry: layout::CODE };
        let config = MachineConfig { vcpus, ..MachineConfig::default() };
        let mut machine = Machine::new(host, &nothing, config)?;
        let apart =
            |statistics: &Statistics| vcpus == 1 || statistics.source() == StatisticsSource::Binary;
        let open = |vcpu: &Vcpu| Statistics::open(vcpu, &STATISTICS).ok().filter(apart);
        let statistics = machine.vcpus().iter().map(open).collect();
        Ok(Self { machine, statistics })
    }

    fn vcpus(&self) -> u8 {
        self.statistics.len() as u8
    }

    /// What each vCPU gave. The error names the vCPU that broke.
    fn work(&mut self, shift: &Shift<'_>) -> Result<Vec<OfVcpu>, Error> {
        self.machine.load(&GuestImage { code: &shift.crew.cell.code, entry: layout::CODE })?;
        let vcpus = usize::from(self.vcpus());
        let (gate, batches) = (Gate::new(vcpus), Mutex::new(vec![vec![]; vcpus]));
        let seats = self.machine.vcpus().iter_mut().zip(&mut self.statistics);
        let ended: Vec<Result<Ended, Error>> = thread::scope(|scope| {
            let threads: Vec<_> = seats
                .map(|(vcpu, statistics)| {
                    let (gate, batches) = (&gate, &batches);
                    scope.spawn(move || {
                        let _leaving = Leaving(gate);
                        Seat { vcpu, statistics, shift, gate, batches }.work()
                    })
                })
                .collect();
            let panicked = |_| Err("its thread panicked".into());
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
        });
        let ended = first_cause(ended)?;
        let batches = batches.into_inner().unwrap_or_else(PoisonError::into_inner);
        let one =
            |(batches, Ended { touched, preemptions })| OfVcpu { batches, touched, preemptions };
        Ok(batches.into_iter().zip(ended).map(one).collect())
    }
}

/// What all vCPUs gave; or the error of the one that broke, not of those that waited for it.
fn first_cause<T>(ended: Vec<Result<T, Error>>) -> Result<Vec<T>, Error> {
    let mut waited = None;
    let mut all = Vec::with_capacity(ended.len());
    for (vcpu, ended) in ended.into_iter().enumerate() {
        match ended {
            Ok(ended) => all.push(ended),
            Err(error) if error.is::<GivenUp>() => waited = Some(error),
            Err(error) => return Err(format!("vCPU {vcpu}: {error}").into()),
        }
    }
    waited.map_or(Ok(all), Err)
}

/// However a thread ends, nobody waits for it afterwards.
struct Leaving<'a>(&'a Gate);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// What a vCPU gave beside its batches.
struct Ended {
    touched: Option<Touched>,
    preemptions: u64,
}

/// A vCPU on its thread.
struct Seat<'a> {
    vcpu: &'a mut Vcpu,
    statistics: &'a mut Option<Statistics>,
    shift: &'a Shift<'a>,
    gate: &'a Gate,
    /// Of all vCPUs.
    batches: &'a Mutex<Vec<Vec<Batch>>>,
}

impl Seat<'_> {
    fn work(mut self) -> Result<Ended, Error> {
        let Shift { host, crew, cpus, traced, .. } = self.shift;
        let index = self.vcpu.index();
        let mut place = Place::take(crew.placement, index, cpus)?;
        let watchdog = Watchdog::start(Duration::from_secs(crew.cell.watchdog_seconds.into()))?;
        let trace = traced.then(|| measure::open_trace(host)).transpose()?;
        let mut counters = Counters { trace, cycles: None };
        self.vcpu.set_guest_debug(guest_debug(crew.cell.session))?;
        if !self.shift.goals.effort.exact {
            self.round(&mut Counters::default(), &mut place, &watchdog)?;
        }
        let before = preemptions()?;
        loop {
            let batch = self.round(&mut counters, &mut place, &watchdog)?;
            self.batches()[usize::from(index)].push(batch);
            if self.gate.decide(|| self.shift.goals.are_reached(&self.batches()))? {
                break;
            }
        }
        let preemptions = preemptions()? - before;
        let touched = crew.shows_breakpoint.then(|| touch(self.vcpu, &watchdog)).transpose()?;
        self.gate.meet()?;
        Ok(Ended { touched, preemptions })
    }

    /// One section of each vCPU, all at the same time or one after the other.
    fn round(
        &mut self,
        counters: &mut Counters,
        place: &mut Place<'_>,
        watchdog: &Watchdog,
    ) -> Result<Batch, Error> {
        let Shift { crew, goals, pass, .. } = self.shift;
        if !takes_turns(crew.placement, goals.effort, *pass) {
            self.begin(watchdog)?;
            self.gate.meet()?;
            return self.section(counters, place, watchdog, Some(self.gate));
        }
        let mut batch = None;
        for turn in 0..crew.vcpus {
            if turn == self.vcpu.index() {
                self.begin(watchdog)?;
                batch = Some(self.section(counters, place, watchdog, None)?);
            }
            self.gate.meet()?;
        }
        batch.ok_or_else(|| "it had no turn".into())
    }

    fn begin(&mut self, watchdog: &Watchdog) -> Result<(), Error> {
        came_to(Marker::Begin, self.vcpu.run_to_marker(watchdog)?)
    }

    /// From BEGIN to END. Where a thread is moved, it is so together with those that it meets at `gate`.
    fn section(
        &mut self,
        counters: &mut Counters,
        place: &mut Place<'_>,
        watchdog: &Watchdog,
        gate: Option<&Gate>,
    ) -> Result<Batch, Error> {
        let section = Section { statistics: self.statistics, counters, touches: 0 };
        if self.shift.crew.placement != Placement::Moved {
            return section
                .run(self.vcpu, |vcpu| came_to(Marker::End, vcpu.run_to_marker(watchdog)?));
        }
        let mut moved: Result<(), Error> = Ok(());
        let batch = section.run(self.vcpu, |vcpu| {
            let reached = vcpu.run_to_marker_by(watchdog, || {
                if moved.is_ok() {
                    moved = advance(place, gate);
                }
            })?;
            came_to(Marker::End, reached)
        })?;
        moved.map(|()| batch)
    }

    fn batches(&self) -> MutexGuard<'_, Vec<Vec<Batch>>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether vCPUs run their sections one after the other. For counts never: they are to disturb each
/// other. For costs, where all CPUs of an emulated machine share one instruction clock, so that a
/// vCPU's time stamps would count what the others execute meanwhile (on one CPU nothing else executes);
/// and where they would wait for each other, to be moved.
fn takes_turns(placement: Placement, effort: Effort, pass: Pass) -> bool {
    let shared_clock = effort.exact && placement != Placement::OverCommitted;
    pass != Pass::Counted && (shared_clock || placement == Placement::Moved)
}

/// Moves this thread while no guest of its machine runs.
fn advance(place: &mut Place<'_>, gate: Option<&Gate>) -> Result<(), Error> {
    if let Some(gate) = gate {
        gate.meet()?;
    }
    place.advance()?;
    if let Some(gate) = gate {
        gate.meet()?;
    }
    Ok(())
}

/// Has the guest write what its first breakpoint watches.
fn touch(vcpu: &mut Vcpu, watchdog: &Watchdog) -> Result<Touched, Error> {
    const DEBUG: u8 = 1;
    let logged = vcpu.touch_watched(watchdog)?;
    let by_first = |dr6: u64| Slot::ALL.map(|slot| dr6 & Dr6::hit(slot) != 0);
    let hit = |entry: &&guest_payloads::log::Entry| {
        entry.vector == DEBUG && by_first(entry.dr6) == [true, false, false, false]
    };
    Ok(Touched { hits: logged.iter().filter(hit).count() as u32, exceptions: logged.len() as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_broke_is_named_and_not_those_that_waited_for_it() {
        let waited = || Err(Error::from(GivenUp));
        let error = first_cause::<()>(vec![waited(), Err("triple fault".into()), waited()]);
        assert_eq!(error.unwrap_err().to_string(), "vCPU 1: triple fault");
        assert!(first_cause::<()>(vec![Ok(()), waited()]).is_err(), "nothing is passed over");
        assert_eq!(first_cause(vec![Ok(1), Ok(2)]).unwrap(), [1, 2]);
    }

    #[test]
    fn enough_is_enough_when_every_vcpu_has_enough() {
        let trace =
            |asynchronous| Some(crate::protocol::Trace { asynchronous, ..Default::default() });
        let batch = |asynchronous| Batch { trace: trace(asynchronous), ..Batch::default() };
        let (effort, totals) = (Effort::REPEATABLE, vec![]);
        let goals = Goals { effort, totals, is_preempted: false };
        let good = vec![batch(0); Effort::NEEDED as usize];
        let mut batches = vec![good.clone(), vec![batch(0), batch(1)]];
        assert!(!goals.are_reached(&batches));
        batches[1].push(batch(0));
        assert!(goals.are_reached(&batches));
        let hopeless = vec![batch(1); Effort::REPEATABLE.most as usize];
        assert!(goals.are_reached(&[good, hopeless]), "but not for ever");
        let meant = Goals { is_preempted: true, ..goals };
        assert!(meant.are_reached(&[vec![batch(3); Effort::NEEDED as usize]]));
    }

    #[test]
    fn only_costs_are_measured_in_turns() {
        for placement in Placement::ALL {
            for effort in [Effort::REPEATABLE, Effort::DISTURBED, Effort::HARDWARE] {
                assert!(!takes_turns(placement, effort, Pass::Counted));
            }
        }
        assert!(takes_turns(Placement::Pinned, Effort::REPEATABLE, Pass::Costed));
        assert!(!takes_turns(Placement::OverCommitted, Effort::REPEATABLE, Pass::Costed));
        assert!(!takes_turns(Placement::Pinned, Effort::HARDWARE, Pass::Costed));
    }
}
