//! What became of the figures: over kernel versions, and run by run. Changes are marked: of an exact
//! figure any difference, of a noisy one what the comparison of the two runs says.

use crate::PagesError;
use crate::block::{Bit, Block, Cell, Column, Page, Picture, Table, Tone};
use crate::compared::{Comparisons, difference_text};
use crate::plot::{Across, Line, Plot, place};
use crate::shelf::{Group, order};
use crate::sorted::{distinct, sorted};
use crate::text;
use crate::view::{View, notes};
use reports::figures::{Figure, Found, Gap};
use reports::record::{Metric, Record, Source, Subject, Target, Unit};
use reports::table::{COST_SUITE, POLICY_SUITE, SLOWDOWN_SUITE};
use reports::version::series;
use std::collections::{HashMap, HashSet};

/// Runs in one chart: of more the newest.
const MOST_POINTS: usize = 200;
/// Letters at the end of a run's id that tell it from others of the same second.
const ID_END: usize = 6;
/// Rows followed in one table.
const MOST_FOLLOWED: usize = 40;

/// A figure that is followed: its name, and what it is in one group.
struct Followed<'a> {
    name: String,
    /// Whether it is drawn: what is not is told in the table only.
    is_cost: bool,
    figure: Figure<'a>,
}

/// The figures of a group that are followed.
fn followed<'a>(group: &Group<'a>) -> Vec<Followed<'a>> {
    if let Some(figures) = group.figures() {
        let of = |name: &str, is_cost, figure| Followed { name: name.to_owned(), is_cost, figure };
        return vec![
            of("DR exits/switch", false, figures.dr_exits_per_switch),
            of("a DR exit", true, figures.cost_of_dr_exit),
            of("a switch", true, figures.cost_of_switch),
            of("another exit", true, figures.cost_of_other_exit),
        ];
    }
    let name = |row: &Record| match &row.key.metric {
        Metric::Cost(name) if group.suite == COST_SUITE => Some(name.to_string()),
        Metric::Lost(policy) if group.suite == SLOWDOWN_SUITE => {
            let star = if row.key.source == Source::Model { "*" } else { "" };
            Some(format!("{} under {policy}{star}", row.key.cell.workload))
        }
        _ => None,
    };
    let of = |row: &&'a Record| {
        let figure = match row.value {
            Some(value) => Ok(Found { value: value.as_f64(), row }),
            None => Err(Gap::Row(row)),
        };
        Some(Followed { name: name(row)?, is_cost: true, figure })
    };
    group.rows.iter().filter_map(of).take(MOST_FOLLOWED).collect()
}

/// Whether a figure is another than the one before.
fn is_change(
    comparisons: &mut Comparisons<'_, '_>,
    before: &Found<'_>,
    after: &Found<'_>,
) -> Result<bool, PagesError> {
    if before.row.deterministic && after.row.deterministic {
        // No rounding: the same rows give the same figure to the last bit.
        #[allow(clippy::float_cmp)]
        return Ok(before.value != after.value);
    }
    comparisons.is_change(before.row, after.row)
}

/// A figure in a table, beside what it was before.
fn cell(
    view: View<'_, '_>,
    figure: &Figure<'_>,
    before: Option<&Found<'_>>,
    changed: bool,
) -> Cell {
    let mut cell = view.figure(figure);
    if let (true, Some(before), Ok(found)) = (changed, before, figure) {
        let way = if found.value > before.value { "▲" } else { "▼" };
        let text = format!("{way} {}", difference_text(before.value, found.value));
        cell.bits.push(Bit::text(text).toned(Tone::Strong).on_a_line());
    }
    cell
}

