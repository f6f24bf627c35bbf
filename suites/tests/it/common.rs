//! Running the real program, and reading what it wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reports::{Metric, Record, Source, Status};

/// The kernel that tests boot.
pub const KERNEL: &str = "debian:6.1";

/// A file that tests come with.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The folder of the scripts.
pub fn ci() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci")
}

/// Writes a program, and the folders it is in.
pub fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// Runs a program that has to succeed.
pub fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// The program, its environment as it is.
pub fn drbench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_drbench"))
}

/// Runs in the lab: `run --kernel KERNEL --cpu amd --out OUT` and `more`.
pub fn lab(out: &Path, more: &[&str]) -> Output {
    lab_kernel(KERNEL, out, more)
}

/// The same with another kernel.
pub fn lab_kernel(kernel: &str, out: &Path, more: &[&str]) -> Output {
    drbench()
        .args(["run", "--kernel", kernel, "--cpu", "amd", "--out"])
        .arg(out)
        .args(more)
        .output()
        .expect("the program starts")
}

/// What it ended with, and what it said, for assertions.
pub fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The rows of a run.
pub fn rows(out: &Path) -> Vec<Record> {
    reports::read(out).expect("results.csv can be read")
}

/// The verdict's name.
pub fn verdict(rows: &[Record]) -> Option<&str> {
    rows.iter().find_map(Record::verdict)
}

/// DR exits by the tracepoint, of every cell.
pub fn dr_exits(rows: &[Record]) -> Vec<&Record> {
    rows.iter()
        .filter(|row| row.key.metric == Metric::DrExits && row.key.source == Source::Tracepoint)
        .collect()
}

/// Rows that failed.
pub fn failed(rows: &[Record]) -> Vec<&Record> {
    rows.iter().filter(|row| row.status == Status::Failed).collect()
}

/// A place for a run, inside a directory that goes with the test.
pub fn place(directory: &tempfile::TempDir, name: &str) -> PathBuf {
    directory.path().join(name)
}

/// The kernel that all tests boot, made ready.
pub fn prepared() -> drbench_lab::kernel::Kernel {
    let cache =
        drbench_lab::cache::Cache::default_dir().and_then(drbench_lab::cache::Cache::open).unwrap();
    drbench_lab::kernel::prepare(&KERNEL.parse().unwrap(), &cache, &|_| {}).unwrap()
}
