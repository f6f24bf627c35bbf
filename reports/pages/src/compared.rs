//! Runs held against each other: each with the one before it that measured the same.
//!
//! Of all earlier runs the newest that measured the same machines with the same suites, and kernels of
//! the same series and variants: what changed since. If none did, the newest with the same machines and
//! suites, whatever the kernels. If none, the newest that shares any of them, and only what is shared is
//! compared. A kernel that only one of the two has is told, and is no difference. All that pages know of comparing stands in this file.

use crate::PagesError;
use crate::block::{Bit, Block, Cell, Column, Page, Table, Tone};
use crate::shelf::{Group, Shelf};
use crate::sorted::{distinct, sorted};
use crate::text;
use crate::view::View;
use reports::compare::{
    Change, CompareError, Comparison, Difference, Keep, Rows, Rule, Side, Surroundings, compare,
};
use reports::kept::samples_of;
use reports::record::{Key, Larger, Metric, Record, Status, Subject, Target};
use reports::version::series;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Differences that are shown: the worst come first.
const MOST: usize = 500;

/// What a run measured: with which suite on which machine, and of which series and variant of kernels.
#[derive(PartialEq)]
struct Scope<'a> {
    machines: Vec<(&'a Target, &'a str)>,
    kernels: Vec<(&'a Target, &'a str, &'a str, &'a str)>,
}

impl<'a> Scope<'a> {
    fn of(groups: &[Group<'a>]) -> Self {
        let machines = distinct(groups.iter().map(|group| (group.target, group.suite)));
        let kernels = distinct(groups.iter().map(|group| {
            let Subject { kernel, variant, .. } = group.subject;
            (group.target, group.suite, series(kernel), variant.as_str())
        }));
        Self {
            machines: sorted(&machines, &|a, b| a.cmp(b)),
            kernels: sorted(&kernels, &|a, b| a.cmp(b)),
        }
    }
}

/// A run held against another.
pub(crate) struct Compared {
    pub before: usize,
    pub after: usize,
    /// What came out, or why nothing did.
    pub result: Result<Comparison, String>,
    surroundings: Option<Surroundings>,
    /// What only one of the two measured.
    left_out: Vec<String>,
    /// Rows of AFTER that differ.
    changed: HashSet<(Subject, Key)>,
}

/// How many rows came out how.
#[derive(Default)]
pub(crate) struct Counts {
    pub worse: usize,
    pub missing: usize,
    pub better: usize,
    pub new: usize,
}

/// Comparisons as they are asked for, each made once.
pub(crate) struct Comparisons<'s, 'a> {
    shelf: &'s Shelf<'a>,
    scopes: Vec<Scope<'a>>,
    made: HashMap<(usize, usize), Rc<Compared>>,
}

impl<'s, 'a> Comparisons<'s, 'a> {
    pub(crate) fn new(shelf: &'s Shelf<'a>) -> Self {
        let runs = 0..shelf.runs.len();
        let scopes = runs.map(|run| Scope::of(shelf.of_run(run))).collect();
        Self { shelf, scopes, made: HashMap::new() }
    }

    /// A run held against the one before it; none if no earlier one measured anything of it.
    pub(crate) fn with_the_one_before(
        &mut self,
        after: usize,
    ) -> Result<Option<Rc<Compared>>, PagesError> {
        let before = one_before(&self.scopes, after);
        before.map(|before| self.between(before, after)).transpose()
    }

    /// Two runs held against each other.
    pub(crate) fn between(
        &mut self,
        before: usize,
        after: usize,
    ) -> Result<Rc<Compared>, PagesError> {
        if let Some(made) = self.made.get(&(before, after)) {
            return Ok(made.clone());
        }
        let made = Rc::new(Compared::of(self.shelf, &self.scopes, before, after)?);
        self.made.insert((before, after), made.clone());
        Ok(made)
    }

