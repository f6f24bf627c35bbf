//! The table of the suite that plays a record: what its load loses on each CPU.

use super::notes::{notes, tone};
use super::policy::footnotes;
use super::section::{Section, sections};
use super::{Align, Grid, NOTHING, Style, Tone, paragraph};
use crate::record::{Cell, Metric, Record, Status, Unit};

/// The suite whose rows the table shows.
pub const TRACE_SUITE: &str = "trace";

/// How to read the columns.
const LEGEND: &str = "Exits are shown as measured/predicted; per second: \
                      of the record, of one CPU.";

/// The table of the suite `trace`: a section per kernel and target, a line per CPU of the record and
/// policy asked for. `load`: what is played, in sentences.
pub fn trace_table(records: &[Record], load: &str, style: Style) -> String {
    let sections = sections(records, TRACE_SUITE);
    if sections.is_empty() {
        return format!("There are no results of the suite `{TRACE_SUITE}`.\n");
    }
    let mut text = String::new();
    for one in &sections {
        text.push_str(&one.played(style));
        text.push('\n');
    }
    for sentences in [load, LEGEND] {
        text.push_str(&paragraph(style, sentences, Tone::Normal));
    }
    for footnote in footnotes(sections.iter().map(|one| one.target)) {
        text.push_str(&paragraph(style, footnote, Tone::Normal));
    }
    text
}

impl Section<'_> {
    fn played(&self, style: Style) -> String {
        let mut text = self.heading(style);
        let lost = self.records.iter().find(|row| row.key.metric == Metric::LostPerSecond);
        let [taken, lost] = match lost.map(|row| row.unit) {
            Some(Unit::Ns) => ["ns taken/\nsecond", "ns lost/\nsecond"],
            _ => ["instr. taken/\nsecond", "instr. lost/\nsecond"],
        };
        let columns = [
            ("CPU", Align::Left),
            ("policy\nasked", Align::Left),
            ("switches played/\nrecorded", Align::Right),
            ("DR\naccesses", Align::Right),
            ("DR exits/\npredicted", Align::Right),
            ("other\nexits", Align::Right),
            (taken, Align::Right),
            (lost, Align::Right),
            ("status", Align::Left),
        ];
        let mut grid = Grid::new(style, &columns);
        let played = self.records.iter().filter(|row| row.key.metric == Metric::PlayedSwitches);
        for cell in played.map(|row| &row.key.cell) {
            let (texts, status) = self.line(cell);
            let mut cells: Vec<_> = texts.iter().map(|t| (t.as_str(), Tone::Normal)).collect();
            cells.push((status.as_str(), tone(status)));
            grid.row(cells);
        }
        text.push('\n');
        text.push_str(&grid.render());
        text.push_str(&notes(style, &self.records));
        text
    }

    /// One CPU under one policy, and the gravest of its statuses.
    fn line(&self, cell: &Cell) -> ([String; 8], Status) {
        let own = || self.records.iter().filter(|row| *row.key.cell == *cell);
        let value = |metric: Metric| own().find(|row| row.key.metric == metric);
        let shown = |row: Option<&&Record>| {
            row.and_then(|row| row.value).map_or_else(|| NOTHING.to_owned(), |v| v.to_string())
        };
        let beside = |metric: Metric| {
            let row = value(metric);
            let predicted = row.and_then(|row| row.predicted);
            match predicted {
                Some(predicted) => format!("{}/{predicted}", shown(row)),
                None => shown(row),
            }
        };
        let workload = cell.workload.as_str();
        let control = format!("{workload}.control");
        let taken = self.records.iter().find(|row| {
            let other = &row.key.cell;
            row.key.metric == Metric::TakenPerSecond
                && other.policy == cell.policy
                && other.workload.as_str() == control
        });
        let whole = |row: Option<&&Record>| {
            let value = row.and_then(|row| row.value);
            value.map_or_else(|| NOTHING.to_owned(), |value| format!("{:.0}", value.as_f64()))
        };
        let cpu = workload.rsplit('.').next().unwrap_or(workload);
        let texts = [
            cpu.strip_prefix("cpu").unwrap_or(cpu).to_owned(),
            cell.policy.to_string(),
            beside(Metric::PlayedSwitches),
            cell.accesses.to_string(),
            beside(Metric::DrExits),
            shown(value(Metric::InterposedExits)),
            whole(taken),
            whole(value(Metric::LostPerSecond)),
        ];
        let status = own().map(|row| row.status).max().unwrap_or(Status::Skipped);
        (texts, status)
    }
}
