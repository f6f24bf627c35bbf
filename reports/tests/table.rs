//! The policy table, as a person sees it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{cell, fits, name, predicted, record};
use reports::{
    Cell, Machine, Outcome, Policy, Record, Source, Status, Style, Value, Vendor, policy_table,
};
use std::sync::Arc;

/// (workload, accesses, interposed, every, policy, DR exits, all exits, instructions per switch)
type Row = (&'static str, u64, &'static str, u64, Policy, u64, u64, f64);

const LAZY: [Row; 8] = [
    ("none", 0, "none", 0, Policy::Kernel, 0, 1, 5.0),
    ("dr7", 1, "none", 0, Policy::Kernel, 1, 2, 83.72),
    ("windows", 13, "none", 0, Policy::Kernel, 1, 2, 98.315),
    ("windows", 13, "cpuid", 1, Policy::Kernel, 200, 401, 3751.4375),
    ("windows", 13, "pio-user", 10, Policy::Kernel, 20, 41, 1804.2),
    ("windows", 13, "none", 0, Policy::GuestDebug, 2600, 2601, 40771.25),
    ("save-restore", 12, "cpuid", 1, Policy::GuestDebug, 2400, 2601, 18410.5),
    ("linux-hwbp-4", 10, "msr-write", 1000, Policy::Kernel, 1, 2, 120.0),
];

fn rows_of(cell: &Cell, row: &Row) -> Vec<Record> {
    let &(.., dr, all, cost) = row;
    let counted =
        |metric, source, count| predicted(record(cell, metric, source, Outcome::ok(count)), count);
    vec![
        counted("exits", Source::Statistics, all),
        counted("exits", Source::Tracepoint, all),
        counted("dr_exits", Source::Tracepoint, dr),
        record(cell, "async_exits", Source::Tracepoint, Outcome::ok(0)),
        record(cell, "instructions", Source::Tsc, Outcome::ok(Value::real(cost).unwrap())),
        record(cell, "host_cycles", Source::Pmu, Outcome::skipped("The emulator has no PMU.")),
    ]
}

fn lab_run() -> Vec<Record> {
    let verdict = cell("anchors", 0, "none", 0, Policy::Kernel);
    let mut rows = vec![record(&verdict, "verdict", Source::None, Outcome::named("lazy"))];
    for row in &LAZY {
        let &(workload, accesses, interposed, every, policy, ..) = row;
        rows.extend(rows_of(&cell(workload, accesses, interposed, every, policy), row));
    }
    rows
}

/// An Intel section in which things went wrong.
fn bad_run() -> Vec<Record> {
    let mut rows = lab_run();
    rows.truncate(1 + 4 * 6);
    for row in &mut rows {
        Arc::make_mut(&mut row.key.target).vendor = Vendor::KvmIntel;
        Arc::make_mut(&mut row.key.target).machine = Machine::Bochs;
        Arc::make_mut(&mut row.key.target).cpu_model = "corei7_skylake_x".into();
    }
    rows[0].reason = "unknown: the anchor windows, cpuid/1, kernel gave 67 DR exits; lazy \
                      predicts 200, always 2600, never 0."
        .into();
    let mut failed = rows.split_off(21);
    failed[0].predicted = None;
    for row in &mut failed[..3] {
        let outcome = Outcome::failed(Some(Value::count(67)), "The counts fit no known policy.");
        *row = Record {
            predicted: None,
            ..Record::new(row.run.clone(), row.subject.clone(), row.key.clone(), outcome)
        };
    }
    rows.extend(failed);
    let unresolved =
        Outcome::unresolved(None, "Only 2 of 20 batches were undisturbed, 5 are needed.");
    let mut disturbed = record(
        &cell("scan", 6, "none", 0, Policy::Kernel),
        "dr_exits",
        Source::Tracepoint,
        unresolved,
    );
    disturbed.key.target = rows[0].key.target.clone();
    rows.push(disturbed);
    rows
}

#[test]
fn a_lab_run() {
    let text = policy_table(&lab_run(), Style::Plain);
    fits(&text);
    assert_eq!(text, include_str!("golden/policy-lab.txt"));
}

#[test]
fn two_vendors_and_trouble() {
    let rows = [lab_run(), bad_run()].concat();
    let text = policy_table(&rows, Style::Plain);
    fits(&text);
    assert_eq!(text, include_str!("golden/policy-trouble.txt"));
}

