//! Why a kernel could not be prepared, and whose fault that is.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::debian::DebianError;
use super::image::ImageError;
use super::package::PackageError;
use super::spec::SpecError;
use super::variant::VariantError;
use crate::cache::CacheError;
use crate::fault::{Blame, Blamed};

/// Why a kernel could not be prepared.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The user's words name no kernel.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Debian's packages cannot be had.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// The kvm modules cannot be rebuilt.
    #[error(transparent)]
    Variant(#[from] VariantError),
    /// A file that should hold a kernel cannot be read.
    #[error("cannot read {path}: {source}; check the path and its permissions", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// This machine's own kernel is not to be had.
    #[error(
        "cannot read this machine's own kernel {path}: {source}; it is not installed in /boot or \
         only root may read it: name another kernel, such as debian:6.1 or IMAGE:MODULE_DIR",
        path = .path.display()
    )]
    Host {
        /// Where it would be.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// A package is damaged or holds no kernel.
    #[error("cannot use the package {path}: {source}", path = .path.display())]
    Package {
        /// The package.
        path: PathBuf,
        /// What is wrong with it.
        source: PackageError,
    },
    /// A kernel image is damaged or of the wrong kind.
    #[error("cannot use the kernel image {path}: {source}", path = .path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        source: ImageError,
    },
    /// The directory with the modules is not there.
    #[error("cannot read the module directory {dir}: {source}; give the directory that holds the kernel's .ko files", dir = .dir.display())]
    ModuleDir {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A module's file is damaged.
    #[error("cannot read the module {path}: {source}; get or build it again", path = .path.display())]
    Module {
        /// The module's file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The modules belong to another kernel than the image.
    #[error(
        "the module {path} was built for the kernel {built_for}, but the image is {release}; \
         give an image and modules of the same build", path = .path.display()
    )]
    OtherRelease {
        /// The module's file.
        path: PathBuf,
        /// The release in the module's `vermagic`.
        built_for: String,
        /// The image's release.
        release: String,
    },
    /// The kernel has no such module, neither as a file nor built in.
    #[error(
        "the kernel has no module {module}{}: neither a file for it in {dir} nor a line in \
         modules.builtin there; enable it in the kernel's configuration and build it again",
        .needed_by.as_ref().map(|by| format!(", which {by} needs")).unwrap_or_default(),
        dir = .dir.display()
    )]
    MissingModule {
        /// The module.
        module: String,
        /// The module that depends on it, if it was not asked for by name.
        needed_by: Option<String>,
        /// Where its file was looked for.
        dir: PathBuf,
    },
}

impl Blamed for KernelError {
    fn blame(&self) -> Blame {
        match self {
            Self::MissingModule { .. } => Blame::Kernel,
            Self::Variant(error) => error.blame(),
            _ => Blame::Environment,
        }
    }
}
