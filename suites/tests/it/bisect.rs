//! `git bisect run drbench …` over a history of the kvm sources.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::drbench;

/// The program's own words for a commit's sources.
const QUESTION: [&str; 9] =
    ["run", "--kernel", "debian:6.1+.", "--cpu", "amd", "--suite", "policy", "--expect", "lazy"];
const SVM: &str = "arch/x86/kvm/svm/svm.c";

fn git(dir: &Path, words: &[&str]) -> Output {
    let identity = ["-c", "user.name=drbench", "-c", "user.email=drbench@localhost"];
    let output = Command::new("git").current_dir(dir).args(identity).args(words).output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// What a history holds.
struct History {
    /// The commit that does not compile: the first one that a bisection looks at.
    broken: String,
    /// The commit that makes the policy another.
    planted: String,
}

/// How far the first commit lies behind the last.
const OLDEST: &str = "HEAD~6";

/// Seven commits, numbered from 0: the third does not compile, the fifth has another policy, the
/// others are harmless. The first and the last are known to be good and bad.
fn history(dir: &Path) -> History {
    let source = newest_source();
    fs::create_dir_all(dir.join("arch/x86")).unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(source.join("arch/x86/kvm"))
        .arg(dir.join("arch/x86"))
        .status();
    assert!(copied.unwrap().success());
    git(dir, &["init", "-q"]);
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-qm", "the kernel's own"]);
    let path = dir.join(SVM);
    let original = fs::read_to_string(&path).unwrap();
    let commit = |name: &str, text: &str| {
        fs::write(&path, text).unwrap();
        git(dir, &["commit", "-qam", name]);
        let head = git(dir, &["rev-parse", "HEAD"]);
        String::from_utf8(head.stdout).unwrap().trim().to_owned()
    };
    let lazy = "if (vcpu->guest_debug == 0) {\n\t\t/*\n\t\t * No more DR";
    assert!(original.contains(lazy));
    let other_policy = original.replace(lazy, &lazy.replace("vcpu->guest_debug == 0", "0"));
    let remark = |text: &str, n: u32| format!("{text}\n/* {n} */\n");
    commit("a remark", &remark(&original, 1));
    commit("another remark", &remark(&original, 2));
    let broken = commit(
        "broken",
        &remark(&original, 3).replace("/* 3 */", "int f(void) { return nothing; }"),
    );
    commit("mended", &remark(&original, 4));
    let planted = commit("planted", &other_policy);
    commit("a last remark", &remark(&other_policy, 6));
    git(dir, &["bisect", "start", "HEAD", OLDEST]);
    History { broken, planted }
}

/// Where the lab keeps the sources of the newest 6.1.
fn newest_source() -> std::path::PathBuf {
    use drbench_lab::cache::Cache;
    use drbench_lab::kernel::{KernelSpec, prepare};
    let cache = Cache::open(Cache::default_dir().unwrap()).unwrap();
    let spec: KernelSpec = "debian:6.1+always".parse().unwrap();
    let kernel = prepare(&spec, &cache, &|_| {}).unwrap();
    let known =
        cache.root().join("build-parts-1").join(format!("linux-source_{}", kernel.kernel_id));
    let text = fs::read_to_string(known).unwrap();
    cache.entry("sources-1", &text.split(' ').next().unwrap().parse().unwrap()).unwrap()
}

fn bisect(dir: &Path, more: &[&str]) -> (Option<i32>, String) {
    let program = drbench();
    let output = Command::new("git")
        .current_dir(dir)
        .args(["bisect", "run"])
        .arg(program.get_program())
        .args(QUESTION)
        .args(more)
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn the_planted_commit_is_found_and_a_missing_emulator_blames_none() {
    let directory = tempfile::tempdir().unwrap();
    let history = history(directory.path());

    let (status, told) = bisect(directory.path(), &["--qemu", "/nonexistent"]);
    assert_ne!(status, Some(0), "{told}");
    assert!(told.contains("128"), "{told}");
    assert!(!told.contains("is the first bad commit"), "{told}");

    git(directory.path(), &["bisect", "reset"]);
    git(directory.path(), &["bisect", "start", "HEAD", OLDEST]);
    let (status, told) = bisect(directory.path(), &[]);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains(&format!("{} is the first bad commit", history.planted)), "{told}");
    let log = String::from_utf8(git(directory.path(), &["bisect", "log"]).stdout).unwrap();
    assert!(log.contains(&format!("git bisect skip {}", history.broken)), "{log}");
}
