//! Debian's kernels: which ones its archives offer, and getting them, through the machine's own apt.
//!
//! apt gets a configuration of its own, made from the machine's sources with other suite names: the
//! indexes are signed and downloads verified as always, and the system's apt state stays untouched.

mod apt;
pub(super) mod build;
mod error;
mod index;
mod sources;
mod version;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use error::DebianError;
pub use index::{Offer, Package};
pub use version::{PackageVersion, VersionWanted};

use serde::{Deserialize, Serialize};

use super::{CACHE_KIND, Kernel, KernelError, prepare_packages};
use crate::cache::{Cache, CacheError, Digest};
use apt::{Apt, Refreshed};
use index::Index;

/// The directory with apt's private state, and the lock that guards it.
const APT: &str = "apt";
/// In it: the kernels found in the indexes at the last refresh.
const OFFERS: &str = "kernels.json";
/// The directory with a file per version: which prepared kernel it is.
const PREPARED: &str = "debian";

/// When to ask the archives again, and not take the indexes as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// When they were last asked longer ago than this.
    OlderThan(Duration),
    /// In any case.
    Now,
}

impl Default for Refresh {
    /// After six hours: Debian's archive changes four times a day.
    fn default() -> Self {
        Self::OlderThan(Duration::from_secs(6 * 60 * 60))
    }
}

/// Every plain amd64 kernel that the machine's Debian archives offer, oldest first, each version once.
///
/// Where the archives cannot be reached, the last known indexes are used, and `progress` is told so.
pub fn offered(
    cache: &Cache,
    refresh: Refresh,
    progress: &dyn Fn(&str),
) -> Result<Vec<Offer>, DebianError> {
    let _lock = cache.lock(APT)?;
    let apt = Apt::open(&cache.dir(APT)?)?;
    Ok(current_index(&apt, cache, refresh, progress)?.offers)
}

/// What the archives offered when they were last asked.
#[derive(Serialize, Deserialize)]
struct Known {
    /// The checksum of the sources that name them.
    sources: Digest,
    index: Index,
}

/// The caller holds the lock.
fn current_index(
    apt: &Apt,
    cache: &Cache,
    refresh: Refresh,
    progress: &dyn Fn(&str),
) -> Result<Index, DebianError> {
    let path = cache.dir(APT)?.join(OFFERS);
    let known = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Known>(&text).ok());
    let age = fs::metadata(&path).and_then(|m| m.modified()).ok();
    let age = age.and_then(|at| SystemTime::now().duration_since(at).ok());
    let fresh = |known: &Known| match refresh {
        Refresh::OlderThan(limit) => {
            known.sources == apt.sources && age.is_some_and(|age| age <= limit)
        }
        Refresh::Now => false,
    };
    let known = match known {
        Some(known) if fresh(&known) => return Ok(known.index),
        known => known,
    };
    progress("asking the Debian archives for their kernels");
    match (apt.update()?, known) {
        (Refreshed::Yes(complaints), _) => {
            for text in complaints {
                progress(&format!("apt: {text}"));
            }
            let known = Known { sources: apt.sources, index: apt.index()? };
            let text = serde_json::to_vec(&known);
            let text = text.map_err(|e| CacheError::io("write", &path)(e.into()))?;
            Cache::write(&path, &text)?;
            Ok(known.index)
        }
        (Refreshed::No(reason), Some(known)) => {
            let hours = age.unwrap_or_default().as_secs() / 3600;
            progress(&format!(
                "the Debian archives cannot be reached ({reason}); using what they offered {hours} hours ago"
            ));
            Ok(known.index)
        }
        (Refreshed::No(reason), None) => Err(DebianError::Unreachable { reason }),
    }
}

