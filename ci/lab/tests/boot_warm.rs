//! Saved machines: later runs go on from them, exactly, and damaged ones are never used.

mod boot;

use boot::{boot, init, kernel, kvm_modules, run};
use drbench_lab::boot::{Boot, SNAPSHOTS};
use drbench_lab::cache::Cache;
use drbench_lab::emulator::{Emulator, Machine};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

/// A boot with modules, and a cache of its own for saved machines.
fn saving(job: &str) -> (tempfile::TempDir, Boot) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let boot = Boot { modules: kvm_modules(), snapshots: Some(cache), ..boot(job) };
    (folder, boot)
}

/// The same on an Intel machine, which is Bochs.
fn saving_on_bochs(job: &str) -> (tempfile::TempDir, Boot) {
    let (folder, boot) = saving(job);
    let modules = kernel().modules_for(&["kvm-intel"]).unwrap();
    let modules = modules.into_iter().map(|module| (module.name, module.bytes)).collect();
    (folder, Boot { modules, machine: Machine::choose("intel", None).unwrap(), ..boot })
}

fn emulator(boot: &Boot) -> Emulator {
    Emulator::find(boot.machine.kind, None, None).unwrap()
}

/// What it says, whether it went on from a saved machine, and what it warns of.
fn told(boot: &Boot) -> (Vec<String>, bool, Vec<String>) {
    let (frames, outcome) = run(boot, &emulator(boot));
    let outcome = outcome.unwrap();
    (frames, outcome.warm, outcome.warnings)
}

