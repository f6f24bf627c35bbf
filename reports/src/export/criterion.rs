//! A baseline of Criterion benchmarks in one file, as `critcmp --export` writes it and critcmp reads it.
//!
//! What it has no place for is as little wrong as can be: critcmp takes every value for nanoseconds, so
//! that the unit stands in the name; and it wants a standard deviation, which is half of the interval
//! here, 0 where there is none. The baseline is called after kernel and run, the names are without them.

use super::rows::{interval, number};
use super::text::tame;
use super::{ExportError, Exported, Runs, name, notes};
use crate::record::{Key, Record, Subject, Value};
use serde_json::{Map, Value as Json, json};

/// The share of an interval, as `reports::statistics` has it.
const LEVEL: f64 = 0.95;

pub(super) fn export(runs: &Runs<'_>) -> Result<Exported, ExportError> {
    let baseline = baseline(runs)?;
    let named = runs.named(full_name)?;
    let entry = |(name, value, record): &(String, Value, &Record)| {
        (name.clone(), benchmark(&baseline, name, *value, record))
    };
    let benchmarks: Map<String, Json> = named.iter().map(entry).collect();
    let text = format!("{:#}\n", json!({ "name": baseline, "benchmarks": benchmarks }));
    let mut notes =
        vec!["critcmp shows every value as a time: its ns are what a name ends with".to_owned()];
    notes.extend(notes::left_out(runs.rows().map(|(_, record)| record)));
    notes.extend(notes::rounded(named.iter().map(|(_, value, _)| value)));
    Ok(Exported { text, notes })
}

/// One kernel and one run: critcmp keeps one baseline of a name.
fn baseline(runs: &Runs<'_>) -> Result<String, ExportError> {
    let mut rows = runs.rows();
    let Some((first_run, first)) = rows.next() else { return Ok(String::new()) };
    let other = rows.find(|(_, record)| record.subject != first.subject);
    if let Some((run, record)) = other {
        return Err(ExportError::Kernels {
            format: runs.format,
            runs: (first_run.path.clone(), run.path.clone()),
            one: Box::new(first.subject.clone()),
            other: Box::new(record.subject.clone()),
        });
    }
    let Subject { kernel_id, variant, .. } = &first.subject;
    Ok(format!("{}+{}@{}", tame(kernel_id), tame(variant), first.run.run_id))
}

/// `kvm_amd/qemu-tcg/EPYC,+svm/policy/dr7 a=1 S=4, none, kernel/dr_exits/tracepoint/exits`.
fn full_name(record: &Record) -> String {
    let Key { metric, source, .. } = &record.key;
    format!("{}/{metric}/{source}/{}", name::cell(&record.key), record.unit)
}

fn benchmark(baseline: &str, name: &str, value: Value, record: &Record) -> Json {
    let (low, high) = interval(record).unwrap_or((value, value));
    let deviation = Value::real((high.as_f64() - low.as_f64()).abs() / 2.0).unwrap_or(value);
    let estimate = |value: Value, low: Value, high: Value| {
        json!({
            "confidence_interval": {
                "confidence_level": LEVEL,
                "lower_bound": number(low),
                "upper_bound": number(high),
            },
            "point_estimate": number(value),
            "standard_error": number(deviation),
        })
    };
    let spread = estimate(deviation, deviation, deviation);
    json!({
        "baseline": baseline,
        "fullname": format!("{baseline}/{name}"),
        "criterion_benchmark_v1": {
            "group_id": record.key.cell.suite.as_str(),
            "function_id": name,
            "value_str": Json::Null,
            "throughput": Json::Null,
            "full_id": name,
            "directory_name": name,
        },
        "criterion_estimates_v1": {
            "mean": estimate(value, low, high),
            "median": estimate(value, low, high),
            "median_abs_dev": spread,
            "slope": Json::Null,
            "std_dev": spread,
        },
    })
}
