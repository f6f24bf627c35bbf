//! One cell, from its kernel to its rows on the disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drbench_lab::emulator::Machine;
use drbench_lab::kernel::Kernel;
use reports::{Outcome, Record, RunDir};

use super::kernels::Kernels;
use super::repeat;
use super::session::{Ended, Session};
use super::{MatrixCell, Place, Times};
use crate::job::{self, Measuring};
use crate::lab::{self, Emulators};
use crate::recorder::{self, About, Recorder};
use crate::rows::Rows;
use crate::status::{Failure, Status};
use crate::target;
use crate::terminal::{Board, Progress};

/// What every worker thread has.
pub struct Worker<'a> {
    /// The run.
    pub session: &'a Session,
    /// The emulators that its machines need.
    pub emulators: &'a Emulators,
    /// The kernels, as they become ready.
    pub kernels: &'a Kernels,
    /// Where to say what is going on.
    pub board: &'a Board,
}

/// A cell that is being measured: what all its boots share.
struct Boots<'a> {
    worker: &'a Worker<'a>,
    measuring: Measuring,
    about: About,
    progress: &'a Progress,
    lab: Option<(Arc<Kernel>, Machine)>,
    /// Where the cell's files lie while it is measured.
    work: PathBuf,
}

impl Worker<'_> {
    /// Measures a cell and puts it on the disk. Whatever goes wrong is told.
    pub fn measure(&self, cell: &MatrixCell) {
        let progress = self.board.progress(&cell.place.to_string());
        if let Err(failure) = self.try_measure(cell, &progress) {
            progress.warn(&format!("{failure}; the cell is not finished"));
        }
    }

    /// An error is one that the cell's own rows cannot hold: they could not be written.
    fn try_measure(&self, cell: &MatrixCell, progress: &Progress) -> Result<(), Failure> {
        let mut rows = self.session.begin_cell(cell)?;
        let mut took = Duration::ZERO;
        let failure = self.boots(cell, &mut rows, progress, &mut took).err();
        if let Some(failure) = &failure {
            progress.warn(&failure.to_string());
        }
        self.session.told().insert(cell.name.clone());
        let ended = Ended {
            status: failure.as_ref().map_or(Status::Done, |failure| failure.status),
            failure: failure.map(|failure| failure.to_string()),
            seconds: took.as_secs_f64(),
        };
        self.session.end_cell(cell, rows, &ended)?;
        if let (None, Ok(cache)) = (&ended.failure, lab::cache()) {
            let each = took / self.session.args.repeat.get();
            Times::remember(&cache, &cell.place, self.session.args.suite.name(), each);
        }
        Ok(())
    }

    /// All boots of a cell, and whether they agree.
    fn boots(
        &self,
        cell: &MatrixCell,
        rows: &mut RunDir,
        progress: &Progress,
        took: &mut Duration,
    ) -> Result<(), Failure> {
        let args = &self.session.args;
        let machine = cell.place.machine()?.map(|machine| lab::equipped(machine, args));
        let emulator =
            machine.as_ref().map(|machine| self.emulators.get(machine.kind)).transpose()?;
        let measuring =
            Measuring::of(args, self.session.load.clone(), machine.as_ref().zip(emulator))?;
        progress.expect(measuring.steps() * args.repeat.get() as usize);
        let (about, lab, missing) = match (&cell.place, machine.zip(emulator)) {
            (Place::Lab { kernel: name, .. }, Some((machine, emulator))) => {
                match self.kernels.get(name, progress) {
                    Ok(kernel) => {
                        let about = lab::about(args, name, &kernel, &machine, emulator, &measuring);
                        (about, Some((kernel, machine)), None)
                    }
                    Err(failure) => {
                        (lab::about_missing(args, name, &machine, &measuring), None, Some(failure))
                    }
                }
            }
            (Place::Native | Place::Lab { .. }, _) => {
                (job::about_host(args, &measuring), None, None)
            }
        };
        let work = rows.path().to_owned();
        let boots = Boots { worker: self, measuring, about, progress, lab, work };
        let started = Instant::now();
        let ended = match missing {
            // There is nothing to boot: its rows are failed ones.
            Some(failure) => end(boots.recorder(Some(rows)), Some(failure)).1,
            None => boots.all(rows),
        };
        *took = started.elapsed();
        ended
    }
}

impl Boots<'_> {
    /// The first boot gives the rows. Each later one gives its samples, and must give the same rows.
    fn all(&self, rows: &mut RunDir) -> Result<(), Failure> {
        let (first, ended) = self.once(Some(rows), 0);
        ended?;
        for boot in 1..self.worker.session.args.repeat.get() {
            let (later, ended) = self.once(None, boot);
            if let Err(failure) = ended {
                self.disagree(rows, &first.records, &format!("boot {}: {failure}", boot + 1))?;
                return Err(failure);
            }
            let samples: Vec<_> = later
                .samples
                .into_iter()
                .map(|sample| reports::Sample { boot, ..sample })
                .collect();
            rows.append_samples(&samples).map_err(Failure::environment)?;
            if let Some(difference) = repeat::difference(&first.records, &later.records, boot + 1) {
                return self.disagree(rows, &first.records, &difference.to_string());
            }
        }
        Ok(())
    }

    /// One boot, with its rows and whether it ended well. Without a directory they are only returned.
    fn once(&self, rows: Option<&mut RunDir>, boot: u32) -> (Rows, Result<(), Failure>) {
        let mut recorder = self.recorder(rows);
        let outcome = match &self.lab {
            None => target::work(&self.measuring.job, &mut |message| {
                recorder.take(message).map_err(|failure| failure.to_string().into())
            })
            .map_err(Failure::usage),
            Some((kernel, machine)) => {
                self.progress.say("booting");
                let emulator = self.worker.emulators.get(machine.kind);
                emulator.and_then(|emulator| {
                    let run = lab::Run {
                        args: &self.worker.session.args,
                        emulator,
                        kernel,
                        machine,
                        job: &self.measuring.job,
                        work: &self.work,
                        boot,
                        progress: self.progress,
                    };
                    run.run(&mut recorder)
                })
            }
        };
        end(recorder, outcome.err())
    }

    fn recorder<'b>(&'b self, rows: Option<&'b mut RunDir>) -> Recorder<'b> {
        let run = self.worker.session.dir().info().run.clone();
        let Measuring { cells, load, crews, .. } = &self.measuring;
        Recorder::new(rows, run, self.progress, self.about.clone(), cells.clone())
            .with_load(load.clone())
            .with_crews(crews.clone())
    }

    /// A row that says in what the boots do not agree.
    fn disagree(&self, rows: &mut RunDir, first: &[Record], why: &str) -> Result<(), Failure> {
        let Some(row) = first.first() else { return Ok(()) };
        let (run, target) = (row.run.clone(), reports::Target::clone(&row.key.target));
        let name = repeat::CHECK.parse().map_err(|error| Failure::usage(format!("{error}")))?;
        let outcome = Outcome::failed(None, why.lines().next().unwrap_or_default());
        let row = recorder::check(run, &self.about, target, name, outcome);
        rows.append(&[row]).map_err(Failure::environment)
    }
}

/// Closes a boot's rows, whatever happened to it.
fn end(mut recorder: Recorder<'_>, failure: Option<Failure>) -> (Rows, Result<(), Failure>) {
    let reason = failure.as_ref().map_or_else(
        || "the target ended without measuring this cell".to_owned(),
        ToString::to_string,
    );
    let closed = recorder.end(&reason);
    (recorder.into_rows(), failure.map_or(Ok(()), Err).and(closed))
}
