//! The cells of a suite: counts beside predictions, independent counters beside each other, costs.

use crate::block::{Bit, Block, Cell, Column, Table};
use crate::shelf::Group;
use crate::text;
use crate::view::{View, status};
use reports::record::{Metric, Record, Source, Status, Unit};
use reports::table::{self, Row};

/// Cells in one table: more make a page that nobody reads. The rows have all.
const MOST_CELLS: usize = 300;

/// Cells of one group whose counters can be held against each other.
#[derive(Default)]
pub(crate) struct Agreement {
    /// Counts that have a prediction.
    pub predicted: usize,
    /// Of those, how many are equal to it.
    pub equal: usize,
    /// Cells with a total by two counters.
    pub counted_twice: usize,
    /// Of those, how many have equal totals.
    pub agreed: usize,
    /// Checks, and how many passed.
    pub checks: usize,
    pub passed: usize,
}

impl Agreement {
    pub(crate) fn of(group: &Group<'_>) -> Self {
        let mut sums = Self::default();
        for row in &group.rows {
            if let (Some(value), Some(predicted), Unit::Exits) =
                (row.value, row.predicted, row.unit)
            {
                sums.predicted += 1;
                sums.equal += usize::from(value == predicted);
            }
            if matches!(row.key.metric, Metric::Check(_)) && row.status != Status::Skipped {
                sums.checks += 1;
                sums.passed += usize::from(row.status == Status::Ok);
            }
        }
        for cell in table::rows(&group.rows) {
            let total = |source| total(&cell, source).and_then(|row| row.value);
            if let (Some(one), Some(other)) = (total(Source::Statistics), total(Source::Tracepoint))
            {
                sums.counted_twice += 1;
                sums.agreed += usize::from(one == other);
            }
        }
        sums
    }
}

fn total<'a>(cell: &Row<'a>, source: Source) -> Option<&'a Record> {
    let is_it = |row: &&&Record| row.key.metric == Metric::Exits && row.key.source == source;
    cell.records.iter().find(is_it).copied()
}

/// Whether the group has cells in which something was counted.
pub(crate) fn has_counts(group: &Group<'_>) -> bool {
    group.rows.iter().any(|row| matches!(row.key.metric, Metric::Exits | Metric::DrExits))
}

/// The table of a group's cells.
pub(crate) fn table(view: View<'_, '_>, group: &Group<'_>) -> Vec<Block> {
    let cells = table::rows(&group.rows);
    let cost = table::cost(&group.rows).map(|(metric, _)| metric);
    let unit = cost.map_or("", |metric| text::short(metric.unit()));
    let mut columns = Column::all(&[
        "workload",
        "other exit / every",
        "policy asked",
        "#accesses",
        "#switches",
        "#measured",
        "#predicted",
        "#statistics",
        "#tracepoint",
        "#predicted",
        "#async",
    ]);
    if cost.is_some() {
        columns.push(Column::numbers(format!("{unit}/switch")));
    }
    columns.push(Column::words("status"));
    let mut table = Table::new(format!("Cells of the suite {}", group.suite), columns)
        .of(&group.title())
        .grouped(&[("cell", 5), ("DR exits", 2), ("all exits", 3)])
        .tool();
    for cell in cells.iter().take(MOST_CELLS) {
        table.push(line(view, cell, cost));
    }
    let mut blocks = vec![Block::Table(table)];
    if cells.len() > MOST_CELLS {
        blocks.push(Block::faint(format!(
            "{MOST_CELLS} of {} cells are shown; the rows of the run have all.",
            cells.len()
        )));
    }
    blocks
}

fn line(view: View<'_, '_>, cell: &Row<'_>, cost: Option<&Metric>) -> Vec<Cell> {
    let key = cell.cell;
    let dr_exits = cell.of(&Metric::DrExits);
    let [statistics, tracepoint] = [Source::Statistics, Source::Tracepoint].map(|s| total(cell, s));
    let exits = [tracepoint, statistics].into_iter().flatten().find(|row| row.predicted.is_some());
    let count = |count: u64| Cell::text(count.to_string());
    let mut cells = vec![
        Cell::text(cell.label()),
        Cell::text(key.interposed_exits()),
        Cell::text(key.policy.as_str()),
        count(key.accesses),
        count(key.switches),
        view.value_of(dr_exits),
        view.predicted(dr_exits),
        view.value_of(statistics),
        view.value_of(tracepoint),
        view.predicted(exits),
        view.value_of(cell.of(&Metric::AsyncExits)),
    ];
    cells.extend(cost.map(|metric| cost_cell(view, cell.of(metric))));
    cells.push(status(cell.status()).into());
    cells
}

/// A cost, with its interval if it has one.
fn cost_cell(view: View<'_, '_>, record: Option<&Record>) -> Cell {
    let mut cell = view.value_of(record);
    if let Some((low, high)) = record.and_then(|record| record.ci_low.zip(record.ci_high)) {
        let [low, high] = [low, high].map(|end| text::number(end.as_f64()));
        cell.bits.push(Bit::faint(format!(" {low}–{high}")));
    }
    cell
}

/// The checks of a group by name: how many passed, and why the others did not.
pub(crate) fn checks(view: View<'_, '_>, group: &Group<'_>) -> Option<Block> {
    let mut named: Vec<(String, Vec<&Record>)> = Vec::new();
    for row in &group.rows {
        let Metric::Check(name) = &row.key.metric else { continue };
        match named.iter_mut().find(|(known, _)| known == name.as_str()) {
            Some((_, rows)) => rows.push(row),
            None => named.push((name.to_string(), vec![row])),
        }
    }
    let columns = Column::all(&["check", "#passed", "#of", "result", "why"]);
    let mut table =
        Table::new(format!("Checks of the suite {}", group.suite), columns).of(&group.title());
    for (name, rows) in &named {
        let ran: Vec<_> = rows.iter().filter(|row| row.status != Status::Skipped).collect();
        let passed = ran.iter().filter(|row| row.status == Status::Ok).count();
        let worst = rows.iter().max_by_key(|row| row.status)?;
        let why = if worst.reason.is_empty() {
            Cell::text("")
        } else {
            Cell::text(text::shown(&worst.reason))
        };
        table.push(vec![
            Cell::text(name),
            Cell::text(passed.to_string()),
            Cell::text(ran.len().to_string()),
            status(worst.status).to(view.row(worst)).into(),
            why,
        ]);
    }
    (!table.rows.is_empty()).then_some(Block::Table(table))
}
