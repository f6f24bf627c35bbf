//! Why rows are not ok, in full sentences.

use super::{Style, Tone, paragraph};
use crate::record::{Record, Status};
use std::collections::HashSet;

/// How a status is shown.
pub(super) const fn tone(status: Status) -> Tone {
    match status {
        Status::Ok => Tone::Good,
        Status::Skipped => Tone::Normal,
        Status::Unconfirmed | Status::Unresolved => Tone::Doubtful,
        Status::Failed => Tone::Bad,
    }
}

/// Every row that is not ok, with its reason; rows of the same reason together.
pub(super) fn notes(style: Style, records: &[&Record]) -> String {
    let mut text = String::new();
    for (status, line) in lines(records, Status::Skipped) {
        text.push('\n');
        text.push_str(&paragraph(style, &line, tone(status)));
    }
    text
}

/// A line for each reason why rows are `least` or worse, the gravest first.
pub fn lines(records: &[&Record], least: Status) -> Vec<(Status, String)> {
    let mut notes: Vec<(Status, &str, Vec<&Record>)> = Vec::new();
    for record in records {
        if record.status < least || record.verdict().is_some() {
            continue;
        }
        let same = |note: &&mut (Status, &str, Vec<&Record>)| {
            (note.0, note.1) == (record.status, &record.reason)
        };
        match notes.iter_mut().find(same) {
            Some(note) => note.2.push(record),
            None => notes.push((record.status, &record.reason, vec![record])),
        }
    }
    notes.sort_by_key(|(status, ..)| std::cmp::Reverse(*status));
    let line = |(status, reason, records): (Status, &str, Vec<&Record>)| {
        (status, format!("{status}: {}: {reason}", places(status, &records)))
    };
    notes.into_iter().map(line).collect()
}

/// Which rows a note is about: the metrics, and the cells if they are few. Where somebody should
/// look (unresolved, failed), at least the first are named.
fn places(status: Status, records: &[&Record]) -> String {
    const MOST: usize = 2;
    let metrics = distinct(records.iter().map(|record| record.key.metric.to_string()));
    let cells = distinct(records.iter().map(|record| record.key.cell.within_suite()));
    if status < Status::Unresolved && cells.len() > MOST {
        return format!("{} of {} cells", metrics.join(", "), cells.len());
    }
    let named = &cells[..cells.len().min(MOST)];
    let more = match cells.len() - named.len() {
        0 => String::new(),
        more => format!("; and {more} more cells"),
    };
    format!("{} of {}{more}", metrics.join(", "), named.join("; "))
}

/// Each text once, in the order of its first appearance.
pub(super) fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    texts.filter(|text| seen.insert(text.clone())).collect()
}
