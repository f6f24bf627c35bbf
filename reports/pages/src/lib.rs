//! Pages for a browser: static files that open from the disk, without any network.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `index.html` | every kernel on every machine with its verdict, what needs a look, the newest runs |
//! | `runs.html` | all runs |
//! | `history.html` | figures over kernel versions and run by run, changes marked |
//! | `compared.html` | every run held against the one before it |
//! | `slowdown.html`, `costs.html`, `checks.html` | the newest of each suite |
//! | `RUN/index.html` | one run: tables, what is wrong, how to repeat it |
//! | `RUN/compared.html` | its comparison, row by row |
//! | `RUN/rows.html`, `RUN/rows-2.html`, … | its rows, with all columns |
//!
//! A view turns runs into a [`Page`](block::Page), which is data; the templates turn that into HTML and
//! escape every text. The same runs give the same bytes: nothing says when or where they were made.

mod block;
mod cells;
mod checks;
mod compared;
mod costs;
mod csp;
mod foreign;
mod history;
mod output;
mod overview;
mod plot;
mod repeat;
mod rows;
mod run;
mod shelf;
mod slowdown;
mod sorted;
mod text;
mod view;

use askama::Template;
use block::{Bit, Block, Look, Page, Tone};
use compared::Comparisons;
use output::Output;
use reports::kept::{KeptRun, LeftOut};
use reports::read::ReadError;
use reports::record::Status;
use reports::store::StoreError;
use shelf::{Group, Shelf};
use std::path::{Path, PathBuf};
use view::View;

/// What a price is, in words, by its name; none for one that is not known.
pub type Meaning<'m> = &'m dyn Fn(&str) -> Option<&'static str>;

/// Why there are no pages. What was there before is whole.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    /// The directory is somebody else's.
    #[error(
        "{} is there, and drbench has not written it: name a directory that does not exist yet, or one \
         of earlier pages, which are replaced", .0.display()
    )]
    Foreign(PathBuf),
    /// The directory of earlier pages holds runs by now.
    #[error(
        "{} is replaced by new pages, and holds the run {}: name another directory for the pages",
        dir.display(), run.display()
    )]
    HoldsRun {
        /// The directory.
        dir: PathBuf,
        /// The run in it.
        run: PathBuf,
    },
    /// A page is to stand where somebody's file is.
    #[error(
        "{} is there and drbench has not written it, but a page goes there: move it elsewhere, or name \
         another directory for the pages", .0.display()
    )]
    InTheWay(PathBuf),
    /// There is nothing to show.
    #[error("there are no runs to make pages of: name run directories, or a directory of runs")]
    NoRuns,
    /// Single values cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file system refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The drawing library refused.
    #[error("a chart cannot be drawn: {0}; this is a mistake in drbench, please report it")]
    Draw(String),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Runs that have a page.
    pub runs: usize,
    /// All pages.
    pub pages: usize,
}

