//! The answers to the queries of `reports/sql`, computed from what `reports` reads.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use reports::{Cell, Key, Metric, Name, Policy, Record, Run, Source, Status, Subject, Value};

use super::Rows;

/// From the rows of the runs, the oldest first.
pub type Answer = fn(&[Vec<Record>]) -> Rows;

/// A kernel on a machine, and a suite of it.
type Group<'a> = (&'a str, &'a str, &'a reports::Target, &'a Name);

fn group(row: &Record) -> Group<'_> {
    let Subject { kernel_id, variant, .. } = &row.subject;
    (kernel_id, variant, &row.key.target, &row.key.cell.suite)
}

/// The runs of each group, the newest first.
fn by_age(runs: &[Vec<Record>]) -> HashMap<Group<'_>, Vec<&Run>> {
    let mut of: HashMap<_, BTreeSet<_>> = HashMap::new();
    for row in runs.iter().flatten() {
        let run = (row.run.started_at, row.run.run_id.as_str());
        of.entry(group(row)).or_default().insert((run, &row.run.run_id));
    }
    let run = |id: &Name| runs.iter().flatten().map(|row| &row.run).find(|run| run.run_id == *id);
    of.into_iter()
        .map(|(group, ids)| (group, ids.iter().rev().filter_map(|(_, id)| run(id)).collect()))
        .collect()
}

/// Rows of the newest run of their group.
fn newest(runs: &[Vec<Record>]) -> Vec<&Record> {
    let ages = by_age(runs);
    runs.iter().flatten().filter(|row| ages[&group(row)][0].run_id == row.run.run_id).collect()
}

