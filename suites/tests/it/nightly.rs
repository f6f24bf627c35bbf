//! What `ci/nightly` makes of a night: with the lab, and with runs as a bad night leaves them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use reports::{
    Cell, History, Key, Machine, Metric, Outcome, Policy, Record, RunDir, RunInfo, Source, Subject,
    Target, Vendor,
};
use tempfile::TempDir;

use crate::common::{KERNEL, ci, executable, place, told};

/// Ends with the status, and gives the comment.
type Told = (Option<i32>, String);

/// The lab alone, on AMD: what this host's KVM says is noise.
fn night_by(script: &Path, program: &Path, store: &Path, more: &[(&str, &str)]) -> Told {
    let mut command = Command::new(script);
    command.arg(store).env("DRBENCH", program).env("DRBENCH_LAB_ONLY", "1");
    command.envs([("DRBENCH_CPUS", "amd")]).envs(more.iter().copied());
    command.args(more.iter().filter(|(name, _)| *name == "KERNEL").map(|(_, value)| value));
    let output = command.output().unwrap();
    let comment = fs::read_to_string(store.join("comment.md"));
    (output.status.code(), comment.unwrap_or_else(|_| told(&output).1))
}

fn night(store: &Path, kernel: &str) -> Told {
    let program = Path::new(env!("CARGO_BIN_EXE_drbench"));
    night_by(&ci().join("nightly"), program, store, &[("KERNEL", kernel)])
}

#[test]
fn a_second_night_is_held_against_the_first_and_a_worse_one_tells_before_it_fails() {
    let directory = tempfile::tempdir().unwrap();
    let store = place(&directory, "a store");
    let (status, comment) = night(&store, KERNEL);
    assert_eq!(status, Some(0), "{comment}");
    assert!(comment.contains("no baseline yet"), "{comment}");
    let (status, comment) = night(&store, KERNEL);
    assert_eq!(status, Some(0), "{comment}");
    assert!(comment.contains("**Not worse.**"), "{comment}");
    let good = reports::read(&store.join("baselines/night-lab")).unwrap();

    for _ in 0..2 {
        let (status, comment) = night(&store, &format!("{KERNEL}+always"));
        assert_eq!(status, Some(1), "{comment}");
        assert!(comment.contains("**Worse.**") && comment.contains("always"), "{comment}");
        let kept = reports::read(&store.join("baselines/night-lab")).unwrap();
        assert_eq!(kept, good, "a bad night is no baseline");
    }
    let (status, comment) = night(&store, "debian:0.99");
    assert_eq!(status, Some(2), "{comment}");
    assert!(comment.contains("ended with status 2") && comment.contains("0.99"), "{comment}");
    let runs = History::open(&store).unwrap().runs;
    assert!(runs.len() >= 4, "{runs:?}");
}

/// A row of a made run: on hardware times are noisy.
fn row(run: &RunInfo, kernel: &str, workload: &str, metric: Metric, outcome: Outcome) -> Record {
    let target =
        Target { vendor: Vendor::KvmAmd, machine: Machine::Native, cpu_model: "EPYC".to_owned() };
    let cell = Cell {
        suite: "policy".parse().unwrap(),
        workload: workload.parse().unwrap(),
        policy: Policy::Kernel,
        interposed: "none".parse().unwrap(),
        exits_every: 0,
        armed: false,
        vcpus: 1,
        accesses: 5,
        work: 0,
        switches: 4,
    };
    let deterministic = metric != Metric::Ns;
    let key = Key { target: target.into(), cell: cell.into(), metric, source: Source::Tsc };
    let subject = Subject {
        kernel: kernel.to_owned(),
        kernel_id: format!("{kernel}-1,\"unresolved\""),
        variant: "stock".to_owned(),
    };
    Record { deterministic, ..Record::new(run.run.clone(), subject, key, outcome) }
}

/// Nights whose runs are made in advance.
struct Nights {
    directory: TempDir,
    store: PathBuf,
}

/// What a made run has measured: instructions of a kernel, and how many rows of times are unresolved.
struct Made {
    instructions: u64,
    unresolved: usize,
    /// As `drbench run` ends; with 2 the rows of another kernel have all failed.
    status: i32,
}

const GOOD: Made = Made { instructions: 1000, unresolved: 0, status: 0 };

