//! This host's KVM: every sample runs sections.

use bench_vmm::Host;
use criterion::Throughput;
use reports::{Value, statistics};
use suites::lab;
use suites::measure::Error;
use suites::protocol::{Batch, Effort};
use suites::sections::{Counting, Sections};

use crate::counted::{CYCLES, Counted, DR_EXITS, TICKS, Unit};
use crate::{cells, name, tell, tell_zeros};

/// What is measured, and where it comes from.
struct Measured {
    name: &'static str,
    unit: Unit,
    counting: Counting,
    /// None: an asynchronous exit came, the section is to be repeated.
    count: fn(&Batch) -> Option<u64>,
}

const MEASURED: [Measured; 4] = [
    Measured {
        name: "guest_ticks",
        unit: TICKS,
        counting: Counting::Nothing,
        count: |batch| Some(batch.tsc),
    },
    Measured {
        name: "dr_exits",
        unit: DR_EXITS,
        counting: Counting::Exits,
        count: |batch| batch.trace.as_ref().filter(|t| t.asynchronous == 0).map(|t| t.dr),
    },
    Measured {
        name: "guest_cycles",
        unit: CYCLES,
        counting: Counting::Cycles,
        count: |batch| batch.cycles.map(|cycles| cycles.guest_cycles),
    },
    Measured {
        name: "host_cycles",
        unit: CYCLES,
        counting: Counting::Cycles,
        count: |batch| batch.cycles.map(|cycles| cycles.host_cycles),
    },
];

/// Measures what can be measured here, and tells what cannot. A host without KVM is no error.
pub fn bench() -> Result<(), Error> {
    let host = match Host::open() {
        Ok(host) => host,
        Err(error) => {
            tell(format_args!("this host is not measured: {error}. A kernel: {}", lab::COMMAND));
            return Ok(());
        }
    };
    for measured in &MEASURED {
        match Sections::open(&host, measured.counting) {
            Ok(mut sections) => measured.bench(&mut sections)?,
            Err(missing) => tell(format_args!("{}: skipped: {missing}", measured.name)),
        }
    }
    Ok(())
}

impl Measured {
    fn bench(&self, sections: &mut Sections) -> Result<(), Error> {
        let counted = Counted(self.unit);
        // Undisturbed, a section has the same DR exits every time.
        let exact = self.counting == Counting::Exits;
        let mut criterion = if exact { counted.exact() } else { counted.with_spread() };
        let mut group = criterion.benchmark_group(self.name);
        group.sampling_mode(Counted::SAMPLING);
        let mut zeros = 0;
        for cell in cells() {
            let why = |error: Error| format!("{}/{cell}: {error}", self.name);
            sections.load(&cell).map_err(why)?;
            if self.section(sections).map_err(why)? == 0 {
                zeros += 1;
                continue;
            }
            group.throughput(Throughput::Elements(cell.workload.switches.into()));
            group.bench_function(name(&cell), |bencher| {
                bencher.iter_custom(|count| {
                    // Inside Criterion there is no other way out.
                    self.sample(sections, count)
                        .unwrap_or_else(|error| panic!("{}/{cell}: {error}", self.name))
                });
            });
        }
        group.finish();
        tell_zeros(self.name, zeros);
        Ok(())
    }

    /// So many times the median section: what others take from this thread is in the mean of a busy
    /// host's sections, and no doing of its kernel.
    fn sample(&self, sections: &mut Sections, count: u64) -> Result<f64, Error> {
        let counts = (0..count).map(|_| Ok(Value::count(self.section(sections)?).as_f64()));
        let counts = counts.collect::<Result<Vec<_>, Error>>()?;
        let median = statistics::middle(&counts).ok_or("a sample of no sections")?;
        Ok(median * Value::count(count).as_f64())
    }

    /// The count of one undisturbed section.
    fn section(&self, sections: &mut Sections) -> Result<u64, Error> {
        for _ in 0..Effort::HARDWARE.most {
            if let Some(count) = (self.count)(&sections.run()?) {
                return Ok(count);
            }
        }
        Err(format!("asynchronous exits disturbed {} sections in a row", Effort::HARDWARE.most))?
    }
}
