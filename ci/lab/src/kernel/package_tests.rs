use super::*;
use crate::cache::{Cache, Digest};
use crate::fault::{Blame, Blamed as _};
use crate::kernel::compression::Compression;
use crate::kernel::samples::{RELEASE, bzimage, deb, module as sample, vmlinux};
use crate::kernel::{ImageFormat, Kernel, KernelSpec, prepare};

const KVM: &str = "./lib/modules/6.1.0-50-amd64/kernel/arch/x86/kvm/";

/// Prepares a package with these bytes.
fn prepared(package: &[u8]) -> (tempfile::TempDir, Result<Kernel, KernelError>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("linux-image.deb");
    fs::write(&path, package).unwrap();
    let cache = Cache::open(dir.path().join("cache")).unwrap();
    let kernel = prepare(&KernelSpec::Package(path), &cache, &|_| ());
    (dir, kernel)
}

/// The message of a failure that is nobody's but the environment's.
fn complaint(package: &[u8]) -> String {
    let (dir, result) = prepared(package);
    let error = result.unwrap_err();
    assert_eq!(error.blame(), Blame::Environment, "{error}");
    let text = error.to_string();
    assert!(text.contains("linux-image.deb"), "{text}");
    let cache = Cache::open(dir.path().join("cache")).unwrap();
    assert!(cache.entries(crate::kernel::CACHE_KIND).is_empty(), "half a kernel was kept");
    text
}

/// A whole kernel package. KVM depends on a module that no list foresees, and that on another.
fn whole(kind: Option<Compression>, pvh: bool) -> Vec<u8> {
    let image = bzimage(&vmlinux(pvh), Compression::Xz);
    let modules = [
        ("../unforeseen/deepest.ko", ""),
        ("kvm.ko", "irqbypass"),
        ("kvm-amd.ko", "kvm,un-foreseen"),
        ("kvm-intel.ko", "kvm"),
        ("un-foreseen.ko", "deepest"),
        ("irqbypass.ko", ""),
        ("e1000.ko", ""),
    ]
    .map(|(name, depends)| (format!("{KVM}{name}").replace("kvm/../", ""), sample(depends)));
    let mut files: Vec<(&str, &[u8])> = vec![
        ("./boot/vmlinuz-6.1.0-50-amd64", &image),
        ("./boot/System.map-6.1.0-50-amd64", b"map"),
        ("./boot/config-6.1.0-50-amd64", b"CONFIG_HZ=250\n"),
        ("./usr/share/doc/linux-image/config", b"no kernel's\n"),
        ("./lib/modules/6.1.0-50-amd64/modules.builtin", b"kernel/x/ext4.ko\n"),
    ];
    files.extend(modules.iter().map(|(path, content)| (path.as_str(), content.as_slice())));
    deb(&files, kind)
}

#[test]
fn a_whole_package_becomes_a_kernel() {
    for kind in [None, Some(Compression::Xz), Some(Compression::Gzip), Some(Compression::Zstd)] {
        let (_dir, kernel) = prepared(&whole(kind, true));
        let kernel = kernel.unwrap();
        assert_eq!(kernel.version, "6.1.176");
        assert_eq!(kernel.config.read().unwrap(), ("package", b"CONFIG_HZ=250\n".to_vec()));
        assert_eq!(kernel.kernel_id, "6.1.176-1");
        assert_eq!(kernel.release, RELEASE);
        assert_eq!(kernel.format, ImageFormat::PvhElf);
        assert_eq!(fs::read(&kernel.image).unwrap(), vmlinux(true));
        let order = kernel.modules_for(&["kvm-amd", "ext4"]).unwrap();
        let names: Vec<&str> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["irqbypass", "kvm", "deepest", "un_foreseen", "kvm_amd"]);
        let missing = kernel.modules_for(&["e1000"]).unwrap_err();
        assert!(matches!(missing, KernelError::MissingModule { .. }), "{missing}");
    }
}

#[test]
fn without_a_pvh_entry_the_bzimage_is_kept() {
    let (_dir, kernel) = prepared(&whole(Some(Compression::Xz), false));
    let kernel = kernel.unwrap();
    assert_eq!(kernel.format, ImageFormat::BzImage);
    assert_eq!(fs::read(&kernel.image).unwrap(), bzimage(&vmlinux(false), Compression::Xz));
}

