//! Formats of values.

use super::common::{self, cell, record};
use super::readers::{Read, is_value, read_back};
use super::{OF_VALUES, decoded, hostile_runs, kept, one_of_each, text, try_export};
use reports::export::Exported;
use reports::{Larger, Outcome, Policy, Record, Source, Status, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The columns of rows, as `results.csv` has them.
fn columns(records: &[Record]) -> Vec<BTreeMap<String, String>> {
    let text = common::csv(records);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
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
        let has_something = |rows: &&Vec<Record>| {
            ["prometheus", "kcidb"].contains(&format) || !exported(format, rows).is_empty()
        };
        let runs: Vec<_> = runs.iter().filter(has_something).collect();
        let texts: Vec<_> = runs.iter().map(|rows| text(format, rows)).collect();
        let read: Vec<Vec<Read>> = read_back(format, &texts);
        assert_eq!(read.len(), runs.len());
        let mut values = 0;
        for (read, rows) in read.iter().zip(runs) {
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
fn a_row_that_is_not_ok_has_no_value_anywhere() {
    let rows = one_of_each();
    for format in OF_VALUES.into_iter().filter(|format| !format.ends_with("bigger")) {
        let Exported { text, notes } = try_export(format, &[kept("run", rows.clone())]).unwrap();
        assert!(!text.contains("77"), "{format}: {text}");
        assert!(!text.contains('\u{1b}'), "{format}: {text}");
        let read: Vec<Vec<Read>> = read_back(format, &[text]);
        let values = |it: &&Read| {
            it.value.is_some() && (format != "prometheus" || it.name == "drbench_value")
        };
        assert_eq!(read[0].iter().filter(values).count(), 1, "{format}");
        let told = notes
            .iter()
            .any(|note| note.contains("1 failed, 1 unresolved, 1 unconfirmed, 1 skipped"));
        assert_eq!(told, format != "prometheus" && format != "kcidb", "{format}: {notes:?}");
    }
}

#[test]
fn an_export_that_would_hold_nothing_is_refused_and_says_what_would_hold_the_rows() {
    let bigger = "github-action-benchmark-bigger";
    let error = try_export(bigger, &[kept("run", one_of_each())]).unwrap_err();
    assert!(error.starts_with("run has nothing that a github-action-benchmark-bigger"), "{error}");
    let costs = "1, of which smaller is better (format github-action-benchmark has them)";
    assert!(error.contains(costs) && error.contains("drbench run --suite slowdown"), "{error}");

    let failed: Vec<_> =
        one_of_each().into_iter().filter(|row| row.status == Status::Failed).collect();
    for format in ["bmf", "github-action-benchmark", bigger, "gobench", "criterion"] {
        let error = try_export(format, &[kept("run", failed.clone())]).unwrap_err();
        let told = ["an empty one is not written", "1 failed; junit, ktap and kcidb hold them"];
        assert!(told.iter().all(|told| error.contains(told)), "{format}: {error}");
    }
    for format in ["prometheus", "kcidb", "junit", "ktap"] {
        assert!(text(format, &failed).contains("failed"), "{format}: it has a place for the row");
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
