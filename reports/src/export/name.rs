//! What rows are called where all that is known of them is a name.
//!
//! A name stays the same from kernel to kernel: it is what a history is kept under.

use super::rows::columns;
use super::text::tame;
use crate::record::{Key, Record, Subject, Target};
use std::fmt::Write;

/// Where: `kvm_amd/qemu-tcg/EPYC,+svm`.
pub fn target(target: &Target) -> String {
    let Target { vendor, machine, cpu_model } = target;
    format!("{vendor}/{machine}/{}", tame(cpu_model))
}

/// Where and which experiment: `kvm_amd/qemu-tcg/EPYC,+svm/policy/dr7 a=1 S=4, none, kernel`.
pub fn cell(key: &Key) -> String {
    // Made of names and numbers: complete, and harmless.
    format!("{}/{}/{}", target(&key.target), key.cell.suite, key.cell.within_suite())
}

/// Where, which experiment, and what of it: the key.
fn row_of_any(key: &Key) -> String {
    format!("{}/{}/{}", cell(key), key.metric, key.source)
}

/// A row, whatever the kernel's version: the variant is not what changes from run to run.
pub fn row(record: &Record) -> String {
    format!("{}/{}", tame(&record.subject.variant), row_of_any(&record.key))
}

/// A row and its kernel.
pub fn row_of_kernel(record: &Record) -> String {
    format!("{}/{}", kernel(&record.subject), row_of_any(&record.key))
}

/// A row, its kernel and its run: no two rows there are have the same.
pub fn row_of_run(record: &Record) -> String {
    format!("{}/{}", record.run.run_id, row_of_kernel(record))
}

/// A kernel: `6.1.192/6.1.192-2/stock`.
pub fn kernel(subject: &Subject) -> String {
    let parts: Vec<_> = columns(subject).into_iter().map(|(_, text)| tame(&text)).collect();
    parts.join("/")
}

/// A metric's word, and the name behind its colon.
pub fn split_metric(key: &Key) -> (String, Option<String>) {
    let metric = key.metric.to_string();
    match metric.split_once(':') {
        Some((word, name)) => (word.to_owned(), Some(name.to_owned())),
        None => (metric, None),
    }
}

/// The columns of the experiment as `/column=text`, as sub-benchmarks of Go have them.
pub fn sub_benchmarks(key: &Key) -> String {
    let parts = columns(&key.cell).into_iter().map(|(column, text)| format!("/{column}={text}"));
    parts.collect::<Vec<_>>().concat()
}

/// The experiment and the metric as a path in a tree of tests, of letters, digits, `-` and `_` between
/// dots; anything else is `_xXX`.
pub fn path(key: &Key) -> String {
    let mut path = "drbench".to_owned();
    for (column, text) in columns(&key.cell) {
        let labelled = match column {
            "suite" | "workload" => text,
            _ => format!("{column}-{text}"),
        };
        path.push('.');
        path.push_str(&branch(&labelled));
    }
    format!("{path}.{}.{}", branch(&key.metric.to_string()), key.source)
}

fn branch(text: &str) -> String {
    let mut out = String::new();
    for byte in text.replace("_x", "_x5fx").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            // A String takes everything: writing to it cannot fail.
            _ => drop(write!(out, "_x{byte:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::branch;

    #[test]
    fn branches_of_different_names_differ() {
        assert_eq!(branch("n:5"), "n_x3a5");
        assert_eq!(branch("n_x3a5"), "n_x5fx3a5");
    }
}
