//! Shards put together equal the undivided run.
#![allow(clippy::unwrap_used)]

mod common;

use common::any::a_record;
use common::{exits, name, subject, target};
use proptest::prelude::*;
use reports::{
    Emulator, Environment, MergeError, Record, Run, RunDir, RunInfo, Value, merge, sort_key,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn run(number: usize) -> Run {
    Run {
        run_id: name(&format!("run-{number}")),
        started_at: format!("2026-01-01T12:00:0{number}Z").parse().unwrap(),
    }
}

fn info(number: usize) -> RunInfo {
    let mut info = RunInfo::begin("0.1.0", vec!["drbench".into()]);
    info.run = run(number);
    info.hashes.insert("binary".into(), "aa".into());
    info
}

/// A run directory of these rows, each with two single values.
fn write(dir: &Path, info: RunInfo, rows: &[Record]) -> PathBuf {
    let run = info.run.clone();
    let mut store = RunDir::create(dir, info).unwrap();
    for row in rows {
        let row = Record { run: run.clone(), ..row.clone() };
        store.append(std::slice::from_ref(&row)).unwrap();
        let values = [2, 1].map(|batch| row.sample(0, batch, Value::count(batch.into())));
        store.append_samples(&values).unwrap();
    }
    store.finish().unwrap();
    dir.to_owned()
}

fn file(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

fn error(inputs: &[PathBuf]) -> String {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let error = merge(inputs, &out).unwrap_err();
    assert!(!out.exists(), "a refused merge leaves nothing");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nor anything beside");
    error.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shards_in_any_order_give_the_sorted_whole(
        rows in prop::collection::vec((a_record(), 0..3_usize, any::<bool>()), 0..12),
        order in Just([0, 1, 2]).prop_shuffle(),
    ) {
        let mut seen = BTreeMap::new();
        for (mut row, shard, twice) in rows {
            Arc::make_mut(&mut row.key.cell).suite = name("policy");
            seen.entry((row.subject.clone(), row.key.clone())).or_insert((row, shard, twice));
        }
        // Written in the order of the plan, which is not the sorted one.
        let mut rows: Vec<_> = seen.into_values().collect();
        rows.reverse();
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let of = |number: usize| -> Vec<Record> {
            let mine = |(_, shard, twice): &&(Record, usize, bool)| {
                *shard == number || *twice && (*shard + 1) % 3 == number
            };
            rows.iter().filter(mine).map(|(row, ..)| row.clone()).collect()
        };
        let shards: Vec<_> =
            (0..3).map(|number| {
                let mut info = info(number);
                info.hashes.insert(format!("payload-{number}"), "bb".into());
                write(&at(&number.to_string()), info, &of(number))
            }).collect();
        let mixed: Vec<_> = order.iter().map(|&number: &usize| shards[number].clone()).collect();
        let merged = merge(&mixed, &at("merged")).unwrap();
        prop_assert_eq!(merged.rows, rows.len());
        prop_assert_eq!(merged.repeated, rows.iter().filter(|(.., twice)| *twice).count());

        let mut all: Vec<Record> = rows.iter().map(|(row, ..)| row.clone()).collect();
        all.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        write(&at("whole"), info(0), &all);
        prop_assert_eq!(file(&at("merged"), "results.csv"), file(&at("whole"), "results.csv"));
        let mut samples: Vec<_> =
            file(&at("whole"), "samples.csv").lines().map(str::to_owned).collect();
        samples[1..].sort_unstable();
        let merged_samples = file(&at("merged"), "samples.csv");
        let mut found: Vec<_> = merged_samples.lines().map(str::to_owned).collect();
        found[1..].sort_unstable();
        prop_assert_eq!(found, samples);
        prop_assert_eq!(RunInfo::read(&at("merged")).unwrap(), merged.info);
    }
}

#[test]
fn an_undivided_run_merged_alone_is_sorted() {
    let place = tempfile::tempdir().unwrap();
    let rows = [exits("windows", 3), exits("scan", 1), exits("dr7", 2)];
    let one = write(&place.path().join("one"), info(1), &rows);
    merge(std::slice::from_ref(&one), &place.path().join("new/out")).unwrap();
    let merged = reports::read(&place.path().join("new/out")).unwrap();
    let names: Vec<_> = merged.iter().map(|row| row.key.cell.workload.as_str()).collect();
    assert_eq!(names, ["dr7", "scan", "windows"]);
    assert_eq!(merged[0].run, run(1));
    assert_eq!(RunInfo::read(&place.path().join("new/out")).unwrap().hashes["binary"], "aa");
    let batches = file(&place.path().join("new/out"), "samples.csv");
    let batches: Vec<_> = batches.lines().skip(1).map(|line| line.chars().last()).collect();
    assert_eq!(batches, [Some('1'), Some('2')].repeat(3));
    // The same shard named twice does no harm.
    let twice = merge(&[one.clone(), one], &place.path().join("twice")).unwrap();
    assert_eq!((twice.rows, twice.repeated), (3, 3));
}

#[test]
fn environments_and_times_of_all_shards_are_kept() {
    let place = tempfile::tempdir().unwrap();
    let environment = |kernel: &str| {
        let mut subject = subject();
        subject.kernel = kernel.into();
        Environment::new(subject, target())
    };
    let shard = |number: usize, kernels: &[&str]| {
        let mut info = info(number);
        info.environments = kernels.iter().map(|kernel| environment(kernel)).collect();
        info.plan = Some(serde_json::json!({
            "shard": {"index": number}, "directory": format!("/{number}"), "cells": ["a", "b"]
        }));
        write(&place.path().join(number.to_string()), info, &[exits(&format!("w{number}"), 1)])
    };
    let (late, early) = (shard(2, &["6.12.1", "6.1.1"]), shard(1, &["6.1.1", "5.10.1"]));
    let ends = [&late, &early].map(|dir| RunInfo::read(dir).unwrap().finished_at);
    let merged = merge(&[late, early], &place.path().join("out")).unwrap().info;
    let kernels: Vec<_> =
        merged.environments.iter().map(|one| one.subject.kernel.as_str()).collect();
    assert_eq!(kernels, ["5.10.1", "6.1.1", "6.12.1"]);
    assert_eq!(merged.run, run(1));
    assert_eq!(merged.finished_at, ends.into_iter().max().unwrap());
    assert_eq!(merged.plan.unwrap()["cells"], serde_json::json!(["a", "b"]));
}

#[test]
fn shards_that_disagree_are_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let other = [exits("scan", 1), exits("windows", 4), exits("dr7", 5)];
    let shards = [
        write(&at("one"), info(1), &[exits("windows", 3), exits("dr7", 1)]),
        write(&at("two"), info(2), &other),
    ];
    let text = error(&shards);
    for word in ["one", "two", "dr_exits", "dr7", "6.1.176", "1 exits", "5 exits", "1 more rows"] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[test]
fn single_values_that_disagree_are_refused_too() {
    let place = tempfile::tempdir().unwrap();
    let shard = |number: usize, value: u64| {
        let dir = place.path().join(number.to_string());
        let mut store = RunDir::create(&dir, info(number)).unwrap();
        let row = Record { run: run(number), ..exits("windows", 3) };
        store.append(std::slice::from_ref(&row)).unwrap();
        store.append_samples(&[row.sample(0, 7, Value::count(value))]).unwrap();
        store.finish().unwrap();
        dir
    };
    let text = error(&[shard(1, 3), shard(2, 4)]);
    assert!(text.contains("3 in batch 7") && text.contains("4 in batch 7"), "{text}");
}

#[test]
fn settings_that_differ_are_named() {
    let place = tempfile::tempdir().unwrap();
    let mut number = 1;
    let mut refused = |change: &dyn Fn(&mut RunInfo), rows: &[Record], words: &[&str]| {
        number += 2;
        let at = |n: usize| place.path().join(n.to_string());
        let base = write(&at(number), lab_info(1), &[exits("windows", 3)]);
        let mut other = lab_info(2);
        change(&mut other);
        let text = error(&[base, write(&at(number + 1), other, rows)]);
        for word in words {
            assert!(text.contains(word), "`{word}` is not in: {text}");
        }
    };
    let rows = [exits("scan", 1)];
    refused(&|info| info.drbench = "0.2.0".into(), &rows, &["drbench's version", "0.1.0", "0.2.0"]);
    refused(&|info| info.schema = 0, &rows, &["schema version", "is 2", "0 in the other"]);
    refused(
        &|info| {
            info.hashes.insert("binary".into(), "cc".into());
        },
        &rows,
        &["the checksum of binary", "aa", "cc"],
    );
    refused(
        &|info| info.plan = Some(serde_json::json!({"cells": ["b"]})),
        &rows,
        &["the plan's part `cells`", r#"["a"]"#, r#"["b"]"#],
    );
    refused(
        &|info| info.environments[0].emulator.as_mut().unwrap().version = "QEMU 11".into(),
        &rows,
        &["the emulator of qemu-tcg", "QEMU 10", "QEMU 11"],
    );
    refused(
        &|info| info.environments[0].kernel_words.push("nosmp".into()),
        &rows,
        &["the kernel's command line of kvm_amd", "quiet nosmp"],
    );
    let mut selfcheck = exits("scan", 1);
    Arc::make_mut(&mut selfcheck.key.cell).suite = name("selfcheck");
    refused(&|_| (), &[selfcheck], &["the suite is policy", "selfcheck in the other"]);
}

/// A run in the lab, with a plan.
fn lab_info(number: usize) -> RunInfo {
    let mut info = info(number);
    let mut environment = Environment::new(subject(), target());
    environment.emulator = Some(Emulator { version: "QEMU 10".into(), argv: vec![] });
    environment.kernel_words = vec!["quiet".into()];
    info.environments.push(environment);
    info.plan = Some(serde_json::json!({"cells": ["a"]}));
    info
}

#[test]
fn what_cannot_be_merged_is_said() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    assert!(error(&[]).contains("name the run directories"));
    assert!(error(&[at("absent")]).contains("absent"));

    let cut = at("cut");
    drop(RunDir::create(&cut, info(1)).unwrap());
    let text = error(&[cut]);
    assert!(text.contains("has not ended") && text.contains("--resume"), "{text}");

    let whole = write(&at("whole"), info(1), &[exits("windows", 3)]);
    let before = file(&whole, "results.csv");
    let exists = merge(std::slice::from_ref(&whole), &whole).unwrap_err();
    assert!(matches!(exists, MergeError::Exists(_)), "{exists}");
    assert_eq!(file(&whole, "results.csv"), before);

    let torn = write(&at("torn"), info(2), &[exits("scan", 1)]);
    fs::write(torn.join("samples.csv"), file(&torn, "samples.csv").trim_end()).unwrap();
    let text = error(&[whole, torn]);
    assert!(text.contains("samples.csv") && text.contains("cut off"), "{text}");
}

#[test]
fn runs_to_be_looked_at_together_may_differ_in_settings() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let one = write(&at("one"), info(1), &[exits("windows", 3)]);
    let mut other = info(2);
    other.drbench = "9".into();
    let two = write(&at("two"), other, &[exits("windows", 3), exits("scan", 1)]);
    let rows = reports::read_all(&[one, two.join("results.csv")]).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.run == run(1)));
    assert_eq!(reports::read_all(&[]).unwrap(), []);
}