/// The page.
pub(crate) fn page(
    view: View<'_, '_>,
    comparisons: &mut Comparisons<'_, '_>,
) -> Result<Page, PagesError> {
    let mut page = Page::new("history.html", "History");
    page.blocks.push(Block::paragraph(
        "A change is marked by a ring and by ▲ or ▼. Exact figures: any difference of the value is one. \
         Noisy figures: what the comparison of the two runs says.",
    ));
    let newest = view.shelf.newest(POLICY_SUITE);
    page.blocks.extend(notes(newest.iter().copied()));
    page.blocks.push(Block::heading(2, "versions", "Over kernel versions"));
    let versions =
        by_version(view, &newest, comparisons, &["a DR exit", "a switch", "another exit"])?;
    if versions.is_empty() {
        page.blocks.push(Block::paragraph(
            "Fewer than two kernel versions on one machine have figures of the policy suite.",
        ));
    }
    page.blocks.extend(versions);
    page.blocks.push(Block::heading(2, "runs", "Run by run"));
    let runs = by_run(view, comparisons)?;
    if runs.is_empty() {
        page.blocks.push(Block::paragraph(
            "No two runs measured a kernel of the same series and variant on the same machine.",
        ));
    }
    page.blocks.extend(runs);
    Ok(page)
}

/// A line of a chart over versions.
type Place<'a> = (&'a Target, &'a str);

/// For each unit and figure a chart with the kernels in their order and a line for each machine and
/// variant.
pub(crate) fn by_version(
    view: View<'_, '_>,
    groups: &[&Group<'_>],
    comparisons: &mut Comparisons<'_, '_>,
    names: &[&str],
) -> Result<Vec<Block>, PagesError> {
    let mut blocks = Vec::new();
    let mut units: Vec<Unit> = Vec::new();
    for figures in groups.iter().filter_map(|group| group.figures()) {
        if figures.cost_of_dr_exit.is_ok() && !units.contains(&figures.unit) {
            units.push(figures.unit);
        }
    }
    for unit in units {
        let of_unit: Vec<&&Group<'_>> = groups
            .iter()
            .filter(|group| group.figures().is_some_and(|figures| figures.unit == unit))
            .collect();
        for name in names {
            blocks.extend(version_chart(view, &of_unit, comparisons, (*name, unit))?);
        }
    }
    Ok(blocks)
}

fn version_chart<'a>(
    view: View<'_, 'a>,
    groups: &[&&Group<'a>],
    comparisons: &mut Comparisons<'_, '_>,
    (name, unit): (&str, Unit),
) -> Result<Option<Block>, PagesError> {
    let mut kernels: Vec<&Subject> = Vec::new();
    for group in groups {
        if !kernels.iter().any(|known| order(known, group.subject).is_eq()) {
            kernels.push(group.subject);
        }
    }
    let kernels = sorted(&kernels, &|a, b| order(a, b));
    if kernels.len() < 2 {
        return Ok(None);
    }
    let places = distinct(groups.iter().map(|group| line_of(group)));
    let places = sorted(&places, &|a, b| a.cmp(b));
    let mut found: Vec<Vec<Option<Figure<'a>>>> = vec![vec![None; kernels.len()]; places.len()];
    for group in groups {
        let at = kernels.iter().position(|known| order(known, group.subject).is_eq());
        let figure = followed(group).into_iter().find(|followed| followed.name == name);
        let line = places.iter().position(|place| *place == line_of(group));
        if let (Some(at), Some(line), Some(followed)) = (at, line, figure) {
            found[line][at] = Some(followed.figure);
        }
    }
    let short = text::short(unit);
    let title = format!("What {name} costs, by kernel version");
    let mut columns = Column::all(&["kernel"]);
    let names: Vec<String> = places.iter().map(|place| line_name(*place, &places)).collect();
    columns.extend(names.iter().map(|name| Column::numbers(format!("{name} ({short})"))));
    let mut table = Table::new(format!("{title}: {unit}"), columns);
    let mut rows: Vec<Vec<Cell>> =
        kernels.iter().map(|subject| vec![Cell::text(crate::shelf::kernel(subject))]).collect();
    let mut lines = Vec::new();
    for (figures, name) in found.iter().zip(names) {
        let mut points = Vec::new();
        let mut before: Option<Found<'_>> = None;
        for (at, figure) in figures.iter().enumerate() {
            let Some(figure) = figure else {
                rows[at].push(Cell::nothing("not measured"));
                points.push(None);
                continue;
            };
            let changed = match (before, figure) {
                (Some(before), Ok(found)) => is_change(comparisons, &before, found)?,
                _ => false,
            };
            rows[at].push(cell(view, figure, before.as_ref(), changed));
            points.push(figure.as_ref().ok().map(|found| (place(at), found.value, changed)));
            before = figure.as_ref().ok().copied().or(before);
        }
        if points.iter().flatten().count() > 1 {
            lines.push(Line { name, colour: None, points });
        }
    }
    for row in rows {
        table.push(row);
    }
    if lines.is_empty() {
        return Ok(Some(Block::Table(table)));
    }
    let plot = Plot {
        id: format!("v-{}-{unit}", name.replace(' ', "-")),
        about: format!(
            "{} on {} kernels, a line for each machine and variant. The table below has the figures.",
            title,
            kernels.len()
        ),
        title: title.clone(),
        across: Across::Names(
            kernels.iter().map(|subject| crate::shelf::kernel(subject)).collect(),
        ),
        up: unit.to_string(),
        is_share: false,
        lines,
        is_narrow: false,
    };
    let (svg, table) = (plot.svg()?, Some(table));
    Ok(Some(Block::Picture(Picture { caption: title, of: String::new(), svg, table })))
}

fn line_of<'a>(group: &Group<'a>) -> Place<'a> {
    (group.target, &group.subject.variant)
}

