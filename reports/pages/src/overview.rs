//! The first page: every kernel on every machine, what needs a look, and the newest runs; and the page
//! of all runs.

use crate::PagesError;
use crate::block::{Bit, Block, Cell, Column, Page, Table, Tone};
use crate::compared::{Compared, Comparisons};
use crate::shelf::{Group, order, variant_order};
use crate::sorted::{distinct, sorted};
use crate::text;
use crate::view::{View, notes};
use reports::kept::{LeftOut, Why};
use reports::record::Status;
use reports::table::POLICY_SUITE;
use std::rc::Rc;

/// Runs on the first page.
const NEWEST: usize = 12;
/// Runs that are listed at all.
const MOST_RUNS: usize = 5000;

/// The first page.
pub(crate) fn page(
    view: View<'_, '_>,
    left_out: &[LeftOut],
    compared: &[Option<Rc<Compared>>],
    comparisons: &mut Comparisons<'_, '_>,
) -> Result<Page, PagesError> {
    let mut page = Page::new("index.html", "Overview");
    page.blocks.push(Block::Paragraph(lead(view)));
    page.blocks.extend(look(view, &comparisons.newest_of_each_kind(compared)));
    page.blocks.extend(missing(left_out));
    let groups = view.shelf.newest(POLICY_SUITE);
    page.blocks.push(Block::heading(2, "policies", "Policy by kernel and vendor"));
    if groups.is_empty() {
        page.blocks.push(crate::absent(POLICY_SUITE));
    } else {
        page.blocks.push(Block::Table(matrix(view, &groups)));
        page.blocks.extend(notes(groups.iter().copied()));
        page.blocks.push(Block::fold("What the figures are", vec![Block::Facts(legend())]));
    }
    page.blocks.extend(crate::history::by_version(view, &groups, comparisons, &["a DR exit"])?);
    page.blocks.push(Block::heading(2, "runs", "Newest runs"));
    page.blocks.push(Block::Table(runs(view, compared, NEWEST)));
    if view.shelf.runs.len() > NEWEST {
        let all = format!("All {} runs", view.shelf.runs.len());
        page.blocks.push(Block::Paragraph(vec![Bit::link(all, "runs.html")]));
    }
    Ok(page)
}

/// What the figures of the matrix are.
fn legend() -> Vec<(String, Vec<Bit>)> {
    let fact = |name: &str, text: &str| (name.to_owned(), vec![Bit::text(text)]);
    vec![
        fact(
            "verdict",
            "the policy found: always, lazy, never or emulated; unknown where none fits",
        ),
        fact(
            "DR exits/switch",
            "of five accesses and one CPUID exit per switch (n:5, cpuid/1): 5 under always, 1 under lazy, 0 under never",
        ),
        fact(
            "a DR exit",
            "n:5 under guest debug less the same loop without accesses, by its DR exits: there every access exits on any kernel, so policies can be compared",
        ),
        fact("a switch", "all of n:5, cpuid/1"),
        fact(
            "another exit",
            "the loop without accesses, with CPUID less without: what a policy costs everybody",
        ),
        fact("cells", "how many came out as predicted, or how many did not"),
    ]
}

fn lead(view: View<'_, '_>) -> Vec<Bit> {
    let groups = &view.shelf.groups;
    let subjects = distinct(groups.iter().map(|group| group.subject));
    let targets = distinct(groups.iter().map(|group| group.target));
    let runs = view.shelf.runs.len();
    // A kernel that was rebuilt with another policy is another variant, and no other kernel.
    let kernels = distinct(subjects.iter().map(|it| (it.kernel.as_str(), it.kernel_id.as_str())));
    let mut told = text::count(kernels.len(), "kernel");
    if kernels.len() < subjects.len() {
        told = format!("{told} in {}", text::count(subjects.len(), "variant"));
    }
    let mut bits = vec![
        Bit::link(text::count(runs, "run"), "runs.html"),
        Bit::text(format!(" of {told} on {}", text::count(targets.len(), "machine"))),
    ];
    let times: Vec<_> = view.shelf.runs.iter().map(crate::shelf::Volume::when).collect();
    if let (Some(first), Some(last)) = (times.first(), times.last()) {
        bits.push(Bit::text(if first == last {
            format!(", {first} UTC.")
        } else {
            format!(", {first} to {last} UTC.")
        }));
    }
    bits
}

/// What somebody should look at: of the newest measurements, and the newest comparison of each kind.
fn look(view: View<'_, '_>, newest: &[&Compared]) -> Vec<Block> {
    let mut lines = Vec::new();
    for suite in view.shelf.suites() {
        for group in view.shelf.newest(suite) {
            let unknown = group.verdict().filter(|row| row.verdict() == Some("unknown"));
            let bad = group.ended(Status::Failed);
            let open = group.ended(Status::Unresolved);
            if unknown.is_none() && bad + open == 0 {
                continue;
            }
            let name = format!("{} · {suite}", group.title());
            let mut line =
                vec![Bit::link(name, view.shelf.group(view.root, group)), Bit::text(" ")];
            line.extend(unknown.map(|row| view.verdict(Some(row))));
            for (count, word, tone) in
                [(bad, "failed", Tone::Bad), (open, "unresolved", Tone::Doubtful)]
            {
                if count > 0 {
                    line.push(Bit::text(" "));
                    line.push(Bit::badge(format!("{count} {word}"), tone));
                }
            }
            lines.push(line);
        }
    }
    for compared in newest.iter().filter(|compared| compared.is_worse()) {
        let run = &view.shelf.runs[compared.after];
        let href = format!("{}{}", view.root, compared.file(view.shelf));
        lines.push(vec![
            Bit::link(format!("Run {} compared", text::name(&run.id)), href),
            Bit::text(format!(", {} ", view.shelf.kernels_of(compared.after))),
            compared.verdict(),
            Bit::text(format!(" {}", compared.summary())),
        ]);
    }
    let mut blocks = vec![Block::heading(2, "look", "Needs a look")];
    blocks.push(if lines.is_empty() {
        Block::note(
            Tone::Good,
            "Nothing: no row of the newest measurements failed or stayed open, no verdict is unknown, \
             and the newest comparison of each kind found nothing worse.",
        )
    } else {
        Block::List(lines)
    });
    blocks
}

