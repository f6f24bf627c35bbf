//! A store of many runs: what is read, what is told, what is kept.
#![allow(clippy::unwrap_used)]

mod common;

use common::{exits, name, record, target};
use reports::history::{self, Asked, State};
use reports::{
    Environment, History, HistoryError, Metric, Outcome, Policy, Record, RunDir, RunInfo, Source,
    Status, Style, history_table, values_table,
};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Run `number`, a minute after the one before it, of kernel 6.1.`number`; its files are old enough to
/// be taken as they are.
fn run(store: &Path, number: u64) -> PathBuf {
    let dir = store.join(format!("run-{number:04}"));
    write(&dir, number, number).finish().unwrap();
    age(&dir);
    dir
}

fn write(dir: &Path, number: u64, count: u64) -> RunDir {
    let mut info = RunInfo::begin("test", vec![]);
    let began = common::run().started_at + Duration::from_secs(60 * number);
    info.run.started_at = began;
    info.run.run_id = name(&format!("{}-{number:06x}", began.strftime("%Y%m%dT%H%M%SZ")));
    let mut rows = vec![
        exits("windows", count),
        record(&verdict_cell(), "verdict", Source::None, Outcome::named("lazy: as predicted")),
        record(&verdict_cell(), "instructions", Source::Tsc, Outcome::ok(1000 + count)),
    ];
    for row in &mut rows {
        row.run = info.run.clone();
        row.subject.kernel = format!("6.1.{number}");
        row.subject.kernel_id = format!("6.1.{number}-1");
    }
    let environment = Environment::new(rows[0].subject.clone(), target());
    let mut run = RunDir::create(dir, info).unwrap();
    run.add_environment(environment).unwrap();
    run.append(&rows).unwrap();
    run
}

fn verdict_cell() -> reports::Cell {
    common::cell("n:5", 5, "cpuid", 1, Policy::Kernel)
}

/// As if the files had been written a minute ago.
fn age(dir: &Path) {
    for file in ["run.json", "results.csv"] {
        let file = File::options().append(true).open(dir.join(file)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    }
}

fn store_of(runs: u64) -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    for number in 0..runs {
        run(store.path(), number);
    }
    store
}

fn open(store: &Path) -> History {
    History::open(store).unwrap()
}

fn asked() -> Asked {
    Asked {
        metric: Metric::Instructions,
        suite: None,
        workload: Some(glob::Pattern::new("n:*").unwrap()),
        interposed: Some("cpuid/1".into()),
        policy: Some(Policy::Kernel),
    }
}

fn told(history: &History) -> String {
    let lines = history.runs.iter().map(|run| (run, run.parts.first()));
    history_table(lines, Style::Plain)
}

#[test]
fn only_what_is_new_or_changed_is_read() {
    let store = store_of(300);
    let first = open(store.path());
    assert_eq!((first.work.read, first.work.kept, first.runs.len()), (300, 0, 300));
    assert!(first.work.anew.as_ref().unwrap().contains("not there yet"));
    let again = open(store.path());
    assert_eq!((again.work.read, again.work.kept), (0, 300), "{:?}", again.work);
    assert_eq!(again.runs, first.runs, "what is kept is what was read");

    run(store.path(), 300);
    fs::remove_dir_all(store.path().join("run-0007")).unwrap();
    let changed = store.path().join("run-0008");
    fs::remove_dir_all(&changed).unwrap();
    write(&changed, 8, 9).finish().unwrap();
    age(&changed);
    let work = open(store.path()).work;
    assert_eq!((work.read, work.kept, work.gone), (2, 298, 1), "{work:?}");
    assert_eq!(open(store.path()).work.read, 0);
}

#[test]
fn a_metric_over_the_runs_is_read_once() {
    let store = store_of(40);
    let all = |history: &History, count| {
        let (values, work) = history.values(&asked(), |_, _, _| true);
        let [(_, points)] = &values[..] else { panic!("{values:?}") };
        let texts: Vec<_> = points.iter().map(|point| point.value.unwrap().to_string()).collect();
        let expected: Vec<_> = (0..count).map(|number| (1000 + number).to_string()).collect();
        assert_eq!(texts, expected, "in the order of the runs");
        work.read
    };
    let history = open(store.path());
    let (some, work) = history.values(&asked(), |run, _, _| run.id().ends_with('7'));
    assert_eq!((some[0].1.len(), work.read), (3, 3));
    assert_eq!(all(&history, 40), 37, "three are known");
    assert_eq!(all(&open(store.path()), 40), 0);
    run(store.path(), 40);
    assert_eq!(all(&open(store.path()), 41), 1);
}

