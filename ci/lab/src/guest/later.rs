//! A job that comes after all is prepared: the word that says so, and what is read after it.
//!
//! Both go through QEMU's own devices, at instructions of the guest's: a machine that is resumed
//! twice with the same job does the same twice.

use super::GuestError;
use super::io_port::IoPorts;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// The pvpanic device (QEMU, `docs/specs/pvpanic.rst`).
const PVPANIC: u16 = 0x505;
/// Its event "the guest panicked", at which the lab's QEMU pauses the machine if it is to be saved.
const PANICKED: u8 = 1;

/// The `fw_cfg` device's two ports (QEMU, `docs/specs/fw_cfg.rst`): what to read, and the data.
const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
/// The entry that lists the files.
const DIRECTORY: u16 = 0x19;
/// One file in the list: size and selector (big-endian), two unused bytes, a name.
const LISTED_BYTES: usize = 64;
const NAME_OFFSET: usize = 8;
/// No machine has as many files: a list that long is not one.
const MOST_FILES: u32 = 1024;

/// The file's name, on the host's command line as well.
pub(crate) const JOB_FILE: &str = "opt/drbench/job";

/// Says that all is prepared, and takes the job. Between the two the machine may have been saved:
/// then it runs again in another process, with the same memory and another job.
pub(super) fn say_prepared_and_take_job() -> Result<Vec<u8>, GuestError> {
    let no_ports = |error| GuestError::refused(format!("the kernel gives no I/O ports: {error}"));
    let prepared = IoPorts::open(PVPANIC, 1).map_err(no_ports)?;
    let config = IoPorts::open(SELECTOR, 2).map_err(no_ports)?;
    prepared.write_byte(PVPANIC, PANICKED);
    sleep_to_a_full_second().map_err(|errno| {
        GuestError::refused(format!("the kernel does not let us sleep: {errno}"))
    })?;
    read_file(&config, JOB_FILE)
}

/// A paused QEMU may let its clock jump to the next timer, by some milliseconds. It costs no host
/// time to wait for a moment that is the same with and without the jump: an idle clock jumps too.
fn sleep_to_a_full_second() -> Result<(), Errno> {
    /// More than a jump.
    const AHEAD: TimeSpec = TimeSpec::new(0, 100_000_000);
    let clock = ClockId::CLOCK_MONOTONIC;
    let second = (clock_gettime(clock)? + AHEAD).tv_sec() + 1;
    clock_nanosleep(clock, ClockNanosleepFlags::TIMER_ABSTIME, &TimeSpec::new(second, 0))?;
    Ok(())
}

fn read_file(config: &IoPorts, wanted: &str) -> Result<Vec<u8>, GuestError> {
    let no_job = |why: &str| {
        GuestError::NoJob(format!("no job came to the resumed machine ({wanted}): {why}"))
    };
    config.write_word(SELECTOR, DIRECTORY);
    let mut count = [0; 4];
    config.read(DATA, &mut count);
    let count = u32::from_be_bytes(count);
    if count > MOST_FILES {
        return Err(no_job("there is no list of files"));
    }
    let mut list = vec![0; count as usize * LISTED_BYTES];
    config.read(DATA, &mut list);
    let (size, selector) = list
        .chunks_exact(LISTED_BYTES)
        .find_map(|file| find(file, wanted))
        .ok_or_else(|| no_job("it is not in the list of files"))?;
    let mut contents = vec![0; size as usize];
    config.write_word(SELECTOR, selector);
    config.read(DATA, &mut contents);
    Ok(contents)
}

/// Size and selector, if this is the file.
fn find(file: &[u8], wanted: &str) -> Option<(u32, u16)> {
    let name = &file[NAME_OFFSET..];
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    (&name[..length] == wanted.as_bytes()).then(|| {
        let size = u32::from_be_bytes([file[0], file[1], file[2], file[3]]);
        (size, u16::from_be_bytes([file[4], file[5]]))
    })
}

#[cfg(test)]
mod tests {
    use super::{JOB_FILE, LISTED_BYTES, find};

    #[test]
    fn a_file_is_found_by_its_whole_name() {
        let mut file = [0; LISTED_BYTES];
        file[..6].copy_from_slice(&[0, 0, 1, 2, 0, 0x2a]);
        file[8..8 + JOB_FILE.len()].copy_from_slice(JOB_FILE.as_bytes());
        assert_eq!(find(&file, JOB_FILE), Some((0x102, 0x2a)));
        assert_eq!(find(&file, "opt/drbench/jo"), None);
        assert_eq!(find(&file, "opt/drbench/job2"), None);
    }
}
