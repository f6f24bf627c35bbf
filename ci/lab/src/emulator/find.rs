//! Finding an emulator, and refusing one that is too old.

use super::{Clock, Machine, memo, turns};
use crate::cache::Cache;
use crate::fault::{Blame, Blamed};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why an installed one was tried.
const ON_PATH: &str = "on PATH";

/// What is looked for, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    /// Its name.
    pub(super) name: &'static str,
    /// The program's file name.
    pub(super) program: &'static str,
    /// The variable that overrides where to look.
    pub(super) variable: &'static str,
    /// Where `ci/setup` puts it, below the cache.
    pub(super) cached: &'static str,
    /// The oldest that can be used.
    pub(super) minimum: EmulatorVersion,
    /// What is wrong with older ones.
    pub(super) because: &'static str,
    /// Starts the program and has it tell its version.
    pub(super) ask: fn(&Path) -> Command,
    /// Finds the version, and the line for the record, in what it printed.
    pub(super) parse: fn(&str) -> Option<(EmulatorVersion, String)>,
}

/// QEMU.
const QEMU: Sought = Sought {
    name: "QEMU",
    program: "qemu-system-x86_64",
    variable: "DRBENCH_QEMU",
    cached: "qemu/usr/bin/qemu-system-x86_64",
    minimum: EmulatorVersion { major: 10, minor: 0 },
    because: "QEMU 7.2 crashes when a nested guest has DR7 enable bits set",
    ask: |program| {
        let words = command_line(program, unpacked_root(program).as_deref(), None);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("--version");
        command
    },
    parse: |output| Some((EmulatorVersion::of_qemu(output)?, output.lines().next()?.to_owned())),
};

/// Where an unpacked copy keeps its firmware, below its root: each folder gets a `-L`.
const DATA_DIRS: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// Where an unpacked copy keeps the shared libraries that the system lacks, below its root.
const LIBRARY_DIRS: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/// A release of an emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmulatorVersion {
    /// 10 in 10.0.2.
    pub major: u32,
    /// 0 in 10.0.2.
    pub minor: u32,
}

impl EmulatorVersion {
    /// Reads `QEMU emulator version 10.0.2 (Debian …)`.
    ///
    /// ```
    /// use drbench_lab::emulator::EmulatorVersion;
    /// let version = EmulatorVersion::of_qemu("QEMU emulator version 10.0.2 (Debian 1:10.0.2)\n");
    /// assert_eq!(version, Some(EmulatorVersion { major: 10, minor: 0 }));
    /// ```
    pub fn of_qemu(output: &str) -> Option<Self> {
        Self::after(output.lines().next()?, "version ")
    }

    /// The number that follows `words`.
    pub(super) fn after(line: &str, words: &str) -> Option<Self> {
        let number = line.split_once(words)?.1;
        let mut parts = number.split(|c: char| !c.is_ascii_digit());
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }
}

impl fmt::Display for EmulatorVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A program that was found and is new enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) program: PathBuf,
    pub(super) version: EmulatorVersion,
    pub(super) version_line: String,
}

/// A QEMU that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    found: Found,
    /// The root of an unpacked copy; none for an installed one.
    root: Option<PathBuf>,
    /// What has its threads take turns, if `ci/setup` has built it.
    turns: Option<PathBuf>,
}

/// Where an emulator was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Why there: "named on the command line", …
    why: Cow<'static, str>,
    program: PathBuf,
    /// Named by the user: then it is that one or none.
    named: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.program.display(), self.why)
    }
}

/// Why there is no emulator to use.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is none.
    #[error(
        "no {program} found; looked for: {looked_for}. Run ci/setup, which puts {name} {minimum} \
         or newer into the cache, or name one with {variable}"
    )]
    NotFound {
        /// The program's file name.
        program: &'static str,
        /// Its name.
        name: &'static str,
        /// The oldest that can be used.
        minimum: EmulatorVersion,
        /// The variable that can name one.
        variable: &'static str,
        /// Every place that was tried.
        looked_for: String,
    },
    /// There are only such as cannot be used.
    #[error(
        "{program} is {name} {found}; {minimum} or newer is needed, because {because}. Run \
         ci/setup, which puts a newer one into the cache and leaves the installed one alone, or \
         name one with {variable}"
    )]
    TooOld {
        /// The program, and why it was tried.
        program: String,
        /// The emulator's name.
        name: &'static str,
        /// Its version.
        found: EmulatorVersion,
        /// The oldest that can be used.
        minimum: EmulatorVersion,
        /// What is wrong with older ones.
        because: &'static str,
        /// The variable that can name another.
        variable: &'static str,
    },
    /// It does not say which version it is.
    #[error(
        "{program} does not start or is no {name}: {reason}. Run ci/setup, or name another with \
         {variable}"
    )]
    Unusable {
        /// The program, and why it was tried.
        program: String,
        /// The emulator's name.
        name: &'static str,
        /// What it said instead.
        reason: String,
        /// The variable that can name another.
        variable: &'static str,
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
        let found = QEMU.find(explicit, cache)?;
        let turns = cache_or_default(cache).and_then(|cache| turns::find(&cache));
        Ok(Self { root: unpacked_root(&found.program), found, turns })
    }

    /// The program's path.
    pub fn program(&self) -> &Path {
        &self.found.program
    }

    /// Its version.
    pub fn version(&self) -> EmulatorVersion {
        self.found.version
    }

    /// The first line of `--version`, for the record.
    pub fn version_line(&self) -> &str {
        &self.found.version_line
    }

    /// Program and first arguments for this machine, before the machine's own: an unpacked copy needs
    /// to be told where its libraries and its firmware are.
    pub fn command_line(&self, machine: &Machine, clock: Clock) -> Vec<OsString> {
        let turns = self.turns.as_deref().filter(|_| turns::matter_for(machine, clock));
        command_line(&self.found.program, self.root.as_deref(), turns)
    }

    /// What may be wrong with this machine's figures, for the user.
    pub fn warning(&self, machine: &Machine, clock: Clock) -> Option<String> {
        turns::warning(machine, clock, self.turns.as_deref())
    }
}

