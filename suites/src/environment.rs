//! What a run's surroundings are: read, never changed.

use std::fs;
use std::path::Path;

/// A file's text without the line end, if it can be read.
pub fn read_line(path: impl AsRef<Path>) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// A field of `/proc/cpuinfo`'s first processor.
pub fn cpuinfo(field: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == field).then(|| value.trim().to_owned())
    })?;
    (!value.is_empty()).then_some(value)
}

/// `uname -r`.
pub fn release() -> String {
    read_line("/proc/sys/kernel/osrelease").unwrap_or_default()
}

/// `uname -v`.
pub fn build() -> String {
    read_line("/proc/sys/kernel/version").unwrap_or_default()
}

/// The upstream version at the head of a release: digits and dots.
///
/// ```
/// use suites::environment::upstream_version;
/// assert_eq!(upstream_version("6.1.0-37-amd64"), "6.1.0");
/// assert_eq!(upstream_version("7.1.0-rc3"), "7.1.0");
/// ```
pub fn upstream_version(release: &str) -> &str {
    let end = release.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(release.len());
    release[..end].trim_end_matches('.')
}

/// Parameters of the modules that decide how guests run, `kvm_amd.npt=1`, sorted.
pub fn module_parameters(vendor: &str) -> Vec<String> {
    let mut parameters = Vec::new();
    for module in ["kvm", vendor] {
        let Ok(entries) = fs::read_dir(format!("/sys/module/{module}/parameters")) else {
            continue;
        };
        for entry in entries.flatten() {
            // Some parameters can only be written.
            if let Some(value) = read_line(entry.path()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                parameters.push(format!("{module}.{name}={value}"));
            }
        }
    }
    parameters.sort();
    parameters.dedup();
    parameters
}

/// The words of the running kernel's command line.
pub fn kernel_words() -> Vec<String> {
    let line = read_line("/proc/cmdline").unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

/// What the kernel says of the processor's vulnerabilities, sorted by name.
pub fn mitigations() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return vec![];
    };
    let mut mitigations: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let state = read_line(entry.path())?;
            Some(format!("{}: {state}", entry.file_name().to_string_lossy()))
        })
        .collect();
    mitigations.sort();
    mitigations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_described() {
        assert!(release().starts_with(upstream_version(&release())));
        assert!(!upstream_version(&release()).is_empty());
        assert!(cpuinfo("vendor_id").is_some());
        assert_eq!(cpuinfo("no such field"), None);
    }
}
