//! `drbench report --format …` and `drbench compare --format …` as they are typed, on real runs, read by
//! those whose formats they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use reports::export::FORMATS;
use reports::{Larger, Record, Status, Value};

use crate::common::{KERNEL, drbench, lab, place, rows, told};
use readers::{Read, ReadCheck, is_value, read_back};

#[path = "../../../reports/tests/common/readers.rs"]
mod readers;

/// Both vendors in the lab.
fn both_vendors(out: &Path, more: &[&str]) {
    let mut run = drbench();
    run.args(["run", "--kernel", KERNEL, "--out"]).arg(out).args(more);
    let (status, said) = told(&run.output().unwrap());
    assert_eq!(status, Some(0), "{said}");
}

/// Exports to standard output; and what was told meanwhile.
fn exported(format: &str, runs: &[&Path]) -> (String, String) {
    let output = drbench().arg("report").args(runs).args(["--format", format]).output().unwrap();
    let (status, said) = told(&output);
    assert_eq!(status, Some(0), "{format}: {said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

/// A file that would hold nothing is an error, and is not written.
fn nothing_is_refused(format: &str, run: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory, "nothing");
    let mut report = drbench();
    report.arg("report").arg(run).args(["--format", format, "--out"]).arg(&file);
    let (status, said) = told(&report.output().unwrap());
    assert_eq!(status, Some(2), "{format}: {said}");
    assert!(said.contains("an empty one is not written: rows left out"), "{format}: {said}");
    assert!(!file.exists());
}

fn is_ok(row: &Record) -> bool {
    row.status == Status::Ok && row.value.is_some()
}

/// What a value of `results.csv` is called in a format, by which it must be found there.
fn name(format: &str, row: &Record) -> String {
    let Record { subject, key, run, unit, .. } = row;
    let (target, metric, source) = (&key.target, key.metric.to_string(), key.source);
    let place = format!("{}/{}/{}", target.vendor, target.machine, target.cpu_model);
    let cell = format!("{place}/{}/{}", key.cell.suite, key.cell.within_suite());
    let variant = &subject.variant;
    match format {
        "bmf" => {
            let (word, name) = metric.split_once(':').unwrap_or((&metric, ""));
            let slash = if name.is_empty() { "" } else { "/" };
            format!("{variant}/{cell}{slash}{name} {word} ({source}, {unit})")
        }
        "github-action-benchmark" | "github-action-benchmark-bigger" => {
            format!("{variant}/{cell}/{metric}/{source}")
        }
        "kcidb" => {
            let kernel = format!("{}/{}/{variant}", subject.kernel, subject.kernel_id);
            format!("drbench:{}/{kernel}/{cell}/{metric}/{source}", run.run_id)
        }
        "criterion" => format!("{cell}/{metric}/{source}/{unit}"),
        "gobench" => {
            let c = &key.cell;
            format!(
                "BenchmarkDrbench/suite={}/workload={}/policy={}/interposed={}/exits_every={}/armed={}\
                 /vcpus={}/accesses={}/work={}/switches={} {metric}@{source} {target}",
                c.suite,
                c.workload,
                c.policy,
                c.interposed,
                c.exits_every,
                c.armed,
                c.vcpus,
                c.accesses,
                c.work,
                c.switches
            )
        }
        _ => format!("{subject} {cell} {metric} {source} {unit}"),
    }
}

/// The same of what was read.
fn name_read(format: &str, read: &Read) -> String {
    let label = |name: &str| read.labels[name].clone();
    match format {
        "gobench" => format!("{} {}", read.name, label("machine")),
        "prometheus" => {
            let [kernel, kernel_id, variant, vendor, machine, cpu] =
                ["kernel", "kernel_id", "variant", "vendor", "machine", "cpu_model"].map(label);
            let [suite, metric, source, unit] = ["suite", "metric", "source", "unit"].map(label);
            let cell = reports::Cell {
                suite: suite.parse().unwrap(),
                workload: label("workload").parse().unwrap(),
                policy: label("policy").parse().unwrap(),
                interposed: label("interposed").parse().unwrap(),
                exits_every: label("exits_every").parse().unwrap(),
                armed: label("armed").parse().unwrap(),
                vcpus: label("vcpus").parse().unwrap(),
                accesses: label("accesses").parse().unwrap(),
                work: label("work").parse().unwrap(),
                switches: label("switches").parse().unwrap(),
            };
            let cell = cell.within_suite();
            format!(
                "{kernel} ({kernel_id}, {variant}) {vendor}/{machine}/{cpu}/{suite}/{cell} {metric} \
                 {source} {unit}"
            )
        }
        _ => read.name.clone(),
    }
}

fn fits(format: &str, row: &Record) -> bool {
    match format {
        "github-action-benchmark" => row.key.metric.larger_is() == Larger::Worse,
        "github-action-benchmark-bigger" => row.key.metric.larger_is() == Larger::Better,
        _ => true,
    }
}

/// Exports a run in every format of values, and compares what its readers find with `results.csv`.
/// Gives the number of values of each.
fn values_come_back(run: &Path) -> BTreeMap<&'static str, usize> {
    let rows = rows(run);
    let mut counts = BTreeMap::new();
    for format in FORMATS.iter().map(|format| format.name).filter(|it| !is_of_checks(it)) {
        let has_place = ["prometheus", "kcidb"].contains(&format);
        if !has_place && !rows.iter().any(|row| is_ok(row) && fits(format, row)) {
            nothing_is_refused(format, run);
            counts.insert(format, 0);
            continue;
        }
        let (text, said) = exported(format, &[run]);
        let read: Vec<Read> = read_back(format, &[text]).remove(0);
        let counts_as_value = |it: &&Read| {
            it.value.is_some() && (format != "prometheus" || it.name == "drbench_value")
        };
        let found: BTreeMap<String, &str> = read
            .iter()
            .filter(counts_as_value)
            .map(|it| (name_read(format, it), it.value.as_deref().unwrap()))
            .collect();
        let values = read.iter().filter(counts_as_value).count();
        assert_eq!(found.len(), values, "{format}: each name once");
        let wanted = rows.iter().filter(|row| is_ok(row) && fits(format, row));
        assert_eq!(wanted.clone().count(), values, "{format} of {}", run.display());
        for row in wanted {
            let (name, value) = (name(format, row), row.value.unwrap());
            let text = found.get(&name).unwrap_or_else(|| panic!("{format}: no {name}"));
            assert!(is_value(format, text, value), "{format}: {name}: {text}, not {value}");
        }
        let left_out = rows.iter().any(|row| !is_ok(row));
        assert_eq!(said.contains("rows left out, which"), left_out && !has_place, "{said}");
        counts.insert(format, values);
    }
    counts
}

