//! Compiling changed kvm sources: where, which modules, and with what.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use super::apply;
use super::chamber::Chamber;
use super::{Changed, VariantError, entry_name};
use crate::cache::Digest;
use crate::kernel::debian::build::{BuildParts, SOURCE_PARTS};

const KVM: &str = "arch/x86/kvm";
const ASM: &str = "arch/x86/include/asm";

/// The modules that a change touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Modules {
    common: bool,
    amd: bool,
    intel: bool,
}

impl Modules {
    /// A vendor's own directory is its module's alone; all else is in `kvm.ko`, whose layout the
    /// vendors' modules must share.
    pub(super) fn touched_by(
        before: &BTreeMap<PathBuf, Digest>,
        after: &BTreeMap<PathBuf, Digest>,
    ) -> Self {
        let mut modules = Self::default();
        let files = before.keys().chain(after.keys());
        for file in files.filter(|file| before.get(*file) != after.get(*file)) {
            let below = file.strip_prefix(KVM).unwrap_or(Path::new(""));
            match below.iter().next().and_then(|name| name.to_str()) {
                Some("svm") => modules.amd = true,
                Some("vmx") => modules.intel = true,
                _ => modules = Self { common: true, amd: true, intel: true },
            }
        }
        modules
    }

    /// Whether there is anything to build.
    pub(super) fn any(self) -> bool {
        self.common || self.amd || self.intel
    }

    /// Settings that keep the others from being built. They reach make alone: what is compiled is
    /// configured as ever. Debug data of types is of no use here and wants a tool of its own.
    fn settings(self) -> Vec<&'static str> {
        let mut settings = vec!["CONFIG_DEBUG_INFO_BTF_MODULES="];
        if !self.common {
            // It had another name before 6.12.
            settings.extend(["CONFIG_KVM=", "CONFIG_KVM_X86="]);
        }
        if !self.amd {
            settings.push("CONFIG_KVM_AMD=");
        }
        if !self.intel {
            settings.push("CONFIG_KVM_INTEL=");
        }
        settings
    }
}

impl fmt::Display for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.common, "kvm"), (self.amd, "kvm-amd"), (self.intel, "kvm-intel")];
        let names: Vec<&str> = parts.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        f.write_str(&names.join(", "))
    }
}

/// Where modules of one kernel are built.
pub(super) struct Site {
    /// A system with the tools that apply patches.
    pub(super) tools: PathBuf,
    /// The system with the compiler, or `/`.
    root: PathBuf,
    /// Holds [`SOURCE_PARTS`].
    source: PathBuf,
    /// Where make is started, inside.
    build_dir: String,
    /// The tree with the sources that are covered by the changed ones, inside.
    source_dir: String,
    /// What else is mounted.
    mounts: Vec<(PathBuf, String)>,
    /// What tells this site from others.
    identity: String,
}

impl Site {
    /// With Debian's headers and compiler.
    pub(super) fn debian(parts: BuildParts) -> Self {
        let mut mounts = vec![(parts.headers.join("usr/src"), "/usr/src".to_owned())];
        // The same words stand in every kernel's links: ../../lib/linux-kbuild-6.1
        for entry in fs::read_dir(parts.headers.join("usr/lib")).into_iter().flatten().flatten() {
            let name = format!("/usr/lib/{}", entry.file_name().to_string_lossy());
            mounts.push((entry.path(), name));
        }
        let names = [&parts.headers, &parts.source, &parts.root].map(|entry| entry_name(entry));
        Self {
            tools: parts.root.clone(),
            root: parts.root,
            source: parts.source,
            build_dir: format!("/usr/src/{}", parts.build_dir),
            source_dir: format!("/usr/src/{}", parts.common_dir),
            mounts,
            identity: names.join("\n"),
        }
    }