fn entry(boot: &Boot) -> PathBuf {
    let entries = boot.snapshots.as_ref().unwrap().entries(SNAPSHOTS);
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

/// A paused QEMU's clock may have jumped, and the kernel accounts for a shorter sleep then: a run that
/// paused elsewhere, or never, is some instructions apart.
const QEMU_APART: u64 = 99;

#[test]
fn a_run_is_the_same_cold_saved_and_resumed() {
    let (_folder, boot) = saving(SAYS_MUCH);
    is_the_same_cold_saved_and_resumed(&boot, QEMU_APART);
}

#[test]
fn a_run_on_bochs_is_the_same_cold_saved_and_resumed() {
    let (_folder, boot) = saving_on_bochs(SAYS_MUCH);
    is_the_same_cold_saved_and_resumed(&boot, 0);
}

/// When the kernel last looked at its clock, in nanoseconds, which are instructions on QEMU.
fn last_time(frames: &[String]) -> u64 {
    let line = frames.last().unwrap().lines().find(|line| line.starts_with("now at ")).unwrap();
    line.split(' ').nth(2).unwrap().parse().unwrap()
}

/// Two runs on QEMU that ended at the same instruction, or nearly.
fn is_close(one: &[String], other: &[String]) -> bool {
    last_time(one).abs_diff(last_time(other)) <= QEMU_APART
}

/// The clock counts instructions: what was done before shows in it.
const SAYS_MUCH: &str = "timers\nkvm\nflood 2000\nmodules\ntimers";

/// `apart`: nanoseconds by which a run that was never saved may differ.
fn is_the_same_cold_saved_and_resumed(boot: &Boot, apart: u64) {
    let boot = Boot { append: vec!["loglevel=7".to_owned()], ..boot.clone() };
    let (frames, warm, warnings) = told(&boot);
    assert_eq!((warm, warnings.len()), (false, 0), "{warnings:?}");
    assert_eq!(told(&boot), (frames.clone(), true, vec![]));
    let (cold, warm, warnings) = told(&Boot { snapshots: None, ..boot.clone() });
    assert_eq!((warm, warnings.len()), (false, 0), "{warnings:?}");
    assert_eq!(cold[1..cold.len() - 1], frames[1..frames.len() - 1]);
    let found = last_time(&cold).abs_diff(last_time(&frames));
    assert!(found <= apart, "{found} ns apart");
    assert!(apart > 0 || cold == frames, "the timers differ");

    // Another job goes on from the same machine, and its console's log begins with the boot's.
    let console = tempfile::NamedTempFile::new().unwrap();
    let other = Boot {
        job: b"echo other\npanic on the way".to_vec(),
        console: Some(console.path().to_owned()),
        ..boot.clone()
    };
    let (frames, outcome) = run(&other, &emulator(&other));
    assert_eq!(frames, ["other"]);
    assert!(outcome.unwrap_err().to_string().contains("on the way"));
    let log = fs::read_to_string(console.path()).unwrap();
    assert!(log.contains("Linux version") && log.contains("on the way"), "{log}");
    entry(&boot);
}

#[test]
fn damaged_and_foreign_machines_are_told_and_not_used() {
    let (_folder, boot) = saving("timers");
    let (frames, ..) = told(&boot);
    let memory = OpenOptions::new().write(true).open(entry(&boot).join("memory")).unwrap();
    memory.write_all_at(b"damage", 100 << 20).unwrap();
    let (again, warm, warnings) = told(&boot);
    assert!(!warm && is_close(&again, &frames));
    assert!(warnings.len() == 1 && warnings[0].contains("memory is not as"), "{warnings:?}");

    // Another machine's, in the right place.
    let (_other_folder, other) = saving("timers");
    let machine = Machine { memory_mib: 300, ..other.machine.clone() };
    let other = Boot { machine, ..other };
    told(&other);
    let (ours, theirs) = (entry(&boot), entry(&other));
    let manifest = fs::read_to_string(ours.join("manifest.json")).unwrap();
    for file in fs::read_dir(theirs).unwrap().flatten() {
        fs::copy(file.path(), ours.join(file.file_name())).unwrap();
    }
    let foreign = fs::read_to_string(ours.join("manifest.json")).unwrap();
    assert_ne!(manifest, foreign);
    let key = |text: &str| {
        let manifest: serde_json::Value = serde_json::from_str(text).unwrap();
        manifest["key"].as_str().unwrap().to_owned()
    };
    // It even says that it is ours: then QEMU refuses it.
    let pretending = foreign.replace(&key(&foreign), &key(&manifest));
    fs::write(ours.join("manifest.json"), pretending).unwrap();
    let (again, warm, warnings) = told(&boot);
    assert!(!warm && is_close(&again, &frames));
    assert!(warnings.iter().any(|text| text.contains("does not resume")), "{warnings:?}");
    assert!(warnings.iter().any(|text| text.contains("booted cold")), "{warnings:?}");

    let (again, warm, warnings) = told(&boot);
    assert!(!warm && is_close(&again, &frames), "it was made anew");
    assert_eq!(warnings.len(), 0, "{warnings:?}");
}

#[test]
fn what_bochs_does_not_resume_is_told_and_made_anew() {
    let (_folder, boot) = saving_on_bochs("uptime");
    let (frames, ..) = told(&boot);
    let memory = OpenOptions::new().write(true).open(entry(&boot).join("memory.ram")).unwrap();
    memory.write_all_at(b"damage", 100 << 20).unwrap();
    let (again, warm, warnings) = told(&boot);
    assert_eq!((&again, warm), (&frames, false));
    assert!(warnings.len() == 1 && warnings[0].contains("memory.ram is not as"), "{warnings:?}");

    // A manifest that promises nothing, and a machine without its configuration.
    let manifest = entry(&boot).join("manifest.json");
    let mut text: serde_json::Value =
        serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    text["files"] = serde_json::json!({});
    fs::write(&manifest, text.to_string()).unwrap();
    fs::remove_file(entry(&boot).join("config")).unwrap();
    let (again, warm, warnings) = told(&boot);
    assert_eq!((&again, warm), (&frames, false));
    assert!(warnings.iter().any(|text| text.contains("does not resume")), "{warnings:?}");
    assert!(warnings.iter().any(|text| text.contains("booted cold")), "{warnings:?}");

    let (again, warm, warnings) = told(&boot);
    assert_eq!((&again, warm, warnings.len()), (&frames, false, 0), "it was made anew");
}

#[test]
fn two_at_once_make_one() {
    let (_folder, boot) = saving("uptime");
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(|| told(&boot));
        (told(&boot), other.join().unwrap())
    });
    assert_eq!(one.0, two.0);
    assert_eq!(i32::from(one.1) + i32::from(two.1), 1, "one saves, the other waits for it");
    entry(&boot);
}

#[test]
fn a_machine_that_cannot_be_saved_still_runs() {
    let folder = tempfile::tempdir().unwrap();
    // No file may grow to the size of a machine's memory, as if the disk were full.
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 200000 && exec \"$0\" \"$@\""])
        .args([init(), &kernel().image])
        .arg("echo all the same")
        .env("LAB_SNAPSHOTS", folder.path())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "all the same\n", "{complaint}");
    assert!(complaint.contains("booted cold, without a snapshot"), "{complaint}");
    let cache = Cache::open(folder.path()).unwrap();
    assert!(cache.entries(SNAPSHOTS).is_empty());
}
