//! Exports, read back by those whose formats they are.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/readers.rs"]
mod readers;

use common::{cell, name, record, run, subject};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use readers::{Read, ReadCheck, is_value, read_back};
use reports::export::{Checks, Exported, FORMATS, Origin, export, junit, ktap};
use reports::{
    Cell, Comparison, KeptRun, Larger, Metric, Outcome, Policy, Record, Source, Status, Subject,
    Value,
};
use std::collections::{BTreeMap, BTreeSet};

const OF_VALUES: [&str; 7] = [
    "prometheus",
    "bmf",
    "github-action-benchmark",
    "github-action-benchmark-bigger",
    "kcidb",
    "gobench",
    "criterion",
];
const OF_CHECKS: [&str; 2] = ["junit", "ktap"];

fn kept(path: &str, records: Vec<Record>) -> KeptRun {
    KeptRun { path: path.into(), info: None, records }
}

fn try_export(format: &str, runs: &[KeptRun]) -> Result<Exported, String> {
    let format = FORMATS.iter().find(|it| it.name == format).expect(format);
    export(format, runs, &Origin::default()).map_err(|error| error.to_string())
}

fn text(format: &str, records: &[Record]) -> String {
    try_export(format, &[kept("run", records.to_vec())]).expect(format).text
}

/// The columns of rows, as `results.csv` has them.
fn columns(records: &[Record]) -> Vec<BTreeMap<String, String>> {
    let text = common::csv(records);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

/// What `%XX` stands for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = std::str::from_utf8(after.get(..2).unwrap_or_default()).unwrap_or_default();
        if let (b'%', Ok(byte)) = (first, u8::from_str_radix(code, 16)) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Rows of one kernel and run that differ in their keys, of any texts there can be.
fn hostile_runs(count: usize) -> Vec<Vec<Record>> {
    let mut runner = TestRunner::deterministic();
    let rows = prop::collection::vec(common::any::a_record(), 1..12);
    let mut runs = Vec::new();
    for _ in 0..count {
        let mut rows: Vec<Record> = rows.new_tree(&mut runner).unwrap().current();
        let (run, subject) = (run(), rows[0].subject.clone());
        let mut keys = BTreeSet::new();
        rows.retain(|row| keys.insert(row.key.clone()));
        for row in &mut rows {
            (row.run, row.subject) = (run.clone(), subject.clone());
            // Most are ok, or there would be few values.
            if row.samples % 4 != 0 && row.value.is_some() {
                row.status = Status::Ok;
            }
        }
        runs.push(rows);
    }
    runs
}

/// The rows that a format has values of.
fn exported<'a>(format: &str, rows: &'a [Record]) -> Vec<&'a Record> {
    let fits = |row: &&Record| {
        let larger = row.key.metric.larger_is();
        let direction = match format {
            "github-action-benchmark" => larger == Larger::Worse,
            "github-action-benchmark-bigger" => larger == Larger::Better,
            _ => true,
        };
        direction && row.status == Status::Ok && row.value.is_some()
    };
    rows.iter().filter(fits).collect()
}

fn same_values(format: &str, mut read: Vec<&str>, rows: &[&Record]) {
    assert_eq!(read.len(), rows.len(), "{format}: {read:?}");
    for row in rows {
        let value = row.value.unwrap();
        let place = read.iter().position(|text| is_value(format, text, value));
        read.remove(place.unwrap_or_else(|| panic!("{format}: no {value} among {read:?}")));
    }
}

#[test]
fn every_value_comes_back_whatever_its_kernel_and_cell_are_called() {
    let runs = hostile_runs(40);
    for format in OF_VALUES {
        let texts: Vec<_> = runs.iter().map(|rows| text(format, rows)).collect();
        let read: Vec<Vec<Read>> = read_back(format, &texts);
        assert_eq!(read.len(), runs.len());
        let mut values = 0;
        for (read, rows) in read.iter().zip(&runs) {
            let of_values = |it: &&Read| format != "prometheus" || it.name == "drbench_value";
            let read: Vec<_> = read.iter().filter(of_values).collect();
            let texts = read.iter().filter_map(|it| it.value.as_deref()).collect();
            same_values(format, texts, &exported(format, rows));
            let names: BTreeSet<_> = read.iter().map(|it| (&it.name, &it.labels)).collect();
            assert_eq!(names.len(), read.len(), "{format}: names are unique");
            values += read.len();
        }
        // (No metric but `crossing` is better the larger it is.)
        assert!(values > if format.ends_with("bigger") { 0 } else { 30 }, "{format}: {values}");
    }
}

