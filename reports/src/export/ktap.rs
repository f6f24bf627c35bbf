//! KTAP version 1, the kernel's test results (Documentation/dev-tools/ktap.rst).

use super::text::{prose, tame};
use super::{Check, Checks, Group, Verdict};
use std::fmt::Write;

/// What the kernel's reader takes for the end of all results, wherever it stands in a line: the last words
/// of a kernel, which reasons quote; and what is written instead.
const LAST_WORDS: [(&str, &str); 3] = [
    ("Kernel panic - not syncing: VFS:", "Kernel panic - not syncing, VFS:"),
    ("List of all partitions:", "List of all partitions,"),
    ("reboot: System halted", "reboot, System halted"),
];

/// Checks as KTAP: a subtest for each group. What a check says stands in the diagnostic lines before its
/// result.
pub fn ktap(checks: &Checks) -> String {
    let mut text = format!("KTAP version 1\n1..{}\n", checks.groups.len());
    for (number, group) in (1..).zip(&checks.groups) {
        subtest(&mut text, group);
        let failed = group.count(Verdict::Failed) + group.count(Verdict::Error) > 0;
        let skipped = group.count(Verdict::Skipped) == group.checks.len();
        let (word, directive) = match (failed, skipped) {
            (true, _) => ("not ok", ""),
            (false, true) => ("ok", " # SKIP nothing in it could be had"),
            (false, false) => ("ok", ""),
        };
        // A String takes everything: writing to it cannot fail.
        let _ = writeln!(text, "{word} {number} {}{directive}", name(&group.name));
    }
    text
}

fn subtest(text: &mut String, group: &Group) {
    const INDENT: &str = "  ";
    let _ = writeln!(text, "{INDENT}KTAP version 1");
    let _ = writeln!(text, "{INDENT}# Subtest: {}", name(&group.name));
    let _ = writeln!(text, "{INDENT}1..{}", group.checks.len());
    for (property, value) in &group.properties {
        let _ = writeln!(text, "{INDENT}# {property}: {}", said(value));
    }
    for (number, check) in (1..).zip(&group.checks) {
        for line in &check.lines {
            let _ = writeln!(text, "{INDENT}# {}", said(line));
        }
        let _ = writeln!(text, "{INDENT}{}", result(number, check));
    }
}

fn result(number: usize, check: &Check) -> String {
    let (name, why) = (name(&check.name), said(&check.message));
    match check.verdict {
        Verdict::Passed => format!("ok {number} {name}"),
        Verdict::Skipped => format!("ok {number} {name} # SKIP {why}"),
        Verdict::Error => format!("not ok {number} {name} # ERROR {why}"),
        Verdict::Failed => format!("not ok {number} {name}"),
    }
}

/// One line that ends nothing.
fn said(text: &str) -> String {
    let replaced = |line: String, (words, instead): &(&str, &str)| line.replace(words, instead);
    LAST_WORDS.iter().fold(prose(text), replaced)
}

/// A name without `#`, which begins a directive.
fn name(text: &str) -> String {
    if text.contains('#') { tame(text) } else { prose(text) }
}
