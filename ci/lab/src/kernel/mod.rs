//! Finding a kernel and preparing it: an image an emulator can start and the modules it needs.

mod compression;
mod config;
pub mod debian;
mod error;
mod image;
mod module;
mod package;
#[cfg(test)]
mod samples;
mod spec;
mod variant;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use config::ConfigPlaces;
pub use error::KernelError;
pub use image::ImageError;
pub use module::Module;
pub use package::PackageError;
pub use spec::{Change, KernelSpec, SpecError};
pub use variant::VariantError;

use crate::cache::{Cache, CacheError, Digest};
use image::{Banner, BzImage, Vmlinux};
use module::ModuleDir;

/// The modules a kernel is kept for: KVM and its two vendor halves.
const KERNEL_MODULES: [&str; 3] = ["kvm", "kvm_amd", "kvm_intel"];

/// The cache's kind of entry for prepared kernels. The number rises when their layout changes.
pub const CACHE_KIND: &str = "kernels-2";
/// What was found out about a prepared kernel.
const FACTS: &str = "kernel.json";
/// A prepared kernel's ELF file.
const VMLINUX: &str = "vmlinux";

/// A kernel that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The kernel's own version: `6.1.176`.
    pub version: String,
    /// The package's version (`6.1.176-1`), else the image's build id, else its checksum.
    pub kernel_id: String,
    /// What `uname -r` says in it: `6.1.0-50-amd64`.
    pub release: String,
    /// The file to start: an ELF file where the kernel has a PVH entry, else the bzImage.
    pub image: PathBuf,
    /// The form of [`Kernel::image`].
    pub format: ImageFormat,
    /// The checksum of [`Kernel::image`], taken when it was written or read: a vmlinux is long.
    pub image_sum: Digest,
    /// Where the modules lie, at any depth.
    pub module_dir: PathBuf,
    /// Where the configuration it was built with may lie.
    pub config: ConfigPlaces,
    /// What was changed in its kvm modules: `stock`, `always`, `never`, or a patch's or directory's name.
    pub variant: String,
    /// A directory with modules that replace those of the same name.
    pub overlay: Option<PathBuf>,
}

/// The variant's name of a kernel as it is.
const STOCK: &str = "stock";

/// The form in which an emulator gets a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageFormat {
    /// An ELF file with a PVH entry point: starts without unpacking itself first.
    PvhElf,
    /// The compressed image as built.
    BzImage,
}

/// What a prepared kernel's directory remembers of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Facts {
    version: String,
    kernel_id: String,
    release: String,
    format: ImageFormat,
    /// The image's name in the directory.
    image: String,
    /// And its checksum.
    image_sum: Digest,
}

impl Kernel {
    /// These modules and all they depend on, uncompressed, in the order in which to load them.
    ///
    /// `-` and `_` in names are the same. What is built into the kernel needs no file and is left out.
    pub fn modules_for(&self, names: &[&str]) -> Result<Vec<Module>, KernelError> {
        let mut modules = ModuleDir::open(&self.module_dir, &self.release)?;
        for (name, path) in self.overlay.iter().flat_map(|dir| variant::modules_in(dir)) {
            modules.replace(name, path);
        }
        modules.load_order(names, &self.release)
    }

    fn from_entry(entry: &Path) -> Result<Self, CacheError> {
        let facts = read_facts(entry)?;
        Ok(Self {
            version: facts.version,
            kernel_id: facts.kernel_id,
            release: facts.release,
            image: entry.join(facts.image),
            format: facts.format,
            image_sum: facts.image_sum,
            module_dir: entry.join(package::MODULES),
            config: ConfigPlaces::of_package(entry),
            variant: STOCK.to_owned(),
            overlay: None,
        })
    }
}

