//! The job as a file of QEMU's `fw_cfg` device (QEMU, `docs/specs/fw_cfg.rst`): it comes from the
//! command line, not from a saved machine.

use super::GuestError;
use super::io_port::IoPorts;

/// The device's two ports: what to read, and the data.
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

/// The ports that reading needs.
pub(super) fn open() -> std::io::Result<IoPorts> {
    IoPorts::open(SELECTOR, 2)
}

/// Reads the job.
pub(super) fn read_job(config: &IoPorts) -> Result<Vec<u8>, GuestError> {
    read_file(config, JOB_FILE)
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
