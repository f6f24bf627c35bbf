//! The runs in their order, what they measured, and where each row is shown.

use crate::sorted::{distinct, sorted};
use crate::text;
use jiff::Timestamp;
use reports::figures::Figures;
use reports::kept::KeptRun;
use reports::record::{Record, Status, Subject, Target};
use reports::table::POLICY_SUITE;
use reports::version::compare_versions;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

/// Rows on one page: more make a browser slow.
pub(crate) const ROWS_PER_PAGE: usize = 500;
/// Rows of one run that are shown at all. The rest stands in its CSV, as the page says.
pub(crate) const MOST_ROWS: usize = 50_000;

/// A run, with the name of its folder.
#[derive(Clone)]
pub(crate) struct Volume<'a> {
    pub run: &'a KeptRun,
    /// A folder's name that any file system and any address takes.
    pub folder: String,
    pub id: String,
    pub started: Option<Timestamp>,
}

/// What one run measured of one kernel on one target with one suite.
#[derive(Clone)]
pub(crate) struct Group<'a> {
    /// Which run, by its place.
    pub run: usize,
    /// Its place among the run's own.
    pub number: usize,
    pub subject: &'a Subject,
    pub target: &'a Target,
    pub suite: &'a str,
    pub rows: Vec<&'a Record>,
}

/// All runs, the oldest first.
pub(crate) struct Shelf<'a> {
    pub runs: Vec<Volume<'a>>,
    /// By run, then in the order of the rows.
    pub groups: Vec<Group<'a>>,
    /// Where the groups of each run begin, and where the last end.
    starts: Vec<usize>,
    /// Where the rows of each run begin in memory, how many they are, and which run's; sorted.
    places: Vec<(usize, usize, usize)>,
}

impl<'a> Shelf<'a> {
    /// Orders the runs by time. One that was named twice is there once.
    pub(crate) fn of(kept: &'a [KeptRun]) -> Self {
        let unsorted: Vec<Volume<'_>> = kept.iter().map(Volume::of).collect();
        let order = |a: &&Volume<'_>, b: &&Volume<'_>| {
            (a.started, &a.id, &a.run.path).cmp(&(b.started, &b.id, &b.run.path))
        };
        let all: Vec<&Volume<'_>> = unsorted.iter().collect();
        let mut runs: Vec<Volume<'_>> = sorted(&all, &order).into_iter().cloned().collect();
        runs.dedup_by(|a, b| {
            a.id == b.id && a.run.info == b.run.info && a.run.records == b.run.records
        });
        name_folders(&mut runs);
        let (mut all, mut starts) = (Vec::new(), vec![0]);
        let mut places = Vec::new();
        for (at, run) in runs.iter().enumerate() {
            let records = &run.run.records;
            all.extend(groups(at, records));
            starts.push(all.len());
            places.push((records.as_ptr().addr(), records.len(), at));
        }
        let places = sorted(&places, &|a, b| a.0.cmp(&b.0));
        Self { groups: all, starts, runs, places }
    }

    /// The groups of one run.
    pub(crate) fn of_run(&self, run: usize) -> &[Group<'a>] {
        &self.groups[self.starts[run]..self.starts[run + 1]]
    }

    /// The kernels and variants that a run measured.
    pub(crate) fn kernels_of(&self, run: usize) -> String {
        text::list(
            self.of_run(run)
                .iter()
                .map(|group| format!("{} {}", group.kernel(), text::name(&group.subject.variant))),
        )
    }

    /// The newest group of every kernel and target with this suite, in the order of summaries.
    pub(crate) fn newest(&self, suite: &str) -> Vec<&Group<'a>> {
        let mut newest: HashMap<(&Subject, &Target), &Group<'a>> = HashMap::new();
        for group in self.groups.iter().filter(|group| group.suite == suite) {
            newest.insert((group.subject, group.target), group);
        }
        let newest: Vec<_> = newest.into_values().collect();
        sorted(&newest, &|a, b| a.order(b))
    }

    /// The suites of all runs, in the order of first appearance.
    pub(crate) fn suites(&self) -> Vec<&'a str> {
        distinct(self.groups.iter().map(|group| group.suite))
    }

    /// Which run a row is of, and its place there.
    ///
    /// # Panics
    /// If it is of none: views show what they took from here.
    pub(crate) fn place(&self, record: &Record) -> (usize, usize) {
        let address = std::ptr::from_ref(record).addr();
        let after = self.places.partition_point(|(begin, ..)| *begin <= address);
        let (begin, length, run) = self.places[after.saturating_sub(1)];
        let at = (address.saturating_sub(begin)) / size_of::<Record>();
        assert!(at < length, "a row that is of none of the runs");
        (run, at)
    }

    /// The address of the row, seen from `root`.
    pub(crate) fn row(&self, root: &str, record: &Record) -> String {
        let (run, at) = self.place(record);
        let folder = &self.runs[run].folder;
        if at < MOST_ROWS {
            format!("{root}{folder}/{}#{}", rows_file(at / ROWS_PER_PAGE), row_id(at))
        } else {
            format!("{root}{folder}/{}#rest", rows_file(0))
        }
    }

    /// The address of a group on its run's page.
    pub(crate) fn group(&self, root: &str, group: &Group<'_>) -> String {
        format!("{root}{}/index.html#{}", self.runs[group.run].folder, group.id())
    }
}

