//! This host's own KVM, where there is one.

use crate::common::{drbench, failed, place, rows, told, verdict};
use reports::{Metric, Status};

#[test]
fn this_hosts_kvm_is_measured_or_its_absence_is_told_with_the_labs_command() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "native");
    let output = drbench().arg("run").arg("--out").arg(&out).output().unwrap();
    let (status, said) = told(&output);
    if let Err(error) = bench_vmm::Host::open() {
        println!("this host has no usable KVM ({error}): what is tested is that drbench says so");
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("drbench run --kernel debian:6.1 --cpu amd"), "{said}");
        return;
    }
    let rows = rows(&out);
    match verdict(&rows) {
        Some("emulated") => {
            assert_eq!(status, Some(0), "{said}");
            assert!(said.contains("drbench run --kernel debian:6.1 --cpu amd"), "{said}");
            let control = rows.iter().find(|row| row.key.metric == Metric::Ns).unwrap();
            assert_eq!(control.status, Status::Ok, "{}", control.reason);
            assert!(control.samples > 0);
        }
        Some("always" | "lazy" | "never") => {
            assert_eq!(status, Some(0), "{said}");
            assert!(failed(&rows).is_empty(), "{:?}", failed(&rows));
        }
        Some("unresolved") => assert_eq!(status, Some(0), "{said}"),
        other => panic!("{other:?}: {said}"),
    }
}

#[test]
fn env_tells_what_there_is_and_changes_nothing() {
    let output = drbench().arg("env").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output).1);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in ["this host", "KVM", "the lab", "emulator", "cache"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn every_listed_suite_and_pattern_can_be_used() {
    let list = |what| {
        let output = drbench().args(["list", what]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(list("suites").lines().any(|line| line.starts_with("policy")));
    let patterns = list("workloads");
    for (pattern, _) in guest_payloads::Pattern::CATALOGUE {
        assert!(patterns.contains(&pattern.to_string()), "{pattern}");
        let output = drbench().args(["payload", &pattern.to_string()]).output().unwrap();
        let listing = String::from_utf8(output.stdout).unwrap();
        assert!(listing.contains("section:") && listing.contains("out 0xe1, al"), "{listing}");
    }
}
