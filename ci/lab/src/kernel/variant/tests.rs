//! Changes applied to real sources, without compiling them.

use std::fs;
use std::path::Path;

use super::apply::{Prepared, copy};
use super::*;
use crate::fault::{Blame, Blamed as _};
use crate::kernel::debian::{self, Refresh};

fn cache() -> Cache {
    Cache::open(Cache::default_dir().unwrap()).unwrap()
}

/// The newest version of a series that is offered today.
fn newest(series: &str) -> String {
    let offers = debian::offered(&cache(), Refresh::default(), &|_| {}).unwrap();
    let of_series = |offer: &&debian::Offer| offer.package_version.as_str().starts_with(series);
    offers.iter().rfind(of_series).expect(series).package_version.to_string()
}

/// Applies a change to a copy of a kernel's sources and gives what `look` makes of the copy.
fn applied<T>(
    version: &str,
    change: &Change,
    look: impl FnOnce(&Path) -> T,
) -> Result<T, VariantError> {
    let cache = cache();
    let source = debian::build::source_of(version, &cache, &|_| {}).unwrap();
    let tools = debian::build::tools(&cache, &|_| {}).unwrap();
    let work = tempfile::tempdir().unwrap();
    copy(&source, &work.path().join("tree")).unwrap();
    let what = Changed { change: format!("+{change}"), kernel: version };
    Prepared::read(change)?.apply(&what, work.path(), &tools)?;
    Ok(look(&work.path().join("tree")))
}

fn read(tree: &Path, file: &str) -> String {
    fs::read_to_string(tree.join(file)).unwrap()
}

const SVM: &str = "arch/x86/kvm/svm/svm.c";
const VMX: &str = "arch/x86/kvm/vmx/vmx.c";

#[test]
fn the_policies_apply_to_every_series() {
    for series in ["5.10.", "6.1.", "6.12.", "7."] {
        let version = newest(series);
        applied(&version, &Change::Always, |tree| {
            for file in [SVM, VMX] {
                assert!(
                    !read(tree, file).contains("|= KVM_DEBUGREG_WONT_EXIT"),
                    "{version} {file}"
                );
            }
        })
        .unwrap();
        applied(&version, &Change::Never, |tree| {
            let calls = |file, name: &str| read(tree, file).matches(name).count();
            // Defined and called once each; nothing re-arms after a run.
            assert_eq!(calls(SVM, "svm_switch_dr_intercepts("), 2, "{version}");
            assert_eq!(calls(VMX, "vmx_switch_dr_intercepts("), 2, "{version}");
            let vmx = read(tree, VMX);
            let sync = vmx.split("void vmx_sync_dirty_debug_regs(").nth(1).unwrap();
            let sync = sync.split("\n}").next().unwrap();
            assert!(!sync.contains("MOV_DR_EXITING"), "{version}: {sync}");
        })
        .unwrap();
    }
}

fn patch(name: &str, text: &str) -> (tempfile::TempDir, Change) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    (dir, Change::Patch(path))
}

#[test]
fn a_patch_that_does_not_apply_shows_its_hunk() {
    let text = format!(
        "--- a/{SVM}\n+++ b/{SVM}\n@@ -1,3 +1,3 @@\n no such line\n-nor this\n+but that\n nor the next\n"
    );
    let (_dir, change) = patch("wrong.patch", &text);
    let error = applied(&newest("6.1."), &change, |_| ()).unwrap_err();
    assert_eq!(error.blame(), Blame::Kernel);
    let text = error.to_string();
    assert!(text.contains("wrong.patch") && text.contains("-nor this"), "{text}");
}

#[test]
fn a_rule_that_matches_nothing_is_told() {
    let (_dir, change) = patch("none.cocci", "@@\n@@\n- no_such_function();\n");
    let error = applied(&newest("6.1."), &change, |_| ()).unwrap_err();
    assert_eq!(error.blame(), Blame::Kernel);
    assert!(error.to_string().contains("no rule of it matches"), "{error}");
}

#[test]
fn what_is_not_there_or_cannot_be_rebuilt_is_no_fault_of_the_kernel() {
    let missing = Prepared::read(&Change::Patch("/nonexistent.patch".into())).err().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let bare = Prepared::read(&Change::SourceDir(empty.path().into())).err().unwrap();
    let (_dir, change) =
        patch("far.patch", "--- a/mm/slub.c\n+++ b/mm/slub.c\n@@ -1 +1 @@\n-a\n+b\n");
    let outside = applied(&newest("6.1."), &change, |_| ()).unwrap_err();
    for (error, word) in
        [(missing, "/nonexistent.patch"), (bare, "arch/x86/kvm"), (outside, "mm/slub.c")]
    {
        assert_eq!(error.blame(), Blame::Environment);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_stale_tree_is_refused() {
    let tree = tempfile::tempdir().unwrap();
    let write = |file: &str, seconds: u64| {
        let path = tree.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(path).unwrap();
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        file.set_modified(at).unwrap();
    };
    assert!(matches!(tree_image(tree.path()), Err(VariantError::NotBuilt(_))));
    write("arch/x86/boot/bzImage", 3);
    write("arch/x86/kvm/kvm.ko", 3);
    write("arch/x86/kvm/svm/svm.c", 2);
    assert_eq!(tree_image(tree.path()).unwrap(), tree.path().join("arch/x86/boot/bzImage"));
    write("arch/x86/kvm/svm/svm.c", 4);
    let text = tree_image(tree.path()).unwrap_err().to_string();
    assert!(text.contains("svm.c is newer") && text.contains("make -C"), "{text}");
}