fn is_of_checks(format: &str) -> bool {
    format == "junit" || format == "ktap"
}

/// Exports a run in the formats of checks: each row is in a line of its cell. Gives the outcomes.
fn checks_come_back(run: &Path) -> BTreeSet<String> {
    let rows = rows(run);
    let mut outcomes = BTreeSet::new();
    for format in ["junit", "ktap"] {
        let (text, _) = exported(format, &[run]);
        let read: Vec<ReadCheck> = read_back(format, &[text]).remove(0);
        let lines: BTreeSet<(&str, &str, &str)> = read
            .iter()
            .flat_map(|it| it.lines.iter().map(|line| (&*it.group, &*it.name, &**line)))
            .collect();
        for row in &rows {
            let key = &row.key;
            let of_cell = |(group, name, _): &&(&str, &str, &str)| {
                group.contains(key.target.vendor.as_str())
                    && group.starts_with(key.cell.suite.as_str())
                    && name.ends_with(&key.cell.within_suite())
            };
            let wanted = match row.value.filter(|_| is_ok(row)) {
                Some(value) => format!("{} by {} = {value}", key.metric, key.source),
                // As much of it as no format changes.
                None => row.reason.split("not syncing").next().unwrap().to_owned(),
            };
            let found = lines.iter().filter(of_cell).any(|(_, _, line)| {
                let after = line.split_once(&wanted).map(|(_, after)| after);
                after.is_some_and(|after| {
                    !after.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                })
            });
            assert!(found, "{format}: no {wanted} of {key}");
        }
        outcomes.extend(read.into_iter().map(|it| it.outcome));
    }
    outcomes
}

