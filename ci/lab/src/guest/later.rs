//! A job that comes after all is prepared: the word that says so, and what is read after it.
//!
//! Both go through devices of the emulator's own, at instructions of the guest's: a machine that is
//! resumed twice with the same job does the same twice.

use super::io_port::IoPorts;
use super::{GuestError, fw_cfg};
use crate::initramfs::{self, Later};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use std::io;
use std::path::Path;

/// QEMU's pvpanic device (`docs/specs/pvpanic.rst`).
const PVPANIC: u16 = 0x505;
/// Its event "the guest panicked", at which the lab's QEMU pauses the machine if it is to be saved.
const PANICKED: u8 = 1;

/// The port that the lab's Bochs has for both (ci/lab/bochs/saved-machines.patch). A write says that
/// all is prepared; a double word read from it is the job's length, a byte the job's next.
const BOCHS: u16 = 0x8901;
/// What it says when there is no job.
const NO_JOB: u32 = u32::MAX;

/// Says that all is prepared, and takes the job. Between the two the machine may have been saved:
/// then it runs again in another process, with the same memory and another job.
pub(super) fn say_prepared_and_take_job() -> Result<Vec<u8>, GuestError> {
    match which()? {
        Later::Qemu => {
            let prepared = IoPorts::open(PVPANIC, 1).map_err(|error| no_ports(&error))?;
            let config = fw_cfg::open().map_err(|error| no_ports(&error))?;
            prepared.write_byte(PVPANIC, PANICKED);
            sleep_to_a_full_second()?;
            fw_cfg::read_job(&config)
        }
        Later::Bochs => {
            let port = IoPorts::open(BOCHS, 4).map_err(|error| no_ports(&error))?;
            port.write_byte(BOCHS, 1);
            sleep_to_a_full_second()?;
            match port.read_double_word(BOCHS) {
                NO_JOB => Err(GuestError::NoJob(
                    "no job came to the resumed machine: Bochs found no file for it".to_owned(),
                )),
                length => {
                    let mut job = vec![0; length as usize];
                    port.read(BOCHS, &mut job);
                    Ok(job)
                }
            }
        }
    }
}

/// Whose devices there are.
fn which() -> Result<Later, GuestError> {
    let sign = Path::new(initramfs::LATER);
    let name = std::fs::read_to_string(sign).map_err(GuestError::file("read", sign))?;
    Later::named(&name).ok_or_else(|| {
        GuestError::NoJob(format!(
            "the job comes in no known way: {} says {name:?}",
            sign.display()
        ))
    })
}

fn no_ports(error: &io::Error) -> GuestError {
    GuestError::refused(format!("the kernel gives no I/O ports: {error}"))
}

/// A paused QEMU may let its clock jump to the next timer, by some milliseconds. It costs no host
/// time to wait for a moment that is the same with and without the jump: an idle clock jumps too.
/// What is left is some instructions by which the kernel accounts for a shorter sleep.
fn sleep_to_a_full_second() -> Result<(), GuestError> {
    /// More than a jump.
    const AHEAD: TimeSpec = TimeSpec::new(0, 100_000_000);
    let clock = ClockId::CLOCK_MONOTONIC;
    let sleep = || -> Result<(), Errno> {
        let second = (clock_gettime(clock)? + AHEAD).tv_sec() + 1;
        clock_nanosleep(clock, ClockNanosleepFlags::TIMER_ABSTIME, &TimeSpec::new(second, 0))?;
        Ok(())
    };
    sleep()
        .map_err(|errno| GuestError::refused(format!("the kernel does not let us sleep: {errno}")))
}
