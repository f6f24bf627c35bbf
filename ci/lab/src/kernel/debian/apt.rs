//! apt with a state of its own: the machine's archives and keys, other suites, nothing changed.

use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::DebianError;
use super::index::{Index, Offer, Records};
use super::sources;
use crate::cache::{Cache, CacheError, Digest};
use crate::kernel::compression;

/// A private apt: its configuration, its sources and its indexes, all in one directory.
#[derive(Debug)]
pub(super) struct Apt {
    dir: PathBuf,
    /// The checksum of its sources: other archives make an index stale.
    pub(super) sources: Digest,
}

const CONFIG: &str = "apt.conf";
const SOURCES: &str = "debian.sources";

/// What a refresh of the indexes came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refreshed {
    /// Some archive answered. The texts tell what was wrong with others.
    Yes(Vec<String>),
    /// None did, for this reason.
    No(String),
}

impl Apt {
    /// Sets it up in `dir` from the machine's own sources.
    pub(super) fn open(dir: &Path) -> Result<Self, DebianError> {
        let plain = dir.to_str().filter(|d| !d.contains(['"', '\n', '\\']));
        let name = plain.ok_or_else(|| DebianError::CachePath(dir.to_owned()))?;
        let lists = dir.join("lists/partial");
        fs::create_dir_all(&lists).map_err(CacheError::io("create", &lists))?;
        Cache::write(&dir.join(CONFIG), config(name).as_bytes())?;
        Cache::write(&dir.join("status"), b"")?;

        let archives = machine_sources()?;
        for release in sources::RELEASES {
            let text = sources::render(&archives, Some(release));
            Cache::write(&dir.join(release_sources(release)), text.as_bytes())?;
        }
        let text = sources::render(&archives, None);
        Cache::write(&dir.join(SOURCES), text.as_bytes())?;
        Ok(Self { dir: dir.to_owned(), sources: Digest::of(text.as_bytes()) })
    }

    /// Asks the archives for their newest indexes. apt verifies the signatures.
    pub(super) fn update(&self) -> Result<Refreshed, DebianError> {
        let output = self.run("apt-get", &["-q", "update"], &self.dir)?;
        Ok(judge_update(
            &String::from_utf8_lossy(&output.stdout),
            &String::from_utf8_lossy(&output.stderr),
        ))
    }

