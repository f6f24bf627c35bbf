//! The table of several vCPUs.
#![allow(clippy::unwrap_used)]

mod common;

use common::{cell, fits, name, predicted, record};
use reports::{Cell, Outcome, Policy, Record, Source, Style, smp_table};

fn of(placement: &str, vcpu: u32, vcpus: u32) -> Cell {
    let workload = format!("linux-hwbp-4.{placement}.vcpu{vcpu}");
    let cell = cell(&workload, 12, "pio-user", 1, Policy::Kernel);
    Cell { suite: name("smp"), vcpus, armed: true, switches: 4, ..cell }
}

fn rows(placement: &str, vcpu: u32, vcpus: u32, cost: u64) -> Vec<Record> {
    let of = of(placement, vcpu, vcpus);
    vec![
        predicted(record(&of, "dr_exits", Source::Tracepoint, Outcome::ok(4)), 4),
        record(&of, "check:breakpoint", Source::Guest, Outcome::passed()),
        record(&of, "instructions", Source::Tsc, Outcome::ok(cost)),
    ]
}

fn has_line(table: &str, words: &[&str]) {
    let found = table.lines().any(|line| line.split_whitespace().eq(words.iter().copied()));
    assert!(found, "{words:?} in\n{table}");
}

#[test]
fn each_vcpu_has_its_exits_and_cost_in_the_line_of_its_placement() {
    let mut all = rows("pinned", 0, 1, 4315);
    all.extend((0..4).flat_map(|vcpu| rows("moved", vcpu, 4, 16_900 + u64::from(vcpu))));
    let table = smp_table(&all, Style::Plain);
    fits(&table);
    has_line(&table, &["pinned", "1", "4/4", "4315", "1/1", "ok"]);
    let moved = "moved 4 4/4 4/4 4/4 4/4 16900 16901 16902 16903 4/4 ok";
    has_line(&table, &moved.split(' ').collect::<Vec<_>>());
    assert!(table.contains("linux-hwbp-4 armed, 12 accesses, pio-user/1, S=4, kernel"), "{table}");
    assert!(table.contains("share one instruction clock"), "{table}");
    assert!(smp_table(&[], Style::Plain).contains("no results"));
}

#[test]
fn one_vcpu_that_is_off_and_one_that_lost_its_breakpoint_stand_out() {
    let mut all = rows("moved", 0, 2, 16_900);
    let mut second = rows("moved", 1, 2, 16_900);
    let off = Outcome::failed(Some(3.into()), "3 DR exits, `lazy` predicts 4");
    second[0] = predicted(record(&of("moved", 1, 2), "dr_exits", Source::Tracepoint, off), 4);
    let lost = Outcome::failed(None, "it gave 0 exceptions");
    second[1] = record(&of("moved", 1, 2), "check:breakpoint", Source::Guest, lost);
    all.extend(second);
    let table = smp_table(&all, Style::Plain);
    has_line(&table, &["moved", "2", "4/4", "3/4", "16900", "16900", "1/2", "failed"]);
    assert!(table.contains("it gave 0 exceptions"), "{table}");
}

#[test]
fn what_cannot_be_had_is_a_line_and_not_a_zero() {
    let of = of("pinned", 0, 1);
    let why = "1 pinned vCPU needs a CPU";
    let all = [record(&of, "dr_exits", Source::Tracepoint, Outcome::skipped(why))];
    let table = smp_table(&all, Style::Plain);
    has_line(&table, &["pinned", "1", "–", "–", "skipped"]);
    let words = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(why), "{table}");
}
