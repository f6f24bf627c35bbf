//! Kernel modules: which file holds which, and in which order they must be loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use object::Endianness;
use object::read::elf::ElfFile64;
use object::read::{Object, ObjectSection};

use super::KernelError;
use super::compression;

/// A module, ready to be loaded.
#[derive(Clone, PartialEq, Eq)]
pub struct Module {
    /// The name as the kernel writes it, with underscores: `kvm_amd`.
    pub name: String,
    /// The uncompressed ELF file.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// What a module says of itself in its section `.modinfo` (include/linux/moduleinfo.h).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModuleInfo {
    /// Names of the modules that must be loaded before it.
    pub(crate) depends: Vec<String>,
    /// The release it was built for: the first word of `vermagic`.
    pub(crate) release: Option<String>,
}

impl ModuleInfo {
    /// Reads it from an uncompressed module.
    pub(crate) fn of(module: &[u8]) -> object::read::Result<Self> {
        let elf = ElfFile64::<Endianness>::parse(module)?;
        match elf.section_by_name(".modinfo") {
            Some(section) => Ok(Self::parse(section.data()?)),
            None => Ok(Self::default()),
        }
    }

    /// Reads the section's content: texts `key=value`, each ended by a zero byte.
    fn parse(section: &[u8]) -> Self {
        let mut info = Self::default();
        for entry in section.split(|c| *c == 0) {
            let entry = String::from_utf8_lossy(entry);
            match entry.split_once('=') {
                Some(("depends", names)) => {
                    info.depends.extend(names.split(',').filter(|n| !n.is_empty()).map(canonical));
                }
                Some(("vermagic", words)) => {
                    info.release = words.split_whitespace().next().map(str::to_owned);
                }
                _ => {}
            }
        }
        info
    }
}

/// The kernel treats `-` and `_` in module names alike; it writes `_`.
pub(crate) fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The module that a file of this name holds.
pub(crate) fn name_of_file(file_name: &str) -> Option<String> {
    const ENDS: [&str; 4] = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];
    ENDS.iter().find_map(|end| file_name.strip_suffix(end)).filter(|n| !n.is_empty()).map(canonical)
}

/// A directory with the modules of one kernel.
#[derive(Clone, Debug)]
pub(crate) struct ModuleDir {
    dir: PathBuf,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

impl ModuleDir {
    /// Looks through `dir`: a flat directory, `/lib/modules/RELEASE`, or what these lie in.
    pub(crate) fn open(dir: &Path, release: &str) -> Result<Self, KernelError> {
        let unreadable = |source| KernelError::ModuleDir { dir: dir.to_owned(), source };
        if !fs::metadata(dir).map_err(unreadable)?.is_dir() {
            return Err(unreadable(io::ErrorKind::NotADirectory.into()));
        }
        let places = ["lib/modules", "usr/lib/modules", ""].map(|p| dir.join(p).join(release));
        let dir = places.into_iter().find(|p| p.is_dir()).unwrap_or_else(|| dir.to_owned());
        let mut found = Self { dir: dir.clone(), files: BTreeMap::new(), builtin: BTreeSet::new() };
        found.scan(&dir).map_err(unreadable)?;
        Ok(found)
    }

    fn scan(&mut self, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let file_name = entry.file_name();
            // Links to directories lead out (`build`, `source`) or round in circles.
            if kind.is_dir() {
                self.scan(&path)?;
            } else if file_name == "modules.builtin" {
                let text = fs::read_to_string(&path)?;
                let names = text.lines().filter_map(|line| line.rsplit('/').next());
                self.builtin.extend(names.filter_map(name_of_file));
            } else if let Some(name) = file_name.to_str().and_then(name_of_file) {
                let place = self.files.entry(name).or_insert_with(|| path.clone());
                if precedence(&path) < precedence(place) {
                    *place = path;
                }
            }
        }
        Ok(())
    }

    /// Takes another file for a module.
    pub(crate) fn replace(&mut self, name: String, path: PathBuf) {
        self.files.insert(name, path);
    }

    /// These modules and all they depend on, each after those it needs. Built-in ones are left out.
    pub(crate) fn load_order(
        &self,
        names: &[&str],
        release: &str,
    ) -> Result<Vec<Module>, KernelError> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            self.visit(&canonical(name), None, release, &mut seen, &mut order)?;
        }
        Ok(order)
    }

    fn visit(
        &self,
        name: &str,
        needed_by: Option<&str>,
        release: &str,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<Module>,
    ) -> Result<(), KernelError> {
        if !seen.insert(name.to_owned()) || self.builtin.contains(name) {
            return Ok(());
        }
        let path = self.files.get(name).ok_or_else(|| KernelError::MissingModule {
            module: name.to_owned(),
            needed_by: needed_by.map(str::to_owned),
            dir: self.dir.clone(),
        })?;
        let broken = |source| KernelError::Module { path: path.clone(), source };
        let bytes = fs::read(path).and_then(|file| compression::unpack(&file)).map_err(broken)?;
        let info = ModuleInfo::of(&bytes).map_err(|e| broken(io::Error::other(e)))?;
        if let Some(built_for) = info.release.filter(|r| r != release) {
            let (path, release) = (path.clone(), release.to_owned());
            return Err(KernelError::OtherRelease { path, built_for, release });
        }
        for dependency in &info.depends {
            self.visit(dependency, Some(name), release, seen, order)?;
        }
        order.push(Module { name: name.to_owned(), bytes });
        Ok(())
    }
}

/// Of two files for one module the lesser is meant: `updates` comes first (depmod.d(5), "search").
fn precedence(path: &Path) -> (bool, &Path) {
    (!path.components().any(|part| part.as_os_str() == "updates"), path)
}

#[cfg(test)]
#[path = "module_tests.rs"]
mod tests;
