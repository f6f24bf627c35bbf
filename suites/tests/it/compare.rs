//! `drbench compare` as it is typed: limits, formats, and what it says of both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use reports::{
    Cell, Environment, Key, Machine, Metric, Outcome, Policy, Record, RunDir, RunInfo, Source,
    Subject, Target, Vendor,
};

use crate::common::{drbench, place, told};

/// A run of a kernel of this name with so many DR exits, and a module parameter.
fn run(at: &Path, kernel: &str, dr_exits: u64, npt: &str) -> PathBuf {
    run_on("EPYC", at, kernel, dr_exits, npt)
}

/// The same on a CPU of this model.
fn run_on(cpu_model: &str, at: &Path, kernel: &str, dr_exits: u64, npt: &str) -> PathBuf {
    let subject = Subject {
        kernel: "6.1".to_owned(),
        kernel_id: kernel.to_owned(),
        variant: "stock".to_owned(),
    };
    let target = Target {
        vendor: Vendor::KvmAmd,
        machine: Machine::QemuTcg,
        cpu_model: cpu_model.to_owned(),
    };
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
    dir.finish().unwrap();
    at.to_owned()
}

fn gate(at: &Path, text: &str) -> PathBuf {
    fs::write(at, text).unwrap();
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

#[test]
fn runs_of_different_machines_say_so_before_their_rows_are_missing() {
    let directory = tempfile::tempdir().unwrap();
    let before = run_on("Rome", &place(&directory, "before"), "6.1-1", 100, "1");
    let after = run_on("Milan", &place(&directory, "after"), "6.1-1", 100, "1");
    for (format, line) in [("table", 0), ("markdown", 2)] {
        let mut compare = drbench();
        compare.args(["compare", "--format", format]).args([&before, &after]);
        let (status, text) = both(&compare.output().unwrap());
        assert_eq!(status, Some(1), "{text}");
        let told = text.lines().nth(line).unwrap();
        assert!(told.contains("BEFORE and AFTER have no target"), "{text}");
        // Wrapped lines as one.
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["kvm\\_amd on qemu-tcg, Rome", "on qemu-tcg, Milan.", "runs of one machine"] {
            let part = if format == "table" { part.replace('\\', "") } else { part.to_owned() };
            assert!(words.contains(&part), "{part}: {text}");
        }
        assert!(text.contains("missing"), "{text}");
    }
}

#[test]
fn the_table_says_on_which_cpu_the_runs_were_as_markdown_does() {
    let directory = tempfile::tempdir().unwrap();
    let one = run(&place(&directory, "one"), "6.1-1", 100, "1");
    let (status, text) = both(&drbench().arg("compare").args([&one, &one]).output().unwrap());
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("on: kvm_amd on qemu-tcg, EPYC\n"), "{text}");
}

/// The status, and what was printed and said.
fn both(output: &Output) -> (Option<i32>, String) {
    let (status, said) = told(output);
    (status, format!("{}{said}", String::from_utf8_lossy(&output.stdout)))
}

/// A run that the program of schema 1 wrote.
fn of_schema_1(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/schema-1").join(name)
}

#[test]
fn runs_of_the_schema_before_are_compared_as_always() {
    let compare = |before: &Path, after: &Path| {
        let output = drbench().arg("compare").args([before, after]).output().unwrap();
        both(&output)
    };
    let [stock, never, native] = ["stock", "never", "native"].map(of_schema_1);
    let (status, text) = compare(&stock, &never);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("changed") && text.contains("never"), "{text}");
    let (status, text) = compare(&native, &native);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("noisy and the same") && !text.contains("differs: "), "{text}");
    // One of this schema can be held against one of the schema before.
    let directory = tempfile::tempdir().unwrap();
    let now = run(&place(&directory, "now"), "6.1-1", 100, "1");
    let (status, text) = compare(&now, &stock);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("differs: drbench's binary"), "{text}");
}

#[test]
fn single_values_of_another_run_are_refused_and_without_any_it_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let native = of_schema_1("native");
    let compare = |after: &Path| {
        let output = drbench().arg("compare").args([&native, after]).output().unwrap();
        both(&output)
    };
    let mixed = place(&directory, "mixed");
    fs::create_dir(&mixed).unwrap();
    fs::copy(native.join("results.csv"), mixed.join("results.csv")).unwrap();
    fs::copy(of_schema_1("never").join("samples.csv"), mixed.join("samples.csv")).unwrap();
    let (status, text) = compare(&mixed);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("of another run, 20261126T011111Z-a89666: put both files"), "{text}");
    let (status, text) = compare(&mixed.join("results.csv"));
    assert_eq!(status, Some(2), "it lies beside them: {text}");

    let alone = place(&directory, "alone.csv");
    fs::copy(native.join("results.csv"), &alone).unwrap();
    let (status, text) = compare(&alone);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("were judged by the intervals of their medians"), "{text}");
}

