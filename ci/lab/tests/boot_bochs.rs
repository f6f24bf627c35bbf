//! Bochs: kernels start from memory, run KVM on Intel's and AMD's extensions, and end as in QEMU.

mod boot;

use boot::{boot, kernel, run, script};
use drbench_lab::boot::{Boot, BootError, MemoryError};
use drbench_lab::emulator::{Bochs, Emulator, FindError, Machine, MachineKind};
use drbench_lab::{Blame, Blamed};

fn bochs() -> Emulator {
    Emulator::find(MachineKind::Bochs, None, None).unwrap()
}

fn boot_on(cpu: &str, job: &str) -> Boot {
    let machine = Machine::choose(cpu, Some(MachineKind::Bochs)).unwrap();
    Boot { machine, ..boot(job) }
}

fn modules(name: &str) -> Vec<(String, Vec<u8>)> {
    let modules = kernel().modules_for(&[name]).unwrap();
    modules.into_iter().map(|module| (module.name, module.bytes)).collect()
}

#[test]
fn two_boots_with_kvm_intel_agree_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let boot_once = |name: &str| {
        // A folder's name may have anything in it.
        let console = folder.path().join(format!("{name}, \"odd\" $HOME"));
        let boot = Boot {
            modules: modules("kvm-intel"),
            console: Some(console.clone()),
            ..boot_on("intel", "echo hello\nkvm\nflood 5000\nuptime")
        };
        let (frames, outcome) = run(&boot, &bochs());
        outcome.unwrap();
        (frames, std::fs::read(console).unwrap())
    };
    let (one, other) = (boot_once("one"), boot_once("other"));
    assert_eq!(one.0[..2], ["hello", "kvm"]);
    assert_eq!(one.0, other.0);
    let shortest = one.1.len().min(other.1.len());
    assert!(shortest > 0 && one.1[..shortest] == other.1[..shortest], "consoles differ");
}

#[test]
fn a_model_can_be_named_and_amd_is_a_second_opinion() {
    for (cpu, module) in [("ryzen", "kvm-amd"), ("broadwell_ult", "kvm-intel")] {
        let boot = Boot { modules: modules(module), ..boot_on(cpu, "kvm") };
        let (frames, outcome) = run(&boot, &bochs());
        assert!(outcome.is_ok(), "{cpu}: {}", outcome.unwrap_err());
        assert_eq!(frames, ["kvm"], "{cpu}");
    }
}

#[test]
fn a_panic_and_a_reset_are_the_kernels_doing() {
    let (frames, outcome) = run(&boot_on("intel", "echo finished\ncrash-kernel"), &bochs());
    let error = outcome.unwrap_err();
    assert_eq!(frames, ["finished"]);
    assert!(matches!(error, BootError::Panicked { .. }), "{error}");
    let error = run(&boot_on("intel", "reboot"), &bochs()).1.unwrap_err();
    assert!(matches!(error, BootError::Reset { .. }), "{error}");
    assert_eq!(error.blame(), Blame::Kernel);
}

#[test]
fn what_cannot_be_started_is_told_before_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("bzImage");
    std::fs::write(&image, "HdrS").unwrap();
    let error = run(&Boot { image, ..boot_on("intel", "") }, &bochs()).1.unwrap_err();
    assert!(matches!(error, BootError::Memory(MemoryError::NotPvh(_))), "{error}");
    let mut large = boot_on("intel", "");
    large.machine.memory_mib = 64;
    let error = run(&large, &bochs()).1.unwrap_err();
    assert!(error.to_string().contains("MiB and the machine has 64"), "{error}");
    assert_eq!(error.blame(), Blame::Environment);
}

#[test]
fn an_old_bochs_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let old = script(folder.path(), "bochs", "echo '   Bochs x86 Emulator 2.7'");
    let error = Bochs::find(Some(&old), None).unwrap_err();
    assert!(matches!(error, FindError::TooOld { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("is Bochs 2.7; 3.0 or newer is needed"), "{text}");
    assert!(text.contains("DRBENCH_BOCHS"), "{text}");
}
