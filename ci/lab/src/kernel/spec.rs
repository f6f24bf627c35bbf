//! How a user names a kernel.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use super::debian::VersionWanted;

/// Which kernel to prepare, as the user wrote it.
///
/// ```
/// use drbench_lab::kernel::KernelSpec;
///
/// let spec: KernelSpec = "debian:6.1".parse().unwrap();
/// assert_eq!(spec.to_string(), "debian:6.1");
/// let spec: KernelSpec = "debian:6.1+always".parse().unwrap();
/// assert!(matches!(spec, KernelSpec::Variant { .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelSpec {
    /// `host`: the kernel that runs this machine, as installed in /boot.
    Host,
    /// `debian:VERSION`: the newest package that matches.
    Debian(VersionWanted),
    /// `FILE.deb`: a kernel image package.
    Package(PathBuf),
    /// `IMAGE:MODULE_DIR`: a bzImage or vmlinux and where its modules are.
    Files {
        /// The bzImage or vmlinux.
        image: PathBuf,
        /// The directory with the modules, at any depth.
        module_dir: PathBuf,
    },
    /// `PATH`: a tree in which a kernel was built.
    Tree(PathBuf),
    /// `KERNEL+CHANGE`: another kernel with its kvm modules rebuilt.
    Variant {
        /// The kernel whose modules are replaced.
        base: Box<KernelSpec>,
        /// What is different in them.
        change: Change,
    },
}

/// What to change in a kernel's kvm modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `always`: every access to a debug register exits.
    Always,
    /// `never`: none does while nobody debugs the guest.
    Never,
    /// A unified diff (`.patch`, `.diff`) or a semantic patch (`.cocci`) against a kernel tree's root.
    Patch(PathBuf),
    /// A directory with `arch/x86/kvm`, and `virt/kvm` if that is another too.
    SourceDir(PathBuf),
}

impl Change {
    /// The change that a text after a `+` names, if it can be one. Package versions and file names
    /// hold plain `+` too (7.3.4-1~bpo13+1), so a directory is told by its slash or dot.
    fn of(text: &str) -> Option<Self> {
        const PATCHES: [&str; 3] = [".patch", ".diff", ".cocci"];
        const PATHS: [&str; 4] = ["/", "./", "../", "~/"];
        match text {
            "always" => Some(Self::Always),
            "never" => Some(Self::Never),
            _ if PATCHES.iter().any(|end| text.ends_with(end)) => Some(Self::Patch(text.into())),
            "." | ".." => Some(Self::SourceDir(text.into())),
            _ if PATHS.iter().any(|start| text.starts_with(start)) => {
                Some(Self::SourceDir(text.into()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Never => f.write_str("never"),
            Self::Patch(path) | Self::SourceDir(path) => path.display().fmt(f),
        }
    }
}

/// Why a text names no kernel.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpecError {
    /// None of the forms fits.
    #[error(
        "'{0}' names no kernel: write host, debian:VERSION (such as debian:6.1), FILE.deb, \
         IMAGE:MODULE_DIR or the path of a build tree (such as ./linux); +always, +never, \
         +PATCHFILE or +SOURCE_DIR after it changes its kvm modules"
    )]
    Form(String),
    /// A form fits but a part of it is empty.
    #[error("'{0}' names no kernel: IMAGE and MODULE_DIR in IMAGE:MODULE_DIR must not be empty")]
    Empty(String),
    /// The text after `debian:` is no version.
    #[error(
        "'{0}' is no Debian version: it begins with a digit and has letters, digits and . + - ~ \
         (such as 6.1, 6.1.176 or 6.1.176-1)"
    )]
    Version(String),
    /// More than one change.
    #[error("'{0}' changes a kernel twice; put both changes into one patch or source directory")]
    TwoChanges(String),
}

impl FromStr for KernelSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let plus = text.match_indices('+').map(|(at, _)| at);
        if let Some((at, change)) =
            plus.rev().find_map(|at| Some((at, Change::of(&text[at + 1..])?)))
        {
            return match text[..at].parse()? {
                Self::Variant { .. } => Err(SpecError::TwoChanges(text.to_owned())),
                base => Ok(Self::Variant { base: Box::new(base), change }),
            };
        }
        if text == "host" {
            return Ok(Self::Host);
        }
        if let Some(version) = text.strip_prefix("debian:") {
            return version.parse().map(Self::Debian);
        }
        let path = Path::new(text);
        if path.extension().is_some_and(|end| end == "deb") {
            return Ok(Self::Package(text.into()));
        }
        let Some((image, module_dir)) = text.split_once(':') else {
            if text.contains('/') || text == "." || text == ".." {
                return Ok(Self::Tree(text.into()));
            }
            return Err(SpecError::Form(text.to_owned()));
        };
        if image.is_empty() || module_dir.is_empty() {
            return Err(SpecError::Empty(text.to_owned()));
        }
        Ok(Self::Files { image: image.into(), module_dir: module_dir.into() })
    }
}

