//! Where a guest loses how much of its time: curves by switches per second, the rates at which they
//! cross 1, 10 and 40 %, and for one pattern the surface over other exits.

use crate::PagesError;
use crate::block::{Bit, Block, Cell, Column, Page, Picture, Table};
use crate::plot::{Across, Line, Plot};
use crate::shelf::Group;
use crate::sorted::{numbers, sorted};
use crate::text;
use crate::view::{View, notes};
use reports::record::{Metric, Record, Source};
use reports::table::{SLOWDOWN_SUITE, basis};
use std::collections::HashMap;

/// Shares of the guest's time, as the rows name them.
const CROSSINGS: [&str; 4] = ["1", "10", "40", "full"];

/// Policies whose lines have the colours of their badges.
const COLOURED: [&str; 3] = ["lazy", "always", "never"];

/// A pattern under a policy.
type Curve<'a> = (&'a str, &'a str);

/// The rows of one group by what they are about.
struct Rows<'a> {
    /// Patterns and their accesses, the fewest first.
    patterns: Vec<(&'a str, u64)>,
    policies: Vec<&'a str>,
    /// By pattern, whether another exit is after each switch, and metric.
    found: HashMap<String, &'a Record>,
    /// Switches per second at which shares are told, and other exits.
    rates: Vec<u64>,
    exits: Vec<u64>,
}

impl<'a> Rows<'a> {
    fn of(group: &Group<'a>) -> Self {
        let mut rows = Self {
            patterns: Vec::new(),
            policies: Vec::new(),
            found: HashMap::new(),
            rates: Vec::new(),
            exits: Vec::new(),
        };
        for row in &group.rows {
            rows.add(row);
        }
        rows.patterns = sorted(&rows.patterns, &|one, other| one.1.cmp(&other.1));
        rows.rates = numbers(&mut rows.rates.iter().copied());
        rows.exits = numbers(&mut rows.exits.iter().copied());
        rows
    }

    fn add(&mut self, row: &'a Record) {
        let cell = &row.key.cell;
        match &row.key.metric {
            Metric::Lost(policy) => {
                let pattern = (cell.workload.as_str(), cell.accesses);
                if !self.patterns.contains(&pattern) {
                    self.patterns.push(pattern);
                }
                if !self.policies.contains(&policy.as_str()) {
                    self.policies.push(policy.as_str());
                }
            }
            Metric::ShareLostAt(at) => {
                let mut parts = at.as_str().split(':').skip(1).map(str::parse::<u64>);
                self.rates.extend(parts.next().and_then(Result::ok));
                self.exits.extend(parts.next().and_then(Result::ok));
            }
            Metric::Crossing(_) => {}
            _ => return,
        }
        let interposed = cell.exits_every != 0;
        let key = key(cell.workload.as_str(), interposed, &row.key.metric.to_string());
        self.found.insert(key, row);
    }

    fn get(&self, pattern: &str, interposed: bool, metric: &str) -> Option<&'a Record> {
        self.found.get(&key(pattern, interposed, metric)).copied()
    }

    /// What a switch loses.
    fn lost(&self, (pattern, policy): Curve<'_>) -> Option<&'a Record> {
        let metric = format!("lost:{policy}");
        self.get(pattern, true, &metric).or_else(|| self.get(pattern, false, &metric))
    }

    fn share(
        &self,
        interposed: bool,
        (pattern, policy): Curve<'_>,
        rate: u64,
    ) -> Option<&'a Record> {
        self.get(pattern, interposed, &format!("share_lost:{policy}:{rate}"))
    }

    /// A policy's name, with a star where the loss was not measured.
    fn policy(&self, curve: Curve<'_>) -> String {
        let is_model = self.lost(curve).is_some_and(|row| row.key.source == Source::Model);
        format!("{}{}", curve.1, if is_model { "*" } else { "" })
    }
}

fn key(pattern: &str, interposed: bool, metric: &str) -> String {
    format!("{pattern} {interposed} {metric}")
}

