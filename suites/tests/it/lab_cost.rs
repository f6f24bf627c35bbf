//! What exits cost: prices that explain cells they were not fitted on.

use crate::common::{KERNEL, drbench, place, rows, told};
use reports::{Metric, Record, Status, Value};

fn price(rows: &[Record], name: &str) -> f64 {
    let metric = Metric::Cost(name.parse().unwrap());
    let row = rows.iter().find(|row| row.key.metric == metric).expect("a price");
    assert_eq!(row.status, Status::Ok);
    row.value.map(Value::as_f64).expect("a number")
}

#[test]
fn half_of_the_sweep_predicts_the_other_half_within_a_percent_on_both_vendors() {
    let directory = tempfile::tempdir().unwrap();
    for vendor in ["amd", "intel"] {
        let out = place(&directory, vendor);
        let run = drbench()
            .args(["run", "--kernel", KERNEL, "--cpu", vendor, "--suite", "cost", "--out"])
            .arg(&out)
            .output()
            .unwrap();
        assert_eq!(told(&run).0, Some(0), "{}", told(&run).1);
        let table = String::from_utf8(run.stdout).unwrap();
        assert!(table.contains("dr-exit-lazy") && table.contains("tested: "), "{table}");

        let rows = rows(&out);
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
    }
}
