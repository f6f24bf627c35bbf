//! Kernels whose kvm modules are rebuilt with a change: a policy, a patch, another tree's sources.
//!
//! The sources are copied and changed, what the change touches is compiled as the kernel was, and the
//! modules go over the kernel's own. They are kept by the content of all that went into them.

mod apply;
mod build;
mod chamber;
mod error;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

pub use error::VariantError;
pub(super) use tree::image_of as tree_image;

use super::debian::build::parts;
use super::spec::{Change, KernelSpec};
use super::{Kernel, KernelError};
use crate::cache::{Cache, CacheError, Digest};
use apply::Prepared;
use build::{Modules, Site};

/// The cache's kind of entry for rebuilt modules. The number rises when their layout or the way they
/// are built changes.
const CACHE_KIND: &str = "variants-2";

/// What is changed, in words for errors.
struct Changed<'a> {
    change: String,
    /// The kernel's version.
    kernel: &'a str,
}

/// The kernel that `base` names, with its kvm modules changed.
pub(super) fn prepare(
    base: &KernelSpec,
    change: &Change,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Kernel, KernelError> {
    let prepared = Prepared::read(change)?;
    let kernel = super::prepare(base, cache, progress)?;
    let site = match base {
        KernelSpec::Tree(path) => Site::tree(path, super::debian::build::tools(cache, progress)?)?,
        _ if is_debian(&kernel) => Site::debian(parts(&kernel, cache, progress)?),
        _ => return Err(VariantError::NoSources(base.to_string()).into()),
    };
    let what = Changed { change: format!("+{change}"), kernel: &kernel.kernel_id };
    let key = Digest::of(format!("{}\n{}\n", site.identity(), prepared.digest()).as_bytes());
    let overlay = cache.entry_or_fill::<KernelError>(CACHE_KIND, &key, |entry| {
        let work =
            tempfile::Builder::new().prefix(".unfinished-").tempdir_in(cache.dir(CACHE_KIND)?);
        let work = work.map_err(CacheError::io("create a directory in", cache.root()))?;
        let tree = work.path().join("tree");
        site.copy_sources(&tree)?;
        let before = apply::contents(&tree).map_err(VariantError::io("read", &tree))?;
        progress(&format!("changing the kvm sources of {} ({})", kernel.kernel_id, what.change));
        prepared.apply(&what, work.path(), &site.tools)?;
        let after = apply::contents(&tree).map_err(VariantError::io("read", &tree))?;
        let modules = Modules::touched_by(&before, &after);
        if modules.any() {
            progress(&format!("building {modules} of {} ({})", kernel.kernel_id, what.change));
            site.build(&what, &tree, modules, entry)?;
        }
        Ok(())
    })?;
    Ok(Kernel { variant: name(change), overlay: Some(overlay), ..kernel })
}

/// What a variant is called in records.
fn name(change: &Change) -> String {
    match change {
        Change::Always | Change::Never => change.to_string(),
        Change::Patch(path) | Change::SourceDir(path) => {
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            let last = path.file_name().unwrap_or(path.as_os_str());
            last.to_string_lossy().into_owned()
        }
    }
}

/// Whether the kernel is a package of Debian's, by its names.
fn is_debian(kernel: &Kernel) -> bool {
    kernel.kernel_id.contains('-')
        && kernel.kernel_id.starts_with(|c: char| c.is_ascii_digit())
        && kernel.release.ends_with("-amd64")
}

/// The name of a cache entry is the checksum of its content.
fn entry_name(entry: &Path) -> String {
    entry.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The modules in a directory of rebuilt ones.
pub(super) fn modules_in(overlay: &Path) -> Vec<(String, PathBuf)> {
    let listing = fs::read_dir(overlay).into_iter().flatten().flatten();
    let named =
        |path: PathBuf| Some((super::module::name_of_file(path.file_name()?.to_str()?)?, path));
    listing.filter_map(|entry| named(entry.path())).collect()
}

#[cfg(test)]
mod tests;