#[test]
fn a_lab_run_of_both_vendors_comes_back_from_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "policy");
    both_vendors(&out, &[]);
    let counts = values_come_back(&out);
    assert!(counts["prometheus"] > 1000, "{counts:?}");
    let outcomes = checks_come_back(&out);
    assert!(outcomes.contains("passed") && !outcomes.contains("failure"), "{outcomes:?}");
}

#[test]
fn rates_of_the_slowdown_suite_are_what_is_better_the_larger_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "slowdown");
    both_vendors(&out, &["--suite", "slowdown"]);
    let counts = values_come_back(&out);
    assert!(counts["github-action-benchmark-bigger"] > 20, "{counts:?}");
    checks_come_back(&out);
}

#[test]
fn a_run_with_failed_and_unresolved_cells_comes_back_and_is_no_failure_of_the_export() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "triple");
    lab(&out, &["--workload", "triple-fault"]);
    assert!(rows(&out).iter().any(|row| row.status == Status::Failed));
    values_come_back(&out);
    assert!(checks_come_back(&out).contains("failure"));
    // The kernel panics: the verdict is unresolved, and there is no value at all.
    let out = place(&directory, "panic");
    lab(&out, &["--workload", "dr7", "--append", "rdinit=/nowhere"]);
    assert!(rows(&out).iter().any(|row| row.status == Status::Unresolved));
    let counts = values_come_back(&out);
    assert!(counts.values().all(|count| *count == 0), "{counts:?}");
    assert!(checks_come_back(&out).contains("error"));
}

#[test]
fn a_native_run_comes_back_with_its_noise_where_there_is_kvm() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "native");
    let output = drbench().arg("run").arg("--out").arg(&out).output().unwrap();
    if let Err(error) = bench_vmm::Host::open() {
        println!("this host has no usable KVM ({error}): what is tested is that drbench says so");
        assert_eq!(output.status.code(), Some(2));
        return;
    }
    values_come_back(&out);
    checks_come_back(&out);
    let (text, _) = exported("bmf", &[&out]);
    let read: Vec<Read> = read_back("bmf", &[text]).remove(0);
    for row in rows(&out).iter().filter(|row| is_ok(row) && row.ci_low.is_some()) {
        let found = read.iter().find(|it| it.name == name("bmf", row)).unwrap();
        let end = |end: &str| found.labels[end].parse::<Value>().ok();
        assert_eq!((end("lower_value"), end("upper_value")), (row.ci_low, row.ci_high));
    }
}

/// A run and one of the same kernel with another policy.
fn two_kernels(directory: &tempfile::TempDir) -> (PathBuf, PathBuf) {
    let (before, after) = (place(directory, "before"), place(directory, "after"));
    let workload = ["--workload", "n:5,cpuid/1"];
    let (status, said) = told(&lab(&before, &workload));
    assert_eq!(status, Some(0), "{said}");
    let run = [&["run", "--kernel", "debian:6.1+always", "--cpu", "amd"][..], &workload].concat();
    let output = drbench().args(run).arg("--out").arg(&after).output().unwrap();
    let (status, said) = told(&output);
    assert_eq!(status, Some(0), "{said}");
    (before, after)
}