    /// The kernels in the indexes at hand.
    pub(super) fn index(&self) -> Result<Index, DebianError> {
        const FORMAT: &str = "$(ORIGIN)\t$(CODENAME)\t$(FILENAME)";
        let targets = self.run(
            "apt-get",
            &["indextargets", "--format", FORMAT, "Created-By: Packages"],
            &self.dir,
        )?;
        let mut records = Records::default();
        for line in String::from_utf8_lossy(&targets.stdout).lines() {
            let mut fields = line.split('\t');
            let (Some("Debian" | "Debian Backports"), Some(suite), Some(file)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let path = Path::new(file);
            let broken = |source| DebianError::Index { path: path.to_owned(), source };
            match fs::File::open(path) {
                Ok(file) => {
                    let packages = compression::reader(file).map_err(broken)?;
                    records.read(suite, BufReader::new(packages)).map_err(broken)?;
                }
                // The archive does not have this suite.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(records.index())
    }

    /// Downloads the parts of a kernel into `place`. apt and we compare them with the signed index.
    pub(super) fn download(
        &self,
        offer: &Offer,
        place: &Path,
    ) -> Result<Vec<PathBuf>, DebianError> {
        let mut paths = Vec::new();
        for part in &offer.parts {
            let wanted = format!("{}={}", part.name, offer.package_version);
            let dir = place.join(&part.name);
            fs::create_dir(&dir).map_err(CacheError::io("create", &dir))?;
            let output = self.run("apt-get", &["-q", "download", &wanted], &dir)?;
            let failed = |reason| DebianError::Download { package: wanted.clone(), reason };
            if !output.status.success() {
                return Err(failed(complaint(&String::from_utf8_lossy(&output.stderr))));
            }
            let file = fs::read_dir(&dir).ok().and_then(|mut files| files.next()?.ok());
            let path = file.ok_or_else(|| failed("apt-get left no file".to_owned()))?.path();
            let sum = Digest::of_file(&path).map_err(CacheError::io("read", &path))?;
            if sum != part.sha256 {
                let promised = part.sha256;
                return Err(failed(format!("its checksum is {sum}, the index says {promised}")));
            }
            paths.push(path);
        }
        Ok(paths)
    }

    /// Downloads packages, each written `NAME=VERSION`, into `place`, which is empty.
    pub(super) fn fetch(
        &self,
        packages: &[String],
        place: &Path,
    ) -> Result<Vec<PathBuf>, DebianError> {
        let failed = |reason| DebianError::Download { package: packages.join(" "), reason };
        let mut args = vec!["-q", "download"];
        args.extend(packages.iter().map(String::as_str));
        let output = self.run("apt-get", &args, place)?;
        if !output.status.success() {
            return Err(failed(complaint(&String::from_utf8_lossy(&output.stderr))));
        }
        let listing = fs::read_dir(place).map_err(CacheError::io("read", place))?;
        let mut files: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "deb"));
        files.sort();
        if files.len() != packages.len() {
            return Err(failed(format!("apt-get left {} files", files.len())));
        }
        Ok(files)
    }

    /// These packages of one release with all that they need, as `NAME=VERSION`, on a system where
    /// nothing is installed.
    pub(super) fn closure(
        &self,
        names: &[&str],
        release: &str,
    ) -> Result<Vec<String>, DebianError> {
        let sources = self.dir.join(release_sources(release));
        let sources = format!("Dir::Etc::sourcelist={}", sources.display());
        let mut args = vec!["-o", &sources, "-o", "Dir::Cache::pkgcache=", "-s"];
        args.extend(["--no-install-recommends", "install"]);
        args.extend(names);
        let output = self.run("apt-get", &args, &self.dir)?;
        if !output.status.success() {
            let reason = complaint(&String::from_utf8_lossy(&output.stderr));
            return Err(DebianError::Download { package: names.join(" "), reason });
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(planned).collect())
    }

    /// The release whose suites carry this version of a package.
    pub(super) fn release_of(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<&'static str>, DebianError> {
        let output = self.run("apt-cache", &["madison", name], &self.dir)?;
        let text = String::from_utf8_lossy(&output.stdout);
        // NAME | VERSION | URI SUITE/COMPONENT ARCHITECTURE Packages
        let mut suites = text.lines().filter_map(|line| {
            let mut fields = line.split('|').map(str::trim);
            let (_, found, place) = (fields.next()?, fields.next()?, fields.next()?);
            place.split_whitespace().nth(1).filter(|_| found == version)
        });
        Ok(suites.find_map(|suite| {
            sources::RELEASES.into_iter().find(|release| suite.starts_with(release))
        }))
    }

    /// The names that a package depends on.
    pub(super) fn depends(&self, name: &str, version: &str) -> Result<Vec<String>, DebianError> {
        let package = format!("{name}={version}");
        let output = self.run("apt-cache", &["show", &package], &self.dir)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
        let names = line.split(',').filter_map(|one| one.split_whitespace().next());
        Ok(names.map(str::to_owned).collect())
    }

    fn run(&self, program: &'static str, args: &[&str], cwd: &Path) -> Result<Output, DebianError> {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.dir.join(CONFIG)).args(args).current_dir(cwd);
        run(program, &mut command)
    }
}

/// The file with the sources of one release alone.
fn release_sources(release: &str) -> String {
    format!("{release}.sources")
}

/// `NAME=VERSION` of a line `Inst NAME (VERSION SUITE [ARCHITECTURE])` of a simulated installation.
fn planned(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
    Some(format!("{name}={}", rest.split_whitespace().next()?))
}

fn run(program: &'static str, command: &mut Command) -> Result<Output, DebianError> {
    // Its messages are read here: no other language, please.
    let output = command.env("LC_ALL", "C").output();
    output.map_err(|source| DebianError::NoApt { program, source })
}

/// Where the machine's own apt looks, and what of it is Debian's.
fn machine_sources() -> Result<Vec<sources::Archive>, DebianError> {
    let mut command = Command::new("apt-config");
    command.args(["shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]);
    let output = run("apt-config", &mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        PathBuf::from(lines.next().unwrap_or_default().trim_matches('\''))
    };
    let (list, parts) = (value("LIST"), value("PARTS"));
    let archives = sources::of_machine(&list, &parts).map_err(|source| DebianError::Sources {
        list: list.clone(),
        parts: parts.clone(),
        source,
    })?;
    if archives.is_empty() {
        return Err(DebianError::NoArchive { list, parts });
    }
    Ok(archives)
}

/// apt.conf(5). Read after the machine's own configuration, which keeps its proxies and the like.
fn config(dir: &str) -> String {
    format!(
        r#"// Written by drbench: a private state beside the system's.
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
Dir::State "{dir}";
Dir::State::lists "{dir}/lists";
Dir::State::status "{dir}/status";
Dir::Cache "{dir}";
Dir::Cache::archives "{dir}/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{dir}/{SOURCES}";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
// The directory is the user's own: root's helper user could not write to it.
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::PDiffs "false";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"#
    )
}

/// Reads apt's report. Its exit status says little: one suite that an archive does not carry is an
/// error to it, and no archive answering at all may be a warning.
fn judge_update(stdout: &str, stderr: &str) -> Refreshed {
    let is_release = |line: &str| line.contains(" InRelease") || line.contains(" Release");
    let answered = stdout
        .lines()
        .any(|line| (line.starts_with("Hit:") || line.starts_with("Get:")) && is_release(line));
    if !answered {
        return Refreshed::No(complaint(stderr));
    }
    // Suites end, and not every mirror carries all: only other complaints are worth telling.
    let worth_telling = |line: &&str| {
        (line.starts_with("E: ") || line.starts_with("W: "))
            && !line.contains("does not have a Release file")
            && !line.contains("Some index files failed to download")
            && !line.contains("unsandboxed")
    };
    Refreshed::Yes(stderr.lines().filter(worth_telling).map(|line| line[3..].to_owned()).collect())
}

/// The first line of apt's messages that says what went wrong.
fn complaint(stderr: &str) -> String {
    let lines = || stderr.lines().map(str::trim);
    let line = lines()
        .find(|line| line.starts_with("E: "))
        .or_else(|| lines().find(|line| line.starts_with("W: ") && !line.contains("unsandboxed")));
    line.map_or_else(|| "apt-get gave no reason".to_owned(), |line| line[3..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_suite_is_no_failure() {
        let stdout = "Get:1 http://a.test/debian bookworm InRelease [151 kB]\n\
                      Ign:2 http://a.test/debian old InRelease\nErr:3 http://a.test/debian old Release\n";
        let stderr =
            "E: The repository 'http://a.test/debian old Release' does not have a Release file.\n";
        assert_eq!(judge_update(stdout, stderr), Refreshed::Yes(vec![]));
    }

    #[test]
    fn a_bad_signature_is_told() {
        let stdout = "Hit:1 http://a.test/debian bookworm InRelease\n";
        let stderr = "W: GPG error: http://a.test/debian trixie InRelease: NO_PUBKEY 1\n";
        let told = "GPG error: http://a.test/debian trixie InRelease: NO_PUBKEY 1".to_owned();
        assert_eq!(judge_update(stdout, stderr), Refreshed::Yes(vec![told]));
    }

    #[test]
    fn no_answer_is_a_failure_whatever_the_status() {
        let stdout = "Ign:1 http://a.test/debian bookworm InRelease\nErr:1 http://a.test/debian bookworm InRelease\n";
        let stderr = "W: Failed to fetch http://a.test/debian: Temporary failure resolving 'a.test'\n\
                      W: Some index files failed to download. They have been ignored, or old ones used instead.\n";
        let Refreshed::No(reason) = judge_update(stdout, stderr) else {
            panic!("taken for a success");
        };
        assert!(reason.contains("Temporary failure resolving"), "{reason}");
    }
}
