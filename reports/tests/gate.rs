//! What limits let pass, and what they do not.
#![allow(clippy::unwrap_used)]

mod common;

use common::exits;
use reports::compare::{Gate, Keep, Ruling};
use reports::{Comparison, Record, Rows, Status, compare};

/// Rows of two workloads with these DR exits; none: no such row.
fn rows(windows: Option<u64>, scan: Option<u64>) -> Vec<Record> {
    let of = |name: &str, value: Option<u64>| value.map(|value| exits(name, value));
    [of("windows", windows), of("scan", scan)].into_iter().flatten().collect()
}

fn gated(gate: &str, before: &[Record], after: &[Record]) -> Comparison {
    let table = |rows: &[Record]| Rows::of(rows.iter().cloned().map(Ok), "a side").unwrap();
    let mut comparison = compare(&table(before), &table(after), Keep::Differences).unwrap();
    comparison.gate(&Gate::parse(gate).unwrap());
    comparison
}

/// What the gate says of 100 exits that became so many.
fn ruling(limit: &str, after: u64) -> (Option<Ruling>, bool) {
    let gate = format!("[[limit]]\n{limit}\n");
    let comparison = gated(&gate, &rows(Some(100), None), &rows(Some(after), None));
    (comparison.differences[0].ruling, comparison.is_regression())
}

#[test]
fn a_limit_lets_pass_what_is_within_and_fails_what_is_beyond() {
    for (limit, within, beyond) in [
        ("relative = 0.05", 105, 106),
        ("absolute = 3", 103, 104),
        ("absolute = 3\ndirection = \"either\"", 97, 96),
        ("absolute = 3\ndirection = \"less\"", 1000, 96),
        ("relative = 0.05\nmetric = \"dr_*\"\nworkload = \"win*\"", 1, 200),
    ] {
        assert_eq!(ruling(limit, within), (Some(Ruling::Within), false), "{limit}: {within}");
        assert_eq!(ruling(limit, beyond), (Some(Ruling::Broken), true), "{limit}: {beyond}");
    }
}

#[test]
fn exact_forbids_what_would_be_better_too_and_without_a_limit_better_is_well() {
    assert_eq!(ruling("exact = true", 99), (Some(Ruling::Broken), true));
    assert_eq!(ruling("exact = true\nworkload = \"scan\"", 99), (None, false));
    assert_eq!(ruling("exact = true\nworkload = \"scan\"", 101), (None, true));
}

#[test]
fn the_first_limit_that_fits_decides() {
    let gate = "[[limit]]\nworkload = \"scan\"\nallowed = true\n[[limit]]\nexact = true\n";
    let comparison = gated(gate, &rows(Some(1), Some(1)), &rows(Some(1), Some(9)));
    assert!(!comparison.is_regression());
    let comparison = gated(gate, &rows(Some(1), Some(1)), &rows(Some(2), Some(1)));
    assert!(comparison.is_regression());
}

#[test]
fn a_size_excuses_neither_a_missing_row_nor_a_failed_one() {
    let missing = |limit: &str| {
        let gate = format!("[[limit]]\n{limit}\n");
        gated(&gate, &rows(Some(1), Some(1)), &rows(Some(1), None)).is_regression()
    };
    assert!(missing("relative = 9.0") && !missing("allowed = true"));

    let mut failed = exits("windows", 100);
    (failed.status, failed.reason) = (Status::Failed, "four were predicted".to_owned());
    let gate = "[[limit]]\nrelative = 9.0\n";
    assert!(gated(gate, &rows(Some(100), None), &[failed]).is_regression());
}

#[test]
fn a_gate_that_cannot_be_meant_is_refused_with_its_place() {
    for (text, named) in [
        ("[[limit]]\n", "limit 1: expected one of exact"),
        ("[[limit]]\nexact = true\nrelative = 0.1\n", "found 2"),
        ("[[limit]]\nexact = false\n", "found 0"),
        ("[[limit]]\nrelative = -0.1\n", "-0.1 is no size"),
        ("[[limit]]\nrelative = nan\n", "is no size"),
        ("[[limit]]\nexact = true\ndirection = \"more\"\n", "direction goes with"),
        ("[[limit]]\nabsolute = 1\ndirection = \"up\"\n", "up"),
        ("[[limit]]\nexact = true\n[[limit]]\nmetric = \"[\"\nexact = true\n", "limit 2: `[`"),
        ("[[limit]]\nmertic = \"ns\"\nexact = true\n", "mertic"),
        ("[limits]\n", "limits"),
        ("relative = ", "line 1"),
    ] {
        let problem = Gate::parse(text).unwrap_err();
        assert!(problem.contains(named), "{text}: {problem}");
    }
    assert!(Gate::parse("").is_ok(), "no limit at all is the rule for all");
}
