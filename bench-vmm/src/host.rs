//! `/dev/kvm`: opening it, and who stands behind it.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use guest_payloads::CpuVendor;
use kvm_bindings::{CpuId, KVM_API_VERSION, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Kvm, VmFd};
use nix::errno::Errno;

use crate::exits::Isa;

const DEVICE: &str = "/dev/kvm";

/// Why this host's KVM cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The device is missing, or nothing answers behind it.
    #[error(
        "there is no KVM on this host ({DEVICE}: {errno}); load kvm_amd or kvm_intel, or switch on \
         virtualization in the firmware (nested virtualization, in a virtual machine)"
    )]
    Absent {
        /// What opening the device answered.
        errno: Errno,
    },
    /// The device is there, but not for this user.
    #[error("no permission to open {DEVICE}; {remedy}")]
    NoPermission {
        /// What to do, by the device's owner and mode.
        remedy: String,
    },
    /// Another hypervisor holds the processor's virtualization extensions.
    #[error(
        "the processor's virtualization is in use by another hypervisor; stop it (VirtualBox, \
         VMware, Xen) and try again"
    )]
    Busy,
    /// A KVM this program does not know.
    #[error(
        "{DEVICE} speaks KVM API version {found}, {KVM_API_VERSION} is needed; is it really KVM?"
    )]
    ApiVersion {
        /// The version `KVM_GET_API_VERSION` gave.
        found: i32,
    },
    /// An ioctl failed in a way that has no name here.
    #[error("{ioctl} on {DEVICE} failed: {errno}; the kernel's log (dmesg) may say more")]
    Ioctl {
        /// The ioctl's name in the kernel's documentation.
        ioctl: &'static str,
        /// What it answered.
        errno: Errno,
    },
}

/// The kernel module that runs the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvmModule {
    /// AMD SVM.
    Amd,
    /// Intel VMX.
    Intel,
    /// Guests without virtualization extensions; their kernel-mode code may be interpreted.
    Pvm,
    /// None of the above is loaded.
    Other,
}

impl KvmModule {
    /// The module's name, as in the record's `vendor` column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd => "kvm_amd",
            Self::Intel => "kvm_intel",
            Self::Pvm => "kvm_pvm",
            Self::Other => "kvm",
        }
    }

    /// Whose exit reasons the module reports, where it uses virtualization extensions at all.
    pub fn isa(self) -> Option<Isa> {
        match self {
            Self::Amd => Some(Isa::Svm),
            Self::Intel => Some(Isa::Vmx),
            Self::Pvm | Self::Other => None,
        }
    }

    /// Built into the kernel, both vendors' modules show in sysfs: the processor's own decides.
    fn detect(sys_module: &Path, cpu: Option<CpuVendor>) -> Self {
        let foreign = match cpu {
            Some(CpuVendor::Amd) => Some(Self::Intel),
            Some(CpuVendor::Intel) => Some(Self::Amd),
            None => None,
        };
        [Self::Pvm, Self::Amd, Self::Intel]
            .into_iter()
            .filter(|module| Some(*module) != foreign)
            .find(|module| sys_module.join(module.name()).is_dir())
            .unwrap_or(Self::Other)
    }
}

impl fmt::Display for KvmModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// This host's KVM.
#[derive(Debug)]
pub struct Host {
    kvm: Kvm,
    module: KvmModule,
    cpu_vendor: Option<CpuVendor>,
    cpuid: CpuId,
}

impl Host {
    /// Opens `/dev/kvm`.
    pub fn open() -> Result<Self, HostError> {
        let kvm = Kvm::new().map_err(|error| open_error(Errno::from_raw(error.errno())))?;
        let version = kvm.get_api_version();
        if u32::try_from(version) != Ok(KVM_API_VERSION) {
            return Err(HostError::ApiVersion { found: version });
        }
        let cpuid = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(|error| ioctl_error("KVM_GET_SUPPORTED_CPUID", error))?;
        let cpu_vendor = cpu_vendor();
        let module = KvmModule::detect(Path::new("/sys/module"), cpu_vendor);
        Ok(Self { kvm, module, cpu_vendor, cpuid })
    }

    /// The module behind the device.
    pub fn module(&self) -> KvmModule {
        self.module
    }

    /// The processor's maker by its CPUID; `None` for one whose extensions are neither SVM nor VMX.
    pub fn cpu_vendor(&self) -> Option<CpuVendor> {
        self.cpu_vendor
    }

    /// What the guest's CPUID shall answer: all that KVM supports here.
    pub(crate) fn cpuid(&self) -> &CpuId {
        &self.cpuid
    }

    pub(crate) fn create_vm(&self) -> Result<VmFd, HostError> {
        // Kernels that switch virtualization on with the first VM find out only now who holds it.
        self.kvm.create_vm().map_err(|error| ioctl_error("KVM_CREATE_VM", error))
    }
}

