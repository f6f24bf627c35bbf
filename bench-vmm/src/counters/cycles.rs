//! Cycles and instructions from the processor's own counters, guest and host apart.

use std::io;

use perf_event::events::Hardware;
use perf_event::{Builder, Counter, ReadFormat};

use super::{CounterError, Unavailable};

const NAME: &str = "hardware counters";

/// Whose cycles.
#[derive(Clone, Copy)]
enum Side {
    Guest,
    Host,
}

/// Hardware counters of the thread that opened them. All four count at the same time or not at all.
#[derive(Debug)]
pub struct Cycles {
    /// Cycles, then instructions. The first of them leads the group.
    guest: [Counter; 2],
    host: [Counter; 2],
}

/// What the hardware counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CycleCounts {
    /// Cycles in the guest.
    pub guest_cycles: u64,
    /// Instructions retired in the guest.
    pub guest_instructions: u64,
    /// Cycles outside the guest, in the kernel and in this program.
    pub host_cycles: u64,
    /// Instructions retired outside the guest.
    pub host_instructions: u64,
}

impl Cycles {
    /// Opens the counters, stopped, for this thread.
    pub fn open() -> Result<Self, Unavailable> {
        let refused = |error: io::Error| refused(&error);
        let mut leader = builder(Hardware::CPU_CYCLES, Side::Guest).build().map_err(refused)?;
        let mut member =
            |event, side| builder(event, side).build_with_group(&mut leader).map_err(refused);
        let instructions = member(Hardware::INSTRUCTIONS, Side::Guest)?;
        let host = [
            member(Hardware::CPU_CYCLES, Side::Host)?,
            member(Hardware::INSTRUCTIONS, Side::Host)?,
        ];
        Ok(Self { guest: [leader, instructions], host })
    }

    /// Sets all counts to 0 and starts counting: two ioctls.
    pub fn start(&mut self) -> Result<(), CounterError> {
        let leader = &mut self.guest[0];
        leader.reset_group().and_then(|()| leader.enable_group()).map_err(failed("starting"))
    }

    /// Stops counting: one ioctl.
    pub fn stop(&mut self) -> Result<(), CounterError> {
        self.guest[0].disable_group().map_err(failed("stopping"))
    }

    /// The counts since [`Cycles::start`].
    pub fn read(&mut self) -> Result<CycleCounts, CounterError> {
        let group = self.guest[0].read_group().map_err(failed("reading"))?;
        let enabled = group.time_enabled().unwrap_or_default();
        let running = group.time_running().unwrap_or_default();
        if enabled != running {
            return Err(CounterError::Shared { counter: NAME, enabled, running });
        }
        Ok(CycleCounts {
            guest_cycles: group[&self.guest[0]],
            guest_instructions: group[&self.guest[1]],
            host_cycles: group[&self.host[0]],
            host_instructions: group[&self.host[1]],
        })
    }
}

fn builder(event: Hardware, side: Side) -> Builder<'static> {
    let mut builder = Builder::new(event);
    builder.include_kernel().include_hv();
    builder.exclude_host(matches!(side, Side::Guest)).exclude_guest(matches!(side, Side::Host));
    builder.read_format(
        ReadFormat::GROUP | ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING,
    );
    builder
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> CounterError {
    move |source| CounterError::Failed { operation, counter: NAME, source }
}

fn refused(error: &io::Error) -> Unavailable {
    let missing = format!("hardware performance counters ({error})");
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Unavailable::new(missing, "run as root, or sysctl kernel.perf_event_paranoid=1")
        }
        _ => Unavailable::new(
            missing,
            "measure where the processor's PMU is visible: not in most virtual machines",
        ),
    }
}
