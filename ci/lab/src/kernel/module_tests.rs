use super::*;
use crate::fault::{Blame, Blamed as _};
use crate::kernel::compression::{Compression, samples::compress};
use crate::kernel::samples::{self, RELEASE};
use proptest::prelude::*;

/// A directory with these files, where the kernel would have them.
fn dir(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn names(dir: &Path, wanted: &[&str]) -> Result<Vec<String>, KernelError> {
    let order = ModuleDir::open(dir, RELEASE)?.load_order(wanted, RELEASE)?;
    Ok(order.into_iter().map(|module| module.name).collect())
}

/// KVM as in 6.1: modules packed in every way there is, one dependency built in.
fn kvm() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("kernel/arch/x86/kvm/kvm-amd.ko", samples::module("kvm,ccp")),
        ("kernel/arch/x86/kvm/kvm.ko.xz", compress(Compression::Xz, &samples::module("irqbypass"))),
        ("kernel/virt/lib/irqbypass.ko.zst", compress(Compression::Zstd, &samples::module(""))),
        (
            "kernel/drivers/crypto/ccp/ccp.ko.gz",
            compress(Compression::Gzip, &samples::module("rng-core")),
        ),
        ("modules.builtin", b"kernel/drivers/char/hw_random/rng-core.ko\n".to_vec()),
    ]
}

#[test]
fn each_module_comes_after_those_it_needs() {
    let files = kvm();
    let dir = dir(&files);
    let order = names(dir.path(), &["kvm-amd"]).unwrap();
    assert_eq!(order, ["irqbypass", "kvm", "ccp", "kvm_amd"]);
    assert_eq!(names(dir.path(), &["kvm", "kvm_amd"]).unwrap(), order);
    let kvm = ModuleDir::open(dir.path(), RELEASE).unwrap().load_order(&["kvm"], RELEASE).unwrap();
    assert_eq!(kvm[1].bytes, samples::module("irqbypass"));
    assert!(names(dir.path(), &["rng_core"]).unwrap().is_empty());
}

#[test]
fn the_directory_may_be_any_above() {
    for above in ["lib/modules", "usr/lib/modules", "."] {
        let outer = tempfile::tempdir().unwrap();
        for release in [RELEASE, "5.10.0-1-amd64"] {
            let place = outer.path().join(above).join(release);
            fs::create_dir_all(&place).unwrap();
            let content = if release == RELEASE { samples::module("") } else { b"other".to_vec() };
            fs::write(place.join("kvm.ko"), content).unwrap();
        }
        assert_eq!(names(outer.path(), &["kvm"]).unwrap(), ["kvm"], "{above}");
    }
}

#[test]
fn an_updated_module_comes_first() {
    let dir = dir(&[("kernel/kvm.ko", b"old".to_vec()), ("updates/kvm.ko", samples::module(""))]);
    assert_eq!(names(dir.path(), &["kvm"]).unwrap(), ["kvm"]);
}

#[test]
fn links_out_of_the_directory_are_not_followed() {
    let outside = dir(&[("secret.ko", samples::module(""))]);
    let dir = dir(&[("kvm.ko", samples::module(""))]);
    std::os::unix::fs::symlink(outside.path(), dir.path().join("build")).unwrap();
    assert!(matches!(names(dir.path(), &["secret"]), Err(KernelError::MissingModule { .. })));
}

#[test]
fn a_missing_module_is_the_kernels_fault() {
    let files = kvm();
    let dir = dir(&files[..3]);
    let error = names(dir.path(), &["kvm_amd"]).unwrap_err();
    assert_eq!(error.blame(), Blame::Kernel);
    let text = error.to_string();
    assert!(text.contains("no module ccp, which kvm_amd needs"), "{text}");
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    let asked = names(dir.path(), &["kvm_intel"]).unwrap_err().to_string();
    assert!(asked.contains("no module kvm_intel:"), "{asked}");
}

#[test]
fn what_is_wrong_with_the_files_is_the_environments_fault() {
    let nowhere = names(Path::new("/nonexistent/modules"), &["kvm"]).unwrap_err();
    assert!(nowhere.to_string().contains("/nonexistent/modules"), "{nowhere}");

    let elsewhere = dir(&[("kvm.ko", samples::module(""))]);
    let other =
        ModuleDir::open(elsewhere.path(), "6.9").unwrap().load_order(&["kvm"], "6.9").unwrap_err();
    assert!(
        other.to_string().contains("built for the kernel 6.1.0-50-amd64, but the image is 6.9"),
        "{other}"
    );

    let packed = compress(Compression::Xz, &samples::module(""));
    let cut = dir(&[("kvm.ko.xz", packed[..packed.len() / 2].to_vec())]);
    let broken = names(cut.path(), &["kvm"]).unwrap_err();
    assert!(broken.to_string().contains("kvm.ko.xz"), "{broken}");

    for error in [nowhere, other, broken] {
        assert_eq!(error.blame(), Blame::Environment, "{error}");
    }
}

#[test]
fn names_of_files() {
    assert_eq!(name_of_file("kvm-amd.ko.xz").as_deref(), Some("kvm_amd"));
    assert_eq!(name_of_file("rng-core.ko").as_deref(), Some("rng_core"));
    assert_eq!(name_of_file("kvm.ko.bz2"), None);
    assert_eq!(name_of_file(".ko"), None);
    assert_eq!(name_of_file("modules.order"), None);
}

proptest! {
    #[test]
    fn whatever_depends_on_whatever_the_order_holds(edges in prop::collection::vec((0..12_usize, 0..12_usize), 0..40)) {
        // Arrows to greater numbers only: real modules have no cycles.
        let needs = |n: usize| -> Vec<String> {
            edges.iter().filter(|(a, b)| *a == n && b > a).map(|(_, b)| format!("m{b}")).collect()
        };
        let files: Vec<(String, Vec<u8>)> =
            (0..12).map(|n| (format!("m{n}.ko"), samples::module(&needs(n).join(",")))).collect();
        let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, c)| (n.as_str(), c.clone())).collect();
        let dir = dir(&files);
        let order = names(dir.path(), &["m0", "m1"]).unwrap();
        for (at, name) in order.iter().enumerate() {
            for needed in needs(name[1..].parse().unwrap()) {
                prop_assert!(order[..at].contains(&needed), "{} before {} in {:?}", needed, name, order);
            }
        }
    }

    #[test]
    fn no_section_makes_it_panic(section in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ModuleInfo::parse(&section);
    }
}