    /// Whether a row is another than the same one of an earlier run: an exact one if its value is
    /// another, a noisy one if the comparison of the runs says so.
    pub(crate) fn is_change(
        &mut self,
        before: &Record,
        after: &Record,
    ) -> Result<bool, PagesError> {
        if before.deterministic && after.deterministic {
            return Ok((before.value, before.status) != (after.value, after.status));
        }
        let [(one, _), (other, _)] = [before, after].map(|record| self.shelf.place(record));
        if one == other {
            return Ok(false);
        }
        let compared = self.between(one, other)?;
        Ok(compared.changed.contains(&(after.subject.clone(), after.key.clone())))
    }
}

fn one_before(scopes: &[Scope<'_>], after: usize) -> Option<usize> {
    let wanted = &scopes[after];
    let earlier = || (0..after).rev();
    let shares = |before: &usize| {
        scopes[*before].machines.iter().any(|place| wanted.machines.contains(place))
    };
    if wanted.machines.is_empty() {
        return None;
    }
    earlier()
        .find(|before| scopes[*before].kernels == wanted.kernels)
        .or_else(|| earlier().find(|before| scopes[*before].machines == wanted.machines))
        .or_else(|| earlier().find(shares))
}

impl Compared {
    fn of(
        shelf: &Shelf<'_>,
        scopes: &[Scope<'_>],
        before: usize,
        after: usize,
    ) -> Result<Self, PagesError> {
        let [one, other] = [before, after].map(|run| &scopes[run].machines);
        let shared = |place: &&(&Target, &str)| one.contains(place) && other.contains(place);
        let left_out = one.iter().chain(other).filter(|place| !shared(place));
        let mut left_out: Vec<String> = left_out
            .map(|(target, suite)| format!("{suite} of {}", crate::shelf::target(target)))
            .collect();
        let shared: Vec<_> = one.iter().filter(shared).collect();
        let [ours, theirs] = [before, after].map(|run| &shelf.runs[run]);
        let is_shared = |record: &&Record| {
            let place = (&*record.key.target, record.key.cell.suite.as_str());
            shared.iter().any(|shared| **shared == place)
        };
        let rows = |run: usize| {
            let records = shelf.runs[run].run.records.iter().filter(is_shared);
            Rows::of(records.cloned().map(Ok), "the run")
        };
        let result = rows(before).and_then(|ours| compare(&ours, &rows(after)?, Keep::Differences));
        let mut result = match result {
            Ok(comparison) => Ok(comparison),
            Err(CompareError::Read(error)) => return Err(error.into()),
            Err(error) => Err(text::shown(&error.to_string())),
        };
        let infos = ours.run.info.as_ref().zip(theirs.run.info.as_ref());
        let surroundings = infos.map(|(before, after)| {
            let pairs = result.as_ref().map_or(&[][..], |comparison| &comparison.pairs);
            Surroundings::of(before, after, pairs)
        });
        if let Ok(comparison) = &mut result {
            if comparison.noisy > 0 {
                let slower = surroundings.as_ref().map_or([0.0; 2], |it| it.slower);
                let [ours, theirs] = [ours, theirs].map(|run| samples_of(&run.run.path));
                comparison.judge(&ours?, &theirs?, Rule { slower, ..Rule::default() });
            }
            left_out.extend(leave_out_alone(comparison));
        }
        let differences = result.iter().flat_map(|comparison| &comparison.differences);
        let changed = differences
            .filter(|it| !matches!(it.change, Change::Missing { .. } | Change::New { .. }))
            .map(|it| (Subject::clone(&it.subject), it.key.clone()))
            .collect();
        Ok(Self { before, after, result, surroundings, left_out, changed })
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for difference in self.result.iter().flat_map(|comparison| &comparison.differences) {
            match difference.change {
                Change::Missing { .. } => counts.missing += 1,
                Change::New { .. } if !difference.is_regression() => counts.new += 1,
                _ if difference.is_regression() => counts.worse += 1,
                _ => counts.better += 1,
            }
        }
        counts
    }

    /// One word for all of it.
    pub(crate) fn verdict(&self) -> Bit {
        match &self.result {
            Err(_) => Bit::badge("cannot tell", Tone::Doubtful),
            Ok(comparison) if comparison.is_regression() => Bit::badge("worse", Tone::Bad),
            Ok(comparison) if comparison.differences.iter().any(Difference::is_better) => {
                Bit::badge("better", Tone::Good)
            }
            Ok(_) => Bit::badge("not worse", Tone::Good),
        }
    }

    /// The file of its page.
    pub(crate) fn file(&self, runs: &Shelf<'_>) -> String {
        format!("{}/compared.html", runs.runs[self.after].folder)
    }

    /// Its page.
    pub(crate) fn page(&self, runs: &Shelf<'_>) -> Page {
        let view = View { shelf: runs, root: "../" };
        let [before, after] = [self.before, self.after].map(|run| &runs.runs[run]);
        let mut page = Page::new(&self.file(runs), "Compared with the run before");
        page.above = vec![Bit::link(format!("Run {}", text::name(&after.id)), "index.html")];
        page.badges = vec![self.verdict()];
        let kernels = |subjects: &[Subject]| {
            let names: Vec<_> = subjects.iter().map(|it| text::name(&it.to_string())).collect();
            if names.is_empty() { "no rows".to_owned() } else { names.join("; ") }
        };
        let side = |run: &crate::shelf::Volume<'_>, subjects: &[Subject]| {
            vec![
                Bit::link(text::name(&run.id), format!("../{}", run.file())),
                Bit::text(format!(" {}", run.when())).toned(Tone::Faint),
                Bit::text(kernels(subjects)).on_a_line(),
            ]
        };
        let none = Vec::new();
        let subjects = self.result.as_ref().map(|it| (&it.before, &it.after));
        let (ours, theirs) = subjects.unwrap_or((&none, &none));
        page.blocks.push(Block::Facts(vec![
            ("before".to_owned(), side(before, ours)),
            ("after".to_owned(), side(after, theirs)),
        ]));
        match &self.result {
            Ok(comparison) => page.blocks.push(Block::paragraph(comparison.summary())),
            Err(why) => page.blocks.push(Block::note(Tone::Doubtful, why)),
        }
        if !self.left_out.is_empty() {
            page.blocks.push(Block::faint(format!(
                "Only one of the two measured, so it is not compared: {}.",
                self.left_out.join("; ")
            )));
        }
        page.blocks.extend(self.surroundings.as_ref().and_then(surroundings));
        page.blocks.extend(crate::view::notes(runs.of_run(self.after).iter()));
        if let Ok(comparison) = &self.result {
            page.blocks.extend(self.differences(view, comparison));
        }
        page.blocks.push(Block::faint(HOW));
        page
    }

    fn differences(&self, view: View<'_, '_>, comparison: &Comparison) -> Vec<Block> {
        if comparison.differences.is_empty() {
            return vec![Block::paragraph("No row that can be compared differs.")];
        }
        let rows = |run: usize| -> HashMap<(&Subject, &Key), &Record> {
            let records = &view.shelf.runs[run].run.records;
            records.iter().map(|record| ((&record.subject, &record.key), record)).collect()
        };
        let (before, after) = (rows(self.before), rows(self.after));
        let columns = Column::all(&[
            "outcome",
            "kernel",
            "on",
            "cell",
            "metric",
            "#before",
            "#after",
            "#difference",
        ]);
        let mut table = Table::new("Rows that differ, the worst first", columns).headed(0).tool();
        for difference in comparison.worst_first().take(MOST) {
            let subject: &Subject = &difference.subject;
            let theirs = after.get(&(subject, &difference.key)).copied();
            let partner = comparison.pairs.iter().find(|(_, after)| after == subject);
            let ours = partner.map_or(subject, |(before, _)| before);
            let ours = before.get(&(ours, &difference.key)).copied();
            table.push(line(view, difference, ours, theirs));
        }
        let mut blocks = vec![Block::Table(table)];
        if let Some(more @ 1..) = comparison.differences.len().checked_sub(MOST) {
            blocks.push(Block::faint(format!("and {more} more: `drbench compare` prints all.")));
        }
        blocks
    }
}

/// Leaves out the kernels that only one side has, and names them: another plan is no regression.
fn leave_out_alone(comparison: &mut Comparison) -> Vec<String> {
    let Comparison { before, after, pairs, differences, .. } = comparison;
    let ours = |subject: &Subject| pairs.iter().any(|(before, _)| before == subject);
    let theirs = |subject: &Subject| pairs.iter().any(|(_, after)| after == subject);
    differences.retain(|difference| match difference.change {
        Change::Missing { .. } => ours(&difference.subject),
        Change::New { .. } => theirs(&difference.subject),
        _ => true,
    });
    let name = |side: &str, subject: &Subject| {
        let (kernel, variant) = (crate::shelf::kernel(subject), text::name(&subject.variant));
        format!("{kernel} {variant} ({side})")
    };
    let alone = before.iter().filter(|it| !ours(it)).map(|it| name("only before", it));
    alone.chain(after.iter().filter(|it| !theirs(it)).map(|it| name("only after", it))).collect()
}

/// How pairs are chosen and rows judged.
const HOW: &str = "Before is the newest earlier run that measured the same machines with the same \
                   suites, if there is one kernels of the same series and variants. Exact rows: any difference is one. Noisy rows: their medians differ by more \
                   than 2 %, and ranks say that it is no chance.";

fn surroundings(found: &Surroundings) -> Option<Block> {
    let columns = Column::all(&["what", "before", "after"]);
    let mut table = Table::new("What else differs between the two", columns);
    for (name, before, after) in &found.differ {
        table.push([name, before, after].map(|text| Cell::text(text::shown(text))).into());
    }
    (!table.rows.is_empty()).then_some(Block::Table(table))
}

fn line(
    view: View<'_, '_>,
    difference: &Difference,
    ours: Option<&Record>,
    theirs: Option<&Record>,
) -> Vec<Cell> {
    let key = &difference.key;
    let (before, after) = difference.change.sides();
    let suite = &key.cell.suite;
    vec![
        outcome(difference).into(),
        Cell::text(format!(
            "{} {}",
            crate::shelf::kernel(&difference.subject),
            text::name(&difference.subject.variant)
        )),
        Cell::text(format!("{} {}", key.target.vendor, key.target.machine)),
        Cell::text(format!("{suite}: {}", key.cell.within_suite())),
        Cell::text(format!("{} ({})", key.metric, key.source)),
        side(view, key, before, ours),
        side(view, key, after, theirs),
        change(before, after),
    ]
}

/// What a difference is called.
fn outcome(difference: &Difference) -> Bit {
    let values = |side: Option<&Side>| side.is_some_and(|side| side.value.is_some());
    let (before, after) = difference.change.sides();
    let sized = values(before) && values(after);
    let ordered = difference.key.metric.larger_is() != Larger::Neither;
    match &difference.change {
        Change::Missing { .. } => Bit::badge("missing", Tone::Bad),
        Change::New { .. } if difference.is_regression() => Bit::badge("new, failed", Tone::Bad),
        Change::New { .. } => Bit::badge("new", Tone::Plain),
        Change::Determinism { .. } => Bit::badge("exact on one side", Tone::Bad),
        _ if difference.is_better() => Bit::badge("better", Tone::Good),
        _ if sized && ordered => Bit::badge("worse", Tone::Bad),
        _ => Bit::badge("changed", Tone::Bad),
    }
}

/// What one side says, linked to its row.
fn side(view: View<'_, '_>, key: &Key, side: Option<&Side>, record: Option<&Record>) -> Cell {
    let Some(side) = side else { return Cell::nothing("there is no such row") };
    let shown = match (&key.metric, side.value) {
        (Metric::Verdict, _) => text::name(&side.reason),
        (_, Some(value)) if side.deterministic => value.to_string(),
        (_, Some(value)) => text::number(value.as_f64()),
        (_, None) => side.status.to_string(),
    };
    let bit = record.map_or(Bit::text(&shown), |record| Bit::link(&shown, view.row(record)));
    let mut bits = vec![bit];
    if side.status != Status::Ok && side.value.is_some() {
        bits.push(Bit::text(format!(" {}", side.status)).toned(crate::view::tone(side.status)));
    }
    let cell = Cell::of(bits);
    side.value.map_or(cell.clone(), |value| cell.sorted_by(value.as_f64()))
}

/// The difference of two values, as a number and in percent.
fn change(before: Option<&Side>, after: Option<&Side>) -> Cell {
    let values = before.zip(after).and_then(|(one, other)| {
        if one.unit == other.unit { one.value.zip(other.value) } else { None }
    });
    match values {
        Some((before, after)) => {
            let (before, after) = (before.as_f64(), after.as_f64());
            Cell::text(difference_text(before, after)).sorted_by(after - before)
        }
        None => Cell::nothing(""),
    }
}

/// `+12 (+1.50 %)`.
pub(crate) fn difference_text(before: f64, after: f64) -> String {
    let difference = after - before;
    let sign = if difference >= 0.0 { "+" } else { "−" };
    let difference = text::number(difference.abs());
    let share = 100.0 * (after / before - 1.0);
    if share.is_finite() {
        let percent = format!("{:.2} %", share.abs());
        format!("{sign}{difference} ({sign}{percent})")
    } else {
        format!("{sign}{difference}")
    }
}

/// The page of all comparisons.
pub(crate) fn page(view: View<'_, '_>, all: &[Option<Rc<Compared>>]) -> Page {
    let mut page = Page::new("compared.html", "Compared");
    page.blocks.push(Block::paragraph(
        "Every run held against the newest earlier one that measured the same machines with the same \
         suites, the newest first.",
    ));
    let columns = Column::all(&[
        "run",
        "compared with",
        "outcome",
        "#worse or changed",
        "#missing",
        "#better",
        "#new",
        "#equal",
        "#noisy, same",
        "#cannot tell",
    ]);
    let mut table = Table::new("Comparisons", columns).tool();
    for compared in all.iter().rev().flatten() {
        let run = |run: usize| {
            let run = &view.shelf.runs[run];
            let href = format!("{}{}", view.root, run.file());
            Cell::of(vec![Bit::link(text::name(&run.id), href), Bit::faint(run.when()).on_a_line()])
        };
        let counts = compared.counts();
        let href = format!("{}{}", view.root, compared.file(view.shelf));
        let (same, noisy, open) = compared.result.as_ref().map_or((0, 0, 0), |it| {
            (it.same, it.noisy_same, it.cannot_tell + it.noisy + it.newly_open)
        });
        let number = |count: usize| {
            #[allow(clippy::cast_precision_loss)] // rows are far below 2^53
            let sort = count as f64;
            Cell::from(Bit::link(count.to_string(), &href)).sorted_by(sort)
        };
        let mut cells =
            vec![run(compared.after), run(compared.before), compared.verdict().to(&href).into()];
        let rest = [counts.worse, counts.missing, counts.better, counts.new, same, noisy, open];
        cells.extend(rest.map(number));
        table.push(cells);
    }
    if table.rows.is_empty() {
        let none = "No two runs measured the same: there is nothing to compare yet.";
        page.blocks.push(Block::note(Tone::Plain, none));
    } else {
        page.blocks.push(Block::Table(table));
    }
    page
}
