//! Where this machine gets Debian packages from, read from its own apt sources, and the same places
//! asked for the suites that carry kernels.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use deb822_fast::Deb822;

/// The releases of Debian whose kernels are looked for.
pub(super) const RELEASES: [&str; 3] = ["bullseye", "bookworm", "trixie"];
/// Other names by which a machine's sources may follow Debian.
const OTHER_NAMES: [&str; 9] = [
    "buster",
    "forky",
    "sid",
    "stable",
    "oldstable",
    "oldoldstable",
    "testing",
    "unstable",
    "duke",
];
/// The component with the kernels.
const COMPONENT: &str = "main";
/// Options that say how an archive is reached and verified: kept, as they stand (sources.list(5)).
const KEPT_OPTIONS: [&str; 8] = [
    "Signed-By",
    "Trusted",
    "Allow-Insecure",
    "Allow-Weak",
    "Check-Valid-Until",
    "Valid-Until-Max",
    "Check-Date",
    "By-Hash",
];

/// What an archive carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Releases, their updates and backports.
    Releases,
    /// Security updates.
    Security,
}

impl Kind {
    /// The kind of archive a suite of this name lies in, if it is one of Debian's.
    fn of(suite: &str) -> Option<Self> {
        let suite = suite.trim_end_matches('/');
        let debian = |name: &str| RELEASES.contains(&name) || OTHER_NAMES.contains(&name);
        // `RELEASE/updates` was the security suite's name up to buster.
        let security = suite.strip_suffix("-security").or_else(|| suite.strip_suffix("/updates"));
        if security.is_some_and(debian) {
            return Some(Self::Security);
        }
        let release = ["-updates", "-backports", "-proposed-updates"]
            .iter()
            .find_map(|end| suite.strip_suffix(end));
        debian(release.unwrap_or(suite)).then_some(Self::Releases)
    }

    fn suites(self) -> Vec<String> {
        let ends: &[&str] = match self {
            Self::Releases => &["", "-updates", "-backports"],
            Self::Security => &["-security"],
        };
        RELEASES
            .iter()
            .flat_map(|name| ends.iter().map(move |end| format!("{name}{end}")))
            .collect()
    }
}

/// A place that carries some of Debian's suites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archive {
    kind: Kind,
    uri: String,
    /// Options to keep, by their deb822 names.
    options: Vec<(String, String)>,
}

/// One entry of apt's sources, in either format.
struct Entry {
    types: String,
    uris: String,
    suites: String,
    components: String,
    options: Vec<(String, String)>,
}

impl Entry {
    /// A line such as `deb [signed-by=/a/keyring] URI SUITE COMPONENT…`.
    fn from_line(line: &str) -> Option<Self> {
        let line = line.split('#').next()?.trim();
        let (types, rest) = line.split_once(char::is_whitespace)?;
        let rest = rest.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (uris, suites) = (words.next()?.to_owned(), words.next()?.to_owned());
        let components = words.collect::<Vec<_>>().join(" ");
        // `signed-by=a,b` here is `Signed-By: a b` there.
        let options = options
            .split_whitespace()
            .filter_map(|option| option.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.replace(',', " ")))
            .collect();
        Some(Self { types: types.to_owned(), uris, suites, components, options })
    }

    fn from_paragraph(paragraph: &deb822_fast::Paragraph) -> Option<Self> {
        let field = |name| paragraph.get(name).unwrap_or_default().to_owned();
        if matches!(
            field("Enabled").trim().to_ascii_lowercase().as_str(),
            "no" | "false" | "0" | "off"
        ) {
            return None;
        }
        let options = paragraph.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        Some(Self {
            types: field("Types"),
            uris: field("URIs"),
            suites: field("Suites"),
            components: field("Components"),
            options,
        })
    }

    fn archives(&self) -> Vec<Archive> {
        let has = |text: &str, word| text.split_whitespace().any(|w| w == word);
        // Where the sources are, the packages are too: `deb-src` alone is as good.
        let usable = (has(&self.types, "deb") || has(&self.types, "deb-src"))
            && has(&self.components, COMPONENT);
        let mut archives = Vec::new();
        for suite in self.suites.split_whitespace().filter(|_| usable) {
            let Some(kind) = Kind::of(suite) else { continue };
            for uri in self.uris.split_whitespace().filter(|uri| !uri.starts_with("cdrom:")) {
                let uri = uri.trim_end_matches('/').to_owned();
                archives.push(Archive { kind, uri, options: self.kept_options() });
            }
        }
        archives
    }

    fn kept_options(&self) -> Vec<(String, String)> {
        let value = |kept: &str| {
            let mut given = self.options.iter().filter(|(name, _)| name.eq_ignore_ascii_case(kept));
            given.next().map(|(_, value)| (kept.to_owned(), value.clone()))
        };
        KEPT_OPTIONS.into_iter().filter_map(value).collect()
    }
}

/// Debian's archives among the text of one sources file. `deb822` tells the two formats apart.
pub(super) fn archives(text: &str, deb822: bool) -> Vec<Archive> {
    let entries: Vec<Entry> = if deb822 {
        // What cannot be read, apt cannot read either: it says so at every update.
        let document = text.parse::<Deb822>();
        document.iter().flat_map(Deb822::iter).filter_map(Entry::from_paragraph).collect()
    } else {
        text.lines().filter_map(Entry::from_line).collect()
    };
    entries.iter().flat_map(Entry::archives).collect()
}

