//! The tables of the slowdown suite: where each pattern and policy loses how much, as numbers and as a
//! small chart, and for one pattern the surface over other exits.

use super::notes::notes;
use super::policy::NO_ASSISTS;
use super::resolution::unresolved;
use super::section::{Section, sections};
use super::{Align, Grid, NOTHING, Style, Tone, paragraph};
use crate::figures::lacks_decode_assists;
use crate::record::{Cell, Metric, Record, Source};
use std::collections::{BTreeMap, BTreeSet};

/// The suite whose rows the tables show.
pub const SLOWDOWN_SUITE: &str = "slowdown";

/// Shares of the guest's time, in percent, and how the chart shows a rate that loses as much.
const CROSSINGS: [(&str, char); 3] = [("1", '░'), ("10", '▒'), ("40", '█')];
/// A rate that loses less than the first of them.
const LITTLE: char = '·';
/// The chart's first rate as a power of ten, its decades, and its columns in each of them.
const FIRST_DECADE: f64 = 2.0;
const DECADES: u8 = 4;
const COLUMNS: u8 = 6;
/// Above the chart: where each decade begins.
const AXIS: &str = "\n100   1k    10k   100k  1M";

const CHART_LEGEND: &str = "\
    1 %, 10 %, 40 %: the fewest switches per second at which that much of the guest's time is lost. \
    full: the most that a CPU can do. Chart, by switches per second: · less than 1 % lost, \
    ░ 1 %, ▒ 10 %, █ 40 % and more, blank where the CPU is full. *: not measured.";
const SURFACE_LEGEND: &str = "\
    Lost is what a policy costs above the same switches without debug registers, as a share of all \
    the CPU's time; – where the CPU is full.";

/// The tables of the slowdown suite: a section per kernel and target.
pub fn slowdown_table(records: &[Record], style: Style) -> String {
    let sections = sections(records, SLOWDOWN_SUITE);
    if sections.is_empty() {
        return format!("There are no results of the suite `{SLOWDOWN_SUITE}`.\n");
    }
    let mut text = String::new();
    for one in &sections {
        text.push_str(&one.slowdown(style));
        text.push('\n');
    }
    let has_charts = records.iter().any(|row| is_lost(row) && row.value.is_some());
    let no_assists = sections.iter().any(|one| lacks_decode_assists(one.target));
    for (applies, legend) in
        [(has_charts, CHART_LEGEND), (has_charts, SURFACE_LEGEND), (no_assists, NO_ASSISTS)]
    {
        if applies {
            text.push_str(&paragraph(style, legend, Tone::Normal));
        }
    }
    let shown = sections.iter().flat_map(|section| section.records.iter().copied());
    if let Some(noise) = unresolved(shown) {
        text.push_str(&paragraph(style, &noise, Tone::Doubtful));
    }
    text
}

fn is_lost(row: &Record) -> bool {
    matches!(row.key.metric, Metric::Lost(_))
}

/// What a row is about: the pattern, whether other exits are interposed, and the metric.
type Place<'a> = (&'a str, bool, String);

/// Rows by what they are about.
struct Rows<'a>(BTreeMap<Place<'a>, &'a Record>);

impl<'a> Rows<'a> {
    fn of(records: &[&'a Record]) -> Self {
        let place = |row: &&'a Record| {
            let Cell { workload, exits_every, .. } = &*row.key.cell;
            ((workload.as_str(), *exits_every != 0, row.key.metric.to_string()), *row)
        };
        Self(records.iter().map(place).collect())
    }

    fn value(&self, pattern: &'a str, interposed: bool, metric: String) -> Option<f64> {
        self.0.get(&(pattern, interposed, metric))?.value.map(crate::Value::as_f64)
    }

    /// Why a row has no value.
    fn reason(&self, pattern: &'a str, interposed: bool, metric: String) -> &'a str {
        self.0
            .get(&(pattern, interposed, metric))
            .map_or("there is no row of it", |row| &row.reason)
    }
}

/// A pattern under a policy: a line of the table.
struct Line<'a> {
    pattern: &'a str,
    accesses: u64,
    policy: &'a str,
    /// What a switch loses.
    lost: &'a Record,
}

impl Line<'_> {
    /// With a star where the loss was not measured.
    fn policy_name(&self) -> String {
        let star = if self.lost.key.source == Source::Model { "*" } else { "" };
        format!("{}{star}", self.policy)
    }
}

