//! A comparison for people.

use super::{Change, Comparison, Difference, Ruling, Side, Surroundings};
use crate::record::{Metric, Name, Status, Subject, Target};
use crate::table::{Align, Grid, NOTHING, Style, Tone, sentence};
use indexmap::IndexMap;
use std::fmt::Write;

const COLUMNS: [(&str, Align); 6] = [
    ("", Align::Left),
    ("cell", Align::Left),
    ("metric", Align::Left),
    ("before", Align::Right),
    ("after", Align::Right),
    ("difference", Align::Right),
];

impl Comparison {
    /// The comparison as text: what was compared, the rows that differ, the verdict. At most
    /// [`WIDTH`](crate::table::WIDTH) columns wide.
    pub fn render(&self, surroundings: Option<&Surroundings>, style: Style) -> String {
        let mut text = self.header(surroundings, style);
        let (rows, left) = self.shown();
        for group in groups(&rows) {
            text.push('\n');
            text.push_str(&self.group(style, &group));
        }
        text.push('\n');
        if left > 0 {
            let line = format!("and {left} more rows that differ: --all shows every row");
            text.push_str(&sentence(style, &line, Tone::Normal));
        }
        let tone = if self.is_regression() { Tone::Bad } else { Tone::Good };
        text.push_str(&sentence(style, &self.summary(), tone));
        text
    }

    /// What was compared on what, and what else differs between the two.
    fn header(&self, surroundings: Option<&Surroundings>, style: Style) -> String {
        let mut text = String::new();
        let mut tell = |line: &str, tone| text.push_str(&sentence(style, line, tone));
        for line in surroundings.map_or(&[][..], |it| &it.apart) {
            tell(line, Tone::Bad);
        }
        for (side, subjects) in [("BEFORE", &self.before), ("AFTER ", &self.after)] {
            tell(&format!("{side}  {}", list(subjects)), Tone::Normal);
        }
        for on in surroundings.map_or(&[][..], |it| &it.on) {
            tell(&format!("on: {on}"), Tone::Normal);
        }
        for (name, before, after) in surroundings.map_or(&[][..], |it| &it.differ) {
            tell(&format!("differs: {name}: {before} → {after}"), Tone::Normal);
        }
        for (before, after) in self.unlike() {
            tell(&format!("compared: {before} with {after}"), Tone::Normal);
        }
        text
    }

    /// The pairs that need to be told: of several, those that are not equal.
    fn unlike(&self) -> impl Iterator<Item = &(Subject, Subject)> {
        let several = self.before.len() + self.after.len() > 2;
        self.pairs.iter().filter(move |(before, after)| several && before != after)
    }

    fn group(&self, style: Style, group: &[&Difference]) -> String {
        let (subject, target, suite) = heading(group[0]);
        let title = match self.before.len() + self.after.len() {
            0..=2 => format!("{target}, suite {suite}"),
            _ => format!("{subject} · {target}, suite {suite}"),
        };
        let mut text = sentence(style, &title, Tone::Strong);
        let mut grid = Grid::new(style, &COLUMNS);
        for difference in group {
            difference.add_to(&mut grid);
        }
        text.push_str(&grid.render());
        for difference in group {
            if let Some(reason) = difference.reason() {
                let key = &difference.key;
                let line = format!("{} of {}: {reason}", key.metric, key.cell);
                text.push_str(&sentence(style, &line, Tone::Normal));
            }
        }
        text
    }

    /// How many rows came out how, and what a gate said.
    pub fn summary(&self) -> String {
        let count = |is: fn(&Change) -> bool| {
            self.differences.iter().filter(|difference| is(&difference.change)).count()
        };
        let parts = [
            (count(|change| matches!(change, Change::Changed { .. })), "changed"),
            (count(|change| matches!(change, Change::Shifted { .. })), "noisy and changed"),
            (
                count(|change| matches!(change, Change::Determinism { .. })),
                "deterministic on one side only",
            ),
            (count(|change| matches!(change, Change::Missing { .. })), "missing in AFTER"),
            (count(|change| matches!(change, Change::New { .. })), "new in AFTER"),
            (self.noisy_same, "noisy and the same"),
            (self.cannot_tell, "noisy, of which nothing can be told"),
            (count(|change| matches!(change, Change::Opened { .. })), "unresolved in AFTER only"),
            (self.unresolved, "unresolved in BEFORE"),
            (self.noisy(), "noisy without single values or an interval, not compared"),
            (self.silent, "that say nothing of the kernel"),
        ];
        let mut sentence = counted(&format!("Rows: {} equal", self.same), &parts);
        if self.by_intervals > 0 {
            let _ = write!(
                sentence,
                " {} noisy rows were judged by the intervals of their medians, as single values \
                 (samples.csv) are not beside both files.",
                self.by_intervals
            );
        }
        sentence.push_str(&self.rulings());
        sentence
    }

    /// What the limits of a gate came to; nothing without one.
    fn rulings(&self) -> String {
        let count = |ruling| self.differences.iter().filter(|it| it.ruling == Some(ruling)).count();
        let parts = [
            (count(Ruling::Broken), "broken"),
            (count(Ruling::Within), "within theirs"),
            (count(Ruling::Allowed), "allowed to differ"),
            (self.unheld, "that could not be held to theirs"),
        ];
        let mut parts = parts.into_iter().filter(|(count, _)| *count != 0);
        let Some((first, what)) = parts.next() else { return String::new() };
        let rest: Vec<_> = parts.collect();
        counted(&format!(" Limits: {first} {what}"), &rest)
    }
}

