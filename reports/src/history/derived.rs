//! What was derived from runs, kept as long as their files do not change.
//!
//! A file of JSON lines: what it is, with a checksum of the rest, then a line per run. It is written
//! beside and renamed, so a reader sees an old or a new one, each whole, and of two writers the later
//! stays: both have derived the same. A file that is damaged, or of another version, is made anew.

use crate::store::{RESULTS, RUN, StoreError};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

/// Where it is kept, below the store.
const FOLDER: &str = ".history";
/// What names of files that are being written begin with.
const UNFINISHED: &str = ".part-";
/// The files' form. Another one is made anew, so this changes with what is derived, too.
const VERSION: u32 = 1;
/// Two writes within this time may leave the same time stamp: a file that was just written is looked at
/// again.
const SETTLED: Duration = Duration::from_secs(2);
/// Answers that are kept, the last ones used.
const MOST_FILES: usize = 64;

/// What an update took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// Runs whose files were read.
    pub read: usize,
    /// Runs whose files have not changed since.
    pub kept: usize,
    /// Runs that are gone.
    pub gone: usize,
    /// Why all was derived anew, if it was: a damaged file, for example.
    pub anew: Option<String>,
    /// Why nothing could be written down, if so: the next time takes as long again.
    pub unwritten: Option<String>,
}

/// A run's directory, and the state of its files.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) path: PathBuf,
    stamps: Stamps,
}

/// Of `run.json` and `results.csv`, as far as they are there.
type Stamps = [Option<Stamp>; 2];

/// What changes when a file does: its length, and nanoseconds since 1970 of its content's and its
/// inode's last change. (The second cannot be set back.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp(u64, i64, i64);

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        const NANOS: i64 = 1_000_000_000;
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(NANOS).saturating_add(nanos);
        let stamp = |meta: Metadata| {
            let written = nanos(meta.mtime(), meta.mtime_nsec());
            Self(meta.len(), written, nanos(meta.ctime(), meta.ctime_nsec()))
        };
        fs::metadata(path).ok().map(stamp)
    }
}

impl Found {
    /// When its files were last written.
    pub(super) fn written(&self) -> Timestamp {
        let last = self.stamps.iter().flatten().map(|stamp| stamp.1).max();
        Timestamp::from_nanosecond(last.unwrap_or_default().into()).unwrap_or_default()
    }

    /// Whether a change from now on would show.
    fn is_settled(&self, now: i64) -> bool {
        let settled = i64::try_from(SETTLED.as_nanos()).unwrap_or(i64::MAX);
        self.stamps.iter().flatten().all(|stamp| stamp.1.saturating_add(settled) < now)
    }
}