fn ioctl_error(ioctl: &'static str, error: kvm_ioctls::Error) -> HostError {
    match Errno::from_raw(error.errno()) {
        Errno::EBUSY => HostError::Busy,
        errno => HostError::Ioctl { ioctl, errno },
    }
}

fn open_error(errno: Errno) -> HostError {
    match errno {
        Errno::EACCES | Errno::EPERM => {
            let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
            let (gid, mode) = std::fs::metadata(DEVICE)
                .map_or((0, 0), |metadata| (metadata.gid(), metadata.mode()));
            HostError::NoPermission { remedy: remedy(&groups, gid, mode) }
        }
        Errno::EBUSY => HostError::Busy,
        Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => HostError::Absent { errno },
        errno => HostError::Ioctl { ioctl: "open", errno },
    }
}

/// Joining the device's group helps where the group may use it; nobody should join root's.
fn remedy(groups: &str, gid: u32, mode: u32) -> String {
    const GROUP_READ_WRITE: u32 = 0o060;
    let group = group_name(groups, gid);
    if gid != 0 && mode & GROUP_READ_WRITE == GROUP_READ_WRITE {
        format!(
            "it belongs to the group `{group}`: run `sudo usermod -aG {group} $USER` and log in again"
        )
    } else {
        format!(
            "its mode is {:03o} and its group `{group}`: run `sudo setfacl -m u:$USER:rw {DEVICE}`",
            mode & 0o777
        )
    }
}

/// Reads group(5) itself: getgrgid(3) of a static program wants the C library's shared objects.
fn group_name(groups: &str, gid: u32) -> String {
    groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?, fields.nth(1)?))
        })
        .find(|(_, number)| number.parse() == Ok(gid))
        .map_or_else(|| gid.to_string(), |(name, _)| name.to_owned())
}

/// One exit to the hypervisor below this host, where there is one: CPUID leaves every guest (AMD APM vol.
/// 2, 15.9; Intel SDM vol. 3, 27.1.2). On bare metal it is an instruction like others, only slow.
pub fn exit_below() {
    std::hint::black_box(crate::sys::cpuid(0));
}

/// CPUID leaf 0: the vendor string stands in EBX, EDX, ECX.
fn cpu_vendor() -> Option<CpuVendor> {
    let leaf = crate::sys::cpuid(0);
    let text = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat();
    match text.as_slice() {
        b"AuthenticAMD" | b"HygonGenuine" => Some(CpuVendor::Amd),
        b"GenuineIntel" | b"CentaurHauls" | b"  Shanghai  " => Some(CpuVendor::Intel),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_group_is_named_or_numbered() {
        let groups = "root:x:0:\nkvm:x:104:alice\nbroken\n";
        assert_eq!(group_name(groups, 104), "kvm");
        assert_eq!(group_name(groups, 105), "105");
    }

    #[test]
    fn nobody_is_told_to_join_the_group_root() {
        let groups = "root:x:0:\nkvm:x:104:\n";
        assert!(remedy(groups, 104, 0o20_660).contains("usermod -aG kvm"));
        for (gid, mode) in [(0, 0o20_600), (0, 0o20_660), (104, 0o20_600)] {
            let remedy = remedy(groups, gid, mode);
            assert!(remedy.contains("setfacl") && !remedy.contains("usermod"), "{remedy}");
        }
    }

    #[test]
    fn errors_of_open_are_told_apart() {
        assert!(matches!(open_error(Errno::ENOENT), HostError::Absent { .. }));
        assert!(matches!(open_error(Errno::ENODEV), HostError::Absent { .. }));
        assert!(matches!(open_error(Errno::EACCES), HostError::NoPermission { .. }));
        assert!(matches!(open_error(Errno::EBUSY), HostError::Busy));
        assert!(matches!(open_error(Errno::EMFILE), HostError::Ioctl { .. }));
    }

    #[test]
    fn the_module_is_the_processors_own() {
        let sysfs = std::env::temp_dir().join(format!("drbench-modules-{}", std::process::id()));
        for module in ["kvm", "kvm_amd", "kvm_intel"] {
            std::fs::create_dir_all(sysfs.join(module)).expect("a temporary directory");
        }
        let detect = |cpu| KvmModule::detect(&sysfs, cpu);
        assert_eq!(detect(Some(CpuVendor::Amd)), KvmModule::Amd);
        assert_eq!(detect(Some(CpuVendor::Intel)), KvmModule::Intel);
        std::fs::create_dir(sysfs.join("kvm_pvm")).expect("a temporary directory");
        assert_eq!(detect(Some(CpuVendor::Amd)), KvmModule::Pvm);
        std::fs::remove_dir_all(&sysfs).expect("the same directory");
        assert_eq!(detect(Some(CpuVendor::Amd)), KvmModule::Other);
    }
}