/// Finds the kernel that `spec` names and prepares it. What was prepared before is taken from the cache.
///
/// `progress` is told in a few words what takes time.
pub fn prepare(
    spec: &KernelSpec,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Kernel, KernelError> {
    match spec {
        KernelSpec::Host => {
            let uname = nix::sys::utsname::uname().map_err(io::Error::from);
            let uname = uname.map_err(|source| read_error("the kernel's release", source))?;
            let release = uname.release().to_string_lossy();
            let image = PathBuf::from(format!("/boot/vmlinuz-{release}"));
            let module_dir = PathBuf::from(format!("/lib/modules/{release}"));
            fs::File::open(&image)
                .map_err(|source| KernelError::Host { path: image.clone(), source })?;
            prepare_files(&image, &module_dir, cache, progress)
        }
        KernelSpec::Debian(wanted) => debian::prepare(wanted, cache, progress),
        KernelSpec::Package(path) => {
            let key = Digest::of_file(path).map_err(|source| read_error(path, source))?;
            prepare_packages(std::slice::from_ref(path), &key, None, cache, progress)
        }
        KernelSpec::Files { image, module_dir } => {
            prepare_files(image, module_dir, cache, progress)
        }
        KernelSpec::Tree(path) => {
            let image = variant::tree_image(path)?;
            prepare_files(&image, path, cache, progress)
        }
        KernelSpec::Variant { base, change } => variant::prepare(base, change, cache, progress),
    }
}

fn read_error(path: impl AsRef<Path>, source: io::Error) -> KernelError {
    KernelError::Read { path: path.as_ref().to_owned(), source }
}

/// A kernel out of the packages it consists of, kept under `key`.
fn prepare_packages(
    packages: &[PathBuf],
    key: &Digest,
    package_version: Option<&str>,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Kernel, KernelError> {
    let entry = cache.entry_or_fill::<KernelError>(CACHE_KIND, key, |place| {
        let name = packages[0].file_name().unwrap_or_default().to_string_lossy();
        progress(&format!("unpacking {name}"));
        package::unpack(packages, place)?;
        let vmlinuz = place.join(package::IMAGE);
        let file = fs::read(&vmlinuz).map_err(|source| read_error(&vmlinuz, source))?;
        // The file in the cache is about to vanish: an error had better name the package.
        let bad = |source| KernelError::Image { path: packages[0].clone(), source };
        let image = Image::of(&file).map_err(bad)?;
        image.keep(&file, package_version, place)?;
        if image.vmlinux.is_some() {
            fs::remove_file(&vmlinuz).map_err(CacheError::io("remove", &vmlinuz))?;
        }
        Ok(())
    })?;
    Ok(Kernel::from_entry(&entry)?)
}

/// A kernel out of an image and a directory, which stays where it is.
fn prepare_files(
    image: &Path,
    module_dir: &Path,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Kernel, KernelError> {
    let path = fs::canonicalize(image).map_err(|source| read_error(image, source))?;
    let file = fs::read(&path).map_err(|source| read_error(&path, source))?;
    let bad = |source| KernelError::Image { path: path.clone(), source };
    let module_dir = fs::canonicalize(module_dir)
        .map_err(|source| KernelError::ModuleDir { dir: module_dir.to_owned(), source })?;
    if image::is_elf(&file) {
        let facts = elf_facts(&file).map_err(bad)?;
        let Facts { version, kernel_id, release, format, image_sum, .. } = facts;
        return Ok(Kernel {
            version,
            kernel_id,
            config: ConfigPlaces::of_files(&path, &module_dir, &release),
            release,
            format,
            image: path,
            image_sum,
            module_dir,
            variant: STOCK.to_owned(),
            overlay: None,
        });
    }
    let key = Digest::of(&file);
    let entry = cache.entry_or_fill::<KernelError>(CACHE_KIND, &key, |place| {
        progress(&format!("unpacking {}", path.display()));
        let image = Image::of(&file).map_err(bad)?;
        if image.vmlinux.is_none() {
            Cache::write(&place.join(package::IMAGE), &file)?;
        }
        Ok(image.keep(&file, None, place)?)
    })?;
    let kernel = Kernel::from_entry(&entry)?;
    let config = ConfigPlaces::of_files(&path, &module_dir, &kernel.release);
    Ok(Kernel { module_dir, config, ..kernel })
}

/// What is known of a vmlinux that a user built.
fn elf_facts(file: &[u8]) -> Result<Facts, ImageError> {
    let vmlinux = Vmlinux::parse(file)?;
    if !vmlinux.has_pvh_entry()? {
        return Err(ImageError::NoPvh);
    }
    let banner = Banner::parse(vmlinux.banner()?)?;
    Ok(Facts {
        version: banner.upstream().to_owned(),
        kernel_id: identity(&banner, None, vmlinux.build_id()?, file),
        release: banner.release,
        format: ImageFormat::PvhElf,
        image: VMLINUX.to_owned(),
        image_sum: Digest::of(file),
    })
}

/// The package's version, else the build id, else the image's checksum.
fn identity(
    banner: &Banner,
    package: Option<&str>,
    build_id: Option<String>,
    file: &[u8],
) -> String {
    let package = package.map(str::to_owned).or_else(|| banner.debian.clone());
    package.or(build_id).unwrap_or_else(|| format!("sha256:{}", Digest::of(file)))
}

/// A bzImage, and the ELF file in it if an emulator can start that.
struct Image {
    banner: Banner,
    vmlinux: Option<Vec<u8>>,
}

impl Image {
    fn of(file: &[u8]) -> Result<Self, ImageError> {
        let bzimage = BzImage::parse(file)?;
        let banner = Banner::parse(bzimage.banner()?)?;
        let startable = |kernel: &Vec<u8>| {
            image::is_elf(kernel)
                && Vmlinux::parse(kernel).and_then(|v| v.has_pvh_entry()).unwrap_or(false)
        };
        let vmlinux = bzimage.unpack()?.filter(startable);
        Ok(Self { banner, vmlinux })
    }

    /// Writes the ELF file and what is known of the kernel into `place`.
    fn keep(&self, file: &[u8], package: Option<&str>, place: &Path) -> Result<(), CacheError> {
        let mut build_id = None;
        if let Some(vmlinux) = &self.vmlinux {
            build_id = Vmlinux::parse(vmlinux).and_then(|v| v.build_id()).unwrap_or(None);
            Cache::write(&place.join(VMLINUX), vmlinux)?;
        }
        let (format, image, bytes) = match &self.vmlinux {
            Some(vmlinux) => (ImageFormat::PvhElf, VMLINUX, vmlinux.as_slice()),
            None => (ImageFormat::BzImage, package::IMAGE, file),
        };
        write_facts(
            place,
            &Facts {
                version: self.banner.upstream().to_owned(),
                kernel_id: identity(&self.banner, package, build_id, file),
                release: self.banner.release.clone(),
                format,
                image: image.to_owned(),
                image_sum: Digest::of(bytes),
            },
        )
    }
}

fn read_facts(entry: &Path) -> Result<Facts, CacheError> {
    let path = entry.join(FACTS);
    let text = fs::read(&path).map_err(CacheError::io("read", &path))?;
    serde_json::from_slice(&text).map_err(|e| CacheError::io("understand", &path)(e.into()))
}

fn write_facts(place: &Path, facts: &Facts) -> Result<(), CacheError> {
    let path = place.join(FACTS);
    let text = serde_json::to_vec_pretty(facts);
    let text = text.map_err(|e| CacheError::io("write", &path)(e.into()))?;
    Cache::write(&path, &text)
}
