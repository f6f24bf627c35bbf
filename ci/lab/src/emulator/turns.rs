//! What has the threads of a QEMU with several CPUs take turns: a library that is loaded before QEMU's
//! own. Why, and how, says ci/lab/qemu/turns.c; `ci/setup` builds it into the cache.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Clock, Machine, MachineKind};

/// Where `ci/setup` puts it, below the cache, and what it was built from.
const BUILT: &str = "qemu-turns/turns.so";
const BUILT_FROM: &str = "qemu-turns/turns.c";
const SOURCE: &str = include_str!("../../qemu/turns.c");

/// The thread of all CPUs gets the name by which the library knows it.
pub(super) const NAMED_THREADS: [&str; 2] = ["-name", "debug-threads=on"];

/// What a run without it has to be told.
const WITHOUT: &str = "costs of threads that wait for each other may differ from run to run: when QEMU's emulated \
     CPUs take turns is left to this host's threads, as qemu-turns/turns.so is not in the cache, or is an older \
     one; run ci/setup, which builds it";

/// Whether figures of this machine depend on how its CPUs take turns: one CPU has nobody to take turns
/// with, and on the host's clock nothing repeats anyway.
pub(super) fn matter_for(machine: &Machine, clock: Clock) -> bool {
    machine.kind == MachineKind::QemuTcg && machine.cpus > 1 && clock == Clock::Instructions
}

/// The library of this very source, if it is in the cache.
pub(super) fn find(cache: &Path) -> Option<PathBuf> {
    let is_of_this_source = fs::read(cache.join(BUILT_FROM)).ok()? == SOURCE.as_bytes();
    let library = cache.join(BUILT);
    (is_of_this_source && library.is_file()).then_some(library)
}

/// `LD_PRELOAD=…` for `env`, before what is set already.
pub(super) fn preload(library: &Path) -> OsString {
    const NAME: &str = "LD_PRELOAD";
    let mut assignment = OsString::from(format!("{NAME}="));
    assignment.push(library);
    if let Some(set) = std::env::var_os(NAME).filter(|set| !set.is_empty()) {
        assignment.push(":");
        assignment.push(set);
    }
    assignment
}

/// What a run of this machine without the library has to be told.
pub(super) fn warning(machine: &Machine, clock: Clock, library: Option<&Path>) -> Option<String> {
    (matter_for(machine, clock) && library.is_none()).then(|| WITHOUT.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{BUILT, BUILT_FROM, SOURCE, find, warning};
    use crate::emulator::{Clock, Machine};
    use std::fs;

    #[test]
    fn one_of_another_source_is_not_taken() {
        let cache = tempfile::tempdir().unwrap();
        let at = |name| cache.path().join(name);
        assert_eq!(find(cache.path()), None);
        fs::create_dir(at("qemu-turns")).unwrap();
        fs::write(at(BUILT), "a library").unwrap();
        assert_eq!(find(cache.path()), None);
        fs::write(at(BUILT_FROM), format!("{SOURCE}/* older */")).unwrap();
        assert_eq!(find(cache.path()), None);
        fs::write(at(BUILT_FROM), SOURCE).unwrap();
        assert_eq!(find(cache.path()), Some(at(BUILT)));
    }

    #[test]
    fn it_is_missed_where_several_cpus_count_instructions() {
        let machine = |cpu, cpus| Machine::choose(cpu, None).unwrap().with_cpus(cpus);
        let told = |cpu, cpus, clock| warning(&machine(cpu, cpus), clock, None).is_some();
        assert!(told("amd", 2, Clock::Instructions));
        assert!(!told("amd", 1, Clock::Instructions));
        assert!(!told("amd", 2, Clock::Wall));
        assert!(!told("intel", 2, Clock::Instructions), "Bochs has one CPU");
        let library = std::path::Path::new("turns.so");
        assert_eq!(warning(&machine("amd", 2), Clock::Instructions, Some(library)), None);
    }
}
