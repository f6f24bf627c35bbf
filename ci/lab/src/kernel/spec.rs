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
/// assert!("debian:6.1+always".parse::<KernelSpec>().is_err());
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
}

/// Why a text names no kernel.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpecError {
    /// None of the forms fits.
    #[error(
        "'{0}' names no kernel: write host, debian:VERSION (such as debian:6.1), FILE.deb \
         or IMAGE:MODULE_DIR; kernel build trees are not available yet"
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
    /// A policy variant was asked for.
    #[error(
        "'{kernel}+{variant}': kernels rebuilt with a variant (+{variant}) are not available yet; name the kernel without it"
    )]
    Variant {
        /// The part before the `+`.
        kernel: String,
        /// The part after it.
        variant: String,
    },
}

/// What a variant can look like. Package versions and file names hold plain `+` too (7.3.4-1~bpo13+1).
fn is_variant(text: &str) -> bool {
    const NAMES: [&str; 2] = ["always", "never"];
    const PATCHES: [&str; 3] = [".patch", ".diff", ".cocci"];
    const PATHS: [&str; 4] = ["/", "./", "../", "~"];
    NAMES.contains(&text)
        || PATCHES.iter().any(|end| text.ends_with(end))
        || PATHS.iter().any(|start| text.starts_with(start))
}

impl FromStr for KernelSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let plus = text.match_indices('+').map(|(at, _)| at);
        if let Some(at) = plus.rev().find(|at| is_variant(&text[at + 1..])) {
            let (kernel, variant) = (text[..at].to_owned(), text[at + 1..].to_owned());
            return Err(SpecError::Variant { kernel, variant });
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
        let (image, module_dir) =
            text.split_once(':').ok_or_else(|| SpecError::Form(text.to_owned()))?;
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
            Self::Package(path) => path.display().fmt(f),
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
    fn what_is_not_available_says_so() {
        for (text, variant) in [
            ("debian:6.1+always", "always"),
            ("a.deb+never", "never"),
            ("vmlinux:mods+./fix.patch", "./fix.patch"),
            ("host+../linux/arch/x86/kvm", "../linux/arch/x86/kvm"),
            ("debian:6.1+fix.diff", "fix.diff"),
        ] {
            let error = text.parse::<KernelSpec>().unwrap_err();
            assert!(matches!(&error, SpecError::Variant { variant: v, .. } if v == variant));
            assert!(error.to_string().contains("not available yet"), "{error}");
        }
        let tree = "../linux".parse::<KernelSpec>().unwrap_err();
        assert_eq!(tree, SpecError::Form("../linux".into()));
        assert!(tree.to_string().contains("build trees are not available yet"));
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
        fn what_is_read_is_written_alike(text in "(debian:[0-9][0-9.~+-]{0,8}|[a-z/.+]{1,12}(:[a-z/.+]{1,12}|\\.deb))") {
            if let Ok(spec) = text.parse::<KernelSpec>() {
                prop_assert_eq!(spec.to_string(), text);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<KernelSpec>();
        }
    }
}