impl Section<'_> {
    fn slowdown(&self, style: Style) -> String {
        let mut text = self.heading(style);
        let (rows, lines) = (Rows::of(&self.records), lines(&self.records));
        for (title, interposed) in [
            ("With one other exit, CPUID, after every switch", true),
            ("Without other exits", false),
        ] {
            text.push_str(&curves(style, title, &rows, &lines, interposed));
        }
        let last = lines.iter().max_by_key(|line| line.accesses).map(|line| line.pattern);
        if let Some(pattern) = last {
            text.push_str(&self.surface(style, &rows, pattern));
        }
        for sentence in basis(&self.records) {
            text.push('\n');
            text.push_str(&paragraph(style, &sentence, Tone::Normal));
        }
        text.push_str(&notes(style, &self.remarkable()));
        text
    }

    /// Of one pattern the share lost by switches and by other exits, under each policy.
    fn surface(&self, style: Style, rows: &Rows<'_>, pattern: &str) -> String {
        let mut points = BTreeMap::new();
        for row in self.records.iter().filter(|row| row.key.cell.workload.as_str() == pattern) {
            if let Metric::ShareLostAt(at) = &row.key.metric
                && let [policy, switches, exits] = at.as_str().split(':').collect::<Vec<_>>()[..]
                && let (Ok(switches), Ok(exits)) = (switches.parse(), exits.parse())
            {
                points.insert((exits, policy, switches), *row);
            }
        }
        let numbers = |number: fn(&(u64, &str, u64)) -> u64| -> Vec<u64> {
            points.keys().map(number).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let (exits, switches) = (numbers(|key| key.0), numbers(|key| key.2));
        if switches.is_empty() {
            return String::new();
        }
        let titles: Vec<String> = switches.iter().map(|rate| format!("\n{rate}")).collect();
        let mut columns = vec![("other\nexits/s", Align::Right), ("\npolicy", Align::Left)];
        columns.extend(titles.iter().map(|title| (title.as_str(), Align::Right)));
        let mut grid = Grid::new(style, &columns);
        let has_values = |policy: &&str| {
            points.iter().any(|((_, of, _), row)| of == policy && row.value.is_some())
        };
        for policy in distinct(points.keys().map(|(_, policy, _)| *policy).filter(has_values)) {
            // Without other exits the rows have no number of them.
            for exits in [0].iter().chain(&exits) {
                let share = |rate: &u64| match exits {
                    0 => rows.value(pattern, false, format!("share_lost:{policy}:{rate}")),
                    _ => points.get(&(*exits, policy, *rate))?.value.map(crate::Value::as_f64),
                };
                let mut texts = vec![exits.to_string(), policy.to_owned()];
                texts.extend(switches.iter().map(|rate| percent(share(rate))));
                grid.row(texts.iter().map(|text| (text.as_str(), Tone::Normal)));
            }
        }
        let title = format!("{pattern}: % of time lost, by switches per second and other exits");
        format!("\n{}{}", paragraph(style, &title, Tone::Strong), grid.render())
    }

    /// Rows whose status is told: that a share is never lost, or a CPU full, the tables say.
    fn remarkable(&self) -> Vec<&Record> {
        let is_point = |row: &Record| {
            matches!(row.key.metric, Metric::ShareLostAt(_) | Metric::Crossing(_))
                && row.key.cell.accesses > 0
        };
        self.records.iter().copied().filter(|row| !is_point(row)).collect()
    }
}

/// In the order of the rows, but the cheapest pattern first.
fn lines<'a>(records: &[&'a Record]) -> Vec<Line<'a>> {
    let line = |row: &&'a Record| {
        let Metric::Lost(policy) = &row.key.metric else { return None };
        let Cell { workload, accesses, .. } = &*row.key.cell;
        let (pattern, policy) = (workload.as_str(), policy.as_str());
        Some(Line { pattern, accesses: *accesses, policy, lost: row })
    };
    let mut lines: Vec<_> = records.iter().filter_map(line).collect();
    lines.sort_by_key(|line| line.accesses);
    lines
}

/// What was measured, what was computed from that, and what a model was told.
pub fn basis(records: &[&Record]) -> Vec<String> {
    let lines = lines(records);
    let of = |source| {
        move |line: &&Line<'_>| line.lost.value.is_some() && line.lost.key.source == source
    };
    let mut sentences = Vec::new();
    let measured: Vec<_> = lines.iter().filter(of(Source::Tsc)).collect();
    if let Some(first) = measured.first() {
        let policies = distinct(measured.iter().map(|line| line.policy)).join(", ");
        let unit = first.lost.unit;
        sentences.push(format!("Measured, in {unit}: what a switch loses under {policies}."));
    }
    for line in lines.iter().filter(of(Source::Model)) {
        let sentence = format!("{}: {}.", line.policy_name(), line.lost.reason);
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }
    let told = |what: &str| {
        let is = |row: &&&Record| matches!(&row.key.metric, Metric::Parameter(name) if name.as_str() == what);
        records.iter().find(is)?.value.map(crate::Value::as_f64)
    };
    if let (Some(cycles), Some(hertz)) = (told("world-switch-cycles"), told("clock-hz")) {
        sentences.push(format!(
            "All rates and shares are a model: an instruction takes one cycle, an exit with the \
             entry after it {cycles} cycles more, and a second has {} million. Change it with \
             --world-switch-cycles and --clock-mhz.",
            hertz / 1e6
        ));
    }
    sentences
}