/// Debian's archives among the files that apt would read here, each once.
pub(super) fn of_machine(list: &Path, parts: &Path) -> io::Result<Vec<Archive>> {
    let mut files = vec![list.to_owned()];
    if let Ok(listing) = fs::read_dir(parts) {
        let mut found: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
        found.sort();
        files.extend(found);
    }
    let mut all: Vec<Archive> = Vec::new();
    for file in files.iter().filter(|f| f.is_file()) {
        let deb822 = match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => true,
            Some("list") => false,
            _ => continue,
        };
        for archive in archives(&fs::read_to_string(file)?, deb822) {
            // apt refuses one archive with two sets of options: the first counts.
            if !all.iter().any(|a| a.kind == archive.kind && a.uri == archive.uri) {
                all.push(archive);
            }
        }
    }
    Ok(all)
}

/// The text of a sources file (deb822) that asks these archives for every suite with kernels, or for
/// those of one `release`.
pub(super) fn render(archives: &[Archive], release: Option<&str>) -> String {
    let mut text = String::new();
    for archive in archives {
        let mut suites = archive.kind.suites();
        suites.retain(|suite| release.is_none_or(|release| suite.starts_with(release)));
        let suites = suites.join(" ");
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "Types: deb\nURIs: {}\nSuites: {suites}\nComponents: {COMPONENT}\n\
             Architectures: amd64\nTargets: Packages\n",
            archive.uri
        );
        for (name, value) in &archive.options {
            // A key may stand in the value itself, over many lines.
            let _ = writeln!(text, "{name}: {}", value.replace('\n', "\n "));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEB822: &str = "\
# The archive
Types: deb
URIs: http://mirror.test/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /a/keyring.gpg

Types: deb deb-src
URIs: http://mirror.test/debian-security http://two.test/security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQ==
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
Enabled: no
URIs: http://off.test/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://other.test
Suites: nodistro bookworm-pgdg jammy
Components: main
";

    #[test]
    fn both_formats_give_the_same_archives() {
        let lines = "\
# deb http://comment.test/debian bookworm main
deb [arch=amd64 signed-by=/a/keyring.gpg] http://mirror.test/debian bookworm main # trailing
deb-src http://mirror.test/debian-security bookworm-security main
deb http://other.test bookworm stable
deb cdrom:[disc]/ bookworm main
deb http://other.test/flat ./
";
        let old = archives(lines, false);
        assert_eq!(old.len(), 2, "{old:?}");
        assert_eq!(old[0].kind, Kind::Releases);
        assert_eq!(old[0].options, [("Signed-By".to_owned(), "/a/keyring.gpg".to_owned())]);
        assert_eq!((old[1].kind, old[1].options.len()), (Kind::Security, 0));

        let new = archives(DEB822, true);
        let uris: Vec<&str> = new.iter().map(|a| a.uri.as_str()).collect();
        let wanted = [
            "http://mirror.test/debian",
            "http://mirror.test/debian",
            "http://mirror.test/debian-security",
            "http://two.test/security",
        ];
        assert_eq!(uris, wanted);
        assert_eq!(new[0], old[0]);
    }

    #[test]
    fn what_is_rendered_asks_for_every_suite_and_keeps_the_keys() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.sources"), DEB822).unwrap();
        fs::write(dir.path().join("b.sources.save"), "deb http://c.test bookworm main").unwrap();
        let archives = of_machine(Path::new("/nonexistent"), dir.path()).unwrap();
        assert_eq!(archives.len(), 3);
        let text = render(&archives, None);
        assert!(text.contains(
            "URIs: http://mirror.test/debian\nSuites: bullseye bullseye-updates bullseye-backports \
             bookworm bookworm-updates bookworm-backports trixie trixie-updates trixie-backports\n"
        ));
        assert!(text.contains("Suites: bullseye-security bookworm-security trixie-security\n"));
        assert!(text.contains("Signed-By: /a/keyring.gpg\n"));
        assert!(text.contains("\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n"));
        let again: Deb822 = text.parse().unwrap();
        assert_eq!(again.len(), 3);
    }

    #[test]
    fn suites_of_debian() {
        for suite in ["bookworm", "trixie-backports", "stable", "sid", "bullseye-updates"] {
            assert_eq!(Kind::of(suite), Some(Kind::Releases), "{suite}");
        }
        for suite in ["bookworm-security", "buster/updates", "stable-security"] {
            assert_eq!(Kind::of(suite), Some(Kind::Security), "{suite}");
        }
        for suite in ["jammy", "bookworm-pgdg", "noble-security", "./", ""] {
            assert_eq!(Kind::of(suite), None, "{suite}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*", deb822: bool) {
            let _ = archives(&text, deb822);
        }

        #[test]
        fn no_line_makes_it_panic(text in "deb( |\\[|\\]|=|,|a|main|bookworm|#|:|/){0,12}") {
            let _ = archives(&text, false);
        }
    }
}
