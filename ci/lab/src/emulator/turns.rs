//! What has the threads of a QEMU with several CPUs take turns: a library that is loaded before QEMU's
//! own. Why, and how, says ci/lab/qemu/turns.c; `ci/setup` builds it into the cache.

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
pub(super) const WITHOUT: &str = "costs of threads that wait for each other may differ from run to run: when QEMU's \
     emulated CPUs take turns is left to this host's threads, as qemu-turns/turns.so is not in the cache, is an \
     older one, or the cache's path has a space or a colon in it; run ci/setup, which builds it";

/// Whether figures of this machine depend on how its CPUs take turns: one CPU has nobody to take turns
/// with, and on the host's clock nothing repeats anyway.
pub(super) fn matter_for(machine: &Machine, clock: Clock) -> bool {
    machine.kind == MachineKind::QemuTcg && machine.cpus > 1 && clock == Clock::Instructions
}

/// The library of this very source, if it is in the cache and can be named: what is preloaded is a list
/// with spaces or colons between (ld.so(8)).
pub(super) fn find(cache: &Path) -> Option<PathBuf> {
    let is_of_this_source = fs::read(cache.join(BUILT_FROM)).ok()? == SOURCE.as_bytes();
    let library = cache.join(BUILT);
    let separates = |byte: &u8| b" :".contains(byte);
    let can_be_named = !library.as_os_str().as_encoded_bytes().iter().any(separates);
    (is_of_this_source && can_be_named && library.is_file()).then_some(library)
}

#[cfg(test)]
mod tests {
    use super::{BUILT, BUILT_FROM, SOURCE, find, matter_for};
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
    fn one_whose_path_would_be_read_as_two_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        for (name, is_taken) in [("plain", true), ("with space", false), ("with:colon", false)] {
            let cache = folder.path().join(name);
            fs::create_dir_all(cache.join("qemu-turns")).unwrap();
            fs::write(cache.join(BUILT), "a library").unwrap();
            fs::write(cache.join(BUILT_FROM), SOURCE).unwrap();
            assert_eq!(find(&cache).is_some(), is_taken, "{name}");
        }
    }

    #[test]
    fn they_matter_where_several_cpus_count_instructions() {
        let machine = |cpu, cpus| Machine::choose(cpu, None).unwrap().with_cpus(cpus);
        let matter = |cpu, cpus, clock| matter_for(&machine(cpu, cpus), clock);
        assert!(matter("amd", 2, Clock::Instructions));
        assert!(!matter("amd", 1, Clock::Instructions));
        assert!(!matter("amd", 2, Clock::Wall));
        assert!(!matter("intel", 2, Clock::Instructions), "Bochs has one CPU");
    }
}
