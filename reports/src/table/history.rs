//! The runs of a store, and one metric's values over them.

use super::notes::distinct;
use super::policy::footnotes;
use super::summary::kernel;
use super::{Align, Grid, NOTHING, Style, Tone, paragraph};
use crate::history::{Part, PastRun, Point, Series, State};
use crate::record::{Metric, Status, Unit};
use jiff::Timestamp;

/// How a run is told that has no part to show.
const NO_ROWS: &str = "no rows";

/// A line for each kernel on each machine in each run; what is wrong with a run stands below.
///
/// | column | what it is |
/// | --- | --- |
/// | began | when the run began, UTC |
/// | run | its id, or the end of it where the rest only says when |
/// | cells | how many there are: `ok`, or how many are open (unresolved) or failed |
pub fn history_table<'a>(
    lines: impl IntoIterator<Item = (&'a PastRun, Option<&'a Part>)>,
    style: Style,
) -> String {
    let columns = [
        ("began (UTC)", Align::Left),
        ("run", Align::Left),
        ("kernel", Align::Left),
        ("variant", Align::Left),
        ("on", Align::Left),
        ("verdict", Align::Left),
        ("cells", Align::Left),
    ];
    let mut grid = Grid::new(style, &columns);
    let mut notes: Vec<(Tone, String)> = Vec::new();
    for (run, part) in lines {
        add(&mut grid, run, part);
        let note = (state_tone(&run.state), format!("{}: {}", run.id(), run.state));
        if run.state != State::Whole && notes.last() != Some(&note) {
            notes.push(note);
        }
    }
    let mut text = grid.render();
    for (tone, note) in notes {
        text.push('\n');
        text.push_str(&paragraph(style, &note, tone));
    }
    text
}

fn add(grid: &mut Grid, run: &PastRun, part: Option<&Part>) {
    let (began, id) = (minute(run.when), short_id(run));
    let bad = state_tone(&run.state);
    let Some(part) = part else {
        let state = word(&run.state);
        let line = [&began, &id, NO_ROWS, NOTHING, NOTHING, NOTHING, state];
        return grid.row(line.map(|text| (text, bad)));
    };
    let on = format!("{} {}", part.target.vendor, part.target.machine);
    let (cells, tone) = cells(run, part);
    let kernel = kernel(&part.subject);
    let verdict = part.verdict.as_deref().unwrap_or(NOTHING);
    let names = [&began, &id, &kernel, &part.subject.variant, &on, verdict];
    let names = names.map(|text| (text, Tone::Normal));
    grid.row(names.into_iter().chain([(cells.as_str(), tone)]));
}

