//! The table of a played record.
#![allow(clippy::unwrap_used)]

mod common;

use common::{cell, fits, name, predicted, record};
use reports::{Cell, Outcome, Policy, Record, Source, Style, trace_table};

fn of(workload: &str, accesses: u64, policy: Policy) -> Cell {
    Cell { suite: name("trace"), ..cell(workload, accesses, "cpuid", 0, policy) }
}

fn rows(workload: &str, policy: Policy, exits: u64, lost: u64) -> Vec<Record> {
    let load = of(workload, 90, policy);
    let control = of(&format!("{workload}.control"), 0, policy);
    let count =
        |metric, source, count| predicted(record(&load, metric, source, Outcome::ok(count)), count);
    vec![
        count("played_switches", Source::Guest, 354),
        count("dr_exits", Source::Tracepoint, exits),
        record(&load, "interposed_exits", Source::Tracepoint, Outcome::ok(129)),
        record(&load, "lost_per_second", Source::Model, Outcome::ok(lost)),
        record(&control, "taken_per_second", Source::Model, Outcome::ok(4321)),
    ]
}

#[test]
fn each_cpu_shows_played_beside_recorded_and_what_it_loses_beside_what_it_takes() {
    let mut all = rows("0a1b2c3d.cpu0", Policy::Kernel, 42, 328_621);
    all.extend(rows("0a1b2c3d.all", Policy::GuestDebug, 90, 11_272_618));
    let table = trace_table(&all, "Every switch is played.", Style::Plain);
    fits(&table);
    let line = |words: [&str; 8]| {
        let found = table.lines().any(|line| line.split_whitespace().take(8).eq(words));
        assert!(found, "{words:?} in\n{table}");
    };
    line(["0", "kernel", "354/354", "90", "42/42", "129", "4321", "328621"]);
    line(["all", "guest-debug", "354/354", "90", "90/90", "129", "4321", "11272618"]);
    assert!(table.contains("Every switch is played."), "{table}");
    assert!(!table.contains("control"), "{table}");
    assert!(trace_table(&[], "", Style::Plain).contains("no results"));
}

#[test]
fn a_switch_that_was_not_played_stands_out_with_its_reason() {
    let mut all = rows("0a1b2c3d.cpu0", Policy::Kernel, 42, 1);
    let load = all[0].key.cell.clone();
    let failed = Outcome::failed(Some(353.into()), "the guest played 353 of 354 switches");
    all[0] = predicted(record(&load, "played_switches", Source::Guest, failed), 354);
    let table = trace_table(&all, "", Style::Plain);
    assert!(table.contains("353/354") && table.contains("failed"), "{table}");
    let words = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("the guest played 353 of 354 switches"), "{table}");
}