#[test]
fn a_cut_package_is_an_error_wherever_it_is_cut() {
    let package = whole(Some(Compression::Xz), true);
    for percent in [1, 10, 50, 90, 99] {
        let text = complaint(&package[..package.len() * percent / 100]);
        assert!(text.contains("get the file again"), "{percent} %: {text}");
    }
    let plain = whole(None, true);
    assert!(complaint(&plain[..plain.len() / 2]).contains("get the file again"));
}

#[test]
fn what_is_no_kernel_package() {
    assert!(complaint(b"garbage, and no archive at all").contains("no Debian package"));
    assert!(complaint(b"").contains("no Debian package"));
    let kvm = sample("");
    let modules = deb(&[("./usr/lib/modules/7/kernel/kvm.ko", &kvm)], Some(Compression::Xz));
    assert!(complaint(&modules).contains("no kernel image"));
    let image = bzimage(&vmlinux(true), Compression::Zstd);
    let half = deb(&[("./usr/lib/modules/7/vmlinuz", &image)], Some(Compression::Xz));
    assert!(complaint(&half).contains("debian:VERSION takes them all"));
    let cut = deb(
        &[("./boot/vmlinuz-7", &image[..image.len() - 100]), ("./lib/modules/7/kvm.ko", &kvm)],
        Some(Compression::Xz),
    );
    assert!(complaint(&cut).contains("cut off"));
}

#[test]
fn no_file_of_a_package_leaves_its_directory() {
    let wanted = BTreeSet::from(["kvm".to_owned()]);
    assert_eq!(target(Path::new("../../etc/kvm.ko"), &wanted), Some("modules/kvm.ko".into()));
    assert_eq!(target(Path::new("boot/vmlinuz-../x"), &wanted), None);
    assert_eq!(target(Path::new("etc/vmlinuz-6"), &wanted), None);
    assert_eq!(target(Path::new("boot/vmlinuz-6"), &wanted), Some(IMAGE.into()));
}

#[test]
fn an_image_and_a_directory_stay_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let modules = dir.path().join("mods");
    fs::create_dir(&modules).unwrap();
    fs::write(modules.join("kvm.ko"), sample("")).unwrap();
    let cache = Cache::open(dir.path().join("cache")).unwrap();
    let prepare_file = |content: &[u8]| {
        let image = dir.path().join("image");
        fs::write(&image, content).unwrap();
        let spec = KernelSpec::Files { image, module_dir: modules.clone() };
        prepare(&spec, &cache, &|_| ())
    };
    let elf = prepare_file(&vmlinux(true)).unwrap();
    assert_eq!((elf.image, elf.kernel_id.as_str()), (dir.path().join("image"), "6.1.176-1"));

    let packed = prepare_file(&bzimage(&vmlinux(true), Compression::Lz4Legacy)).unwrap();
    assert_eq!(fs::read(&packed.image).unwrap(), vmlinux(true));
    assert_eq!(packed.modules_for(&["kvm"]).unwrap()[0].bytes, sample(""));

    // A kernel that is nobody's package goes by its build id.
    let mut own = vmlinux(true);
    let debian = own.windows(6).position(|w| w == b"Debian").unwrap();
    own[debian..debian + 6].copy_from_slice(b"Custom");
    let own = prepare_file(&own).unwrap();
    assert_eq!((own.kernel_id.as_str(), own.version.as_str()), ("abcd", "6.1.0"));

    let cut = bzimage(&vmlinux(true), Compression::Xz);
    for (bad, words) in [
        (&cut[..cut.len() - 100], "cut off"),
        (b"nothing", "neither an x86 bzImage nor an ELF file"),
        (&vmlinux(false)[..], "without a PVH entry"),
    ] {
        let error = prepare_file(bad).unwrap_err();
        assert_eq!(error.blame(), Blame::Environment);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn the_key_is_the_packages_checksum() {
    let package = whole(Some(Compression::Gzip), true);
    let (dir, kernel) = prepared(&package);
    let cache = Cache::open(dir.path().join("cache")).unwrap();
    let entry = cache.entry(crate::kernel::CACHE_KIND, &Digest::of(&package)).unwrap();
    assert!(kernel.unwrap().image.starts_with(entry));
}
