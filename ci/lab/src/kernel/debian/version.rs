//! Debian's version numbers: their order, and which of them a user means.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::kernel::SpecError;

/// A package's version, such as `6.1.176-1`, ordered as Debian orders them (Debian Policy 5.6.12).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackageVersion(String);

impl PackageVersion {
    /// Takes the text as it stands in a package index.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kernel's own version: `6.12.90` of `6.12.90-1~bpo12+1`.
    pub fn upstream(&self) -> &str {
        self.parts().1
    }

    /// The series: `6.12` of `6.12.90-1~bpo12+1`.
    pub fn series(&self) -> &str {
        let upstream = self.upstream();
        upstream.match_indices('.').nth(1).map_or(upstream, |(at, _)| &upstream[..at])
    }

    /// Epoch, upstream version and revision. An absent epoch or revision is `0`.
    fn parts(&self) -> (&str, &str, &str) {
        let (epoch, rest) = self.0.split_once(':').unwrap_or(("0", &self.0));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        (epoch, upstream, revision)
    }
}

impl fmt::Display for PackageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for PackageVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.parts(), other.parts());
        compare(a.0, b.0).then_with(|| compare(a.1, b.1)).then_with(|| compare(a.2, b.2))
    }
}

impl PartialOrd for PackageVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Equal in order is equal: `1.0` and `1.00` are one version.
impl PartialEq for PackageVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PackageVersion {}

/// Alternating runs of non-digits and digits, compared by weight and by value.
fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split_run(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = split_run(b, |c| !c.is_ascii_digit());
        let (number_a, next_a) = split_run(rest_a, u8::is_ascii_digit);
        let (number_b, next_b) = split_run(rest_b, u8::is_ascii_digit);
        let order = compare_text(text_a, text_b).then_with(|| compare_number(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (next_a, next_b);
    }
    Ordering::Equal
}

fn split_run(text: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|c| !belongs(c)).unwrap_or(text.len()))
}

/// `~` sorts before the end of the text, the end before letters, letters before all else.
fn compare_text(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |c: Option<&u8>| match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    (0..a.len().max(b.len()))
        .map(|at| weight(a.get(at)).cmp(&weight(b.get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Numbers of any length: without leading zeros the longer one is greater.
fn compare_number(a: &[u8], b: &[u8]) -> Ordering {
    let (_, a) = split_run(a, |c| *c == b'0');
    let (_, b) = split_run(b, |c| *c == b'0');
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// A version as a user asks for it: whole, or cut at a component boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionWanted(String);

impl VersionWanted {
    /// With a revision (`6.1.176-1`) only that very package is meant.
    pub fn is_exact(&self) -> bool {
        self.0.contains('-')
    }

    /// Whether `version` is what was asked for: `6.1` is `6.1.176-1`, but not `6.12.1-1`.
    pub fn matches(&self, version: &PackageVersion) -> bool {
        let Some(rest) = version.as_str().strip_prefix(&self.0) else {
            return false;
        };
        rest.is_empty() || !self.is_exact() && !rest.starts_with(|c: char| c.is_alphanumeric())
    }

    /// The series asked for: `6.1` of `6.1.999`, `6` of `6`.
    pub fn series(&self) -> &str {
        let end = self.0.match_indices(['.', '-', '+', '~']).nth(1);
        end.map_or(&self.0, |(at, _)| &self.0[..at])
    }
}

impl FromStr for VersionWanted {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".+-~".contains(c);
        if text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SpecError::Version(text.to_owned()))
        }
    }
}

impl fmt::Display for VersionWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> PackageVersion {
        PackageVersion::new(text)
    }

    #[test]
    fn order_of_real_versions() {
        let rising = [
            "5.10.218-1",
            "5.10.262-1",
            "6.1~rc3-1~exp1",
            "6.1.9-1",
            "6.1.176-1~deb11u1",
            "6.1.176-1",
            "6.1.176-2",
            "6.12.90-1~bpo12+1",
            "6.12.90-1",
            "6.12.90-1+b1",
            "1:1.0-1",
        ];
        for pair in rising.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1.00-1"), version("1.0-01"));
    }

    #[test]
    fn parts_of_a_version() {
        assert_eq!(version("6.12.90-1~bpo12+1").upstream(), "6.12.90");
        assert_eq!(version("6.12.90-1~bpo12+1").series(), "6.12");
        assert_eq!(version("7.1-1").series(), "7.1");
        assert_eq!("6.1.999".parse::<VersionWanted>().unwrap().series(), "6.1");
    }

    #[test]
    fn a_wanted_version_ends_at_a_boundary() {
        let table = [
            ("6.1", "6.1.176-1", true),
            ("6.1", "6.12.1-1", false),
            ("6.1", "6.1-1", true),
            ("6.1.17", "6.1.176-1", false),
            ("6.1.176", "6.1.176-1", true),
            ("6.1.176-1", "6.1.176-1", true),
            ("6.1.176-1", "6.1.176-1~deb11u1", false),
            ("6.1.176-1", "6.1.176-12", false),
            ("7.3.4-1~bpo13+1", "7.3.4-1~bpo13+1", true),
        ];
        for (wanted, have, matches) in table {
            let parsed: VersionWanted = wanted.parse().unwrap();
            assert_eq!(parsed.matches(&version(have)), matches, "{wanted} {have}");
        }
    }

    fn any_version() -> impl Strategy<Value = String> {
        "[0-9]{1,3}([.+~a-z][0-9]{0,3}){0,4}(-[0-9]([.+~a-z][0-9]{0,3}){0,3})?"
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in any_version(), b in any_version(), c in any_version()) {
            let mut sorted = [version(&a), version(&b), version(&c)];
            sorted.sort();
            prop_assert!(sorted[0] <= sorted[2]);
            prop_assert_eq!(version(&a).cmp(&version(&b)), version(&b).cmp(&version(&a)).reverse());
        }
    }
}
