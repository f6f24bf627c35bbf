//! One virtual processor: running it, and its registers.

use std::os::fd::{AsRawFd, RawFd};

use guest_payloads::handlers;
use guest_payloads::layout::port;
use guest_payloads::log::Entry;
use kvm_bindings::{kvm_guest_debug, kvm_regs, kvm_sregs, kvm_vcpu_events};
use kvm_ioctls::VcpuFd;
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::boot;
use crate::crash::{Crash, CrashCause, GuestError, Instruction};
use crate::guest_debug::{DebugRegisters, GuestDebug};
use crate::memory::GuestMemory;
use crate::stop::Stop;
use crate::sys;
use crate::watchdog::Watchdog;

/// A virtual processor. It may run on any thread; counters go by the thread it runs on.
#[derive(Debug)]
pub struct Vcpu {
    fd: VcpuFd,
    index: u8,
    memory: GuestMemory,
    vm: VmIdentity,
    fresh: Fresh,
    /// The system registers where guests begin, as KVM tells them; none before the first reset.
    settled: Option<kvm_sregs>,
}

/// By what debugfs names a virtual machine: `<thread that made it>-<file descriptor>`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmIdentity {
    pub creator: Pid,
    pub fd: RawFd,
}

/// What a vCPU holds before anything was run on it.
#[derive(Debug)]
struct Fresh {
    system_registers: kvm_sregs,
    events: kvm_vcpu_events,
}

/// A marker of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// The measured section begins.
    Begin,
    /// The measured section has ended.
    End,
    /// The payload has nothing left to do.
    Done,
}

/// Where [`Vcpu::run_to_marker`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The marker.
    pub marker: Marker,
    /// Interposed exits to userspace on the way.
    pub interposed: u64,
}

impl Vcpu {
    pub(crate) fn new(
        fd: VcpuFd,
        index: u8,
        memory: GuestMemory,
        vm: VmIdentity,
    ) -> Result<Self, GuestError> {
        let system_registers = fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?;
        let events = fd.get_vcpu_events().map_err(failed("KVM_GET_VCPU_EVENTS"))?;
        Ok(Self { fd, index, memory, vm, fresh: Fresh { system_registers, events }, settled: None })
    }

    /// Brings the processor back to where guests begin, at `entry`; guest debug is off then.
    pub fn reset(&mut self, entry: u64) -> Result<(), GuestError> {
        self.complete_pending();
        self.set_guest_debug(GuestDebug::Off)?;
        self.reset_system_registers()?;
        self.fd.set_regs(&boot::registers(entry, self.index)).map_err(failed("KVM_SET_REGS"))?;
        self.set_debug_registers(DebugRegisters::RESET)?;
        self.fd.set_vcpu_events(&self.fresh.events).map_err(failed("KVM_SET_VCPU_EVENTS"))
    }

    /// KVM drops the guest's nested page tables when the system registers are set, and each page then
    /// costs a page fault again: set them only where the guest changed them.
    fn reset_system_registers(&mut self) -> Result<(), GuestError> {
        let now = self.fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?;
        if self.settled == Some(now) {
            return Ok(());
        }
        let system_registers = boot::system_registers(&self.fresh.system_registers, self.index);
        self.fd.set_sregs(&system_registers).map_err(failed("KVM_SET_SREGS"))?;
        // As KVM tells them back: it may fill in bits of its own.
        self.settled = Some(self.fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?);
        Ok(())
    }

    /// KVM finishes an instruction that went to userspace at the next `KVM_RUN`: have it do so
    /// before the registers are replaced, not after.
    fn complete_pending(&mut self) {
        self.fd.set_kvm_immediate_exit(1);
        // EINTR is what it answers; after a crash it may be anything, and all state is replaced.
        let _ = self.fd.run();
        self.fd.set_kvm_immediate_exit(0);
    }

