//! What github-action-benchmark reads as `customSmallerIsBetter` or `customBiggerIsBetter`: a list of
//! `{name, unit, value, range, extra}`. A file has one direction; a row that is no cost and no gain is in
//! neither.

use super::json::{self, Object, number};
use super::rows::interval;
use super::text::tame;
use super::{ExportError, Exported, Runs, name, notes};
use crate::record::{Larger, Record, Value};
use serde_json::Value as Json;

pub(super) fn smaller(runs: &Runs<'_>) -> Result<Exported, ExportError> {
    export(runs, Larger::Worse)
}

pub(super) fn bigger(runs: &Runs<'_>) -> Result<Exported, ExportError> {
    export(runs, Larger::Better)
}

fn export(runs: &Runs<'_>, larger: Larger) -> Result<Exported, ExportError> {
    let named = runs.named(name::row)?;
    let fits = |record: &Record| record.key.metric.larger_is() == larger;
    let (mut entries, mut values) = (Vec::new(), Vec::new());
    for (name, value, record) in named.iter().filter(|(_, _, record)| fits(record)) {
        entries.push(entry(name, *value, record));
        values.push(*value);
    }
    let mut notes = Vec::new();
    notes.extend(notes::left_out(runs.rows().map(|(_, record)| record)));
    let count = |is: Larger| {
        named.iter().filter(|(_, _, record)| record.key.metric.larger_is() == is).count()
    };
    let elsewhere = [
        (Larger::Worse, "smaller is better (format github-action-benchmark has them)"),
        (Larger::Better, "bigger is better (format github-action-benchmark-bigger has them)"),
        (Larger::Neither, "neither is better"),
    ];
    for (other, what) in elsewhere {
        let rows = count(other);
        if other != larger && rows > 0 {
            notes.push(format!("rows left out: {rows}, of which {what}"));
        }
    }
    if entries.is_empty() && larger == Larger::Better {
        notes.push(
            "rates are better the larger: `drbench run --suite slowdown` has them".to_owned(),
        );
    }
    runs.refuse_nothing(entries.len(), &notes)?;
    notes.extend(notes::rounded(values.iter()));
    Ok(Exported { text: json::file(&Json::Array(entries)), notes })
}

fn entry(name: &str, value: Value, record: &Record) -> Json {
    let crate::Subject { kernel, kernel_id, .. } = &record.subject;
    let mut entry = Object::default()
        .with_text("name", name)
        .with_text("unit", record.unit.as_str())
        .with("value", number(value))
        .with_text("extra", &format!("kernel {} ({})", tame(kernel), tame(kernel_id)));
    if let Some((low, high)) = interval(record) {
        entry = entry.with_text("range", &format!("95 %: {low} to {high}"));
    }
    entry.done()
}
