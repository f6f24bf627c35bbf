//! Whether this host's KVM runs hypervisors as guests: what `--machine qemu-kvm` needs.

use super::{CpuVendor, Machine, MachineKind, NoEmulator};
use std::borrow::Cow;
use std::path::Path;

/// The host's own CPU as a machine.
pub(super) fn machine(cpu: &str) -> Result<Machine, NoEmulator> {
    machine_on(cpu, Path::new("/"))
}

fn machine_on(cpu: &str, root: &Path) -> Result<Machine, NoEmulator> {
    let no =
        |reason: &str| NoEmulator::NoNesting { cpu: cpu.to_owned(), reason: reason.to_owned() };
    let vendor = [CpuVendor::Amd, CpuVendor::Intel]
        .into_iter()
        .find(|vendor| vendor.to_string() == cpu)
        .ok_or_else(|| no("its CPU is this host's: write amd or intel"))?;
    if !root.join("dev/kvm").exists() {
        return Err(no("there is no /dev/kvm"));
    }
    let module = match vendor {
        CpuVendor::Amd => "kvm_amd",
        CpuVendor::Intel => "kvm_intel",
    };
    let parameter = root.join(format!("sys/module/{module}/parameters/nested"));
    let nested = std::fs::read_to_string(&parameter)
        .map_err(|_| no(&format!("this host's KVM is not {module}")))?;
    if !matches!(nested.trim(), "Y" | "1") {
        return Err(no(&format!("{module} is loaded with nested={}", nested.trim())));
    }
    let (kind, cpu) = (MachineKind::QemuKvm, Cow::Borrowed("host"));
    Ok(Machine { kind, vendor, cpu, memory_mib: 256, cpus: 1 })
}

#[cfg(test)]
mod tests {
    use super::machine_on;
    use std::fs;

    #[test]
    fn what_is_missing_is_told() {
        let root = tempfile::tempdir().unwrap();
        let told = |cpu: &str| machine_on(cpu, root.path()).unwrap_err().to_string();
        assert!(told("ryzen").contains("write amd or intel"));
        assert!(told("intel").contains("no /dev/kvm"));
        fs::create_dir(root.path().join("dev")).unwrap();
        fs::write(root.path().join("dev/kvm"), "").unwrap();
        assert!(told("intel").contains("not kvm_intel"));
        let parameters = root.path().join("sys/module/kvm_intel/parameters");
        fs::create_dir_all(&parameters).unwrap();
        fs::write(parameters.join("nested"), "N\n").unwrap();
        assert!(told("intel").contains("nested=N"));
        fs::write(parameters.join("nested"), "Y\n").unwrap();
        assert_eq!(machine_on("intel", root.path()).unwrap().cpu, "host");
    }
}
