//! Running cells on this kernel's KVM: the same code on the host and as PID 1 in the lab.

mod benches;
mod rounds;

use std::time::Duration;

use bench_vmm::counters::{
    Cycles, ExitTrace, Statistic, Statistics, StatisticsSource, Unavailable,
};
use bench_vmm::exits::ExitClass;
use bench_vmm::{
    GuestDebug, GuestImage, Host, Irqchip, Machine, MachineConfig, Marker, Reached, Vcpu, Watchdog,
};
use guest_payloads::layout;

use self::benches::Benches;
use crate::environment;
use crate::noise::Watch;
use crate::plan::Session;
use crate::protocol::{
    Availability, Batch, Effort, HardwareCounts, JobCell, Measured, Message, Pass, Plan, Target,
    Trace,
};

/// An error that ends the target's run.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// Takes each message as it is made.
pub type Emit<'a> = dyn FnMut(Message) -> Result<(), Error> + 'a;

/// Classes of exits that are counted apart. Each costs every traced exit some instructions, so only
/// those that the exit model speaks of; the rest shows as a difference to the total.
const TRACED: [ExitClass; 8] = [
    ExitClass::DebugRegister,
    ExitClass::Asynchronous,
    ExitClass::Io,
    ExitClass::Cpuid,
    ExitClass::Msr,
    ExitClass::Hypercall,
    ExitClass::Hlt,
    ExitClass::Exception,
];
/// Of a cell that was not tried: each attempt may take as long as the watchdog is patient.
pub const NOT_SURVIVED: &str = "not tried: a guest that made this kind of exit once did not go on";
pub(crate) const STATISTICS: [Statistic; 3] =
    [Statistic::Exits, Statistic::InsnEmulation, Statistic::PageFaultsFixed];

/// A virtual machine that cells run in, one after the other.
pub(crate) struct Bench {
    machine: Machine,
    statistics: Option<Statistics>,
    /// Fresh pages that a section of the loaded payload touches.
    touches: u64,
}

/// Everything that is the same for each job: KVM, a virtual machine, counters.
pub struct Ready {
    host: Host,
    bench: Bench,
    trace: Option<ExitTrace>,
    target: Target,
}

impl Ready {
    /// Opens everything, and finds out what can be measured here.
    pub fn new() -> Result<Self, Error> {
        Self::with(Host::open()?)
    }

    /// The same with a KVM that is open already.
    pub fn with(host: Host) -> Result<Self, Error> {
        let mut bench = Bench::new(&host)?;
        let trace = open_trace(&host);
        let target = describe(&host, &mut bench, &trace);
        Ok(Self { host, bench, trace: trace.ok(), target })
    }

    /// What could be measured here, for a job that measures nothing itself.
    pub fn survey(&self) -> (&Host, &Target) {
        (&self.host, &self.target)
    }
}

/// Measures every cell, and on hardware watches what disturbs that.
pub fn measure(ready: &mut Ready, plan: &Plan, emit: &mut Emit<'_>) -> Result<(), Error> {
    let Ready { host, bench, trace, target } = ready;
    let benches = Benches { host, ordinary: bench, others: Vec::new(), turn: 0, with_lapic: None };
    emit(Message::Target(Box::new(target.clone())))?;
    let cells = plan.cells.len();
    let (totals, broken) = (vec![None; cells], vec![None; cells]);
    let mut run = Run { benches, plan, totals, broken };
    let mut watch = plan.against_noise.map(Watch::begin);
    let measured = passes(&mut run, trace, watch.as_mut(), emit);
    if let Some(watch) = watch {
        emit(Message::Noise(Box::new(watch.end())))?;
    }
    measured
}

/// A pass over all cells for counts, one for costs, and one for cycles where there is a PMU. The
/// tracepoint is closed after the first: an open event costs every exit.
fn passes(
    run: &mut Run<'_>,
    trace: &mut Option<ExitTrace>,
    mut watch: Option<&mut Watch>,
    emit: &mut Emit<'_>,
) -> Result<(), Error> {
    for pass in [Pass::Counted, Pass::Costed, Pass::Cycles] {
        let mut counters = match pass {
            Pass::Counted => Counters { trace: trace.take(), cycles: None },
            Pass::Costed => Counters::default(),
            Pass::Cycles => match Cycles::open() {
                Ok(cycles) => Counters { trace: None, cycles: Some(cycles) },
                Err(_) => break,
            },
        };
        match (pass, watch.as_deref_mut()) {
            (Pass::Costed | Pass::Cycles, Some(watch)) => {
                rounds::pass(run, pass, &mut counters, watch, emit)?;
            }
            (Pass::Counted, _) | (_, None) => in_order(run, pass, &mut counters, emit)?,
        }
    }
    Ok(())
}