#[test]
fn labels_are_the_columns_of_the_row() {
    let runs = hostile_runs(40);
    for (format, labels) in [
        ("prometheus", &["kernel", "kernel_id", "variant", "cpu_model", "unit"][..]),
        ("kcidb", &["cpu_model", "status", "samples", "deterministic"]),
    ] {
        let of_all =
            ["vendor", "machine", "suite", "workload", "policy", "interposed", "exits_every"];
        let of_all = of_all.iter().chain(&["armed", "vcpus", "accesses", "work", "switches"]);
        let labels: Vec<_> = of_all.chain(&["metric", "source"]).chain(labels).copied().collect();
        let texts: Vec<_> = runs.iter().map(|rows| text(format, rows)).collect();
        let read: Vec<Vec<Read>> = read_back(format, &texts);
        for (read, rows) in read.iter().zip(&runs) {
            let pick = |from: &BTreeMap<String, String>| -> Vec<String> {
                labels.iter().map(|label| decoded(&from[*label])).collect()
            };
            let wanted: BTreeSet<_> = columns(rows)
                .iter()
                .zip(rows)
                .filter(|(_, row)| {
                    format == "kcidb" || (row.status == Status::Ok && row.value.is_some())
                })
                .map(|(columns, _)| labels.iter().map(|label| columns[*label].clone()).collect())
                .collect();
            let of_values = |it: &&Read| format == "kcidb" || it.name == "drbench_value";
            let found: BTreeSet<Vec<String>> =
                read.iter().filter(of_values).map(|it| pick(&it.labels)).collect();
            assert_eq!(found, wanted, "{format}");
        }
    }
}

#[test]
fn every_check_comes_back_with_its_outcome_and_its_values() {
    let runs = hostile_runs(40);
    for format in OF_CHECKS {
        let texts: Vec<_> = runs.iter().map(|rows| text(format, rows)).collect();
        let read: Vec<Vec<ReadCheck>> = read_back(format, &texts);
        for (read, rows) in read.iter().zip(&runs) {
            let cells: BTreeSet<_> = rows
                .iter()
                .map(|row| {
                    (&row.key.target, &row.key.cell, row.key.metric.is_wordy().then_some(&row.key))
                })
                .collect();
            assert_eq!(read.len(), cells.len());
            let names: BTreeSet<_> = read.iter().map(|it| (&it.group, &it.name)).collect();
            assert_eq!(names.len(), read.len(), "{format}: names are unique");
            for row in rows {
                let (key, source) = (&row.key, row.key.source);
                let by =
                    if source == Source::None { String::new() } else { format!(" by {source}") };
                let said = format!("{}{by} = ", key.metric);
                let of_cell = read.iter().filter(|it| it.name.ends_with(&key.cell.within_suite()));
                let found =
                    of_cell.flat_map(|it| &it.lines).find_map(|line| line.strip_prefix(&said));
                let found = found.map(|rest| rest.split([' ', ',']).next().unwrap());
                let wanted = row.value.filter(|_| row.status == Status::Ok);
                assert_eq!(found.map(|text| text.parse().unwrap()), wanted, "{format}: {said}");
            }
            let failed = read.iter().any(|it| it.outcome == "failure" || it.outcome == "error");
            let wrong = |row: &Record| matches!(row.status, Status::Failed | Status::Unresolved);
            assert_eq!(failed, rows.iter().any(wrong), "{format}");
        }
    }
}

