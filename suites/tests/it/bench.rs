//! `cargo bench`: its figures are those of `drbench run`.

#[path = "../../benches/debug_registers/recorded.rs"]
mod recorded;

use reports::{Metric, Source};
use suites::plan::{self, Role};

use crate::common::{KERNEL, lab, place, rows, told};

#[test]
fn a_bench_in_the_lab_has_the_figures_of_another_run_of_drbench_run() {
    let benched = recorded::run(KERNEL, "amd").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "run");
    let run = lab(&out, &["--suite", "policy"]);
    assert_eq!(told(&run).0, Some(0), "{}", told(&run).1);
    let rows = rows(&out);

    let cells = plan::policy(&[]).into_iter();
    let cells = cells.filter(|cell| matches!(cell.role, Role::Anchor | Role::Cell));
    let mut compared = 0;
    for cell in cells {
        for (metric, source) in
            [(Metric::Instructions, Source::Tsc), (Metric::DrExits, Source::Tracepoint)]
        {
            let section = recorded::section(&benched, &cell, &metric, source).unwrap();
            let again = recorded::section(&rows, &cell, &metric, source).unwrap();
            assert!(section.to_bits() == again.to_bits(), "{cell}: {section}, then {again}");
            assert!(section.fract() == 0.0, "{cell}: {section} {metric} of a section");
            compared += 1;
        }
    }
    assert_eq!(compared, 2 * 64);

    // The same by hand: four switches of `n:5` with a CPUID after each.
    let by_hand = rows.iter().find(|row| {
        let cell = &row.key.cell;
        row.key.metric == Metric::Instructions
            && cell.policy == reports::Policy::Kernel
            && (cell.workload.as_str(), cell.interposed.as_str()) == ("n:5", "cpuid")
            && cell.exits_every == 1
    });
    let per_switch = by_hand.and_then(|row| row.value).expect("a value").as_f64();
    let cell = plan::policy(&[])
        .into_iter()
        .find(|cell| cell.role == Role::Cell && cell.to_string() == "n:5,cpuid/1,switches=4");
    let cell = cell.expect("a cell of the policy suite");
    let section = recorded::section(&benched, &cell, &Metric::Instructions, Source::Tsc).unwrap();
    assert!((section / 4.0 - per_switch).abs() < 1e-9, "{section}, {per_switch} a switch");
}
