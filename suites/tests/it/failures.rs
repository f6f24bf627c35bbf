//! What can go wrong: one clear error on stderr, the status of the table, finished results in place.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::{
    KERNEL, dr_exits, drbench, failed, lab, lab_kernel, place, prepared, rows, told, verdict,
};
use reports::Status;

const USAGE: Option<i32> = Some(2);
const STOP_BISECTING: Option<i32> = Some(128);
const UNTESTABLE: Option<i32> = Some(125);
const FINDING: Option<i32> = Some(1);

#[test]
fn a_guest_that_loops_for_ever_is_one_failed_cell_among_finished_ones() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "hang");
    let output = lab(&out, &["--workload", "hang", "--workload", "windows"]);
    let (status, said) = told(&output);
    assert_eq!(status, FINDING, "{said}");
    assert!(said.contains("hang") && said.contains("watchdog") && said.contains("RIP="), "{said}");
    let rows = rows(&out);
    assert_eq!(verdict(&rows), Some("lazy"));
    let bad = failed(&rows);
    assert!(!bad.is_empty() && bad.iter().all(|row| row.key.cell.workload.as_str() == "hang"));
    let windows: Vec<_> = dr_exits(&rows)
        .into_iter()
        .filter(|row| row.key.cell.workload.as_str() == "windows")
        .collect();
    assert_eq!(windows.len(), 2);
    assert!(windows.iter().all(|row| row.status == Status::Ok && row.value == row.predicted));
}

#[test]
fn a_triple_fault_is_one_failed_cell_with_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "triple");
    let output = lab(&out, &["--workload", "triple-fault"]);
    let (status, said) = told(&output);
    assert_eq!(status, FINDING, "{said}");
    assert!(said.contains("triple fault"), "{said}");
    assert_eq!(said.matches("triple fault (").count(), 2, "one report a cell: {said}");
    let rows = rows(&out);
    assert_eq!(verdict(&rows), Some("lazy"));
    assert!(failed(&rows).iter().all(|row| !row.reason.contains('\n') && row.value.is_none()));
}

#[test]
fn a_kernel_that_panics_cannot_be_tested_and_its_cells_are_failed_rows() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "panic");
    // Without the initramfs's init the kernel looks for a root file system, and there is none.
    let output = lab(&out, &["--workload", "dr7", "--append", "rdinit=/nowhere"]);
    let (status, said) = told(&output);
    assert_eq!(status, UNTESTABLE, "{said}");
    assert!(said.contains("Kernel panic"), "{said}");
    let rows = rows(&out);
    assert_eq!(verdict(&rows), Some("unresolved"));
    assert!(!failed(&rows).is_empty());
    assert!(failed(&rows).iter().all(|row| row.reason.contains("panicked")), "{rows:?}");
}

#[test]
fn a_kernel_that_hangs_is_stopped_at_the_time_limit() {
    let directory = tempfile::tempdir().unwrap();
    let output =
        lab(&place(&directory, "hung"), &["--workload", "dr7", "--cold", "--time-limit", "1"]);
    let (status, said) = told(&output);
    assert_eq!(status, UNTESTABLE, "{said}");
    assert!(said.contains("1s"), "{said}");
}

#[test]
fn a_kernel_without_its_kvm_module_cannot_be_tested() {
    let directory = tempfile::tempdir().unwrap();
    let empty = place(&directory, "modules");
    fs::create_dir(&empty).unwrap();
    let image = prepared().image;
    let kernel = format!("{}:{}", image.display(), empty.display());
    let output = lab_kernel(&kernel, &place(&directory, "out"), &["--workload", "dr7"]);
    let (status, said) = told(&output);
    assert_eq!(status, UNTESTABLE, "{said}");
    assert!(said.contains("kvm") && said.contains("modules"), "{said}");
}

#[test]
fn a_truncated_package_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let package = place(&directory, "linux-image.deb");
    let mut bytes = b"!<arch>\n".to_vec();
    bytes.extend(
        format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "debian-binary", 0, 0, 0, 100_644, 4)
            .bytes(),
    );
    bytes.extend(b"2.0\n");
    bytes.extend(
        format!(
            "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            "data.tar.xz", 0, 0, 0, 100_644, 70_000_000
        )
        .bytes(),
    );
    bytes.extend(b"\xfd7zXZ\0\0\x04");
    fs::write(&package, bytes).unwrap();
    let name = package.to_str().unwrap();
    let output = lab_kernel(name, &place(&directory, "out"), &["--workload", "dr7"]);
    let (status, said) = told(&output);
    assert_eq!(status, USAGE, "{said}");
    assert!(said.contains("linux-image.deb"), "{said}");
}

#[test]
fn an_unknown_version_is_told_with_those_there_are_and_the_first_kernels_results_stay() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "out");
    let output = lab(&out, &["--workload", "dr7", "--kernel", "debian:4.2"]);
    let (status, said) = told(&output);
    assert_eq!(status, USAGE, "{said}");
    assert!(said.contains("4.2") && said.contains("6.1"), "{said}");
    let (missing, measured): (Vec<_>, Vec<_>) =
        rows(&out).into_iter().partition(|row| row.subject.kernel == "debian:4.2");
    assert_eq!(verdict(&measured), Some("lazy"));
    assert!(dr_exits(&measured).iter().all(|row| row.status == Status::Ok));
    assert_eq!(dr_exits(&missing).len(), dr_exits(&measured).len(), "a failed row for each");
    assert!(failed(&missing).iter().all(|row| row.reason.contains("4.2")), "{missing:?}");
}

