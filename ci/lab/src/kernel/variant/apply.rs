//! Changing a copy of the kvm sources.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::chamber::Chamber;
use super::{Changed, VariantError};
use crate::cache::Digest;
use crate::kernel::debian::build::SOURCE_PARTS;
use crate::kernel::spec::Change;

/// The two policies as semantic patches: one text for all kernels.
const ALWAYS: &str = include_str!("../../../policies/always.cocci");
const NEVER: &str = include_str!("../../../policies/never.cocci");

/// The files that the policies change.
const POLICY_FILES: [&str; 2] = ["arch/x86/kvm/svm/svm.c", "arch/x86/kvm/vmx/vmx.c"];

/// A rule that matches nothing is no error to spatch: what must be (or not be) in each file afterwards.
const ALWAYS_LEAVES: [(&str, bool); 1] = [("switch_db_regs |= KVM_DEBUGREG_WONT_EXIT", false)];
const NEVER_LEAVES: [(&str, bool); 3] = [
    ("_guest_debug_begin(vcpu);", true),
    ("_switch_dr_intercepts(vcpu);", true),
    ("_guest_debug_end(vcpu);", true),
];

/// A change, read and ready to be applied.
pub(super) enum Prepared {
    /// A semantic patch, and what it must leave behind if it is one of ours.
    Semantic { text: String, leaves: &'static [(&'static str, bool)] },
    /// A unified diff.
    Diff(String),
    /// Files that replace those of the kernel.
    Sources { dir: PathBuf, digest: Digest },
}

impl Prepared {
    /// Reads what `change` names.
    pub(super) fn read(change: &Change) -> Result<Self, VariantError> {
        let semantic = |text: &str, leaves| Self::Semantic { text: text.to_owned(), leaves };
        match change {
            Change::Always => Ok(semantic(ALWAYS, &ALWAYS_LEAVES)),
            Change::Never => Ok(semantic(NEVER, &NEVER_LEAVES)),
            Change::Patch(path) => {
                let path = at_home(path);
                let text = fs::read_to_string(&path)
                    .map_err(|source| VariantError::Read { path: path.clone(), source })?;
                let is_semantic = path.extension().is_some_and(|end| end == "cocci");
                Ok(if is_semantic { semantic(&text, &[]) } else { Self::Diff(text) })
            }
            Change::SourceDir(path) => {
                let path = at_home(path);
                let unreadable = |source| VariantError::Read { path: path.clone(), source };
                let dir = fs::canonicalize(&path).map_err(unreadable)?;
                if !dir.join("arch/x86/kvm").is_dir() {
                    return Err(VariantError::NoKvmSources(dir));
                }
                let mut sums = String::new();
                for (name, sum) in contents(&dir).map_err(unreadable)? {
                    // Writing to a string cannot fail.
                    let _ = writeln!(sums, "{} {sum}", name.display());
                }
                Ok(Self::Sources { dir, digest: Digest::of(sums.as_bytes()) })
            }
        }
    }

    /// What tells this change from others.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Semantic { text, .. } | Self::Diff(text) => Digest::of(text.as_bytes()),
            Self::Sources { digest, .. } => *digest,
        }
    }

    /// Changes the sources in `work/tree`. Tools of `tools` do it.
    pub(super) fn apply(
        &self,
        what: &Changed<'_>,
        work: &Path,
        tools: &Path,
    ) -> Result<(), VariantError> {
        let chamber = Chamber {
            root: tools.to_owned(),
            mounts: vec![(work.to_owned(), "/build".to_owned())],
        };
        chamber.prepare()?;
        match self {
            Self::Semantic { text, leaves } => semantic(text, leaves, what, work, &chamber),
            Self::Diff(text) => diff(text, what, work, &chamber),
            Self::Sources { dir, .. } => replace(dir, &work.join("tree")),
        }
    }
}

/// The shell leaves a `~` alone that stands in the middle of a word.
fn at_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

fn does_not_apply(what: &Changed<'_>, words: String) -> VariantError {
    let (change, kernel) = (what.change.clone(), what.kernel.to_owned());
    VariantError::DoesNotApply { change, kernel, words }
}

fn semantic(
    text: &str,
    leaves: &[(&str, bool)],
    what: &Changed<'_>,
    work: &Path,
    chamber: &Chamber,
) -> Result<(), VariantError> {
    let script = work.join("change.cocci");
    fs::write(&script, text).map_err(VariantError::io("write", &script))?;
    let tree = work.join("tree");
    let before = contents(&tree).map_err(VariantError::io("read", &tree))?;
    let mut words = vec!["spatch", "--very-quiet", "--no-includes", "--in-place"];
    words.extend(["--sp-file", "/build/change.cocci"]);
    if leaves.is_empty() {
        words.extend(["--dir", "/build/tree"]);
    } else {
        words.extend(POLICY_FILES);
    }
    let output = chamber.run("/build/tree", &words)?;
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() {
        return Err(does_not_apply(what, told));
    }
    if contents(&tree).map_err(VariantError::io("read", &tree))? == before {
        return Err(does_not_apply(what, format!("no rule of it matches anything\n{told}")));
    }
    for file in POLICY_FILES.iter().filter(|_| !leaves.is_empty()) {
        let path = tree.join(file);
        let text = fs::read_to_string(&path).map_err(VariantError::io("read", &path))?;
        if let Some((words, wanted)) = leaves.iter().find(|(words, is)| text.contains(words) != *is)
        {
            let not = if *wanted { "no" } else { "still" };
            return Err(does_not_apply(
                what,
                format!("{file} has {not} `{words}` in it afterwards"),
            ));
        }
    }
    Ok(())
}

