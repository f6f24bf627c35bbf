//! Baselines: runs kept by name, to hold later ones against.
//!
//! What is kept is a copy of the run's files (without `cells/`): runs may be removed, resumed or moved
//! as one likes, a baseline stays what it was. `baselines/NAME` is a link to the copy; another run
//! takes the name in one step, by a rename of the link.

use super::{History, HistoryError, PastRun, State};
use crate::record::{Name, Unexpected};
use crate::store::{RESULTS, RUN, SAMPLES, StoreError};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The directory of the baselines, below the store.
pub const BASELINES: &str = "baselines";
/// The directory of the copies, below that. No name of a baseline: see [`usable`].
const COPIES: &str = "runs";

/// A run that is kept by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// Its name.
    pub name: Name,
    /// A run directory.
    pub path: PathBuf,
}

/// The run directory that is kept by this name, to be compared with.
///
/// # Errors
/// None is kept so: the error lists those that are.
pub fn baseline(store: &Path, name: &str) -> Result<PathBuf, HistoryError> {
    let path = usable(name).map(|name| store.join(BASELINES).join(name.as_str()));
    match path {
        Ok(path) if path.join(RESULTS).exists() => Ok(path),
        _ => Err(none(store, name)?),
    }
}

/// All that is kept, by name. Nothing, where there is no store.
///
/// # Errors
/// The file system's.
pub fn baselines(store: &Path) -> Result<Vec<Baseline>, HistoryError> {
    let folder = store.join(BASELINES);
    let listing = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(StoreError::io("list", &folder))?,
    };
    let mut links = Vec::new();
    for entry in listing {
        links.push(entry.map_err(StoreError::io("list", &folder))?.path());
    }
    links.sort();
    let baseline = |path: PathBuf| {
        let name = usable(path.file_name()?.to_str()?).ok()?;
        path.join(RESULTS).exists().then_some(Baseline { name, path })
    };
    Ok(links.into_iter().filter_map(baseline).collect())
}

/// Keeps a whole run by this name, and gives the place of the copy. With `replace` the name may have
/// been another run's; that one's copy is removed.
///
/// # Errors
/// No such run, it is not [`State::Whole`], the name is none or taken, or the file system's. What was
/// kept before is kept still.
pub fn keep(
    history: &History,
    name: &str,
    run: &str,
    replace: bool,
) -> Result<PathBuf, HistoryError> {
    let run = history.find(run)?;
    let name = usable(name).map_err(HistoryError::BaselineName)?;
    if run.state != State::Whole {
        let (run, state) = (run.path.clone(), run.state.clone());
        return Err(HistoryError::NotWhole { run, state });
    }
    let folder = history.store.join(BASELINES);
    let link = folder.join(name.as_str());
    let old = fs::read_link(&link).ok();
    if link.symlink_metadata().is_ok() && !replace {
        let run = old.map_or_else(|| link.display().to_string(), |old| copied_run(&old));
        return Err(HistoryError::IsKept { name, run });
    }
    fs::create_dir_all(folder.join(COPIES)).map_err(StoreError::io("create directory", &folder))?;
    let copy = copy(run, &folder)?;
    let target = Path::new(COPIES).join(copy.file_name().unwrap_or_default());
    if let Err(error) = relink(&target, &link, replace) {
        let _ = fs::remove_dir_all(&copy);
        return Err(StoreError::io("keep a run as", &link)(error).into());
    }
    remove_copy(&folder, old.as_deref())?;
    Ok(link)
}

/// Keeps the run of this name no longer; its copy is removed.
///
/// # Errors
/// None is kept so: the error lists those that are. Or the file system's.
pub fn forget(store: &Path, name: &str) -> Result<(), HistoryError> {
    let link = baseline(store, name)?;
    let copy = fs::read_link(&link).map_err(StoreError::io("remove", &link))?;
    fs::remove_file(&link).map_err(StoreError::io("remove", &link))?;
    remove_copy(&store.join(BASELINES), Some(&copy))
}

/// A name that a baseline can have: no hidden file, no path, not the directory of the copies.
fn usable(text: &str) -> Result<Name, Unexpected> {
    match Name::new(text) {
        Ok(name) if text.starts_with(['.', '-']) || name.as_str() == COPIES => {
            Err(Unexpected::new(
                format!("one that does not begin with `.` or `-` and is not `{COPIES}`"),
                text,
            ))
        }
        other => other,
    }
}

fn none(store: &Path, name: &str) -> Result<HistoryError, HistoryError> {
    let kept = baselines(store)?.into_iter().map(|baseline| baseline.name).collect();
    Ok(HistoryError::NoBaseline { store: store.to_owned(), name: name.to_owned(), kept })
}

/// Copies of one run have names of their own: each baseline has one to itself, and removes it.
fn copy(run: &PastRun, folder: &Path) -> Result<PathBuf, StoreError> {
    let copy = || {
        let prefix = format!("{}.", run.id());
        let place = tempfile::Builder::new().prefix(&prefix).tempdir_in(folder.join(COPIES))?;
        for file in [RUN, RESULTS, SAMPLES] {
            match fs::copy(run.path.join(file), place.path().join(file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && file == SAMPLES => {}
                other => drop(other?),
            }
        }
        readable(place.path())?;
        Ok(place.keep())
    };
    copy().map_err(StoreError::io("copy", &run.path))
}

/// For the same people as other directories: made for a moment, it was its owner's alone.
fn readable(dir: &Path) -> io::Result<()> {
    let permissions = dir.parent().map(fs::metadata).transpose()?.map(|meta| meta.permissions());
    permissions.map_or(Ok(()), |permissions| fs::set_permissions(dir, permissions))
}

/// Makes the link, or lets it point elsewhere in one step.
fn relink(target: &Path, link: &Path, replace: bool) -> io::Result<()> {
    if !replace {
        return symlink(target, link);
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let beside = link.with_file_name(format!(".{name}"));
    symlink(target, &beside)?;
    fs::rename(&beside, link).inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// Only what [`copy`] made.
fn remove_copy(folder: &Path, copy: Option<&Path>) -> Result<(), HistoryError> {
    let Some(copy) = copy.filter(|copy| copy.parent() == Some(Path::new(COPIES))) else {
        return Ok(());
    };
    let path = folder.join(copy);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", &path)(error).into())
        }
        _ => Ok(()),
    }
}

/// The run's id, from the name of its copy.
fn copied_run(copy: &Path) -> String {
    let name = copy.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once('.').map_or_else(|| name.to_string(), |(id, _)| id.to_owned())
}
