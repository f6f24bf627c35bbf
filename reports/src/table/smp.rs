//! The table of the suite with several vCPUs: what each of them gave, by where their threads ran.

use super::notes::{notes, tone};
use super::policy::footnotes;
use super::section::{Section, sections};
use super::{Align, Grid, NOTHING, Style, Tone, paragraph};
use crate::record::{Cell, Machine, Metric, Record, Status, Target};

/// The suite whose rows the table shows.
pub const SMP_SUITE: &str = "smp";

/// The costs; the first that was measured is shown.
const COSTS: [(Metric, &str); 2] = [
    (Metric::Instructions, "instr./switch\nof each vCPU"),
    (Metric::Ns, "ns/switch\nof each vCPU"),
];

/// The check that a breakpoint was in force.
const BREAKPOINT: &str = "breakpoint";
/// The placement that comes with work of its own.
const PREEMPTED: &str = "preempted";

/// How to read the columns.
const LEGEND: &str = "\
    S: switches. Exits are shown as measured/predicted, vCPU by vCPU. pinned: each vCPU on a CPU of \
    its own; over-committed: all on one; moved: each goes to the next CPU at every interposed exit; \
    preempted: all on one, with so much work that they preempt each other. \
    #DB: exceptions when each vCPU wrote the watched bytes after its sections, of those that there \
    had to be.";
/// What a cost in the lab is.
const SHARED_CLOCK: &str = "\
    All CPUs of an emulated machine share one instruction clock. Instructions per switch are \
    therefore measured one vCPU after the other; those of over-committed vCPUs, on one CPU, together.";

/// The table of the suite `smp`: a section per kernel and target, a part for each workload and policy
/// asked for, a line for each placement and number of vCPUs.
pub fn smp_table(records: &[Record], style: Style) -> String {
    let sections = sections(records, SMP_SUITE);
    if sections.is_empty() {
        return format!("There are no results of the suite `{SMP_SUITE}`.\n");
    }
    let mut text = String::new();
    for one in &sections {
        text.push_str(&one.together(style));
        text.push('\n');
    }
    text.push_str(&paragraph(style, LEGEND, Tone::Normal));
    let counts_instructions = |target: &Target| match target.machine {
        Machine::QemuTcg | Machine::Bochs => true,
        Machine::Native | Machine::QemuKvm => false,
    };
    if sections.iter().any(|one| counts_instructions(one.target)) {
        text.push_str(&paragraph(style, SHARED_CLOCK, Tone::Normal));
    }
    for footnote in footnotes(sections.iter().map(|one| one.target)) {
        text.push_str(&paragraph(style, footnote, Tone::Normal));
    }
    text
}

/// One vCPU's name in the record: `WORKLOAD.PLACEMENT.vcpuN`.
struct Seat<'a> {
    workload: &'a str,
    placement: &'a str,
    vcpu: u8,
}

impl<'a> Seat<'a> {
    /// None for rows that are of no vCPU in particular: what decides the verdict.
    fn of(cell: &'a Cell) -> Option<Self> {
        let (rest, vcpu) = cell.workload.as_str().rsplit_once(".vcpu")?;
        let (workload, placement) = rest.rsplit_once('.')?;
        Some(Self { workload, placement, vcpu: vcpu.parse().ok()? })
    }
}

/// A line: a placement and a number of vCPUs, and the rows of each vCPU.
struct Line<'a> {
    placement: &'a str,
    vcpus: u32,
    rows: Vec<Vec<&'a Record>>,
}

/// Lines of one workload under one policy.
struct Part<'a> {
    title: String,
    lines: Vec<Line<'a>>,
}

impl<'a> Section<'a> {
    fn together(&self, style: Style) -> String {
        let mut text = self.heading(style);
        let cost = COSTS.iter().find(|(metric, _)| {
            let measured = |row: &&Record| {
                row.key.metric == *metric
                    && row.value.is_some()
                    && Seat::of(&row.key.cell).is_some()
            };
            self.records.iter().any(measured)
        });
        for part in self.parts() {
            text.push('\n');
            text.push_str(&paragraph(style, &part.title, Tone::Strong));
            text.push_str(&part.grid(style, cost).render());
        }
        text.push_str(&notes(style, &self.records));
        text
    }

    /// In the order of the rows' first appearance.
    fn parts(&self) -> Vec<Part<'a>> {
        let mut parts: Vec<Part<'a>> = Vec::new();
        for &record in &self.records {
            let cell = &record.key.cell;
            let Some(seat) = Seat::of(cell) else { continue };
            let title = title(cell, &seat);
            let known = parts.iter().position(|part| part.title == title);
            let at = known.unwrap_or(parts.len());
            if known.is_none() {
                parts.push(Part { title, lines: vec![] });
            }
            let line = parts[at].line(seat.placement, cell.vcpus);
            let vcpu = usize::from(seat.vcpu);
            line.rows.resize(line.rows.len().max(vcpu + 1), vec![]);
            line.rows[vcpu].push(record);
        }
        parts
    }
}

