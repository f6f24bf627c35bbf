//! A baseline of Criterion benchmarks in one file, as `critcmp --export` writes it and critcmp reads it.
//!
//! What it has no place for is as little wrong as can be: critcmp takes every value for nanoseconds, so
//! that the unit stands in the name; and it wants a standard deviation, which is half of the interval
//! here, 0 where there is none. The baseline is called after kernel and run, the names are without them.

use super::json::{self, Object, number};
use super::rows::interval;
use super::text::tame;
use super::{ExportError, Exported, Runs, name, notes};
use crate::record::{Key, Record, Subject, Value};
use serde_json::Value as Json;

/// The share of an interval, as `reports::statistics` has it.
const LEVEL: f64 = 0.95;

pub(super) fn export(runs: &Runs<'_>) -> Result<Exported, ExportError> {
    let baseline = baseline(runs)?;
    let named = runs.named(full_name)?;
    let left_out = Vec::from_iter(notes::left_out(runs.rows().map(|(_, record)| record)));
    runs.refuse_nothing(named.len(), &left_out)?;
    let mut benchmarks = Object::default();
    for (name, value, record) in &named {
        benchmarks.set(name, benchmark(&baseline, name, *value, record));
    }
    let all = Object::default().with_text("name", &baseline).with("benchmarks", benchmarks.done());
    let text = json::file(&all.done());
    let mut notes =
        vec!["critcmp shows every value as a time: its ns are what a name ends with".to_owned()];
    notes.extend(left_out);
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
    let middle = estimate(value, (low, high), deviation);
    let spread = estimate(deviation, (deviation, deviation), deviation);
    let about = Object::default()
        .with_text("group_id", record.key.cell.suite.as_str())
        .with_text("function_id", name)
        .with("value_str", Json::Null)
        .with("throughput", Json::Null)
        .with_text("full_id", name)
        .with_text("directory_name", name);
    let estimates = Object::default()
        .with("mean", middle.clone())
        .with("median", middle)
        .with("median_abs_dev", spread.clone())
        .with("slope", Json::Null)
        .with("std_dev", spread);
    Object::default()
        .with_text("baseline", baseline)
        .with_text("fullname", &format!("{baseline}/{name}"))
        .with("criterion_benchmark_v1", about.done())
        .with("criterion_estimates_v1", estimates.done())
        .done()
}

fn estimate(value: Value, (low, high): (Value, Value), error: Value) -> Json {
    let interval = Object::default()
        .with("confidence_level", LEVEL.into())
        .with("lower_bound", number(low))
        .with("upper_bound", number(high));
    Object::default()
        .with("confidence_interval", interval.done())
        .with("point_estimate", number(value))
        .with("standard_error", number(error))
        .done()
}
