//! The target's side of the protocol: does a job and says what came of it.

use std::path::Path;

use bench_vmm::selfcheck::Outcome;
use drbench_lab::guest::{self, GuestError};

use crate::measure::{self, Emit, Error, Ready};
use crate::protocol::{self, CheckOutcome, Checked, Job, Message};
use crate::smp;

/// Does `job` on this kernel's KVM.
pub fn work(job: &Job, emit: &mut Emit<'_>) -> Result<(), Error> {
    work_ready(&mut Ready::new()?, job, emit)
}

fn work_ready(ready: &mut Ready, job: &Job, emit: &mut Emit<'_>) -> Result<(), Error> {
    match job {
        Job::Measure(plan) => {
            measure::measure(ready, plan, emit)?;
            emit(Message::Done)
        }
        Job::Together { deciding, crews } => {
            measure::measure(ready, deciding, emit)?;
            let (host, target) = ready.survey();
            smp::measure::measure(host, target, deciding.effort, crews, emit)?;
            emit(Message::Done)
        }
        Job::Selfcheck => selfcheck(ready, emit),
    }
}

fn selfcheck(ready: &Ready, emit: &mut Emit<'_>) -> Result<(), Error> {
    let (host, target) = ready.survey();
    emit(Message::Target(Box::new(target.clone())))?;
    for check in bench_vmm::selfcheck::CHECKS {
        let outcome = match check.run(host) {
            Ok(Outcome::Passed(figures)) => CheckOutcome::Passed(figures),
            Ok(Outcome::Skipped(reason)) => CheckOutcome::Skipped(reason),
            Err(failure) => CheckOutcome::Failed(failure.to_string()),
        };
        emit(Message::Checked(Checked { name: check.name.to_owned(), outcome }))?;
    }
    emit(Message::Done)
}

/// As PID 1 of a kernel in the lab: messages go out as frames. A machine that is saved for later
/// runs is saved when all is ready and the job not known yet. Does not return.
pub fn run_as_init() -> ! {
    // Whatever KVM does not let us do here is the tested kernel's doing.
    let ready = || Ready::new().map_err(GuestError::refused);
    guest::run_prepared(ready, |session, mut prepared| {
        let job: Job = protocol::decode(session.job()).map_err(GuestError::job)?;
        if job.plan().is_some_and(|plan| plan.unprivileged) {
            session.drop_privileges(&[Path::new("/dev/kvm")])?;
            // What root opened is not what a user could.
            drop(prepared);
            prepared = ready()?;
        }
        let done = work_ready(&mut prepared, &job, &mut |message| {
            session.send(&protocol::encode(&message)?)?;
            Ok(())
        });
        // The machine is about to go as a whole: taking the virtual one apart first only takes time.
        std::mem::forget(prepared);
        done.map_err(GuestError::refused)
    })
}
