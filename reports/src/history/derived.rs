//! What was derived from runs, kept as long as their files do not change.
//!
//! A file is one line of text, `drbench-history VERSION CHECKSUM ABOUT`, then what is known of each run,
//! as `postcard` writes it. It is written beside and renamed, so a reader sees an old or a new one, each
//! whole, and of two writers the later stays: both have derived the same. A file that is damaged, or of
//! another version, is made anew.

use crate::store::{ALL_MAY_READ, RESULTS, RUN, StoreError};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// Where it is kept, below the store.
const FOLDER: &str = ".history";
/// What a file begins with.
const MAGIC: &str = "drbench-history";
/// What names of files that are being written begin with.
const UNFINISHED: &str = ".part-";
/// The files' form. Another one is made anew, so this changes with what is derived, too.
const VERSION: u32 = 1;
/// Two writes within this time may leave the same time stamp: a file that was just written is looked at
/// again.
const SETTLED: Duration = Duration::from_secs(2);
/// What was not brought up to date for so long is not asked any more.
const UNUSED: Duration = Duration::from_secs(90 * 24 * 60 * 60);

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

/// Every directory below the store that holds a `run.json` or a `results.csv`, in no order.
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
    Ok(found)
}

/// What is known of a run.
#[derive(Serialize, Deserialize)]
struct Known {
    name: String,
    stamps: Stamps,
    of: Vec<u8>,
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
    pub(super) fn updated<T: Serialize + DeserializeOwned>(
        &self,
        found: &[Found],
        wanted: &dyn Fn(&Found) -> bool,
        derive: impl Fn(&Found) -> Derived<T> + Sync,
    ) -> (Vec<Option<T>>, Work) {
        let (of, work) = self.updated_bytes(found, wanted, &|run| {
            let Derived { of, lasts } = derive(run);
            // To memory, and of forms that it knows: nothing can fail.
            Derived { of: postcard::to_stdvec(&of).unwrap_or_default(), lasts }
        });
        let of = of.into_iter().map(|bytes| postcard::from_bytes(&bytes?).ok());
        (of.collect(), work)
    }

    fn updated_bytes(
        &self,
        found: &[Found],
        wanted: &dyn Fn(&Found) -> bool,
        derive: &(dyn Fn(&Found) -> Derived<Vec<u8>> + Sync),
    ) -> (Vec<Option<Vec<u8>>>, Work) {
        let mut work = Work::default();
        let mut known = self.load().unwrap_or_else(|why| {
            work.anew = Some(why);
            HashMap::new()
        });
        let before = known.len();
        let same = |run: &Found, known: Known| (known.stamps == run.stamps).then_some(known.of);
        let mut of: Vec<Option<Vec<u8>>> =
            found.iter().map(|run| same(run, known.remove(&run.name)?)).collect();
        let mut lasts: Vec<bool> = of.iter().map(Option::is_some).collect();
        work.gone = known.len();
        work.kept = of.iter().flatten().count();
        let now = now();
        let stale: Vec<usize> =
            (0..found.len()).filter(|at| of[*at].is_none() && wanted(&found[*at])).collect();
        work.read = stale.len();
        let mut news = work.anew.is_some() || work.kept != before;
        for (at, derived) in in_parallel(&stale, &|at| derive(&found[at])) {
            lasts[at] = derived.lasts && found[at].is_settled(now);
            news |= lasts[at];
            of[at] = Some(derived.of);
        }
        if news {
            work.unwritten = self.write(found, &of, &lasts).err().map(|error| error.to_string());
        }
        for (of, run) in of.iter_mut().zip(found) {
            if !wanted(run) {
                *of = None;
            }
        }
        (of, work)
    }

    fn path(&self) -> PathBuf {
        self.store.join(FOLDER).join(self.file)
    }

    /// What is kept, by the name of the run, or why it is of no use.
    fn load(&self) -> Result<HashMap<String, Known>, String> {
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
        if header == self.header(rest).as_bytes() {
            let known: Vec<Known> =
                postcard::from_bytes(rest).map_err(|error| wrong(&error.to_string()))?;
            return Ok(known.into_iter().map(|known| (known.name.clone(), known)).collect());
        }
        let ours = format!("{MAGIC} {VERSION} ");
        let is_ours = header.starts_with(ours.as_bytes());
        Err(wrong(if is_ours { "damaged" } else { "of another version of drbench" }))
    }

    fn header(&self, rest: &[u8]) -> String {
        format!("{MAGIC} {VERSION} {:08x} {}", crc32fast::hash(rest), self.about)
    }

    fn write(
        &self,
        found: &[Found],
        of: &[Option<Vec<u8>>],
        lasts: &[bool],
    ) -> Result<(), StoreError> {
        let path = self.path();
        let known = found.iter().zip(of).zip(lasts).filter_map(|((run, of), lasts)| {
            let of = of.clone().filter(|_| *lasts)?;
            Some(Known { name: run.name.clone(), stamps: run.stamps, of })
        });
        let known: Vec<_> = known.collect();
        let write = || {
            let rest = postcard::to_stdvec(&known).map_err(io::Error::other)?;
            let folder = self.store.join(FOLDER);
            fs::create_dir_all(&folder)?;
            tidy(&folder);
            let mut file = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .permissions(Permissions::from_mode(ALL_MAY_READ))
                .tempfile_in(&folder)?;
            writeln!(file, "{}", self.header(&rest))?;
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
fn in_parallel(
    places: &[usize],
    each: &(dyn Fn(usize) -> Derived<Vec<u8>> + Sync),
) -> Vec<(usize, Derived<Vec<u8>>)> {
    const FEW: usize = 8;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores == 1 || places.len() < FEW {
        return places.iter().map(|at| (*at, each(*at))).collect();
    }
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(places.len())));
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(at) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = (*at, each(*at));
                    results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what killed processes left half written, and what nobody asks any more. Nothing of it is
/// missed, so nothing is said if it stays.
fn tidy(folder: &Path) {
    const AN_HOUR: Duration = Duration::from_secs(60 * 60);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(written) = entry.metadata().and_then(|meta| meta.modified()) else { continue };
        let unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let longest = if unfinished { AN_HOUR } else { UNUSED };
        if written.elapsed().unwrap_or_default() > longest {
            let _ = fs::remove_file(entry.path());
        }
    }
}