/// The crossings and the chart of all patterns; policies that never cross in a sentence below.
fn curves<'a>(
    style: Style,
    title: &str,
    rows: &Rows<'a>,
    lines: &[Line<'a>],
    interposed: bool,
) -> String {
    let columns = [
        ("\npattern", Align::Left),
        ("\na", Align::Right),
        ("\npolicy", Align::Left),
        ("\n1 %", Align::Right),
        ("\n10 %", Align::Right),
        ("\n40 %", Align::Right),
        ("\nfull", Align::Right),
        (AXIS, Align::Left),
    ];
    let mut grid = Grid::new(style, &columns);
    let (mut shown, mut flat) = (false, Vec::new());
    for line in lines.iter().filter(|line| line.lost.value.is_some()) {
        let metric = |what: &str| format!("crossing:{}:{what}", line.policy);
        let at = |what: &str| rows.value(line.pattern, interposed, metric(what));
        let (crossings, full) = (CROSSINGS.map(|(percent, _)| at(percent)), at("full"));
        if crossings.iter().all(Option::is_none) {
            flat.push(Flat {
                policy: line.policy,
                pattern: line.pattern,
                // No rate does, or nobody knows.
                unknown: match full {
                    Some(_) => None,
                    None => Some(rows.reason(line.pattern, interposed, metric("full"))),
                },
            });
            continue;
        }
        let rates = crossings.iter().chain([&full]).map(|rate| rate_text(*rate));
        let mut texts =
            vec![line.pattern.to_owned(), line.accesses.to_string(), line.policy_name()];
        texts.extend(rates);
        texts.push(bar(crossings, full));
        grid.row(texts.iter().map(|text| (text.as_str(), Tone::Normal)));
        shown = true;
    }
    let mut text = String::new();
    if shown {
        let title = format!("{title}, switches per second that lose:");
        text = format!("\n{}{}", paragraph(style, &title, Tone::Strong), grid.render());
    }
    for policy in distinct(lines.iter().map(|line| line.policy)) {
        let all = lines.iter().filter(|line| line.policy == policy).count();
        for sentence in without_crossings(policy, all, &flat) {
            text.push_str(&paragraph(style, &sentence, Tone::Normal));
        }
    }
    text
}

/// A pattern under a policy of which no rate is told.
struct Flat<'a> {
    policy: &'a str,
    pattern: &'a str,
    /// Why it is not known whether there is one.
    unknown: Option<&'a str>,
}

/// What is said of those of a policy, which has `all` patterns.
fn without_crossings(policy: &str, all: usize, flat: &[Flat<'_>]) -> Vec<String> {
    let of_policy = || flat.iter().filter(|flat| flat.policy == policy);
    distinct(of_policy().map(|flat| flat.unknown))
        .into_iter()
        .map(|unknown| {
            let patterns: Vec<_> = of_policy()
                .filter(|flat| flat.unknown == unknown)
                .map(|flat| flat.pattern)
                .collect();
            let of =
                if patterns.len() == all { "any pattern".to_owned() } else { patterns.join(", ") };
            match unknown {
                None => {
                    let highest = 10f64.powf(FIRST_DECADE + f64::from(DECADES));
                    format!("Under {policy} no rate up to {highest} loses 1 %, with {of}.")
                }
                Some(why) => format!("Under {policy} no rate is known, with {of}: {why}."),
            }
        })
        .collect()
}

/// A line of the chart: a character for each part of a decade.
fn bar(crossings: [Option<f64>; 3], full: Option<f64>) -> String {
    let columns = 0..=DECADES * COLUMNS;
    let rate = |column: u8| 10f64.powf(FIRST_DECADE + f64::from(column) / f64::from(COLUMNS));
    let reached = |rate: f64, crossing: Option<f64>| crossing.is_some_and(|at| rate >= at);
    columns
        .map(rate)
        .take_while(|rate| full.is_none_or(|full| *rate <= full))
        .map(|rate| {
            let passed = crossings.iter().zip(CROSSINGS).rev();
            let mut passed = passed.filter(|(crossing, _)| reached(rate, **crossing));
            passed.next().map_or(LITTLE, |(_, (_, char))| char)
        })
        .collect()
}

fn rate_text(rate: Option<f64>) -> String {
    rate.map_or_else(|| NOTHING.to_owned(), |rate| format!("{rate:.0}"))
}

/// A share as percent.
fn percent(share: Option<f64>) -> String {
    match share.map(|share| share * 100.0) {
        None => NOTHING.to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(percent) if percent < 0.01 => "<0.01".to_owned(),
        Some(percent) if percent < 1.0 => format!("{percent:.2}"),
        Some(percent) => format!("{percent:.1}"),
    }
}

/// Each once, in the order of its first appearance.
fn distinct<T: Ord + Copy>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(*item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_chart_has_a_mark_for_each_part_of_a_decade() {
        let crossings = [Some(1_000.0), Some(10_000.0), Some(40_000.0)];
        assert_eq!(bar(crossings, Some(100_000.0)), "······░░░░░░▒▒▒▒███");
        assert_eq!(bar([None; 3], None).chars().count(), 25);
        assert_eq!(bar([Some(5.0), None, None], Some(50.0)), "", "full before the axis begins");
    }

    #[test]
    fn a_small_share_is_not_nothing() {
        let shares = [None, Some(0.0), Some(0.000_04), Some(0.004), Some(0.4)].map(percent);
        assert_eq!(shares, ["–", "0", "<0.01", "0.40", "40.0"]);
    }
}
