//! Whether another program had the CPU.

use nix::sys::resource::{UsageWho, getrusage};

/// How often another program got the CPU while the calling thread wanted to go on, since it began
/// (getrusage(2): involuntary context switches). One system call that touches nothing else: it may
/// stand beside a section.
///
/// # Errors
/// What the kernel answered.
pub fn preemptions() -> Result<u64, String> {
    let usage =
        getrusage(UsageWho::RUSAGE_THREAD).map_err(|errno| format!("getrusage: {errno}"))?;
    u64::try_from(usage.involuntary_context_switches())
        .map_err(|_| "getrusage: less than no context switches".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use nix::sched::{sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    use super::*;
    use crate::noise::Pin;

    #[test]
    fn a_thread_that_shares_its_cpu_is_preempted() {
        let pin = Pin::to_this_cpu().unwrap();
        let only = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let (before, done) = (preemptions().unwrap(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            // Threads begin with what this one is allowed; said once more, as it is the point.
            scope.spawn(|| {
                sched_setaffinity(Pid::from_raw(0), &only).unwrap();
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let began = Instant::now();
            while preemptions().unwrap() == before && began.elapsed() < Duration::from_secs(60) {
                std::hint::spin_loop();
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(preemptions().unwrap() > before, "two busy threads on CPU {}", pin.cpu());
    }
}