/// The newest kernel that matches, prepared.
pub(super) fn prepare(
    wanted: &VersionWanted,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Kernel, KernelError> {
    if wanted.is_exact()
        && let Some(kernel) = newest_prepared(wanted, cache)
    {
        return Ok(kernel);
    }
    // Held to the end: of two processes that want one kernel, the second finds it prepared.
    let _lock = cache.lock(APT)?;
    let found = find(wanted, cache, progress);
    let (apt, offer) = match found {
        Ok(found) => found,
        // Without any index: what was prepared before is still there.
        Err(error) if error.is_no_index() => {
            return match newest_prepared(wanted, cache) {
                Some(kernel) => {
                    progress(&format!("{error}; using {} from the cache", kernel.kernel_id));
                    Ok(kernel)
                }
                None => Err(error.into()),
            };
        }
        Err(error) => return Err(error.into()),
    };
    let key = offer.key();
    let version = offer.package_version.as_str();
    let kernel = if let Some(entry) = cache.entry(CACHE_KIND, &key) {
        Kernel::from_entry(&entry)?
    } else {
        let size: u64 = offer.parts.iter().map(|part| part.size).sum();
        progress(&format!("downloading {} {version} ({} MB)", offer.package, size / 1_000_000));
        let parent = cache.dir(APT)?;
        let place = tempfile::tempdir_in(&parent)
            .map_err(CacheError::io("create a directory in", &parent))?;
        let packages =
            apt.download(&offer, place.path()).map_err(|e| e.or_prepared(wanted, cache))?;
        prepare_packages(&packages, &key, Some(version), cache, progress)?
    };
    Cache::write(&cache.dir(PREPARED)?.join(version), key.to_string().as_bytes())?;
    Ok(kernel)
}

fn find(
    wanted: &VersionWanted,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<(Apt, Offer), DebianError> {
    let apt = Apt::open(&cache.dir(APT)?)?;
    let index = current_index(&apt, cache, Refresh::default(), progress)?;
    Ok((apt, choose(wanted, &index)?))
}

/// The newest offer that matches.
fn choose(wanted: &VersionWanted, index: &Index) -> Result<Offer, DebianError> {
    let newest = index.offers.iter().rfind(|offer| wanted.matches(&offer.package_version));
    if let Some(offer) = newest {
        return Ok(offer.clone());
    }
    let incomplete = index.incomplete.iter().find(|i| wanted.matches(&i.package_version));
    if let Some(incomplete) = incomplete {
        return Err(DebianError::Incomplete {
            version: incomplete.package_version.clone(),
            missing: incomplete.missing.clone(),
            offered: listing(wanted, index),
        });
    }
    Err(DebianError::Unknown { wanted: wanted.clone(), offered: listing(wanted, index) })
}

/// The versions of the series asked for, newest first; else how many there are of each series.
fn listing(wanted: &VersionWanted, index: &Index) -> String {
    let versions = || index.offers.iter().rev().map(|offer| &offer.package_version);
    let near: Vec<&str> = versions()
        .filter(|version| version.series() == wanted.series())
        .map(PackageVersion::as_str)
        .collect();
    if !near.is_empty() {
        return near.join(", ");
    }
    let mut series: Vec<(&str, &PackageVersion, usize)> = Vec::new();
    for version in versions() {
        match series.last_mut().filter(|(name, ..)| *name == version.series()) {
            Some((.., count)) => *count += 1,
            None => series.push((version.series(), version, 1)),
        }
    }
    let text = |(name, newest, count): &(&str, &PackageVersion, usize)| {
        format!("{name} ({count}, newest {newest})")
    };
    series.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The versions that were prepared before, with their cache entries, oldest first.
fn prepared(cache: &Cache) -> Vec<(PackageVersion, PathBuf)> {
    let listing = fs::read_dir(cache.root().join(PREPARED)).into_iter().flatten().flatten();
    let entry = |path: &Path| {
        let version = PackageVersion::new(path.file_name()?.to_str()?);
        let key: Digest = fs::read_to_string(path).ok()?.parse().ok()?;
        Some((version, cache.entry(CACHE_KIND, &key)?))
    };
    let mut found: Vec<_> = listing.filter_map(|file| entry(&file.path())).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn newest_prepared(wanted: &VersionWanted, cache: &Cache) -> Option<Kernel> {
    let prepared = prepared(cache);
    let (_, entry) = prepared.iter().rfind(|(version, _)| wanted.matches(version))?;
    Kernel::from_entry(entry).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(versions: &[&str]) -> Index {
        let offer = |version: &&str| Offer {
            package_version: PackageVersion::new(*version),
            package: format!("linux-image-{version}-amd64"),
            suites: vec!["bookworm".to_owned()],
            parts: Vec::new(),
        };
        let incomplete = index::Incomplete {
            package_version: PackageVersion::new("7.1.3-1"),
            missing: "linux-modules-7.1.3-amd64".to_owned(),
        };
        Index { offers: versions.iter().map(offer).collect(), incomplete: vec![incomplete] }
    }

    const VERSIONS: [&str; 5] =
        ["5.10.218-1", "6.1.176-1~deb11u1", "6.1.176-1", "6.12.90-1", "6.12.117-1"];

    #[test]
    fn the_newest_match_is_chosen() {
        let index = index(&VERSIONS);
        for (wanted, version) in [
            ("6.1", "6.1.176-1"),
            ("6.12", "6.12.117-1"),
            ("6", "6.12.117-1"),
            ("6.12.90", "6.12.90-1"),
            ("6.1.176-1~deb11u1", "6.1.176-1~deb11u1"),
        ] {
            let offer = choose(&wanted.parse().unwrap(), &index).unwrap();
            assert_eq!(offer.package_version.as_str(), version);
        }
    }

    #[test]
    fn an_unknown_version_lists_what_there_is() {
        let index = index(&VERSIONS);
        let message =
            |wanted: &str| choose(&wanted.parse().unwrap(), &index).unwrap_err().to_string();
        let near = message("6.1.999");
        assert!(
            near.contains("6.1.999") && near.contains("6.1.176-1, 6.1.176-1~deb11u1"),
            "{near}"
        );
        assert!(!near.contains("6.12"), "{near}");
        let far = message("4.19");
        assert!(
            far.contains("6.12 (2, newest 6.12.117-1), 6.1 (2, newest 6.1.176-1), 5.10 (1"),
            "{far}"
        );
        let incomplete = message("7.1");
        assert!(incomplete.contains("linux-modules-7.1.3-amd64"), "{incomplete}");
    }
}
