//! `drbench report --html` as it is typed, with a real run.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::common::{drbench, lab, told};
use crate::history;

fn report(runs: &Path, html: &Path) -> Output {
    let html = html.as_os_str();
    drbench().arg("report").arg(runs).arg("--html").arg(html).output().expect("the program starts")
}

#[test]
fn a_run_in_the_lab_becomes_pages_that_show_its_verdict_and_how_to_repeat_it() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("results");
    let ran = lab(&runs.join("one"), &["--workload", "windows"]);
    assert_eq!(told(&ran).0, Some(0), "{}", told(&ran).1);
    let html = dir.path().join("html");
    let written = report(&runs, &html);
    assert_eq!(told(&written), (Some(0), String::new()));
    let said = String::from_utf8_lossy(&written.stdout).into_owned();
    assert!(said.contains("of 1 run") && said.contains("html/index.html"), "{said}");
    let overview = fs::read_to_string(html.join("index.html")).unwrap();
    for shown in ["lazy", "kvm_amd on qemu-tcg", "not cycles", "6.1."] {
        assert!(overview.contains(shown), "{shown}");
    }
    let run = reports::RunInfo::read(&runs.join("one")).unwrap();
    let page = html.join(format!("run-{}", run.run.run_id)).join("index.html");
    let page = fs::read_to_string(page).unwrap();
    let again = "drbench run --kernel debian:6.1 --cpu amd --workload windows";
    assert!(page.contains(again), "how to repeat it");
    assert!(page.contains("qemu-system-x86_64") && page.contains(&run.hashes["binary"]));

    // Made again, of the directory itself: replaced. Over something else: refused, nothing lost.
    assert_eq!(told(&report(&runs.join("one"), &html)).0, Some(0));
    fs::remove_file(html.join("drbench-pages.txt")).unwrap();
    let (status, text) = told(&report(&runs, &html));
    assert_eq!(status, Some(2));
    assert!(text.contains("drbench has not written it"), "{text}");
    assert!(html.join("index.html").is_file());
}

#[test]
fn a_report_of_nothing_is_an_error_of_usage() {
    let dir = tempfile::tempdir().unwrap();
    let html = dir.path().join("html");
    let (status, text) = told(&report(dir.path(), &html));
    assert_eq!(status, Some(2));
    assert!(text.contains("name a run, or a directory of runs"), "{text}");
    assert!(!html.exists());
    let output = drbench().arg("report").arg(dir.path()).output().expect("the program starts");
    let (status, text) = told(&output);
    assert_eq!(status, Some(2));
    assert!(text.contains("--html <DIR>") && text.contains("required"), "{text}");
}

/// Cuts the last bytes off a file.
fn cut(file: &Path) {
    let text = fs::read(file).unwrap();
    fs::write(file, &text[..text.len() - 5]).unwrap();
}

/// Two good runs, one that goes on, one that is cut off, and one without a whole `run.json`.
fn store_with_damage() -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    let place = |name: &str| store.path().join(name);
    for name in ["good", "better", "cut-off", "no-json"] {
        history::run(store.path(), name, "6.1.5", reports::Vendor::KvmAmd, 1000, true);
    }
    history::run(store.path(), "going-on", "6.1.5", reports::Vendor::KvmAmd, 1000, false);
    fs::remove_file(place("going-on/results.csv")).unwrap();
    cut(&place("cut-off/results.csv"));
    cut(&place("no-json/run.json"));
    store
}

#[test]
fn a_damaged_run_is_named_and_does_not_keep_the_others_from_their_pages() {
    let store = store_with_damage();
    let place = |name: &str| store.path().join(name);
    let out = tempfile::tempdir().unwrap();
    let html = out.path().join("html");
    let by_name = || {
        let runs = ["better", "cut-off", "good", "no-json"].map(place);
        drbench().arg("report").args(runs).arg("--html").arg(&html).output().unwrap()
    };
    for goes_on in [true, false] {
        let written = if goes_on { report(store.path(), &html) } else { by_name() };
        let (status, text) = told(&written);
        assert_eq!(status, Some(2), "{text}");
        assert!(String::from_utf8_lossy(&written.stdout).contains("of 2 runs"));
        let overview = fs::read_to_string(html.join("index.html")).unwrap();
        for (name, why) in [
            ("cut-off", "cut-off/results.csv line 2: the last line is cut off"),
            ("no-json", "no-json/run.json is no run description"),
        ] {
            let line = format!("{name} is left out: ");
            assert!(text.contains(&line) && text.contains(why), "{text}");
            assert!(overview.contains(why), "{why}");
        }
        assert_eq!(text.contains("going-on is left out: it is not finished"), goes_on, "{text}");
        assert_eq!(overview.contains("drbench run --resume"), goes_on);
    }
}

#[test]
fn a_run_that_goes_on_is_named_and_is_no_failure_of_the_pages() {
    let store = store_with_damage();
    for damaged in ["cut-off", "no-json"] {
        fs::remove_dir_all(store.path().join(damaged)).unwrap();
    }
    let out = tempfile::tempdir().unwrap();
    let html = out.path().join("html");
    let (status, text) = told(&report(store.path(), &html));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("drbench run --resume") && text.contains("going-on"), "{text}");
    // Single values are of a run, too.
    cut(&store.path().join("good/samples.csv"));
    let (status, text) = told(&report(store.path(), &html));
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("good is left out: ") && text.contains("samples.csv"), "{text}");
}

#[test]
fn where_no_run_can_be_read_earlier_pages_stay_as_they_are() {
    let store = store_with_damage();
    let out = tempfile::tempdir().unwrap();
    let html = out.path().join("html");
    assert_eq!(told(&report(&store.path().join("good"), &html)).0, Some(0));
    let before = fs::read(html.join("index.html")).unwrap();
    for name in ["good", "better"] {
        fs::remove_dir_all(store.path().join(name)).unwrap();
    }
    let (status, text) = told(&report(store.path(), &html));
    assert_eq!(status, Some(2), "{text}");
    for told in ["nothing is written", "cut-off", "no-json", "going-on", "--resume"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert_eq!(fs::read(html.join("index.html")).unwrap(), before);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
}

#[test]
fn a_file_in_a_format_is_not_written_without_a_damaged_run() {
    let store = store_with_damage();
    let mut command = drbench();
    command.arg("report").arg(store.path()).args(["--format", "prometheus"]);
    let output = command.output().unwrap();
    let (status, text) = told(&output);
    assert_eq!(status, Some(2), "{text}");
    assert!(output.stdout.is_empty());
    for told in ["cut-off is left out", "no-json is left out", "mend or remove what is left out"] {
        assert!(text.contains(told), "{told}: {text}");
    }
}
