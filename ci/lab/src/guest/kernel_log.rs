//! What the kernel complained about; `quiet` keeps its warnings off the console.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

/// How many complaints are quoted.
const LINES: usize = 4;

/// A record never exceeds this (Documentation/ABI/testing/dev-kmsg; `CONSOLE_EXT_LOG_MAX`).
const RECORD_BYTES: usize = 8192;

/// Levels up to this are complaints (`KERN_WARNING`).
const WARNING: u32 = 4;

/// The log's last warnings and errors; none if it cannot be read.
pub(super) fn last_complaints() -> Vec<String> {
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let Ok(mut log) = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg") else {
        return Vec::new();
    };
    let mut complaints = Vec::new();
    let mut record = [0; RECORD_BYTES];
    // One record per read; at the end of the log there is nothing to read.
    while let Ok(length) = log.read(&mut record) {
        complaints.extend(complaint(&String::from_utf8_lossy(&record[..length])));
    }
    complaints.split_off(complaints.len().saturating_sub(LINES))
}

/// The text of a record such as `4,301,1520033,-;kvm: Unknown symbol …`, if it is a complaint.
fn complaint(record: &str) -> Option<String> {
    let (prefix, text) = record.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    // The facility is in the higher bits.
    (priority & 7 <= WARNING).then(|| text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn warnings_and_worse_are_complaints() {
        let warning = "4,301,1520033,-;kvm: Unknown symbol x (err -2)\n SUBSYSTEM=module\n";
        assert_eq!(complaint(warning).as_deref(), Some("kvm: Unknown symbol x (err -2)"));
        assert_eq!(complaint("6,302,1520034,-;all is well\n"), None);
        assert_eq!(complaint("11,1,1,-;daemon.err\n").as_deref(), Some("daemon.err"));
    }
}
