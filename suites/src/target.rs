//! The target's side of the protocol: does a job and says what came of it.

use std::path::Path;

use bench_vmm::Host;
use bench_vmm::selfcheck::Outcome;
use drbench_lab::guest::{self, GuestError};

use crate::measure::{self, Emit, Error};
use crate::protocol::{self, CheckOutcome, Checked, Job, Message};

/// Does `job` on this kernel's KVM.
pub fn work(job: &Job, emit: &mut Emit<'_>) -> Result<(), Error> {
    let host = Host::open()?;
    match job {
        Job::Measure(plan) => measure::measure(&host, plan, emit),
        Job::Selfcheck => selfcheck(&host, emit),
    }
}

fn selfcheck(host: &Host, emit: &mut Emit<'_>) -> Result<(), Error> {
    emit(Message::Target(Box::new(measure::survey(host)?)))?;
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

/// As PID 1 of a kernel in the lab: the job comes with the initramfs, messages go out as frames.
/// Does not return.
pub fn run_as_init() -> ! {
    guest::run(|session| {
        let job = protocol::decode(session.job()).map_err(GuestError::job)?;
        if matches!(&job, Job::Measure(plan) if plan.unprivileged) {
            session.drop_privileges(&[Path::new("/dev/kvm")])?;
        }
        work(&job, &mut |message| {
            session.send(&protocol::encode(&message)?)?;
            Ok(())
        })
        // Whatever KVM does not let us do here is the tested kernel's doing.
        .map_err(GuestError::refused)
    })
}
