//! This host's own KVM, where there is one.

use crate::common::{drbench, failed, place, rows, told, verdict};
use reports::{Metric, RunInfo, Seen, Status};
use std::path::Path;

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
            // On a busy machine it may be known too badly, and says so.
            let resolved = control.is_resolved() == Some(true);
            assert_eq!(control.status == Status::Ok, resolved, "{}", control.reason);
            assert!(control.value.is_some() && control.samples > 0);
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
fn the_order_of_a_native_run_can_be_repeated_and_what_disturbed_it_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[&str]| {
        let out = place(&directory, name);
        let mut command = drbench();
        command.args(["run", "--workload", "dr7,switches=4", "--out"]).arg(&out).args(more);
        (out, command.output().unwrap())
    };
    let (given, output) = run("given", &["--seed", "77"]);
    if let Err(error) = bench_vmm::Host::open() {
        println!("this host has no usable KVM ({error}): what is tested is that drbench says so");
        assert_eq!(told(&output).0, Some(2), "{}", told(&output).1);
        return;
    }
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    let noise = |out: &Path| {
        let environments = RunInfo::read(out).unwrap().environments;
        environments[0].noise.clone().expect("a run on hardware tells of noise")
    };
    assert_eq!(noise(&given).seed, 77);
    assert!(noise(&given).cpu.value().is_some(), "bound to a CPU: {:?}", noise(&given).cpu);

    let (free, output) = run("free", &["--no-pin"]);
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    assert_eq!(noise(&free).cpu, Seen::Unknown("--no-pin".to_owned()));
    let (other, _) = run("other", &[]);
    assert_ne!(noise(&free).seed, noise(&other).seed, "another order each time");

    // The same files as ever to all who read them.
    let compared = drbench().arg("compare").args([&given, &free]).output().unwrap();
    // On a busy host one of two runs of the same may well be slower.
    assert!(matches!(told(&compared).0, Some(0 | 1)), "{}", told(&compared).1);
    let resumed = drbench().args(["run", "--resume"]).arg(&given).output().unwrap();
    assert_eq!(told(&resumed).0, Some(0), "{}", told(&resumed).1);
}

#[test]
fn a_seed_is_refused_where_there_is_no_noise() {
    let output = drbench()
        .args(["run", "--kernel", "debian:6.1", "--cpu", "amd", "--seed", "1", "--dry-run"])
        .output()
        .unwrap();
    let (status, said) = told(&output);
    assert_eq!(status, Some(2));
    assert!(said.contains("--seed") && said.contains("hardware"), "{said}");
}

#[test]
fn env_tells_what_there_is_and_changes_nothing() {
    let output = drbench().arg("env").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output).1);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in ["this host", "KVM", "quieter", "governor", "the lab", "emulator", "cache"] {
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