/// The page of the newest measurements.
pub(crate) fn page(view: View<'_, '_>) -> Result<Page, PagesError> {
    let mut page = Page::new("slowdown.html", "Slowdown");
    let groups = view.shelf.newest(SLOWDOWN_SUITE);
    page.blocks.push(Block::paragraph(
        "How much of a guest's time is lost by the switches that it makes in a second, under each \
         policy: the newest measurement of every kernel and machine.",
    ));
    page.blocks.extend(notes(groups.iter().copied()));
    if groups.is_empty() {
        page.blocks.push(crate::absent(SLOWDOWN_SUITE));
    }
    for group in &groups {
        page.blocks.push(crate::group_heading(view, group));
        page.blocks.extend(section(view, group)?);
    }
    Ok(page)
}

/// All of one group.
#[allow(clippy::cast_precision_loss)] // rates are far below 2^53
pub(crate) fn section(view: View<'_, '_>, group: &Group<'_>) -> Result<Vec<Block>, PagesError> {
    let rows = Rows::of(group);
    // Above the charts: there stands what their stars mean.
    let basis = basis(&group.rows);
    let mut blocks =
        vec![Block::List(basis.iter().map(|line| vec![Bit::text(text::shown(line))]).collect())];
    for (interposed, title) in
        [(true, "with one other exit, CPUID, after every switch"), (false, "without other exits")]
    {
        let table = crossings(view, &rows, interposed, title).of(&group.title());
        let charts = charts(view, group, &rows, interposed, title)?;
        let shown = [Block::Beside(charts), Block::Table(table)];
        if interposed {
            blocks.extend(shown);
        } else {
            blocks.push(Block::fold("The same without other exits", shown.into()));
        }
    }
    blocks.extend(surface(view, &rows, &group.title()));
    Ok(blocks)
}

/// One small chart for each pattern.
#[allow(clippy::cast_precision_loss)] // rates are far below 2^53
fn charts(
    view: View<'_, '_>,
    group: &Group<'_>,
    rows: &Rows<'_>,
    interposed: bool,
    title: &str,
) -> Result<Vec<Block>, PagesError> {
    let mut charts = Vec::new();
    let of = format!("{}, {title}", group.title());
    for (pattern, accesses) in &rows.patterns {
        let mut lines = Vec::new();
        for policy in &rows.policies {
            let point = |rate: &u64| {
                let row = rows.share(interposed, (pattern, policy), *rate)?;
                Some((*rate as f64, row.value?.as_f64(), false))
            };
            let points: Vec<_> = rows.rates.iter().map(point).collect();
            if points.iter().any(Option::is_some) {
                lines.push(Line {
                    name: rows.policy((pattern, policy)),
                    colour: COLOURED.iter().position(|known| known == policy),
                    points,
                });
            }
        }
        let number = charts.len();
        let plot = Plot {
            id: format!("s{}-{}-{}-{number}", group.run, group.number, u8::from(interposed)),
            title: format!("{pattern}: time lost by switches per second, {}", group.title()),
            about: format!(
                "{title}. One line for each of {}. The table below has the figures.",
                rows.policies.join(", ")
            ),
            across: Across::Log("switches per second"),
            up: "of the CPU's time lost".to_owned(),
            is_share: true,
            lines,
            is_narrow: true,
        };
        charts.push(Block::Picture(Picture {
            caption: format!("{pattern}, {}", accesses_text(*accesses)),
            of: of.clone(),
            svg: plot.svg()?,
            table: Some(shares(view, rows, interposed, pattern).of(&of)),
        }));
    }
    Ok(charts)
}

fn accesses_text(accesses: u64) -> String {
    let plural = if accesses == 1 { "" } else { "es" };
    format!("{accesses} access{plural} per switch")
}

/// The figures of one chart.
fn shares(view: View<'_, '_>, rows: &Rows<'_>, interposed: bool, pattern: &str) -> Table {
    let mut columns = Column::all(&["#switches/s"]);
    let policies = rows.policies.iter().map(|policy| rows.policy((pattern, policy)));
    columns.extend(policies.map(|policy| Column::numbers(format!("{policy} %"))));
    let mut table = Table::new(format!("{pattern}: % of time lost"), columns);
    for rate in &rows.rates {
        let mut cells = vec![Cell::text(rate.to_string())];
        for policy in &rows.policies {
            cells.push(share(view, rows.share(interposed, (pattern, policy), *rate)));
        }
        table.push(cells);
    }
    table
}

