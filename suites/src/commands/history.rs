//! `drbench history`: the runs of a store, one metric's values over them, and runs kept by name.

use std::collections::HashSet;
use std::path::Path;

use reports::history::{self, Asked, History, Part, PastRun, State};
use reports::{Subject, Target, history_table, values_table};

use crate::cli::{HistoryAction, HistoryArgs};
use crate::status::{Failure, Status};
use crate::terminal::{self, outln, write_out};

/// Lists, or does what is asked with kept runs.
pub fn history(args: &HistoryArgs) -> Result<Status, Failure> {
    match &args.action {
        None => list(args)?,
        Some(HistoryAction::Keep { name, run, replace, store }) => {
            let history = open(&store.store)?;
            let place = history::keep(&history, name, run, *replace);
            let place = place.map_err(Failure::environment)?;
            outln!("{name}: {}", place.display());
        }
        Some(HistoryAction::Kept { store }) => {
            for kept in history::baselines(&store.store).map_err(Failure::environment)? {
                outln!("{}\t{}", kept.name, kept.path.display());
            }
        }
        Some(HistoryAction::Forget { name, store }) => {
            history::forget(&store.store, name).map_err(Failure::environment)?;
        }
        Some(HistoryAction::Path { run, store }) => {
            let history = open(&store.store)?;
            let run = history.find(run).map_err(Failure::environment)?;
            outln!("{}", run.path.display());
        }
    }
    Ok(Status::Done)
}

fn open(store: &Path) -> Result<History, Failure> {
    let history = History::open(store).map_err(Failure::environment)?;
    tell(history.work.unwritten.as_deref());
    Ok(history)
}

/// Nothing is wrong then, but the next time takes as long.
fn tell(unwritten: Option<&str>) {
    if let Some(why) = unwritten {
        eprintln!("drbench: what was found is not kept for the next time: {why}");
    }
}

fn list(args: &HistoryArgs) -> Result<(), Failure> {
    let history = open(&args.dir)?;
    if history.runs.is_empty() {
        outln!("no run in {} yet: `drbench run` makes one", history.store.display());
        return Ok(());
    }
    let (text, shown) = match &args.metric {
        Some(_) => values(args, &history),
        None => runs(args, &history),
    };
    if shown == 0 {
        let all = history.runs.len();
        return Err(Failure::usage(format!(
            "of {all} runs in {} none has what was asked for; without --kernel, --variant, --vendor and \
             --metric `drbench history` lists all",
            history.store.display()
        )));
    }
    write_out(format_args!("{text}"))
}

/// The listing, and how many lines it has.
fn runs(args: &HistoryArgs, history: &History) -> (String, usize) {
    let mut lines: Vec<(&PastRun, Option<&Part>)> = Vec::new();
    if args.newest {
        lines.extend(history.newest().into_iter().map(|(run, part)| (run, Some(part))));
    } else {
        for run in &history.runs {
            lines.extend(run.parts.iter().map(|part| (run, Some(part))));
            lines.extend(run.parts.is_empty().then_some((run, None)));
        }
    }
    lines.retain(|(_, part)| match part {
        Some(part) => args.wants(&part.subject, &part.target),
        None => args.wants_all(),
    });
    let ids: Vec<_> = lines.iter().map(|(run, _)| run.id()).collect();
    let first = first_shown(args, &ids);
    let lines = lines.split_off(first);
    let left_out = match first {
        0 => String::new(),
        _ => format!("\n{first} older lines are left out; --all shows them\n"),
    };
    let shown = lines.len();
    (history_table(lines, terminal::style()) + &left_out, shown)
}

/// From which line on, so that the last runs are there whole.
fn first_shown(args: &HistoryArgs, ids: &[&str]) -> usize {
    let last = usize::try_from(args.last.get()).unwrap_or(usize::MAX);
    let mut runs = 0;
    for (place, id) in ids.iter().enumerate().rev() {
        runs += usize::from(ids.get(place + 1) != Some(id));
        if runs > last && !args.all {
            return place + 1;
        }
    }
    0
}

/// One metric's values, and how many there are.
fn values(args: &HistoryArgs, history: &History) -> (String, usize) {
    let Some(metric) = args.metric.clone() else { return (String::new(), 0) };
    let (workload, interposed) = args.workload.clone().unzip();
    let asked = Asked {
        metric: metric.clone(),
        suite: args.suite.map(crate::cli::Suite::recorded),
        workload,
        interposed: interposed.flatten(),
        policy: args.policy,
    };
    let fits = |part: &Part| args.wants(&part.subject, &part.target);
    let worth = |run: &&PastRun| run.state == State::Whole && run.parts.iter().any(fits);
    let runs: Vec<_> = history.runs.iter().filter(worth).collect();
    let ids: Vec<_> = runs.iter().map(|run| run.id()).collect();
    let chosen: HashSet<_> = ids[first_shown(args, &ids)..].iter().copied().collect();
    let of = |run: &PastRun, subject: &Subject, target: &Target| {
        chosen.contains(run.id()) && args.wants(subject, target)
    };
    let (values, work) = history.values(&asked, of);
    tell(work.unwritten.as_deref());
    (values_table(&metric, &values, terminal::style()), values.len())
}
