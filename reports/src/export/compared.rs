//! A comparison as checks: what got worse is a failure.

use super::checks::{Check, Checks, Group, Place, Verdict, amount, first_of, names, what};
use super::index::Index;
use super::text::prose;
use crate::compare::{Change, Comparison, Difference, Rows, Side};
use crate::record::{Key, Metric, Status, Subject};

/// The cells of one group, in order, and what differs in them.
struct Cells<'a> {
    place: Place,
    differing: Vec<(String, Vec<&'a Difference>)>,
    index: Index,
}

#[derive(Default)]
struct Groups<'a> {
    groups: Vec<Cells<'a>>,
    index: Index,
}

impl<'a> Groups<'a> {
    /// What differs in a row's cell.
    fn cell(&mut self, subject: &Subject, key: &Key) -> &mut Vec<&'a Difference> {
        let place = Place::of(subject, key);
        let name = place.name();
        let make = || Cells { place, differing: Vec::new(), index: Index::default() };
        let Cells { differing, index, .. } = self.index.of(&mut self.groups, name, make);
        let cell = key.cell.within_suite();
        &mut index.of(differing, cell.clone(), || (cell, Vec::new())).1
    }
}

impl Checks {
    /// A check for each cell of AFTER, whose rows are `after`, and for each that is missing there. It
    /// fails if one of its rows fails the comparison; what differs otherwise is told in its lines. One
    /// more says how many rows were compared and how many could not be.
    pub fn of_comparison(comparison: &Comparison, after: &Rows) -> Self {
        let mut groups = Groups::default();
        for (subject, key) in after.keys() {
            groups.cell(subject, &key);
        }
        for difference in &comparison.differences {
            groups.cell(&difference.subject, &difference.key).push(difference);
        }
        let groups = groups.groups;
        let places: Vec<_> = groups.iter().map(|group| (&group.place, "")).collect();
        let names = names(&places);
        let mut all: Vec<Group> = names.into_iter().zip(&groups).map(group).collect();
        all.push(whole(comparison));
        Self { groups: all }
    }
}

fn group((name, cells): (String, &Cells<'_>)) -> Group {
    let check = |(name, differences): &(String, Vec<&Difference>)| {
        let lines: Vec<_> = differences.iter().map(|difference| line(difference)).collect();
        let those = |are: fn(&Difference) -> bool| {
            let found = differences.iter().zip(&lines).filter(move |(it, _)| are(it));
            first_of(found.map(|(_, line)| line.clone()))
        };
        let failing = those(Difference::is_regression);
        // What can no longer be told of an exact row is neither passed nor failed.
        let open =
            those(|it| matches!(&it.change, Change::Opened { before, .. } if before.deterministic));
        let (verdict, message) = match (failing.is_empty(), open.is_empty()) {
            (false, _) => (Verdict::Failed, failing),
            (true, false) => (Verdict::Skipped, open),
            (true, true) => (Verdict::Passed, String::new()),
        };
        Check { name: name.clone(), verdict, message, lines }
    };
    Group {
        name,
        properties: cells.place.properties(),
        started_at: None,
        checks: cells.differing.iter().map(check).collect(),
    }
}

/// What is known of all rows together.
fn whole(comparison: &Comparison) -> Group {
    let list = |subjects: &[Subject]| {
        prose(&subjects.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    };
    let opened = comparison.differences.iter();
    let opened = opened.filter(|it| matches!(it.change, Change::Opened { .. })).count();
    let open = comparison.noisy() + comparison.cannot_tell + comparison.unresolved + opened;
    let summary = comparison.summary();
    let (verdict, message) = if open == 0 {
        (Verdict::Passed, String::new())
    } else {
        (Verdict::Skipped, summary.clone())
    };
    Group {
        name: "comparison".to_owned(),
        properties: vec![("before", list(&comparison.before)), ("after", list(&comparison.after))],
        started_at: None,
        checks: vec![Check {
            name: "every row could be compared".to_owned(),
            verdict,
            message,
            lines: vec![summary],
        }],
    }
}

/// `dr_exits by tracepoint: worse: 4 exits before, 20 exits after`.
fn line(difference: &Difference) -> String {
    let Difference { key, change, .. } = difference;
    let (before, after) = change.sides();
    let (word, _) = difference.named();
    let side = |side: Option<&Side>| {
        side.map_or_else(|| "nothing".to_owned(), |side| said(&key.metric, side))
    };
    format!("{}: {word}: {} before, {} after", what(key), side(before), side(after))
}

fn said(metric: &Metric, side: &Side) -> String {
    let Side { unit, value, status, reason, .. } = side;
    match (value, reason.is_empty()) {
        _ if *metric == Metric::Verdict && *status == Status::Ok => prose(reason),
        _ if *metric == Metric::Verdict => format!("{} ({status})", prose(reason)),
        (Some(value), true) => amount(*value, *unit),
        (Some(value), false) => format!("{} ({status}: {})", amount(*value, *unit), prose(reason)),
        (None, true) => status.to_string(),
        (None, false) => format!("{status} ({})", prose(reason)),
    }
}