    /// In the tree where the kernel was built, by the machine's own compiler.
    pub(super) fn tree(path: &Path, tools: PathBuf) -> Result<Self, VariantError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| VariantError::Read { path, source }
        };
        let tree = fs::canonicalize(path).map_err(unreadable(path))?;
        if !tree.join(KVM).join("Makefile").is_file() {
            return Err(VariantError::NoKvmSources(tree));
        }
        // Writing to a string cannot fail.
        let mut identity = format!("{}\n", tree.display());
        for name in [".config", "Module.symvers"] {
            let file = tree.join(name);
            let sum = Digest::of_file(&file).map_err(unreadable(&file))?;
            let _ = writeln!(identity, "{name} {sum}");
        }
        for (name, sum) in apply::contents(&tree).map_err(unreadable(&tree))? {
            let _ = writeln!(identity, "{} {sum}", name.display());
        }
        let name = tree.to_string_lossy().into_owned();
        Ok(Self {
            tools,
            root: "/".into(),
            source: tree,
            build_dir: name.clone(),
            source_dir: name,
            mounts: Vec::new(),
            identity,
        })
    }

    /// What tells this site from others: kernel, sources and compiler.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Copies the sources, to be changed.
    pub(super) fn copy_sources(&self, to: &Path) -> Result<(), VariantError> {
        for part in SOURCE_PARTS {
            let from = self.source.join(part);
            apply::copy(&from, &to.join(part)).map_err(VariantError::io("copy", &from))?;
        }
        Ok(())
    }

    /// Compiles `modules` out of the sources in `tree` and leaves them in `place`.
    pub(super) fn build(
        &self,
        what: &Changed<'_>,
        tree: &Path,
        modules: Modules,
        place: &Path,
    ) -> Result<(), VariantError> {
        let mut mounts = self.mounts.clone();
        let inside = |part: &str| format!("{}/{part}", self.source_dir);
        mounts.push((tree.join(KVM), inside(KVM)));
        mounts.push((tree.join("virt"), inside("virt")));
        if self.build_dir != self.source_dir {
            // 5.10 names the sources from where it builds.
            mounts.push((tree.join(KVM), format!("{}/{KVM}", self.build_dir)));
        }
        mounts.push((tree.join(ASM), inside(ASM)));
        let chamber = Chamber { root: self.root.clone(), mounts };
        chamber.prepare()?;
        let jobs = format!("-j{}", std::thread::available_parallelism().map_or(1, usize::from));
        let directory = format!("M={}", inside(KVM));
        let mut words =
            vec!["make", "--no-print-directory", &jobs, "-C", &self.build_dir, &directory];
        words.extend(modules.settings());
        words.push("modules");
        let output = chamber.run("/", &words)?;
        let built = super::modules_in(&tree.join(KVM));
        if !output.status.success() || built.is_empty() {
            let words = complaint(&String::from_utf8_lossy(&output.stderr), tree, &inside(""));
            let (change, kernel) = (what.change.clone(), what.kernel.to_owned());
            return Err(VariantError::DoesNotCompile { change, kernel, words });
        }
        // Debug data is most of a module, and an emulated machine has to read it all.
        let files = format!("{}/*.ko", inside(KVM));
        let stripped = chamber.run("/", &["sh", "-c", &format!("strip -g {files}")])?;
        if !stripped.status.success() {
            let words = String::from_utf8_lossy(&stripped.stderr).trim().to_owned();
            return Err(VariantError::Strip(words));
        }
        for (_, path) in built {
            let target = place.join(path.file_name().unwrap_or_default());
            fs::copy(&path, &target).map_err(VariantError::io("copy", &path))?;
        }
        Ok(())
    }
}

/// What the compiler says, from the first error on, with paths as in the kernel's tree.
fn complaint(stderr: &str, tree: &Path, inside: &str) -> String {
    /// More is repetition.
    const LINES: usize = 24;
    let text = stderr.replace(inside, "").replace(&format!("{}/", tree.display()), "");
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.contains("error") || line.contains("ERROR"));
    let from = first.unwrap_or(lines.len().saturating_sub(LINES));
    lines[from..].iter().take(LINES).copied().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(files: &[&str]) -> Modules {
        let all = |sum: &[u8]| {
            let one = |file: &&str| (PathBuf::from(file), Digest::of(sum));
            files.iter().map(one).collect::<BTreeMap<_, _>>()
        };
        Modules::touched_by(&all(b"before"), &all(b"after"))
    }

    #[test]
    fn only_what_is_touched_is_built() {
        for (files, names) in [
            (&["arch/x86/kvm/svm/svm.c"][..], "kvm-amd"),
            (&["arch/x86/kvm/vmx/vmx.c"], "kvm-intel"),
            (&["arch/x86/kvm/svm/svm.c", "arch/x86/kvm/vmx/vmx.h"], "kvm-amd, kvm-intel"),
            (&["arch/x86/kvm/x86.c"], "kvm, kvm-amd, kvm-intel"),
            (&["virt/kvm/kvm_main.c"], "kvm, kvm-amd, kvm-intel"),
            (&["arch/x86/include/asm/kvm_host.h"], "kvm, kvm-amd, kvm-intel"),
            (&[], ""),
        ] {
            assert_eq!(touched(files).to_string(), names, "{files:?}");
        }
        assert!(!touched(&[]).any());
    }

    #[test]
    fn a_removed_file_is_a_change() {
        let before = BTreeMap::from([("arch/x86/kvm/x86.h".into(), Digest::of(b""))]);
        assert!(Modules::touched_by(&before, &BTreeMap::new()).common);
    }

    #[test]
    fn a_complaint_begins_with_the_first_error() {
        let stderr = "warning: x\n/usr/src/c/arch/x86/kvm/svm/svm.c:3:1: error: no\nmake: *** 2\n";
        let words = complaint(stderr, Path::new("/t"), "/usr/src/c/");
        assert_eq!(words, "arch/x86/kvm/svm/svm.c:3:1: error: no\nmake: *** 2");
    }
}