fn text(value: Option<Value>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn words(row: &Record) -> [String; 5] {
    let Record { subject, key, .. } = row;
    let (vendor, machine) = (key.target.vendor.to_string(), key.target.machine.to_string());
    [subject.kernel.clone(), subject.kernel_id.clone(), subject.variant.clone(), vendor, machine]
}

pub fn dr_exit_cost(runs: &[Vec<Record>]) -> Rows {
    let rows = newest(runs);
    let find = |like: &Record, workload: &str, policy, metric: &Metric, source: Source| {
        let is_it = |row: &&&Record| {
            let cell = &row.key.cell;
            group(row) == group(like)
                && (cell.workload.as_str(), cell.policy) == (workload, policy)
                && (cell.exits_every, cell.switches) == (0, like.key.cell.switches)
                && (&row.key.metric, row.key.source) == (metric, source)
        };
        rows.iter().find(is_it).and_then(|row| row.value).map(Value::as_f64)
    };
    let mut answer = Vec::new();
    for row in &rows {
        let cell: &Cell = &row.key.cell;
        let emulated = row.key.target.machine.is_emulated();
        let cost = if emulated { Metric::Instructions } else { Metric::Ns };
        let is_it = cell.suite.as_str() == "policy"
            && (cell.workload.as_str(), cell.policy) == ("n:5", Policy::GuestDebug)
            && (cell.exits_every, &row.key.metric) == (0, &cost);
        let Some(all) = row.value.filter(|_| is_it) else { continue };
        let control = find(row, "none", Policy::Kernel, &cost, row.key.source).unwrap();
        let debug = Policy::GuestDebug;
        let exits = find(row, "n:5", debug, &Metric::DrExits, Source::Tracepoint).unwrap();
        let per_switch = exits / Value::count(cell.switches).as_f64();
        let cost = (all.as_f64() - control) / per_switch;
        answer.push([&words(row)[..], &[row.unit.to_string(), cost.to_string()]].concat());
    }
    answer
}

pub fn changed_cells(runs: &[Vec<Record>]) -> Rows {
    let ages = by_age(runs);
    let mut pairs: HashMap<(&Subject, &Key), [Option<&Record>; 2]> = HashMap::new();
    for row in runs.iter().flatten().filter(|row| row.deterministic) {
        let runs = &ages[&group(row)];
        let age = runs.iter().position(|run| run.run_id == row.run.run_id).unwrap();
        if runs.len() > 1 && age < 2 {
            pairs.entry((&row.subject, &row.key)).or_default()[1 - age] = Some(row);
        }
    }
    let mut answer = Vec::new();
    for [before, after] in pairs.into_values() {
        let result = |row: Option<&Record>| row.map(|row| (row.value, row.status));
        let change = match (result(before), result(after)) {
            (None, _) => "new",
            (_, None) => "missing",
            (one, other) if one != other => "changed",
            _ => continue,
        };
        let row = after.or(before).unwrap();
        let Key { cell, metric, source, .. } = &row.key;
        let cell = [
            cell.suite.to_string(),
            cell.workload.to_string(),
            cell.policy.to_string(),
            cell.interposed.to_string(),
            cell.exits_every.to_string(),
            cell.switches.to_string(),
            metric.to_string(),
            source.to_string(),
        ];
        let values = [before, after].map(|row| text(row.and_then(|row| row.value)));
        answer.push([&words(row)[..], &cell, &values, &[change.to_owned()]].concat());
    }
    answer
}

pub fn verdicts(runs: &[Vec<Record>]) -> Rows {
    let mut of: BTreeMap<[String; 4], Vec<(Run, String)>> = BTreeMap::new();
    let tells = |row: &&Record| !matches!(row.status, Status::Unresolved | Status::Skipped);
    let mut rows: Vec<_> = runs.iter().flatten().filter(tells).collect();
    rows.sort_by_key(|row| row.run.started_at);
    for row in rows {
        if let Some(verdict) = row.verdict() {
            let [kernel, _, variant, vendor, machine] = words(row);
            let known = of.entry([kernel, variant, vendor, machine]).or_default();
            if known.last().is_none_or(|(_, last)| last != verdict) {
                known.push((row.run.clone(), verdict.to_owned()));
            }
        }
    }
    of.into_iter()
        .map(|(words, known)| {
            let (run, verdict) = known.last().unwrap().clone();
            let before = known.iter().rev().nth(1).map(|(_, verdict)| verdict.clone());
            let since = run.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string();
            let told = [verdict, since, run.run_id.to_string(), before.unwrap_or_default()];
            [&words[..], &told].concat()
        })
        .collect()
}

pub fn open_or_failed(runs: &[Vec<Record>]) -> Rows {
    let rows = newest(runs).into_iter();
    rows.filter(|row| matches!(row.status, Status::Failed | Status::Unresolved))
        .map(|row| {
            let Key { cell, metric, source, .. } = &row.key;
            let rest = [
                cell.suite.to_string(),
                cell.workload.to_string(),
                cell.policy.to_string(),
                cell.interposed.to_string(),
                cell.exits_every.to_string(),
                metric.to_string(),
                source.to_string(),
                row.run.run_id.to_string(),
                row.reason.clone(),
            ];
            [&[row.status.to_string()][..], &words(row), &rest].concat()
        })
        .collect()
}

pub fn slowdown(runs: &[Vec<Record>]) -> Rows {
    let mut answer = Vec::new();
    for row in newest(runs) {
        let Metric::ShareLostAt(name) = &row.key.metric else { continue };
        let parts: Vec<_> = name.as_str().split(':').collect();
        if let (Some(value), [policy, rate]) = (row.value, &parts[..]) {
            let cell = &row.key.cell;
            let rest = [
                cell.workload.to_string(),
                cell.interposed.to_string(),
                cell.exits_every.to_string(),
                (*policy).to_owned(),
                (*rate).to_owned(),
                row.key.source.to_string(),
                value.to_string(),
            ];
            answer.push([&words(row)[..], &rest].concat());
        }
    }
    answer
}

pub fn noise(runs: &[Vec<Record>]) -> Rows {
    let mut of: BTreeMap<Vec<String>, (Vec<f64>, u32)> = BTreeMap::new();
    for row in runs.iter().flatten() {
        let metric = &row.key.metric;
        let costs = [Metric::Ns, Metric::GuestCycles, Metric::HostCycles, Metric::Instructions];
        let native = row.key.target.machine == reports::Machine::Native && !row.deterministic;
        if !native || !costs.contains(metric) {
            continue;
        }
        let [kernel, kernel_id, _, vendor, _] = words(row);
        let began = row.run.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string();
        let (suite, id) = (row.key.cell.suite.to_string(), row.run.run_id.to_string());
        let name = vec![id, began, kernel, kernel_id, vendor, suite, metric.to_string()];
        let (widths, open) = of.entry(name).or_default();
        if let (Some(value), Some(low), Some(high)) = (row.value, row.ci_low, row.ci_high) {
            widths.push(50.0 * (high.as_f64() - low.as_f64()) / value.as_f64());
        }
        *open += u32::from(row.status == Status::Unresolved);
    }
    of.retain(|_, (widths, open)| !widths.is_empty() || *open > 0);
    let told = |(name, (widths, open)): (Vec<String>, (Vec<f64>, u32))| {
        let cells = u32::try_from(widths.len()).unwrap();
        let worst = widths.iter().copied().reduce(f64::max);
        let average = worst.map(|_| widths.iter().sum::<f64>() / f64::from(cells));
        let [worst, average] =
            [worst, average].map(|width| width.map(|width| width.to_string()).unwrap_or_default());
        [&name[..], &[cells.to_string(), worst, average, open.to_string()]].concat()
    };
    of.into_iter().map(told).collect()
}