/// Every directory below the store that holds a `run.json` or a `results.csv`, by name.
pub(super) fn find(store: &Path) -> Result<Vec<Found>, StoreError> {
    let listing = fs::read_dir(store).map_err(StoreError::io("list", store))?;
    let mut found = Vec::new();
    for entry in listing {
        let entry = entry.map_err(StoreError::io("list", store))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if name.starts_with('.') || is_file {
            continue;
        }
        let path = entry.path();
        let stamps = [RUN, RESULTS].map(|file| Stamp::of(&path.join(file)));
        if stamps.iter().any(Option::is_some) {
            found.push(Found { name, path, stamps });
        }
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Header {
    drbench_history: u32,
    about: String,
    crc32: u32,
}

/// A run's line.
#[derive(Serialize, Deserialize)]
struct Line<T> {
    name: String,
    stamps: Stamps,
    of: T,
}

/// What was derived from one run.
pub(super) struct Derived<T> {
    pub(super) of: T,
    /// Whether the files alone decide it. What failed to be read may be read the next time.
    pub(super) lasts: bool,
}

/// A file of what was derived.
pub(super) struct Kept<'a> {
    pub(super) store: &'a Path,
    pub(super) file: &'a str,
    /// What it is about: a file about something else is no answer.
    pub(super) about: &'a str,
}

impl Kept<'_> {
    /// What `derive` gives for each run that is wanted, in the order of `found`. It is called only for
    /// runs that are new or have changed.
    pub(super) fn updated<T: Serialize + DeserializeOwned + Send>(
        &self,
        found: &[Found],
        wanted: impl Fn(&Found) -> bool,
        derive: impl Fn(&Found) -> Derived<T> + Sync,
    ) -> (Vec<Option<T>>, Work) {
        let mut work = Work::default();
        let mut known = self.load().unwrap_or_else(|why| {
            work.anew = Some(why);
            HashMap::new()
        });
        let before = known.len();
        let mut of: Vec<Option<T>> = Vec::with_capacity(found.len());
        for run in found {
            let line = known.remove(&run.name).filter(|line: &Line<T>| line.stamps == run.stamps);
            of.push(line.map(|line| line.of));
        }
        let same = of.iter().flatten().count();
        work.gone = known.len();
        let now = now();
        let stale: Vec<_> =
            (0..found.len()).filter(|at| of[*at].is_none() && wanted(&found[*at])).collect();
        (work.read, work.kept) = (stale.len(), same);
        let mut lasting: Vec<_> = of.iter().map(Option::is_some).collect();
        let read = in_parallel(&stale, |at| derive(&found[at]));
        let news = read.iter().any(|(_, derived)| derived.lasts) || same != before;
        for (at, derived) in read {
            lasting[at] = derived.lasts && found[at].is_settled(now);
            of[at] = Some(derived.of);
        }
        if news || work.anew.is_some() {
            let lines = found.iter().zip(&of).zip(&lasting).filter(|(_, lasts)| **lasts);
            let lines = lines.filter_map(|((run, of), _)| Some((run, of.as_ref()?)));
            work.unwritten = self.write(lines).err().map(|error| error.to_string());
        }
        for (of, run) in of.iter_mut().zip(found) {
            if !wanted(run) {
                *of = None;
            }
        }
        (of, work)
    }

    fn path(&self) -> PathBuf {
        self.store.join(FOLDER).join(self.file).with_extension("jsonl")
    }

    /// What is kept, by the name of the run, or why it is of no use.
    fn load<T: DeserializeOwned>(&self) -> Result<HashMap<String, Line<T>>, String> {
        let path = self.path();
        let wrong = |why: &str| format!("{}: {why}", path.display());
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(wrong("not there yet"));
            }
            other => other.map_err(|error| wrong(&error.to_string()))?,
        };
        let end = text.iter().position(|byte| *byte == b'\n').ok_or_else(|| wrong("cut off"))?;
        let (header, rest) = (&text[..end], &text[end + 1..]);
        let header: Header =
            serde_json::from_slice(header).map_err(|error| wrong(&error.to_string()))?;
        if header.drbench_history != VERSION {
            return Err(wrong("of another version of drbench"));
        }
        if header.about != self.about || header.crc32 != crc32fast::hash(rest) {
            return Err(wrong("damaged"));
        }
        serde_json::Deserializer::from_slice(rest)
            .into_iter::<Line<T>>()
            .map(|line| line.map(|line| (line.name.clone(), line)))
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(&error.to_string()))
    }

    fn write<'t, T: Serialize + 't>(
        &self,
        lines: impl Iterator<Item = (&'t Found, &'t T)>,
    ) -> Result<(), StoreError> {
        let path = self.path();
        let write = || {
            let mut rest = Vec::new();
            for (run, of) in lines {
                let line = Line { name: run.name.clone(), stamps: run.stamps, of };
                serde_json::to_writer(&mut rest, &line)?;
                rest.push(b'\n');
            }
            let crc32 = crc32fast::hash(&rest);
            let header =
                Header { drbench_history: VERSION, about: self.about.to_owned(), crc32 };
            let folder = self.store.join(FOLDER);
            fs::create_dir_all(&folder)?;
            tidy(&folder);
            let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&folder)?;
            serde_json::to_writer(&mut file, &header)?;
            file.write_all(b"\n")?;
            file.write_all(&rest)?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(StoreError::io("write", &path))
    }
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The results for these places, with the place.
fn in_parallel<T: Send>(places: &[usize], each: impl Fn(usize) -> T + Sync) -> Vec<(usize, T)> {
    const FEW: usize = 8;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores == 1 || places.len() < FEW {
        return places.iter().map(|at| (*at, each(*at))).collect();
    }
    let (results, all) = mpsc::channel();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..cores {
            let results = results.clone();
            scope.spawn(|| {
                let results = results;
                while let Some(at) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // The receiver is there until all threads have ended.
                    let _ = results.send((*at, each(*at)));
                }
            });
        }
    });
    drop(results);
    all.into_iter().collect()
}

/// Removes what killed processes left half written, and the files used longest ago. Nothing of it is
/// missed, so nothing is said if it stays.
fn tidy(folder: &Path) {
    const AN_HOUR: Duration = Duration::from_secs(60 * 60);
    let Ok(listing) = fs::read_dir(folder) else { return };
    let mut files = Vec::new();
    for entry in listing.flatten() {
        let Ok(written) = entry.metadata().and_then(|meta| meta.modified()) else { continue };
        let age = written.elapsed().unwrap_or_default();
        if !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            files.push((age, entry.path()));
        } else if age > AN_HOUR {
            let _ = fs::remove_file(entry.path());
        }
    }
    files.sort();
    for (_, path) in files.iter().skip(MOST_FILES) {
        let _ = fs::remove_file(path);
    }
}
