//! The table of the cost suite: what each thing costs, and how well that explains the cells.

use super::notes::{notes, tone};
use super::policy::footnotes;
use super::resolution::unresolved;
use super::section::{Section, sections};
use super::{Align, Grid, NOTHING, Style, Tone, paragraph};
use crate::record::{Metric, Record};

/// The suite whose rows the table shows.
pub const COST_SUITE: &str = "cost";

/// The table of the cost suite: a section per kernel and target. `meaning`: a price's name in words.
pub fn cost_table(
    records: &[Record],
    meaning: &dyn Fn(&str) -> Option<&'static str>,
    style: Style,
) -> String {
    let sections = sections(records, COST_SUITE);
    if sections.is_empty() {
        return format!("There are no results of the suite `{COST_SUITE}`.\n");
    }
    let mut text = String::new();
    for one in &sections {
        text.push_str(&one.costs(meaning, style));
        text.push('\n');
    }
    let shown = sections.iter().flat_map(|section| section.records.iter().copied());
    if let Some(noise) = unresolved(shown) {
        text.push_str(&paragraph(style, &noise, Tone::Doubtful));
    }
    for footnote in footnotes(sections.iter().map(|one| one.target)) {
        text.push_str(&paragraph(style, footnote, Tone::Normal));
    }
    text
}

impl Section<'_> {
    fn costs(&self, meaning: &dyn Fn(&str) -> Option<&'static str>, style: Style) -> String {
        let mut text = self.heading(style);
        let rows = &self.records;
        let prices: Vec<_> = rows.iter().filter_map(|row| Some((price(row)?, *row))).collect();
        if let Some((_, first)) = prices.first() {
            let unit = first.unit.to_string();
            let columns = [
                ("what", Align::Left),
                (unit.as_str(), Align::Right),
                ("cells", Align::Right),
                ("", Align::Left),
            ];
            let mut grid = Grid::new(style, &columns);
            for (name, row) in &prices {
                let value = row.value.map_or_else(|| NOTHING.to_owned(), |v| v.to_string());
                let cells = row.samples.to_string();
                let fast = if is_fast_path(rows, name) { ", here a fast path" } else { "" };
                let meaning = format!("{}{fast}", meaning(name).unwrap_or_default());
                let texts = [*name, &value, &cells, &meaning];
                grid.row(texts.map(|text| (text, Tone::Normal)));
            }
            text.push('\n');
            text.push_str(&grid.render());
        }
        for (half, row) in rows.iter().filter_map(|row| Some((half(row)?, *row))) {
            let Some(worst) = row.value else { continue };
            let (cells, percent) = (row.samples, worst.as_f64() * 100.0);
            let line = format!("{half}: {cells} cells, at worst {percent:.3} % off");
            text.push_str(&paragraph(style, &line, tone(row.status)));
        }
        text.push_str(&notes(style, rows));
        text
    }
}

fn price(row: &Record) -> Option<&str> {
    match &row.key.metric {
        Metric::Cost(name) => Some(name.as_str()),
        _ => None,
    }
}

/// Whether the probe of the kind of exit that this price is of found a fast path.
pub fn is_fast_path(rows: &[&Record], price: &str) -> bool {
    let kind = price.strip_prefix("exit-");
    let found = |row: &&&Record| match &row.key.metric {
        Metric::Fastpath(probed) => Some(probed.as_str()) == kind,
        _ => false,
    };
    rows.iter().find(found).is_some_and(|row| row.value == Some(1.into()))
}

fn half(row: &Record) -> Option<&str> {
    match &row.key.metric {
        Metric::Residual(name) => Some(name.as_str()),
        _ => None,
    }
}
