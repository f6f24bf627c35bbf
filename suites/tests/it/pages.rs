//! `drbench report --html` as it is typed, with a real run.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::common::{drbench, lab, told};

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
