//! Kernel build trees: the image in them, and whether their modules are what the sources say.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::VariantError;

/// The image that a build left in a tree, if no kvm source is newer than what was built of it.
pub(crate) fn image_of(tree: &Path) -> Result<PathBuf, VariantError> {
    let image = ["arch/x86/boot/bzImage", "vmlinux"].map(|name| tree.join(name));
    let image = image.into_iter().find(|image| image.is_file());
    let image = image.ok_or_else(|| VariantError::NotBuilt(tree.to_owned()))?;
    refuse_stale(tree, &image)?;
    Ok(image)
}

/// Make looks at the time of change, and so do we: a module is as old as its file, kvm built into the
/// kernel as old as the image.
fn refuse_stale(tree: &Path, image: &Path) -> Result<(), VariantError> {
    let kvm = tree.join("arch/x86/kvm");
    let modules = ["kvm.ko", "kvm-amd.ko", "kvm-intel.ko"].map(|name| kvm.join(name));
    let built = modules.into_iter().filter(|module| module.is_file());
    let oldest = built.filter_map(|module| Some((changed(&module)?, module))).min();
    let oldest = oldest.or_else(|| Some((changed(image)?, image.to_owned())));
    let newest =
        ["arch/x86/kvm", "virt/kvm"].iter().filter_map(|part| newest(&tree.join(part))).max();
    match (oldest, newest) {
        (Some((built, module)), Some((changed, file))) if changed > built => {
            Err(VariantError::Stale { tree: tree.to_owned(), file, module })
        }
        _ => Ok(()),
    }
}

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|facts| facts.modified()).ok()
}

/// The source that was changed last.
fn newest(dir: &Path) -> Option<(SystemTime, PathBuf)> {
    let listing = fs::read_dir(dir).into_iter().flatten().flatten();
    listing
        .filter_map(|entry| {
            let path = entry.path();
            let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
            let generated =
                path.to_string_lossy().ends_with(".mod.c") || path.ends_with("kvm-asm-offsets.h");
            if path.is_dir() {
                newest(&path)
            } else if !generated && ["c", "h", "S"].contains(&end) {
                Some((changed(&path)?, path))
            } else {
                None
            }
        })
        .max()
}
