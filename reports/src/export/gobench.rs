//! Go's benchmark text, as benchstat reads it (<https://golang.org/design/14313-benchmark-format>): a line
//! for each cell, `Benchmark…/column=text N value unit value unit …`.
//!
//! The kernel is a `key: value` line before its rows, so that `benchstat -col kernel` puts kernels side by
//! side. No name ends in `-4`, which would be a number of processors, and no unit is `ns`, which benchstat
//! would turn into seconds.

use super::index::Index;
use super::rows::value;
use super::text::{at_most, visible};
use super::{ExportError, Exported, Runs, name, notes};
use crate::record::{Larger, Record, Subject, Target, Value};
use std::fmt::Write;

/// A line's rows: those of one cell of one run, in the order of their file.
type Line<'a> = Vec<(&'a Record, Value)>;

pub(super) fn export(runs: &Runs<'_>) -> Result<Exported, ExportError> {
    let lines = lines(runs);
    let mut notes = Vec::from_iter(notes::left_out(runs.rows().map(|(_, record)| record)));
    runs.refuse_nothing(lines.len(), &notes)?;
    let mut text =
        "# Costs are per switch. Instructions of emulated machines are no cycles.\n".to_owned();
    text.push_str(&units(&lines));
    let mut described = None;
    for line in &lines {
        let (first, _) = line[0];
        let of: (&Subject, &Target) = (&first.subject, &first.key.target);
        if described != Some(of) {
            text.push_str(&described_by(of));
            described = Some(of);
        }
        text.push_str(&benchmark(line));
    }
    notes.extend(notes::rounded(lines.iter().flatten().map(|(_, value)| value)));
    Ok(Exported { text, notes })
}

fn lines<'a>(runs: &Runs<'a>) -> Vec<Line<'a>> {
    let (mut index, mut lines) = (Index::default(), Vec::new());
    for (_, record) in runs.rows() {
        let Some(value) = value(record) else { continue };
        let Record { run, subject, key, .. } = record;
        let id = format!("{}/{}/{}", run.run_id, name::kernel(subject), name::cell(key));
        index.of(&mut lines, id, Line::new).push((record, value));
    }
    lines
}

/// What is known of the units: which way is better, and whether any difference is one.
fn units(lines: &[Line<'_>]) -> String {
    let (mut index, mut units) = (Index::default(), Vec::new());
    for (record, _) in lines.iter().flatten() {
        let unit = unit(record);
        let make = || (unit.clone(), true, record.key.metric.larger_is());
        let (_, exact, _) = index.of(&mut units, unit.clone(), make);
        *exact &= record.deterministic;
    }
    let mut text = String::new();
    for (unit, exact, larger) in units {
        let better = match larger {
            Larger::Worse => " better=lower",
            Larger::Better => " better=higher",
            Larger::Neither => "",
        };
        let assume = if exact { " assume=exact" } else { "" };
        if !better.is_empty() || exact {
            // A String takes everything: writing to it cannot fail.
            let _ = writeln!(text, "Unit {unit}{better}{assume}");
        }
    }
    text
}

/// The lines that say what follows is of.
fn described_by((subject, target): (&Subject, &Target)) -> String {
    const LONGEST: usize = 1024; // readers take lines of 64 KiB at most
    let [kernel, machine] =
        [subject.to_string(), target.to_string()].map(|text| at_most(LONGEST, visible(&text)));
    format!("kernel: {kernel}\nmachine: {machine}\n")
}

fn benchmark(line: &Line<'_>) -> String {
    // Signed 64-bit for the readers, and no benchmark ran 0 times.
    let samples = line.iter().map(|(record, _)| record.samples).max().unwrap_or_default();
    let times = samples.clamp(1, i64::MAX.cast_unsigned());
    let mut text = format!("BenchmarkDrbench{} {times}", name::sub_benchmarks(&line[0].0.key));
    for (record, value) in line {
        let _ = write!(text, " {value} {}", unit(record));
    }
    text.push('\n');
    text
}

/// `dr_exits@tracepoint`: what is measured is what benchstat makes a table of.
fn unit(record: &Record) -> String {
    format!("{}@{}", record.key.metric, record.key.source)
}
