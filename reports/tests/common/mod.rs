//! Made-up rows.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses its part

pub mod any;

use reports::{
    Cell, Key, Machine, Metric, Name, Outcome, Policy, Record, Run, Source, Subject, Target, Value,
    Vendor,
};

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn run() -> Run {
    Run {
        run_id: name("20260101T120000Z-0a1b2c"),
        started_at: "2026-01-01T12:00:00Z".parse().unwrap(),
    }
}

pub fn subject() -> Subject {
    Subject { kernel: "6.1.176".into(), kernel_id: "6.1.176-1".into(), variant: "stock".into() }
}

pub fn target() -> Target {
    Target { vendor: Vendor::KvmAmd, machine: Machine::QemuTcg, cpu_model: "EPYC".into() }
}

pub fn cell(workload: &str, accesses: u64, interposed: &str, every: u64, policy: Policy) -> Cell {
    Cell {
        suite: name("policy"),
        workload: name(workload),
        policy,
        interposed: name(interposed),
        exits_every: every,
        armed: false,
        vcpus: 1,
        accesses,
        work: 0,
        switches: 200,
    }
}

/// A row for each metric of these tests, each deterministic.
pub fn record(cell: &Cell, metric: &str, source: Source, outcome: Outcome) -> Record {
    let metric: Metric = metric.parse().unwrap();
    let key = Key { target: target().into(), cell: cell.clone().into(), metric, source };
    Record { deterministic: true, ..Record::new(run(), subject(), key, outcome) }
}

pub fn predicted(record: Record, count: u64) -> Record {
    Record { predicted: Some(Value::count(count)), ..record }
}

/// A plain row of the policy suite.
pub fn exits(workload: &str, count: u64) -> Record {
    let cell = cell(workload, 12, "none", 0, Policy::Kernel);
    predicted(record(&cell, "dr_exits", Source::Tracepoint, Outcome::ok(count)), count)
}

/// The file as [`reports::RunDir`] writes it.
pub fn csv(rows: &[Record]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut info = reports::RunInfo::begin("0", Vec::new());
    info.run = run();
    let mut store = reports::RunDir::create(dir.path(), info).unwrap();
    store.append(rows).unwrap();
    std::fs::read_to_string(dir.path().join("results.csv")).unwrap()
}

/// Plain text that fits a terminal of 100 columns.
#[track_caller]
pub fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "wider than 100: {line}");
        assert_eq!(line, line.trim_end(), "trailing blanks");
    }
    assert!(!text.contains('\u{1b}'), "colour codes in plain text");
}