impl Nights {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = place(&directory, "store");
        // In place of measuring it copies; the rest is the real program's.
        let program = format!(
            "#!/bin/sh\n\
             [ \"$1 $2\" != \"$FAILS\" ] || {{ echo 'made to fail' >&2; exit 2; }}\n\
             [ \"$1\" = run ] || exec '{}' \"$@\"\n\
             while [ \"$1\" != --out ]; do shift; done\n\
             cp -r \"$MADE\" \"$2\"\n\
             exit \"$STATUS\"\n",
            env!("CARGO_BIN_EXE_drbench")
        );
        executable(&place(&directory, "drbench"), &program);
        Self { directory, store }
    }

    fn make(&self, made: &Made) -> PathBuf {
        let info = RunInfo::begin("test", vec![]);
        let place = place(&self.directory, info.run.run_id.as_str());
        let instructions = Outcome::ok(made.instructions);
        let mut rows = vec![row(&info, "6.1.5", "n:5", Metric::Instructions, instructions)];
        for (at, workload) in ["none", "dr7", "scan"].into_iter().enumerate() {
            let open = || Outcome::unresolved(None, "too noisy, \"unresolved\",\nunresolved,");
            let time = if at < made.unresolved { open() } else { Outcome::ok(500_u64) };
            rows.push(row(&info, "6.1.5", workload, Metric::Ns, time));
        }
        if made.status == 2 {
            let gone = Outcome::failed(None, "no such kernel");
            rows.push(row(&info, "6.12.7", "windows", Metric::Instructions, gone));
        }
        let mut run = RunDir::create(&place, info).unwrap();
        run.append(&rows).unwrap();
        run.finish().unwrap();
        place
    }

    fn night(&self, made: &Made, more: &[(&str, &str)]) -> Told {
        let (run, status) = (self.make(made), made.status.to_string());
        let made = [("MADE", run.to_str().unwrap()), ("STATUS", &status), ("FAILS", "none")];
        let program = place(&self.directory, "drbench");
        night_by(&ci().join("nightly"), &program, &self.store, &[&made, more].concat())
    }

    /// A baseline's instructions.
    fn kept(&self, name: &str) -> String {
        let rows = reports::read(&self.store.join("baselines").join(name)).unwrap();
        rows[0].value.unwrap().to_string()
    }
}

#[test]
fn a_failed_build_measures_with_no_program_that_is_there_still() {
    for (setup, cargo) in [(1, 0), (0, 101)] {
        let directory = tempfile::tempdir().unwrap();
        let clone = |name: &str| place(&directory, "clone").join(name);
        for name in ["nightly", "lib.sh"] {
            fs::create_dir_all(clone("ci")).unwrap();
            fs::copy(ci().join(name), clone("ci").join(name)).unwrap();
        }
        executable(&clone("ci/setup"), &format!("#!/bin/sh\nexit {setup}\n"));
        executable(&place(&directory, "bin/cargo"), &format!("#!/bin/sh\nexit {cargo}\n"));
        let used = place(&directory, "used");
        let stale = clone("target/x86_64-unknown-linux-gnu/release/drbench");
        executable(&stale, &format!("#!/bin/sh\ntouch '{}'\n", used.display()));
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", place(&directory, "bin").display());
        let store = place(&directory, "store");
        let target = clone("target");
        let more = [("PATH", &*path), ("CARGO_TARGET_DIR", target.to_str().unwrap())];
        let (status, comment) = night_by(&clone("ci/nightly"), Path::new(""), &store, &more);
        assert_eq!(status, Some(2), "{comment}");
        assert!(comment.contains("building drbench"), "{comment}");
        assert!(!used.exists(), "an old program has measured");
    }
}

#[test]
fn a_baseline_that_cannot_be_read_is_told_and_never_replaced() {
    let nights = Nights::new();
    assert_eq!(nights.night(&GOOD, &[]).0, Some(0));
    let link = nights.store.join("baselines/night-lab");
    let copy = fs::read_link(&link).unwrap();
    let worse = Made { instructions: 1500, ..GOOD };

    let (status, comment) = nights.night(&worse, &[("FAILS", "history kept")]);
    assert!(status == Some(2) && comment.contains("made to fail"), "{comment}");
    fs::remove_dir_all(link.parent().unwrap().join(&copy)).unwrap();
    let (_, comment) = nights.night(&worse, &[]);
    assert!(comment.contains("The baseline `night-lab` cannot be read"), "{comment}");
    assert!(
        comment.contains("### Against `fixed-lab`"),
        "the other is not lost with it: {comment}"
    );
    let (status, comment) = nights.night(&GOOD, &[]);
    assert_eq!(status, Some(2), "{comment}");
    assert_eq!(fs::read_link(&link).unwrap(), copy, "{comment}");
}

