//! Comparisons as checks.

use super::common::{cell, record};
use super::readers::{ReadCheck, read_back};
use reports::compare::Keep;
use reports::export::{Checks, Verdict, junit, ktap};
use reports::{Cell, Comparison, Metric, Outcome, Policy, Record, Rows, Source, Status, Value};
use std::collections::BTreeMap;

fn table(rows: &[Record]) -> Rows {
    Rows::of(rows.iter().cloned().map(Ok), "a side").unwrap()
}

fn compared(before: &[Record], after: &[Record]) -> (Comparison, Checks) {
    let after = table(after);
    let comparison = reports::compare(&table(before), &after, Keep::Differences).unwrap();
    let checks = Checks::of_comparison(&comparison, &after);
    (comparison, checks)
}

fn exits_of(workload: &str, count: u64) -> Record {
    let cell: Cell = cell(workload, 12, "none", 0, Policy::Kernel);
    record(&cell, "exits", Source::Statistics, Outcome::ok(count))
}

#[test]
fn a_comparison_fails_for_each_cell_that_got_worse_or_is_missing() {
    let before =
        [exits_of("same", 4), exits_of("worse", 4), exits_of("better", 4), exits_of("gone", 4)];
    let after =
        [exits_of("same", 4), exits_of("worse", 5), exits_of("better", 3), exits_of("new", 4)];
    let (comparison, checks) = compared(&before, &after);
    assert!(comparison.is_regression());
    for (format, text) in [("junit", junit(&checks)), ("ktap", ktap(&checks))] {
        let read: Vec<Vec<ReadCheck>> = read_back(format, &[text]);
        let outcomes: BTreeMap<_, _> =
            read[0].iter().map(|it| (it.name.split(' ').next().unwrap(), it)).collect();
        for (workload, outcome, line) in [
            ("same", "passed", None),
            ("worse", "failure", Some("exits by statistics: worse: 4 exits before, 5 exits after")),
            (
                "better",
                "passed",
                Some("exits by statistics: better: 4 exits before, 3 exits after"),
            ),
            (
                "gone",
                "failure",
                Some("exits by statistics: missing: 4 exits before, nothing after"),
            ),
            ("new", "passed", Some("exits by statistics: new: nothing before, 4 exits after")),
            ("every", "passed", None),
        ] {
            let check = outcomes[workload];
            assert_eq!(check.outcome, outcome, "{format}: {check:?}");
            if let Some(line) = line {
                assert!(check.lines.contains(&line.to_owned()), "{format}: {check:?}");
                let told = format == "junit" && outcome == "failure";
                assert_eq!(check.message == line, told, "{format}: {check:?}");
            }
        }
        assert_eq!(read[0].len(), 6);
    }
}

#[test]
fn a_comparison_of_a_thousand_rows_has_a_check_for_each_cell_and_not_for_each_row() {
    let metrics: Vec<Metric> =
        (0..100).map(|number| format!("exits:reason-{number}").parse().unwrap()).collect();
    let rows: Vec<Record> = (0..10)
        .flat_map(|cell| {
            metrics.iter().map(move |metric| {
                let mut row = exits_of(&format!("n:{cell}"), 4);
                row.key.metric = metric.clone();
                row
            })
        })
        .collect();
    let mut after = rows.clone();
    for row in after.iter_mut().filter(|row| row.key.cell.workload.as_str() == "n:3") {
        row.value = Some(Value::count(9));
    }
    let (_, checks) = compared(&rows, &after);
    assert_eq!(checks.len(), 11);
    let failed: Vec<_> =
        checks.groups[0].checks.iter().filter(|check| check.verdict == Verdict::Failed).collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].message.ends_with("(and 99 more)"), "{}", failed[0].message);
    assert_eq!(failed[0].lines.len(), 100);
}

#[test]
fn what_a_gate_allows_is_no_failure_and_what_it_forbids_is_one() {
    let before = [exits_of("within", 100), exits_of("beyond", 100)];
    let after = [exits_of("within", 101), exits_of("beyond", 120)];
    let (mut comparison, _) = compared(&before, &after);
    comparison.gate(&reports::compare::Gate::parse("[[limit]]\nrelative = 0.05\n").unwrap());
    let checks = Checks::of_comparison(&comparison, &table(&after));
    let read: Vec<Vec<ReadCheck>> = read_back("junit", &[junit(&checks)]);
    let outcomes: Vec<_> = read[0].iter().map(|it| it.outcome.as_str()).collect();
    assert_eq!(outcomes, ["passed", "failure", "passed"]);
    assert!(read[0][0].lines[0].contains("within limit"), "{:?}", read[0][0]);
    assert!(read[0][1].message.contains("limit broken"), "{:?}", read[0][1]);
}

#[test]
fn an_exact_row_that_is_not_resolved_any_more_is_neither_passed_nor_failed_but_by_a_gate() {
    let open = |row: Record| Record {
        status: Status::Unresolved,
        reason: "a busy host".to_owned(),
        ..row
    };
    let before = [exits_of("open", 4), exits_of("same", 4)];
    let after = [open(exits_of("open", 4)), exits_of("same", 4)];
    let (mut comparison, checks) = compared(&before, &after);
    assert!(!comparison.is_regression());
    let outcomes = |checks: &Checks| -> Vec<String> {
        let read: Vec<Vec<ReadCheck>> = read_back("junit", &[junit(checks)]);
        read[0].iter().map(|it| it.outcome.clone()).collect()
    };
    assert_eq!(outcomes(&checks), ["skipped", "passed", "skipped"]);
    let text = comparison.render(None, reports::Style::Plain);
    assert!(text.contains("unresolved: a busy host"), "{text}");

    comparison.gate(&reports::compare::Gate::parse("[[limit]]\nexact = true\n").unwrap());
    assert!(comparison.is_regression());
    let checks = Checks::of_comparison(&comparison, &table(&after));
    assert_eq!(outcomes(&checks), ["failure", "passed", "skipped"]);
}
