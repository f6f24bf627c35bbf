//! Bencher Metric Format: `{benchmark: {measure: {value, lower_value, upper_value}}}`
//! (<https://bencher.dev/docs/reference/bencher-metric-format>).

use super::index::Index;
use super::json::{self, Object, number};
use super::rows::interval;
use super::text::at_most;
use super::{ExportError, Exported, Runs, name, notes};
use crate::record::Record;

/// Longest name of a benchmark. (A measure's may have 64; they are words and cannot get there.)
const LONGEST: usize = 1024;

pub(super) fn export(runs: &Runs<'_>) -> Result<Exported, ExportError> {
    let named = runs.named(|record| format!("{}\n{}", benchmark(record), measure(record)))?;
    let (mut index, mut benchmarks) = (Index::default(), Vec::new());
    for (_, value, record) in &named {
        let mut metric = Object::default().with("value", number(*value));
        if let Some((low, high)) = interval(record) {
            metric.set("lower_value", number(low));
            metric.set("upper_value", number(high));
        }
        let name = benchmark(record);
        let (_, measures): &mut (String, Object) =
            index.of(&mut benchmarks, name.clone(), || (name, Object::default()));
        measures.set(&measure(record), metric.done());
    }
    let mut all = Object::default();
    for (name, measures) in benchmarks {
        all.set(&name, measures.done());
    }
    let mut notes = Vec::from_iter(notes::left_out(runs.rows().map(|(_, record)| record)));
    runs.refuse_nothing(named.len(), &notes)?;
    notes.extend(notes::rounded(named.iter().map(|(_, value, _)| value)));
    Ok(Exported { text: json::file(&all.done()), notes })
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