    /// Runs until the processor comes back to userspace, whatever the reason.
    ///
    /// Between two stops it allocates nothing and calls nothing but `KVM_RUN`. It is part of what an exit
    /// to userspace costs: never a call of its own, however many callers there are.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub fn run(&mut self, watchdog: &Watchdog) -> Result<Stop, GuestError> {
        loop {
            match self.fd.run().map(Stop::from_exit) {
                Ok(stop @ (Stop::InternalError { .. } | Stop::Other { .. })) => {
                    return Ok(self.complete(stop));
                }
                Ok(stop) => return Ok(stop),
                Err(error) => self.interrupted(Errno::from_raw(error.errno()), watchdog)?,
            }
        }
    }

    /// Runs to the payload's next marker, past interposed OUTs and HLTs.
    ///
    /// Everything else a payload has no business doing is an error with the guest's state: fatal
    /// exceptions, triple faults, failed entries, any exit that is not a marker.
    #[inline]
    pub fn run_to_marker(&mut self, watchdog: &Watchdog) -> Result<Reached, GuestError> {
        self.run_to_marker_by(watchdog, || ())
    }

    /// The same, with something done at each interposed exit, before the guest goes on.
    #[inline]
    pub fn run_to_marker_by(
        &mut self,
        watchdog: &Watchdog,
        mut at_interposed: impl FnMut(),
    ) -> Result<Reached, GuestError> {
        let mut interposed = 0;
        loop {
            let stop = self.run(watchdog)?;
            match stop {
                Stop::Hlt => {
                    interposed += 1;
                    at_interposed();
                }
                Stop::PortOut { port: at, .. } if at == u16::from(port::INTERPOSED) => {
                    interposed += 1;
                    at_interposed();
                }
                Stop::PortOut { port: at, .. } => match marker(at) {
                    Some(marker) => return Ok(Reached { marker, interposed }),
                    None => return Err(self.unexpected(stop)),
                },
                stop => return Err(self.unexpected(stop)),
            }
        }
    }

    /// Has the guest write the first watched bytes, and reads what its handlers logged of that: one
    /// #DB if its breakpoint is in force. Do so after [`Vcpu::reset`] or a marker was passed only; what
    /// the guest was about to do is forgotten.
    pub fn touch_watched(&mut self, watchdog: &Watchdog) -> Result<Vec<Entry>, GuestError> {
        self.complete_pending();
        let registers = kvm_regs { rip: handlers::assembled().touch, ..self.registers()? };
        self.set_registers(&registers)?;
        self.memory.clear_log();
        match self.run_to_marker(watchdog)?.marker {
            Marker::Done => Ok(self.memory.log()),
            marker => Err(self.unexpected(Stop::PortOut { port: marker.port(), value: 0 })),
        }
    }

    /// A signal came: go on, unless it was the watchdog's.
    #[cold]
    fn interrupted(&mut self, errno: Errno, watchdog: &Watchdog) -> Result<(), GuestError> {
        match errno {
            Errno::EINTR | Errno::EAGAIN if !watchdog.expired() => Ok(()),
            Errno::EINTR | Errno::EAGAIN => {
                Err(self.crash(CrashCause::Watchdog { budget: watchdog.budget() }))
            }
            errno => Err(self.crash(CrashCause::RunFailed(errno))),
        }
    }

    #[cold]
    fn complete(&mut self, stop: Stop) -> Stop {
        let run = self.fd.get_kvm_run();
        match stop {
            Stop::InternalError { .. } => {
                Stop::InternalError { suberror: sys::internal_error(run).0 }
            }
            Stop::Other { .. } => Stop::Other { reason: run.exit_reason },
            other => other,
        }
    }

    /// The error for a stop that should not have been, with the guest's state.
    #[cold]
    pub fn unexpected(&mut self, stop: Stop) -> GuestError {
        let cause = match stop {
            Stop::Shutdown => CrashCause::TripleFault,
            Stop::FailEntry { .. } => CrashCause::FailedEntry(stop),
            Stop::InternalError { .. } => CrashCause::InternalError {
                stop,
                data: sys::internal_error(self.fd.get_kvm_run()).1,
            },
            Stop::PortOut { port: at, .. } if at == u16::from(port::FATAL_EXCEPTION) => {
                match self.memory.log().last() {
                    Some(entry) => CrashCause::Exception(*entry),
                    None => CrashCause::Unexpected(stop),
                }
            }
            stop => CrashCause::Unexpected(stop),
        };
        self.crash(cause)
    }

    fn crash(&self, cause: CrashCause) -> GuestError {
        let registers = self.fd.get_regs().map_err(errno_of);
        let rip = match (&cause, &registers) {
            // The handler's OUT is of no interest; where the exception came from is.
            (CrashCause::Exception(entry), _) => Some(entry.rip),
            (_, Ok(registers)) => Some(registers.rip),
            (_, Err(_)) => None,
        };
        GuestError::Crash(Box::new(Crash {
            cause,
            registers,
            system_registers: self.fd.get_sregs().map_err(errno_of),
            debug_registers: self.fd.get_debug_regs().map_err(errno_of).map(DebugRegisters::from),
            instruction: rip.map(|rip| Instruction::at(&self.memory, rip)),
            log: self.memory.log(),
        }))
    }

    /// Sets what the host debugs of the guest.
    pub fn set_guest_debug(&mut self, debug: GuestDebug) -> Result<(), GuestError> {
        let debug: kvm_guest_debug = debug.into();
        self.fd.set_guest_debug(&debug).map_err(failed("KVM_SET_GUEST_DEBUG"))
    }

    /// Frequency of the guest's time stamp counter in kHz; `None` where KVM does not tell it.
    pub fn tsc_khz(&self) -> Option<u32> {
        self.fd.get_tsc_khz().ok().filter(|&khz| khz > 0)
    }

    /// The guest's debug registers.
    pub fn debug_registers(&self) -> Result<DebugRegisters, GuestError> {
        self.fd.get_debug_regs().map(DebugRegisters::from).map_err(failed("KVM_GET_DEBUGREGS"))
    }

    /// Replaces the guest's debug registers.
    pub fn set_debug_registers(&mut self, registers: DebugRegisters) -> Result<(), GuestError> {
        self.fd.set_debug_regs(&registers.into()).map_err(failed("KVM_SET_DEBUGREGS"))
    }

    /// The general registers.
    pub fn registers(&self) -> Result<kvm_regs, GuestError> {
        self.fd.get_regs().map_err(failed("KVM_GET_REGS"))
    }

    /// Replaces the general registers. Do so after [`Vcpu::reset`] or a marker was passed only: KVM
    /// finishes an OUT that went to userspace when the guest runs on.
    pub fn set_registers(&mut self, registers: &kvm_regs) -> Result<(), GuestError> {
        self.fd.set_regs(registers).map_err(failed("KVM_SET_REGS"))
    }

    /// Segment and control registers.
    pub fn system_registers(&self) -> Result<kvm_sregs, GuestError> {
        self.fd.get_sregs().map_err(failed("KVM_GET_SREGS"))
    }

    /// Replaces the segment and control registers.
    pub fn set_system_registers(&mut self, registers: &kvm_sregs) -> Result<(), GuestError> {
        self.fd.set_sregs(registers).map_err(failed("KVM_SET_SREGS"))
    }

    /// The vCPU's number in its machine, from 0.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// The machine's memory, as this vCPU sees it.
    pub fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    pub(crate) fn vm(&self) -> VmIdentity {
        self.vm
    }
}

impl AsRawFd for Vcpu {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Marker {
    /// By which port the payload tells it.
    fn port(self) -> u16 {
        u16::from(match self {
            Self::Begin => port::BEGIN,
            Self::End => port::END,
            Self::Done => port::DONE,
        })
    }
}

#[inline]
fn marker(at: u16) -> Option<Marker> {
    const BEGIN: u16 = port::BEGIN as u16;
    const END: u16 = port::END as u16;
    const DONE: u16 = port::DONE as u16;
    match at {
        BEGIN => Some(Marker::Begin),
        END => Some(Marker::End),
        DONE => Some(Marker::Done),
        _ => None,
    }
}

fn errno_of(error: kvm_ioctls::Error) -> Errno {
    Errno::from_raw(error.errno())
}

fn failed(ioctl: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> GuestError {
    move |error| GuestError::Ioctl { ioctl, errno: errno_of(error) }
}
