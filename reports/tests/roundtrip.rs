//! Whatever is written comes back.
#![allow(clippy::unwrap_used)]

mod common;

use common::any::{a_metric, a_record, a_value};
use proptest::prelude::*;
use reports::{Metric, Outcome, Reader, Record, Source, Status, Value};
use std::sync::Arc;

proptest! {
    #[test]
    fn a_record_comes_back_from_the_file(record in a_record()) {
        let dir = tempfile::tempdir().unwrap();
        let mut info = reports::RunInfo::begin("0", Vec::new());
        info.run = record.run.clone();
        let mut store = reports::RunDir::create(dir.path(), info).unwrap();
        store.append(std::slice::from_ref(&record)).unwrap();
        prop_assert_eq!(reports::read(dir.path()).unwrap(), vec![record]);
    }

    #[test]
    fn a_value_is_printed_as_it_is_read(value in a_value()) {
        let text = value.to_string();
        prop_assert!(!text.contains('e'), "an exponent in {text}");
        prop_assert_eq!(text.parse::<Value>().unwrap(), value);
    }

    #[test]
    fn a_metric_is_printed_as_it_is_read(metric in a_metric()) {
        prop_assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
    }

    /// A file cut anywhere gives the whole rows before the cut and, unless the cut is between two
    /// rows, an error: never a wrong row.
    #[test]
    fn a_cut_file_never_gives_a_wrong_row(
        mut records in prop::collection::vec(a_record(), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let run = records[0].run.clone();
        for (number, record) in records.iter_mut().enumerate() {
            record.run = run.clone();
            Arc::make_mut(&mut record.key.cell).switches = number as u64;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut info = reports::RunInfo::begin("0", Vec::new());
        info.run = run;
        let mut store = reports::RunDir::create(dir.path(), info).unwrap();
        let length = || std::fs::metadata(dir.path().join("results.csv")).unwrap().len();
        let mut ends = vec![length()];
        for record in &records {
            store.append(std::slice::from_ref(record)).unwrap();
            ends.push(length());
        }
        let whole = std::fs::read(dir.path().join("results.csv")).unwrap();
        let cut = cut.index(whole.len());

        let mut rows = Vec::new();
        let mut error = None;
        match Reader::new(&whole[..cut], "cut.csv") {
            Ok(reader) => for row in reader {
                match row {
                    Ok(row) => rows.push(row),
                    Err(problem) => error = Some(problem),
                }
            },
            Err(problem) => error = Some(problem),
        }
        let complete = ends.iter().filter(|end| **end <= cut as u64).count().saturating_sub(1);
        prop_assert_eq!(&rows[..], &records[..complete]);
        prop_assert_eq!(error.is_none(), ends.contains(&(cut as u64)), "cut at {}: {:?}", cut, error);
    }
}

#[test]
fn costs_are_exact() {
    let cost = Value::ratio(6_272_875, 2000).unwrap();
    assert_eq!(cost.to_string(), "3136.4375");
    assert_eq!("3136.4375".parse::<Value>().unwrap(), cost);
    assert_eq!(Value::ratio(6000, 2000), Some(Value::count(3)));
    assert_eq!(Value::ratio(1, 0), None);
    // One that f64 cannot hold.
    assert_eq!(Value::count(9_007_199_254_740_993).to_string(), "9007199254740993");
    for wrong in ["", "inf", "NaN", "1e999", "0x10", "1,5", " 1"] {
        assert!(wrong.parse::<Value>().is_err(), "{wrong:?}");
    }
}

#[test]
fn the_header_is_the_one_of_the_design() {
    let results = "run_id,started_at,kernel,kernel_id,variant,vendor,machine,cpu_model,suite,\
        workload,policy,interposed,exits_every,armed,vcpus,accesses,work,switches,metric,source,\
        unit,value,ci_low,ci_high,samples,predicted,deterministic,status,reason";
    assert_eq!(reports::record::header::<Record>().join(","), results);
    let samples = "run_id,kernel,kernel_id,variant,vendor,machine,cpu_model,suite,\
        workload,policy,interposed,exits_every,armed,vcpus,accesses,work,switches,metric,source,\
        boot,batch,value";
    assert_eq!(reports::record::header::<reports::Sample>().join(","), samples);
}

#[test]
fn a_row_looks_as_expected() {
    let text = common::csv(&[common::exits("windows", 200)]);
    let row = text.lines().nth(1).unwrap();
    assert_eq!(
        row,
        "20260101T120000Z-0a1b2c,2026-01-01T12:00:00Z,6.1.176,6.1.176-1,stock,kvm_amd,qemu-tcg,\
         EPYC,policy,windows,kernel,none,0,false,1,12,0,200,dr_exits,tracepoint,exits,200,,,1,200,\
         true,ok,"
    );
}

#[test]
fn contradictions_are_found() {
    let good = common::exits("windows", 1);
    let with = |change: fn(&mut Record)| {
        let mut record = good.clone();
        change(&mut record);
        record.validate().map_err(|invalid| invalid.column)
    };
    assert_eq!(with(|_| ()), Ok(()));
    assert_eq!(with(|record| record.value = None), Err("value"));
    assert_eq!(with(|record| record.status = Status::Failed), Err("reason"));
    assert_eq!(with(|record| record.ci_low = Some(Value::count(1))), Err("ci_high"));
    let skipped_zero = |record: &mut Record| {
        record.status = Status::Skipped;
        record.reason = "no such counter".into();
    };
    assert_eq!(with(skipped_zero), Err("value"));
    let cell = &good.key.cell;
    let verdict = |outcome| common::record(cell, "verdict", Source::None, outcome).validate();
    assert!(verdict(Outcome::named("lazy")).is_ok());
    assert_eq!(verdict(Outcome::named("")).unwrap_err().column, "reason");
    assert_eq!(verdict(Outcome::ok(1)).unwrap_err().column, "value");
    let check = common::record(cell, "check:dr6", Source::None, Outcome::passed());
    assert!(check.validate().is_ok());
    for invalid in ["value", "reason", "ci_high"] {
        assert!(reports::record::header::<Record>().contains(&invalid));
    }
}
