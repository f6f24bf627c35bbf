//! What things cost: the fitted prices of every kernel beside each other, how well they explain the
//! cells, and the sweeps that they come from.

use crate::block::{Bit, Block, Cell, Column, Page, Picture, Table, Tone};
use crate::plot::{Across, Line, Plot};
use crate::shelf::Group;
use crate::sorted::numbers;
use crate::text;
use crate::view::{View, notes, status};
use crate::{Meaning, PagesError};
use reports::record::{Metric, Policy, Record};
use reports::table::{self, COST_SUITE};

/// The sweeps that are drawn: what was asked, and what is placed in the loop.
const SWEEPS: [(&str, Policy, &str, u64); 5] = [
    ("guest-debug", Policy::GuestDebug, "none", 0),
    ("CPUID each switch", Policy::Kernel, "cpuid", 1),
    ("CPUID every 2nd", Policy::Kernel, "cpuid", 2),
    ("CPUID every 4th", Policy::Kernel, "cpuid", 4),
    ("nothing else", Policy::Kernel, "none", 0),
];
/// The patterns of a sweep: so many accesses, the control without any.
const SWEPT: [&str; 2] = ["n:", "none"];

/// The page of the newest measurements.
pub(crate) fn page(view: View<'_, '_>, meaning: Meaning<'_>) -> Result<Page, PagesError> {
    let mut page = Page::new("costs.html", "Costs");
    let groups = view.shelf.newest(COST_SUITE);
    page.blocks.push(Block::paragraph(
        "What each thing costs, each time: prices fitted on half of many loops and tested on the other \
         half. The newest measurement of every kernel and machine.",
    ));
    page.blocks.extend(notes(groups.iter().copied()));
    if groups.is_empty() {
        page.blocks.push(crate::absent(COST_SUITE));
    }
    if groups.len() > 1 {
        page.blocks.push(Block::Table(beside(view, &groups, meaning)));
    }
    for group in &groups {
        page.blocks.push(crate::group_heading(view, group));
        page.blocks.extend(section(view, group, meaning)?);
    }
    Ok(page)
}

fn price(row: &Record) -> Option<&str> {
    match &row.key.metric {
        Metric::Cost(name) => Some(name.as_str()),
        _ => None,
    }
}

/// The prices of several kernels.
fn beside(view: View<'_, '_>, groups: &[&Group<'_>], meaning: Meaning<'_>) -> Table {
    let mut columns = Column::all(&["what", "that is"]);
    columns.extend(groups.iter().map(|group| {
        let unit = group.rows.iter().find(|row| price(row).is_some());
        let unit = unit.map_or("", |row| text::short(row.unit));
        let variant = text::name(&group.subject.variant);
        Column::numbers(format!("{} {variant}, {} ({unit})", group.kernel(), group.on()))
    }));
    let mut table = Table::new("Prices, kernel by kernel", columns).tool();
    let mut names: Vec<&str> = Vec::new();
    for name in groups.iter().flat_map(|group| group.rows.iter().filter_map(|row| price(row))) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let mut cells = vec![Cell::text(name), Cell::text(meaning(name).unwrap_or_default())];
        cells.extend(groups.iter().map(|group| {
            let row = group.rows.iter().find(|row| price(row) == Some(name));
            match row {
                Some(row) => view.value(row),
                None => Cell::nothing("no such price here"),
            }
        }));
        table.push(cells);
    }
    table
}

/// Prices, how far off they are at worst, and the sweep of one group.
pub(crate) fn section(
    view: View<'_, '_>,
    group: &Group<'_>,
    meaning: Meaning<'_>,
) -> Result<Vec<Block>, PagesError> {
    let mut blocks = Vec::new();
    let mut halves = Vec::new();
    for row in &group.rows {
        if let Metric::Residual(half) = &row.key.metric {
            halves.push(residual(view, half.as_str(), row));
        }
    }
    if !halves.is_empty() {
        blocks.push(Block::List(halves));
    }
    blocks.push(Block::Table(prices(view, group, meaning)));
    blocks.extend(sweep(view, group)?);
    Ok(blocks)
}

/// How well the prices explain the cells of one half.
fn residual(view: View<'_, '_>, half: &str, row: &Record) -> Vec<Bit> {
    let mut bits = vec![Bit::text(format!("{half}: {} cells, ", row.samples))];
    match row.value {
        Some(worst) => {
            let percent = format!("{:.3} %", worst.as_f64() * 100.0);
            bits.extend([Bit::text("at worst "), Bit::link(percent, view.row(row))]);
            bits.push(Bit::text(" off "));
        }
        None => bits.push(Bit::text(format!("not known: {} ", text::shown(&row.reason)))),
    }
    bits.push(status(row.status));
    bits
}