impl fmt::Display for KernelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Debian(version) => write!(f, "debian:{version}"),
            Self::Package(path) | Self::Tree(path) => path.display().fmt(f),
            Self::Variant { base, change } => write!(f, "{base}+{change}"),
            Self::Files { image, module_dir } => {
                write!(f, "{}:{}", image.display(), module_dir.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_form() {
        let files = |image: &str, dir: &str| KernelSpec::Files {
            image: image.into(),
            module_dir: dir.into(),
        };
        let table = [
            ("host", KernelSpec::Host),
            ("debian:6.1.176-1", KernelSpec::Debian("6.1.176-1".parse().unwrap())),
            ("debian:7.3.4-1~bpo13+1", KernelSpec::Debian("7.3.4-1~bpo13+1".parse().unwrap())),
            ("./a+deb12_1~bpo12+1.deb", KernelSpec::Package("./a+deb12_1~bpo12+1.deb".into())),
            ("vmlinux:mods", files("vmlinux", "mods")),
            (
                "/b/bzImage:/lib/modules/6.12.9+deb13",
                files("/b/bzImage", "/lib/modules/6.12.9+deb13"),
            ),
        ];
        for (text, spec) in table {
            assert_eq!(text.parse(), Ok(spec));
        }
    }

    #[test]
    fn a_change_comes_after_the_last_plus_that_can_begin_one() {
        for (text, base, change) in [
            ("debian:6.1+always", "debian:6.1", Change::Always),
            ("a.deb+never", "a.deb", Change::Never),
            ("debian:7.3.4-1~bpo13+1+always", "debian:7.3.4-1~bpo13+1", Change::Always),
            ("vmlinux:6.12.9+deb13+never", "vmlinux:6.12.9+deb13", Change::Never),
            ("vmlinux:mods+./fix.patch", "vmlinux:mods", Change::Patch("./fix.patch".into())),
            ("debian:6.1+fix.diff", "debian:6.1", Change::Patch("fix.diff".into())),
            ("host+a+b.cocci", "host+a", Change::Patch("b.cocci".into())),
            ("host+../linux", "host", Change::SourceDir("../linux".into())),
            ("debian:6.1+.", "debian:6.1", Change::SourceDir(".".into())),
            ("../linux+always", "../linux", Change::Always),
        ] {
            let Ok(base) = base.parse() else {
                // The nearest `+` counts, and what is before it must be a kernel.
                assert!(text.parse::<KernelSpec>().is_err(), "{text}");
                continue;
            };
            let spec = KernelSpec::Variant { base: Box::new(base), change };
            assert_eq!(text.parse(), Ok(spec), "{text}");
        }
        let twice = "debian:6.1+always+./x.patch".parse::<KernelSpec>();
        assert!(matches!(twice, Err(SpecError::TwoChanges(_))), "{twice:?}");
    }

    #[test]
    fn a_path_is_a_build_tree() {
        for text in ["../linux", "/src/linux-6.1+", ".", "linux/"] {
            assert_eq!(text.parse(), Ok(KernelSpec::Tree(text.into())));
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in ["", "Host", ".deb", "debian:", "debian:bookworm", "debian:6.1/x"] {
            assert!(text.parse::<KernelSpec>().is_err(), "{text}");
        }
        assert_eq!(":mods".parse::<KernelSpec>(), Err(SpecError::Empty(":mods".into())));
        assert_eq!("image:".parse::<KernelSpec>(), Err(SpecError::Empty("image:".into())));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(text in "(debian:[0-9][0-9.~+-]{0,8}|[a-z/.+]{1,12}(:[a-z/.+]{1,12}|\\.deb)?)(\\+(always|never|\\.|/a|x\\.cocci))?") {
            if let Ok(spec) = text.parse::<KernelSpec>() {
                prop_assert_eq!(spec.to_string(), text);
            }
        }

        #[test]
        fn a_version_keeps_its_plusses(version in "[0-9]([.~+-][0-9a-z]{1,3}){0,5}", change in "always|never|\\.|\\./a\\+b|x\\.patch") {
            prop_assume!(!version.ends_with("always") && !version.ends_with("never"));
            let parsed = format!("debian:{version}+{change}").parse::<KernelSpec>();
            let base = KernelSpec::Debian(version.parse().unwrap());
            prop_assert_eq!(parsed, Ok(KernelSpec::Variant {
                base: Box::new(base),
                change: Change::of(&change).unwrap(),
            }));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<KernelSpec>();
        }
    }
}