#[test]
fn a_kernel_that_cannot_be_had_hides_no_regression_of_the_others() {
    let nights = Nights::new();
    let partly = |instructions| Made { instructions, unresolved: 0, status: 2 };
    let (status, comment) = nights.night(&partly(900), &[]);
    assert_eq!(status, Some(2), "{comment}");
    assert!(!nights.store.join("baselines").exists(), "half a night is no baseline: {comment}");
    assert_eq!(nights.night(&GOOD, &[]).0, Some(0));
    let (status, comment) = nights.night(&partly(1500), &[]);
    assert_eq!(status, Some(1), "{comment}");
    for words in ["ended with status 2", "becomes no baseline", "**Worse.**", "1500"] {
        assert!(comment.contains(words), "{words}: {comment}");
    }
    // Nobody minds the rows that were not measured: the night is not whole all the same.
    let gate = place(&nights.directory, "gate.toml");
    fs::write(&gate, "[[limit]]\nallowed = true\n").unwrap();
    let (status, comment) = nights.night(&partly(900), &[("DRBENCH_GATE", gate.to_str().unwrap())]);
    assert_eq!(status, Some(2), "{comment}");
    assert_eq!(nights.kept("night-lab"), "1000");
}

#[test]
fn a_night_with_more_open_rows_does_not_replace_a_clearer_one() {
    let nights = Nights::new();
    let open = |unresolved| Made { unresolved, ..GOOD };
    assert_eq!(nights.night(&open(1), &[]).0, Some(0));
    let link = nights.store.join("baselines/night-lab");
    let first = fs::read_link(&link).unwrap();
    let (status, comment) = nights.night(&open(3), &[]);
    assert_eq!(status, Some(0), "{comment}");
    let told = "The baseline stays: 3 rows of this run are unresolved (1 of the baseline's).";
    assert!(comment.contains(told), "{comment}");
    assert_eq!(fs::read_link(&link).unwrap(), first);
    let (status, comment) = nights.night(&open(1), &[]);
    assert_eq!(status, Some(0), "{comment}");
    assert_ne!(fs::read_link(&link).unwrap(), first, "as clear as the last one: {comment}");
}

#[test]
fn small_steps_add_up_against_the_night_that_does_not_move() {
    let nights = Nights::new();
    let gate = place(&nights.directory, "gate.toml");
    fs::write(&gate, "[[limit]]\nrelative = 0.02\n").unwrap();
    let gate = [("DRBENCH_GATE", gate.to_str().unwrap())];
    let night = |instructions| nights.night(&Made { instructions, ..GOOD }, &gate);
    for instructions in [1000, 1009, 1018] {
        let (status, comment) = night(instructions);
        assert_eq!(status, Some(0), "{comment}");
        assert_eq!(nights.kept("night-lab"), instructions.to_string());
        assert_eq!(nights.kept("fixed-lab"), "1000");
    }
    let (status, comment) = night(1027);
    assert_eq!(status, Some(1), "{comment}");
    let (last, fixed) = comment.split_once("### Against `fixed-lab`").unwrap();
    assert!(last.contains("**Not worse, as far") && fixed.contains("**Worse.**"), "{comment}");
    assert_eq!(nights.kept("night-lab"), "1018", "the night was bad");

    // As the comment says.
    let begin = fixed.find("history keep fixed-lab").unwrap();
    let words: Vec<_> = fixed[begin..].split_whitespace().take(5).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_drbench"));
    command.args(words).arg("--in").arg(&nights.store);
    crate::common::passes(&mut command);
    assert_eq!(nights.kept("fixed-lab"), "1027");
    let (status, comment) = night(1027);
    assert_eq!(status, Some(0), "{comment}");
    assert_eq!(nights.kept("night-lab"), "1027");
}