fn prices(view: View<'_, '_>, group: &Group<'_>, meaning: Meaning<'_>) -> Table {
    let rows: Vec<_> = group.rows.iter().filter_map(|row| Some((price(row)?, *row))).collect();
    let unit = rows.first().map_or("", |(_, row)| row.unit.as_str());
    let columns = vec![
        Column::words("what"),
        Column::numbers(unit),
        Column::numbers("interval"),
        Column::numbers("cells"),
        Column::words("that is"),
    ];
    let mut table = Table::new("Prices", columns).of(&group.title());
    for (name, row) in rows {
        let interval = row.ci_low.zip(row.ci_high).map(|(low, high)| {
            format!("{}–{}", text::number(low.as_f64()), text::number(high.as_f64()))
        });
        let mut meaning = vec![Bit::text(meaning(name).unwrap_or_default())];
        if table::is_fast_path(&group.rows, name) {
            meaning.push(Bit::badge("here a fast path", Tone::Strong));
        }
        table.push(vec![
            Cell::text(name),
            view.value(row),
            interval.map_or_else(|| Cell::nothing("exact"), Cell::text),
            Cell::text(row.samples.to_string()),
            Cell::of(meaning),
        ]);
    }
    table
}

/// The cost of a switch by its accesses.
fn sweep(view: View<'_, '_>, group: &Group<'_>) -> Result<Option<Block>, PagesError> {
    let Some((metric, _)) = table::cost(&group.rows) else { return Ok(None) };
    let mut found: Vec<((u64, usize), &Record)> = Vec::new();
    for row in group.rows.iter().filter(|row| row.key.metric == *metric && row.value.is_some()) {
        let cell = &row.key.cell;
        let kind = (cell.policy, cell.interposed.as_str(), cell.exits_every);
        let line =
            SWEEPS.iter().position(|(_, policy, other, every)| kind == (*policy, other, *every));
        let is_swept = SWEPT.iter().any(|start| cell.workload.as_str().starts_with(start));
        if let (Some(line), true, false, 1) = (line, is_swept, cell.armed, cell.vcpus) {
            found.push(((cell.accesses, line), row));
        }
    }
    let accesses = numbers(&mut found.iter().map(|((accesses, _), _)| *accesses));
    if accesses.len() < 2 {
        return Ok(None);
    }
    let unit = text::short(metric.unit());
    let mut columns = Column::all(&["#accesses"]);
    columns.extend(SWEEPS.map(|(name, ..)| Column::numbers(name)));
    let mut table =
        Table::new(format!("{unit} of a switch, by accesses"), columns).of(&group.title());
    for count in &accesses {
        let mut cells = vec![Cell::text(count.to_string())];
        cells.extend((0..SWEEPS.len()).map(|line| view.value_of(swept(&found, *count, line))));
        table.push(cells);
    }
    let plot = Plot {
        id: format!("w{}-{}", group.run, group.number),
        title: format!(
            "What a switch costs, by its accesses to debug registers: {}",
            group.title()
        ),
        about: "The table below has the figures.".to_owned(),
        across: Across::Linear("accesses per switch"),
        up: format!("{unit} per switch"),
        is_share: false,
        lines: lines(&found, &accesses),
        is_narrow: false,
    };
    let caption = "A sweep over the accesses of a switch".to_owned();
    let (of, svg, table) = (group.title(), plot.svg()?, Some(table));
    Ok(Some(Block::Picture(Picture { caption, of, svg, table })))
}

/// The row of so many accesses on this line.
fn swept<'a>(found: &[((u64, usize), &'a Record)], count: u64, line: usize) -> Option<&'a Record> {
    found.iter().find(|(place, _)| *place == (count, line)).map(|(_, row)| *row)
}

#[allow(clippy::cast_precision_loss)] // accesses are few
fn lines(found: &[((u64, usize), &Record)], accesses: &[u64]) -> Vec<Line> {
    let line = |(number, (name, ..)): (usize, &(&str, Policy, &str, u64))| {
        let point = |count: &u64| {
            let value = swept(found, *count, number)?.value?.as_f64();
            Some((*count as f64, value, false))
        };
        Line {
            name: (*name).to_owned(),
            colour: None,
            points: accesses.iter().map(point).collect(),
        }
    };
    let lines = SWEEPS.iter().enumerate().map(line);
    lines.filter(|line| line.points.iter().any(Option::is_some)).collect()
}
