//! What exits cost: prices that explain cells they were not fitted on.

use std::process::Output;

use crate::common::{KERNEL, data, drbench, place, rows, told};
use reports::{Metric, Record, Source, Status, Value};

/// The cost suite on this kernel and vendor: what was said, and the rows.
fn cost(kernel: &str, vendor: &str) -> (Output, Vec<Record>) {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "run");
    let run = drbench()
        .args(["run", "--kernel", kernel, "--cpu", vendor, "--suite", "cost", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert_eq!(told(&run).0, Some(0), "{}", told(&run).1);
    let rows = rows(&out);
    (run, rows)
}

fn price(rows: &[Record], name: &str) -> f64 {
    let metric = Metric::Cost(name.parse().unwrap());
    let row = rows.iter().find(|row| row.key.metric == metric).expect("a price");
    assert_eq!(row.status, Status::Ok);
    row.value.map(Value::as_f64).expect("a number")
}

#[test]
fn half_of_the_sweep_predicts_the_other_half_within_a_percent_on_both_vendors() {
    for vendor in ["amd", "intel"] {
        let (run, rows) = cost(KERNEL, vendor);
        let table = String::from_utf8(run.stdout).unwrap();
        assert!(table.contains("dr-exit-lazy") && table.contains("tested: "), "{table}");

        let tested = Metric::Residual("tested".parse().unwrap());
        let tested = rows.iter().find(|row| row.key.metric == tested).unwrap();
        let parameters =
            rows.iter().filter(|row| matches!(row.key.metric, Metric::Cost(_))).count();
        assert!(tested.value.unwrap().as_f64() <= 0.01, "{:?}", tested.value);
        assert!(tested.samples as usize >= 10 * parameters, "{} cells", tested.samples);

        // Without an exit a cell is known to the instruction.
        let control = |row: &&Record| {
            row.key.cell.accesses == 0
                && row.key.cell.exits_every == 0
                && row.key.metric == Metric::Instructions
                && row.predicted.is_some()
        };
        let controls: Vec<_> = rows.iter().filter(control).collect();
        assert!(controls.len() >= 4, "armed or not, with guest debug or without");
        assert!(controls.iter().all(|row| row.value == row.predicted));

        // An exit that leads nowhere is dearer than the registers it reads back.
        assert!(price(&rows, "exit-cpuid") > price(&rows, "dirty-sync"));
        assert!(price(&rows, "dirty-sync") > 0.0 && price(&rows, "armed-entry") > 0.0);

        // Counting is dearer than what is counted: that is why costs are a pass of their own.
        assert!(price(&rows, "tracepoint") > price(&rows, "dr-exit-lazy"), "{vendor}");

        // KVM of this series re-enters from a TSC-deadline write at once where it has a timer of the
        // guest's own, the VMX preemption timer.
        let fast_path = Metric::Fastpath("tsc-deadline".parse().unwrap());
        let found = rows.iter().find(|row| row.key.metric == fast_path).unwrap();
        let is_fast = vendor == "intel";
        assert_eq!(found.value, Some(u64::from(is_fast).into()), "{vendor}");
        assert_eq!(table.contains("IA32_TSC_DEADLINE, here a fast path"), is_fast, "{table}");
    }
}

#[test]
fn a_kernel_that_never_intercepts_pays_for_registers_at_each_full_exit_and_at_no_other() {
    let (_, rows) = cost(&format!("{KERNEL}+never"), "intel");
    let tested = Metric::Residual("tested".parse().unwrap());
    let tested = rows.iter().find(|row| row.key.metric == tested).unwrap();
    assert_eq!((tested.status, tested.value.unwrap().as_f64() <= 0.01), (Status::Ok, true));
    let toll = price(&rows, "save-and-load");
    assert!(toll > 0.0 && toll < price(&rows, "exit-cpuid"), "{toll}");
    // The price of a fast path holds no such toll: without it the model would not hold either.
    assert!(price(&rows, "exit-tsc-deadline") > 0.0);
}

#[test]
fn every_kind_of_exit_is_counted_as_predicted_also_where_statistics_leave_fast_paths_out() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "run");
    let mut run = drbench();
    run.args(["run", "--kernel", "debian:5.10", "--cpu", "intel", "--out"]).arg(&out);
    for workload in ["windows,tsc-deadline/1", "windows,page-touch/2", "windows,breakpoint/1,armed"]
    {
        run.args(["--workload", workload]);
    }
    assert_eq!(told(&run.output().unwrap()).0, Some(0));
    let rows = rows(&out);
    let exits = |kind: &str, source: Source| {
        let own = |row: &&Record| {
            let cell = &row.key.cell;
            cell.interposed.as_str() == kind
                && cell.policy == reports::Policy::Kernel
                && (row.key.metric == Metric::Exits && row.key.source == source)
        };
        let row = rows.iter().find(own).expect("a row");
        assert_eq!((row.status, row.value), (Status::Ok, row.predicted), "{kind}");
        row.value.expect("a number")
    };
    let both = |kind| [Source::Tracepoint, Source::Statistics].map(|source| exits(kind, source));
    assert_eq!(
        both("tsc-deadline"),
        [6, 2].map(Value::count),
        "a DR exit, four fast paths, the marker"
    );
    assert_eq!(both("page-touch"), [5, 5].map(Value::count));
    assert_eq!(both("breakpoint"), [9, 9].map(Value::count));
}

#[test]
fn ten_instructions_more_in_a_dr_exit_are_found_within_two_and_nowhere_else() {
    const PLANTED: f64 = 10.0;
    const WITHIN: f64 = 2.0;
    let planted = format!("{KERNEL}+{}", data("ten-more.patch").display());
    for vendor in ["amd", "intel"] {
        let (_, before) = cost(KERNEL, vendor);
        let (_, after) = cost(&planted, vendor);
        let mut of_dr_exits = 0;
        for row in &before {
            let Metric::Cost(name) = &row.key.metric else { continue };
            let name = name.to_string();
            let more = price(&after, &name) - price(&before, &name);
            let is_dr_exit = name.starts_with("dr-exit-");
            let truth = if is_dr_exit { PLANTED } else { 0.0 };
            assert!((more - truth).abs() <= WITHIN, "{vendor}: {name} costs {more} more");
            of_dr_exits += u32::from(is_dr_exit);
        }
        assert_eq!(of_dr_exits, 5, "{vendor}: lazy, and by register");
    }
}