/// Writes pages about `runs` into the directory `dir`, which must not exist yet or hold earlier pages:
/// those are replaced, all at once, when the new ones are complete. What else is in `dir` stays. The first
/// page names the runs that were `left_out`.
///
/// # Errors
/// See [`PagesError`].
pub fn write(
    runs: &[KeptRun],
    left_out: &[LeftOut],
    dir: &Path,
    meaning: Meaning<'_>,
) -> Result<Written, PagesError> {
    if runs.is_empty() {
        return Err(PagesError::NoRuns);
    }
    let paths = runs.iter().map(|run| &*run.path);
    let output = Output::begin(dir, paths.chain(left_out.iter().map(|run| &*run.path)))?;
    let shelf = Shelf::of(runs);
    let printer = Printer { output, policy: csp::policy() };
    let mut pages = 0;
    let mut print = |page: &Page| {
        pages += 1;
        printer.print(page)
    };
    let mut comparisons = Comparisons::new(&shelf);
    let mut compared = Vec::new();
    for number in 0..shelf.runs.len() {
        compared.push(comparisons.with_the_one_before(number)?);
    }
    let top = View { shelf: &shelf, root: "" };
    print(&overview::page(top, left_out, &compared, &mut comparisons)?)?;
    print(&overview::all_runs(top, &compared))?;
    print(&history::page(top, &mut comparisons)?)?;
    print(&compared::page(top, &compared))?;
    print(&slowdown::page(top)?)?;
    print(&costs::page(top, meaning)?)?;
    print(&checks::page(top))?;
    let below = View { shelf: &shelf, root: "../" };
    for (number, (run, compared)) in shelf.runs.iter().zip(&compared).enumerate() {
        print(&run::page(below, number, compared.as_deref(), meaning)?)?;
        if let Some(compared) = compared {
            print(&compared.page(&shelf))?;
        }
        for page in rows::pages(run) {
            print(&page)?;
        }
    }
    printer.output.finish()?;
    Ok(Written { runs: shelf.runs.len(), pages })
}

/// The pages that every page leads to.
const PLACES: [(&str, &str); 7] = [
    ("index.html", "Overview"),
    ("runs.html", "Runs"),
    ("history.html", "History"),
    ("compared.html", "Compared"),
    ("slowdown.html", "Slowdown"),
    ("costs.html", "Costs"),
    ("checks.html", "Checks"),
];

/// Turns pages into files.
struct Printer {
    output: Output,
    policy: String,
}

impl Printer {
    fn print(&self, page: &Page) -> Result<(), PagesError> {
        let sheet = Sheet {
            page,
            root: page.root(),
            places: &PLACES,
            policy: &self.policy,
            style: csp::STYLE,
            script: csp::SCRIPT,
        };
        self.output.write(&page.file, &sheet.to_string())
    }
}

/// A page as HTML.
#[derive(Template)]
#[template(path = "page.html", whitespace = "minimize")]
struct Sheet<'a> {
    page: &'a Page,
    root: String,
    places: &'a [(&'a str, &'a str)],
    policy: &'a str,
    style: &'a str,
    script: &'a str,
}

/// Parts of a page as HTML, down to what is folded into them.
#[derive(Template)]
#[template(path = "blocks.html", whitespace = "minimize")]
struct Blocks<'a> {
    blocks: &'a [Block],
}

/// Pieces of text as HTML.
#[derive(Template)]
#[template(path = "bits.html")]
struct Bits<'a> {
    bits: &'a [Bit],
}

/// What is told where no run has anything of a suite.
fn absent(suite: &str) -> Block {
    Block::Note(
        Tone::Plain,
        vec![
            Bit::text(format!("No run here has results of the suite {suite}. ")),
            Bit::code(format!("drbench run --kernel debian:6.1 --suite {suite}")),
            Bit::text(" measures it."),
        ],
    )
}

/// A heading for a group, which leads to its run.
fn group_heading(view: View<'_, '_>, group: &Group<'_>) -> Block {
    let run = &view.shelf.runs[group.run];
    Block::Heading {
        level: 2,
        id: format!("g{}-{}", group.run + 1, group.number + 1),
        bits: vec![
            Bit::text(format!("{} ", group.title())),
            view.verdict(group.verdict()),
            Bit::text(" "),
            Bit::link(format!("run {}", text::name(&run.id)), view.shelf.group(view.root, group))
                .toned(Tone::Faint),
        ],
    }
}

/// Reasons as lines of a list, with their statuses as badges.
fn trouble_lines(troubles: Vec<(Status, String)>) -> Vec<Vec<Bit>> {
    let line = |(status, line): (Status, String)| {
        let text = line.strip_prefix(&format!("{status}: ")).unwrap_or(&line).to_owned();
        vec![view::status(status), Bit::text(format!(" {text}"))]
    };
    troubles.into_iter().map(line).collect()
}
