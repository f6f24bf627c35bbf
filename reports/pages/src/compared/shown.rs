//! Comparisons as pages: all in one table, and each row by row.

use super::{Compared, Counts, is_another};
use crate::block::{Bit, Block, Cell, Column, Page, Table, Tone};
use crate::shelf::Shelf;
use crate::text;
use crate::view::View;
use reports::compare::{Change, Comparison, Difference, Side, Surroundings};
use reports::record::{Key, Metric, Record, Status, Subject};
use std::collections::HashMap;
use std::rc::Rc;

/// Differences that are shown: the worst come first.
const MOST: usize = 500;

impl Compared {
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
            Ok(comparison) => {
                page.blocks.push(Block::paragraph(self.summary()));
                page.blocks.extend(others(comparison));
            }
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
            page.blocks.extend(self.rows(view, comparison));
        }
        page.blocks.push(Block::faint(HOW));
        page
    }

    fn rows(&self, view: View<'_, '_>, comparison: &Comparison) -> Vec<Block> {
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
            let mut cells = line(view, difference, ours, theirs);
            if self.is_of_another(difference) {
                cells[0] = Bit::badge(of_another(&difference.change), Tone::Plain).into();
            }
            table.push(cells);
        }
        let mut blocks = vec![Block::Table(table)];
        if let Some(more @ 1..) = comparison.differences.len().checked_sub(MOST) {
            blocks.push(Block::faint(format!("and {more} more: `drbench compare` prints all.")));
        }
        blocks
    }
}

/// How pairs are chosen and rows judged.
const HOW: &str = "Before is the newest earlier run that measured the same machines with the same \
                   suites, and, if there is one, kernels of the same series and variants. Exact rows: \
                   any difference is one. Noisy rows: their medians differ by more than 2 %, and ranks \
                   say that it is no chance.";

/// Which kernels are of another series or variant than what they are held against.
fn others(comparison: &Comparison) -> Option<Block> {
    let name = |subject: &Subject| {
        format!("{} {}", crate::shelf::kernel(subject), text::name(&subject.variant))
    };
    let others = comparison.pairs.iter().filter(|pair| is_another(pair));
    let others: Vec<_> =
        others.map(|(before, after)| format!("{} after {}", name(after), name(before))).collect();
    (!others.is_empty()).then(|| {
        let told =
            "Another series or variant of kernel: its figures differ, and none is worse or better";
        Block::note(Tone::Plain, format!("{told}: {}.", others.join("; ")))
    })
}

/// What a difference from another kernel is called.
const fn of_another(change: &Change) -> &'static str {
    match change {
        Change::Missing { .. } => "only before",
        Change::New { .. } => "only after",
        _ => "differs",
    }
}

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
    match &difference.change {
        Change::Missing { .. } => Bit::badge("missing", Tone::Bad),
        Change::New { .. } if difference.is_regression() => Bit::badge("new, failed", Tone::Bad),
        Change::New { .. } => Bit::badge("new", Tone::Plain),
        Change::Determinism { .. } => Bit::badge("exact on one side", Tone::Bad),
        _ if difference.is_better() => Bit::badge("better", Tone::Good),
        Change::Opened { .. } => Bit::badge("unresolved", Tone::Doubtful),
        _ if difference.is_worse() => Bit::badge("worse", Tone::Bad),
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
         suites, if there is one with kernels of the same series and variants. The newest first.",
    ));
    let columns = Column::all(&[
        "run",
        "compared with",
        "outcome",
        "#worse or changed",
        "#missing",
        "#better",
        "#new",
        "#of another kernel",
        "#equal",
        "#noisy, same",
        "#cannot tell",
    ]);
    let mut table = Table::new("Comparisons", columns).tool();
    for compared in all.iter().rev().flatten() {
        let run = |run: usize| {
            let kernels = view.shelf.kernels_of(run);
            let run = &view.shelf.runs[run];
            let href = format!("{}{}", view.root, run.file());
            Cell::of(vec![
                Bit::link(text::name(&run.id), href),
                Bit::faint(run.when()).on_a_line(),
                Bit::text(kernels).on_a_line(),
            ])
        };
        let href = format!("{}{}", view.root, compared.file(view.shelf));
        let (same, noisy, open) = compared.result.as_ref().map_or((0, 0, 0), |it| {
            (it.same, it.noisy_same, it.cannot_tell + it.noisy() + it.unresolved)
        });
        let number = |count: usize| {
            #[allow(clippy::cast_precision_loss)] // rows are far below 2^53
            let sort = count as f64;
            Cell::from(Bit::link(count.to_string(), &href)).sorted_by(sort)
        };
        let mut cells =
            vec![run(compared.after), run(compared.before), compared.verdict().to(&href).into()];
        let Counts { worse, missing, better, new, of_another, opened } = compared.counts();
        let rest = [worse, missing, better, new, of_another, same, noisy, open + opened];
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
