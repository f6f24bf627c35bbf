//! Finding QEMU, and refusing one that is too old.

use crate::cache::Cache;
use crate::fault::{Blame, Blamed};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program looked for.
const PROGRAM: &str = "qemu-system-x86_64";

/// Why an installed one was tried.
const ON_PATH: &str = "on PATH";

/// Overrides where to look.
const OVERRIDE: &str = "DRBENCH_QEMU";

/// The oldest QEMU that can be used. 7.2 crashes when a nested guest has DR7 enable bits set.
const MINIMUM: QemuVersion = QemuVersion { major: 10, minor: 0 };

/// Where an unpacked copy keeps its firmware, below its root: each folder gets a `-L`.
const DATA_DIRS: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// Where an unpacked copy keeps the shared libraries that the system lacks, below its root.
const LIBRARY_DIRS: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/// A release of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QemuVersion {
    /// 10 in 10.0.2.
    pub major: u32,
    /// 0 in 10.0.2.
    pub minor: u32,
}

impl QemuVersion {
    /// Reads `QEMU emulator version 10.0.2 (Debian …)`.
    ///
    /// ```
    /// use drbench_lab::emulator::QemuVersion;
    /// let version = QemuVersion::parse("QEMU emulator version 10.0.2 (Debian 1:10.0.2)\n");
    /// assert_eq!(version, Some(QemuVersion { major: 10, minor: 0 }));
    /// ```
    pub fn parse(output: &str) -> Option<Self> {
        let number = output.lines().next()?.split_once("version ")?.1;
        let mut parts = number.split(|c: char| !c.is_ascii_digit());
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A QEMU that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    program: PathBuf,
    version: QemuVersion,
    version_line: String,
    /// The root of an unpacked copy; none for an installed one.
    root: Option<PathBuf>,
}

/// Where QEMU was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Why there: "--qemu", "$`DRBENCH_QEMU`", …
    why: &'static str,
    program: PathBuf,
    /// Named by the user: then it is that one or none.
    named: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.program.display(), self.why)
    }
}

/// Why there is no QEMU to use.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is none.
    #[error(
        "no {PROGRAM} found; looked for: {looked_for}. Run ci/setup, which puts QEMU {MINIMUM} or \
         newer into the cache, or name one with {OVERRIDE}"
    )]
    NotFound {
        /// Every place that was tried.
        looked_for: String,
    },
    /// There are only such as cannot be used.
    #[error(
        "{program} is QEMU {found}; {MINIMUM} or newer is needed, because QEMU 7.2 crashes when a \
         nested guest has DR7 enable bits set. Run ci/setup, which puts a newer one into the \
         cache and leaves the installed one alone, or name one with {OVERRIDE}"
    )]
    TooOld {
        /// The program, and why it was tried.
        program: String,
        /// Its version.
        found: QemuVersion,
    },
    /// It does not say which version it is.
    #[error(
        "{program} does not start or is no QEMU: {reason}. Run ci/setup, or name another with \
         {OVERRIDE}"
    )]
    Unusable {
        /// The program, and why it was tried.
        program: String,
        /// What it said instead.
        reason: String,
    },
}

impl Blamed for FindError {
    fn blame(&self) -> Blame {
        Blame::Environment
    }
}

/// What the search looks at, apart from the file system.
#[derive(Clone, Copy, Debug)]
struct Surroundings<'a> {
    explicit: Option<&'a Path>,
    variable: Option<&'a OsStr>,
    cache: Option<&'a Path>,
    search_path: Option<&'a OsStr>,
}

impl Qemu {
    /// Finds QEMU: `explicit` if given, else `$DRBENCH_QEMU`, else the copy that `ci/setup` unpacked
    /// into the cache (none: [`Cache::default_dir`]), else the installed one. One named by the user
    /// is the only one tried.
    ///
    /// # Errors
    /// If there is none, or it is older than 10.0. Always [`Blame::Environment`].
    pub fn find(explicit: Option<&Path>, cache: Option<&Path>) -> Result<Self, FindError> {
        let (variable, search_path) = (std::env::var_os(OVERRIDE), std::env::var_os("PATH"));
        let cache = cache.map(Path::to_owned).or_else(|| Cache::default_dir().ok());
        find(Surroundings {
            explicit,
            variable: variable.as_deref().filter(|value| !value.is_empty()),
            cache: cache.as_deref(),
            search_path: search_path.as_deref(),
        })
    }

    /// The program's path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its version.
    pub fn version(&self) -> QemuVersion {
        self.version
    }

    /// The first line of `--version`, for the record.
    pub fn version_line(&self) -> &str {
        &self.version_line
    }

