//! Kernels whose kvm modules are rebuilt: the policies, and a policy that nobody has.

use crate::common::{data, dr_exits, failed, lab_kernel, place, rows, told, verdict};
use reports::Status;

/// The verdict is `policy`, and every cell is as it predicts.
fn has_policy(policy: &str) {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "run");
    let output = lab_kernel(&format!("debian:6.1+{policy}"), &out, &["--expect", policy]);
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    let rows = rows(&out);
    assert_eq!(verdict(&rows), Some(policy));
    assert!(rows.iter().all(|row| row.subject.variant == policy));
    for row in dr_exits(&rows) {
        assert_eq!((row.status, row.value), (Status::Ok, row.predicted), "{}", row.key);
    }
    assert!(failed(&rows).is_empty(), "{:?}", failed(&rows));
}

#[test]
fn always_exits_at_every_access() {
    has_policy("always");
}

#[test]
fn never_exits_only_under_guest_debug() {
    has_policy("never");
}

#[test]
fn a_policy_of_no_kernel_is_unknown_and_the_broken_anchors_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "run");
    let kernel = format!("debian:6.1+{}", data("third-exit.patch").display());
    let output = lab_kernel(&kernel, &out, &["--expect", "lazy"]);
    assert_eq!(told(&output).0, Some(1), "{}", told(&output).1);
    assert!(told(&output).1.contains("found unknown"), "{}", told(&output).1);
    assert_eq!(verdict(&rows(&out)).map(|name| name.starts_with("unknown")), Some(true));
}

#[test]
fn a_patch_that_does_not_compile_is_the_kernels_fault_and_shows_the_error() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("broken.cocci");
    let rule = "@@\n@@\n dr_interception(...)\n {\n+\tno_such_variable++;\n \t...\n \tint err = 0;\n \t...\n }\n";
    std::fs::write(
        &script,
        rule.replace(
            "+\tno_such_variable++;\n \t...\n \tint err = 0;",
            " \t...\n \tint err = 0;\n+\tno_such_variable++;",
        ),
    )
    .unwrap();
    let out = place(&directory, "run");
    let output = lab_kernel(&format!("debian:6.1+{}", script.display()), &out, &[]);
    let (status, words) = told(&output);
    assert_eq!(status, Some(125), "{words}");
    assert!(words.contains("no_such_variable") && words.contains("svm.c"), "{words}");
}