/// Vendor, machine, and what else is needed to tell lines apart.
fn line_name((target, variant): Place<'_>, all: &[Place<'_>]) -> String {
    let mut name = format!("{} {}", target.vendor, target.machine);
    let alike = |other: &Target| {
        (other.vendor, other.machine) == (target.vendor, target.machine) && other != target
    };
    if all.iter().any(|(other, _)| alike(other)) {
        name = format!("{name} {}", text::name(&target.cpu_model));
    }
    if all.iter().any(|(_, variant)| *variant != "stock") {
        name = format!("{name} {}", text::name(variant));
    }
    name
}

/// What stays the same from run to run.
type Series<'a> = (&'a str, &'a Target, &'a str, &'a str);

/// A section for every series of kernels, variant, machine and suite that several runs measured.
fn by_run(
    view: View<'_, '_>,
    comparisons: &mut Comparisons<'_, '_>,
) -> Result<Vec<Block>, PagesError> {
    let followed = [POLICY_SUITE, COST_SUITE, SLOWDOWN_SUITE];
    let groups = view.shelf.groups.iter().filter(|group| followed.contains(&group.suite));
    let mut index: HashMap<Series<'_>, usize> = HashMap::new();
    let mut found: Vec<Vec<&Group<'_>>> = Vec::new();
    for group in groups {
        let at = *index.entry(series_of(group)).or_insert(found.len());
        if at == found.len() {
            found.push(Vec::new());
        }
        // Of several kernels of a series in one run the newest stands for it.
        match found[at].last_mut() {
            Some(last) if last.run == group.run => *last = group,
            _ => found[at].push(group),
        }
    }
    let several: Vec<&Vec<&Group<'_>>> = found.iter().filter(|groups| groups.len() > 1).collect();
    let several = sorted(&several, &|a, b| a[0].order(b[0]));
    let is_open = several.len() <= 6;
    let mut blocks = Vec::new();
    for (number, groups) in several.into_iter().enumerate() {
        let series = series_of(groups[0]);
        blocks.push(run_chart(view, comparisons, series, groups, (number, is_open))?);
    }
    Ok(blocks)
}

fn series_of<'a>(group: &Group<'a>) -> Series<'a> {
    let Subject { kernel, variant, .. } = group.subject;
    (group.suite, group.target, series(kernel), variant)
}