#[test]
fn a_run_that_comes_by_a_pipe_is_told_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let before = run(&place(&directory, "before"), "6.1-1", 100, "1");
    let after = run(&place(&directory, "after"), "6.1-2", 103, "1");
    for format in ["table", "markdown", "junit", "ktap"] {
        let piped = fs::File::open(after.join("results.csv")).unwrap();
        let mut cat = Command::new("cat").stdin(piped).stdout(Stdio::piped()).spawn().unwrap();
        let mut compare = drbench();
        compare.args(["compare", "--format", format]).arg(&before).arg("/dev/stdin");
        let output = compare.stdin(cat.stdout.take().unwrap()).output().unwrap();
        assert!(cat.wait().unwrap().success());
        let (status, text) = both(&output);
        assert_eq!(status, Some(1), "{format}: {text}");
        assert!(text.contains("103"), "{format}: {text}");
    }
}

#[test]
fn a_run_of_a_newer_schema_says_what_to_do_before_its_rows_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let old = run(&place(&directory, "old"), "6.1-1", 100, "1");
    let newer = run(&place(&directory, "newer"), "6.1-1", 100, "1");
    let info = fs::read_to_string(newer.join("run.json")).unwrap();
    let schema = format!("\"schema\": {}", reports::store::SCHEMA);
    assert!(info.contains(&schema), "{info}");
    fs::write(newer.join("run.json"), info.replace(&schema, "\"schema\": 99")).unwrap();
    fs::write(newer.join("results.csv"), "columns,of,the,future\n").unwrap();
    for sides in [[&old, &newer], [&newer, &old]] {
        let output = drbench().arg("compare").args(sides).output().unwrap();
        let (status, said) = both(&output);
        assert_eq!(status, Some(2), "{said}");
        assert!(
            said.contains("schema version 99") && said.contains("use a newer drbench"),
            "{said}"
        );
    }
}

#[test]
fn each_of_several_runs_is_told_and_the_worst_decides_the_status() {
    let directory = tempfile::tempdir().unwrap();
    let [before, same, worse] = [("before", 100), ("same", 100), ("worse", 103)]
        .map(|(name, exits)| run(&place(&directory, name), "6.1-1", exits, "1"));
    let missing = place(&directory, "missing");
    let compare = |after: &[&PathBuf]| {
        let output = drbench().arg("compare").arg(&before).args(after).output().unwrap();
        both(&output)
    };
    assert_eq!(compare(&[&same, &same]).0, Some(0));
    let (status, text) = compare(&[&missing, &worse, &same]);
    assert_eq!(status, Some(1), "a regression outweighs what cannot be read: {text}");
    for word in ["missing", "/worse\n", "/same\n", "+3 (+3.00 %)", "Rows: 1 equal."] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(compare(&[&same, &missing]).0, Some(2));
}

#[test]
fn a_kept_baseline_is_what_runs_are_compared_with() {
    let directory = tempfile::tempdir().unwrap();
    let before = run(&place(&directory, "before"), "6.1-1", 100, "1");
    let after = run(&place(&directory, "after"), "6.1-2", 101, "1");
    let store = |command: &mut Command| {
        command.arg("--in").arg(directory.path());
        both(&command.output().unwrap())
    };
    let (status, said) = store(drbench().args(["history", "keep", "release"]).arg(&before));
    assert_eq!(status, Some(0), "{said}");
    let (status, text) = store(drbench().args(["compare", "--baseline", "release"]).arg(&after));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("+1 (+1.00 %)"), "{text}");
    let (status, said) = store(drbench().args(["compare", "--baseline", "relaese"]).arg(&after));
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("release"), "it names those that are kept: {said}");
    let output = drbench().arg("compare").arg(&after).output().unwrap();
    let (status, said) = both(&output);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("--baseline NAME"), "{said}");
}

#[test]
fn every_row_is_shown_when_all_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let run = run(&place(&directory, "run"), "6.1-1", 100, "1");
    for (all, shown) in [(false, false), (true, true)] {
        let mut compare = drbench();
        compare.arg("compare").args([&run, &run]).args(all.then_some("--all"));
        let (status, text) = both(&compare.output().unwrap());
        assert_eq!(status, Some(0), "{text}");
        assert_eq!(text.contains("same"), shown, "{text}");
    }
}

#[test]
fn a_line_of_ten_gigabytes_is_refused_in_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let good = run(&place(&directory, "good"), "6.1-1", 100, "1");
    let bad = run(&place(&directory, "bad"), "6.1-1", 100, "1");
    for file in ["results.csv", "run.json"] {
        // A file with a hole: nothing of it lies on the disk.
        let path = bad.join(file);
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10 << 30).unwrap();
        let mut compare = Command::new("bash");
        compare.args(["-c", "ulimit -v 1048576; exec \"$@\"", "bash"]);
        compare.arg(env!("CARGO_BIN_EXE_drbench")).arg("compare").args([&good, &bad]);
        let (status, said) = both(&compare.output().unwrap());
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(file) && said.contains("longer than"), "{said}");
        if file == "results.csv" {
            fs::copy(good.join(file), path).unwrap();
        }
    }
}
