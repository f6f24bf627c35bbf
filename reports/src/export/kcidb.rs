//! I/O data of KCIDB, the common report database of Linux kernel CI systems, schema 5.3
//! (<https://docs.kernelci.org/kcidb>): a checkout and a build for each kernel, a test for each row.
//!
//! | status of a row | status of the test |
//! | --- | --- |
//! | ok, and there was something to be right about: a prediction, a check, a verdict | PASS |
//! | ok, a figure | DONE |
//! | failed | FAIL |
//! | unresolved | ERROR |
//! | skipped, unconfirmed | SKIP |

use super::index::Index;
use super::rows::{columns, interval, number, value};
use super::text::{prose, visible};
use super::{Exported, Runs, name, notes};
use crate::kept::KeptRun;
use crate::record::{Record, Status, Subject, Unit};
use crate::store::Environment;
use serde_json::{Map, Value as Json, json};

const VERSION: (u32, u32) = (5, 3);
/// The only architecture with debug registers such as these.
const ARCHITECTURE: &str = "x86_64";

pub(super) fn export(runs: &Runs<'_>) -> Exported {
    let origin = runs.origin.as_str();
    let (mut index, mut checkouts, mut builds) = (Index::default(), Vec::new(), Vec::new());
    let mut tests = Vec::new();
    for run in runs.all {
        let (mut places, mut environments) = (Index::default(), Vec::new());
        for record in &run.records {
            let Record { subject, key, .. } = record;
            let kernel = name::kernel(subject);
            let place = format!("{kernel}/{}", name::target(&key.target));
            let build_id = format!("{origin}:{kernel}");
            if index.place(kernel) == builds.len() {
                checkouts.push(checkout(origin, subject, &build_id));
                builds.push(build(origin, subject, &build_id));
            }
            let environment = places.of(&mut environments, place, || environment(run, record));
            tests.push(test(origin, &build_id, environment, record));
        }
    }
    let data = json!({
        "version": { "major": VERSION.0, "minor": VERSION.1 },
        "checkouts": checkouts,
        "builds": builds,
        "tests": tests,
    });
    let values: Vec<_> = runs.rows().filter_map(|(_, record)| value(record)).collect();
    let notes = notes::rounded(values.iter()).into_iter().collect();
    Exported { text: format!("{data:#}\n"), notes }
}

fn checkout(origin: &str, subject: &Subject, id: &str) -> Json {
    let mut checkout = json!({
        "id": id,
        "origin": origin,
        "comment": prose(&subject.to_string()),
        "misc": object(columns(subject)),
    });
    let hash = &subject.kernel_id;
    let is_hash =
        hash.len() == 40 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hash {
        checkout["git_commit_hash"] = json!(hash);
    }
    checkout
}

fn build(origin: &str, subject: &Subject, id: &str) -> Json {
    json!({
        "id": id,
        "checkout_id": id,
        "origin": origin,
        "architecture": ARCHITECTURE,
        "config_name": visible(&subject.variant),
    })
}

/// What the rows of one kernel and machine ran in.
fn environment(run: &KeptRun, record: &Record) -> Json {
    let target = &record.key.target;
    let mut misc = object(columns(target));
    let is_it = |it: &&Environment| it.subject == record.subject && it.target == *target;
    let known = run.info.iter().flat_map(|info| &info.environments).find(is_it);
    if let Some(Environment { emulator, microcode, package, .. }) = known {
        let emulator = emulator.as_ref().map(|emulator| &emulator.version);
        for (name, text) in [
            ("emulator", emulator),
            ("microcode", microcode.as_ref()),
            ("package", package.as_ref()),
        ] {
            misc.extend(text.map(|text| (name.to_owned(), json!(visible(text)))));
        }
    }
    json!({ "comment": prose(&target.to_string()), "misc": misc })
}

fn test(origin: &str, build: &str, environment: &Json, record: &Record) -> Json {
    let Record { run, key, samples, deterministic, reason, .. } = record;
    let mut misc = object(columns(key));
    misc.insert("run_id".to_owned(), json!(run.run_id));
    misc.insert("samples".to_owned(), json!(samples));
    misc.insert("deterministic".to_owned(), json!(deterministic));
    misc.insert("status".to_owned(), json!(record.status));
    let mut test = json!({
        "id": format!("{origin}:{}", name::row_of_run(record)),
        "build_id": build,
        "origin": origin,
        "path": name::path(key),
        "environment": environment,
        "status": status(record),
    });
    // Years that such times cannot have are of no real run.
    let started_at = run.started_at.to_string();
    if started_at.starts_with(|c: char| c.is_ascii_digit()) && !started_at.starts_with("0000") {
        test["start_time"] = json!(started_at);
    }
    if !reason.is_empty() {
        test["comment"] = json!(prose(reason));
    }
    if let Some(value) = value(record) {
        test["number"] = json!({ "value": number(value) });
        if record.unit != Unit::None {
            test["number"]["unit"] = json!(record.unit);
        }
        if let Some((low, high)) = interval(record) {
            misc.insert("ci_low".to_owned(), number(low));
            misc.insert("ci_high".to_owned(), number(high));
        }
        misc.extend(record.predicted.map(|value| ("predicted".to_owned(), number(value))));
    }
    test["misc"] = misc.into();
    test
}

fn status(record: &Record) -> &'static str {
    match record.status {
        Status::Ok if record.predicted.is_some() || record.key.metric.is_wordy() => "PASS",
        Status::Ok => "DONE",
        Status::Failed => "FAIL",
        Status::Unresolved => "ERROR",
        Status::Skipped | Status::Unconfirmed => "SKIP",
    }
}

/// Texts of columns.
fn object(columns: Vec<(&'static str, String)>) -> Map<String, Json> {
    columns.into_iter().map(|(name, text)| (name.to_owned(), json!(visible(&text)))).collect()
}
