//! `JUnit` XML, as Jenkins' schema `junit-10.xsd` has it.

use super::text::prose;
use super::{Check, Checks, Group, Verdict};
use std::fmt::Write;

/// Checks as `JUnit` XML: a test suite for each group. There are no times: how long a check took is not
/// known.
pub fn junit(checks: &Checks) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let [failed, errors] = [Verdict::Failed, Verdict::Error].map(|verdict| checks.count(verdict));
    let total = checks.len();
    // A String takes everything: writing to it cannot fail.
    let _ = writeln!(
        xml,
        r#"<testsuites name="drbench" tests="{total}" failures="{failed}" errors="{errors}">"#
    );
    for group in &checks.groups {
        suite(&mut xml, group);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(xml: &mut String, group: &Group) {
    let [failed, errors, skipped] =
        [Verdict::Failed, Verdict::Error, Verdict::Skipped].map(|verdict| group.count(verdict));
    let (name, tests) = (escaped(&group.name), group.checks.len());
    let _ = write!(
        xml,
        r#"<testsuite name="{name}" tests="{tests}" failures="{failed}" errors="{errors}" skipped="{skipped}""#
    );
    if let Some(started_at) = group.started_at {
        let _ = write!(xml, r#" timestamp="{started_at}""#);
    }
    xml.push_str(">\n<properties>\n");
    for (name, value) in &group.properties {
        let _ = writeln!(xml, r#"<property name="{name}" value="{}"/>"#, escaped(value));
    }
    xml.push_str("</properties>\n");
    for check in &group.checks {
        case(xml, &name, check);
    }
    xml.push_str("</testsuite>\n");
}

fn case(xml: &mut String, class: &str, check: &Check) {
    let _ = writeln!(xml, r#"<testcase classname="{class}" name="{}">"#, escaped(&check.name));
    let element = match check.verdict {
        Verdict::Passed => None,
        Verdict::Skipped => Some("skipped"),
        Verdict::Error => Some("error"),
        Verdict::Failed => Some("failure"),
    };
    if let Some(element) = element {
        let message = escaped(&check.message);
        let _ = writeln!(xml, r#"<{element} message="{message}"/>"#);
    }
    if !check.lines.is_empty() {
        let lines: Vec<_> = check.lines.iter().map(|line| escaped(line)).collect();
        let _ = writeln!(xml, "<system-out>{}</system-out>", lines.join("\n"));
    }
    xml.push_str("</testcase>\n");
}

/// One line that is nothing but text, in an attribute and between elements; `]]>` too.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in prose(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