/// A share as percent.
fn share(view: View<'_, '_>, row: Option<&Record>) -> Cell {
    match row.and_then(|row| Some((row, row.value?.as_f64()))) {
        Some((row, share)) => {
            Cell::from(Bit::link(text::percent(share), view.row(row))).sorted_by(share)
        }
        None => view.value_of(row),
    }
}

/// The rates at which every pattern and policy loses that much.
fn crossings(view: View<'_, '_>, rows: &Rows<'_>, interposed: bool, title: &str) -> Table {
    let unit = rows.found.values().find(|row| matches!(row.key.metric, Metric::Lost(_)));
    let unit = unit.map_or("", |row| text::short(row.unit));
    let mut columns = Column::all(&["pattern", "policy", "#accesses"]);
    // What a switch loses is measured with other exits: without them it is the same.
    if interposed {
        columns.push(Column::numbers(format!("{unit} lost/switch")));
    }
    let first = columns.len();
    columns.extend(["1 %", "10 %", "40 %", "CPU full"].map(Column::numbers));
    let caption = format!("Switches per second that lose time, {title}");
    let mut table = Table::new(caption, columns)
        .grouped(&[("", first), ("fewest switches per second that lose", 3)])
        .headed(2)
        .tool();
    for (pattern, accesses) in &rows.patterns {
        for policy in &rows.policies {
            let curve = (*pattern, *policy);
            let Some(lost) = rows.lost(curve) else { continue };
            let mut cells = vec![
                Cell::text(*pattern),
                Bit::badge(rows.policy(curve), crate::view::policy_tone(policy)).into(),
                Cell::text(accesses.to_string()),
            ];
            cells.extend(interposed.then(|| view.value(lost)));
            for at in CROSSINGS {
                let metric = format!("crossing:{policy}:{at}");
                cells.push(view.value_of(rows.get(pattern, interposed, &metric)));
            }
            table.push(cells);
        }
    }
    table
}

/// Of the pattern with the most accesses: % lost by switches and by other exits.
fn surface(view: View<'_, '_>, rows: &Rows<'_>, of: &str) -> Option<Block> {
    let (pattern, _) = rows.patterns.last()?;
    if rows.exits.is_empty() {
        return None;
    }
    let at = |curve: Curve<'_>, rate: u64, exits: u64| {
        rows.get(curve.0, false, &format!("share_lost:{}:{rate}:{exits}", curve.1))
    };
    let is_told = |rate: &u64| {
        let told = |policy: &&str| at((*pattern, *policy), *rate, rows.exits[0]).is_some();
        rows.policies.iter().any(told)
    };
    let rates: Vec<u64> = rows.rates.iter().copied().filter(is_told).collect();
    let mut columns = Column::all(&["policy", "#other exits/s"]);
    columns.extend(rates.iter().map(|rate| Column::numbers(rate.to_string())));
    let caption = format!("{pattern}: % of time lost, by switches and other exits per second");
    let mut table = Table::new(caption, columns)
        .of(of)
        .grouped(&[("", 2), ("switches per second", rates.len())])
        .headed(2);
    for policy in &rows.policies {
        let curve = (*pattern, *policy);
        // Without other exits the rows have no number of them.
        for exits in [0].iter().chain(&rows.exits) {
            let row = |rate: &u64| match exits {
                0 => rows.share(false, curve, *rate),
                _ => at(curve, *rate, *exits),
            };
            let mut cells = vec![Cell::text(rows.policy(curve)), Cell::text(exits.to_string())];
            cells.extend(rates.iter().map(|rate| {
                let row = row(rate);
                let heat = row.and_then(|row| row.value).map_or("", |v| heat(v.as_f64()));
                share(view, row).with_class(heat)
            }));
            table.push(cells);
        }
    }
    Some(Block::Table(table))
}

/// The style sheet's class for a share lost.
const fn heat(share: f64) -> &'static str {
    match share {
        0.4.. => "h4",
        0.1.. => "h3",
        0.01.. => "h2",
        0.001.. => "h1",
        _ => "",
    }
}
