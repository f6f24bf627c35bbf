//! Shared by the boot tests: a real kernel, a real QEMU, and the init built with them.
#![allow(dead_code, reason = "each test binary uses its part")]

use drbench_lab::Init;
use drbench_lab::boot::{Boot, BootError, Outcome};
use drbench_lab::cache::Cache;
use drbench_lab::emulator::{Clock, Emulator, Machine, MachineKind};
use drbench_lab::kernel::{self, Kernel};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Enough for a boot on a machine that is busy with others.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// The init, as built.
pub const LAB_INIT: &str = env!("CARGO_BIN_EXE_lab-init");

/// Newest 6.1 that Debian offers.
pub fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let cache = Cache::open(Cache::default_dir().unwrap()).unwrap();
        kernel::prepare(&"debian:6.1".parse().unwrap(), &cache, &|_| ()).unwrap()
    })
}

/// Everything that `kvm_amd` needs.
pub fn kvm_modules() -> Vec<(String, Vec<u8>)> {
    let modules = kernel().modules_for(&["kvm-amd"]).unwrap();
    modules.into_iter().map(|module| (module.name, module.bytes)).collect()
}

/// The init without the 30 MB of debug information that a test build has: as in a release, where it
/// does not slow every boot.
pub fn init() -> &'static Path {
    static INIT: OnceLock<PathBuf> = OnceLock::new();
    INIT.get_or_init(|| {
        let unique = format!("{LAB_INIT}-stripped-{}", std::process::id());
        let status =
            Command::new("strip").args(["--strip-debug", "-o", &unique, LAB_INIT]).status();
        assert!(status.unwrap().success());
        let init = PathBuf::from(format!("{LAB_INIT}-stripped"));
        std::fs::rename(unique, &init).unwrap();
        init
    })
}

/// Everything that this machine's `ci/setup` made ready.
pub fn qemu() -> Emulator {
    Emulator::find(MachineKind::QemuTcg, None, None).unwrap()
}

/// A boot with this job, no modules, and the instruction clock.
pub fn boot(job: &str) -> Boot {
    Boot {
        image: kernel().image.clone(),
        image_sum: kernel().image_sum,
        modules: Vec::new(),
        init: Init::read(init()).unwrap(),
        job: job.as_bytes().to_vec(),
        machine: Machine::choose("amd", None).unwrap(),
        clock: Clock::Instructions,
        append: Vec::new(),
        time_limit: PATIENCE,
        console: None,
        work: None,
        snapshots: None,
    }
}

/// Runs it; the frames as text, and how it ended.
pub fn run(boot: &Boot, emulator: &Emulator) -> (Vec<String>, Result<Outcome, BootError>) {
    let mut frames = Vec::new();
    let outcome =
        boot.run(emulator, &mut |frame| frames.push(String::from_utf8_lossy(frame).into_owned()));
    (frames, outcome)
}

/// An executable script, in a folder that goes with the test.
pub fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