/// A sentence of counts, without those of nothing.
fn counted(begin: &str, parts: &[(usize, &str)]) -> String {
    let mut sentence = begin.to_owned();
    for (count, what) in parts.iter().filter(|(count, _)| *count != 0) {
        let _ = write!(sentence, ", {count} {what}"); // a String takes everything
    }
    sentence.push('.');
    sentence
}

pub(super) fn list(subjects: &[Subject]) -> String {
    match subjects {
        [] => "no rows".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

/// Rows by what stands over them, in the order of the first of each.
fn groups<'a>(rows: &[&'a Difference]) -> Vec<Vec<&'a Difference>> {
    let mut groups: IndexMap<_, Vec<&Difference>> = IndexMap::new();
    for row in rows {
        groups.entry(heading(row)).or_default().push(*row);
    }
    groups.into_values().collect()
}

fn heading(difference: &Difference) -> (&Subject, &Target, &Name) {
    (&difference.subject, &difference.key.target, &difference.key.cell.suite)
}

impl Difference {
    fn add_to(&self, grid: &mut Grid) {
        let (what, tone) = self.named();
        let (before, after) = self.change.sides();
        let metric = &self.key.metric;
        let texts = [
            self.key.cell.within_suite(),
            format!("{metric} ({})", self.key.source),
            side_text(metric, before),
            side_text(metric, after),
            difference_text(before, after),
        ];
        let cells = texts.iter().map(|text| (text.as_str(), Tone::Normal));
        grid.row(std::iter::once((what, tone)).chain(cells));
    }

    /// What it is called, and how that is shown.
    pub(crate) fn named(&self) -> (&'static str, Tone) {
        match (self.ruling, &self.change) {
            (Some(Ruling::Within), _) => ("within limit", Tone::Normal),
            (Some(Ruling::Allowed), _) => ("allowed", Tone::Normal),
            (Some(Ruling::Broken), _) => ("limit broken", Tone::Bad),
            (None, change) => self.word(change),
        }
    }

    /// What a difference is called that no limit decides about.
    fn word(&self, change: &Change) -> (&'static str, Tone) {
        match change {
            Change::Changed { .. } | Change::Shifted { .. } if self.is_better() => {
                ("better", Tone::Good)
            }
            Change::Changed { .. } | Change::Shifted { .. } if self.is_worse() => {
                ("worse", Tone::Bad)
            }
            Change::Changed { .. } | Change::Shifted { .. } => ("changed", Tone::Bad),
            Change::Determinism { .. } => ("exact on one side", Tone::Bad),
            Change::Missing { .. } => ("missing", Tone::Bad),
            Change::New { .. } => ("new", Tone::Normal),
            Change::Same { .. } => ("same", Tone::Normal),
            Change::Opened { .. } => ("unresolved", Tone::Doubtful),
            Change::CannotTell { .. } => ("cannot tell", Tone::Normal),
        }
    }

    /// Why AFTER is not ok, if it is not.
    fn reason(&self) -> Option<String> {
        let (_, after) = self.change.sides();
        let after = after?;
        (after.status != Status::Ok && self.key.metric != Metric::Verdict)
            .then(|| format!("{}: {}", after.status, after.reason))
    }
}

impl Change {
    /// BEFORE and AFTER.
    pub const fn sides(&self) -> (Option<&Side>, Option<&Side>) {
        match self {
            Self::Changed { before, after }
            | Self::Determinism { before, after }
            | Self::Same { before, after }
            | Self::Opened { before, after }
            | Self::CannotTell { before, after }
            | Self::Shifted { before, after, .. } => (Some(before), Some(after)),
            Self::Missing { before } => (Some(before), None),
            Self::New { after } => (None, Some(after)),
        }
    }
}

pub(super) fn side_text(metric: &Metric, side: Option<&Side>) -> String {
    let Some(side) = side else {
        return NOTHING.to_owned();
    };
    let noise = if side.deterministic { "" } else { "(noisy)" };
    let value = match (metric, side.value) {
        (Metric::Verdict, _) => side.reason.clone(),
        (_, Some(value)) if side.deterministic => value.to_string(),
        (_, Some(value)) => short(value.as_f64()),
        (_, None) => String::new(),
    };
    let status = match side.status {
        Status::Ok if !value.is_empty() => "",
        status => status.as_str(),
    };
    let parts = [value.as_str(), status, noise].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

/// A noisy value, to as many digits as may mean anything.
fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        100_000.0.. => format!("{value:.0}"),
        100.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

pub(super) fn difference_text(before: Option<&Side>, after: Option<&Side>) -> String {
    let is_noisy = after.is_some_and(|side| !side.deterministic);
    let numbers = before.zip(after).and_then(|(before, after)| {
        (before.unit == after.unit)
            .then(|| before.value.zip(after.value))
            .flatten()
            .filter(|(before, after)| before != after)
    });
    let Some((before, after)) = numbers else {
        return match before.zip(after) {
            Some((before, after)) if before.unit != after.unit => {
                format!("{} → {}", before.unit, after.unit)
            }
            _ => NOTHING.to_owned(),
        };
    };
    // Counts are subtracted as integers: exact beyond 2^53.
    let difference = match (before.as_count(), after.as_count()) {
        (Some(before), Some(after)) => format!("{:+}", i128::from(after) - i128::from(before)),
        _ if is_noisy => format!("{:+.1}", after.as_f64() - before.as_f64()),
        _ => format!("{:+}", after.as_f64() - before.as_f64()),
    };
    match before.as_f64() {
        0.0 => difference,
        base => format!("{difference} ({:+.2} %)", 100.0 * (after.as_f64() / base - 1.0)),
    }
}
