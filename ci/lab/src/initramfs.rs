//! The initramfs: one static binary, the modules, the job or its absence. The same input gives the same bytes.
//!
//! ```text
//! /dev/console       the kernel opens it for PID 1 before anything is mounted
//! /init              the static binary
//! /job               the job, also the sign by which the binary knows that it is in the lab
//! /later             instead of it: the guest says when it has prepared, and then asks for the job;
//!                    it names the devices for both
//! /modules/NN-NAME.ko   in load order
//! ```

use cpio::{
    NewcBuilder,
    newc::{ModeFileType, trailer},
};
use std::io;

/// Where the job is, for the guest.
pub const JOB: &str = "/job";

/// The sign that stands there instead of a job that comes later; it says how.
pub const LATER: &str = "/later";

/// Where the modules are, for the guest; their names sort in load order.
pub const MODULES: &str = "/modules";

/// The console's device number (Documentation/admin-guide/devices.txt).
const CONSOLE: (u32, u32) = (5, 1);

/// Room for an entry's header, name and padding.
const HEADER_ROOM: usize = 256;

/// Directories that have to exist: mount points, and the parents of files.
const DIRECTORIES: [&str; 6] = ["dev", "modules", "proc", "root", "sys", "tmp"];

/// What PID 1 is to do.
#[derive(Clone, Copy, Debug)]
pub enum Errand<'a> {
    /// This job, at once.
    Now(&'a [u8]),
    /// To prepare, to say so, whereupon the machine may be saved, and then to ask for the job.
    Later(Later),
}

/// Whose devices a job comes through that comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// QEMU's `pvpanic` and `fw_cfg`.
    Qemu,
    /// The port that the lab's Bochs has.
    Bochs,
}

impl Later {
    const ALL: [Self; 2] = [Self::Qemu, Self::Bochs];

    /// What stands in the sign's file.
    fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Bochs => "bochs",
        }
    }

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|later| later.name() == name)
    }
}

/// An initramfs with this init, these modules (name such as `kvm_amd` and contents, in load order)
/// and this errand, as an uncompressed newc archive: the kernel under test has nothing to unpack.
///
/// # Errors
/// If a file has 4 GiB or more.
pub fn build(
    init: &[u8],
    modules: &[(String, Vec<u8>)],
    errand: Errand<'_>,
) -> io::Result<Vec<u8>> {
    let (errand, job) = match errand {
        Errand::Now(job) => ("job", job),
        Errand::Later(later) => ("later", later.name().as_bytes()),
    };
    let modules = modules
        .iter()
        .enumerate()
        .map(|(index, (name, bytes))| (module_path(index, name), Entry::File(0o644, bytes)));
    let mut entries: Vec<(String, Entry<'_>)> = DIRECTORIES
        .iter()
        .map(|name| ((*name).to_owned(), Entry::Directory))
        .chain(modules)
        .chain([
            ("dev/console".to_owned(), Entry::Device(CONSOLE)),
            ("init".to_owned(), Entry::File(0o755, init)),
            (errand.to_owned(), Entry::File(0o600, job)),
        ])
        .collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));

    let contents: usize = entries.iter().map(|(_, entry)| entry.contents().len()).sum();
    let mut archive = Vec::with_capacity(contents + (entries.len() + 1) * HEADER_ROOM);
    for (inode, (name, entry)) in (1..).zip(&entries) {
        entry.append(inode, name, &mut archive)?;
    }
    trailer(archive)
}

fn module_path(index: usize, name: &str) -> String {
    // A name is one file's: it must not climb out of the folder.
    let name = name.rsplit('/').next().unwrap_or(name);
    format!("modules/{index:02}-{name}.ko")
}

/// What a path in the archive is.
enum Entry<'a> {
    Directory,
    /// Permissions and contents.
    File(u32, &'a [u8]),
    /// Major and minor number.
    Device((u32, u32)),
}

impl Entry<'_> {
    fn contents(&self) -> &[u8] {
        match self {
            Self::File(_, contents) => contents,
            Self::Directory | Self::Device(_) => &[],
        }
    }

    fn append(&self, inode: u32, name: &str, archive: &mut Vec<u8>) -> io::Result<()> {
        // Times and owners stay 0: nothing of the build reaches the guest.
        let builder = NewcBuilder::new(name).ino(inode).uid(0).gid(0).mtime(0);
        let builder = match self {
            Self::Directory => {
                builder.mode(0o755).set_mode_file_type(ModeFileType::Directory).nlink(2)
            }
            Self::File(permissions, _) => {
                builder.mode(*permissions).set_mode_file_type(ModeFileType::Regular).nlink(1)
            }
            Self::Device((major, minor)) => builder
                .mode(0o600)
                .set_mode_file_type(ModeFileType::Char)
                .nlink(1)
                .rdev_major(*major)
                .rdev_minor(*minor),
        };
        let contents = self.contents();
        let size = u32::try_from(contents.len()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{name} has 4 GiB or more"))
        })?;
        let mut writer = builder.write(archive, size);
        io::Write::write_all(&mut writer, contents)?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Errand, Later, build};
    use cpio::NewcReader;
    use std::io::Read;

    fn modules() -> Vec<(String, Vec<u8>)> {
        vec![("kvm".to_owned(), vec![1; 5]), ("../kvm_amd".to_owned(), vec![2; 6])]
    }

    /// Path, mode, contents of every entry.
    fn entries(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let (mut rest, mut found) = (archive, Vec::new());
        loop {
            let mut reader = NewcReader::new(rest).unwrap();
            let entry = reader.entry();
            if entry.is_trailer() {
                return found;
            }
            assert_eq!((entry.mtime(), entry.uid(), entry.gid()), (0, 0, 0));
            let (name, mode) = (entry.name().to_owned(), entry.mode());
            let mut contents = Vec::new();
            reader.read_to_end(&mut contents).unwrap();
            rest = reader.finish().unwrap();
            found.push((name, mode, contents));
        }
    }

    #[test]
    fn everything_is_in_it_sorted_and_in_load_order() {
        let archive = build(b"init", &modules(), Errand::Now(b"job")).unwrap();
        let found = entries(&archive);
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        let expected = "dev dev/console init job modules modules/00-kvm.ko modules/01-kvm_amd.ko \
                        proc root sys tmp";
        assert_eq!(names.join(" "), expected);
        let of = |wanted: &str| {
            let (_, mode, contents) = found.iter().find(|(name, ..)| name == wanted).unwrap();
            (*mode, contents.as_slice())
        };
        assert_eq!(of("init"), (0o100_755, &b"init"[..]));
        assert_eq!(of("job"), (0o100_600, &b"job"[..]));
        assert_eq!(of("dev/console"), (0o020_600, &b""[..]));
        assert_eq!(of("modules/01-kvm_amd.ko"), (0o100_644, &[2; 6][..]));
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let archive = || build(b"init", &modules(), Errand::Now(b"job")).unwrap();
        assert_eq!(archive(), archive());
        assert_ne!(archive(), build(b"init", &modules(), Errand::Now(b"other")).unwrap());
    }

    #[test]
    fn a_job_that_comes_later_leaves_a_sign() {
        for later in Later::ALL {
            let found = entries(&build(b"init", &modules(), Errand::Later(later)).unwrap());
            assert!(!found.iter().any(|(name, ..)| name == "job"));
            let (.., sign) = found.iter().find(|(name, ..)| name == "later").unwrap();
            assert_eq!(Later::named(str::from_utf8(sign).unwrap()), Some(later));
        }
    }
}