/// Runs that have no page, and why.
fn missing(left_out: &[LeftOut]) -> Vec<Block> {
    if left_out.is_empty() {
        return Vec::new();
    }
    let line = |run: &LeftOut| {
        let (word, tone) = match run.why {
            Why::Unfinished(_) => ("not finished", Tone::Doubtful),
            Why::Damaged(_) => ("cannot be read", Tone::Bad),
        };
        vec![
            Bit::code(text::shown(&run.path.display().to_string())),
            Bit::text(" "),
            Bit::badge(word, tone),
            Bit::text(format!(" {}", text::shown(&run.why.to_string()))),
        ]
    };
    let heading = Block::heading(2, "left-out", "Runs that are left out");
    vec![heading, Block::List(left_out.iter().map(line).collect())]
}

/// A row for each kernel and variant, columns for each machine.
fn matrix(view: View<'_, '_>, groups: &[&Group<'_>]) -> Table {
    let targets = distinct(groups.iter().map(|group| group.target));
    let targets = sorted(&targets, &|a, b| a.cmp(b));
    let subjects = distinct(groups.iter().map(|group| group.subject));
    let subjects = sorted(&subjects, &|a, b| order(a, b).then_with(|| variant_order(a, b)));
    let mut columns = Column::all(&["kernel", "variant"]);
    let names: Vec<_> = targets.iter().map(|target| crate::shelf::target(target)).collect();
    let mut heads = vec![("", 2)];
    heads.extend(names.iter().map(|name| (name.as_str(), 6)));
    for target in &targets {
        let unit = groups.iter().find(|group| group.target == *target);
        let unit = unit.and_then(|group| group.figures()).map_or("", |it| text::short(it.unit));
        columns.extend([
            Column::words("verdict"),
            Column::numbers("DR exits/ switch"),
            Column::numbers(format!("{unit}/ DR exit")),
            Column::numbers(format!("{unit}/ switch")),
            Column::numbers(format!("{unit}/ other exit")),
            Column::words("cells"),
        ]);
    }
    let caption = "The newest measurement of every kernel on every machine";
    let mut table = Table::new(caption, columns).grouped(&heads).headed(2).tool();
    for subject in subjects {
        let mut cells = vec![
            Cell::text(crate::shelf::kernel(subject)),
            Cell::text(text::name(&subject.variant)),
        ];
        for target in &targets {
            let is_it = |group: &&&Group<'_>| group.subject == subject && group.target == *target;
            match groups.iter().find(is_it) {
                Some(group) => cells.extend(figures(view, group)),
                None => cells.extend((0..6).map(|_| Cell::nothing("not measured"))),
            }
        }
        table.push(cells);
    }
    table
}

fn figures(view: View<'_, '_>, group: &Group<'_>) -> Vec<Cell> {
    let Some(figures) = group.figures() else { return Vec::new() };
    let (cells, grave) = figures.outcome();
    let href = view.shelf.group(view.root, group);
    vec![
        view.verdict(group.verdict()).into(),
        view.figure(&figures.dr_exits_per_switch),
        view.figure(&figures.cost_of_dr_exit),
        view.figure(&figures.cost_of_switch),
        view.figure(&figures.cost_of_other_exit),
        Bit::badge(cells, crate::view::tone(grave)).to(href).into(),
    ]
}

/// The page of all runs.
pub(crate) fn all_runs(view: View<'_, '_>, compared: &[Option<Rc<Compared>>]) -> Page {
    let mut page = Page::new("runs.html", "Runs");
    let runs_here = view.shelf.runs.len();
    page.blocks.push(Block::Table(runs(view, compared, MOST_RUNS)));
    if runs_here > MOST_RUNS {
        page.blocks.push(Block::faint(format!("The newest {MOST_RUNS} of {runs_here} runs.")));
    }
    page
}

/// Runs, the newest first.
fn runs(view: View<'_, '_>, compared: &[Option<Rc<Compared>>], most: usize) -> Table {
    let columns = Column::all(&[
        "run",
        "began (UTC)",
        "suites",
        "kernels",
        "on",
        "#rows",
        "with the run before",
    ]);
    let mut table = Table::new("Runs, the newest first", columns).tool();
    for (at, run) in view.shelf.runs.iter().enumerate().rev().take(most) {
        let groups = view.shelf.of_run(at);
        let href = format!("{}{}", view.root, run.file());
        let rows = format!("{}{}/rows.html", view.root, run.folder);
        let compared = match &compared[at] {
            Some(compared) => {
                compared.verdict().to(format!("{}{}", view.root, compared.file(view.shelf)))
            }
            None => Bit::faint("none measured the same"),
        };
        table.push(vec![
            Bit::link(text::name(&run.id), href).into(),
            Cell::text(run.when()),
            Cell::text(text::list(groups.iter().map(|group| group.suite.to_owned()))),
            Cell::text(view.shelf.kernels_of(at)),
            Cell::text(text::list(groups.iter().map(Group::on))),
            Bit::link(run.run.records.len().to_string(), rows).into(),
            compared.into(),
        ]);
    }
    table
}
