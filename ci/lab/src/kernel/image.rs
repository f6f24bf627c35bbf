//! Kernel images: the compressed bzImage, the ELF file inside it, and what both say of themselves.

use std::fmt::Write as _;
use std::io::{self, Read};

use object::Endianness;
use object::elf::{EM_X86_64, NT_GNU_BUILD_ID, NoteType};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use thiserror::Error;

use super::compression::Compression;

/// Why a file is no kernel image that can be started.
#[derive(Debug, Error)]
pub enum ImageError {
    /// Neither a bzImage nor an ELF file.
    #[error("it is neither an x86 bzImage nor an ELF file")]
    Unknown,
    /// A bzImage older than the payload fields (boot protocol 2.08, Linux 2.6.26).
    #[error("its boot protocol is {}.{:02}, and 2.08 is the oldest that tells where the kernel lies", .0 >> 8, .0 & 0xff)]
    Protocol(u16),
    /// The file ends before the kernel does.
    #[error(
        "it is cut off: its header promises {promised} bytes and there are {present}; get the file again"
    )]
    CutOff {
        /// The least length, in bytes, that the header asks for.
        promised: u64,
        /// The file's length in bytes.
        present: u64,
    },
    /// The compressed kernel does not unpack.
    #[error("the {kind} data in it does not unpack ({source}): the file is damaged, get it again")]
    Damaged {
        /// The compression.
        kind: &'static str,
        /// What the decoder says.
        source: io::Error,
    },
    /// It unpacks to another length than the build recorded.
    #[error(
        "it unpacks to {unpacked} bytes and its build recorded {recorded}: the file is damaged, get it again"
    )]
    Length {
        /// Length found, in bytes.
        unpacked: u64,
        /// Length recorded, in bytes.
        recorded: u64,
    },
    /// The ELF file cannot be parsed.
    #[error("its ELF headers are broken ({0}): the file is damaged, get it again")]
    Elf(#[from] object::read::Error),
    /// The ELF file is for another machine.
    #[error("it is an ELF file, but not for x86-64")]
    Machine,
    /// An ELF kernel that the emulator cannot start.
    #[error("it is an ELF kernel without a PVH entry point (CONFIG_PVH); give its bzImage instead")]
    NoPvh,
    /// No version text where there should be one.
    #[error("it does not say which Linux version it is")]
    NoVersion,
}

/// Type of the note (name `Xen`) with the PVH entry point (include/xen/interface/elfnote.h).
const XEN_ELFNOTE_PHYS32_ENTRY: NoteType = NoteType(18);

/// A kernel in the form its build leaves in `arch/x86/boot/bzImage`.
///
/// Fields by Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
#[derive(Clone, Copy, Debug)]
pub(crate) struct BzImage<'a> {
    file: &'a [u8],
}

/// Offsets of the setup header's fields.
mod field {
    pub(super) const SETUP_SECTS: usize = 0x1f1;
    pub(super) const BOOT_FLAG: usize = 0x1fe;
    pub(super) const HEADER: usize = 0x202;
    pub(super) const VERSION: usize = 0x206;
    pub(super) const KERNEL_VERSION: usize = 0x20e;
    pub(super) const PAYLOAD_OFFSET: usize = 0x248;
    pub(super) const PAYLOAD_LENGTH: usize = 0x24c;
    pub(super) const PAYLOAD_END: usize = 0x250;
}

impl<'a> BzImage<'a> {
    /// Recognises a bzImage by its boot flag and the magic `HdrS`.
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        let image = Self { file };
        if image.bytes(field::BOOT_FLAG) != Some([0x55, 0xaa])
            || image.bytes(field::HEADER) != Some(*b"HdrS")
        {
            return Err(ImageError::Unknown);
        }
        let protocol = image.bytes(field::VERSION).map_or(0, u16::from_le_bytes);
        if protocol < 0x208 {
            return Err(ImageError::Protocol(protocol));
        }
        if file.len() < field::PAYLOAD_END {
            return Err(image.cut_off(field::PAYLOAD_END as u64));
        }
        Ok(image)
    }

    /// Release, builder and build, such as `6.1.0-56-amd64 (…) #1 SMP … Debian 6.1.192-2 (…)`.
    pub(crate) fn banner(&self) -> Result<&'a str, ImageError> {
        // The field counts from 0x200; zero means that there is no text.
        let at = self.bytes(field::KERNEL_VERSION).map_or(0, u16::from_le_bytes);
        let text = self.file.get(usize::from(at) + 0x200..).filter(|_| at != 0);
        let end = text.and_then(|t| t.iter().position(|c| *c == 0));
        text.zip(end)
            .and_then(|(text, end)| std::str::from_utf8(&text[..end]).ok())
            .filter(|banner| !banner.trim().is_empty())
            .ok_or(ImageError::NoVersion)
    }

    /// The kernel inside, if it is compressed in one of the ways we can read.
    pub(crate) fn unpack(&self) -> Result<Option<Vec<u8>>, ImageError> {
        let payload = self.payload()?;
        let Some(kind) = Compression::of(payload) else {
            return Ok(None);
        };
        let name = match kind {
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
            Compression::Lz4 | Compression::Lz4Legacy => "lz4",
        };
        let damaged = |source| ImageError::Damaged { kind: name, source };
        // Every payload ends with its unpacked length: gzip by its format (ISIZE), the others
        // because the build appends it (`size_append` in scripts/Makefile.lib).
        let (packed, length) = payload
            .split_last_chunk::<4>()
            .ok_or_else(|| damaged(io::ErrorKind::UnexpectedEof.into()))?;
        let stream = if kind == Compression::Gzip { payload } else { packed };
        let mut kernel = Vec::new();
        let mut reader = kind.reader(stream).map_err(damaged)?;
        reader.read_to_end(&mut kernel).map_err(damaged)?;
        let (unpacked, recorded) = (kernel.len() as u64, u64::from(u32::from_le_bytes(*length)));
        if unpacked != recorded {
            return Err(ImageError::Length { unpacked, recorded });
        }
        Ok(Some(kernel))
    }

    fn payload(&self) -> Result<&'a [u8], ImageError> {
        // Zero setup sectors mean four, and the boot sector comes before them.
        let sectors = match self.file[field::SETUP_SECTS] {
            0 => 4,
            n => u64::from(n),
        };
        let number = |at| u64::from(self.bytes(at).map_or(0, u32::from_le_bytes));
        let start = (sectors + 1) * 512 + number(field::PAYLOAD_OFFSET);
        let end = start + number(field::PAYLOAD_LENGTH);
        usize::try_from(start)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(start, end)| self.file.get(start..end))
            .ok_or_else(|| self.cut_off(end))
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.file.get(at..)?.first_chunk().copied()
    }

    fn cut_off(&self, promised: u64) -> ImageError {
        ImageError::CutOff { promised, present: self.file.len() as u64 }
    }
}

