//! A recorded machine's switches, played in a real guest on a real kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::{KERNEL, data, drbench, place, rows, told, verdict};
use reports::{Metric, Policy, Record, Status, Value};

const USAGE: Option<i32> = Some(2);

fn play(trace: &Path, cpu: &str, out: &Path, more: &[&str]) -> Output {
    let mut command = drbench();
    command.args(["run", "--kernel", KERNEL, "--cpu", cpu, "--suite", "trace", "--trace"]);
    command.arg(trace).arg("--out").arg(out).args(more).output().unwrap()
}

/// The row of all CPUs together.
fn all(rows: &[Record], metric: &Metric, policy: Policy) -> Record {
    let of_all = |row: &&Record| {
        let cell = &row.key.cell;
        let workload = cell.workload.as_str();
        row.key.metric == *metric
            && cell.policy == policy
            && workload.rsplit('.').next() == Some("all")
    };
    rows.iter().find(of_all).cloned().unwrap_or_else(|| panic!("no {metric} under {policy}"))
}

#[test]
fn a_trace_of_perf_and_one_of_trace_cmd_play_and_as_many_switches_are_played_as_recorded() {
    let directory = tempfile::tempdir().unwrap();
    for (name, cpu) in [("watched.perf.txt", "amd"), ("watched.trace-cmd.txt", "intel")] {
        let (trace, out) = (data(name), place(&directory, cpu));
        let recorded = fs::read_to_string(&trace).unwrap().matches("sched_switch:").count() as u64;
        let output = play(&trace, cpu, &out, &["--debugged", "watched"]);
        let (status, said) = told(&output);
        assert_eq!(status, Some(0), "{said}");
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(table.contains(&format!("{recorded}/{recorded}")), "{table}");

        let rows = rows(&out);
        assert_eq!(verdict(&rows), Some("lazy"));
        let unresolved: Vec<_> = rows.iter().filter(|row| row.status > Status::Skipped).collect();
        assert!(unresolved.is_empty(), "{unresolved:?}");
        let [kernel, guest_debug] = [Policy::Kernel, Policy::GuestDebug].map(|policy| {
            let played = all(&rows, &Metric::PlayedSwitches, policy);
            assert_eq!(played.value, Some(Value::count(recorded)));
            assert_eq!(played.predicted, Some(Value::count(recorded)));
            let exits = all(&rows, &Metric::DrExits, policy);
            assert_eq!(exits.value, exits.predicted);
            let lost = all(&rows, &Metric::LostPerSecond, policy).value.unwrap().as_f64();
            (exits, lost)
        });
        // Under guest debug every access exits, on a lazy kernel only the first after other exits.
        assert_eq!(guest_debug.0.value, Some(Value::count(guest_debug.0.key.cell.accesses)));
        assert!(kernel.0.value.unwrap().as_f64() * 2.0 < guest_debug.0.value.unwrap().as_f64());
        assert!(0.0 < kernel.1 && kernel.1 * 2.0 < guest_debug.1, "{} {}", kernel.1, guest_debug.1);
        let info = fs::read_to_string(out.join("run.json")).unwrap();
        assert!(info.contains("\"trace\": \"") && info.contains("\"payload:trace\""), "{info}");
    }
}

#[test]
fn a_trace_that_changed_is_not_taken_up_again() {
    let directory = tempfile::tempdir().unwrap();
    let (trace, out) = (place(&directory, "trace.txt"), place(&directory, "out"));
    fs::copy(data("watched.trace-cmd.txt"), &trace).unwrap();
    let first = ["--debugged", "watched", "--trace-switches", "100"];
    let (status, said) = told(&play(&trace, "amd", &out, &first));
    assert_eq!(status, Some(0), "{said}");
    let played = all(&rows(&out), &Metric::PlayedSwitches, Policy::Kernel);
    assert_eq!(played.value, Some(Value::count(100)));
    let resume = || drbench().args(["run", "--resume"]).arg(&out).output().unwrap();
    let again = resume();
    assert_eq!(told(&again).0, Some(0), "{}", told(&again).1);
    assert!(String::from_utf8(again.stdout).unwrap().contains("100/100"));

    let (text, before) = (fs::read_to_string(&trace).unwrap(), rows(&out));
    fs::write(&trace, text.replace("[120] S", "[120] D")).unwrap();
    let (status, said) = told(&resume());
    assert_eq!(status, USAGE);
    assert!(said.contains("has changed"), "{said}");
    assert_eq!(rows(&out), before, "what was measured is still there");
}

#[test]
fn what_cannot_be_played_is_one_clear_error_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = place(&directory, name);
        fs::write(&path, content).unwrap();
        path
    };
    let good = fs::read(data("watched.perf.txt")).unwrap();
    let cut = &good[..good.len() - 30];
    let endless = Path::new("/dev/zero").to_owned();
    let many: Vec<u8> = (0..101_000u32)
        .flat_map(|n| format!("a 1 [0] {n}.0: sched_switch: a:1 [1] S ==> b:2 [1]\n").into_bytes())
        .collect();
    let watched: &[&str] = &["--debugged", "watched"];
    let cases: [(PathBuf, &[&str], &[&str]); 15] = [
        (place(&directory, "none"), watched, &["No such file"]),
        (directory.path().to_owned(), watched, &["directory"]),
        (file("empty", b""), watched, &["no line of its 0"]),
        (file("binary", b"PERFILE2\0"), watched, &["perf script -i"]),
        (file("cut", cut), watched, &["line 383", "==>"]),
        (endless, watched, &["longer than"]),
        (file("many", &many), &["--debugged", "a"], &["100000", "--trace-switches"]),
        (data("watched.perf.txt"), &[], &["--debugged", "`watched`, `worker`"]),
        (data("watched.perf.txt"), &["--debugged", "nobody"], &["`nobody`", "`watched`"]),
        (data("watched.perf.txt"), &["--debugged", "watched", "--trace-switches", "0"], &["0"]),
        (
            data("watched.perf.txt"),
            &["--debugged", "watched", "--trace-switches", "1"],
            &["same time"],
        ),
        (
            data("watched.perf.txt"),
            &["--debugged", "watched", "--trace-switches", "99999999999999999999"],
            &["--trace-switches"],
        ),
        (
            data("watched.perf.txt"),
            &["--debugged", "watched", "--exits-per-second", "4294967295"],
            &["--exits-per-second"],
        ),
        (
            data("watched.perf.txt"),
            &["--debugged", "watched", "--exits-per-second", "4294967296"],
            &["4294967296"],
        ),
        (data("watched.perf.txt"), &["--debugged", "watched", "--debugged-as", "hang"], &["hang"]),
    ];
    for (trace, more, expected) in cases {
        let out = place(&directory, "out");
        let (status, said) = told(&play(&trace, "amd", &out, more));
        assert_eq!(status, USAGE, "{trace:?} {more:?}: {said}");
        for words in expected {
            assert!(said.contains(words), "{words} in {said}");
        }
        assert!(!out.exists(), "{trace:?} {more:?}");
    }
    let words = [
        (vec!["--suite", "trace"], "--trace FILE"),
        (vec!["--trace", "x", "--debugged", "a"], "--suite trace"),
        (vec!["--debugged", "a"], "--trace"),
    ];
    for (words, expected) in words {
        let (status, said) = told(&drbench().arg("run").args(words).output().unwrap());
        assert_eq!(status, USAGE, "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