/// A table for each series: its values, and how each differs from the one before.
pub fn values_table(metric: &Metric, values: &[(Series, Vec<Point<'_>>)], style: Style) -> String {
    let mut text = String::new();
    for (series, points) in values {
        // What can be had on no run is not listed run by run.
        if points.iter().all(|point| point.status == Status::Skipped) {
            continue;
        }
        let Series { target, cell, source, variant } = series;
        if !text.is_empty() {
            text.push('\n');
        }
        let title = format!("{metric} by {source} of {cell}\n{variant}, {target}");
        text.push_str(&paragraph(style, &title, Tone::Strong));
        text.push_str(&table(metric, points, style));
    }
    let skipped = values
        .iter()
        .flat_map(|(_, points)| points)
        .filter(|point| point.status == Status::Skipped);
    for reason in distinct(skipped.map(|point| point.reason.clone())) {
        let note = format!("\nskipped: {reason}");
        text.push_str(&paragraph(style, &note, Tone::Normal));
    }
    if metric.unit() != Unit::None {
        for note in footnotes(values.iter().map(|(series, _)| &series.target)) {
            text.push_str(&paragraph(style, &format!("\n{note}"), Tone::Normal));
        }
    }
    text
}

fn table(metric: &Metric, points: &[Point<'_>], style: Style) -> String {
    let unit = match points.first().map_or(Unit::None, |point| point.unit) {
        Unit::None => metric.to_string(),
        unit => unit.to_string(),
    };
    let columns = [
        ("began (UTC)", Align::Left),
        ("run", Align::Left),
        ("kernel", Align::Left),
        (unit.as_str(), Align::Right),
        ("than before", Align::Right),
        ("status", Align::Left),
    ];
    let mut grid = Grid::new(style, &columns);
    let mut before: Option<&Point<'_>> = None;
    for point in points {
        let value = shown(point);
        let (change, tone) = before.map_or((String::new(), Tone::Normal), |before| {
            let change = change(before, point);
            (change.clone(), if change.is_empty() { Tone::Normal } else { Tone::Strong })
        });
        let status = status(point);
        let (began, id) = (minute(point.run.when), short_id(point.run));
        let kernel = kernel(&point.subject);
        grid.row([
            (began.as_str(), Tone::Normal),
            (id.as_str(), Tone::Normal),
            (kernel.as_str(), Tone::Normal),
            (value.as_str(), tone),
            (change.as_str(), tone),
            (status.as_str(), super::notes::tone(point.status)),
        ]);
        if value != NOTHING {
            before = Some(point);
        }
    }
    grid.render()
}

/// The value; the name, where that is the result.
fn shown(point: &Point<'_>) -> String {
    match &point.value {
        Some(value) => value.to_string(),
        None if point.status == Status::Ok && !point.reason.is_empty() => point.reason.clone(),
        None => NOTHING.to_owned(),
    }
}

fn status(point: &Point<'_>) -> String {
    match point.status {
        same @ (Status::Ok | Status::Skipped) => same.to_string(),
        other => format!("{other}: {}", point.reason),
    }
}

/// How a value differs from the one before: nothing, if it does not.
fn change(before: &Point<'_>, after: &Point<'_>) -> String {
    let (Some(one), Some(other)) = (before.value, after.value) else {
        let differ = shown(before) != shown(after);
        return if differ { "changed".to_owned() } else { String::new() };
    };
    let (from, to) = (one.as_f64(), other.as_f64());
    if one == other {
        String::new()
    } else if from == 0.0 {
        format!("from {one}")
    } else {
        format!("{:+.2} %", (to - from) / from * 100.0)
    }
}

fn cells(run: &PastRun, part: &Part) -> (String, Tone) {
    let counts = [(part.failed, "failed", Tone::Bad), (part.open, "open", Tone::Doubtful)];
    let told: Vec<_> = counts.into_iter().filter(|(count, ..)| *count > 0).collect();
    let words: Vec<_> = told.iter().map(|(count, word, _)| format!("{count} {word}")).collect();
    let mut text = if words.is_empty() {
        format!("{} ok", part.cells)
    } else {
        format!("{} of {}", words.join(", "), part.cells)
    };
    let mut tone = told.first().map_or(Tone::Normal, |(_, _, tone)| *tone);
    if run.state != State::Whole {
        text = format!("{text}, {}", word(&run.state));
        tone = state_tone(&run.state);
    }
    (text, tone)
}

const fn word(state: &State) -> &'static str {
    match state {
        State::Whole => "",
        State::Unfinished(_) => "unfinished",
        State::Damaged(_) => "damaged",
    }
}

const fn state_tone(state: &State) -> Tone {
    match state {
        State::Whole => Tone::Normal,
        State::Unfinished(_) => Tone::Doubtful,
        State::Damaged(_) => Tone::Bad,
    }
}

fn minute(when: Timestamp) -> String {
    when.strftime("%Y-%m-%d %H:%M").to_string()
}

/// What `drbench history` takes for a run's name: an id that begins with the time is told by its end.
fn short_id(run: &PastRun) -> String {
    let began = run.when.strftime("%Y%m%dT%H%M%SZ-").to_string();
    run.id().strip_prefix(&began).unwrap_or(run.id()).to_owned()
}
