//! The kernels in Debian's package indexes.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use deb822_fast::Paragraph;
use serde::{Deserialize, Serialize};

use super::PackageVersion;
use crate::cache::Digest;

/// A file that an archive offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// The checksum that the signed index gives for it.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// A kernel that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The package's version: `6.1.176-1`.
    pub package_version: PackageVersion,
    /// The package one would install: `linux-image-6.1.0-50-amd64`.
    pub package: String,
    /// The suites that carry it.
    pub suites: Vec<String>,
    /// The files it consists of, the one with the image first: one up to 6.17, several since.
    pub parts: Vec<Package>,
}

impl Offer {
    /// The kernel's own version: `6.1.176`.
    pub fn version(&self) -> &str {
        self.package_version.upstream()
    }

    /// What a prepared kernel is kept under: one part's own checksum, or that of all.
    pub(super) fn key(&self) -> Digest {
        match self.parts.as_slice() {
            [only] => only.sha256,
            parts => {
                let sums: Vec<String> = parts.iter().map(|p| p.sha256.to_string()).collect();
                Digest::of(sums.join("\n").as_bytes())
            }
        }
    }
}

/// A kernel that an index names although a part of it is gone from the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Incomplete {
    pub(super) package_version: PackageVersion,
    /// The part's name.
    pub(super) missing: String,
}

/// The kernels of some indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    /// Oldest first, each version once.
    pub(super) offers: Vec<Offer>,
    pub(super) incomplete: Vec<Incomplete>,
}

/// Since 6.19 the image and the modules are apart, in these packages.
const SPLIT: [&str; 2] = ["linux-binary-", "linux-modules-"];
/// Since 6.18 the list of what is built in is in a package of its own. Kernels load without it.
const BASE: &str = "linux-base-";
const WHOLE: &str = "linux-image-";
const FLAVOUR: &str = "-amd64";
/// Flavours whose names end alike but that are not the plain kernel.
const OTHER_FLAVOURS: [&str; 2] = ["-rt", "-cloud"];

/// The packages that kernels are made of, gathered from one index after the other.
#[derive(Debug, Default)]
pub(super) struct Records(BTreeMap<(String, String), Record>);

#[derive(Debug)]
struct Record {
    package: Package,
    depends: String,
    suites: Vec<String>,
}

