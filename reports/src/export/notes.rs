//! What a file does not hold, or not as it was: in sentences, for standard error.

use super::rows::value;
use crate::record::{Record, Status, Value};

/// What all have to be told whose numbers end up as `f64`.
///
/// Files have all digits of a count; but above 2^53 a reader rounds it.
pub fn rounded<'a>(values: impl Iterator<Item = &'a Value>) -> Option<String> {
    const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
    let beyond = values.filter(|value| value.as_count().is_some_and(|count| count > EXACT)).count();
    (beyond > 0).then(|| {
        format!(
            "counts above 2^53: {beyond}; the file has all their digits, but its readers keep numbers \
             as 64-bit floats and round them"
        )
    })
}

/// Rows without a value, where there is no other place for them.
pub fn left_out<'a>(records: impl Iterator<Item = &'a Record>) -> Option<String> {
    let statuses: Vec<Status> =
        records.filter(|record| value(record).is_none()).map(|record| record.status).collect();
    let mut parts = Vec::new();
    for status in Status::ALL.iter().rev() {
        let word = match status {
            Status::Ok => "no number (a verdict, a check)",
            status => status.as_str(),
        };
        match statuses.iter().filter(|other| *other == status).count() {
            0 => {}
            count => parts.push(format!("{count} {word}")),
        }
    }
    (!parts.is_empty()).then(|| {
        format!(
            "rows left out, which have no value that counts: {}; junit, ktap and kcidb hold them with \
             their reasons",
            parts.join(", ")
        )
    })
}
