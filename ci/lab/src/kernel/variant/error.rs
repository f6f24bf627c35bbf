//! Why a kernel's modules could not be rebuilt, and whose fault that is.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::fault::{Blame, Blamed};

/// Why a kernel's modules could not be rebuilt with a change.
#[derive(Debug, Error)]
pub enum VariantError {
    /// The patch or directory is not there.
    #[error("cannot read {path}: {source}; check the path after the +", path = .path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file operation in the work directory failed.
    #[error("cannot {action} {path}: {source}; is the disk full?", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
    /// The directory holds no kvm sources.
    #[error(
        "{} has no arch/x86/kvm in it; give the root of a kernel tree, or a directory laid out like one",
        .0.display()
    )]
    NoKvmSources(PathBuf),
    /// The kernel is not one of Debian's packages and no build tree either.
    #[error(
        "the kvm modules of {0} cannot be rebuilt: neither a Debian kernel, whose sources are to be \
         had, nor a build tree; name it as debian:VERSION or by the tree it was built in"
    )]
    NoSources(String),
    /// The patch does not apply.
    #[error("{change} does not apply to the sources of {kernel}:\n{words}")]
    DoesNotApply {
        /// The patch.
        change: String,
        /// The kernel's version.
        kernel: String,
        /// What the tool says, with the hunk or rule.
        words: String,
    },
    /// The changed sources do not compile.
    #[error("the kvm modules of {kernel} do not compile with {change}:\n{words}")]
    DoesNotCompile {
        /// The change.
        change: String,
        /// The kernel's version.
        kernel: String,
        /// What the compiler says.
        words: String,
    },
    /// The patch touches what modules cannot be rebuilt from.
    #[error(
        "{change} touches {file}, but only arch/x86/kvm, virt and arch/x86/include/asm can be \
         rebuilt here; leave the rest out, or build the whole kernel and give its tree"
    )]
    Outside {
        /// The patch.
        change: String,
        /// The first such file.
        file: String,
    },
    /// No user namespace for the build.
    #[error(
        "cannot set up a private build directory ({0}): it needs unshare (util-linux) and user \
         namespaces; allow them (sysctl kernel.unprivileged_userns_clone=1 or \
         user.max_user_namespaces) or run as root"
    )]
    NoNamespace(String),
    /// The built modules could not be freed of their debugging information.
    #[error(
        "strip -g failed on the modules that were built: {0}; is the disk full? The build tools in \
         the cache can be made anew: drbench cache prune --kind build-roots-1"
    )]
    Strip(String),
    /// A build tree's modules are older than its sources.
    #[error(
        "{source_file} is newer than {module}: the tree would be tested stale; first type: \
         make -C {tree} bzImage modules",
        source_file = .file.display(), module = .module.display(), tree = .tree.display()
    )]
    Stale {
        /// The tree.
        tree: PathBuf,
        /// The newer source.
        file: PathBuf,
        /// The older module.
        module: PathBuf,
    },
    /// Nothing was built in the tree.
    #[error(
        "{tree} has no kernel in it: neither arch/x86/boot/bzImage nor vmlinux; first type: \
         make -C {tree} bzImage modules",
        tree = .0.display()
    )]
    NotBuilt(PathBuf),
}

impl Blamed for VariantError {
    fn blame(&self) -> Blame {
        match self {
            Self::DoesNotApply { .. } | Self::DoesNotCompile { .. } => Blame::Kernel,
            _ => Blame::Environment,
        }
    }
}

impl VariantError {
    /// For `map_err`: a failed `action` on `path`.
    pub(super) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