/// What all lines of a part have in common.
fn title(cell: &Cell, seat: &Seat<'_>) -> String {
    let Cell { accesses, policy, switches, work, armed, .. } = cell;
    let armed = if *armed { " armed" } else { "" };
    let work = match work {
        0 => String::new(),
        _ if seat.placement == PREEMPTED => String::new(),
        work => format!(", work {work}"),
    };
    let (workload, interposed) = (seat.workload, cell.interposed_exits());
    format!("{workload}{armed}, {accesses} accesses, {interposed}, S={switches}{work}, {policy}")
}

impl<'a> Part<'a> {
    fn line(&mut self, placement: &'a str, vcpus: u32) -> &mut Line<'a> {
        let same = |line: &Line<'_>| (line.placement, line.vcpus) == (placement, vcpus);
        let known = self.lines.iter().position(same);
        let at = known.unwrap_or(self.lines.len());
        if known.is_none() {
            self.lines.push(Line { placement, vcpus, rows: vec![] });
        }
        &mut self.lines[at]
    }

    fn grid(&self, style: Style, cost: Option<&(Metric, &str)>) -> Grid {
        let mut columns = vec![
            ("\nplacement", Align::Left),
            ("\nvCPUs", Align::Right),
            ("DR exits/predicted\nof each vCPU", Align::Right),
        ];
        columns.extend(cost.map(|(_, title)| (*title, Align::Right)));
        columns.extend([("\n#DB", Align::Right), ("\nstatus", Align::Left)]);
        let mut grid = Grid::new(style, &columns);
        for line in &self.lines {
            let mut texts =
                vec![line.placement.to_owned(), line.vcpus.to_string(), line.each(dr_exits)];
            texts.extend(cost.map(|(metric, _)| line.each(|rows| whole(rows, metric))));
            texts.push(line.breakpoints());
            let status = line.status();
            let mut cells: Vec<_> = texts.iter().map(|t| (t.as_str(), Tone::Normal)).collect();
            cells.push((status.as_str(), tone(status)));
            grid.row(cells);
        }
        grid
    }
}

impl Line<'_> {
    /// A text for each vCPU; one for all if there is nothing to show of any.
    fn each(&self, text: impl Fn(&[&Record]) -> String) -> String {
        let texts: Vec<String> = self.rows.iter().map(|rows| text(rows)).collect();
        if texts.iter().all(|text| text == NOTHING) { NOTHING.to_owned() } else { texts.join(" ") }
    }

    /// How many vCPUs' breakpoints were in force, of those that were tried.
    fn breakpoints(&self) -> String {
        let is_check = |row: &&&Record| {
            let breakpoint =
                matches!(&row.key.metric, Metric::Check(name) if name.as_str() == BREAKPOINT);
            breakpoint && row.status != Status::Skipped
        };
        let checks: Vec<_> = self.rows.iter().flatten().filter(is_check).collect();
        let passed = checks.iter().filter(|row| row.status == Status::Ok).count();
        if checks.is_empty() { NOTHING.to_owned() } else { format!("{passed}/{}", checks.len()) }
    }

    /// The gravest; a metric that cannot be had here does not spoil the others.
    fn status(&self) -> Status {
        let all = self.rows.iter().flatten().map(|row| row.status);
        all.filter(|status| *status != Status::Skipped).max().unwrap_or(Status::Skipped)
    }
}

/// DR exits beside their prediction.
fn dr_exits(rows: &[&Record]) -> String {
    let of = rows.iter().filter(|row| row.key.metric == Metric::DrExits);
    let Some(row) = of.min_by_key(|row| (row.value.is_none(), row.key.source)) else {
        return NOTHING.to_owned();
    };
    let shown = |value: Option<crate::Value>| value.map(|value| value.to_string());
    match (shown(row.value), shown(row.predicted)) {
        (None, None) => NOTHING.to_owned(),
        (value, predicted) => {
            let [value, predicted] =
                [value, predicted].map(|v| v.unwrap_or_else(|| NOTHING.to_owned()));
            format!("{value}/{predicted}")
        }
    }
}

/// A cost without decimals.
fn whole(rows: &[&Record], metric: &Metric) -> String {
    let value = rows.iter().filter(|row| row.key.metric == *metric).find_map(|row| row.value);
    value.map_or_else(|| NOTHING.to_owned(), |value| format!("{:.0}", value.as_f64()))
}
