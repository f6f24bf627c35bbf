//! The policy table: per kernel and target, what each cell gave beside what the model says.

use super::notes::{notes, tone};
use super::resolution::unresolved;
use super::section::{Section, sections};
use super::{Align, Grid, NOTHING, Style, Tone, paragraph};
use crate::figures::lacks_decode_assists;
use crate::record::{Cell, Metric, Record, Status, Target, Unit};
use std::collections::HashMap;
use std::fmt::Write;

/// The suite whose rows the table shows.
pub const POLICY_SUITE: &str = "policy";

/// The costs, the first that was measured is shown.
const COSTS: [(Metric, &str); 3] = [
    (Metric::Instructions, "instr./\nswitch"),
    (Metric::Ns, "ns/\nswitch"),
    (Metric::GuestCycles, "cycles/\nswitch"),
];

/// What is special about AMD in the lab.
pub(super) const NO_ASSISTS: &str =
    "AMD in the lab: without decode assists, through the instruction emulator.";

/// How to read the columns.
const LEGEND: &str = "a: accesses per switch. S: switches. cpuid/10: such an exit after every 10th \
                      switch. Exits are shown as measured/predicted; async: exits that are not the \
                      guest's doing.";

/// Rows of one cell.
pub struct Row<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// Its rows.
    pub records: Vec<&'a Record>,
}

/// The table of the policy suite: a section per kernel and target, failures in full sentences
/// below, then what the figures are. At most [`WIDTH`](super::WIDTH) columns wide.
pub fn policy_table(records: &[Record], style: Style) -> String {
    let sections = sections(records, POLICY_SUITE);
    if sections.is_empty() {
        return format!("There are no results of the suite `{POLICY_SUITE}`.\n");
    }
    let mut text = String::new();
    for section in &sections {
        text.push_str(&section.render(style));
        text.push('\n');
    }
    text.push_str(&paragraph(style, LEGEND, Tone::Normal));
    let shown = sections.iter().flat_map(|section| section.records.iter().copied());
    if let Some(noise) = unresolved(shown) {
        text.push_str(&paragraph(style, &noise, Tone::Doubtful));
    }
    for footnote in footnotes(sections.iter().map(|section| section.target)) {
        text.push_str(&paragraph(style, footnote, Tone::Normal));
    }
    text
}

impl Section<'_> {
    fn render(&self, style: Style) -> String {
        let mut text = self.heading(style);
        let rows = rows(&self.records);
        if !rows.is_empty() {
            text.push('\n');
            text.push_str(&self.grid(style, &rows).render());
        }
        text.push_str(&notes(style, &self.records));
        text
    }

    fn grid(&self, style: Style, rows: &[Row<'_>]) -> Grid {
        let cost = cost(&self.records);
        let mut columns = vec![
            ("\nworkload", Align::Left),
            ("\na", Align::Right),
            ("interposed/\nevery", Align::Left),
            ("policy\nasked", Align::Left),
            ("\nS", Align::Right),
            ("DR exits/\npredicted", Align::Right),
            ("all exits/\npredicted", Align::Right),
            ("\nasync", Align::Right),
        ];
        columns.extend(cost.map(|(_, title)| (*title, Align::Right)));
        columns.push(("\nstatus", Align::Left));
        let mut grid = Grid::new(style, &columns);
        for row in rows {
            row.add_to(&mut grid, cost.map(|(metric, _)| metric));
        }
        grid
    }
}

/// The first of the costs that was measured, and its title.
pub fn cost(records: &[&Record]) -> Option<&'static (Metric, &'static str)> {
    COSTS.iter().find(|(metric, _)| {
        let measured = |record: &&Record| record.key.metric == *metric && record.value.is_some();
        records.iter().any(measured)
    })
}

