//! Stopping a guest that never ends, without a helper thread: a POSIX timer kicks the thread itself.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use libc::{c_int, siginfo_t};
use nix::errno::Errno;
use nix::sys::signal::{SigEvent, SigSet, SigevNotify, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::gettid;
use vmm_sys_util::signal::register_signal_handler;

/// The kick. Its handler does nothing: interrupting `KVM_RUN` is all it is for.
const KICK: Signal = Signal::SIGALRM;
/// A kick that comes just before `KVM_RUN` is lost; the next one is not.
const REPEAT: Duration = Duration::from_millis(10);

/// The watchdog could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("{call} for the watchdog failed: {errno}; check the limits of this process (ulimit -i)")]
pub struct WatchdogError {
    /// The system call.
    pub call: &'static str,
    /// What it answered.
    pub errno: Errno,
}

/// A time budget for what runs on this thread, from [`Watchdog::start`] on.
///
/// It belongs to the thread that made it (it is not `Send`), costs nothing until the budget is
/// spent, and takes `SIGALRM` for the process.
#[derive(Debug)]
pub struct Watchdog {
    timer: Timer,
    started: Instant,
    budget: Duration,
    /// The timer signals one thread only.
    thread: PhantomData<*const ()>,
}

impl Watchdog {
    /// Starts the clock. A zero budget is spent at once.
    pub fn start(budget: Duration) -> Result<Self, WatchdogError> {
        install_handler().map_err(|errno| WatchdogError { call: "sigaction", errno })?;
        let mut kick = SigSet::empty();
        kick.add(KICK);
        kick.thread_unblock().map_err(|errno| WatchdogError { call: "pthread_sigmask", errno })?;
        let notify =
            SigevNotify::SigevThreadId { signal: KICK, thread_id: gettid().as_raw(), si_value: 0 };
        let timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(notify))
            .map_err(|errno| WatchdogError { call: "timer_create", errno })?;
        let mut watchdog = Self { timer, started: Instant::now(), budget, thread: PhantomData };
        watchdog.restart()?;
        Ok(watchdog)
    }

    /// Gives the whole budget anew.
    pub fn restart(&mut self) -> Result<(), WatchdogError> {
        self.started = Instant::now();
        // Zero would disarm the timer.
        let first = self.budget.max(Duration::from_nanos(1));
        self.timer
            .set(
                Expiration::IntervalDelayed(first.into(), REPEAT.into()),
                TimerSetTimeFlags::empty(),
            )
            .map_err(|errno| WatchdogError { call: "timer_settime", errno })
    }

    /// The whole budget.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// Whether the budget is spent.
    pub fn expired(&self) -> bool {
        self.started.elapsed() >= self.budget
    }
}

fn install_handler() -> Result<(), Errno> {
    extern "C" fn nothing(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}
    static INSTALLED: OnceLock<Result<(), Errno>> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        register_signal_handler(KICK as c_int, nothing)
            .map_err(|error| Errno::from_raw(error.errno()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kick_interrupts_this_thread_again_and_again() {
        let watchdog = Watchdog::start(Duration::from_millis(20)).expect("a timer");
        assert!(!watchdog.expired());
        for _ in 0..3 {
            // poll(2) is never restarted after a handler ran.
            let result = nix::poll::poll(&mut [], nix::poll::PollTimeout::from(10_000u16));
            assert_eq!(result, Err(Errno::EINTR));
            assert!(watchdog.expired());
        }
    }

    #[test]
    fn restarting_gives_the_budget_anew() {
        let mut watchdog = Watchdog::start(Duration::from_millis(50)).expect("a timer");
        while !watchdog.expired() {
            std::thread::yield_now();
        }
        watchdog.restart().expect("the same timer");
        assert!(!watchdog.expired());
    }
}