#[test]
fn what_was_derived_is_made_anew_when_it_is_damaged_cut_or_of_another_version() {
    let store = store_of(5);
    let whole = open(store.path()).runs;
    let index = store.path().join(".history/index");
    let text = fs::read(&index).unwrap();
    let other = [b"drbench-history 2 ", &text[18..]].concat();
    let lazy = text.windows(4).position(|bytes| bytes == b"lazy").unwrap();
    let mut flipped = text.clone();
    flipped[lazy + 2] = b's';
    let damaged: [(&[u8], &str); 5] = [
        (&text[..text.len() / 2], "damaged"),
        (&other, "another version"),
        (&flipped, "damaged"),
        (b"", "cut off"),
        (b"\xff\xfe\0\n", "another version"),
    ];
    for (bytes, why) in damaged {
        fs::write(&index, bytes).unwrap();
        let history = open(store.path());
        assert_eq!(history.runs, whole, "{why}");
        assert_eq!(history.work.read, 5, "{why}");
        assert!(history.work.anew.as_ref().unwrap().contains(why), "{:?}", history.work);
        assert_eq!(fs::read(&index).unwrap(), text, "the same again");
    }
}

#[test]
fn a_run_that_was_just_written_is_looked_at_again() {
    let store = tempfile::tempdir().unwrap();
    let dir = store.path().join("new");
    write(&dir, 1, 1).finish().unwrap();
    assert_eq!(open(store.path()).work.read, 1);
    assert_eq!(open(store.path()).work.read, 1, "another write may leave the same time stamp");
    age(&dir);
    assert_eq!(open(store.path()).work.read, 1);
    assert_eq!(open(store.path()).work.read, 0);
}

#[test]
fn unfinished_and_damaged_runs_are_told_with_the_reason_and_the_rest_is_listed() {
    let store = store_of(2);
    drop(write(&store.path().join("going-on"), 10, 1));
    let cut = run(store.path(), 11);
    let rows = fs::read(cut.join("results.csv")).unwrap();
    fs::write(cut.join("results.csv"), &rows[..rows.len() - 9]).unwrap();
    let no_rows = run(store.path(), 12);
    fs::remove_file(no_rows.join("results.csv")).unwrap();
    let no_json = run(store.path(), 13);
    fs::remove_file(no_json.join("run.json")).unwrap();
    let newer = run(store.path(), 14);
    fs::write(newer.join("run.json"), "{\"schema\": 99}").unwrap();
    let bytes = run(store.path(), 15);
    fs::write(bytes.join("results.csv"), b"\xff\xff\xff").unwrap();
    fs::create_dir(store.path().join("no-run")).unwrap();
    fs::write(store.path().join("notes.txt"), "mine").unwrap();

    for _ in 0..2 {
        let history = open(store.path());
        let states: Vec<_> = history.runs.iter().map(|run| run.state.to_string()).collect();
        let expected = [
            "whole",
            "whole",
            "unfinished: it goes on",
            "damaged: ",
            "damaged: cannot read",
            "unfinished: no run.json",
            "damaged: ",
            "damaged: ",
        ];
        assert_eq!(states.len(), expected.len(), "{states:#?}");
        for word in expected {
            assert!(states.iter().any(|state| state.starts_with(word)), "{word}: {states:#?}");
        }
        let text = told(&history);
        common::fits(&text);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in ["cut off", "version 99", "expected UTF-8 text", "no rows"] {
            assert!(words.contains(word), "{word}: {text}");
        }
    }
    let history = open(store.path());
    assert_eq!(history.newest().len(), 2, "only whole runs count");
    let (values, _) = history.values(&asked(), |_, _, _| true);
    assert_eq!(values[0].1.len(), 2);
}