#[test]
fn an_ordinary_user_on_hardware() {
    let cell = cell("windows", 13, "cpuid", 1, Policy::Kernel);
    let reason = "There is no access to the tracepoint.";
    let mut rows = vec![
        record(&cell, "exits", Source::Statistics, Outcome::ok(401)),
        record(
            &cell,
            "dr_exits",
            Source::Model,
            Outcome::unconfirmed(Some(Value::count(200)), reason),
        ),
        record(&cell, "dr_exits", Source::Tracepoint, Outcome::skipped(reason)),
        record(&cell, "guest_cycles", Source::Tsc, Outcome::ok(4411)),
    ];
    for row in &mut rows {
        Arc::make_mut(&mut row.key.target).machine = Machine::Native;
    }
    let text = policy_table(&rows, Style::Plain);
    fits(&text);
    assert!(text.contains("cycles") && text.contains("4411.0"), "{text}");
    assert!(text.contains("200/–"), "the value of the model: {text}");
    assert!(text.contains("unconfirmed: dr_exits of windows"), "{text}");
    assert!(!text.contains("Lab figures") && !text.contains("decode assists"), "{text}");
}

#[test]
fn hostile_names_stay_in_their_place() {
    let mut rows = lab_run();
    for row in &mut rows {
        row.subject.kernel = format!("6.1\u{1b}[2J\n{}", "x".repeat(300));
        Arc::make_mut(&mut row.key.cell).workload = name(&"w".repeat(64));
    }
    fits(&policy_table(&rows, Style::Plain));
}

#[test]
fn colours_when_told_so() {
    let text = policy_table(&bad_run(), Style::Coloured);
    assert!(text.contains("\u{1b}["));
    let plain = policy_table(&bad_run(), Style::Plain);
    assert_ne!(text, plain);
}

#[test]
fn nothing_to_show_is_said() {
    assert!(policy_table(&[], Style::Plain).contains("no results"));
}

/// A cost on hardware, with an interval of so much on either side.
fn noisy(workload: &str, value: u64, half: Option<u64>) -> Record {
    let cell = cell(workload, 1, "none", 0, Policy::Kernel);
    let mut row = record(&cell, "ns", Source::Tsc, Outcome::ok(value));
    Arc::make_mut(&mut row.key.target).machine = Machine::Native;
    let end = |end: u64| half.map(|_| Value::count(end));
    let half = half.unwrap_or_default();
    let (ci_low, ci_high) = (end(value - half), end(value + half));
    Record { deterministic: false, ci_low, ci_high, ..row }
}

#[test]
fn a_run_that_cannot_resolve_two_percent_says_so() {
    let rows = [
        noisy("dr7", 1000, Some(20)),
        noisy("scan", 1000, Some(21)),
        // Too few values for an interval.
        noisy("windows", 1000, None),
        Record {
            value: None,
            status: Status::Unresolved,
            reason: "no batch was undisturbed".into(),
            ..noisy("save-restore", 1000, None)
        },
        // Not measured.
        Record {
            value: None,
            status: Status::Skipped,
            reason: "no clock".into(),
            ..noisy("n:5", 1000, None)
        },
    ];
    let resolved: Vec<_> = rows.iter().map(Record::is_resolved).collect();
    assert_eq!(resolved, [Some(true), Some(false), Some(false), Some(false), None]);
    let text = policy_table(&rows, Style::Plain);
    fits(&text);
    let text = text.replace('\n', " ");
    assert!(text.contains("3 of 4 costs cannot resolve 2 %"), "{text}");
    assert!(text.contains("`drbench env` lists what would make this machine quieter"), "{text}");
    assert!(
        !policy_table(&rows[..1], Style::Plain).contains("cannot resolve"),
        "nothing to complain of"
    );

    let emulated = |row: &Record| {
        let mut row = row.clone();
        Arc::make_mut(&mut row.key.target).machine = Machine::QemuTcg;
        row
    };
    let lab: Vec<_> = rows.iter().map(emulated).collect();
    assert!(lab.iter().all(|row| row.is_resolved().is_none()), "instructions have no noise");
    assert!(!policy_table(&lab, Style::Plain).contains("cannot resolve"));
}