fn command_line(program: &Path, root: Option<&Path>, preloaded: Option<&Path>) -> Vec<OsString> {
    let assignments = [root.and_then(library_path), preloaded.map(turns::preload)];
    let mut words: Vec<OsString> = assignments.into_iter().flatten().collect();
    if !words.is_empty() {
        words.insert(0, "env".into());
    }
    words.push(program.into());
    for dir in root.map_or_else(Vec::new, |root| existing(root, &DATA_DIRS)) {
        words.extend(["-L".into(), dir.into()]);
    }
    words
}

fn cache_or_default(cache: Option<&Path>) -> Option<PathBuf> {
    cache.map(Path::to_owned).or_else(|| Cache::default_dir().ok())
}

impl Sought {
    /// Finds it: `explicit` if given, else the one that the variable names, else the one in the
    /// cache, else the installed one. One named by the user is the only one tried.
    pub(super) fn find(
        &self,
        explicit: Option<&Path>,
        cache: Option<&Path>,
    ) -> Result<Found, FindError> {
        let (variable, search_path) = (std::env::var_os(self.variable), std::env::var_os("PATH"));
        let cache = cache_or_default(cache);
        self.find_in(Surroundings {
            explicit,
            variable: variable.as_deref().filter(|value| !value.is_empty()),
            cache: cache.as_deref(),
            search_path: search_path.as_deref(),
        })
    }

    fn find_in(&self, surroundings: Surroundings<'_>) -> Result<Found, FindError> {
        let places = self.places(surroundings);
        let mut refused = None;
        for place in &places {
            // A named program that is not there must be told, not passed over.
            if !place.named && !is_executable(&place.program) {
                continue;
            }
            match self.examine(place, surroundings.cache) {
                Ok(found) => return Ok(found),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| FindError::NotFound {
            program: self.program,
            name: self.name,
            minimum: self.minimum,
            variable: self.variable,
            looked_for: looked_for(&places, surroundings),
        }))
    }

    /// Where to look, best first.
    fn places(&self, surroundings: Surroundings<'_>) -> Vec<Place> {
        let variable = format!("${}", self.variable);
        let named = [
            (surroundings.explicit, Cow::Borrowed("named on the command line")),
            (surroundings.variable.map(Path::new), Cow::Owned(variable)),
        ];
        if let Some((program, why)) = named.into_iter().find_map(|(path, why)| Some((path?, why))) {
            return vec![Place { why, program: program.to_owned(), named: true }];
        }
        let cached = surroundings.cache.map(|cache| Place {
            why: "the copy in the cache".into(),
            program: cache.join(self.cached),
            named: false,
        });
        let installed = surroundings
            .search_path
            .into_iter()
            .flat_map(std::env::split_paths)
            .filter(|dir| dir.is_absolute())
            .map(|dir| Place {
                why: ON_PATH.into(),
                program: dir.join(self.program),
                named: false,
            });
        cached.into_iter().chain(installed).collect()
    }

    /// Asks the program for its version, if it has not been asked before.
    fn examine(&self, place: &Place, cache: Option<&Path>) -> Result<Found, FindError> {
        let unusable = |reason: String| FindError::Unusable {
            program: place.to_string(),
            name: self.name,
            reason,
            variable: self.variable,
        };
        let known = cache.and_then(|cache| memo::recall(cache, &place.program));
        let (version, version_line) = match known.and_then(|said| (self.parse)(&said)) {
            Some(parsed) => parsed,
            None => self.ask(&place.program, cache).map_err(unusable)?,
        };
        if version < self.minimum {
            return Err(FindError::TooOld {
                program: place.to_string(),
                name: self.name,
                found: version,
                minimum: self.minimum,
                because: self.because,
                variable: self.variable,
            });
        }
        Ok(Found { program: place.program.clone(), version, version_line })
    }
}

impl Sought {
    /// Starts the program to ask for its version; why that is not known, if it is not.
    fn ask(
        &self,
        program: &Path,
        cache: Option<&Path>,
    ) -> Result<(EmulatorVersion, String), String> {
        let output = (self.ask)(program).output().map_err(|error| error.to_string())?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        // Bochs says it on either.
        for said in [String::from_utf8_lossy(&output.stdout), complaint.clone()] {
            if let Some(parsed) = (self.parse)(&said).filter(|_| output.status.success()) {
                if let Some(cache) = cache {
                    memo::keep(cache, program, &said);
                }
                return Ok(parsed);
            }
        }
        let complaint = complaint.lines().next().unwrap_or("it prints no version");
        Err(format!("{complaint} ({})", output.status))
    }
}

/// Where was looked, in words: PATH as a whole, as it is long.
fn looked_for(places: &[Place], surroundings: Surroundings<'_>) -> String {
    let path = surroundings.search_path.unwrap_or_default().to_string_lossy();
    let cached = places.iter().filter(|place| place.why != ON_PATH).map(Place::to_string);
    cached.chain([format!("every folder of PATH ({path})")]).collect::<Vec<_>>().join(", ")
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