#[test]
fn a_comparison_is_tests_that_fail_with_what_was_before_and_after() {
    let directory = tempfile::tempdir().unwrap();
    let (before, after) = two_kernels(&directory);
    for format in ["junit", "ktap"] {
        for (after, status) in [(&after, 1), (&before, 0)] {
            let mut compare = drbench();
            compare.args(["compare", "--format", format]).args([&before, after]);
            let output = compare.output().unwrap();
            assert_eq!(output.status.code(), Some(status), "{}", told(&output).1);
            let text = String::from_utf8(output.stdout).unwrap();
            let read: Vec<ReadCheck> = read_back(format, &[text]).remove(0);
            let failed: Vec<_> = read.iter().filter(|it| it.outcome == "failure").collect();
            assert_eq!(failed.is_empty(), status == 0, "{read:?}");
            if status == 1 {
                let line = "verdict: changed: lazy before, always after";
                assert!(failed.iter().any(|it| it.lines.iter().any(|it| it == line)), "{failed:?}");
                let line = "dr_exits by tracepoint: worse: 4 exits before, 20 exits after";
                assert!(failed.iter().any(|it| it.lines.iter().any(|it| it == line)), "{failed:?}");
            }
        }
    }
}

#[test]
fn formats_of_one_kernel_say_what_to_do_with_two() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "matrix");
    let kernels = ["--kernel", "debian:6.1", "--kernel", "debian:6.12"];
    let mut run = drbench();
    run.arg("run").args(kernels).args(["--cpu", "amd", "--workload", "dr7", "--out"]).arg(&out);
    let (status, said) = told(&run.output().unwrap());
    assert_eq!(status, Some(0), "{said}");
    for format in ["bmf", "github-action-benchmark", "criterion"] {
        let output = drbench().arg("report").arg(&out).args(["--format", format]).output().unwrap();
        let (status, said) = told(&output);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("write a file for each") && said.contains("RUN/cells/*"), "{said}");
        assert!(output.stdout.is_empty());
        // And what it says to do works.
        for cell in fs::read_dir(out.join("cells")).unwrap() {
            exported(format, &[&cell.unwrap().path()]);
        }
    }
    for format in ["prometheus", "kcidb", "gobench"] {
        let read: Vec<Read> = read_back(format, &[exported(format, &[&out]).0]).remove(0);
        let is_value = |it: &&Read| {
            it.value.is_some() && (format != "prometheus" || it.name == "drbench_value")
        };
        let rows = rows(&out).iter().filter(|row| is_ok(row)).count();
        assert_eq!(read.iter().filter(is_value).count(), rows, "{format}");
    }
}

#[test]
fn a_file_is_replaced_whole_and_a_failure_leaves_it_alone() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "run");
    lab(&out, &["--workload", "dr7"]);
    let file = place(&directory, "drbench.prom");
    fs::write(&file, "old").unwrap();
    let report = |run: &Path| {
        let mut report = drbench();
        report.arg("report").arg(run).args(["--format", "prometheus", "--out"]).arg(&file);
        report.output().unwrap()
    };
    let (status, said) = told(&report(&place(&directory, "absent")));
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("absent") && said.contains("name a results.csv"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    let output = report(&out);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output).1);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), file.to_str().unwrap());
    let (text, _) = exported("prometheus", &[&out]);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "nothing is left beside: {left:?}");
}

#[test]
fn what_cannot_be_asked_for_is_a_usage_error_that_names_the_choices() {
    for (arguments, named) in [
        (&["report", "run"][..], "--format"),
        (&["report", "run", "--format", "papyrus"], "github-action-benchmark-bigger"),
        (&["report", "run", "--format", "kcidb", "--origin", "My Lab"], "small letters"),
        (&["report", "run", "--html", "a", "--format", "junit"], "cannot be used with"),
        (&["report", "run", "--html", "a", "--out", "b"], "--out"),
        (&["report", "--format", "junit"], "RUN"),
    ] {
        let (status, said) = told(&drbench().args(arguments).output().unwrap());
        assert_eq!(status, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}
