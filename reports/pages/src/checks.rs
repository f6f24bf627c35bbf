//! The checks: counts beside their predictions, counters that are independent of each other, and
//! whether the guest found what it should.

use crate::block::{Bit, Block, Cell, Column, Page, Table, Tone};
use crate::cells::{self, Agreement};
use crate::shelf::Group;
use crate::text;
use crate::view::{View, notes, outcome, status, troubles};
use reports::record::{Metric, Status};

/// The page of the newest measurements.
pub(crate) fn page(view: View<'_, '_>) -> Page {
    let mut page = Page::new("checks.html", "Checks");
    page.blocks.push(Block::paragraph(
        "Is the kernel still correct, and do the counts hold? The newest measurement of every kernel \
         and machine with every suite: exits beside what the model predicts, the hypervisor's statistics \
         beside the tracepoint, and what the guest checked itself.",
    ));
    let suites = view.shelf.suites();
    let groups: Vec<&Group<'_>> =
        suites.iter().flat_map(|suite| view.shelf.newest(suite)).collect();
    page.blocks.extend(notes(groups.iter().copied()));
    page.blocks.push(Block::Table(summary(view, &groups)));
    page.blocks.push(Block::heading(2, "open", "What is not as it should be, or not known"));
    let mut is_all_well = true;
    for group in &groups {
        let troubles = troubles(&group.rows, Status::Unconfirmed);
        if troubles.is_empty() {
            continue;
        }
        is_all_well = false;
        let title = Bit::link(
            format!("{} · {}", group.title(), group.suite),
            view.shelf.group(view.root, group),
        );
        page.blocks.push(Block::Paragraph(vec![title]));
        page.blocks.push(Block::List(crate::trouble_lines(troubles)));
    }
    if is_all_well {
        let well = "Every row that could be measured is as it should be.";
        page.blocks.push(Block::note(Tone::Good, well));
    }
    page.blocks.push(Block::heading(2, "fastpaths", "Fast paths"));
    page.blocks.push(fast_paths(view, &groups));
    page
}

fn summary(view: View<'_, '_>, groups: &[&Group<'_>]) -> Table {
    let columns = Column::all(&[
        "kernel", "variant", "on", "suite", "verdict", "#equal", "#of", "#equal", "#of", "#passed",
        "#of", "rows",
    ]);
    let mut table = Table::new("How many came out as they should", columns)
        .grouped(&[
            ("", 5),
            ("exits and predictions", 2),
            ("statistics and tracepoint", 2),
            ("checks", 2),
        ])
        .tool();
    for group in groups {
        let sums = Agreement::of(group);
        let href = view.shelf.group(view.root, group);
        let pair = |good: usize, all: usize| {
            if all == 0 {
                return [Cell::nothing("none was measured"), Cell::nothing("none was measured")];
            }
            let tone = if good == all { Tone::Plain } else { Tone::Doubtful };
            [Bit::link(good.to_string(), &href).toned(tone).into(), Cell::text(all.to_string())]
        };
        let mut cells = vec![
            Bit::link(group.kernel(), &href).into(),
            Cell::text(text::name(&group.subject.variant)),
            Cell::text(group.on()),
            Cell::text(group.suite),
            view.verdict(group.verdict()).into(),
        ];
        cells.extend(pair(sums.equal, sums.predicted));
        cells.extend(pair(sums.agreed, sums.counted_twice));
        cells.extend(pair(sums.passed, sums.checks));
        cells.push(outcome(group));
        table.push(cells);
    }
    table
}

/// Which kinds of exit re-enter the guest without arming intercepts.
fn fast_paths(view: View<'_, '_>, groups: &[&Group<'_>]) -> Block {
    let mut kinds: Vec<&str> = Vec::new();
    for row in groups.iter().flat_map(|group| &group.rows) {
        if let Metric::Fastpath(kind) = &row.key.metric
            && !kinds.contains(&kind.as_str())
        {
            kinds.push(kind.as_str());
        }
    }
    if kinds.is_empty() {
        return Block::paragraph("None of these suites probes for them.");
    }
    let mut columns = Column::all(&["kernel", "on", "suite"]);
    columns.extend(kinds.iter().map(|kind| Column::words(*kind)));
    let caption = "Kinds of exit that re-enter the guest without arming the intercepts";
    let mut table = Table::new(caption, columns);
    for group in groups {
        let probed = |kind: &str| {
            group
                .rows
                .iter()
                .find(|row| matches!(&row.key.metric, Metric::Fastpath(it) if it.as_str() == kind))
        };
        if !kinds.iter().any(|kind| probed(kind).is_some()) {
            continue;
        }
        let variant = text::name(&group.subject.variant);
        let mut cells = vec![
            Cell::text(format!("{} {variant}", group.kernel())),
            Cell::text(group.on()),
            Cell::text(group.suite),
        ];
        cells.extend(kinds.iter().map(|kind| match probed(kind) {
            None => Cell::nothing("not probed"),
            Some(row) => match row.value.and_then(reports::Value::as_count) {
                Some(0) => Bit::link("no", view.row(row)).into(),
                Some(_) => Bit::link("fast path", view.row(row)).toned(Tone::Strong).into(),
                None => view.absent(row),
            },
        }));
        table.push(cells);
    }
    Block::Table(table)
}

/// The checks and cells of one group.
pub(crate) fn section(view: View<'_, '_>, group: &Group<'_>) -> Vec<Block> {
    let mut blocks: Vec<Block> = cells::checks(view, group).into_iter().collect();
    if cells::has_counts(group) {
        blocks.extend(cells::table(view, group));
    }
    if blocks.is_empty() {
        blocks.push(Block::Paragraph(vec![
            Bit::text("Nothing was counted here: "),
            status(group.rows.iter().map(|row| row.status).max().unwrap_or(Status::Skipped)),
        ]));
    }
    blocks
}
