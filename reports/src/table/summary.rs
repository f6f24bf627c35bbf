//! The summary: one row per kernel, variant and target.

use super::notes::{lines, tone};
use super::policy::footnotes;
use super::resolution::unresolved;
use super::section::verdict_tone;
use super::{Align, Grid, NOTHING, POLICY_SUITE, Style, Tone, paragraph};
use crate::figures::{Figure, Figures, Gap, figures};
use crate::record::{Record, Status, Subject, Target, Unit};
use crate::version::compare_versions;
use std::cmp::Ordering;

/// Variants that have a place of their own in the order; others follow by name.
const VARIANTS: [&str; 3] = ["always", "stock", "never"];

/// What the figures are.
const LEGEND: &str = "\
    Per switch: five accesses (n:5) and one CPUID exit. Per DR exit: n:5 under guest debug, nothing \
    interposed, less the same loop without accesses (none), by its DR exits: there every access \
    exits on any kernel, so policies can be compared. Per other exit: none with a CPUID exit in \
    each switch less none without, by its CPUID exits: what a policy costs everybody, debug \
    registers or not. The instruction that exits is part of its cost.";

/// The summary of the policy suite: a row per kernel, variant and target, kernels by version and
/// variants as `always`, `stock`, `never`, others.
///
/// | column | what it is |
/// | --- | --- |
/// | verdict | the policy found |
/// | DR exits/switch | of `n:5,cpuid/1`: 5, 1 and 0 under `always`, `lazy` and `never` |
/// | instr./DR exit | `n:5` under guest debug less the loop `none`, by its DR exits |
/// | instr./switch | of `n:5,cpuid/1`, all of it |
/// | instr./other exit | the loop `none`: `none,cpuid/1` less `none`, by its interposed exits |
/// | cells | how many came out as predicted, or how many did not |
///
/// The instruction that exits is part of its cost. On hardware costs are nanoseconds; a table of
/// both has a column for the unit. A figure whose rows are not as they should be is replaced by
/// their status, and the reasons stand below. At most [`WIDTH`](super::WIDTH) columns wide.
pub fn summary_table(records: &[Record], style: Style) -> String {
    let mut rows = figures(records);
    if rows.is_empty() {
        return format!("There are no results of the suite `{POLICY_SUITE}`.\n");
    }
    rows.sort_by(order);
    let models = Models::of(&rows);
    let mut text = grid(style, &rows, &models).render();
    for (tone, note) in troubles(&rows) {
        text.push('\n');
        text.push_str(&paragraph(style, &note, tone));
    }
    text.push('\n');
    text.push_str(&paragraph(style, LEGEND, Tone::Normal));
    text.push_str(&paragraph(style, &models.note(), Tone::Normal));
    if let Some(noise) = unresolved(rows.iter().flat_map(|row| row.records.iter().copied())) {
        text.push_str(&paragraph(style, &noise, Tone::Doubtful));
    }
    for footnote in footnotes(rows.iter().map(|row| row.target)) {
        text.push_str(&paragraph(style, footnote, Tone::Normal));
    }
    if common_unit(&rows).is_none() {
        let mixed =
            "Costs are in the unit beside them: those of different units are not comparable.";
        text.push_str(&paragraph(style, mixed, Tone::Normal));
    }
    text
}

fn order(a: &Figures<'_>, b: &Figures<'_>) -> Ordering {
    compare_versions(&a.subject.kernel, &b.subject.kernel)
        .then_with(|| compare_versions(&a.subject.kernel_id, &b.subject.kernel_id))
        .then_with(|| a.target.cmp(b.target))
        .then_with(|| variant_order(&a.subject.variant, &b.subject.variant))
}

/// Variants as people look for them.
pub fn variant_order(a: &str, b: &str) -> Ordering {
    let place = |variant: &str| {
        VARIANTS.iter().position(|known| *known == variant).unwrap_or(VARIANTS.len())
    };
    place(a).cmp(&place(b)).then_with(|| a.cmp(b))
}

/// The kernel's name without its variant: its package's version says the kernel's own already.
pub fn kernel_name(subject: &Subject) -> String {
    let Subject { kernel, kernel_id, .. } = subject;
    if kernel_id.starts_with(kernel.as_str()) {
        kernel_id.clone()
    } else {
        format!("{kernel} {kernel_id}")
    }
}