/// One row of each status, each with a value, in cells of their own.
fn one_of_each() -> Vec<Record> {
    let value = Some(Value::count(77));
    [
        ("ok", Outcome::ok(7)),
        ("failed", Outcome::failed(value, "<b>7 & 9</b>")),
        ("unresolved", Outcome::unresolved(value, "2 % of it ]]> moved")),
        ("unconfirmed", Outcome::unconfirmed(value, "no \"tracefs\"")),
        ("skipped", Outcome::skipped("not here\u{1b}[31m\nnor there")),
    ]
    .into_iter()
    .map(|(workload, outcome)| {
        let cell = cell(workload, 12, "none", 0, Policy::Kernel);
        record(&cell, "dr_exits", Source::Tracepoint, outcome)
    })
    .collect()
}

#[test]
fn a_row_that_is_not_ok_has_no_value_anywhere() {
    let rows = one_of_each();
    for format in OF_VALUES {
        let Exported { text, notes } = try_export(format, &[kept("run", rows.clone())]).unwrap();
        assert!(!text.contains("77"), "{format}: {text}");
        assert!(!text.contains('\u{1b}'), "{format}: {text}");
        let read: Vec<Vec<Read>> = read_back(format, &[text]);
        let values = |it: &&Read| {
            it.value.is_some() && (format != "prometheus" || it.name == "drbench_value")
        };
        let wanted = usize::from(!format.ends_with("bigger"));
        assert_eq!(read[0].iter().filter(values).count(), wanted, "{format}");
        let told = notes
            .iter()
            .any(|note| note.contains("1 failed, 1 unresolved, 1 unconfirmed, 1 skipped"));
        assert_eq!(told, format != "prometheus" && format != "kcidb", "{format}: {notes:?}");
    }
}

