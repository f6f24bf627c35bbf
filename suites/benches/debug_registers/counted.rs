//! Counts in the place of Criterion's times.

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, SamplingMode, Throughput};

/// What is counted, and how it is written.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// After a count.
    pub counts: &'static str,
    /// After a throughput: switches for so many counts.
    pub throughput: &'static str,
    /// How many.
    pub per: f64,
}

/// Instructions, guest and host kernel together.
pub const INSTRUCTIONS: Unit = Unit { counts: "instr.", throughput: "switches/M instr.", per: 1e6 };
/// Exits by MOV DR.
pub const DR_EXITS: Unit = Unit { counts: "DR exits", throughput: "switches/DR exit", per: 1.0 };
/// Ticks of the guest's time stamp counter, which runs on while the host works.
pub const TICKS: Unit = Unit { counts: "TSC ticks", throughput: "switches/M ticks", per: 1e6 };
/// Cycles of the processor.
pub const CYCLES: Unit = Unit { counts: "cycles", throughput: "switches/M cycles", per: 1e6 };

/// Counts of a unit. Each bench counts for itself, by `iter_custom`.
#[derive(Clone, Copy)]
pub struct Counted(pub Unit);

impl Counted {
    /// How benches are sampled: a linear fit would round, and its first samples have few sections.
    pub const SAMPLING: SamplingMode = SamplingMode::Flat;

    /// Criterion for counts with a spread: sections are short, half a second has thousands. Less than
    /// five percent is noise, as on a busy host.
    pub fn with_spread(self) -> Criterion<Self> {
        Criterion::default()
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(500))
            .sample_size(50)
            .nresamples(10_000)
            .noise_threshold(0.05)
            .with_measurement(self)
            .configure_from_args()
    }

    /// Criterion for counts that are the same each time.
    ///
    /// - No plots: the t distribution of equal samples is empty, and Criterion 0.8.2 panics when it
    ///   draws that.
    /// - No noise: any difference is a change. Of equal samples Criterion's t is 0/0, no number,
    ///   which is below no significance level: no change, and `p = NaN` in its report.
    /// - As few samples and resamples as it takes: they only repeat the one value.
    pub fn exact(self) -> Criterion<Self> {
        Criterion::default()
            .warm_up_time(Duration::from_nanos(1))
            .measurement_time(Duration::from_millis(20))
            .sample_size(10)
            .nresamples(1001)
            .noise_threshold(0.0)
            .with_measurement(self)
            .configure_from_args()
            .without_plots()
    }
}

impl Measurement for Counted {
    type Intermediate = ();
    /// Whole numbers, exact below 2^53; a median may lie between two.
    type Value = f64;

    fn start(&self) {}

    fn end(&self, (): ()) -> f64 {
        unreachable!("a bench that does not count for itself, by iter_custom, measures nothing")
    }

    fn add(&self, one: &f64, other: &f64) -> f64 {
        one + other
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &self.0
    }
}

impl ValueFormatter for Unit {
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        self.counts
    }

    fn scale_throughputs(
        &self,
        _typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        if let Throughput::Elements(switches) = throughput {
            let switches = reports::Value::count(*switches).as_f64();
            for value in values {
                *value = switches * self.per / *value;
            }
        }
        self.throughput
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        self.counts
    }
}
