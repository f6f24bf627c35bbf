//! Why Debian's kernels cannot be had.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{PackageVersion, VersionWanted, prepared};
use crate::cache::{Cache, CacheError};
use crate::fault::{Blame, Blamed};

/// Why Debian's kernels cannot be had.
#[derive(Debug, Error)]
pub enum DebianError {
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// apt's configuration cannot name this directory.
    #[error(
        "apt cannot work in {0:?}: quotes, backslashes and line ends in the path; set DRBENCH_CACHE to another directory"
    )]
    CachePath(PathBuf),
    /// apt is not there.
    #[error(
        "cannot run {program}: {source}; debian:VERSION needs apt on a Debian system, \
         elsewhere give FILE.deb or IMAGE:MODULE_DIR"
    )]
    NoApt {
        /// The program that was to be run.
        program: &'static str,
        /// Why it was not.
        source: io::Error,
    },
    /// The machine's sources cannot be read.
    #[error("cannot read apt's sources in {list} and {parts}: {source}", list = .list.display(), parts = .parts.display())]
    Sources {
        /// The file with the first of them.
        list: PathBuf,
        /// The directory with the others.
        parts: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// None of the machine's sources is Debian's.
    #[error(
        "no Debian archive among apt's sources in {list} and {parts}; add one (component main), \
         or give FILE.deb or IMAGE:MODULE_DIR", list = .list.display(), parts = .parts.display()
    )]
    NoArchive {
        /// The file with the first of the sources.
        list: PathBuf,
        /// The directory with the others.
        parts: PathBuf,
    },
    /// An index at hand is damaged.
    #[error("cannot read the package index {path}: {source}; remove it and try again", path = .path.display())]
    Index {
        /// The index's file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No archive answered and no index is at hand.
    #[error(
        "the Debian archives cannot be reached ({reason}) and no earlier package index is in the cache; check the network and apt's sources"
    )]
    Unreachable {
        /// What apt says.
        reason: String,
    },
    /// A package could not be downloaded.
    #[error("cannot download {package}: {reason}; check the network and try again")]
    Download {
        /// Name and version.
        package: String,
        /// What apt says.
        reason: String,
    },
    /// A package could not be downloaded, but others that match are in the cache.
    #[error("{download}; in the cache and usable without network: {usable}")]
    DownloadButPrepared {
        /// The failed download.
        download: Box<DebianError>,
        /// How to name the kernels in the cache.
        usable: String,
    },
    /// The packages to build modules for a kernel are gone.
    #[error(
        "the Debian archives no longer offer {package} {version}, which is needed to rebuild modules of \
         this kernel; take a kernel that is newer (drbench list kernels)"
    )]
    NoHeaders {
        /// The package.
        package: String,
        /// Its version.
        version: String,
    },
    /// No such version.
    #[error("no Debian kernel {wanted} is offered today; there are: {offered}")]
    Unknown {
        /// What was asked for.
        wanted: VersionWanted,
        /// What there is.
        offered: String,
    },
    /// The version is in the index, but not all of it.
    #[error(
        "the Debian kernel {version} is no longer complete: {missing} is not offered any more; there are: {offered}"
    )]
    Incomplete {
        /// The version that was chosen.
        version: PackageVersion,
        /// The part that is gone.
        missing: String,
        /// What there is.
        offered: String,
    },
}

impl DebianError {
    /// Whether it says that there is nothing to choose from.
    pub(super) fn is_no_index(&self) -> bool {
        matches!(
            self,
            Self::NoApt { .. }
                | Self::Sources { .. }
                | Self::NoArchive { .. }
                | Self::Unreachable { .. }
        )
    }

    /// Adds the matching kernels that need no download.
    pub(super) fn or_prepared(self, wanted: &VersionWanted, cache: &Cache) -> Self {
        let matching = prepared(cache).into_iter().rev().filter(|(v, _)| wanted.matches(v));
        let usable: Vec<String> = matching.map(|(v, _)| format!("debian:{v}")).collect();
        if usable.is_empty() {
            return self;
        }
        Self::DownloadButPrepared { download: Box::new(self), usable: usable.join(", ") }
    }
}

impl Blamed for DebianError {
    fn blame(&self) -> Blame {
        Blame::Environment
    }
}