#[test]
fn a_row_that_is_not_ok_keeps_its_reason_where_there_is_a_place_for_it() {
    let rows = one_of_each();
    let read: Vec<Vec<Read>> = read_back("prometheus", &[text("prometheus", &rows)]);
    let reasons: Vec<_> =
        read[0].iter().filter(|it| it.name == "drbench_not_ok").map(|it| &it.labels).collect();
    assert_eq!(reasons.len(), 4);
    for (labels, row) in reasons.iter().zip(&rows[1..]) {
        assert_eq!(labels["status"], row.status.as_str());
        assert_eq!(decoded(&labels["reason"]), row.reason);
    }
    let read: Vec<Vec<Read>> = read_back("kcidb", &[text("kcidb", &rows)]);
    let outcomes: Vec<_> = read[0].iter().map(|it| it.labels["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["DONE", "FAIL", "ERROR", "SKIP", "SKIP"]);
    assert_eq!(read[0][1].labels["comment"], "<b>7 & 9</b>");
    assert_eq!(read[0][4].labels["comment"], "not here\u{fffd}[31m nor there");
    let read: Vec<Vec<ReadCheck>> = read_back("junit", &[text("junit", &rows)]);
    let outcomes: Vec<_> = read[0].iter().map(|it| it.outcome.as_str()).collect();
    assert_eq!(outcomes, ["passed", "failure", "error", "skipped", "skipped"]);
    assert_eq!(read[0][1].message, "dr_exits by tracepoint: failed: <b>7 & 9</b>");
    assert!(read[0][2].message.ends_with("2 % of it ]]> moved"), "{:?}", read[0][2]);
    assert_eq!(read[0][0].properties["kernel_id"], "6.1.176-1");
    let read: Vec<Vec<ReadCheck>> = read_back("ktap", &[text("ktap", &rows)]);
    let outcomes: Vec<_> = read[0].iter().map(|it| it.outcome.as_str()).collect();
    assert_eq!(outcomes, ["passed", "failure", "failure", "skipped", "skipped"]);
    assert!(read[0][1].lines.contains(&"dr_exits by tracepoint: failed: <b>7 & 9</b>".to_owned()));
}

#[test]
fn the_last_words_of_a_kernel_do_not_end_a_ktap_file() {
    let mut rows = one_of_each();
    for (row, words) in rows.iter_mut().skip(1).zip([
        "Kernel panic - not syncing: VFS: no root",
        "List of all partitions: none",
        "reboot: System halted",
        "KTAP version 1",
    ]) {
        row.reason = format!("the kernel said:\n{words}\nok 1 - # Subtest: x\n1..7");
    }
    let read: Vec<Vec<ReadCheck>> = read_back("ktap", &[text("ktap", &rows)]);
    let outcomes: Vec<_> = read[0].iter().map(|it| it.outcome.as_str()).collect();
    assert_eq!(outcomes, ["passed", "failure", "failure", "skipped", "skipped"]);
    assert!(read[0][1].lines[0].contains("not syncing, VFS: no root"), "{:?}", read[0][1]);
}

#[test]
fn what_cannot_be_had_does_not_spoil_a_cell_that_was_measured() {
    let cell = cell("windows", 13, "none", 0, Policy::Kernel);
    let rows = [
        record(&cell, "exits", Source::Statistics, Outcome::ok(1)),
        record(&cell, "exits", Source::Tracepoint, Outcome::skipped("no tracefs")),
    ];
    let read: Vec<Vec<ReadCheck>> = read_back("junit", &[text("junit", &rows)]);
    assert_eq!(read[0].len(), 1);
    assert_eq!(read[0][0].outcome, "passed");
    assert!(read[0][0].lines.contains(&"exits by tracepoint: skipped: no tracefs".to_owned()));
}

fn other_kernel(rows: &[Record]) -> Vec<Record> {
    let other = |row: &Record| {
        let mut row = row.clone();
        row.subject = Subject { kernel: "7.3.4".into(), kernel_id: "7.3.4-1".into(), ..subject() };
        row.run.run_id = name("20270101T120000Z-0a1b2c");
        row
    };
    rows.iter().map(other).collect()
}

#[test]
fn a_history_keeps_its_names_from_kernel_to_kernel() {
    let (before, after) = (one_of_each(), other_kernel(&one_of_each()));
    for format in ["bmf", "github-action-benchmark", "criterion", "gobench"] {
        let read: Vec<Vec<Read>> =
            read_back(format, &[text(format, &before), text(format, &after)]);
        assert_eq!(read[0].len(), 1);
        assert_eq!(read[0][0].name, read[1][0].name, "{format}");
    }
    for format in OF_CHECKS {
        let read: Vec<Vec<ReadCheck>> =
            read_back(format, &[text(format, &before), text(format, &after)]);
        let names = |read: &[ReadCheck]| -> Vec<_> {
            read.iter().map(|it| (it.group.clone(), it.name.clone())).collect()
        };
        assert_eq!(names(&read[0]), names(&read[1]), "{format}");
    }
}

#[test]
fn several_runs_are_one_file_where_it_can_tell_them_apart() {
    let (before, after) = (one_of_each(), other_kernel(&one_of_each()));
    let runs = [kept("one", before.clone()), kept("other", after)];
    for format in ["prometheus", "kcidb", "gobench"] {
        let read: Vec<Vec<Read>> = read_back(format, &[try_export(format, &runs).unwrap().text]);
        assert!(read[0].len() >= 2, "{format}");
    }
    for format in OF_CHECKS {
        let read: Vec<Vec<ReadCheck>> =
            read_back(format, &[try_export(format, &runs).unwrap().text]);
        let groups: BTreeSet<_> = read[0].iter().map(|it| &it.group).collect();
        assert_eq!((read[0].len(), groups.len()), (10, 2), "{format}");
    }
    for format in ["bmf", "github-action-benchmark", "github-action-benchmark-bigger", "criterion"]
    {
        let error = try_export(format, &runs).unwrap_err();
        let kernels = "6.1.176 (6.1.176-1, stock) (in one) and 7.3.4 (7.3.4-1, stock) (in other)";
        assert!(error.starts_with(kernels) && error.contains("RUN/cells/*"), "{format}: {error}");
    }
    for format in FORMATS {
        let twice = [kept("one", before.clone()), kept("other", before.clone())];
        let error = try_export(format.name, &twice).unwrap_err();
        assert!(error.contains("one and other both hold dr_exits by tracepoint"), "{error}");
        let error = try_export(format.name, &[kept("nothing", Vec::new())]).unwrap_err();
        assert!(error.contains("nothing holds no rows"), "{error}");
    }
    // The same kernel again is more samples for benchstat, and a history for others.
    let mut again = before.clone();
    for row in &mut again {
        row.run.run_id = name("20270101T120000Z-0a1b2c");
    }
    let runs = [kept("one", before), kept("again", again)];
    for format in ["gobench", "kcidb", "junit", "ktap"] {
        assert!(try_export(format, &runs).is_ok(), "{format}");
    }
    for format in ["prometheus", "bmf", "github-action-benchmark", "criterion"] {
        assert!(try_export(format, &runs).unwrap_err().contains("name one of the two"), "{format}");
    }
}

#[test]
fn noisy_values_carry_their_interval_and_exact_ones_are_said_to_be() {
    let cell = cell("windows", 13, "none", 0, Policy::Kernel);
    let noisy = record(&cell, "ns", Source::Tsc, Outcome::ok(Value::real(100.5).unwrap()));
    let noisy = Record {
        ci_low: Value::real(99.25),
        ci_high: Value::real(102.0),
        deterministic: false,
        ..noisy
    };
    let rows = [noisy, record(&cell, "exits", Source::Statistics, Outcome::ok(5))];
    let read = |format| read_back::<Read>(format, &[text(format, &rows)]).remove(0);
    let of = |read: &[Read], what: &str| read.iter().find(|it| it.name.contains(what)).cloned();
    let prometheus = read("prometheus");
    assert_eq!(of(&prometheus, "drbench_value_low").unwrap().value.unwrap(), "99.25");
    assert_eq!(of(&prometheus, "drbench_value_high").unwrap().value.unwrap(), "102");
    let bmf = of(&read("bmf"), "ns (tsc, ns)").unwrap();
    assert_eq!(
        (bmf.labels["lower_value"].as_str(), bmf.labels["upper_value"].as_str()),
        ("99.25", "102")
    );
    let kcidb = read("kcidb");
    assert_eq!(kcidb[0].labels["ci_low"], "99.25");
    assert_eq!(of(&read("criterion"), "/ns/tsc").unwrap().labels["lower_bound"], "99.25");
    assert_eq!(read("github-action-benchmark")[0].labels["range"], "95 %: 99.25 to 102");
    let gobench = read("gobench");
    assert_eq!(of(&gobench, "exits@").unwrap().labels["unit assume"], "exact");
    assert!(!of(&gobench, "ns@").unwrap().labels.contains_key("unit assume"));
    assert_eq!(of(&gobench, "ns@").unwrap().labels["unit better"], "lower");
}

#[test]
fn counts_beyond_what_floats_hold_keep_their_digits_and_readers_that_round_are_told_of() {
    let cell = cell("windows", 13, "none", 0, Policy::Kernel);
    let rows = [record(&cell, "exits", Source::Statistics, Outcome::ok(u64::MAX))];
    for format in OF_VALUES.into_iter().filter(|format| !format.ends_with("bigger")) {
        let Exported { text, notes } = try_export(format, &[kept("run", rows.to_vec())]).unwrap();
        assert!(text.contains("18446744073709551615"), "{format}: {text}");
        assert!(notes.iter().any(|note| note.starts_with("counts above 2^53: 1;")), "{notes:?}");
        read_back::<Read>(format, &[text]);
    }
}

fn compared(before: &[Record], after: &[Record]) -> (Comparison, Checks) {
    let rows = |rows: &[Record]| rows.iter().cloned().map(Ok).collect::<Vec<_>>();
    let comparison = reports::compare(rows(before), rows(after)).unwrap();
    let checks = Checks::of_comparison(&comparison, after.iter().cloned());
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
            (
                "worse",
                "failure",
                Some("exits by statistics: differs: 4 exits before, 5 exits after"),
            ),
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
    let failed: Vec<_> = checks.groups[0]
        .checks
        .iter()
        .filter(|check| check.verdict == reports::export::Verdict::Failed)
        .collect();
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
    let checks = Checks::of_comparison(&comparison, after.iter().cloned());
    let read: Vec<Vec<ReadCheck>> = read_back("junit", &[junit(&checks)]);
    let outcomes: Vec<_> = read[0].iter().map(|it| it.outcome.as_str()).collect();
    assert_eq!(outcomes, ["passed", "failure", "passed"]);
    assert!(read[0][0].lines[0].contains("within its limit"), "{:?}", read[0][0]);
    assert!(read[0][1].message.contains("limit broken"), "{:?}", read[0][1]);
}
