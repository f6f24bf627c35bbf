//! Binding the measuring thread to one CPU.

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread's binding to one CPU. When it goes, the thread may run where it could before:
/// what this thread starts later inherits what it is allowed.
#[derive(Debug)]
pub struct Pin {
    cpu: u32,
    before: CpuSet,
}

impl Pin {
    /// Binds the calling thread to the CPU it runs on: the scheduler has put it on one that is free,
    /// and of a kind that is meant for work, if there are several. `taskset -c N` chooses another.
    ///
    /// # Errors
    /// The system call that failed, and what it answered.
    pub fn to_this_cpu() -> Result<Self, String> {
        let failed = |call: &'static str| move |errno: Errno| format!("{call}: {errno}");
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).map_err(failed("sched_getaffinity"))?;
        let cpu = sched_getcpu().map_err(failed("getcpu"))?;
        let mut only = CpuSet::new();
        only.set(cpu).map_err(failed("CPU_SET"))?;
        sched_setaffinity(this, &only).map_err(failed("sched_setaffinity"))?;
        Ok(Self { cpu: cpu as u32, before })
    }

    /// Which CPU.
    pub fn cpu(&self) -> u32 {
        self.cpu
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // A CPU that was taken away meanwhile leaves the thread where it is.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Vec<usize> {
        let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
        (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap()).collect()
    }

    #[test]
    fn a_thread_is_bound_to_one_cpu_and_free_again_afterwards() {
        let before = allowed();
        let pin = Pin::to_this_cpu().unwrap();
        assert_eq!(allowed(), [pin.cpu() as usize]);
        assert_eq!(sched_getcpu().unwrap(), pin.cpu() as usize);
        assert!(before.contains(&(pin.cpu() as usize)), "one that it was allowed");
        drop(pin);
        assert_eq!(allowed(), before);
    }
}
