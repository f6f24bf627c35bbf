//! The page of one run: what it measured, what is wrong, and how to repeat it.

use crate::block::{Bit, Block, Cell, Column, Page, Table, Tone};
use crate::compared::Compared;
use crate::shelf::{Group, Volume};
use crate::view::{View, notes, outcome, status, tone, troubles as reasons};
use crate::{Meaning, PagesError, checks, costs, slowdown, text};
use reports::record::{Metric, Record, Status};
use reports::table::{COST_SUITE, SLOWDOWN_SUITE};

/// Groups whose tables are on the page. Of the others the summary and the rows tell.
const MOST_GROUPS: usize = 60;
/// Groups that are shown open.
const FEW: usize = 2;

/// The page.
pub(crate) fn page(
    view: View<'_, '_>,
    number: usize,
    compared: Option<&Compared>,
    meaning: Meaning<'_>,
) -> Result<Page, PagesError> {
    let run = &view.shelf.runs[number];
    let groups: Vec<&Group<'_>> = view.shelf.of_run(number).iter().collect();
    let mut page = Page::new(&run.file(), &format!("Run {}", text::name(&run.id)));
    page.above = vec![Bit::link("Runs", format!("{}runs.html", view.root))];
    page.blocks.push(Block::Facts(facts(view, run, compared)));
    if groups.is_empty() {
        let nothing = "The run ended before anything was measured.";
        page.blocks.push(Block::note(Tone::Doubtful, nothing));
    } else {
        page.blocks.push(Block::Table(measured(view, &groups)));
        page.blocks.extend(notes(groups.iter().copied()));
    }
    page.blocks.extend(troubles(view, &groups));
    for group in groups.iter().take(MOST_GROUPS) {
        let summary = vec![
            Bit::text(format!("{} · suite {} ", group.title(), group.suite)),
            view.verdict(group.verdict()),
        ];
        page.blocks.push(Block::Fold {
            id: group.id(),
            level: 2,
            summary,
            is_open: groups.len() <= FEW,
            blocks: section(view, group, meaning)?,
        });
    }
    if groups.len() > MOST_GROUPS {
        page.blocks.push(Block::faint(format!(
            "Tables of {} of {} are shown; the rows have all.",
            MOST_GROUPS,
            groups.len()
        )));
    }
    page.blocks.extend(crate::repeat::section(run));
    Ok(page)
}