/// One cell after the other: counts have no noise, and in the lab costs have none.
fn in_order(
    run: &mut Run<'_>,
    pass: Pass,
    counters: &mut Counters,
    emit: &mut Emit<'_>,
) -> Result<(), Error> {
    for (index, cell) in run.cells_of(pass) {
        let needed = cell.needs.and_then(|probe| run.broken.get(probe as usize)?.as_ref());
        if run.broken[index].is_none() && needed.is_some() {
            run.broken[index] = Some(NOT_SURVIVED.to_owned());
        }
        let mut batches = Vec::with_capacity(run.plan.effort.most as usize);
        if run.broken[index].is_none() {
            let goal = run.goal(index);
            let bench = run.benches.of(cell);
            if let Err(error) = bench.and_then(|b| b.cell(cell, goal, counters, &mut batches)) {
                run.broken[index] = Some(error.to_string());
                run.benches.renew(cell)?;
            }
        }
        run.totals[index] = run.totals[index].or_else(|| undisturbed(&batches)?.exits);
        let error = run.broken[index].clone();
        emit(Message::Measured(Measured { cell: index as u32, pass, batches, error }))?;
    }
    Ok(())
}

/// What all passes share.
struct Run<'a> {
    benches: Benches<'a>,
    plan: &'a Plan,
    /// The statistics total of each cell's undisturbed section, once it is known.
    totals: Vec<Option<u64>>,
    /// Why a cell is not measured any more.
    broken: Vec<Option<String>>,
}

impl<'a> Run<'a> {
    /// The cells that a pass measures, by their number in the plan.
    fn cells_of(&self, pass: Pass) -> impl Iterator<Item = (usize, &'a JobCell)> + use<'a> {
        let wanted = move |(_, cell): &(usize, &JobCell)| pass == Pass::Counted || cell.costed;
        self.plan.cells.iter().enumerate().filter(wanted)
    }

    fn goal(&self, cell: usize) -> Goal {
        Goal { effort: self.plan.effort, total: self.totals[cell] }
    }
}

/// The counters of one pass. The costed pass has none: an open event, even a stopped one, adds
/// instructions to every exit.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) trace: Option<ExitTrace>,
    pub(crate) cycles: Option<Cycles>,
}

pub(crate) fn open_trace(host: &Host) -> Result<ExitTrace, Unavailable> {
    let known = host.module().isa().is_some();
    ExitTrace::open(host, if known { &TRACED } else { &[] })
}

/// When a cell has enough batches.
#[derive(Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) effort: Effort,
    /// The statistics total of an undisturbed section, once it is known.
    pub(crate) total: Option<u64>,
}

impl Goal {
    pub(crate) fn reached(self, batches: &[Batch]) -> bool {
        let done = batches.len() as u32;
        let undisturbed: Vec<&Batch> = match self.total {
            Some(total) => batches.iter().filter(|batch| batch.exits == Some(total)).collect(),
            None => batches.iter().filter(|batch| is_undisturbed(batch)).collect(),
        };
        let untraced = self.total.is_none() && batches.iter().all(|batch| batch.trace.is_none());
        let enough = if untraced {
            // Nothing here tells which were disturbed: the judge will, and needs some to choose from.
            done >= 3 * self.effort.undisturbed
        } else if self.effort.exact && self.total.is_some() {
            let alike =
                |batch: &&&Batch| undisturbed.iter().filter(|b| b.tsc == batch.tsc).count() > 1;
            undisturbed.iter().any(|batch| alike(&batch))
        } else {
            undisturbed.len() as u32 >= self.effort.undisturbed
        };
        enough || done >= self.effort.most
    }
}

fn is_undisturbed(batch: &Batch) -> bool {
    batch.trace.as_ref().is_some_and(|trace| trace.asynchronous == 0)
}

