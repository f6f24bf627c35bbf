//! `drbench history` as it is typed.

use std::path::Path;

use reports::{
    Cell, Key, Machine, Metric, Outcome, Policy, Record, RunDir, RunInfo, Source, Subject, Target,
    Vendor,
};

use crate::common::{drbench, place, told};

/// A run of a kernel, of so many instructions, that ended or did not.
pub fn run(store: &Path, name: &str, kernel: &str, vendor: Vendor, instructions: u64, ended: bool) {
    let info = RunInfo::begin("test", vec![]);
    let subject = Subject {
        kernel: kernel.to_owned(),
        kernel_id: format!("{kernel}-1"),
        variant: "stock".to_owned(),
    };
    let target = Target { vendor, machine: Machine::QemuTcg, cpu_model: "EPYC".to_owned() };
    let name_of = |text: &str| text.parse().expect("a name");
    let cell = Cell {
        suite: name_of("policy"),
        workload: name_of("windows"),
        policy: Policy::Kernel,
        interposed: name_of("cpuid"),
        exits_every: 1,
        armed: false,
        vcpus: 1,
        accesses: 13,
        work: 0,
        switches: 4,
    };
    let key = Key {
        target: target.into(),
        cell: cell.into(),
        metric: Metric::Instructions,
        source: Source::Tsc,
    };
    let row = Record::new(info.run.clone(), subject, key, Outcome::ok(instructions));
    let mut dir = RunDir::create(&store.join(name), info).unwrap();
    dir.append(&[Record { deterministic: true, ..row }]).unwrap();
    if ended {
        dir.finish().unwrap();
    }
}

fn store() -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    run(store.path(), "one", "6.1.5", Vendor::KvmAmd, 1000, true);
    run(store.path(), "two", "6.12.7", Vendor::KvmAmd, 1010, true);
    run(store.path(), "three", "6.12.7", Vendor::KvmIntel, 500, true);
    run(store.path(), "four", "6.12.8", Vendor::KvmAmd, 1, false);
    store
}

/// The status, and both outputs.
fn said(store: &Path, words: &[&str]) -> (Option<i32>, String) {
    let mut command = drbench();
    command.arg("history").args(words).current_dir(store.parent().unwrap());
    let output = command.output().unwrap();
    let (status, errors) = told(&output);
    (status, String::from_utf8(output.stdout).unwrap() + &errors)
}

#[test]
fn runs_are_listed_chosen_and_followed() {
    let store = store();
    let dir = store.path().to_str().unwrap();
    let (status, text) = said(store.path(), &[dir]);
    assert_eq!(status, Some(0), "{text}");
    let places: Vec<_> = ["6.1.5-1", "6.12.7-1", "kvm_intel", "6.12.8-1", "unfinished: it goes on"]
        .map(|word| text.find(word).unwrap_or_else(|| panic!("{word}: {text}")))
        .into();
    assert!(places.is_sorted(), "the newest last: {text}");

    let chosen: [(&[&str], usize); 6] = [
        (&["--kernel", "6.12*"], 3),
        (&["--kernel", "6.1.*"], 1),
        (&["--vendor", "intel"], 1),
        (&["--vendor", "kvm_amd", "--variant", "stock"], 3),
        (&["--last", "2"], 2),
        (&["--newest"], 3),
    ];
    for (words, lines) in chosen {
        let (status, text) = said(store.path(), &[&[dir], words].concat());
        assert_eq!(status, Some(0), "{text}");
        assert_eq!(text.matches(" stock ").count(), lines, "{words:?}: {text}");
    }
    let metric = ["--metric", "instructions", "--workload", "win*,cpuid/1", "--vendor", "amd"];
    let (status, text) = said(store.path(), &[&[dir][..], &metric].concat());
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("1010") && text.contains("+1.00 %"), "{text}");
    assert!(text.contains("not cycles") && !text.contains("6.12.8"), "{text}");
}

#[test]
fn what_is_not_there_is_a_usage_error_that_says_what_to_do() {
    let store = store();
    let dir = store.path().to_str().unwrap();
    let run = format!("{dir}/one");
    let wrong: [(&[&str], &str); 8] = [
        (&["nowhere"], "`drbench run` makes"),
        (&[&run], "name the directory that holds it"),
        (&[dir, "--kernel", "7*"], "none has what was asked for"),
        (&[dir, "--metric", "speed"], "expected a metric"),
        (&[dir, "--workload", "win*"], "--metric"),
        (&["keep", "good", "five", "--in", dir], "no run in"),
        (&["keep", "../one", "one", "--in", dir], "no baseline can have this name"),
        (&["forget", "good", "--in", dir], "none is kept"),
    ];
    for (words, why) in wrong {
        let (status, text) = said(store.path(), words);
        assert_eq!(status, Some(2), "{words:?}: {text}");
        assert!(text.contains(why), "{words:?}: {text}");
    }
    assert!(store.path().join("one/results.csv").exists());
}

#[test]
fn a_kept_run_can_be_compared_with_when_the_run_itself_is_gone() {
    let store = store();
    let dir = store.path().to_str().unwrap();
    let (status, text) = said(store.path(), &["keep", "good", "one", "--in", dir]);
    assert_eq!(status, Some(0), "{text}");
    std::fs::remove_dir_all(store.path().join("one")).unwrap();
    let (_, kept) = said(store.path(), &["kept", "--in", dir]);
    let kept = kept.trim_end().strip_prefix("good\t").unwrap().to_owned();
    let (_, two) = said(store.path(), &["path", "two", "--in", dir]);
    assert_eq!(Path::new(two.trim_end()), place(&store, "two"));
    let compared = drbench().args(["compare", &kept, two.trim_end()]).output().unwrap();
    assert_eq!(compared.status.code(), Some(1), "1010 are more than 1000");
    let (status, text) = said(store.path(), &["keep", "good", "two", "--in", dir]);
    assert!(status == Some(2) && text.contains("--replace"), "{text}");
    let (status, text) = said(store.path(), &["forget", "good", "--in", dir]);
    assert_eq!((status, text.as_str()), (Some(0), ""));
    let (status, text) = said(store.path(), &["kept", "--in", dir]);
    assert_eq!((status, text.as_str()), (Some(0), ""));
}
