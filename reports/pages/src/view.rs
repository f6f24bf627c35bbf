//! What all views share: rows, statuses and verdicts as pieces of a page, with their links.

use crate::block::{Bit, Block, Cell, Tone};
use crate::shelf::{Group, Shelf};
use crate::text;
use reports::figures::{Figure, Found, Gap};
use reports::record::{Record, Status};
use reports::table::{footnotes, lines};

/// The runs, as seen from one page.
#[derive(Clone, Copy)]
pub(crate) struct View<'s, 'a> {
    pub shelf: &'s Shelf<'a>,
    /// The way to the directory of all pages.
    pub root: &'s str,
}

/// How a status looks.
pub(crate) const fn tone(status: Status) -> Tone {
    match status {
        Status::Ok => Tone::Good,
        Status::Skipped => Tone::Faint,
        Status::Unconfirmed | Status::Unresolved => Tone::Doubtful,
        Status::Failed => Tone::Bad,
    }
}

/// A status as a badge.
pub(crate) fn status(status: Status) -> Bit {
    Bit::badge(status.as_str(), tone(status))
}

/// A policy by name: none is better than another, but a kernel that fits none is.
pub(crate) fn policy_tone(name: &str) -> Tone {
    match name {
        "always" => Tone::Policy("always"),
        "lazy" => Tone::Policy("lazy"),
        "never" => Tone::Policy("never"),
        "emulated" => Tone::Policy("emulated"),
        _ => Tone::Bad,
    }
}

/// A share of the rows that is told in full.
const MOST_TROUBLES: usize = 40;

impl View<'_, '_> {
    /// The address of a row.
    pub(crate) fn row(&self, record: &Record) -> String {
        self.shelf.row(self.root, record)
    }

    /// A row's value, or a dash with the reason.
    pub(crate) fn value(&self, record: &Record) -> Cell {
        let Some(value) = record.value else {
            return self.absent(record);
        };
        let bit = Bit::link(text::value(record, value), self.row(record));
        let bit = match record.status {
            Status::Ok | Status::Skipped => bit,
            other => bit.toned(tone(other)).labelled(format!("{value}, {other}")),
        };
        Cell::from(bit).sorted_by(value.as_f64())
    }

    /// A row without a value: a dash that says why.
    pub(crate) fn absent(&self, record: &Record) -> Cell {
        let reason = format!("{}: {}", record.status, text::shown(&record.reason));
        let dash = match record.status {
            Status::Skipped => Bit::faint(reports::table::NOTHING),
            other => Bit::text(other.as_str()).toned(tone(other)),
        };
        Cell::from(dash.to(self.row(record)).labelled(reason))
    }

    /// The same where there may be no such row.
    pub(crate) fn value_of(&self, record: Option<&Record>) -> Cell {
        record.map_or_else(|| Cell::nothing(""), |record| self.value(record))
    }

    /// What the model says of a row.
    pub(crate) fn predicted(&self, record: Option<&Record>) -> Cell {
        match record.and_then(|record| Some((record, record.predicted?))) {
            Some((record, value)) => {
                let bit = Bit::link(value.to_string(), self.row(record)).toned(Tone::Faint);
                Cell::from(bit).sorted_by(value.as_f64())
            }
            None => Cell::nothing("no prediction"),
        }
    }

    /// A figure, or why there is none.
    pub(crate) fn figure(&self, figure: &Figure<'_>) -> Cell {
        match figure {
            Ok(Found { value, row }) => {
                let shown = if row.deterministic || row.key.target.machine.is_emulated() {
                    text::number_exactly(*value)
                } else {
                    text::number(*value)
                };
                Cell::from(Bit::link(shown, self.row(row))).sorted_by(*value)
            }
            Err(Gap::Nothing) => Cell::nothing("not measured"),
            Err(Gap::Row(row)) => self.absent(row),
        }
    }

    /// A verdict as a badge; none was given if there is no row of it.
    pub(crate) fn verdict(&self, record: Option<&Record>) -> Bit {
        let Some(record) = record else {
            return Bit::faint("no verdict");
        };
        let name = text::name(record.verdict().unwrap_or_default());
        let tone = match record.status {
            Status::Ok => policy_tone(&name),
            other => tone(other),
        };
        let bit = Bit::badge(name.clone(), tone).to(self.row(record));
        if record.reason == name { bit } else { bit.labelled(text::shown(&record.reason)) }
    }
}

/// How the rows of a group ended, the gravest first: `3 failed, 61 ok`.
pub(crate) fn outcome(group: &Group<'_>) -> Cell {
    let mut bits = Vec::new();
    for one in [Status::Failed, Status::Unresolved, Status::Unconfirmed, Status::Ok] {
        let rows = group.ended(one);
        if rows > 0 {
            bits.extend([Bit::badge(format!("{rows} {one}"), tone(one)), Bit::text(" ")]);
        }
    }
    let skipped = group.ended(Status::Skipped);
    if skipped > 0 {
        bits.push(Bit::faint(format!("{skipped} skipped")));
    }
    Cell::of(bits)
}

/// Why rows are not ok, the gravest first; with how many more there are.
pub(crate) fn troubles(records: &[&Record], least: Status) -> Vec<(Status, String)> {
    let mut troubles = lines(records, least);
    let more = troubles.len().saturating_sub(MOST_TROUBLES);
    troubles.truncate(MOST_TROUBLES);
    let mut told: Vec<_> =
        troubles.into_iter().map(|(status, line)| (status, text::shown(&line))).collect();
    if more > 0 {
        told.push((Status::Skipped, format!("and {more} more reasons: see the rows")));
    }
    told
}

/// What must be said of figures, where they could be taken for something else.
pub(crate) fn notes<'g>(groups: impl Iterator<Item = &'g Group<'g>>) -> Vec<Block> {
    let notes = footnotes(groups.map(|group| group.target));
    notes.into_iter().map(|note| Block::note(Tone::Plain, note)).collect()
}