#[test]
fn two_processes_at_once_leave_a_whole_index() {
    let store = store_of(50);
    let index = store.path().join(".history/index");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let _ = fs::remove_file(&index);
                    assert_eq!(open(store.path()).runs.len(), 50);
                }
            });
        }
    });
    let work = open(store.path()).work;
    assert_eq!((work.read == 0, work.unwritten), (work.anew.is_none(), None));
    assert_eq!(open(store.path()).work.read, 0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(
        mode(&index),
        mode(&store.path().join("run-0000/results.csv")),
        "for the same people"
    );
    let left = fs::read_dir(store.path().join(".history")).unwrap().count();
    assert_eq!(left, 1, "nothing half written stays");
}

#[test]
fn a_run_is_found_by_id_by_a_part_of_it_and_by_its_directory() {
    let store = store_of(3);
    let history = open(store.path());
    let id = history.runs[1].id().to_owned();
    assert_eq!(id, "20260101T120100Z-000001");
    for wanted in [&id, "20260101T1201", "000001", "run-0001"] {
        assert_eq!(history.find(wanted).unwrap().id(), id, "{wanted}");
    }
    let several = history.find("2026").unwrap_err().to_string();
    assert!(several.contains(&id) && several.contains("name more of it"), "{several}");
    let none = history.find("001").unwrap_err().to_string();
    assert!(none.contains("`001`") && none.contains("drbench history"), "{none}");
}

#[test]
fn the_newest_run_of_a_kernel_counts() {
    let store = store_of(2);
    let again = store.path().join("again");
    let mut info = RunInfo::begin("test", vec![]);
    info.run.started_at = common::run().started_at + Duration::from_secs(9000);
    let mut row = exits("windows", 5);
    row.run = info.run.clone();
    row.subject.kernel = "6.1.0".into();
    row.subject.kernel_id = "6.1.0-1".into();
    row.status = Status::Failed;
    row.reason = "five".into();
    let mut dir = RunDir::create(&again, info).unwrap();
    dir.append(&[row]).unwrap();
    dir.finish().unwrap();
    let history = open(store.path());
    let newest: Vec<_> = history
        .newest()
        .into_iter()
        .map(|(run, part)| (part.subject.kernel.as_str(), run.path.clone(), part.failed))
        .collect();
    assert_eq!(
        newest,
        [("6.1.1", store.path().join("run-0001"), 0), ("6.1.0", again, 1)],
        "in the order of time"
    );
    assert!(told(&history).contains("1 failed of 1"));
}

#[test]
fn a_baseline_outlives_its_run_and_changes_its_run_in_one_step() {
    let store = store_of(3);
    let rows = reports::read(&store.path().join("run-0001")).unwrap();
    let history = open(store.path());
    let place = history::keep(&history, "good", "run-0001", false).unwrap();
    assert_eq!(place, store.path().join("baselines/good"));
    fs::remove_dir_all(store.path().join("run-0001")).unwrap();
    let kept = history::baseline(store.path(), "good").unwrap();
    assert_eq!(reports::read(&kept).unwrap(), rows);
    assert_eq!(reports::KeptRun::read(&kept).unwrap().records, rows);

    let history = open(store.path());
    assert_eq!(history.runs.len(), 2, "what is kept is not listed as a run");
    let taken = history::keep(&history, "good", "run-0002", false).unwrap_err().to_string();
    assert!(taken.contains("20260101T120100Z-000001") && taken.contains("--replace"), "{taken}");
    history::keep(&history, "good", "run-0002", true).unwrap();
    assert_eq!(reports::read(&kept).unwrap()[0].subject.kernel, "6.1.2");
    let copies = store.path().join("baselines/runs");
    assert_eq!(fs::read_dir(&copies).unwrap().count(), 1, "the old copy goes");

    history::keep(&history, "other", "run-0002", false).unwrap();
    let names: Vec<_> = history::baselines(store.path()).unwrap();
    let names: Vec<_> = names.iter().map(|kept| kept.name.as_str()).collect();
    assert_eq!(names, ["good", "other"]);
    let none = history::baseline(store.path(), "bad").unwrap_err();
    assert!(matches!(none, HistoryError::NoBaseline { .. }));
    assert!(none.to_string().ends_with("kept are good, other"), "{none}");
    history::forget(store.path(), "good").unwrap();
    assert!(history::baseline(store.path(), "other").is_ok(), "it has a copy of its own");
    history::forget(store.path(), "other").unwrap();
    assert_eq!(fs::read_dir(&copies).unwrap().count(), 0);
    assert!(store.path().join("run-0002/results.csv").exists(), "the run itself stays");
}

