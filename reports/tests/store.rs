//! The run directory keeps what it was given.
#![allow(clippy::unwrap_used)]

mod common;

use common::{exits, run, subject, target};
use reports::store::Pace;
use reports::{Environment, Noise, RunDir, RunInfo, Seen, StoreError, Value};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn create(dir: &Path) -> RunDir {
    let mut info = RunInfo::begin("0.1.0", vec!["drbench".into(), "run".into()]);
    info.run = run();
    RunDir::create(dir, info).unwrap()
}

#[test]
fn an_empty_run_has_its_headers() {
    let dir = tempfile::tempdir().unwrap();
    let _store = create(&dir.path().join("new/run"));
    for file in ["results.csv", "samples.csv"] {
        let text = fs::read_to_string(dir.path().join("new/run").join(file)).unwrap();
        assert!(text.starts_with("run_id,") && text.lines().count() == 1, "{file}: {text}");
    }
    assert_eq!(reports::read(&dir.path().join("new/run")).unwrap(), []);
}

#[test]
fn an_existing_run_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path()).append(&[exits("windows", 3)]).unwrap();
    let before = fs::read(dir.path().join("results.csv")).unwrap();
    let error = RunDir::create(dir.path(), RunInfo::begin("0", Vec::new())).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert!(error.to_string().contains("choose another directory"), "{error}");
    assert_eq!(fs::read(dir.path().join("results.csv")).unwrap(), before);
}

#[test]
fn a_file_in_the_place_of_the_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "kept").unwrap();
    let error = RunDir::create(&file, RunInfo::begin("0", Vec::new())).unwrap_err();
    assert!(error.to_string().contains("cannot create directory"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}

/// No `finish`, no drop: as after kill -9.
#[test]
fn rows_are_on_disk_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let row = exits("windows", 3);
    store.append(std::slice::from_ref(&row)).unwrap();
    store.append_samples(&[row.sample(0, 7, Value::count(3))]).unwrap();
    assert_eq!(reports::read(dir.path()).unwrap(), [row]);
    let samples = fs::read_to_string(dir.path().join("samples.csv")).unwrap();
    assert!(samples.ends_with(",dr_exits,tracepoint,0,7,3\n"), "{samples}");
    std::mem::forget(store);
}

#[test]
fn a_bad_row_takes_its_batch_back_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.append(&[exits("windows", 3)]).unwrap();
    let before = fs::read(dir.path().join("results.csv")).unwrap();

    let again = store.append(&[exits("scan", 1), exits("windows", 4)]).unwrap_err();
    assert!(matches!(again, StoreError::Duplicate { .. }), "{again}");
    let twice = store.append(&[exits("scan", 1), exits("scan", 1)]).unwrap_err();
    assert!(matches!(twice, StoreError::Duplicate { .. }), "{twice}");
    let mut empty = exits("scan", 1);
    empty.value = None;
    let invalid = store.append(&[empty]).unwrap_err();
    assert!(invalid.to_string().contains("`value`"), "{invalid}");
    let mut foreign = exits("scan", 1);
    foreign.run.run_id = common::name("another");
    let foreign = store.append(&[foreign]).unwrap_err();
    assert!(foreign.to_string().contains("run another"), "{foreign}");

    assert_eq!(fs::read(dir.path().join("results.csv")).unwrap(), before);
    store.append(&[exits("scan", 1)]).unwrap();
}

#[test]
fn run_json_tells_a_finished_run_from_a_cut_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let begun = RunInfo::read(dir.path()).unwrap();
    assert_eq!(&begun, store.info());
    assert_eq!(begun.finished_at, None);

    let mut environment = Environment::new(subject(), target());
    environment.uname.insert("release".into(), "6.1.0-49-amd64".into());
    store.add_environment(environment.clone()).unwrap();
    assert_eq!(RunInfo::read(dir.path()).unwrap().environments, [environment]);

    let finished = store.finish().unwrap();
    assert_eq!(RunInfo::read(dir.path()).unwrap(), finished);
    assert!(finished.finished_at.is_some());
    let mut files: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["results.csv", "run.json", "samples.csv"], "nothing is left beside");
    let mode = |file| fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
    assert_eq!(mode("run.json"), mode("results.csv"), "readable by the same people");
}

#[test]
fn what_disturbed_a_run_stands_in_run_json_and_an_older_one_without_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let environment = Environment::new(subject(), target());
    store.add_environment(environment.clone()).unwrap();
    let path = dir.path().join("run.json");
    let older = fs::read_to_string(&path).unwrap();
    assert!(!older.contains("noise"), "what is not known yet is not written: {older}");
    assert!(RunInfo::read(dir.path()).unwrap().environments[0].noise.is_none());

    let noise = Noise {
        seed: 7,
        cpu: Seen::Value(3),
        took_ms: 450,
        steal_ms: Seen::Value(0),
        preemptions: Seen::Value(2),
        pace: Some(Pace { core_ns: 5_127, below_ns: 4_100 }),
        unusual_batches: 3,
        preempted_batches: 1,
        frequency_khz: Seen::Unknown("no cpufreq".into()),
        host_breakpoints: Seen::Value(0),
    };
    store.add_noise(noise.clone()).unwrap();
    let expected = Environment { noise: Some(noise), ..environment };
    assert_eq!(RunInfo::read(dir.path()).unwrap().environments, [expected]);
    let text = fs::read_to_string(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let noise = &json["environments"][0]["noise"];
    assert_eq!(noise["steal_ms"]["value"], 0, "seen, and none");
    assert_eq!(noise["frequency_khz"]["unknown"], "no cpufreq", "not seen is not 0");
}

#[test]
fn run_json_of_a_newer_version_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("run.json"), r#"{"schema": 99}"#).unwrap();
    let error = RunInfo::read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("version 99") && error.contains("newer drbench"), "{error}");
    fs::write(dir.path().join("run.json"), "{").unwrap();
    let error = RunInfo::read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("run.json") && error.contains("line 1"), "{error}");
}

#[test]
fn two_runs_have_two_ids() {
    let [one, two] = [(); 2].map(|()| RunInfo::begin("0", Vec::new()).run.run_id);
    assert_ne!(one, two);
}