    /// Program and first arguments, before those of the machine: an unpacked copy needs to be told
    /// where its libraries and its firmware are.
    pub fn command_line(&self) -> Vec<OsString> {
        let Some(root) = &self.root else { return vec![self.program.clone().into()] };
        let mut words = library_path(root)
            .map_or_else(Vec::new, |assignment| vec![OsString::from("env"), assignment]);
        words.push(self.program.clone().into());
        for dir in existing(root, &DATA_DIRS) {
            words.extend(["-L".into(), dir.into()]);
        }
        words
    }

    /// Asks the program for its version.
    fn examine(place: &Place) -> Result<Self, FindError> {
        let program = place.program.clone();
        let mut qemu = Self {
            root: unpacked_root(&program),
            program,
            version: MINIMUM,
            version_line: String::new(),
        };
        let unusable = |reason: String| FindError::Unusable { program: place.to_string(), reason };
        let words = qemu.command_line();
        let output = Command::new(&words[0])
            .args(&words[1..])
            .arg("--version")
            .output()
            .map_err(|error| unusable(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(version) = QemuVersion::parse(&text).filter(|_| output.status.success()) else {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let complaint = complaint.lines().next().unwrap_or("it prints no version");
            return Err(unusable(format!("{complaint} ({})", output.status)));
        };
        if version < MINIMUM {
            return Err(FindError::TooOld { program: place.to_string(), found: version });
        }
        qemu.version = version;
        text.lines().next().unwrap_or_default().clone_into(&mut qemu.version_line);
        Ok(qemu)
    }
}

fn find(surroundings: Surroundings<'_>) -> Result<Qemu, FindError> {
    let places = places(surroundings);
    let mut refused = None;
    for place in &places {
        // A named program that is not there must be told, not passed over.
        if !place.named && !is_executable(&place.program) {
            continue;
        }
        match Qemu::examine(place) {
            Ok(qemu) => return Ok(qemu),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused
        .unwrap_or_else(|| FindError::NotFound { looked_for: looked_for(&places, surroundings) }))
}

/// Where was looked, in words: PATH as a whole, as it is long.
fn looked_for(places: &[Place], surroundings: Surroundings<'_>) -> String {
    let path = surroundings.search_path.unwrap_or_default().to_string_lossy();
    let cached = places.iter().filter(|place| place.why != ON_PATH).map(Place::to_string);
    cached.chain([format!("every folder of PATH ({path})")]).collect::<Vec<_>>().join(", ")
}

/// Where to look, best first.
fn places(surroundings: Surroundings<'_>) -> Vec<Place> {
    let named = [
        (surroundings.explicit, "named on the command line"),
        (surroundings.variable.map(Path::new), "$DRBENCH_QEMU"),
    ];
    if let Some((program, why)) = named.into_iter().find_map(|(path, why)| Some((path?, why))) {
        return vec![Place { why, program: program.to_owned(), named: true }];
    }
    let unpacked = surroundings.cache.map(|cache| Place {
        why: "the copy in the cache",
        program: cache.join("qemu/usr/bin").join(PROGRAM),
        named: false,
    });
    let installed = surroundings
        .search_path
        .into_iter()
        .flat_map(std::env::split_paths)
        .filter(|dir| dir.is_absolute())
        .map(|dir| Place { why: ON_PATH, program: dir.join(PROGRAM), named: false });
    unpacked.into_iter().chain(installed).collect()
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The root below which a program was unpacked: it is not `/`, and its firmware is below it.
fn unpacked_root(program: &Path) -> Option<PathBuf> {
    let root = program.canonicalize().ok()?.parent()?.parent()?.parent()?.to_owned();
    (root != Path::new("/") && root.join(DATA_DIRS[0]).is_dir()).then_some(root)
}

fn existing(root: &Path, dirs: &[&str]) -> Vec<PathBuf> {
    dirs.iter().map(|dir| root.join(dir)).filter(|dir| dir.is_dir()).collect()
}

/// `LD_LIBRARY_PATH=…` for `env`, the copy's own libraries before what is set already.
fn library_path(root: &Path) -> Option<OsString> {
    const NAME: &str = "LD_LIBRARY_PATH";
    let mut dirs = existing(root, &LIBRARY_DIRS);
    if let Some(set) = std::env::var_os(NAME) {
        dirs.extend(std::env::split_paths(&set).filter(|dir| !dir.as_os_str().is_empty()));
    }
    let joined = std::env::join_paths(dirs).ok()?;
    let mut assignment = OsString::from(format!("{NAME}="));
    assignment.push(joined);
    Some(assignment)
}
