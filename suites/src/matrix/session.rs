//! One run directory and the work that is left in it.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use clap::Parser;
use drbench_lab::Init;
use nix::fcntl::{Flock, FlockArg};
use reports::{MatrixDir, RunDir, RunInfo};
use serde::{Deserialize, Serialize};

use super::kernels::Kernels;
use super::worker::Worker;
use super::{MatrixCell, Plan};
use crate::cli::{Cli, Command, RunArgs};
use crate::lab::Emulators;
use crate::status::{Failure, Status};
use crate::terminal::Board;
use crate::trace::{self, Load};

/// What the trace's checksum is called in `run.json`.
const TRACE: &str = "trace";

/// A run that this process works on.
pub struct Session {
    /// The command line with which the run was begun.
    pub args: RunArgs,
    /// Its cells.
    pub plan: Plan,
    /// The record that it plays, in the suite that plays one.
    pub load: Option<Arc<Load>>,
    /// The directory in the user's words.
    pub shown: PathBuf,
    dir: Mutex<MatrixDir>,
    /// Cells whose end was told by this process.
    told: Mutex<HashSet<String>>,
    /// No other process works on the directory while this is open.
    _lock: Flock<File>,
}

/// How a cell ended: kept beside its rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// Whose fault it was, if it failed as a whole.
    pub status: Status,
    /// Why it failed as a whole.
    pub failure: Option<String>,
    /// Host seconds, without the kernel's preparation.
    pub seconds: f64,
}

impl Session {
    /// Creates the run directory: a place that cannot be written is told before an hour of work.
    pub fn begin(args: RunArgs, plan: Plan, load: Option<Arc<Load>>) -> Result<Self, Failure> {
        let mut info = RunInfo::begin(env!("CARGO_PKG_VERSION"), std::env::args().collect());
        info.hashes.insert("binary".to_owned(), binary()?);
        info.hashes.extend(load.as_ref().map(|load| (TRACE.to_owned(), load.sum.to_string())));
        info.plan = Some(serde_json::to_value(&plan).map_err(Failure::environment)?);
        let shown = args
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from("results").join(info.run.run_id.as_str()));
        let path = std::path::absolute(&shown).map_err(Failure::environment)?;
        let dir = MatrixDir::create(&path, info, names(&plan)).map_err(Failure::environment)?;
        let lock = lock(&path, &shown)?;
        Ok(Self::new(args, plan, load, shown, dir, lock))
    }

    /// Goes on with a run, by its own words and from where it was begun.
    pub fn resume(shown: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(shown).map_err(Failure::environment)?;
        let (args, plan, info) = recorded(&path)?;
        if info.hashes.get("binary") != Some(&binary()?) {
            return Err(Failure::usage(format!(
                "{} was begun by another build of drbench: its rows would not be comparable; \
                 finish it with that one, or begin a new run",
                shown.display()
            )));
        }
        let lock = lock(&path, shown)?;
        std::env::set_current_dir(&plan.directory).map_err(|error| {
            Failure::usage(format!(
                "cannot go to {}, where the run was begun: {error}",
                plan.directory.display()
            ))
        })?;
        // Now relative names are those of the run.
        let load = trace::load(&args)?;
        if info.hashes.get(TRACE) != load.as_ref().map(|load| load.sum.to_string()).as_ref() {
            return Err(Failure::usage(format!(
                "the trace that {} plays has changed since it was begun; restore it, or begin a new \
                 run",
                shown.display()
            )));
        }
        let dir = MatrixDir::reopen(&path, info, names(&plan)).map_err(Failure::environment)?;
        Ok(Self::new(args, plan, load, shown.to_owned(), dir, lock))
    }

    fn new(
        args: RunArgs,
        plan: Plan,
        load: Option<Arc<Load>>,
        shown: PathBuf,
        dir: MatrixDir,
        lock: Flock<File>,
    ) -> Self {
        let told = Mutex::new(HashSet::new());
        Self { args, plan, load, shown, dir: Mutex::new(dir), told, _lock: lock }
    }

    /// The cells that are left: those that never ended, and those that the machine around us spoiled.
    pub fn left(&self) -> Result<Vec<&MatrixCell>, Failure> {
        let dir = self.dir();
        let mut left = Vec::new();
        for cell in self.plan.mine() {
            if dir.finished(&cell.name).is_none() || spoiled(&dir, cell)? {
                left.push(cell);
            }
        }
        Ok(left)
    }

    /// Measures these cells, some side by side. What fails is told, and the others go on.
    pub fn work(&self, left: &[&MatrixCell], emulators: &Emulators, jobs: usize) {
        let (board, kernels, next) = (Board::detect(), Kernels::default(), AtomicUsize::new(0));
        let worker = Worker { session: self, emulators, kernels: &kernels, board: &board };
        // An emulator dies with the thread that started it: a thread waits for its own.
        thread::scope(|scope| {
            for _ in 0..jobs.min(left.len()) {
                scope.spawn(|| {
                    while let Some(cell) = left.get(next.fetch_add(1, Ordering::Relaxed)) {
                        worker.measure(cell);
                    }
                });
            }
        });
    }

    /// Begins a cell; what an earlier attempt left goes.
    pub fn begin_cell(&self, cell: &MatrixCell) -> Result<RunDir, Failure> {
        let dir = self.dir();
        if dir.finished(&cell.name).is_some() {
            dir.forget(&cell.name).map_err(Failure::environment)?;
        }
        dir.begin(&cell.name).map_err(Failure::environment)
    }

    /// Ends a cell: it is on the disk when this returns, and in the run's files.
    pub fn end_cell(&self, cell: &MatrixCell, rows: RunDir, ended: &Ended) -> Result<(), Failure> {
        self.dir().end(&cell.name, rows, ended).map_err(Failure::environment)
    }

    /// The run directory; one thread at a time.
    pub fn dir(&self) -> MutexGuard<'_, MatrixDir> {
        self.dir.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cells whose end was told already.
    pub fn told(&self) -> MutexGuard<'_, HashSet<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a run directory says of its run: the command line, the plan.