fn run_chart(
    view: View<'_, '_>,
    comparisons: &mut Comparisons<'_, '_>,
    (suite, target, series, variant): Series<'_>,
    groups: &[&Group<'_>],
    (number, is_open): (usize, bool),
) -> Result<Block, PagesError> {
    let machine = crate::shelf::target(target);
    let title = format!("{series} {} · {machine}, suite {suite}", text::name(variant));
    let newest = &groups[groups.len().saturating_sub(MOST_POINTS)..];
    let names: Vec<(String, bool)> = followed(newest[newest.len() - 1])
        .into_iter()
        .map(|followed| (followed.name, followed.is_cost))
        .collect();
    let mut columns = Column::all(&["run", "kernel", "verdict"]);
    columns.extend(names.iter().map(|(name, _)| Column::numbers(name)));
    let mut table = Table::new("The same figures, the oldest run first", columns).of(&title);
    let mut lines: Vec<Line> = names
        .iter()
        .map(|(name, _)| Line { name: name.clone(), colour: None, points: Vec::new() })
        .collect();
    let mut before: Vec<Option<Found<'_>>> = vec![None; names.len()];
    let mut marked = 0;
    let mut unit = Unit::None;
    for (at, group) in newest.iter().enumerate() {
        let run = &view.shelf.runs[group.run];
        let href = view.shelf.group(view.root, group);
        let mut cells = vec![
            Cell::of(vec![Bit::link(run.when(), href)]),
            Cell::text(group.kernel()),
            view.verdict(group.verdict()).into(),
        ];
        let figures = followed(group);
        for (place_of, (name, is_cost)) in names.iter().enumerate() {
            let figure = figures.iter().find(|followed| followed.name == *name);
            let Some(Followed { figure, .. }) = figure else {
                cells.push(Cell::nothing("not measured"));
                lines[place_of].points.push(None);
                continue;
            };
            let changed = match (before[place_of], figure) {
                (Some(before), Ok(found)) => is_change(comparisons, &before, found)?,
                _ => false,
            };
            marked += usize::from(changed);
            cells.push(cell(view, figure, before[place_of].as_ref(), changed));
            let point = figure.as_ref().ok().map(|found| (place(at), found.value, changed));
            if let (Ok(found), true) = (figure, is_cost) {
                unit = found.row.unit;
            }
            lines[place_of].points.push(point);
            before[place_of] = figure.as_ref().ok().copied().or(before[place_of]);
        }
        table.push(cells);
    }
    let told = if marked == 0 {
        "nothing changed".to_owned()
    } else {
        format!("{} marked", text::count(marked, "change"))
    };
    let mut is_cost = names.iter().map(|(_, is_cost)| *is_cost);
    lines.retain(|line| is_cost.next().unwrap_or(false) && line.points.iter().any(Option::is_some));
    // More lines than can be told apart stand in the table only.
    lines.truncate(8);
    let mut blocks = Vec::new();
    if !lines.is_empty() {
        let plot = Plot {
            id: format!("h{number}"),
            title: title.clone(),
            about: format!(
                "{}, {told}. The table below has the figures.",
                text::count(newest.len(), "run")
            ),
            across: Across::Names(short_names(view, newest)),
            up: unit.to_string(),
            is_share: false,
            lines,
            is_narrow: false,
        };
        let caption = format!("Costs in {unit}, run by run");
        let (svg, table) = (plot.svg()?, Some(table));
        blocks.push(Block::Picture(Picture { caption, of: title.clone(), svg, table }));
    }
    if groups.len() > newest.len() {
        blocks.push(Block::faint(format!("The newest {} of {} runs.", newest.len(), groups.len())));
    }
    if names.iter().any(|(name, _)| name.ends_with('*')) {
        let told = "* not measured: the kernel does not have this policy. It is computed, as the run says.";
        blocks.insert(0, Block::faint(told));
    }
    let summary = vec![Bit::text(format!("{title}: {}, {told}", text::count(newest.len(), "run")))];
    Ok(Block::Fold { id: format!("series-{number}"), level: 3, summary, is_open, blocks })
}

/// The runs' beginnings, short enough for an axis: to the minute where that tells them apart, else to
/// the second, else with the end of their ids.
fn short_names(view: View<'_, '_>, groups: &[&Group<'_>]) -> Vec<String> {
    let names = |format: &str| -> Vec<String> {
        let run = |group: &&Group<'_>| view.shelf.runs[group.run].started;
        let name = |time: jiff::Timestamp| time.strftime(format).to_string();
        groups.iter().map(|group| run(group).map_or_else(String::new, name)).collect()
    };
    let differ = |names: &[String]| names.iter().collect::<HashSet<_>>().len() == names.len();
    let minutes = names("%m-%d %H:%M");
    if differ(&minutes) {
        return minutes;
    }
    let seconds = names("%m-%d %H:%M:%S");
    if differ(&seconds) {
        return seconds;
    }
    let end = |group: &Group<'_>| -> String {
        let id = text::name(&view.shelf.runs[group.run].id);
        let from = id.chars().count().saturating_sub(ID_END);
        id.chars().skip(from).collect()
    };
    seconds.iter().zip(groups).map(|(name, group)| format!("{name} {}", end(group))).collect()
}
