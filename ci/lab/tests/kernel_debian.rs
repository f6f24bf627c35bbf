//! Real kernels from the real archives, through this machine's own apt.
//!
//! They are kept in the cache that drbench itself uses, so only the first run downloads them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use drbench_lab::cache::Cache;
use drbench_lab::kernel::debian::{self, PackageVersion, Refresh};
use drbench_lab::kernel::{ImageFormat, Kernel, KernelError, KernelSpec, prepare};
use drbench_lab::{Blame, Blamed as _};
use object::read::elf::{ElfFile64, ProgramHeader as _};
use proptest::prelude::*;

fn cache() -> Cache {
    Cache::open(Cache::default_dir().unwrap()).unwrap()
}

fn prepare_in(cache: &Cache, spec: &str, told: &Mutex<Vec<String>>) -> Result<Kernel, KernelError> {
    let spec: KernelSpec = spec.parse()?;
    prepare(&spec, cache, &|text| told.lock().unwrap().push(text.to_owned()))
}

fn prepared(spec: &str) -> Result<Kernel, KernelError> {
    prepare_in(&cache(), spec, &Mutex::default())
}

fn names(kernel: &Kernel, modules: &[&str]) -> Vec<String> {
    let order = kernel.modules_for(modules).unwrap();
    assert!(order.iter().all(|module| module.bytes.starts_with(b"\x7fELF")), "{order:?}");
    order.into_iter().map(|module| module.name).collect()
}

/// Whether the file is an ELF file with the note that makes it startable by PVH.
fn is_pvh(image: &Path) -> bool {
    let file = fs::read(image).unwrap();
    let elf = ElfFile64::<object::Endianness>::parse(&*file).unwrap();
    let endian = elf.endian();
    let mut found = false;
    for header in elf.elf_program_headers() {
        let Some(mut notes) = header.notes(endian, &*file).unwrap() else { continue };
        while let Some(note) = notes.next().unwrap() {
            found |= note.name() == b"Xen" && note.n_type(endian) == object::elf::NoteType(18);
        }
    }
    found
}

#[test]
fn debian_6_1_is_prepared() {
    let kernel = prepared("debian:6.1").unwrap();
    assert!(kernel.version.starts_with("6.1."), "{kernel:?}");
    assert!(kernel.kernel_id.starts_with(&format!("{}-", kernel.version)), "{kernel:?}");
    assert!(
        kernel.release.starts_with("6.1.0-") && kernel.release.ends_with("-amd64"),
        "{kernel:?}"
    );
    assert_eq!(kernel.format, ImageFormat::PvhElf);
    assert!(is_pvh(&kernel.image));

    // Early 6.1 packages have rng_core as a module, later ones built in.
    let amd = names(&kernel, &["kvm-amd"]);
    let rest: Vec<&str> = amd.iter().map(String::as_str).filter(|n| *n != "rng_core").collect();
    assert_eq!(rest, ["irqbypass", "kvm", "ccp", "kvm_amd"]);
    assert_eq!(names(&kernel, &["kvm_intel"]), ["irqbypass", "kvm", "kvm_intel"]);

    let missing = kernel.modules_for(&["no-such-module"]).unwrap_err();
    assert_eq!(missing.blame(), Blame::Kernel);
    let text = missing.to_string();
    assert!(text.contains("no_such_module") && text.contains("modules.builtin"), "{text}");

    // The second time, by its exact version, nothing is asked or unpacked.
    let told = Mutex::default();
    let again = prepare_in(&cache(), &format!("debian:{}", kernel.kernel_id), &told).unwrap();
    assert_eq!(again, kernel);
    assert!(told.lock().unwrap().is_empty(), "{told:?}");
}

#[test]
fn a_split_kernel_is_prepared() {
    let kernel = prepared("debian:7").unwrap();
    assert_eq!(kernel.format, ImageFormat::PvhElf);
    let amd = names(&kernel, &["kvm_amd"]);
    assert_eq!(amd.last().map(String::as_str), Some("kvm_amd"));
    let at = |name: &str| amd.iter().position(|n| n == name);
    assert!(at("irqbypass") < at("kvm") && at("kvm") < at("kvm_amd"), "{amd:?}");
    assert!(kernel.module_dir.join("modules.builtin").is_file());
}

#[test]
fn what_is_offered() {
    let offers = debian::offered(&cache(), Refresh::default(), &|_| ()).unwrap();
    let all: Vec<&str> = offers.iter().map(|offer| offer.package_version.as_str()).collect();
    for series in ["5.10.", "6.1.", "6.12.", "7."] {
        assert!(all.iter().any(|version| version.starts_with(series)), "no {series}* in {all:?}");
    }
    assert!(offers.windows(2).all(|w| w[0].package_version < w[1].package_version), "{all:?}");
    for offer in &offers {
        assert!(!offer.suites.is_empty() && !offer.parts.is_empty(), "{offer:?}");
        for odd in ["-rt-", "-cloud-", "dbg", "unsigned"] {
            assert!(!offer.package.contains(odd), "{offer:?}");
        }
    }
}

