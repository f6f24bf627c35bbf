//! The configuration a kernel was built with, as far as it bears on the cost of an exit.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the names of options begin that bear on an exit's cost, those that people choose first: preemption
/// and ticks, what guards entries against speculation, checks, paravirtualization, breakpoints and
/// counters, the compiler, and KVM itself, most of whose options follow from its version.
const BEARING: [&str; 22] = [
    "CONFIG_PREEMPT",
    "CONFIG_HZ",
    "CONFIG_NO_HZ",
    "CONFIG_CPU_MITIGATIONS",
    "CONFIG_SPECULATION_MITIGATIONS",
    "CONFIG_MITIGATION_",
    "CONFIG_RETPOLINE",
    "CONFIG_RETHUNK",
    "CONFIG_CPU_IBRS_ENTRY",
    "CONFIG_CPU_UNRET_ENTRY",
    "CONFIG_CPU_SRSO",
    "CONFIG_PAGE_TABLE_ISOLATION",
    "CONFIG_KASAN",
    "CONFIG_LOCKDEP",
    "CONFIG_PROVE_LOCKING",
    "CONFIG_DEBUG_ENTRY",
    "CONFIG_PARAVIRT",
    "CONFIG_HAVE_HW_BREAKPOINT",
    "CONFIG_PERF_EVENTS",
    "CONFIG_CC_VERSION_TEXT",
    "CONFIG_CC_OPTIMIZE",
    "CONFIG_KVM",
];

/// The place in the table of what this option's name begins with.
pub(crate) fn bearing(name: &str) -> Option<usize> {
    BEARING.iter().position(|start| name.starts_with(start))
}

/// A kernel's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What it was read from: `package`, `build tree`, `/proc/config.gz`, …
    pub source: String,
    /// SHA-256 of its text, in hexadecimal.
    pub sha256: String,
    /// The options that bear on an exit's cost, with their values. One that is not set is not there.
    pub options: BTreeMap<String, String>,
}

impl Config {
    /// Of the text of a `.config`, whose checksum the caller knows.
    ///
    /// ```
    /// let text = "CONFIG_HZ=250\n# CONFIG_KASAN is not set\nCONFIG_EXT4_FS=m\n";
    /// let config = reports::store::Config::of("package", "00ff".to_owned(), text);
    /// assert_eq!(config.options.into_iter().collect::<Vec<_>>(), [("CONFIG_HZ".into(), "250".into())]);
    /// ```
    pub fn of(source: &str, sha256: String, text: &str) -> Self {
        let set = text.lines().filter_map(|line| line.split_once('='));
        let options = set
            .filter(|(name, _)| bearing(name).is_some())
            .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
            .collect();
        Self { source: source.to_owned(), sha256, options }
    }
}
