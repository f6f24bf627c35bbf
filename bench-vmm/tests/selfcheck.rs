//! Runs every self-check on this machine's KVM. Where there is none the lab's tests run the same
//! table inside an emulated host; this says so instead of passing in silence.

use bench_vmm::selfcheck::CHECKS;
use bench_vmm::{Host, HostError};

#[test]
fn every_check_holds_on_this_machines_kvm() {
    let host = match Host::open() {
        Ok(host) => host,
        Err(error @ (HostError::Absent { .. } | HostError::NoPermission { .. })) => {
            eprintln!("NOT RUN HERE, the lab's tests cover these {} checks: {error}", CHECKS.len());
            return;
        }
        Err(error) => panic!("{error}"),
    };
    eprintln!("on {}:", host.module());
    let mut failed = 0;
    for check in CHECKS {
        match check.run(&host) {
            Ok(outcome) => eprintln!("  {}: {outcome}", check.name),
            Err(failure) => {
                failed += 1;
                eprintln!("  {}: FAILED: {failure}", check.name);
            }
        }
    }
    assert_eq!(failed, 0, "{failed} of {} checks failed", CHECKS.len());
}