pub(crate) fn undisturbed(batches: &[Batch]) -> Option<&Batch> {
    batches.iter().find(|batch| is_undisturbed(batch))
}

impl Bench {
    pub(crate) fn new(host: &Host) -> Result<Self, Error> {
        Self::with(host, Irqchip::None)
    }

    fn with(host: &Host, irqchip: Irqchip) -> Result<Self, Error> {
        let nothing = GuestImage { code: &[], entry: layout::CODE };
        let config = MachineConfig { irqchip, ..MachineConfig::default() };
        let mut machine = Machine::new(host, &nothing, config)?;
        let statistics = Statistics::open(machine.vcpu(), &STATISTICS).ok();
        Ok(Self { machine, statistics, touches: 0 })
    }

    fn cell(
        &mut self,
        cell: &JobCell,
        goal: Goal,
        counters: &mut Counters,
        batches: &mut Vec<Batch>,
    ) -> Result<(), Error> {
        let watchdog = Watchdog::start(Duration::from_secs(cell.watchdog_seconds.into()))?;
        self.load(&cell.code, cell.session, cell.touches)?;
        if !goal.effort.exact {
            self.warm_up(&watchdog)?;
        }
        while !goal.reached(batches) {
            batches.push(self.batch(counters, &watchdog)?);
        }
        Ok(())
    }

    /// Puts a payload into the machine; each section touches so many fresh pages.
    pub(crate) fn load(
        &mut self,
        code: &[u8],
        session: Session,
        touches: u64,
    ) -> Result<(), Error> {
        self.touches = touches;
        self.machine.load(&GuestImage { code, entry: layout::CODE })?;
        Ok(self.machine.vcpu().set_guest_debug(guest_debug(session))?)
    }

    /// One section without counting: caches, and KVM's own first-time work.
    pub(crate) fn warm_up(&mut self, watchdog: &Watchdog) -> Result<(), Error> {
        self.to(Marker::Begin, watchdog)?;
        self.to(Marker::End, watchdog)
    }

    fn to(&mut self, wanted: Marker, watchdog: &Watchdog) -> Result<(), Error> {
        to(self.machine.vcpu(), wanted, watchdog)
    }

    /// One section. Between the markers nothing is done but running the guest.
    pub(crate) fn batch(
        &mut self,
        counters: &mut Counters,
        watchdog: &Watchdog,
    ) -> Result<Batch, Error> {
        self.to(Marker::Begin, watchdog)?;
        if self.touches > 0 {
            self.machine.memory().refresh(self.touches)?;
        }
        Section { statistics: &mut self.statistics, counters, touches: self.touches }
            .run(self.machine.vcpu(), |vcpu| to(vcpu, Marker::End, watchdog))
    }
}

/// What is asked of KVM in a session.
pub(crate) fn guest_debug(session: Session) -> GuestDebug {
    match session {
        Session::Kernel => GuestDebug::Off,
        Session::GuestDebug => GuestDebug::Enabled,
    }
}

fn to(vcpu: &mut Vcpu, wanted: Marker, watchdog: &Watchdog) -> Result<(), Error> {
    came_to(wanted, vcpu.run_to_marker(watchdog)?)
}

/// Whether a payload came to the marker that it should.
pub(crate) fn came_to(wanted: Marker, reached: Reached) -> Result<(), Error> {
    if reached.marker == wanted {
        Ok(())
    } else {
        Err(format!("the payload came to {:?}, not {wanted:?}", reached.marker).into())
    }
}

/// What is counted of one section of one vCPU, on its thread.
pub(crate) struct Section<'a> {
    pub(crate) statistics: &'a mut Option<Statistics>,
    pub(crate) counters: &'a mut Counters,
    /// Fresh pages that it touches.
    pub(crate) touches: u64,
}

