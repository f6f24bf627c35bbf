//! The table of the cost suite: what each thing costs, and how well that explains the cells.

use super::notes::notes;
use super::policy::{footnotes, sections, verdict_tone};
use super::{Align, Grid, NOTHING, Style, Tone, paragraph};
use crate::record::{Metric, Record, Status};

/// The suite whose rows the table shows.
pub const COST_SUITE: &str = "cost";

/// What a price is for, in words.
const MEANINGS: [(&str, &str); 14] = [
    ("dr-exit-lazy", "DR exit of a lazy kernel, the first after each full exit"),
    ("dr-exit-read", "MOV from a debug register, executed by KVM"),
    ("dr-exit-write-dr0-3", "MOV to DR0-3, executed by KVM"),
    ("dr-exit-write-dr6", "MOV to DR6, executed by KVM"),
    ("dr-exit-write-dr7", "MOV to DR7, executed by KVM"),
    ("emulated-prefix", "a REX prefix of such a MOV, where KVM's emulator executes it"),
    ("exit-cpuid", "interposed CPUID, debug registers clean"),
    ("exit-hypercall", "interposed hypercall"),
    ("exit-pio-user", "interposed OUT, to userspace and back"),
    ("exit-rdmsr", "interposed RDMSR"),
    ("exit-wrmsr", "interposed WRMSR"),
    ("dirty-sync", "a full exit with dirty debug registers: reading them back"),
    ("armed-entry", "an entry with a breakpoint enabled: loading the registers"),
    ("armed-access", "an access by KVM with a breakpoint enabled: asking if it is hit"),
];

/// The table of the cost suite: a section per kernel and target.
pub fn cost_table(records: &[Record], style: Style) -> String {
    let sections = sections(records, COST_SUITE);
    if sections.is_empty() {
        return format!("There are no results of the suite `{COST_SUITE}`.\n");
    }
    let mut text = String::new();
    for one in &sections {
        text.push_str(&section(&one.records, style));
        text.push('\n');
    }
    for footnote in footnotes(sections.iter().map(|one| one.target)) {
        text.push_str(&paragraph(style, footnote, Tone::Normal));
    }
    text
}

fn section(rows: &[&Record], style: Style) -> String {
    let heading = format!("{} · {}", rows[0].subject, rows[0].key.target);
    let mut text = paragraph(style, &heading, Tone::Strong);
    for verdict in rows.iter().filter(|row| row.verdict().is_some()) {
        let line = format!("verdict: {}", verdict.reason);
        text.push_str(&paragraph(style, &line, verdict_tone(verdict)));
    }
    let prices: Vec<_> = rows.iter().filter_map(|row| Some((price(row)?, *row))).collect();
    if !prices.is_empty() {
        let unit = prices[0].1.unit.to_string();
        let columns = [
            ("what", Align::Left),
            (unit.as_str(), Align::Right),
            ("cells", Align::Right),
            ("", Align::Left),
        ];
        let mut grid = Grid::new(style, &columns);
        for (name, row) in &prices {
            let known = MEANINGS.iter().find(|(known, _)| known == name);
            let value = row.value.map_or_else(|| NOTHING.to_owned(), |v| v.to_string());
            let cells = row.samples.to_string();
            let meaning = known.map_or("", |(_, meaning)| meaning);
            let texts = [name, value.as_str(), cells.as_str(), meaning];
            grid.row(texts.map(|text| (text, Tone::Normal)));
        }
        text.push('\n');
        text.push_str(&grid.render());
    }
    for (half, row) in rows.iter().filter_map(|row| Some((half(row)?, *row))) {
        let Some(worst) = row.value else { continue };
        let line = format!(
            "{half}: {} cells, {} parameters, at worst {:.3} % off",
            row.samples,
            prices.len(),
            worst.as_f64() * 100.0
        );
        let tone = if row.status == Status::Ok { Tone::Good } else { Tone::Bad };
        text.push_str(&paragraph(style, &line, tone));
    }
    text.push_str(&notes(style, rows));
    text
}

fn price(row: &Record) -> Option<&str> {
    match &row.key.metric {
        Metric::Cost(name) => Some(name.as_str()),
        _ => None,
    }
}

fn half(row: &Record) -> Option<&str> {
    match &row.key.metric {
        Metric::Residual(name) => Some(name.as_str()),
        _ => None,
    }
}
