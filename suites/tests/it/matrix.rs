//! Several kernels in one run: on disk when they end, taken up where they were left.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use reports::{Metric, Record, Status};

use crate::common::{KERNEL, drbench, failed, place, prepared, rows, told};

/// Two cells, quick ones.
const MATRIX: [&str; 9] =
    ["run", "--kernel", KERNEL, "--kernel", "debian:5.10", "--cpu", "amd", "--workload", "dr7"];
const NAMES: [&str; 2] = ["1-debian_6.1-amd-qemu-tcg", "2-debian_5.10-amd-qemu-tcg"];
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn killed_divided_or_repeated_a_matrix_gives_the_same_rows() {
    let directory = tempfile::tempdir().unwrap();
    let whole = place(&directory, "whole");
    let output = drbench().args(MATRIX).arg("--out").arg(&whole).output().unwrap();
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.matches(" lazy ").count(), 2, "a line for each kernel: {table}");
    let expected = sorted(&whole);
    assert!(rows(&whole).iter().all(|row| row.status != Status::Failed));
    let listing: Vec<_> = fs::read_dir(whole.join("cells")).unwrap().flatten().collect();
    assert_eq!(listing.len(), NAMES.len(), "{listing:?}");

    for (name, moment) in [("early", false), ("late", true)] {
        let out = place(&directory, name);
        killed(&out, moment);
        let resumed = drbench().args(["run", "--resume"]).arg(&out).output().unwrap();
        assert_eq!(told(&resumed).0, Some(0), "{}", told(&resumed).1);
        assert_eq!(sorted(&out), expected, "killed {name}");
        let shown = String::from_utf8(resumed.stdout).unwrap();
        let (name, whole) = (out.to_str().unwrap(), whole.to_str().unwrap());
        assert_eq!(shown.replace(name, whole), table, "the same table");
    }
    divided(&directory, &expected);
    repeated(&directory, &whole);
}

/// Starts the matrix and kills it: at once, or when the first cell has ended.
fn killed(out: &Path, late: bool) {
    let mut command = drbench();
    command.args(MATRIX).args(["--jobs", if late { "1" } else { "2" }]).arg("--out").arg(out);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mark = if late { NAMES[0].to_owned() } else { format!(".{}.partial", NAMES[0]) };
    wait_for(&mut child, || out.join("cells").join(&mark).is_dir());
    sleep(Duration::from_millis(700));
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Some(left) = process_with(out) {
        assert!(Instant::now() < deadline, "left behind: {left}");
        sleep(Duration::from_millis(50));
    }
    let kept = out.join("cells").join(NAMES[0]).is_dir();
    let written = rows(out).iter().filter(|row| row.key.metric == Metric::Verdict).count();
    assert!(kept == late || written > 0, "{written} cells");
    assert_eq!(written, finished(out), "results.csv holds what has ended");
}

fn finished(out: &Path) -> usize {
    NAMES.iter().filter(|name| out.join("cells").join(name).is_dir()).count()
}

fn wait_for(child: &mut Child, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        assert!(Instant::now() < deadline, "nothing happens");
        sleep(Duration::from_millis(5));
    }
}

/// A process that has this directory on its command line.
fn process_with(out: &Path) -> Option<String> {
    let out = out.to_str().unwrap();
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(out).then_some(line)
    })
}

/// The rows without run id and beginning, sorted.
fn sorted(out: &Path) -> Vec<String> {
    let text = fs::read_to_string(out.join("results.csv")).unwrap();
    let mut rows: Vec<_> =
        text.lines().map(|line| line.splitn(3, ',').nth(2).unwrap().to_owned()).collect();
    rows.sort();
    rows
}

fn divided(directory: &tempfile::TempDir, expected: &[String]) {
    let shards = ["1/2", "2/2"].map(|shard| {
        let out = place(directory, &shard.replace('/', "of"));
        let command = drbench().args(MATRIX).args(["--shard", shard, "--out"]).arg(&out).output();
        let (status, said) = told(&command.unwrap());
        assert_eq!(status, Some(0), "{said}");
        out
    });
    let merged = place(directory, "merged");
    let merge = |shards: &[std::path::PathBuf]| {
        told(&drbench().arg("merge").arg(&merged).args(shards).output().unwrap())
    };
    let (status, said) = merge(&shards[..1]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("debian:5.10") && !merged.exists(), "{said}");
    let (status, said) = merge(&shards);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(sorted(&merged), expected);
}

