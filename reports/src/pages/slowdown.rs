//! Where a guest loses how much of its time: curves by switches per second, the rates at which they
//! cross 1, 10 and 40 %, and for one pattern the surface over other exits.

use super::PagesError;
use super::block::{Bit, Block, Cell, Column, Page, Picture, Table};
use super::plot::{Across, Line, Plot};
use super::shelf::Group;
use super::text;
use super::view::{View, notes};
use crate::record::{Metric, Record, Source};
use crate::table::{SLOWDOWN_SUITE, basis};
use std::collections::{BTreeMap, BTreeSet};

/// Shares of the guest's time, as the rows name them.
const CROSSINGS: [&str; 4] = ["1", "10", "40", "full"];

/// Policies whose lines have the colours of their badges.
const COLOURED: [&str; 3] = ["lazy", "always", "never"];

/// A pattern under a policy.
type Curve<'a> = (&'a str, &'a str);

/// The rows of one group by what they are about.
struct Rows<'a> {
    /// Patterns by accesses, and how many those are.
    patterns: Vec<(&'a str, u64)>,
    policies: Vec<&'a str>,
    /// What a switch loses.
    lost: BTreeMap<Curve<'a>, &'a Record>,
    /// With or without another exit after each switch, by metric's name.
    points: BTreeMap<(bool, &'a str, String), &'a Record>,
    /// Share lost at a rate of switches, with or without another exit after each.
    shares: BTreeMap<(bool, Curve<'a>, u64), &'a Record>,
    /// The same at a rate of other exits.
    surface: BTreeMap<(Curve<'a>, u64, u64), &'a Record>,
}

impl<'a> Rows<'a> {
    fn of(group: &Group<'a>) -> Self {
        let mut rows = Self {
            patterns: Vec::new(),
            policies: Vec::new(),
            lost: BTreeMap::new(),
            points: BTreeMap::new(),
            shares: BTreeMap::new(),
            surface: BTreeMap::new(),
        };
        for row in &group.rows {
            rows.add(row);
        }
        rows.patterns.sort_by_key(|(_, accesses)| *accesses);
        rows
    }

    fn add(&mut self, row: &'a Record) {
        let cell = &row.key.cell;
        let (pattern, interposed) = (cell.workload.as_str(), cell.exits_every != 0);
        match &row.key.metric {
            Metric::Lost(policy) => {
                self.lost.insert((pattern, policy.as_str()), row);
                if !self.patterns.iter().any(|(known, _)| *known == pattern) {
                    self.patterns.push((pattern, cell.accesses));
                }
                if !self.policies.contains(&policy.as_str()) {
                    self.policies.push(policy.as_str());
                }
            }
            Metric::Crossing(_) => {
                self.points.insert((interposed, pattern, row.key.metric.to_string()), row);
            }
            Metric::ShareLostAt(at) => match at.as_str().split(':').collect::<Vec<_>>()[..] {
                [policy, rate] => {
                    if let Ok(rate) = rate.parse() {
                        self.shares.insert((interposed, (pattern, policy), rate), row);
                    }
                }
                [policy, rate, exits] => {
                    if let (Ok(rate), Ok(exits)) = (rate.parse(), exits.parse()) {
                        self.surface.insert(((pattern, policy), rate, exits), row);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// A policy's name, with a star where the loss was not measured.
    fn policy(&self, curve: Curve<'a>) -> String {
        let is_model = |row: &&Record| row.key.source == Source::Model;
        let star = if self.lost.get(&curve).is_some_and(is_model) { "*" } else { "" };
        format!("{}{star}", curve.1)
    }

    fn crossing(&self, interposed: bool, (pattern, policy): Curve<'a>, at: &str) -> Option<&'a Record> {
        self.points.get(&(interposed, pattern, format!("crossing:{policy}:{at}"))).copied()
    }

    fn rates(&self, interposed: bool, pattern: &str) -> Vec<u64> {
        let of = self.shares.keys().filter(|(with, (of, _), _)| (*with, *of) == (interposed, pattern));
        of.map(|(.., rate)| *rate).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The page of the newest measurements.
pub(super) fn page(view: View<'_, '_>) -> Result<Page, PagesError> {
    let mut page = Page::new("slowdown.html", "Slowdown");
    let groups = view.shelf.newest(SLOWDOWN_SUITE);
    page.blocks.push(Block::paragraph(
        "How much of a guest's time is lost by the switches that it makes in a second, under each \
         policy: the newest measurement of every kernel and machine.",
    ));
    if groups.is_empty() {
        page.blocks.push(super::absent(SLOWDOWN_SUITE));
    }
    for group in &groups {
        page.blocks.push(super::group_heading(view, group));
        page.blocks.extend(section(view, group)?);
    }
    page.blocks.extend(notes(groups.iter().copied()));
    Ok(page)
}

/// All of one group.
#[allow(clippy::cast_precision_loss)] // rates are far below 2^53
pub(super) fn section(view: View<'_, '_>, group: &Group<'_>) -> Result<Vec<Block>, PagesError> {
    let rows = Rows::of(group);
    let mut blocks = Vec::new();
    for (interposed, title) in
        [(true, "with one other exit, CPUID, after every switch"), (false, "without other exits")]
    {
        let table = crossings(view, &rows, interposed, title);
        let charts = charts(view, group, &rows, interposed, title)?;
        let shown = [Block::Beside(charts), Block::Table(table)];
        if interposed {
            blocks.extend(shown);
        } else {
            blocks.push(Block::fold("The same without other exits", shown.into()));
        }
    }
    blocks.extend(surface(view, &rows));
    blocks.push(Block::List(
        basis(&group.rows).iter().map(|line| vec![Bit::text(text::shown(line))]).collect(),
    ));
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
    for (pattern, accesses) in &rows.patterns {
        let rates = rows.rates(interposed, pattern);
        let mut lines = Vec::new();
        for policy in &rows.policies {
            let point = |rate: &u64| {
                let row = rows.shares.get(&(interposed, (*pattern, *policy), *rate))?;
                Some((*rate as f64, row.value?.as_f64(), false))
            };
            let points: Vec<_> = rates.iter().map(point).collect();
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
            title: format!("{pattern}: time lost by switches per second"),
            about: format!(
                "{} {title}. One line for each of {}. The table below has the figures.",
                group.title(),
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
            svg: plot.svg()?,
            table: Some(shares(view, rows, interposed, pattern, &rates)),
        }));
    }
    Ok(charts)
}

fn accesses_text(accesses: u64) -> String {
    let plural = if accesses == 1 { "" } else { "es" };
    format!("{accesses} access{plural} per switch")
}

/// The figures of one chart.
fn shares(
    view: View<'_, '_>,
    rows: &Rows<'_>,
    interposed: bool,
    pattern: &str,
    rates: &[u64],
) -> Table {
    let mut columns = vec![Column::numbers("switches/s")];
    columns.extend(rows.policies.iter().map(|policy| Column::numbers(format!("{policy} %"))));
    let mut table = Table::new(format!("{pattern}: % of time lost"), columns);
    for rate in rates {
        let mut cells = vec![Cell::text(rate.to_string())];
        for policy in &rows.policies {
            cells.push(share(view, rows.shares.get(&(interposed, (pattern, *policy), *rate)).copied()));
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
    let unit = rows.lost.values().next().map_or("", |row| text::short(row.unit));
    let mut columns =
        vec![Column::words("pattern"), Column::words("policy"), Column::numbers("accesses")];
    // What a switch loses is measured with other exits: without them it is the same.
    if interposed {
        columns.push(Column::numbers(format!("{unit} lost/switch")));
    }
    let first = columns.len();
    columns.extend(["1 %", "10 %", "40 %", "CPU full"].map(Column::numbers));
    let mut table = Table {
        groups: vec![
            (String::new(), first),
            ("fewest switches per second that lose".to_owned(), 3),
            (String::new(), 1),
        ],
        heads: 2,
        is_tool: true,
        ..Table::new(format!("Switches per second that lose time, {title}"), columns)
    };
    for (pattern, accesses) in &rows.patterns {
        for policy in &rows.policies {
            let curve = (*pattern, *policy);
            let Some(lost) = rows.lost.get(&curve) else { continue };
            let mut cells = vec![
                Cell::text(*pattern),
                Bit::badge(rows.policy(curve), super::view::policy_tone(policy)).into(),
                Cell::text(accesses.to_string()),
            ];
            cells.extend(interposed.then(|| view.value(lost)));
            for at in CROSSINGS {
                cells.push(view.value_of(rows.crossing(interposed, curve, at)));
            }
            table.push(cells);
        }
    }
    table
}

/// Of the pattern with the most accesses: % lost by switches and by other exits.
fn surface(view: View<'_, '_>, rows: &Rows<'_>) -> Option<Block> {
    let (pattern, _) = rows.patterns.last()?;
    let of = || rows.surface.keys().filter(|((of, _), ..)| of == pattern);
    let rates: BTreeSet<u64> = of().map(|(_, rate, _)| *rate).collect();
    let exits: BTreeSet<u64> = of().map(|(.., exits)| *exits).collect();
    if rates.is_empty() {
        return None;
    }
    let mut columns = vec![Column::words("policy"), Column::numbers("other exits/s")];
    columns.extend(rates.iter().map(|rate| Column::numbers(rate.to_string())));
    let caption = format!("{pattern}: % of time lost, by switches and other exits per second");
    let mut table = Table {
        heads: 2,
        groups: vec![(String::new(), 2), ("switches per second".to_owned(), rates.len())],
        ..Table::new(caption, columns)
    };
    for policy in &rows.policies {
        let curve = (*pattern, *policy);
        // Without other exits the rows have no number of them.
        for exits in [0].iter().chain(&exits) {
            let row = |rate: &u64| match exits {
                0 => rows.shares.get(&(false, curve, *rate)).copied(),
                _ => rows.surface.get(&(curve, *rate, *exits)).copied(),
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
