//! `drbench compare` as it is typed: limits, formats, and what it says of both.

use std::path::{Path, PathBuf};

use reports::{
    Cell, Environment, Key, Machine, Metric, Outcome, Policy, Record, RunDir, RunInfo, Source,
    Subject, Target, Vendor,
};

use crate::common::{drbench, place, told};

/// A run of a kernel of this name with so many DR exits, and a module parameter.
fn run(at: &Path, kernel: &str, dr_exits: u64, npt: &str) -> PathBuf {
    let subject = Subject {
        kernel: "6.1".to_owned(),
        kernel_id: kernel.to_owned(),
        variant: "stock".to_owned(),
    };
    let target =
        Target { vendor: Vendor::KvmAmd, machine: Machine::QemuTcg, cpu_model: "EPYC".to_owned() };
    let name = |text: &str| text.parse().expect("a name");
    let cell = Cell {
        suite: name("policy"),
        workload: name("windows"),
        policy: Policy::Kernel,
        interposed: name("none"),
        exits_every: 0,
        armed: false,
        vcpus: 1,
        accesses: 13,
        work: 0,
        switches: 4,
    };
    let info = RunInfo::begin("test", vec![]);
    let mut dir = RunDir::create(at, info.clone()).unwrap();
    let mut environment = Environment::new(subject.clone(), target.clone());
    let parameters = [("npt".to_owned(), npt.to_owned())].into_iter().collect();
    environment.module_parameters.insert("kvm_amd".to_owned(), parameters);
    dir.add_environment(environment).unwrap();
    let (target, cell) = (target.into(), cell.into());
    let key = Key { target, cell, metric: Metric::DrExits, source: Source::Tracepoint };
    let row = Record::new(info.run, subject, key, Outcome::ok(dr_exits));
    dir.append(&[Record { deterministic: true, ..row }]).unwrap();
    at.to_owned()
}

fn gate(at: &Path, text: &str) -> PathBuf {
    std::fs::write(at, text).unwrap();
    at.to_owned()
}

#[test]
fn a_gate_decides_the_status_and_the_report_is_printed_before() {
    let directory = tempfile::tempdir().unwrap();
    let before = run(&place(&directory, "before"), "6.1-1", 100, "1");
    let after = run(&place(&directory, "after"), "6.1-2", 103, "0");
    let within = gate(&place(&directory, "within"), "[[limit]]\nabsolute = 3\n");
    let beyond = gate(&place(&directory, "beyond"), "[[limit]]\nabsolute = 2\n");
    for (gate, status, word) in
        [(None, 1, "worse"), (Some(&within), 0, "within limit"), (Some(&beyond), 1, "limit broken")]
    {
        let mut compare = drbench();
        compare.arg("compare").args([&before, &after]);
        if let Some(gate) = gate {
            compare.arg("--gate").arg(gate);
        }
        let output = compare.output().unwrap();
        let report = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(status), "{report}");
        assert!(report.contains(word) && report.contains("+3 (+3.00 %)"), "{report}");
        assert!(report.contains("differs: module_parameters.kvm_amd.npt: 1 → 0"), "{report}");
    }
}

#[test]
fn what_gates_cannot_be_is_a_usage_error_that_names_the_file_and_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let one = run(&place(&directory, "one"), "6.1-1", 100, "1");
    let missing = place(&directory, "missing.toml");
    let wrong = gate(&place(&directory, "wrong.toml"), "[[limit]]\nrelative = -1.0\n");
    for (option, value, named) in [
        ("--gate", missing.to_str().unwrap(), "missing.toml"),
        ("--gate", wrong.to_str().unwrap(), "limit 1: -1 is no size"),
        ("--min-effect", "nan", "no number from 0 to 1000"),
        ("--format", "papyrus", "papyrus"),
    ] {
        let output =
            drbench().arg("compare").args([&one, &one]).args([option, value]).output().unwrap();
        let (status, said) = told(&output);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(named), "{said}");
    }
}

#[test]
fn a_mail_begins_with_the_verdict_and_a_kernels_name_stays_text() {
    let directory = tempfile::tempdir().unwrap();
    let before = run(&place(&directory, "before"), "6.1-1", 100, "1");
    let after = run(&place(&directory, "after"), "<img src=x>|`rm`", 90, "1");
    let output = drbench()
        .args(["compare", "--format", "markdown"])
        .args([&before, &after])
        .output()
        .unwrap();
    let mail = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "fewer exits are no regression: {mail}");
    assert!(mail.starts_with("**Not worse.**"), "{mail}");
    assert!(mail.contains("| better |") && mail.contains("-10 (-10.00 %)"), "{mail}");
    assert!(!mail.contains("<img") && !mail.contains("|`rm`"), "{mail}");
}