/// The cells in which anything was counted, by what was asked, then by what was placed
/// in the loop, the control first.
pub fn rows<'a>(records: &[&'a Record]) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut index = HashMap::new();
    for record in records {
        let cell = &record.key.cell;
        if !is_shown(&record.key.metric) {
            continue;
        }
        let at = *index.entry(cell).or_insert(rows.len());
        if at == rows.len() {
            rows.push(Row { cell, records: Vec::new() });
        }
        rows[at].records.push(record);
    }
    rows.sort_by_key(|row| {
        let Cell { policy, interposed, exits_every, accesses, .. } = row.cell;
        (*policy, *exits_every != 0, interposed, *exits_every, *accesses)
    });
    rows
}

impl<'a> Row<'a> {
    fn add_to(&self, grid: &mut Grid, cost: Option<&Metric>) {
        let mut texts = vec![
            self.label(),
            self.cell.accesses.to_string(),
            self.cell.interposed_exits(),
            self.cell.policy.to_string(),
            self.cell.switches.to_string(),
            self.beside(&Metric::DrExits),
            self.beside(&Metric::Exits),
            self.value(&Metric::AsyncExits),
        ];
        texts.extend(cost.map(|metric| self.value(metric)));
        let status = self.status();
        let mut cells: Vec<_> = texts.iter().map(|text| (text.as_str(), Tone::Normal)).collect();
        cells.push((status.as_str(), tone(status)));
        grid.row(cells);
    }

    /// Its name beside the columns that tell the rest.
    pub fn label(&self) -> String {
        let mut label = self.cell.workload.to_string();
        if self.cell.armed {
            label.push_str(" armed");
        }
        if self.cell.vcpus != 1 {
            let _ = write!(label, " ×{}", self.cell.vcpus); // writing to a String never fails
        }
        label
    }

    /// The row of a metric; with several sources, the first that has a value.
    pub fn of(&self, metric: &Metric) -> Option<&'a Record> {
        self.records
            .iter()
            .filter(|record| record.key.metric == *metric)
            .min_by_key(|record| (record.value.is_none(), record.key.source))
            .copied()
    }

    fn value(&self, metric: &Metric) -> String {
        shown(self.of(metric).and_then(|record| record.value.map(|value| (value, record.unit))))
    }

    /// Measured beside predicted.
    fn beside(&self, metric: &Metric) -> String {
        let Some(record) = self.of(metric) else {
            return NOTHING.to_owned();
        };
        if record.value.or(record.predicted).is_none() {
            return NOTHING.to_owned();
        }
        let measured = shown(record.value.map(|value| (value, record.unit)));
        let predicted = shown(record.predicted.map(|value| (value, record.unit)));
        format!("{measured}/{predicted}")
    }

    /// The gravest status; a metric that cannot be had here does not spoil the others.
    pub fn status(&self) -> Status {
        let had = self.records.iter().map(|record| record.status);
        had.clone().filter(|status| *status != Status::Skipped).max().unwrap_or(Status::Skipped)
    }
}

/// A value as people read it: counts whole, costs with one decimal.
fn shown(value: Option<(crate::Value, Unit)>) -> String {
    match value {
        None => NOTHING.to_owned(),
        Some((value, Unit::Exits)) => value.to_string(),
        Some((value, _)) => format!("{:.1}", value.as_f64()),
    }
}

const fn is_shown(metric: &Metric) -> bool {
    !matches!(metric, Metric::Verdict | Metric::Check(_) | Metric::Fastpath(_))
}

/// What the figures are, where they could be taken for something else.
pub fn footnotes<'a>(targets: impl Iterator<Item = &'a Target>) -> Vec<&'static str> {
    let (mut is_lab, mut no_assists) = (false, false);
    for target in targets {
        is_lab |= target.machine.is_emulated();
        no_assists |= lacks_decode_assists(target);
    }
    let table: [(bool, &str); 2] = [
        (is_lab, "Lab figures are instructions, guest and host kernel together, not cycles."),
        (no_assists, NO_ASSISTS),
    ];
    table.into_iter().filter_map(|(applies, text)| applies.then_some(text)).collect()
}
