//! Bencher Metric Format: `{benchmark: {measure: {value, lower_value, upper_value}}}`
//! (<https://bencher.dev/docs/reference/bencher-metric-format>).

use super::rows::{interval, number};
use super::text::at_most;
use super::{ExportError, Exported, Runs, name, notes};
use crate::record::Record;
use serde_json::{Map, Value as Json};

/// Longest name of a benchmark. (A measure's may have 64; they are words and cannot get there.)
const LONGEST: usize = 1024;

pub(super) fn export(runs: &Runs<'_>) -> Result<Exported, ExportError> {
    let named = runs.named(|record| format!("{}\n{}", benchmark(record), measure(record)))?;
    let mut benchmarks: Map<String, Json> = Map::new();
    for (_, value, record) in &named {
        let mut metric = Map::new();
        metric.insert("value".to_owned(), number(*value));
        if let Some((low, high)) = interval(record) {
            metric.insert("lower_value".to_owned(), number(low));
            metric.insert("upper_value".to_owned(), number(high));
        }
        let of_one = benchmarks.entry(benchmark(record)).or_insert_with(|| Map::new().into());
        if let Json::Object(measures) = of_one {
            measures.insert(measure(record), metric.into());
        }
    }
    let left_out = notes::left_out(runs.rows().map(|(_, record)| record));
    let rounded = notes::rounded(named.iter().map(|(_, value, _)| value));
    let text = format!("{:#}\n", Json::from(benchmarks));
    Ok(Exported { text, notes: left_out.into_iter().chain(rounded).collect() })
}

/// Everything but what is measured; the name of a metric that has one, too.
fn benchmark(record: &Record) -> String {
    let variant = super::text::tame(&record.subject.variant);
    let mut benchmark = format!("{variant}/{}", name::cell(&record.key));
    if let (_, Some(name)) = name::split_metric(&record.key) {
        benchmark = format!("{benchmark}/{name}");
    }
    at_most(LONGEST, benchmark)
}

/// `dr_exits (tracepoint, exits)`.
fn measure(record: &Record) -> String {
    let (word, _) = name::split_metric(&record.key);
    format!("{word} ({}, {})", record.key.source, record.unit)
}
