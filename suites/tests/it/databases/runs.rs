//! Runs to load: measured ones, and what was made of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reports::{Machine, Metric, Record, RunDir, RunInfo, Sample, Status, Unit, Value, Vendor};

use crate::common::{KERNEL, drbench, told};
use std::sync::Arc;

/// What a name may be: formulas, HTML, quotes, line ends, another script, what ends other formats.
const HOSTILE: [&str; 3] =
    ["=cmd|'/c calc'!A1,\"<b>x</b>\"", "-1+1\r\n]]>\n' OR 1=1; --\\", "@é\u{202e}ф\t<script>"];

/// Measured: two kernels on both vendors, and a slowdown. Made of the first: a day later, with planted
/// changes; and one with hostile names, on hardware.
pub fn made(directory: &Path) -> Vec<PathBuf> {
    let place = |name: &str| directory.join(name);
    let (first, slowdown) = (place("first"), place("slowdown"));
    measure(&first, &["--kernel", "debian:5.10"]);
    measure(&slowdown, &["--cpu", "amd", "--suite", "slowdown"]);
    let (rows, samples) = (reports::read(&first).unwrap(), samples(&first));
    let (later, hostile) = (place("la'ter"), place("hostile"));
    write(&later, 1, planted(rows.clone()), samples.clone());
    let kept = |row: &Record| {
        row.key.target.vendor == Vendor::KvmAmd && row.subject.kernel.starts_with("6.1")
    };
    let rows: Vec<_> = rows.into_iter().filter(kept).collect();
    write(&hostile, 2, renamed(rows), renamed_samples(samples));
    vec![first, slowdown, later, hostile]
}

fn measure(out: &Path, more: &[&str]) {
    let output =
        drbench().args(["run", "--kernel", KERNEL, "--out"]).arg(out).args(more).output().unwrap();
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
}

fn samples(run: &Path) -> Vec<Sample> {
    let samples = reports::read::read_samples(run).unwrap();
    assert!(!samples.is_empty());
    samples
}

fn write(place: &Path, days: u64, mut rows: Vec<Record>, mut samples: Vec<Sample>) {
    let mut info = RunInfo::begin("test", vec![]);
    info.run.started_at += Duration::from_secs(days * 24 * 60 * 60);
    for row in &mut rows {
        row.run = info.run.clone();
    }
    for sample in &mut samples {
        sample.run_id = info.run.run_id.clone();
    }
    let mut run = RunDir::create(place, info).unwrap();
    run.append(&rows).unwrap();
    run.append_samples(&samples).unwrap();
    run.finish().unwrap();
}

/// A verdict of each status, another than before, one more exit, a failed and an open cell with hostile reasons, a missing row and a
/// new one.
fn planted(mut rows: Vec<Record>) -> Vec<Record> {
    let verdicts = rows.iter_mut().filter(|row| row.key.metric == Metric::Verdict);
    let planted = [
        (Status::Ok, "always: planted"),
        (Status::Failed, "unknown: planted"),
        (Status::Unconfirmed, "never: planted"),
        (Status::Unresolved, "unresolved: planted"),
    ];
    let mut places = planted.len();
    for (row, (status, reason)) in verdicts.zip(planted) {
        (row.status, row.reason) = (status, reason.to_owned());
        places -= 1;
    }
    assert_eq!(places, 0, "two kernels on two vendors have four verdicts");
    let exits = |row: &&mut Record| row.key.metric == Metric::DrExits && row.value.is_some();
    let mut cells = rows.iter_mut().filter(exits);
    let one = cells.next().unwrap();
    one.value = Some(Value::count(one.value.unwrap().as_count().unwrap() + 1));
    for (row, status) in cells.zip([Status::Failed, Status::Unresolved]) {
        row.status = status;
        row.reason = HOSTILE.concat();
    }
    let gone = rows.iter().position(|row| row.key.metric == Metric::Exits && row.deterministic);
    let mut new = rows.remove(gone.unwrap());
    Arc::make_mut(&mut new.key.cell).workload = "planted".parse().unwrap();
    rows.push(new);
    rows
}

/// On hardware, with times for instructions, one more that is open, host cycles that all are, names that no kernel should have, and the largest count.
fn renamed(mut rows: Vec<Record>) -> Vec<Record> {
    let [kernel, kernel_id, variant] = HOSTILE.map(str::to_owned);
    for row in &mut rows {
        row.subject.kernel.clone_from(&kernel);
        row.subject.kernel_id.clone_from(&kernel_id);
        row.subject.variant.clone_from(&variant);
        Arc::make_mut(&mut row.key.target).machine = Machine::Native;
        Arc::make_mut(&mut row.key.target).cpu_model.clone_from(&kernel);
        if row.key.metric == Metric::Instructions {
            row.key.metric = Metric::Ns;
            row.unit = Unit::Ns;
            row.deterministic = false;
            let end = |part: f64| row.value.and_then(|value| Value::real(value.as_f64() * part));
            (row.ci_low, row.ci_high) = (end(0.99), end(1.0126));
        }
    }
    let metric = |wanted: Metric| move |row: &&mut Record| row.key.metric == wanted;
    rows.iter_mut().filter(metric(Metric::HostCycles)).for_each(open);
    let mut one = rows.iter_mut().find(metric(Metric::Ns)).unwrap().clone();
    Arc::make_mut(&mut one.key.cell).workload = "open".parse().unwrap();
    open(&mut one);
    rows.push(one);
    let largest = rows.iter_mut().find(|row| row.key.metric == Metric::Exits).unwrap();
    largest.value = Some(Value::count(u64::MAX));
    rows
}

/// Too noisy for a value.
fn open(row: &mut Record) {
    (row.value, row.ci_low, row.ci_high) = (None, None, None);
    (row.status, row.deterministic) = (Status::Unresolved, false);
    row.reason.replace_range(.., "too noisy");
}

fn renamed_samples(mut samples: Vec<Sample>) -> Vec<Sample> {
    samples.truncate(100);
    for sample in &mut samples {
        sample.subject.kernel = HOSTILE.concat();
    }
    samples
}

/// The texts of a row that may be anything.
pub fn texts(row: &Record) -> Vec<String> {
    let Record { subject, key, reason, .. } = row;
    let metric = key.metric.to_string();
    let texts = [&subject.kernel, &subject.kernel_id, &subject.variant];
    texts.into_iter().chain([&key.target.cpu_model, &metric, reason]).cloned().collect()
}
