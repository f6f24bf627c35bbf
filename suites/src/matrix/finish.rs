//! What a run ends with: the table, the status. All of it is read from the disk, so that a run that
//! was interrupted ends as one that was not.

use std::collections::HashSet;
use std::path::Path;

use reports::{
    Metric, Record, cost_table, policy_table, slowdown_table, smp_table, summary_table, trace_table,
};

use super::session::Ended;
use super::{MatrixCell, Session, repeat};
use crate::cli::Suite;
use crate::cost;
use crate::expect::Expectation;
use crate::lab;
use crate::status::{Failure, Status};
use crate::terminal::{self, outln, write_out};

/// A finished cell, as it lies on the disk.
struct Finished<'a> {
    cell: &'a MatrixCell,
    ended: Ended,
    records: Vec<Record>,
}

impl Session {
    /// Tells what was found and where it is. `details`: every cell's table, also of many.
    pub fn finish(&self, details: bool) -> Result<Status, Failure> {
        let (finished, mut status) = self.read()?;
        for one in &finished {
            one.tell_failure(self);
            status = status.worst(one.status(self.args.expect.as_ref()));
        }
        let load = self.load.as_ref().map_or_else(String::new, ToString::to_string);
        show(&finished, self.args.suite, details, &self.shown, &load)?;
        outln!("\nresults: {}", self.shown.join("results.csv").display());
        let left = self.left()?.len();
        if left == 0 {
            self.dir().finish().map_err(Failure::environment)?;
        } else if self.plan.mine().count() > 1 {
            let shown = self.shown.display();
            eprintln!(
                "drbench: {left} cells could not be measured here; when what is missing is there, \
                 `drbench run --resume {shown}` does them"
            );
        }
        Ok(status)
    }

    /// The finished cells; and how bad it is that others are not.
    fn read(&self) -> Result<(Vec<Finished<'_>>, Status), Failure> {
        let (dir, mut status) = (self.dir(), Status::Done);
        let (mut finished, mut seen) = (Vec::new(), HashSet::new());
        for cell in self.plan.mine() {
            let Some(path) = dir.finished(&cell.name) else {
                status = status.worst(Status::Environment);
                continue;
            };
            let records = reports::read(&path).map_err(Failure::environment)?;
            let ended = dir.about(&cell.name).map_err(Failure::environment)?;
            let id = records.first().map(|row| (row.subject.clone(), row.key.target.clone()));
            if let Some((subject, target)) = id {
                let what = format!("{subject} on {target}");
                if !seen.insert((subject, target)) {
                    eprintln!("drbench: {} is {what}, which another cell measured", cell.place);
                    continue;
                }
            }
            finished.push(Finished { cell, ended, records });
        }
        Ok((finished, status))
    }
}

impl Finished<'_> {
    /// Once: by the process that measured it, or by a later one.
    fn tell_failure(&self, session: &Session) {
        if let Some(failure) = &self.ended.failure
            && session.told().insert(self.cell.name.clone())
        {
            eprintln!("drbench: {}: {failure}", self.cell.place);
        }
        let repeat = Metric::Check(repeat::CHECK.parse().expect("a plain word"));
        for row in self.records.iter().filter(|row| row.key.metric == repeat) {
            eprintln!("drbench: {}: {}", self.cell.place, row.reason);
        }
    }

    /// The worst of the cell. Rows that failed only because all of it did are not a finding.
    fn status(&self, expectation: Option<&Expectation>) -> Status {
        let failed = |row: &&Record| {
            row.status == reports::Status::Failed && row.key.metric != Metric::Verdict
        };
        let found = match (&self.ended.failure, self.records.iter().find(failed)) {
            (Some(_), _) => self.ended.status,
            (None, Some(_)) => Status::Regression,
            (None, None) => Status::Done,
        };
        found.worst(expectation.map_or(Status::Done, |expected| self.against(expected)))
    }

    /// Whether the verdict is the expected one; says so if not.
    fn against(&self, expectation: &Expectation) -> Status {
        let verdict = self.records.iter().find_map(|row| Some((row, row.verdict()?)));
        let Some((row, found)) = verdict else { return Status::Done };
        let vendor = row.key.target.vendor.to_string();
        let Some(expected) = expectation.of(&vendor) else { return Status::Done };
        let place = &self.cell.place;
        if found == expected.name() {
            Status::Done
        } else if found != "unresolved" {
            eprintln!("drbench: {place}: {vendor}: expected {expected}, found {found}");
            Status::Regression
        } else if self.ended.failure.is_some() {
            // Nothing was found out; what went wrong has its own status.
            Status::Done
        } else {
            let why = &row.reason;
            eprintln!("drbench: {place}: {vendor}: expected {expected}, found nothing out: {why}");
            Status::Environment
        }
    }
}

fn show(
    finished: &[Finished<'_>],
    suite: Suite,
    details: bool,
    shown: &Path,
    load: &str,
) -> Result<(), Failure> {
    let records: Vec<Record> =
        finished.iter().flat_map(|one| one.records.iter().cloned()).collect();
    if records.is_empty() {
        return Ok(());
    }
    if records.iter().any(|row| row.verdict() == Some("emulated")) {
        eprintln!(
            "drbench: this KVM interprets the guest's kernel code: no debug-register exits exist \
             here that could be counted.\nTo see a real kernel's policy, type: {}",
            lab::COMMAND
        );
    }
    match suite {
        Suite::Policy if finished.len() == 1 || details => {
            write_out(format_args!("{}", policy_table(&records, terminal::style())))?;
        }
        Suite::Policy => {
            write_out(format_args!("{}", summary_table(&records, terminal::style())))?;
            outln!(
                "\nThe counts of every cell: drbench run --resume {} --details",
                shown.display()
            );
        }
        Suite::Cost => {
            write_out(format_args!("{}", cost_table(&records, &cost::meaning, terminal::style())))?;
        }
        Suite::Slowdown => {
            write_out(format_args!("{}", slowdown_table(&records, terminal::style())))?;
        }
        Suite::Trace => {
            write_out(format_args!("{}", trace_table(&records, load, terminal::style())))?;
        }
        Suite::Smp => {
            write_out(format_args!("{}", smp_table(&records, terminal::style())))?;
        }
        Suite::Selfcheck => checks(finished)?,
    }
    Ok(())
}

fn checks(finished: &[Finished<'_>]) -> Result<(), Failure> {
    for one in finished {
        if finished.len() > 1 {
            outln!("{}", one.cell.place);
        }
        for check in &one.records {
            outln!("{:<8}{}  {}", check.status.to_string(), check.key.metric, check.reason);
        }
    }
    Ok(())
}
