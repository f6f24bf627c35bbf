//! Formats of checks, and reasons.

use super::common::{cell, record};
use super::readers::{Read, ReadCheck, read_back};
use super::{OF_CHECKS, decoded, hostile_runs, one_of_each, text};
use reports::{Outcome, Policy, Record, Source, Status};
use std::collections::BTreeSet;

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
