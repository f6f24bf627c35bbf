//! The tables of the slowdown suite, as a person sees them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{cell, fits, name, record};
use reports::{Cell, Outcome, Policy, Record, Source, Style, slowdown_table};

const NOT_MEASURED: &str = "not measured, this kernel does not have it; computed from others";

fn place(every: u64) -> Cell {
    let interposed = if every == 0 { "none" } else { "cpuid" };
    Cell { suite: name("slowdown"), ..cell("windows", 13, interposed, every, Policy::Kernel) }
}

/// A policy's rows: what a switch loses, where it crosses with an exit after each switch, shares.
fn policy(policy: &str, source: Source, lost: u64, crossings: [Option<u64>; 3]) -> Vec<Record> {
    let lost = Record {
        reason: if source == Source::Model { NOT_MEASURED.into() } else { String::new() },
        ..record(&place(1), &format!("lost:{policy}"), source, Outcome::ok(lost))
    };
    let crossing = |(percent, rate): (&str, Option<u64>)| {
        let metric = format!("crossing:{policy}:{percent}");
        let outcome = rate.map_or_else(|| Outcome::skipped("at no rate"), Outcome::ok);
        record(&place(1), &metric, Source::Model, outcome)
    };
    let points = ["1", "10", "40"].into_iter().zip(crossings).chain([("full", Some(200_000))]);
    let mut rows = vec![lost];
    rows.extend(points.map(crossing));
    for (at, outcome) in
        [("100:1000", Outcome::ok(0)), ("1000:1000", Outcome::skipped("a CPU cannot do so many"))]
    {
        let metric = format!("share_lost:{policy}:{at}");
        rows.push(record(&place(0), &metric, Source::Model, outcome));
    }
    rows
}

fn run() -> Vec<Record> {
    let mut rows = vec![record(&place(0), "verdict", Source::None, Outcome::named("lazy"))];
    rows.extend(policy("always", Source::Tsc, 40_000, [Some(500), Some(5_000), Some(20_000)]));
    rows.extend(policy("lazy", Source::Tsc, 1_000, [Some(12_000), Some(120_000), None]));
    rows.extend(policy("never", Source::Model, 200, [None; 3]));
    rows
}

#[test]
fn each_policy_is_a_line_with_its_crossings_and_a_chart() {
    let table = slowdown_table(&run(), Style::Plain);
    fits(&table);
    let line = |policy: &str| {
        let is = |line: &&str| line.starts_with("windows") && line.contains(policy);
        table.lines().find(is).map(|line| line.split_whitespace().collect::<Vec<_>>())
    };
    let always = "windows 13 always 500 5000 20000 200000 ·····░░░░░░▒▒▒██████";
    assert_eq!(line("always").unwrap().join(" "), always);
    assert_eq!(line("lazy").unwrap()[3..7], ["12000", "120000", "–", "200000"]);
    assert_eq!(line("never"), None, "a line of nothing is a sentence");
    let flat = "Under never no rate up to 1000000 loses 1 %, with any pattern.";
    assert!(table.contains(flat), "{table}");
}

#[test]
fn a_crossing_that_could_not_be_computed_is_no_loss_of_nothing() {
    let disturbed = "the control has no undisturbed cost";
    let unresolved = |row: Record| {
        let metric = row.key.metric.to_string();
        if !metric.starts_with("crossing:always") {
            return row;
        }
        record(&row.key.cell, &metric, Source::Model, Outcome::unresolved(None, disturbed))
    };
    let rows: Vec<_> = run().into_iter().map(unresolved).collect();
    let table = slowdown_table(&rows, Style::Plain);
    assert!(!table.contains("Under always no rate up to"), "{table}");
    let said = format!("Under always no rate is known, with any pattern: {disturbed}.");
    assert!(table.contains(&said), "{table}");
}

#[test]
fn what_is_not_measured_says_so_and_a_cpu_that_is_full_has_no_share() {
    let table = slowdown_table(&run(), Style::Plain);
    assert!(table.contains("what a switch loses under always, lazy."), "{table}");
    assert!(table.contains(&format!("never*: {NOT_MEASURED}.")), "{table}");
    let surface = table.lines().find(|line| line.contains("1000  never")).unwrap();
    assert!(surface.ends_with('–'), "{surface}");
    assert!(!table.contains("skipped"), "{table}");
}

#[test]
fn where_there_is_nothing_to_say_the_reason_is_said_once() {
    let no_cell = Cell { workload: name("none"), accesses: 0, ..place(0) };
    let row =
        |metric: &str| record(&no_cell, metric, Source::Model, Outcome::skipped("interpreted"));
    let rows = [row("crossing:always:1"), row("crossing:lazy:1"), row("crossing:never:1")];
    let table = slowdown_table(&rows, Style::Plain);
    fits(&table);
    assert_eq!(table.matches("interpreted").count(), 1, "{table}");
    assert!(!table.contains("Chart"), "{table}");
    assert!(slowdown_table(&[], Style::Plain).contains("no results"));
}
