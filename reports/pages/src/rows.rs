//! All rows of a run, with all columns, so many on a page.

use crate::block::{Bit, Block, Cell, Column, Page, Row, Table, Tone};
use crate::shelf::{MOST_ROWS, ROWS_PER_PAGE, Volume, row_id, rows_file};
use crate::text;
use crate::view::status;
use csv::StringRecord;
use reports::record::{Record, header};
use reports::store::RESULTS;

/// The pages of one run's rows. The first is there even if there are none.
pub(crate) fn pages(run: &Volume<'_>) -> Vec<Page> {
    let records = &run.run.records;
    let shown = &records[..records.len().min(MOST_ROWS)];
    let pages: Vec<&[Record]> =
        if shown.is_empty() { vec![&[]] } else { shown.chunks(ROWS_PER_PAGE).collect() };
    let all = pages.len();
    pages.into_iter().enumerate().map(|(number, rows)| page(run, number, all, rows)).collect()
}

fn page(run: &Volume<'_>, number: usize, all: usize, records: &[Record]) -> Page {
    let title = match all {
        1 => "Rows".to_owned(),
        _ => format!("Rows, page {} of {all}", number + 1),
    };
    let mut page = Page::new(&format!("{}/{}", run.folder, rows_file(number)), &title);
    page.above = vec![Bit::link(format!("Run {}", text::name(&run.id)), "index.html")];
    let total = run.run.records.len();
    let file =
        if run.run.path.is_dir() { run.run.path.join(RESULTS) } else { run.run.path.clone() };
    let mut lead = vec![
        Bit::text(format!("{} of ", text::count(total, "row"))),
        Bit::code(text::shown(&file.display().to_string())),
    ];
    if number > 0 {
        lead.push(Bit::text(". "));
        lead.push(Bit::link("Page before", rows_file(number - 1)));
    }
    if number + 1 < all {
        lead.push(Bit::text(". "));
        lead.push(Bit::link("Next page", rows_file(number + 1)));
    }
    page.blocks.push(Block::Paragraph(lead));
    if total > MOST_ROWS && number == 0 {
        page.blocks.push(Block::heading(2, "rest", "The rest"));
        let note = format!(
            "Only the first {MOST_ROWS} of {total} rows have a page: more would make a browser slow. \
             The file named above has all."
        );
        page.blocks.push(Block::note(Tone::Doubtful, note));
    }
    if records.is_empty() {
        page.blocks.push(Block::paragraph("The run ended before anything was measured."));
    } else {
        page.blocks.extend(table(records, number * ROWS_PER_PAGE));
    }
    page
}

/// Columns with the same text in all rows are told once, above.
fn table(records: &[Record], first: usize) -> [Block; 2] {
    let names = header::<Record>();
    let texts: Vec<StringRecord> = records.iter().map(Record::fields).collect();
    let field = |row: &StringRecord, at: usize| row.get(at).unwrap_or_default().to_owned();
    let is_common = |at: &usize| {
        let one = field(&texts[0], *at);
        records.len() > 1 && texts.iter().all(|row| field(row, *at) == one)
    };
    let (common, own): (Vec<usize>, Vec<usize>) = (0..names.len()).partition(is_common);
    let facts = common.iter().map(|at| {
        let text = field(&texts[0], *at);
        let text =
            if text.is_empty() { Bit::faint("empty") } else { Bit::text(text::shown(&text)) };
        (names[*at].to_owned(), vec![text])
    });
    let facts = Block::Fold {
        id: String::new(),
        level: 0,
        summary: vec![Bit::text(format!("{} columns are the same in all rows here", common.len()))],
        is_open: true,
        blocks: vec![Block::Facts(facts.collect())],
    };
    let mut columns = Column::all(&["#row"]);
    columns.extend(
        own.iter()
            .map(|at| Column { name: names[*at].to_owned(), is_number: is_number(names[*at]) }),
    );
    let mut table = Table::new("Rows as they stand in the file", columns).tool();
    for (at, row) in texts.iter().enumerate() {
        let mut cells = vec![Cell::text((first + at + 1).to_string())];
        cells.extend(own.iter().map(|at| cell(names[*at], &field(row, *at))));
        table.rows.push(Row { id: row_id(first + at), cells });
    }
    [facts, Block::Table(table)]
}

fn is_number(column: &str) -> bool {
    const NUMBERS: [&str; 10] = [
        "exits_every",
        "vcpus",
        "accesses",
        "work",
        "switches",
        "value",
        "ci_low",
        "ci_high",
        "samples",
        "predicted",
    ];
    NUMBERS.contains(&column)
}

fn cell(column: &str, text: &str) -> Cell {
    let plain = Cell::text(text::shown(text));
    match column {
        "status" => text.parse().map_or(plain, |one| status(one).into()),
        "reason" => plain.with_class("long"),
        _ => plain,
    }
}
