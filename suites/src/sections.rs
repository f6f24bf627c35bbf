//! Sections one at a time, on this host's KVM: for Criterion, which decides by itself how many it wants.

use std::time::Duration;

use bench_vmm::counters::Cycles;
use bench_vmm::{Host, Watchdog};
use guest_payloads::{CpuVendor, Payload};

use crate::measure::{Bench, Counters, Error, open_trace};
use crate::plan::Cell;
use crate::protocol::{Batch, Effort};

/// What is counted beside the guest's time stamps. Each counter costs the sections something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Nothing.
    Nothing,
    /// Exits by reason, with the tracepoint.
    Exits,
    /// The hardware's cycles.
    Cycles,
}

/// A machine that runs one cell's section again and again.
pub struct Sections {
    bench: Bench,
    counters: Counters,
    cpu: CpuVendor,
    watchdog: Watchdog,
}

impl Sections {
    /// Makes a machine. The error says what cannot be counted here, and what to do.
    pub fn open(host: &Host, counting: Counting) -> Result<Self, Error> {
        let counters = match counting {
            Counting::Nothing => Counters::default(),
            Counting::Exits => Counters { trace: Some(open_trace(host)?), cycles: None },
            Counting::Cycles => Counters { trace: None, cycles: Some(Cycles::open()?) },
        };
        Ok(Self {
            bench: Bench::new(host)?,
            counters,
            cpu: host.cpu_vendor().unwrap_or(CpuVendor::Intel),
            watchdog: Watchdog::start(Duration::ZERO)?,
        })
    }

    /// Puts a cell's payload into the machine and runs its section once without counting.
    pub fn load(&mut self, cell: &Cell) -> Result<(), Error> {
        let seconds = Effort::HARDWARE.watchdog_seconds(&cell.workload);
        self.watchdog = Watchdog::start(Duration::from_secs(seconds.into()))?;
        let payload = Payload::assemble(&cell.workload, self.cpu)?;
        self.bench.load(&payload.code, cell.session, cell.workload.page_touches())?;
        self.bench.warm_up(&self.watchdog)
    }

    /// Runs the section of the loaded cell.
    pub fn run(&mut self) -> Result<Batch, Error> {
        self.watchdog.restart()?;
        self.bench.batch(&mut self.counters, &self.watchdog)
    }
}
