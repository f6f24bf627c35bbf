//! The main job: a real, unmodified kernel in the lab.

use std::fs;

use crate::common::{KERNEL, dr_exits, drbench, failed, lab, place, rows, told, verdict};
use reports::{Metric, Status};

#[test]
fn a_stock_kernel_is_lazy_and_a_second_run_repeats_the_first_to_the_digit() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| place(&directory, name));
    let output = lab(&one, &["--suite", "policy"]);
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("verdict: lazy") && table.contains("instructions"), "{table}");
    assert!(!table.contains('\u{1b}'), "colours are for terminals");

    let first = rows(&one);
    assert_eq!(verdict(&first), Some("lazy"));
    let counted = dr_exits(&first);
    assert!(counted.len() >= 64, "{} cells", counted.len());
    for row in counted {
        assert_eq!((row.status, row.value), (Status::Ok, row.predicted), "{}", row.key);
    }
    assert!(failed(&first).is_empty(), "{:?}", failed(&first));
    assert!(exit_free_cells_are_known_to_the_instruction(&first));

    assert_eq!(told(&lab(&two, &["--suite", "policy"])).0, Some(0));
    let but_for_id_and_time = |out: &std::path::Path| -> Vec<String> {
        let text = fs::read_to_string(out.join("results.csv")).unwrap();
        text.lines().map(|line| line.splitn(3, ',').nth(2).unwrap().to_owned()).collect()
    };
    assert_eq!(but_for_id_and_time(&one), but_for_id_and_time(&two));
    let cold = place(&directory, "cold");
    assert_eq!(told(&lab(&cold, &["--suite", "policy", "--cold"])).0, Some(0));
    assert_eq!(but_for_id_and_time(&one), but_for_id_and_time(&cold));

    let compared = drbench().arg("compare").args([&one, &two]).output().unwrap();
    assert_eq!(told(&compared).0, Some(0), "{}", String::from_utf8_lossy(&compared.stdout));
    an_edited_digit_and_a_lost_row_are_named(&one, &two);
}

#[test]
fn intel_is_lazy_too_and_repeats_to_the_digit() {
    let directory = tempfile::tempdir().unwrap();
    let but_for_id_and_time = ["one", "two"].map(|name| {
        let out = place(&directory, name);
        let run = drbench()
            .args(["run", "--kernel", KERNEL, "--cpu", "intel", "--out"])
            .arg(&out)
            .output()
            .unwrap();
        assert_eq!(told(&run).0, Some(0), "{}", told(&run).1);
        let rows = rows(&out);
        assert_eq!(verdict(&rows), Some("lazy"));
        assert!(dr_exits(&rows).len() >= 64 && failed(&rows).is_empty());
        for row in dr_exits(&rows) {
            assert_eq!((row.status, row.value), (Status::Ok, row.predicted), "{}", row.key);
        }
        assert!(exit_free_cells_are_known_to_the_instruction(&rows));
        let text = fs::read_to_string(out.join("results.csv")).unwrap();
        text.lines().map(|line| line.splitn(3, ',').nth(2).unwrap().to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(but_for_id_and_time[0], but_for_id_and_time[1]);
}

/// The control's sections have no exit: the instructions counted are those of the payload.
fn exit_free_cells_are_known_to_the_instruction(rows: &[reports::Record]) -> bool {
    let mut exit_free = rows
        .iter()
        .filter(|row| row.key.metric == Metric::Instructions && row.predicted.is_some())
        .peekable();
    exit_free.peek().is_some()
        && exit_free.all(|row| row.status == Status::Ok && row.value == row.predicted)
}

fn an_edited_digit_and_a_lost_row_are_named(one: &std::path::Path, two: &std::path::Path) {
    let path = two.join("results.csv");
    let text = fs::read_to_string(&path).unwrap();
    let is_anchor =
        |line: &&str| line.contains(",n:5,kernel,none,0,") && line.contains(",dr_exits,");
    let line = text.lines().find(is_anchor).unwrap();
    let edited = line.replace(",exits,1,", ",exits,2,");
    assert_ne!(line, edited);
    fs::write(&path, text.replace(line, &edited)).unwrap();
    let changed = drbench().arg("compare").args([one, two]).output().unwrap();
    let report = String::from_utf8_lossy(&changed.stdout).into_owned();
    assert_eq!(changed.status.code(), Some(1), "{report}");
    assert!(report.contains("changed") && report.contains("dr_exits"), "{report}");

    fs::write(&path, text.replace(&format!("{line}\n"), "")).unwrap();
    let missing = drbench().arg("compare").args([one, two]).output().unwrap();
    let report = String::from_utf8_lossy(&missing.stdout).into_owned();
    assert_eq!(missing.status.code(), Some(1), "{report}");
    assert!(report.contains("missing"), "{report}");
}

#[test]
fn without_icount_beside_a_busy_process_the_verdict_is_right_or_open() {
    let mut busy =
        std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "wall");
    let output = lab(&out, &["--no-icount"]);
    busy.kill().unwrap();
    busy.wait().unwrap();
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    let rows = rows(&out);
    assert!(matches!(verdict(&rows), Some("lazy" | "unresolved")), "{:?}", verdict(&rows));
    for row in dr_exits(&rows) {
        let right = row.status == Status::Ok && row.value == row.predicted;
        assert!(right || row.status == Status::Unresolved, "{}: {}", row.key, row.reason);
    }
    let instructions = rows.iter().filter(|row| row.key.metric == Metric::Instructions);
    for row in instructions {
        assert_eq!((row.status, row.value), (Status::Skipped, None), "{}", row.reason);
    }
}

#[test]
fn the_vmm_holds_on_a_real_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "selfcheck");
    let output = lab(&out, &["--suite", "selfcheck"]);
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    let rows = rows(&out);
    let passed = rows.iter().filter(|row| row.status == Status::Ok).count();
    let skipped = rows.iter().filter(|row| row.status == Status::Skipped).count();
    assert!(passed >= 17 && skipped <= 1, "{passed} passed, {skipped} skipped");
}

#[test]
fn expectations_are_held_against_the_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let right = lab(&place(&directory, "right"), &["--workload", "dr7", "--expect", "amd=lazy"]);
    assert_eq!(told(&right).0, Some(0), "{}", told(&right).1);
    let wrong = lab(&place(&directory, "wrong"), &["--workload", "dr7", "--expect", "never"]);
    let (status, said) = told(&wrong);
    assert_eq!(status, Some(1));
    assert!(said.contains("expected never, found lazy"), "{said}");
}

#[test]
fn an_ordinary_user_gets_totals_and_a_verdict_by_subtraction_and_is_told_what_gives_more() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "user");
    let output = lab(&out, &["--unprivileged"]);
    let (status, said) = told(&output);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("setcap cap_perfmon,cap_dac_read_search=ep"), "{said}");
    let rows = rows(&out);
    let row = rows.iter().find(|row| row.key.metric == Metric::Verdict).unwrap();
    assert_eq!((row.verdict(), row.status), (Some("lazy"), Status::Unconfirmed), "{}", row.reason);
    let by_subtraction: Vec<_> =
        rows.iter().filter(|row| row.key.metric == Metric::DrExits).collect();
    assert!(by_subtraction.len() >= 64);
    for row in by_subtraction {
        assert_eq!((row.status, row.value), (Status::Unconfirmed, row.predicted), "{}", row.key);
    }
}