#[test]
fn an_unknown_version_lists_what_there_is() {
    for wanted in ["debian:6.1.99999", "debian:6.1.1-1"] {
        let error = prepared(wanted).unwrap_err();
        assert_eq!(error.blame(), Blame::Environment);
        let text = error.to_string();
        assert!(text.contains(&wanted["debian:".len()..]) && text.contains(", 6.1.1"), "{text}");
    }
    let other = prepared("debian:2.6").unwrap_err().to_string();
    assert!(other.contains("6.12 (") && other.contains("newest 6.1."), "{other}");
}

/// A cache with what the real one knows and has prepared, but with none of its own files shared.
fn copy_of_what_is_prepared(to: &Path) {
    let from = cache();
    fs::create_dir_all(to.join("apt")).unwrap();
    fs::create_dir_all(to.join("debian")).unwrap();
    fs::copy(from.root().join("apt/kernels.json"), to.join("apt/kernels.json")).unwrap();
    for file in fs::read_dir(from.root().join("debian")).unwrap().flatten() {
        fs::copy(file.path(), to.join("debian").join(file.file_name())).unwrap();
    }
    let kernels = drbench_lab::kernel::CACHE_KIND;
    std::os::unix::fs::symlink(from.root().join(kernels), to.join(kernels)).unwrap();
}

/// What the child process below says: the kernel's id or the error, after what it was told.
fn in_a_machine_without_network(spec: &str, cache: &Path, dir: &Path) -> String {
    let sources = dir.join("dead.sources");
    // Nothing listens on the discard port.
    let text = "Types: deb\nURIs: http://127.0.0.1:9/debian\nSuites: bookworm\nComponents: main\n";
    fs::write(&sources, text).unwrap();
    fs::rename(&sources, dir.join("parts.sources")).unwrap();
    let config = dir.join("machine.conf");
    let text = format!(
        "Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{}\";\n",
        dir.display()
    );
    fs::write(&config, text).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "without_network", "--nocapture"])
        .env("APT_CONFIG", config)
        .env("DRBENCH_CACHE", cache)
        .env(SPEC_OF_CHILD, spec)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Set in the child process that has another apt configuration.
const SPEC_OF_CHILD: &str = "DRBENCH_TEST_WITHOUT_NETWORK";

#[test]
fn without_network() {
    if let Ok(spec) = std::env::var(SPEC_OF_CHILD) {
        let told = Mutex::default();
        let result = prepare_in(&cache(), &spec, &told);
        println!("told {:?}", told.lock().unwrap());
        match result {
            Ok(kernel) => println!("prepared {}", kernel.kernel_id),
            Err(error) => println!("{:?} {error}", error.blame()),
        }
        return;
    }
    let newest = prepared("debian:6.1").unwrap().kernel_id;
    let dir = tempfile::tempdir().unwrap();
    let known = dir.path().join("known");
    copy_of_what_is_prepared(&known);
    let with = |spec: &str, cache: &Path| in_a_machine_without_network(spec, cache, dir.path());

    let said = with("debian:6.1", &known);
    assert!(said.contains(&format!("prepared {newest}")), "{said}");
    assert!(said.contains("the Debian archives cannot be reached"), "{said}");
    assert!(said.contains("using what they offered"), "{said}");

    // It is in the index, but never was prepared.
    let offers = debian::offered(&cache(), Refresh::default(), &|_| ()).unwrap();
    let mut absent = offers.iter().map(|offer| offer.package_version.as_str());
    let absent = absent.rfind(|v| !known.join("debian").join(v).exists()).unwrap();
    let said = with(&format!("debian:{absent}"), &known);
    assert!(said.contains("cannot download linux-") && said.contains("Environment"), "{said}");

    // Without any index the prepared ones are what there is.
    fs::remove_file(known.join("apt/kernels.json")).unwrap();
    let said = with("debian:6.1", &known);
    assert!(
        said.contains(&format!("prepared {newest}")) && said.contains("from the cache"),
        "{said}"
    );

    let said = with("debian:6.1", &dir.path().join("empty"));
    assert!(said.contains("Environment the Debian archives cannot be reached"), "{said}");
}

#[test]
fn the_systems_apt_state_stays_as_it_is() {
    let state = || {
        let listing = fs::read_dir("/var/lib/apt/lists").unwrap().flatten();
        let mut files: Vec<_> = listing
            .map(|file| (file.file_name(), file.metadata().unwrap().modified().unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = state();
    debian::offered(&cache(), Refresh::Now, &|_| ()).unwrap();
    assert_eq!(state(), before);
}

proptest! {
    // Each case starts a process.
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn versions_are_ordered_as_dpkg_orders_them(
        a in "([0-9]:)?[0-9]{1,2}([.+~a-z][0-9]{0,2}){0,3}(-[0-9]([.+~a-z][0-9]{0,2}){0,2})?",
        b in "([0-9]:)?[0-9]{1,2}([.+~a-z][0-9]{0,2}){0,3}(-[0-9]([.+~a-z][0-9]{0,2}){0,2})?",
    ) {
        let (x, y) = (PackageVersion::new(a.as_str()), PackageVersion::new(b.as_str()));
        for (relation, ours) in [("lt", x < y), ("eq", x == y)] {
            let status = Command::new("dpkg").args(["--compare-versions", &a, relation, &b]).status();
            prop_assert_eq!(status.unwrap().success(), ours, "{} {} {}", a, relation, b);
        }
    }
}
