//! The CPUs that emulators can be.

use super::MachineKind;
use std::fmt;

/// Whose virtualization extensions the emulated CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CpuVendor {
    /// SVM, for `kvm_amd`.
    Amd,
    /// VMX, for `kvm_intel`.
    Intel,
}

impl fmt::Display for CpuVendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amd => "amd",
            Self::Intel => "intel",
        })
    }
}

/// A CPU that an emulator can be, and that has what KVM needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuModel {
    /// The emulator's own name of it.
    pub(super) name: &'static str,
    pub(super) vendor: CpuVendor,
    pub(super) kind: MachineKind,
}

const fn model(name: &'static str, vendor: CpuVendor, kind: MachineKind) -> CpuModel {
    CpuModel { name, vendor, kind }
}

/// For each vendor and machine, the first is the one that is meant by the vendor's name.
pub(super) const MODELS: &[CpuModel] = &[
    model("EPYC,+svm", CpuVendor::Amd, MachineKind::QemuTcg),
    model("ryzen", CpuVendor::Amd, MachineKind::Bochs),
    model("corei7_skylake_x", CpuVendor::Intel, MachineKind::Bochs),
    model("corei7_haswell_4770", CpuVendor::Intel, MachineKind::Bochs),
    model("broadwell_ult", CpuVendor::Intel, MachineKind::Bochs),
    model("corei7_sandy_bridge_2600k", CpuVendor::Intel, MachineKind::Bochs),
    model("corei5_arrandale_m520", CpuVendor::Intel, MachineKind::Bochs),
];

/// The models' names, for messages.
pub(super) fn names(kind: Option<MachineKind>) -> String {
    let fits = |model: &&CpuModel| kind.is_none_or(|kind| kind == model.kind);
    MODELS.iter().filter(fits).map(|model| model.name).collect::<Vec<_>>().join(" ")
}
