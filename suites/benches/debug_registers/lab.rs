//! A kernel in the lab: one run measures all cells, each exactly.

use std::env;

use criterion::Throughput;
use reports::{Metric, Record, Source, Value};
use suites::measure::Error;

use crate::counted::{Counted, DR_EXITS, INSTRUCTIONS, Unit};
use crate::{cells, name, recorded, tell, tell_zeros};

/// The kernel, in the words of `drbench run --kernel`. Without it the lab is left alone.
const KERNEL: &str = "DRBENCH_BENCH_KERNEL";
/// The CPU, in the words of `drbench run --cpu`.
const CPU: &str = "DRBENCH_BENCH_CPU";
const DEFAULT_CPU: &str = "amd";

/// What is measured, and which rows have it.
struct Exact {
    name: &'static str,
    unit: Unit,
    metric: Metric,
    source: Source,
}

const EXACT: [Exact; 2] = [
    Exact {
        name: "lab_instructions",
        unit: INSTRUCTIONS,
        metric: Metric::Instructions,
        source: Source::Tsc,
    },
    Exact {
        name: "lab_dr_exits",
        unit: DR_EXITS,
        metric: Metric::DrExits,
        source: Source::Tracepoint,
    },
];

/// Measures the kernel that the environment names.
pub fn bench() -> Result<(), Error> {
    let Ok(kernel) = env::var(KERNEL) else {
        tell(format_args!("the lab is not measured: {KERNEL}=debian:6.1 names a kernel for it"));
        return Ok(());
    };
    let asked = |option: &str| env::args().any(|word| word == option);
    // Whoever asks what there is does not want to wait for a kernel.
    if asked("--list") {
        return Ok(());
    }
    if asked("--quick") {
        Err(
            "--quick doubles the iterations until time has passed, and the lab's take none: leave it out",
        )?;
    }
    let cpu = env::var(CPU).unwrap_or_else(|_| DEFAULT_CPU.to_owned());
    let rows = recorded::run(&kernel, &cpu)?;
    EXACT.iter().try_for_each(|exact| exact.bench(&rows))
}

impl Exact {
    fn bench(&self, rows: &[Record]) -> Result<(), Error> {
        // Not the kernel's name: kernels are what is compared.
        let vendor = rows.first().ok_or("the lab's run left no rows")?.key.target.vendor;
        let title = format!("{}_{vendor}", self.name);
        let mut criterion = Counted(self.unit).exact();
        let mut group = criterion.benchmark_group(&title);
        group.sampling_mode(Counted::SAMPLING);
        let mut zeros = 0;
        for cell in cells() {
            let section = recorded::section(rows, &cell, &self.metric, self.source)?;
            if section == 0.0 {
                zeros += 1;
                continue;
            }
            group.throughput(Throughput::Elements(cell.workload.switches.into()));
            group.bench_function(name(&cell), |bencher| {
                bencher.iter_custom(|sections| section * Value::count(sections).as_f64());
            });
        }
        group.finish();
        tell_zeros(&title, zeros);
        Ok(())
    }
}