impl Section<'_> {
    /// From BEGIN, where the vCPU is, to END, where `to_end` takes it.
    #[inline]
    pub(crate) fn run(
        self,
        vcpu: &mut Vcpu,
        to_end: impl FnOnce(&mut Vcpu) -> Result<(), Error>,
    ) -> Result<Batch, Error> {
        let Self { statistics, counters, touches } = self;
        vcpu.memory().write_u64(layout::PLAYED, 0);
        let before = statistics.as_mut().map(Statistics::read).transpose()?;
        if let Some(trace) = &mut counters.trace {
            trace.start()?;
        }
        if let Some(cycles) = &mut counters.cycles {
            cycles.start()?;
        }
        let section = to_end(vcpu);
        if let Some(cycles) = &mut counters.cycles {
            cycles.stop()?;
        }
        if let Some(trace) = &mut counters.trace {
            trace.stop()?;
        }
        section?;
        let after = statistics.as_mut().map(Statistics::read).transpose()?;
        let grown = after.zip(before).map(|(after, before)| after.since(&before));
        let faults = grown.and_then(|grown| grown.get(Statistic::PageFaultsFixed));
        Ok(Batch {
            exits: grown.and_then(|grown| grown.get(Statistic::Exits)),
            emulated: grown.and_then(|grown| grown.get(Statistic::InsnEmulation)),
            tsc: vcpu.memory().section_ticks(),
            unusual: false,
            played: vcpu.memory().read_u64(layout::PLAYED),
            faults,
            trace: match &mut counters.trace {
                Some(trace) => Some(read_trace(trace, faults, touches)?),
                None => None,
            },
            cycles: match &mut counters.cycles {
                Some(cycles) => {
                    let counts = cycles.read()?;
                    Some(HardwareCounts {
                        guest_cycles: counts.guest_cycles,
                        host_cycles: counts.host_cycles,
                        instructions: counts.guest_instructions + counts.host_instructions,
                    })
                }
                None => None,
            },
        })
    }
}

/// What the tracepoint counted, of a section that touches so many fresh pages.
fn read_trace(trace: &mut ExitTrace, faults: Option<u64>, touches: u64) -> Result<Trace, Error> {
    let counts = trace.read()?;
    let of = |class| counts.of(class).unwrap_or_default();
    let occurred = counts.classes.iter().copied().chain([(ExitClass::Other, counts.other)]);
    let by_class =
        occurred.filter(|(_, count)| *count > 0).map(|(class, count)| (class.into(), count));
    // Nested page faults are asynchronous exits, but for as many as the guest asked for.
    let own = faults.map_or(touches, |faults| faults.min(touches));
    Ok(Trace {
        total: counts.total,
        dr: of(ExitClass::DebugRegister),
        asynchronous: of(ExitClass::Asynchronous).saturating_sub(own),
        by_class: by_class.collect(),
    })
}

/// What this target is and what can be counted on it.
fn describe(host: &Host, bench: &mut Bench, trace: &Result<ExitTrace, Unavailable>) -> Target {
    let vendor = host.module().name().to_owned();
    Target {
        release: environment::release(),
        build: environment::build(),
        cpu_model: environment::cpuinfo("model name").unwrap_or_default(),
        microcode: environment::cpuinfo("microcode"),
        module_parameters: environment::module_parameters(&vendor),
        mitigations: environment::mitigations(),
        tsc_khz: bench.machine.vcpu().tsc_khz(),
        statistics: statistics_availability(host, bench),
        trace: availability(trace, "tracepoint kvm:kvm_exit"),
        pmu: availability(&Cycles::open(), "hardware counters"),
        vendor,
    }
}

fn statistics_availability(host: &Host, bench: &Bench) -> Availability {
    match bench.statistics.as_ref().map(Statistics::source) {
        Some(StatisticsSource::Binary) => Availability::Yes("KVM_GET_STATS_FD".to_owned()),
        Some(StatisticsSource::Debugfs) => Availability::Yes("debugfs, per VM".to_owned()),
        None => {
            let nothing = GuestImage { code: &[], entry: layout::CODE };
            let why = Machine::new(host, &nothing, MachineConfig::default())
                .map_err(|error| error.to_string())
                .and_then(|mut machine| {
                    Statistics::open(machine.vcpu(), &STATISTICS).map_err(|error| error.to_string())
                });
            Availability::No(why.err().unwrap_or_else(|| "could not be opened".to_owned()))
        }
    }
}

fn availability<T>(opened: &Result<T, Unavailable>, what: &str) -> Availability {
    match opened {
        Ok(_) => Availability::Yes(what.to_owned()),
        Err(unavailable) => Availability::No(unavailable.to_string()),
    }
}