#[test]
fn without_an_emulator_it_says_where_it_looked_and_stops_a_bisection() {
    let directory = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| {
        let output = drbench()
            .args(["run", "--kernel", KERNEL, "--cpu", "amd", "--out"])
            .arg(place(&directory, "out"))
            .args(more)
            .env("PATH", directory.path())
            .env("DRBENCH_CACHE", directory.path())
            .env_remove("DRBENCH_QEMU")
            .output()
            .unwrap();
        told(&output)
    };
    let (status, said) = run(&[]);
    assert_eq!(status, USAGE, "{said}");
    assert!(said.contains("qemu-system-x86_64") && said.contains("ci/setup"), "{said}");
    assert_eq!(run(&["--expect", "lazy"]).0, STOP_BISECTING);
    assert!(!place(&directory, "out").exists(), "nothing was begun");
}

#[test]
fn an_old_emulator_is_refused_with_its_version_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let old = place(&directory, "qemu-system-x86_64");
    fs::write(&old, "#!/bin/sh\necho 'QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)'\n")
        .unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let output = lab(&place(&directory, "out"), &["--qemu", old.to_str().unwrap()]);
    let (status, said) = told(&output);
    assert_eq!(status, USAGE, "{said}");
    assert!(said.contains("7.2") && said.contains("10.0"), "{said}");
}

#[test]
fn wrong_words_are_refused_before_anything_begins() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "out");
    let cases: [(&[&str], &str); 11] = [
        (&["run", "--workload", "espresso"], "espresso"),
        (&["run", "--kernel", "debian:6.1", "--cpu", "arm"], "arm"),
        (&["run", "--kernel", "debian:6.1", "--cpu", "intel", "--machine", "qemu"], "intel"),
        (&["run", "--kernel", "nonsense"], "nonsense"),
        (&["run", "--kernel", "debian:6.1", "--time-limit", "0"], "time-limit"),
        (&["run", "--cpu", "amd"], "--kernel"),
        (&["run", "--no-icount"], "--kernel"),
        (&["run", "--suite", "selfcheck", "--workload", "dr7"], "--workload"),
        (&["compare", "/nonexistent", "/nonexistent"], "/nonexistent"),
        (&["payload", "n:1000,cpuid/1000,switches=1000"], "room for"),
        (&["frobnicate"], "frobnicate"),
    ];
    for (words, named) in cases {
        let mut command = drbench();
        command.args(words);
        if words[0] == "run" {
            command.arg("--out").arg(&out);
        }
        let (status, said) = told(&command.output().unwrap());
        assert_eq!(status, USAGE, "{words:?}: {said}");
        assert!(said.contains(named), "{words:?}: {said}");
    }
    assert!(!out.exists());
}

#[test]
fn a_world_switch_or_a_clock_that_cannot_be_is_refused_before_anything_begins() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "out");
    for option in ["--world-switch-cycles", "--clock-mhz"] {
        for value in ["0", "-5", "1000001", "4294967296", "99999999999999999999", "1.5", "many"] {
            let (status, said) = told(&lab(&out, &["--suite", "slowdown", option, value]));
            assert_eq!(status, USAGE, "{option} {value}: {said}");
            assert!(said.contains(option) && said.contains(value), "{option} {value}: {said}");
        }
        let (status, said) = told(&lab(&out, &["--suite", "cost", option, "1000"]));
        assert_eq!(status, USAGE, "{said}");
        assert!(said.contains("slowdown"), "{said}");
    }
    assert!(!out.exists(), "nothing was begun");
}

#[test]
fn an_expectation_that_covers_no_target_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = lab(&place(&directory, "out"), &["--expect", "intel=never"]);
    let (status, said) = told(&output);
    assert_eq!(status, STOP_BISECTING, "{said}");
    assert!(said.contains("--expect"), "{said}");
}

#[test]
fn a_run_without_rows_is_nothing_to_compare_with() {
    let directory = tempfile::tempdir().unwrap();
    let empty = place(&directory, "results.csv");
    let header = reports::record::header::<reports::Record>().join(",");
    fs::write(&empty, format!("{header}\n")).unwrap();
    let (status, said) = told(&drbench().arg("compare").args([&empty, &empty]).output().unwrap());
    assert_eq!(status, USAGE, "{said}");
    assert!(said.contains("holds no rows"), "{said}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = drbench()
        .args(["payload", "windows"])
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_run_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(place(&directory, "results.csv"), "precious").unwrap();
    let (status, said) = told(&lab(directory.path(), &["--workload", "dr7"]));
    assert_eq!(status, USAGE, "{said}");
    assert!(said.contains("already holds a run"), "{said}");
    assert_eq!(fs::read_to_string(place(&directory, "results.csv")).unwrap(), "precious");
}
