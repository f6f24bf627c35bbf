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
use super::json::{self, Object, number};
use super::rows::{interval, value};
use super::text::{prose, visible};
use super::{Exported, Runs, name, notes};
use crate::kept::KeptRun;
use crate::record::{Record, Status, Subject, Unit};
use crate::store::Environment;
use serde_json::Value as Json;

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
    let version = Object::default().with("major", VERSION.0.into()).with("minor", VERSION.1.into());
    let data = Object::default()
        .with("version", version.done())
        .with("checkouts", Json::Array(checkouts))
        .with("builds", Json::Array(builds))
        .with("tests", Json::Array(tests));
    let values: Vec<_> = runs.rows().filter_map(|(_, record)| value(record)).collect();
    let notes = notes::rounded(values.iter()).into_iter().collect();
    Exported { text: json::file(&data.done()), notes }
}

fn checkout(origin: &str, subject: &Subject, id: &str) -> Json {
    let mut checkout = Object::default()
        .with_text("id", id)
        .with_text("origin", origin)
        .with_text("comment", &prose(&subject.to_string()))
        .with("misc", Object::default().with_columns(subject).done());
    let hash = &subject.kernel_id;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if hash.len() == 40 && hash.bytes().all(is_digit) {
        checkout = checkout.with_text("git_commit_hash", hash);
    }
    checkout.done()
}

fn build(origin: &str, subject: &Subject, id: &str) -> Json {
    let build = Object::default().with_text("id", id).with_text("checkout_id", id);
    let build = build.with_text("origin", origin).with_text("architecture", ARCHITECTURE);
    build.with_text("config_name", &visible(&subject.variant)).done()
}

/// What the rows of one kernel and machine ran in.
fn environment(run: &KeptRun, record: &Record) -> Json {
    let target = &record.key.target;
    let mut misc = Object::default().with_columns(target);
    let is_it = |it: &&Environment| it.subject == record.subject && it.target == **target;
    let known = run.info.iter().flat_map(|info| &info.environments).find(is_it);
    if let Some(Environment { emulator, microcode, package, .. }) = known {
        let emulator = emulator.as_ref().map(|emulator| &emulator.version);
        let known = [
            ("emulator", emulator),
            ("microcode", microcode.as_ref()),
            ("package", package.as_ref()),
        ];
        for (name, text) in known {
            if let Some(text) = text {
                misc.set(name, Json::String(visible(text)));
            }
        }
    }
    let comment = prose(&target.to_string());
    Object::default().with_text("comment", &comment).with("misc", misc.done()).done()
}

fn test(origin: &str, build: &str, environment: &Json, record: &Record) -> Json {
    let Record { run, key, samples, deterministic, reason, .. } = record;
    let mut misc = Object::default()
        .with_columns(key)
        .with_text("run_id", run.run_id.as_str())
        .with("samples", (*samples).into())
        .with("deterministic", (*deterministic).into())
        .with_text("status", record.status.as_str());
    let mut test = Object::default()
        .with_text("id", &format!("{origin}:{}", name::row_of_run(record)))
        .with_text("build_id", build)
        .with_text("origin", origin)
        .with_text("path", &name::path(key))
        .with("environment", environment.clone())
        .with_text("status", status(record));
    // Years that such times cannot have are of no real run.
    let started_at = run.started_at.to_string();
    if started_at.starts_with(|c: char| c.is_ascii_digit()) && !started_at.starts_with("0000") {
        test = test.with_text("start_time", &started_at);
    }
    if !reason.is_empty() {
        test = test.with_text("comment", &prose(reason));
    }
    if let Some(value) = value(record) {
        let mut measured = Object::default().with("value", number(value));
        if record.unit != Unit::None {
            measured = measured.with_text("unit", record.unit.as_str());
        }
        test.set("number", measured.done());
        if let Some((low, high)) = interval(record) {
            misc.set("ci_low", number(low));
            misc.set("ci_high", number(high));
        }
        if let Some(predicted) = record.predicted {
            misc.set("predicted", number(predicted));
        }
    }
    test.with("misc", misc.done()).done()
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