fn facts(
    view: View<'_, '_>,
    run: &Volume<'_>,
    compared: Option<&Compared>,
) -> Vec<(String, Vec<Bit>)> {
    let info = run.run.info.as_ref();
    let ended = match info.map(|info| info.finished_at) {
        Some(Some(time)) => Bit::text(time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
        Some(None) => Bit::badge("not finished: it runs, or was cut short", Tone::Doubtful),
        None => Bit::faint("not known"),
    };
    let rows = text::count(run.run.records.len(), "row");
    let mut facts = vec![
        ("began".to_owned(), vec![Bit::text(format!("{} UTC", run.when()))]),
        ("ended".to_owned(), vec![ended]),
        ("rows".to_owned(), vec![Bit::link(format!("all {rows}"), "rows.html")]),
    ];
    let compared = match compared {
        Some(compared) => {
            let before = &view.shelf.runs[compared.before];
            let before = Bit::link(
                format!("with {}", text::name(&before.id)),
                format!("{}{}", view.root, compared.file(view.shelf)),
            );
            vec![before, Bit::text(" "), compared.verdict()]
        }
        None => vec![Bit::faint("no earlier run here measured any of this")],
    };
    facts.push(("compared".to_owned(), compared));
    facts
        .push(("in".to_owned(), vec![Bit::code(text::shown(&run.run.path.display().to_string()))]));
    facts
}

/// A line for each kernel, machine and suite.
fn measured(view: View<'_, '_>, groups: &[&Group<'_>]) -> Table {
    let columns = Column::all(&["kernel", "variant", "on", "suite", "verdict", "rows"]);
    let mut table = Table::new("What it measured", columns).tool();
    for group in groups {
        table.push(vec![
            Bit::link(group.kernel(), format!("#{}", group.id())).into(),
            Cell::text(text::name(&group.subject.variant)),
            Cell::text(crate::shelf::target(group.target)),
            Cell::text(group.suite),
            view.verdict(group.verdict()).into(),
            outcome(group),
        ]);
    }
    if groups.len() > MOST_GROUPS {
        for (row, group) in table.rows.iter_mut().zip(groups).skip(MOST_GROUPS) {
            let first = group.rows.first().map_or_else(String::new, |first| view.row(first));
            row.cells[0] = Bit::link(group.kernel(), first).into();
        }
    }
    table
}

/// Why rows are not ok, kernel by kernel. The same reasons are told once.
fn troubles(view: View<'_, '_>, groups: &[&Group<'_>]) -> Vec<Block> {
    let mut told: Vec<(Status, String, Vec<&Group<'_>>)> = Vec::new();
    for group in groups {
        for (status, line) in reasons(&group.rows, Status::Skipped) {
            match told.iter_mut().find(|(known, text, _)| (*known, text) == (status, &line)) {
                Some((.., of)) => of.push(group),
                None => told.push((status, line, vec![group])),
            }
        }
    }
    if told.is_empty() {
        return Vec::new();
    }
    let line = |(one, line, of): &(Status, String, Vec<&Group<'_>>)| {
        let line = line.strip_prefix(&format!("{one}: ")).unwrap_or(line).to_owned();
        let mut bits = vec![status(*one), Bit::text(format!(" {line} "))];
        for (at, group) in of.iter().take(4).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            bits.push(Bit::text(comma));
            bits.push(Bit::link(
                format!("{} {}", group.kernel(), group.on()),
                view.shelf.group(view.root, group),
            ));
        }
        if of.len() > 4 {
            bits.push(Bit::text(format!(" and {} more", of.len() - 4)));
        }
        bits
    };
    let mut grave = Vec::new();
    let mut mild = Vec::new();
    for one in Status::ALL.iter().rev() {
        let list = if *one >= Status::Unresolved { &mut grave } else { &mut mild };
        list.extend(told.iter().filter(|(status, ..)| status == one).map(line));
    }
    let mut blocks = Vec::new();
    if !grave.is_empty() {
        blocks.push(Block::heading(2, "open", "What is not as it should be"));
        blocks.push(Block::List(grave));
    }
    if !mild.is_empty() {
        let title = format!("What was not measured or not confirmed, and why ({})", mild.len());
        blocks.push(Block::fold(&title, vec![Block::List(mild)]));
    }
    blocks
}

/// Everything of one group, by its suite.
fn section(
    view: View<'_, '_>,
    group: &Group<'_>,
    meaning: Meaning<'_>,
) -> Result<Vec<Block>, PagesError> {
    let mut blocks = Vec::new();
    if let Some(verdict) = group.verdict()
        && verdict.verdict() != Some(verdict.reason.as_str())
    {
        let tone = if verdict.status == Status::Ok { Tone::Plain } else { tone(verdict.status) };
        blocks.push(Block::note(tone, text::shown(&verdict.reason)));
    }
    let told = blocks.len();
    match group.suite {
        COST_SUITE => blocks.extend(costs::section(view, group, meaning)?),
        SLOWDOWN_SUITE => blocks.extend(slowdown::section(view, group)?),
        _ => {}
    }
    blocks.extend(per_second(view, group));
    let checked = checks::section(view, group);
    if blocks.len() > told {
        blocks.push(Block::fold("Cells: counts beside predictions", checked));
    } else {
        blocks.extend(checked);
    }
    Ok(blocks)
}

/// What a recorded load takes and loses.
fn per_second(view: View<'_, '_>, group: &Group<'_>) -> Option<Block> {
    let is_told = |row: &&&Record| {
        matches!(
            row.key.metric,
            Metric::PlayedSwitches
                | Metric::RecordedNs
                | Metric::TakenPerSecond
                | Metric::LostPerSecond
        )
    };
    let columns = Column::all(&[
        "CPU of the record",
        "policy asked",
        "metric",
        "#value",
        "#expected",
        "unit",
        "status",
    ]);
    let mut table = Table::new("The recorded load", columns).of(&group.title()).headed(2).tool();
    for row in group.rows.iter().filter(is_told) {
        table.push(vec![
            Cell::text(row.key.cell.workload.as_str()),
            Cell::text(row.key.cell.policy.as_str()),
            Cell::text(row.key.metric.to_string()),
            view.value(row),
            view.predicted(Some(row)),
            Cell::text(row.unit.as_str()),
            status(row.status).into(),
        ]);
    }
    (!table.rows.is_empty()).then_some(Block::Table(table))
}