/// The file of a page of rows, from 0.
pub(crate) fn rows_file(page: usize) -> String {
    if page == 0 { "rows.html".to_owned() } else { format!("rows-{}.html", page + 1) }
}

/// The fragment of a row.
pub(crate) fn row_id(at: usize) -> String {
    format!("r{}", at + 1)
}

impl<'a> Volume<'a> {
    fn of(run: &'a KeptRun) -> Self {
        let of_info = run.info.as_ref().map(|info| &info.run);
        let known = of_info.or_else(|| run.records.first().map(|record| &record.run));
        let id = known.map_or_else(|| run.path.display().to_string(), |run| run.run_id.to_string());
        Self { run, folder: String::new(), id, started: known.map(|run| run.started_at) }
    }

    /// When it began, to the second.
    pub(crate) fn when(&self) -> String {
        self.started.map_or_else(String::new, |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
    }

    /// The page about it.
    pub(crate) fn file(&self) -> String {
        format!("{}/index.html", self.folder)
    }
}

/// Names for folders: letters, digits and dashes; no two differ in case only.
fn name_folders(runs: &mut [Volume<'_>]) {
    const LONGEST: usize = 64;
    let mut taken = HashSet::new();
    for run in runs {
        let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let id: String = run.id.chars().map(safe).take(LONGEST).collect();
        let base = format!("run-{id}");
        let mut folder = base.clone();
        let mut number = 1;
        while !taken.insert(folder.to_ascii_lowercase()) {
            number += 1;
            folder = format!("{base}-{number}");
        }
        run.folder = folder;
    }
}

fn groups(run: usize, records: &[Record]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut index = HashMap::new();
    for record in records {
        let (subject, target) = (&record.subject, &record.key.target);
        let suite = record.key.cell.suite.as_str();
        let number = groups.len();
        let at = *index.entry((subject, target, suite)).or_insert(number);
        if at == number {
            groups.push(Group { run, number, subject, target, suite, rows: Vec::new() });
        }
        groups[at].rows.push(record);
    }
    groups
}

impl<'a> Group<'a> {
    /// The fragment that leads to it on its run's page.
    pub(crate) fn id(&self) -> String {
        format!("g{}", self.number + 1)
    }

    pub(crate) fn verdict(&self) -> Option<&'a Record> {
        self.rows.iter().copied().find(|record| record.verdict().is_some())
    }

    /// Its figures, if it is of the suite that has some.
    pub(crate) fn figures(&self) -> Option<Figures<'a>> {
        (self.suite == POLICY_SUITE).then(|| Figures::of(self.rows.clone()))
    }

    pub(crate) fn kernel(&self) -> String {
        kernel(self.subject)
    }

    /// The machine as a table's cell names it.
    pub(crate) fn on(&self) -> String {
        format!("{} {}", self.target.vendor, self.target.machine)
    }

    /// Kernel, variant and machine.
    pub(crate) fn title(&self) -> String {
        let variant = text::name(&self.subject.variant);
        format!("{} {variant} · {}", self.kernel(), target(self.target))
    }

    /// How many of its rows ended so.
    pub(crate) fn ended(&self, status: Status) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }

    /// Kernels by version, targets, variants, suites.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        order(self.subject, other.subject)
            .then_with(|| self.target.cmp(other.target))
            .then_with(|| variant_order(self.subject, other.subject))
            .then_with(|| self.suite.cmp(other.suite))
    }
}

/// By version, whatever the variant.
pub(crate) fn order(a: &Subject, b: &Subject) -> Ordering {
    compare_versions(&a.kernel, &b.kernel)
        .then_with(|| compare_versions(&a.kernel_id, &b.kernel_id))
}

/// Of one version.
pub(crate) fn variant_order(a: &Subject, b: &Subject) -> Ordering {
    reports::table::variant_order(&a.variant, &b.variant)
}

/// A kernel's name, without its variant.
pub(crate) fn kernel(subject: &Subject) -> String {
    text::name(&reports::table::kernel_name(subject))
}

/// A machine's name with its CPU.
pub(crate) fn target(target: &Target) -> String {
    format!("{} on {}, {}", target.vendor, target.machine, text::name(&target.cpu_model))
}
