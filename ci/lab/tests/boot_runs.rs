//! Runs that end well: everything arrives, and the same bytes every time.

mod boot;

use boot::{boot, kvm_modules, qemu, run};
use drbench_lab::boot::Boot;
use drbench_lab::emulator::Clock;

#[test]
fn three_boots_agree_to_the_byte() {
    let qemu = qemu();
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<_> = (0..3)
        .map(|index| {
            let console = folder.path().join(index.to_string());
            let boot = Boot {
                modules: kvm_modules(),
                console: Some(console.clone()),
                // Not quiet: every line of the kernel's, with its time, is compared as well.
                append: vec!["loglevel=7".to_owned()],
                ..boot("echo hello\nkvm\nmodules\nflood 20000\nuptime")
            };
            let (frames, outcome) = run(&boot, &qemu);
            assert_eq!(outcome.unwrap().frames, 5);
            (frames, std::fs::read(console).unwrap())
        })
        .collect();
    let (frames, console) = &runs[0];
    assert_eq!(frames[..2], ["hello", "kvm"]);
    let modules: Vec<_> = frames[2].lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(modules.contains(&"kvm_amd") && modules.contains(&"kvm"), "{modules:?}");
    assert_eq!(frames[3], "#".repeat(20_000));
    assert!(console.len() > 5_000, "the kernel's log is there: {} bytes", console.len());
    assert!(runs.iter().all(|run| run.0 == *frames), "frames differ");
    // The end is cut where we stopped the emulator, which is after the last frame.
    let shortest = runs.iter().map(|run| run.1.len()).min().unwrap();
    assert!(runs.iter().all(|run| run.1[..shortest] == console[..shortest]), "consoles differ");
}

#[test]
fn the_wall_clock_runs_too() {
    let boot = Boot { clock: Clock::Wall, ..boot("echo by the wall clock") };
    let (frames, outcome) = run(&boot, &qemu());
    let outcome = outcome.unwrap();
    assert_eq!(frames, ["by the wall clock"]);
    assert!(!outcome.command_line.contains(&"-icount".into()));
}
