//! Which QEMU is taken, and what is said when there is none.

mod boot;

use boot::script;
use drbench_lab::emulator::{EmulatorVersion, FindError, Qemu};
use drbench_lab::{Blame, Blamed};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the lab says in surroundings of its own: this PATH, this cache, and no override.
fn complaint(search_path: &Path, cache: &Path) -> String {
    let output = Command::new(boot::LAB_INIT)
        .args(["any-kernel", "any-job"])
        .env_clear()
        .env("PATH", search_path)
        .env("DRBENCH_CACHE", cache)
        .current_dir(cache)
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn fake(version: &str) -> String {
    format!("echo 'QEMU emulator version {version} (Debian)'")
}

#[test]
fn without_qemu_the_places_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let text = complaint(folder.path(), folder.path());
    let (here, cache) = (folder.path().display(), folder.path().join("qemu/usr/bin"));
    assert!(text.starts_with("no qemu-system-x86_64 found"), "{text}");
    assert!(text.contains(&format!("{}", cache.display())), "{text}");
    assert!(text.contains(&format!("PATH ({here})")), "{text}");
    assert!(text.contains("ci/setup"), "{text}");
}

#[test]
fn an_old_qemu_is_refused_with_the_reason() {
    let (bin, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The script's interpreter needs no PATH.
    let old = script(bin.path(), "qemu-system-x86_64", &fake("7.2.0"));
    let text = complaint(bin.path(), cache.path());
    assert!(text.contains(&format!("{} (on PATH) is QEMU 7.2", old.display())), "{text}");
    assert!(text.contains("DR7") && text.contains("ci/setup"), "{text}");

    let error = Qemu::find(Some(&old), None).unwrap_err();
    assert!(matches!(
        error,
        FindError::TooOld { found: EmulatorVersion { major: 7, minor: 2 }, .. }
    ));
    assert_eq!(error.blame(), Blame::Environment);
}

#[test]
fn the_one_in_the_cache_comes_before_an_installed_one() {
    let (bin, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let unpacked = cache.path().join("qemu/usr/bin");
    fs::create_dir_all(&unpacked).unwrap();
    let cached = script(&unpacked, "qemu-system-x86_64", &fake("7.2.0"));
    let text = complaint(bin.path(), cache.path());
    assert!(text.contains(&format!("{} (the copy in the cache)", cached.display())), "{text}");

    script(&unpacked, "qemu-system-x86_64", &fake("10.1.0"));
    // Its version is what counts, so a copy that is good hides an installed one that is not.
    script(bin.path(), "qemu-system-x86_64", &fake("7.2.0"));
    assert!(complaint(bin.path(), cache.path()).contains("any-kernel"));

    // And one that is too old is passed over where an installed one will do.
    script(&unpacked, "qemu-system-x86_64", &fake("7.2.0"));
    script(bin.path(), "qemu-system-x86_64", &fake("10.1.0"));
    assert!(complaint(bin.path(), cache.path()).contains("any-kernel"));
}

#[test]
fn one_that_is_named_is_the_only_one_tried() {
    let folder = tempfile::tempdir().unwrap();
    let error = Qemu::find(Some(&folder.path().join("nowhere")), None).unwrap_err();
    assert!(matches!(error, FindError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("nowhere (named on the command line)"), "{error}");
    assert_eq!(error.blame(), Blame::Environment);
}

#[test]
fn what_is_no_qemu_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let other = script(folder.path(), "qemu", "echo libdaxctl.so.1 is missing >&2; exit 127");
    let text = Qemu::find(Some(&other), None).unwrap_err().to_string();
    assert!(text.contains("libdaxctl.so.1 is missing (exit status: 127)"), "{text}");
}