impl Records {
    /// Adds those of a `Packages` file. Only paragraphs about kernels are looked into: there are
    /// tens of thousands of others.
    pub(super) fn read(&mut self, suite: &str, mut packages: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        let mut paragraph = Vec::new();
        let mut ours = false;
        loop {
            line.clear();
            let length = packages.read_until(b'\n', &mut line)?;
            if line.starts_with(b"Package: linux-") {
                ours = true;
            }
            if length == 0 || line == b"\n" {
                if ours {
                    self.add(suite, &String::from_utf8_lossy(&paragraph));
                }
                paragraph.clear();
                ours = false;
            } else if ours {
                paragraph.extend_from_slice(&line);
            }
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn add(&mut self, suite: &str, text: &str) {
        let Ok(paragraph) = text.parse::<Paragraph>() else { return };
        let field = |name| paragraph.get(name).unwrap_or_default();
        let name = field("Package");
        let prefix =
            SPLIT.iter().chain([&BASE, &WHOLE]).find_map(|prefix| name.strip_prefix(prefix));
        let Some(abi) = prefix.and_then(|rest| rest.strip_suffix(FLAVOUR)) else { return };
        let plain = abi.starts_with(|c: char| c.is_ascii_digit())
            && !OTHER_FLAVOURS.iter().any(|flavour| abi.ends_with(flavour));
        let (Ok(sha256), Ok(size)) = (field("SHA256").parse(), field("Size").parse()) else {
            return;
        };
        if !plain {
            return;
        }
        let key = (name.to_owned(), field("Version").to_owned());
        let record = self.0.entry(key).or_insert_with(|| Record {
            package: Package { name: name.to_owned(), sha256, size },
            depends: field("Depends").to_owned(),
            suites: Vec::new(),
        });
        if !record.suites.iter().any(|s| s == suite) {
            record.suites.push(suite.to_owned());
        }
    }

    /// The kernels that can be had.
    pub(super) fn index(&self) -> Index {
        let mut index = Index::default();
        let images = self.0.iter().filter(|((name, _), _)| name.starts_with(WHOLE));
        for ((name, version), record) in images {
            let depends: Vec<&str> = record
                .depends
                .split(',')
                .filter_map(|alternatives| alternatives.split_whitespace().next())
                .collect();
            // A meta-package: the real one is in the index by its own name.
            if depends.iter().any(|name| name.starts_with(WHOLE)) {
                continue;
            }
            let package_version = PackageVersion::new(version.as_str());
            match self.parts(record, &depends, version) {
                Err(missing) => index.incomplete.push(Incomplete { package_version, missing }),
                Ok(parts) => index.offers.push(Offer {
                    package_version,
                    package: name.clone(),
                    suites: record.suites.clone(),
                    parts,
                }),
            }
        }
        index.offers.sort_by(|a, b| a.package_version.cmp(&b.package_version));
        index.offers.dedup_by(|a, b| a.package_version == b.package_version);
        index
    }

    /// The files a kernel consists of, or the name of one that is not offered.
    fn parts(
        &self,
        image: &Record,
        depends: &[&str],
        version: &str,
    ) -> Result<Vec<Package>, String> {
        let named = |prefix: &str| {
            depends.iter().find(|name| name.starts_with(prefix) && name.ends_with(FLAVOUR))
        };
        let offered = |name: &str| self.0.get(&(name.to_owned(), version.to_owned()));
        let mut parts = Vec::new();
        for name in SPLIT.into_iter().filter_map(named) {
            parts.push(offered(name).ok_or_else(|| (*name).to_owned())?.package.clone());
        }
        if parts.is_empty() {
            parts.push(image.package.clone());
        }
        let base = named(BASE).and_then(|name| offered(name));
        parts.extend(base.map(|record| record.package.clone()));
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paragraph(name: &str, version: &str, depends: &str) -> String {
        let sha256 = Digest::of(format!("{name} {version}").as_bytes());
        format!(
            "Package: {name}\nVersion: {version}\nInstalled-Size: 5\nDepends: {depends}\n\
             SHA256: {sha256}\nSize: 1000\nDescription: x\n more\n\n"
        )
    }

    fn index_of(suites: &[(&str, &[String])]) -> Index {
        let mut records = Records::default();
        for (suite, paragraphs) in suites {
            records.read(suite, paragraphs.concat().as_bytes()).unwrap();
        }
        records.index()
    }

    #[test]
    fn plain_images_are_offered_once_and_in_order() {
        let old =
            paragraph("linux-image-5.10.0-9-amd64", "5.10.218-1", "kmod, linux-base (>= 4.3~)");
        let new = paragraph("linux-image-6.1.0-50-amd64", "6.1.176-1", "kmod");
        let index = index_of(&[
            ("bookworm", &[new.clone(), "Package: bash\nVersion: 5\n\n".into()]),
            ("bookworm-security", &[new]),
            ("bullseye", &[old]),
        ]);
        let versions: Vec<&str> = index.offers.iter().map(Offer::version).collect();
        assert_eq!(versions, ["5.10.218", "6.1.176"]);
        let offer = &index.offers[1];
        assert_eq!(offer.suites, ["bookworm", "bookworm-security"]);
        assert_eq!(offer.parts[0].name, offer.package);
        assert_eq!(offer.key(), offer.parts[0].sha256);
    }

    #[test]
    fn other_packages_are_no_offers() {
        let others = [
            paragraph(
                "linux-image-6.1-amd64",
                "6.1.176-1",
                "linux-image-6.1.0-50-amd64 (= 6.1.176-1)",
            ),
            paragraph("linux-image-amd64", "6.1.176-1", ""),
            paragraph("linux-image-6.1.0-50-rt-amd64", "6.1.176-1", "kmod"),
            paragraph("linux-image-6.1.0-50-cloud-amd64", "6.1.176-1", "kmod"),
            paragraph("linux-image-6.1.0-50-amd64-dbg", "6.1.176-1", ""),
            paragraph("linux-image-6.1.0-50-amd64-unsigned", "6.1.176-1", "kmod"),
            paragraph("linux-headers-6.1.0-50-amd64", "6.1.176-1", ""),
        ];
        assert_eq!(index_of(&[("bookworm", &others)]), Index::default());
    }

    #[test]
    fn a_split_kernel_needs_its_parts() {
        let image = |v: &str, prefixes: &[&str]| {
            let depends: Vec<String> =
                prefixes.iter().map(|prefix| format!("{prefix}{v}-amd64 (= {v}-1)")).collect();
            let depends = format!("dracut | x, {}", depends.join(", "));
            paragraph(&format!("linux-image-{v}-amd64"), &format!("{v}-1"), &depends)
        };
        let part =
            |prefix: &str, v: &str| paragraph(&format!("{prefix}{v}-amd64"), &format!("{v}-1"), "");
        let [binary, modules] = SPLIT;
        let index = index_of(&[(
            "trixie-backports",
            &[
                image("7.3.4", &[BASE, binary, modules]),
                part(BASE, "7.3.4"),
                part(modules, "7.3.4"),
                part(binary, "7.3.4"),
                image("7.1.3", &[BASE, binary, modules]),
                part(binary, "7.1.3"),
                image("6.18.5", &[BASE]),
                image("6.18.9", &[BASE]),
                part(BASE, "6.18.9"),
            ],
        )]);
        let parts: Vec<Vec<&str>> = index
            .offers
            .iter()
            .map(|offer| offer.parts.iter().map(|part| part.name.as_str()).collect())
            .collect();
        let wanted: [&[&str]; 3] = [
            &["linux-image-6.18.5-amd64"],
            &["linux-image-6.18.9-amd64", "linux-base-6.18.9-amd64"],
            &["linux-binary-7.3.4-amd64", "linux-modules-7.3.4-amd64", "linux-base-7.3.4-amd64"],
        ];
        assert_eq!(parts, wanted);
        assert_ne!(index.offers[2].key(), index.offers[2].parts[0].sha256);
        assert_eq!(index.incomplete.len(), 1);
        assert_eq!(index.incomplete[0].package_version.as_str(), "7.1.3-1");
        assert_eq!(index.incomplete[0].missing, "linux-modules-7.1.3-amd64");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in "(Package: linux-image-6-amd64|Version|Size|SHA256|:|\\n| |x|1){0,30}") {
            let mut records = Records::default();
            records.read("suite", text.as_bytes()).unwrap();
            records.index();
        }
    }
}