fn diff(
    text: &str,
    what: &Changed<'_>,
    work: &Path,
    chamber: &Chamber,
) -> Result<(), VariantError> {
    for file in touched(text) {
        if !SOURCE_PARTS.iter().any(|part| Path::new(file).starts_with(part)) {
            let (change, file) = (what.change.clone(), file.to_owned());
            return Err(VariantError::Outside { change, file });
        }
    }
    let script = work.join("change.patch");
    fs::write(&script, text).map_err(VariantError::io("write", &script))?;
    let words = ["patch", "-p1", "--batch", "--forward", "--no-backup-if-mismatch"];
    let words =
        [&words[..], &["--reject-file=/build/rejected", "-i", "/build/change.patch"]].concat();
    let output = chamber.run("/build/tree", &words)?;
    if output.status.success() {
        return Ok(());
    }
    let rejected = fs::read_to_string(work.join("rejected")).unwrap_or_default();
    let told = String::from_utf8_lossy(&output.stdout);
    Err(does_not_apply(what, format!("{}\n{rejected}", told.trim())))
}

/// The files that a unified diff names, without the first part of each path.
fn touched(diff: &str) -> impl Iterator<Item = &str> {
    diff.lines()
        .filter_map(|line| line.strip_prefix("--- ").or_else(|| line.strip_prefix("+++ ")))
        .filter_map(|rest| rest.split(['\t', ' ']).next())
        .filter(|path| *path != "/dev/null")
        .filter_map(|path| path.split_once('/').map(|(_, path)| path))
}

/// Puts the directories of another tree in the place of the kernel's.
fn replace(from: &Path, tree: &Path) -> Result<(), VariantError> {
    for part in ["arch/x86/kvm", "virt/kvm"] {
        let (from, to) = (from.join(part), tree.join(part));
        if from.is_dir() {
            fs::remove_dir_all(&to).map_err(VariantError::io("remove", &to))?;
            copy(&from, &to).map_err(VariantError::io("copy", &from))?;
        }
    }
    Ok(())
}

/// Copies the sources in a directory, and nothing that a build leaves there.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else if is_source(&path) && path.is_file() {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Whether a file is a source, by its name.
fn is_source(path: &Path) -> bool {
    const BUILT: [&str; 8] = ["o", "ko", "a", "mod", "cmd", "order", "symvers", "s"];
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or(".");
    let end = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    !name.starts_with('.')
        && !BUILT.contains(&end)
        && !name.ends_with(".mod.c")
        && name != "kvm-asm-offsets.h"
}

/// The checksums of the sources that modules are rebuilt from, by their paths below `dir`.
pub(super) fn contents(dir: &Path) -> io::Result<BTreeMap<PathBuf, Digest>> {
    fn scan(dir: &Path, below: &Path, found: &mut BTreeMap<PathBuf, Digest>) -> io::Result<()> {
        for entry in fs::read_dir(dir.join(below))? {
            let name = below.join(entry?.file_name());
            let path = dir.join(&name);
            if path.is_dir() {
                scan(dir, &name, found)?;
            } else if is_source(&path) && path.is_file() {
                found.insert(name, Digest::of_file(&path)?);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    for part in SOURCE_PARTS.into_iter().filter(|part| dir.join(part).is_dir()) {
        scan(dir, Path::new(part), &mut found)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_names_its_files() {
        let diff = "diff --git a/arch/x86/kvm/x86.c b/arch/x86/kvm/x86.c\n\
                    --- a/arch/x86/kvm/x86.c\t2026-01-01\n+++ b/arch/x86/kvm/x86.c\n@@ -1 +1 @@\n-a\n+b\n\
                    --- /dev/null\n+++ b/Documentation/kvm.rst\n";
        let files: Vec<&str> = touched(diff).collect();
        assert_eq!(files, ["arch/x86/kvm/x86.c", "arch/x86/kvm/x86.c", "Documentation/kvm.rst"]);
    }

    #[test]
    fn what_a_build_leaves_is_no_source() {
        for name in ["svm.o", ".svm.o.cmd", "kvm.ko", "kvm.mod.c", "modules.order", ".git"] {
            assert!(!is_source(Path::new(name)), "{name}");
        }
        for name in ["svm.c", "svm.h", "Makefile", "vmenter.S", "Kconfig", "Makefile.kvm"] {
            assert!(is_source(Path::new(name)), "{name}");
        }
    }
}
