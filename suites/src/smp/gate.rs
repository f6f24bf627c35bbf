//! Where the threads of vCPUs meet. Unlike [`std::sync::Barrier`] it can be given up: a vCPU that hung
//! must not keep the others waiting.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Where a fixed number of threads meet, again and again.
#[derive(Debug)]
pub struct Gate {
    threads: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Threads that wait now.
    waiting: usize,
    /// Meetings so far.
    meetings: u64,
    /// What the last meeting came to.
    answer: bool,
    given_up: bool,
}

/// Another thread will not come any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another vCPU of the same machine ended before its time")]
pub struct GivenUp;

impl Gate {
    /// For so many threads.
    pub fn new(threads: usize) -> Self {
        Self { threads, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until all threads are here.
    ///
    /// # Errors
    /// If one of them gave up, now or before.
    pub fn meet(&self) -> Result<(), GivenUp> {
        self.decide(|| true).map(drop)
    }

    /// The same; the last to come decides something for all.
    ///
    /// # Errors
    /// If one of them gave up, now or before.
    pub fn decide(&self, decide: impl FnOnce() -> bool) -> Result<bool, GivenUp> {
        let mut state = self.state();
        state.waiting += 1;
        if state.waiting == self.threads && !state.given_up {
            *state = State { meetings: state.meetings + 1, answer: decide(), ..State::default() };
            self.changed.notify_all();
            return Ok(state.answer);
        }
        let meeting = state.meetings;
        // Nobody can come to the next meeting's end before all have left this one.
        let state = self
            .changed
            .wait_while(state, |state| state.meetings == meeting && !state.given_up)
            .unwrap_or_else(PoisonError::into_inner);
        if state.meetings == meeting { Err(GivenUp) } else { Ok(state.answer) }
    }

    /// Says that this thread will not come any more. Those that wait, and those that come later, are
    /// told.
    pub fn give_up(&self) {
        self.state().given_up = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn nobody_passes_before_all_are_there_and_all_hear_the_same_answer() {
        const THREADS: usize = 3;
        const ROUNDS: usize = 200;
        let (gate, arrived) = (Gate::new(THREADS), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        let answer = gate.decide(|| round % 3 == 0).unwrap();
                        assert!(arrived.load(Ordering::SeqCst) >= THREADS * (round + 1));
                        assert_eq!(answer, round % 3 == 0);
                    }
                });
            }
        });
    }

    #[test]
    fn who_waits_for_a_thread_that_gave_up_is_told() {
        let gate = Gate::new(2);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.meet());
            scope.spawn(|| gate.give_up());
            assert_eq!(waiting.join().unwrap(), Err(GivenUp));
        });
        assert_eq!(gate.meet(), Err(GivenUp), "and so is who comes later");
    }
}