/// Whether the file begins as every ELF file does.
pub(crate) fn is_elf(file: &[u8]) -> bool {
    file.starts_with(b"\x7fELF")
}

/// An uncompressed kernel (`vmlinux`).
pub(crate) struct Vmlinux<'a> {
    file: &'a [u8],
    elf: ElfFile64<'a, Endianness>,
}

impl<'a> Vmlinux<'a> {
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        let elf = ElfFile64::<Endianness>::parse(file)?;
        if elf.elf_header().e_machine(elf.endian()) != EM_X86_64 {
            return Err(ImageError::Machine);
        }
        Ok(Self { file, elf })
    }

    /// Whether an emulator can start it directly: it carries the note with the 32-bit entry point
    /// of the PVH protocol (Xen's docs/misc/pvh.pandoc).
    pub(crate) fn has_pvh_entry(&self) -> Result<bool, ImageError> {
        Ok(self.note(b"Xen", XEN_ELFNOTE_PHYS32_ENTRY)?.is_some())
    }

    /// The linker's build id in hexadecimal digits.
    pub(crate) fn build_id(&self) -> Result<Option<String>, ImageError> {
        let id = self.note(b"GNU", NT_GNU_BUILD_ID)?;
        Ok(id.map(|id| {
            id.iter().fold(String::new(), |mut digits, byte| {
                // Writing to a string cannot fail.
                let _ = write!(digits, "{byte:02x}");
                digits
            })
        }))
    }

    /// The content of the first note of this name and type.
    fn note(&self, name: &[u8], kind: NoteType) -> Result<Option<&'a [u8]>, ImageError> {
        let endian = self.elf.endian();
        for header in self.elf.elf_program_headers() {
            let Some(mut notes) = header.notes(endian, self.file)? else {
                continue;
            };
            while let Some(note) = notes.next()? {
                if note.name() == name && note.n_type(endian) == kind {
                    return Ok(Some(note.desc()));
                }
            }
        }
        Ok(None)
    }

    /// The text of `/proc/version` without `Linux version` before it (`linux_banner`, init/version.c).
    pub(crate) fn banner(&self) -> Result<&'a str, ImageError> {
        const START: &[u8] = b"Linux version ";
        let mut rest = self.file;
        while let Some(at) = find(rest, START) {
            rest = &rest[at + START.len()..];
            // The format string `Linux version %s (%s)` may come first.
            if rest.first().is_some_and(u8::is_ascii_digit) {
                let end = rest.iter().position(|c| matches!(c, 0 | b'\n')).unwrap_or(0);
                return std::str::from_utf8(&rest[..end]).map_err(|_| ImageError::NoVersion);
            }
        }
        Err(ImageError::NoVersion)
    }
}

/// Where `needle` first is in `hay`. It looks at first bytes only until one fits.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + hay[from..].iter().position(|c| *c == needle[0])?;
        if hay[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// What a kernel's version text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Banner {
    /// `uname -r`.
    pub(crate) release: String,
    /// The version of the Debian package it was built for.
    pub(crate) debian: Option<String>,
}

impl Banner {
    pub(crate) fn parse(text: &str) -> Result<Self, ImageError> {
        let release = text.split_whitespace().next().ok_or(ImageError::NoVersion)?.to_owned();
        let mut words = text.split_whitespace().skip_while(|word| *word != "Debian").skip(1);
        let debian = words.next().filter(|w| w.starts_with(|c: char| c.is_ascii_digit()));
        Ok(Self { release, debian: debian.map(str::to_owned) })
    }

    /// The kernel's own version. Debian's releases hide it (6.1.0-56 is 6.1.192), its packages do not.
    pub(crate) fn upstream(&self) -> &str {
        let text = self.debian.as_deref().unwrap_or(&self.release);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        text[..end].trim_end_matches('.')
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
