//! Runs that end badly: one clear error each, the right one to blame, and nothing lost before it.

mod boot;

use boot::{boot, kvm_modules, qemu, run, script};
use drbench_lab::boot::{Boot, BootError};
use drbench_lab::emulator::{Emulator, Machine, MachineKind};
use drbench_lab::{Blame, Blamed};
use std::time::{Duration, Instant};

#[test]
fn a_kernel_panic_is_quoted_and_finished_frames_stay() {
    let (frames, outcome) = run(&boot("echo finished\ncrash-kernel"), &qemu());
    let error = outcome.unwrap_err();
    assert_eq!(frames, ["finished"]);
    assert_eq!(error.blame(), Blame::Kernel);
    assert!(matches!(error, BootError::Panicked { .. }), "{error}");
    let text = error.to_string();
    let wanted = "Kernel panic - not syncing: sysrq triggered crash\nThe console's last lines:";
    assert!(text.contains(wanted), "{text}");
}

#[test]
fn a_kernel_that_never_ends_is_stopped_in_time() {
    let limit = Duration::from_secs(2);
    let started = Instant::now();
    let (_, outcome) = run(&Boot { time_limit: limit, ..boot("hang") }, &qemu());
    assert!(started.elapsed() < limit * 10, "{:?}", started.elapsed());
    let error = outcome.unwrap_err();
    assert!(matches!(error, BootError::Hung { .. }), "{error}");
    assert_eq!(error.blame(), Blame::Kernel);
    assert!(error.to_string().contains("no end after 2s"), "{error}");
}

#[test]
fn a_refused_module_is_named_with_the_reason() {
    let broken = vec![("broken".to_owned(), b"no module at all".to_vec())];
    let (_, outcome) = run(&Boot { modules: broken, ..boot("echo") }, &qemu());
    let error = outcome.unwrap_err();
    assert_eq!(error.blame(), Blame::Kernel);
    let text = error.to_string();
    assert!(text.starts_with("the kernel refuses the module broken: ENOEXEC"), "{text}");
}

#[test]
fn a_module_without_the_one_it_needs_is_refused() {
    let mut modules = kvm_modules();
    modules.retain(|(name, _)| name != "irqbypass");
    let (_, outcome) = run(&Boot { modules, ..boot("echo") }, &qemu());
    let text = outcome.unwrap_err().to_string();
    assert!(text.starts_with("the kernel refuses the module kvm: ENOENT"), "{text}");
    // The kernel says which symbol it misses.
    assert!(text.contains("kvm: Unknown symbol irq_bypass_"), "{text}");
}

#[test]
fn a_panic_in_the_init_is_not_the_kernels_fault() {
    let (frames, outcome) = run(&boot("echo before\npanic of the init"), &qemu());
    let error = outcome.unwrap_err();
    assert_eq!(frames, ["before"]);
    assert_eq!(error.blame(), Blame::Environment);
    let text = error.to_string();
    assert!(text.contains("panicked at") && text.contains("asked to panic: of the init"), "{text}");
}

#[test]
fn an_init_that_just_ends_is_not_the_kernels_fault() {
    let error = run(&boot("exit"), &qemu()).1.unwrap_err();
    assert!(matches!(error, BootError::InitDied { .. }), "{error}");
    assert_eq!(error.blame(), Blame::Environment);
}

#[test]
fn a_silent_reset_is_told() {
    let error = run(&boot("reboot"), &qemu()).1.unwrap_err();
    assert!(matches!(error, BootError::Reset { .. }), "{error}");
    assert_eq!(error.blame(), Blame::Kernel);
}

#[test]
fn an_emulator_that_dies_is_not_the_kernels_fault() {
    let folder = tempfile::tempdir().unwrap();
    for (end, told) in [
        ("kill -SEGV $$", "the emulator was killed by SIGSEGV"),
        ("exit 7", "the emulator ended with status 7"),
    ] {
        let body = format!(
            "[ \"$1\" = --version ] && echo QEMU emulator version 10.0.2 && exit\n\
             echo out of luck >&2\n{end}"
        );
        let qemu = script(folder.path(), "qemu", &body);
        let qemu = Emulator::find(MachineKind::QemuTcg, Some(&qemu), None).unwrap();
        let error = run(&boot("echo"), &qemu).1.unwrap_err();
        assert_eq!(error.blame(), Blame::Environment);
        let text = error.to_string();
        assert!(text.starts_with(told) && text.contains("out of luck"), "{text}");
    }
}

#[test]
fn what_cannot_be_booted_is_told_before_the_emulator_starts() {
    let qemu = qemu();
    let machine = Machine::choose("intel", None).unwrap();
    let error = run(&Boot { machine, ..boot("") }, &qemu).1.unwrap_err();
    assert!(error.to_string().contains("cannot be a bochs machine"), "{error}");
    assert_eq!(error.blame(), Blame::Environment);
    let error = run(&Boot { image: "no/such/kernel".into(), ..boot("") }, &qemu).1.unwrap_err();
    assert!(error.to_string().starts_with("cannot open the kernel no/such/kernel: "), "{error}");
    assert_eq!(error.blame(), Blame::Environment);
}