#[test]
fn what_cannot_be_kept_is_refused_and_nothing_is_lost() {
    let store = store_of(1);
    drop(write(&store.path().join("going-on"), 10, 1));
    let history = open(store.path());
    let unfinished = history::keep(&history, "good", "going-on", false).unwrap_err().to_string();
    assert!(unfinished.contains("unfinished"), "{unfinished}");
    for bad in ["", ".", "..", "../run-0000", "a/b", ".hidden", "runs", "two words", "-x"] {
        let error = history::keep(&history, bad, "run-0000", true).unwrap_err();
        assert!(matches!(error, HistoryError::BaselineName(_)), "{bad}: {error}");
        assert!(history::baseline(store.path(), bad).is_err(), "{bad}");
        assert!(history::forget(store.path(), bad).is_err(), "{bad}");
    }
    assert!(!store.path().join("baselines").exists());
    assert!(store.path().join("run-0000/results.csv").exists());
    let nowhere = history::baseline(Path::new("/nowhere"), "good").unwrap_err().to_string();
    assert!(nowhere.contains("none is kept"), "{nowhere}");
}

#[test]
fn a_store_that_is_none_says_what_is_wanted() {
    let store = store_of(1);
    let nowhere = History::open(&store.path().join("nowhere")).unwrap_err().to_string();
    assert!(nowhere.contains("no directory"), "{nowhere}");
    let run = History::open(&store.path().join("run-0000")).unwrap_err().to_string();
    assert!(run.contains("is a run"), "{run}");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(open(empty.path()).runs, []);
}

#[test]
fn a_store_that_cannot_be_written_to_is_listed_all_the_same() {
    let store = store_of(2);
    fs::write(store.path().join(".history"), "a file in its place").unwrap();
    let history = open(store.path());
    assert_eq!(history.runs.len(), 2);
    assert!(history.work.unwritten.as_ref().unwrap().contains(".history"), "{:?}", history.work);
}

#[test]
fn values_stand_with_how_they_differ_from_the_ones_before() {
    let store = store_of(1);
    for (number, count) in [(1, 0), (2, 500)] {
        write(&store.path().join(format!("later-{number}")), number, count).finish().unwrap();
    }
    let history = open(store.path());
    let (values, _) = history.values(&asked(), |_, _, _| true);
    let text = values_table(&Metric::Instructions, &values, Style::Plain);
    common::fits(&text);
    assert!(text.contains("Lab figures are instructions"), "{text}");
    let lines: Vec<_> = text.lines().skip(4).take_while(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains("000000") && lines[0].contains("6.1.0-1"), "{text}");
    assert!(!lines[1].contains('%'), "{text}");
    assert!(lines[2].contains("1500") && lines[2].contains("+50.00 %"), "{text}");
    assert!(text.starts_with("instructions by tsc of policy: n:5"), "{text}");
}

#[test]
fn names_of_any_kind_are_texts_and_nothing_else() {
    let store = tempfile::tempdir().unwrap();
    let hostile = "=cmd|'/c calc'!A1\u{1b}[31m<b>\"\n]]>é\u{202e}";
    let mut info = RunInfo::begin("test", vec![]);
    info.run = common::run();
    let mut row: Record = exits("windows", 5);
    row.subject.kernel = hostile.into();
    row.subject.variant = hostile.into();
    let mut dir = RunDir::create(&store.path().join("évil\nrun"), info).unwrap();
    dir.append(&[row]).unwrap();
    dir.finish().unwrap();
    for _ in 0..2 {
        let history = open(store.path());
        assert_eq!(history.runs[0].state, State::Whole);
        assert_eq!(history.runs[0].parts[0].subject.kernel, hostile);
        assert!(!told(&history).contains('\u{1b}'));
        age(&history.runs[0].path);
    }
}
