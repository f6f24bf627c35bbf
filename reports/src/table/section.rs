//! The rows of one kernel on one target, and what stands above them.

use super::notes::tone;
use super::{Style, Tone, paragraph};
use crate::record::{Record, Subject, Target};
use std::collections::HashMap;

/// Rows of one kernel on one target.
pub(super) struct Section<'a> {
    subject: &'a Subject,
    pub(super) target: &'a Target,
    pub(super) records: Vec<&'a Record>,
}

/// A suite's rows by kernel and target, in the order of their first appearance.
pub(super) fn sections<'a>(records: &'a [Record], suite: &str) -> Vec<Section<'a>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut index = HashMap::new();
    for record in records {
        let (subject, target) = (&record.subject, &record.key.target);
        if record.key.cell.suite.as_str() != suite {
            continue;
        }
        let at = *index.entry((subject, target)).or_insert(sections.len());
        if at == sections.len() {
            sections.push(Section { subject, target, records: Vec::new() });
        }
        sections[at].records.push(record);
    }
    sections
}

impl Section<'_> {
    /// Which kernel on what, and its verdict.
    pub(super) fn heading(&self, style: Style) -> String {
        let heading = format!("{} · {}", self.subject, self.target);
        let mut text = paragraph(style, &heading, Tone::Strong);
        for verdict in self.records.iter().filter(|record| record.verdict().is_some()) {
            let line = format!("verdict: {}", verdict.reason);
            text.push_str(&paragraph(style, &line, verdict_tone(verdict)));
        }
        text
    }
}

pub(super) fn verdict_tone(verdict: &Record) -> Tone {
    match verdict.verdict() {
        Some("unknown") => Tone::Bad,
        _ => tone(verdict.status),
    }
}