fn grid(style: Style, rows: &[Figures<'_>], models: &Models<'_>) -> Grid {
    let unit = common_unit(rows);
    let titles = ["DR exit", "switch", "other exit"]
        .map(|what| format!("{}/\n{what}", unit.map_or("cost", short)));
    let mut columns = vec![
        ("\nkernel", Align::Left),
        ("\nvariant", Align::Left),
        ("\non", Align::Left),
        ("\nverdict", Align::Left),
        ("DR exits/\nswitch", Align::Right),
    ];
    columns.extend(titles.iter().map(|title| (title.as_str(), Align::Right)));
    if unit.is_none() {
        columns.push(("\nunit", Align::Left));
    }
    columns.push(("\ncells", Align::Left));
    let mut grid = Grid::new(style, &columns);
    for row in rows {
        add(&mut grid, row, models, unit);
    }
    grid
}

fn add(grid: &mut Grid, row: &Figures<'_>, models: &Models<'_>, common: Option<Unit>) {
    let verdict = row.verdict.map_or((NOTHING, Tone::Normal), |verdict| {
        (verdict.verdict().unwrap_or_default(), verdict_tone(verdict))
    });
    let names = [kernel_name(row.subject), row.subject.variant.clone(), models.on(row.target)];
    let figures = [
        &row.dr_exits_per_switch,
        &row.cost_of_dr_exit,
        &row.cost_of_switch,
        &row.cost_of_other_exit,
    ]
    .map(shown);
    let (cells, grave) = row.outcome();
    let mut line: Vec<_> = names.iter().map(|text| (text.as_str(), Tone::Normal)).collect();
    line.push(verdict);
    line.extend(figures.iter().map(|(text, tone)| (text.as_str(), *tone)));
    if common.is_none() {
        line.push((short(row.unit), Tone::Normal));
    }
    line.push((&cells, tone(grave)));
    grid.row(line);
}

/// The unit of all rows, if they have one.
fn common_unit(rows: &[Figures<'_>]) -> Option<Unit> {
    let unit = rows.first()?.unit;
    rows.iter().all(|row| row.unit == unit).then_some(unit)
}

const fn short(unit: Unit) -> &'static str {
    match unit {
        Unit::Instructions => "instr.",
        unit => unit.as_str(),
    }
}

fn shown(figure: &Figure<'_>) -> (String, Tone) {
    match figure {
        Ok(found) => (number(found.value), Tone::Normal),
        Err(Gap::Nothing) => (NOTHING.to_owned(), Tone::Normal),
        Err(Gap::Row(row)) if row.status == Status::Skipped => (NOTHING.to_owned(), Tone::Normal),
        Err(Gap::Row(row)) => (row.status.to_string(), tone(row.status)),
    }
}

/// Whole numbers as such, others with one decimal.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The targets of a table. Where all rows of a vendor and machine have one CPU model, that is told
/// once below the table.
struct Models<'a>(Vec<&'a Target>);

impl<'a> Models<'a> {
    fn of(rows: &[Figures<'a>]) -> Self {
        let mut targets: Vec<_> = rows.iter().map(|row| row.target).collect();
        targets.sort_unstable();
        targets.dedup();
        Self(targets)
    }

    fn is_alone(&self, target: &Target) -> bool {
        let alike =
            |other: &&&Target| (other.vendor, other.machine) == (target.vendor, target.machine);
        self.0.iter().filter(alike).count() == 1
    }

    /// A target as the table's cell names it.
    fn on(&self, target: &Target) -> String {
        let Target { vendor, machine, cpu_model } = target;
        if self.is_alone(target) {
            format!("{vendor} {machine}")
        } else {
            format!("{vendor} {machine} {cpu_model}")
        }
    }

    fn note(&self) -> String {
        let alone = self.0.iter().filter(|target| self.is_alone(target));
        let names: Vec<_> = alone.map(ToString::to_string).collect();
        if names.is_empty() { String::new() } else { format!("CPU models: {}.", names.join("; ")) }
    }
}

impl Figures<'_> {
    /// How many cells ended how, by the gravest.
    pub fn outcome(&self) -> (String, Status) {
        let cells = self.cells();
        let grave = cells.iter().copied().max().unwrap_or(Status::Skipped);
        let text = match (cells.iter().filter(|status| **status == grave).count(), cells.len()) {
            (_, 0) => NOTHING.to_owned(),
            (count, all) if count == all => format!("{all} {grave}"),
            (count, all) => format!("{count}/{all} {grave}"),
        };
        (text, grave)
    }

    /// Why this row is not as it should be. What the verdict says already is not repeated.
    fn troubles(&self) -> Vec<(Tone, String)> {
        let explained = self.verdict.filter(|row| row.verdict() != Some(row.reason.as_str()));
        let said = explained.map_or("", |row| &row.reason);
        let unsaid = |row: &&Record| row.reason.is_empty() || !said.contains(row.reason.as_str());
        let rows: Vec<_> = self.records.iter().copied().filter(unsaid).collect();
        let rows = lines(&rows, Status::Unconfirmed).into_iter();
        let verdict = explained.map(|row| (verdict_tone(row), row.reason.clone()));
        verdict.into_iter().chain(rows.map(|(status, line)| (tone(status), line))).collect()
    }
}

/// The kernel's name: its package's version says the kernel's own already.
pub(super) fn kernel(Subject { kernel, kernel_id, .. }: &Subject) -> String {
    if kernel_id.starts_with(kernel.as_str()) {
        kernel_id.clone()
    } else {
        format!("{kernel} {kernel_id}")
    }
}

/// The rows' troubles with the rows' names; the same one of several rows is told once.
fn troubles(rows: &[Figures<'_>]) -> Vec<(Tone, String)> {
    let mut told: Vec<(Tone, String, Vec<String>)> = Vec::new();
    for row in rows {
        let name = format!(
            "{} {} on {}",
            kernel_name(row.subject),
            row.subject.variant,
            row.target.vendor
        );
        for (tone, text) in row.troubles() {
            match told.iter_mut().find(|(_, known, _)| *known == text) {
                Some((.., names)) => names.push(name.clone()),
                None => told.push((tone, text, vec![name.clone()])),
            }
        }
    }
    told.into_iter()
        .map(|(tone, text, names)| (tone, format!("{}: {text}", names.join(", "))))
        .collect()
}