pub fn recorded(path: &Path) -> Result<(RunArgs, Plan, RunInfo), Failure> {
    let mut info = RunInfo::read(path).map_err(Failure::environment)?;
    let problem = |what: String| {
        Failure::usage(format!("{} cannot be taken up again: {what}", path.display()))
    };
    let plan = info.plan.clone().ok_or_else(|| problem("its run.json has no plan".to_owned()))?;
    let plan: Plan = serde_json::from_value(plan).map_err(|error| problem(error.to_string()))?;
    let cli = Cli::try_parse_from(&info.argv).map_err(|error| problem(error.to_string()))?;
    let Command::Run(args) = cli.command else {
        return Err(problem("it was not made by `drbench run`".to_owned()));
    };
    info.finished_at = None;
    Ok((*args, plan, info))
}

/// Whether a finished cell failed because of the machine around us.
fn spoiled(dir: &MatrixDir, cell: &MatrixCell) -> Result<bool, Failure> {
    let ended: Ended = dir.about(&cell.name).map_err(Failure::environment)?;
    Ok(ended.status == Status::Environment)
}

fn names(plan: &Plan) -> Vec<String> {
    plan.cells.iter().map(|cell| cell.name.clone()).collect()
}

/// The checksum of this program: it is what measures, so it is part of every result.
fn binary() -> Result<String, Failure> {
    Ok(Init::this_program().map_err(Failure::environment)?.sum().to_string())
}

fn lock(path: &Path, shown: &Path) -> Result<Flock<File>, Failure> {
    let dir = File::open(path).map_err(Failure::environment)?;
    Flock::lock(dir, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        Failure::usage(format!(
            "another drbench works on {} ({errno}): wait for it",
            shown.display()
        ))
    })
}
