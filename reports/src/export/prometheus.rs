//! Prometheus' text format, as the `node_exporter`'s textfile collector reads it: no time stamps, every column
//! that is no result a label.

use super::rows::{columns, interval, value};
use super::text::visible;
use super::{ExportError, Exported, Runs, name, notes};
use crate::record::{Record, Status, Value};
use std::fmt::Write;

/// A metric: its name, what it is, and what it says of a row, with further labels.
struct Family {
    name: &'static str,
    help: &'static str,
    sample: fn(&Record) -> Option<Sample>,
}

/// More labels, and the value.
type Sample = (Vec<(&'static str, String)>, String);

const FAMILIES: [Family; 6] = [
    Family {
        name: "drbench_value",
        help: "What was measured, in the unit of the label; counts are totals over the section, costs are \
               per switch, instructions of emulated machines are no cycles.",
        sample: |record| Some(plain(value(record)?)),
    },
    Family {
        name: "drbench_value_low",
        help: "Lower end of the 95 % interval of a noisy value.",
        sample: |record| Some(plain(interval(record)?.0)),
    },
    Family {
        name: "drbench_value_high",
        help: "Upper end of the 95 % interval of a noisy value.",
        sample: |record| Some(plain(interval(record)?.1)),
    },
    Family {
        name: "drbench_predicted",
        help: "What the model says of a value.",
        sample: |record| value(record).and(record.predicted).map(plain),
    },
    Family {
        name: "drbench_verdict",
        help: "1 for the policy that was found, which is a label.",
        sample: verdict,
    },
    Family {
        name: "drbench_not_ok",
        help: "1 for each row without a value that counts; the labels say why.",
        sample: not_ok,
    },
];

fn plain(value: Value) -> Sample {
    (Vec::new(), value.to_string())
}

fn verdict(record: &Record) -> Option<Sample> {
    let verdict = record.verdict().filter(|_| record.status == Status::Ok)?;
    Some((vec![("verdict", verdict.to_owned())], "1".to_owned()))
}

fn not_ok(record: &Record) -> Option<Sample> {
    let labels = vec![("status", record.status.to_string()), ("reason", record.reason.clone())];
    (record.status != Status::Ok).then(|| (labels, "1".to_owned()))
}

pub(super) fn export(runs: &Runs<'_>) -> Result<Exported, ExportError> {
    let named = runs.named(name::row_of_kernel)?;
    let mut text = String::new();
    for family in &FAMILIES {
        let samples = runs.rows().filter_map(|(_, record)| {
            let (more, value) = (family.sample)(record)?;
            Some(format!("{}{{{}}} {value}\n", family.name, labels(record, more)))
        });
        let samples: String = samples.collect();
        if !samples.is_empty() {
            let Family { name, help, .. } = family;
            // A String takes everything: writing to it cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{samples}");
        }
    }
    began(runs, &mut text);
    let notes = notes::rounded(named.iter().map(|(_, value, _)| value)).into_iter().collect();
    Ok(Exported { text, notes })
}

/// When each run began, so that an old file is noticed.
fn began(runs: &Runs<'_>, text: &mut String) {
    let name = "drbench_run_start_time_seconds";
    let _ = writeln!(text, "# HELP {name} When a run began, since 1970.\n# TYPE {name} gauge");
    let mut told = Vec::new();
    for (_, record) in runs.rows() {
        let run = &record.run;
        if !told.contains(&run) {
            let _ = writeln!(
                text,
                "{name}{{run_id=\"{}\"}} {}",
                run.run_id,
                run.started_at.as_second()
            );
            told.push(run);
        }
    }
}

fn labels(record: &Record, more: Vec<(&'static str, String)>) -> String {
    let mut labels = columns(&record.subject);
    labels.extend(columns(&record.key));
    labels.push(("unit", record.unit.to_string()));
    labels.extend(more);
    let label = |(name, text): (&str, String)| {
        let text = visible(&text).replace('\\', "\\\\").replace('"', "\\\"");
        format!("{name}=\"{text}\"")
    };
    labels.into_iter().map(label).collect::<Vec<_>>().join(",")
}
