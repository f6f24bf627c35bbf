//! `run.json`: the surroundings of a run.

use super::{ALL_MAY_READ, Config, Noise, RUN, Seen, StoreError};
use crate::record::{Name, Run, Subject, Target};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// The version of the files' layout. A reader refuses a newer one, and reads the older ones.
///
/// | version | what is new |
/// | --- | --- |
/// | 2 | `noise` in `run.json` tells the CPU's own pace; until then a busy neighbour looked like a slower kernel |
/// | 1 | the first |
pub const SCHEMA: u32 = 2;

/// The longest `run.json` that is read, in bytes: a thousand times a usual one.
const LONGEST: u64 = 64 << 20;

/// What `run.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The layout of the files, [`SCHEMA`].
    pub schema: u32,
    /// The run's id and beginning, as in every row.
    #[serde(flatten)]
    pub run: Run,
    /// When it ended; none while it runs, or if it was cut short.
    pub finished_at: Option<Timestamp>,
    /// Version of the program that measured.
    pub drbench: String,
    /// The command line, to repeat the run.
    pub argv: Vec<String>,
    /// SHA-256 in hexadecimal, by what was hashed: `binary`, `payload:NAME`.
    pub hashes: BTreeMap<String, String>,
    /// One per kernel and target, as they become known.
    pub environments: Vec<Environment>,
    /// What was to be measured, in the words of the program that planned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<serde_json::Value>,
}

/// What surrounded the rows of one kernel on one target. What could not be found out is left
/// empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The kernel, as in the rows.
    #[serde(flatten)]
    pub subject: Subject,
    /// The machine, as in the rows.
    #[serde(flatten)]
    pub target: Target,
    /// By the fields of uname(2): `sysname`, `release`, `version`, `machine`.
    pub uname: BTreeMap<String, String>,
    /// The kernel's package and its version.
    pub package: Option<String>,
    /// By module, by parameter.
    pub module_parameters: BTreeMap<String, BTreeMap<String, String>>,
    /// By the fields of /proc/cpuinfo worth keeping: `vendor_id`, `model name`, `flags`, …
    pub cpu: BTreeMap<String, String>,
    /// The microcode's revision.
    pub microcode: Option<String>,
    /// By vulnerability, as in /sys/devices/system/cpu/vulnerabilities.
    pub mitigations: BTreeMap<String, String>,
    /// The emulator, if the machine is one.
    pub emulator: Option<Emulator>,
    /// The words of the kernel's command line.
    pub kernel_words: Vec<String>,
    /// SHA-256 in hexadecimal, by what was hashed: `vmlinux`, `initramfs`, modules.
    pub hashes: BTreeMap<String, String>,
    /// The configuration it was built with. Not there in older runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Seen<Config>>,
    /// What disturbed the measurement; of hardware, once all is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
}

/// The program that emulated the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emulator {
    /// As it says itself.
    pub version: String,
    /// Its command line, to repeat the boot.
    pub argv: Vec<String>,
}

impl Environment {
    /// Nothing known but which kernel and machine it is.
    pub fn new(subject: Subject, target: Target) -> Self {
        Self {
            subject,
            target,
            uname: BTreeMap::new(),
            package: None,
            module_parameters: BTreeMap::new(),
            cpu: BTreeMap::new(),
            microcode: None,
            mitigations: BTreeMap::new(),
            emulator: None,
            kernel_words: Vec::new(),
            hashes: BTreeMap::new(),
            config: None,
            noise: None,
        }
    }
}

impl RunInfo {
    /// A run that begins now, with a new id. `drbench` is the program's version.
    pub fn begin(drbench: &str, argv: Vec<String>) -> Self {
        let now = Timestamp::now();
        Self {
            schema: SCHEMA,
            run: Run { run_id: new_id(now), started_at: now },
            finished_at: None,
            drbench: drbench.to_owned(),
            argv,
            hashes: BTreeMap::new(),
            environments: Vec::new(),
            plan: None,
        }
    }

    /// Reads the `run.json` of a run directory.
    ///
    /// # Errors
    /// No such file; not JSON of this form; or a newer [`SCHEMA`].
    pub fn read(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(RUN);
        let mut text = Vec::new();
        let file = fs::File::open(&path).map_err(StoreError::io("read", &path))?;
        file.take(LONGEST + 1).read_to_end(&mut text).map_err(StoreError::io("read", &path))?;
        Self::parse(&text, &path)
    }

    /// Reads the text of a `run.json`; `path` is its name in errors.
    ///
    /// # Errors
    /// Not JSON of this form; or a newer [`SCHEMA`].
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let wrong = |problem: String| StoreError::RunJson { path: path.to_owned(), problem };
        if text.len() as u64 > LONGEST {
            return Err(wrong(format!(
                "it is longer than {LONGEST} bytes; restore it from a copy"
            )));
        }
        let malformed =
            |error: serde_json::Error| wrong(format!("{error}; restore it from a copy"));
        let version: Version = serde_json::from_slice(text).map_err(malformed)?;
        if version.schema > SCHEMA {
            return Err(wrong(format!(
                "it has schema version {}, this program knows {SCHEMA} at most; use a newer drbench",
                version.schema
            )));
        }
        serde_json::from_slice(text).map_err(malformed)
    }

    /// Writes `run.json` where none may be yet.
    pub(super) fn write_new(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(RUN);
        self.write_beside(dir)?
            .persist_noclobber(&path)
            .map_err(|error| StoreError::io("create", &path)(error.error))?;
        Ok(())
    }

    /// Replaces `run.json` in one step.
    pub(super) fn replace(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(RUN);
        self.write_beside(dir)?
            .persist(&path)
            .map_err(|error| StoreError::io("replace", &path)(error.error))?;
        Ok(())
    }

    fn write_beside(&self, dir: &Path) -> Result<NamedTempFile, StoreError> {
        let write = || {
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            written_beside(dir, ".run-", &text)
        };
        write().map_err(StoreError::io("write in", dir))
    }
}

/// A file of this text in `dir`, under another name and on the disk, to be renamed to its own.
pub(crate) fn written_beside(dir: &Path, prefix: &str, text: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(ALL_MAY_READ))
        .tempfile_in(dir)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Sorts by time; two runs of the same second still differ.
#[allow(clippy::expect_used)]
fn new_id(now: Timestamp) -> Name {
    let random = RandomState::new().hash_one(now.as_nanosecond()) & 0xff_ffff;
    let id = format!("{}-{random:06x}", now.strftime("%Y%m%dT%H%M%SZ"));
    Name::new(&id).expect("digits, letters and a dash")
}
