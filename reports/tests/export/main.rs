//! Exports, read back by those whose formats they are.
#![allow(clippy::unwrap_used)]

mod checks;
#[path = "../common/mod.rs"]
mod common;
mod compared;
#[path = "../common/readers.rs"]
mod readers;
mod several;
mod values;

use common::{cell, record, run};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reports::export::{Exported, FORMATS, Origin, export};
use reports::{KeptRun, Outcome, Policy, Record, Source, Status, Value};
use std::collections::BTreeSet;

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