fn repeated(directory: &tempfile::TempDir, whole: &Path) {
    let out = place(directory, "repeated");
    let mut command = drbench();
    command.args(["run", "--kernel", KERNEL, "--cpu", "amd", "--workload", "dr7"]);
    let output = command.args(["--repeat", "2", "--out"]).arg(&out).output().unwrap();
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    let version = rows(&out)[0].subject.kernel.clone();
    let of_kernel = |row: &&Record| row.subject.kernel == version;
    assert_eq!(rows(&out).len(), rows(whole).iter().filter(of_kernel).count());
    let samples = |out: &Path| fs::read_to_string(out.join("samples.csv")).unwrap();
    let first: Vec<_> = samples(whole).lines().skip(1).map(str::to_owned).collect();
    let of_kernel = first.iter().filter(|line| line.contains(&format!(",{version},"))).count();
    assert_eq!(samples(&out).lines().count() - 1, 2 * of_kernel, "of both boots");
}

#[test]
fn a_kernel_that_is_not_there_is_failed_rows_until_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (out, image) = (place(&directory, "out"), place(&directory, "vmlinux"));
    let kernel = prepared();
    let name = format!("vmlinux:{}", kernel.module_dir.display());
    let from = |words: &[&str]| {
        let mut command = drbench();
        command.current_dir(directory.path()).args(words);
        told(&command.output().unwrap())
    };
    let (status, said) = from(&[
        "run",
        "--kernel",
        &name,
        "--cpu",
        "amd",
        "--workload",
        "dr7",
        "--expect",
        "lazy",
        "--out",
        "out",
    ]);
    assert_eq!(status, Some(128), "{said}");
    assert!(said.contains("vmlinux"), "{said}");
    let bad = rows(&out);
    assert!(!bad.is_empty() && bad.iter().all(|row| row.subject.kernel == name));
    assert!(failed(&bad).iter().all(|row| row.reason.contains("vmlinux")), "{bad:?}");

    std::os::unix::fs::symlink(kernel.image, image).unwrap();
    // From elsewhere: relative names mean what they meant when the run began.
    let mut command = Command::new(env!("CARGO_BIN_EXE_drbench"));
    let resumed = command.args(["run", "--resume"]).arg(&out).current_dir("/").output().unwrap();
    assert_eq!(told(&resumed).0, Some(0), "{}", told(&resumed).1);
    let good = rows(&out);
    assert!(failed(&good).is_empty() && good.len() >= bad.len(), "{good:?}");
}

#[test]
fn a_dry_run_lists_the_cells_and_touches_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "out");
    let words = ["run", "--kernel", KERNEL, "--kernel", "debian:9.9", "--dry-run", "--out"];
    let mut command = drbench();
    let output = command.args(words).arg(&out).env("DRBENCH_CACHE", directory.path()).output();
    let output = output.unwrap();
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    let list = String::from_utf8(output.stdout).unwrap();
    assert_eq!(list.lines().filter(|line| line.ends_with("a guess")).count(), 4, "{list}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is there now");
}

#[test]
fn a_run_is_resumed_by_its_own_words_only() {
    let directory = tempfile::tempdir().unwrap();
    let resume = |more: &[&str]| {
        told(
            &drbench().args(["run", "--resume"]).arg(directory.path()).args(more).output().unwrap(),
        )
    };
    for more in [["--kernel", KERNEL], ["--expect", "lazy"], ["--repeat", "2"]] {
        let (status, said) = resume(&more);
        assert!(matches!(status, Some(2 | 128)), "{said}");
        assert!(said.contains(more[0]) && said.contains("--resume"), "{said}");
    }
    let (status, said) = resume(&[]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("run.json"), "{said}");
}
