//! A private root: commands run in an unpacked system, with other directories mounted into it. It
//! takes a user namespace and no rights.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::VariantError;

/// Mounts `FROM TO` pairs up to `--` and changes root unless that is `/`. What runs inside sees
/// nothing of the machine but these directories. Statuses of its own are 97, with the reason.
const ENTER: &str = r#"
fail() { echo "$*" >&2; exit 97; }
root=$1 cwd=$2; shift 2
if [ "$root" != / ]; then
    mount --rbind "$root" "$root" || fail "cannot mount $root"
    mount -t tmpfs tmpfs "$root/tmp" || fail "cannot mount $root/tmp"
    mount --rbind /proc "$root/proc" || fail "cannot mount $root/proc"
    mount --bind /dev/null "$root/dev/null" || fail "cannot mount $root/dev/null"
fi
while [ "$1" != -- ]; do
    mount --rbind "$1" "${root%/}$2" || fail "cannot mount $2"
    shift 2
done
shift
[ "$root" = / ] || exec chroot "$root" /bin/sh -c 'cd "$1" && shift && exec "$@"' sh "$cwd" "$@"
cd "$cwd" && exec "$@"
"#;

/// Where commands run.
#[derive(Debug)]
pub(super) struct Chamber {
    /// The unpacked system, or `/` for the machine's own.
    pub(super) root: PathBuf,
    /// What is mounted where.
    pub(super) mounts: Vec<(PathBuf, String)>,
}

impl Chamber {
    /// Runs a program there, in the directory `cwd`, in the plainest of environments.
    pub(super) fn run(&self, cwd: &str, words: &[&str]) -> Result<Output, VariantError> {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--", "sh", "-c", ENTER, "sh"]);
        command.arg(&self.root).arg(cwd);
        for (from, to) in &self.mounts {
            command.arg(from).arg(to);
        }
        command.arg("--").args(words).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        for (name, value) in [
            // spatch asks for it.
            ("HOME", "/tmp"),
            ("KBUILD_BUILD_TIMESTAMP", "2026-01-01"),
            ("KBUILD_BUILD_USER", "drbench"),
            ("KBUILD_BUILD_HOST", "drbench"),
        ] {
            command.env(name, value);
        }
        let output =
            command.output().map_err(|error| VariantError::NoNamespace(error.to_string()))?;
        let words = String::from_utf8_lossy(&output.stderr);
        let refused = output.status.code() == Some(97) || words.starts_with("unshare: ");
        if refused {
            return Err(VariantError::NoNamespace(words.trim().to_owned()));
        }
        Ok(output)
    }

    /// Makes the places that are mounted on, where they are missing.
    pub(super) fn prepare(&self) -> Result<(), VariantError> {
        for (from, to) in &self.mounts {
            let place = self.root.join(Path::new(to).strip_prefix("/").unwrap_or(Path::new(to)));
            // One inside another mount exists there, and not here.
            if from.is_dir() && !place.exists() && !self.is_covered(to) {
                std::fs::create_dir_all(&place).map_err(VariantError::io("create", &place))?;
            }
        }
        Ok(())
    }

    fn is_covered(&self, place: &str) -> bool {
        self.mounts.iter().any(|(_, to)| to != place && Path::new(place).starts_with(to))
    }
}
