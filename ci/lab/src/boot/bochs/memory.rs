//! The guest's memory at power-on: kernel, initramfs and what the kernel is told, one after the other.

use object::elf::PT_LOAD;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, elf};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What Bochs' memory is given out in, in bytes (`memory: block_size`).
pub(super) const BLOCK: u32 = 128 << 10;

/// Where modules begin, and segments of the kernel.
const ALIGNMENT: u64 = 2 << 20;
const PAGE: u64 = 4096;

/// Type of the note (name `Xen`) with the PVH entry point (include/xen/interface/elfnote.h).
const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;

/// The ends of low memory and of the hole after it, as a PC has them.
const LOW_END: u64 = 0x9_f000;
const HIGH_BEGIN: u64 = 0x10_0000;

/// Offsets in the page of the start info.
const MODULES: usize = 0x100;
const MEMORY_MAP: usize = 0x200;
const COMMAND_LINE: usize = 0x800;

/// Where things are in the guest's memory. Addresses are physical.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Where the image begins.
    pub(super) base: u32,
    /// The image's size in bytes.
    pub(super) size: u32,
    /// The `hvm_start_info`.
    pub(super) start_info: u32,
    /// The kernel's PVH entry.
    pub(super) entry: u32,
}

impl Layout {
    /// The first address behind the image.
    pub(super) fn end(&self) -> u32 {
        self.base + self.size
    }
}

/// Why a kernel cannot be put into memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// It is no ELF file.
    #[error(
        "the kernel {0} cannot be started by Bochs: it is no ELF file with a PVH entry; take a \
         kernel with CONFIG_PVH"
    )]
    NotPvh(String),
    /// Its headers are broken.
    #[error("the kernel {0} has broken ELF headers: {1}")]
    Elf(String, object::read::Error),
    /// It does not fit.
    #[error("kernel and initramfs need {needed} MiB and the machine has {present}")]
    TooLarge {
        /// Needed, in MiB.
        needed: u64,
        /// There are, in MiB.
        present: u64,
    },
    /// The command line does not fit.
    #[error("the kernel's command line has {0} bytes, at most {most} fit", most = PAGE as usize - COMMAND_LINE - 1)]
    CommandLine(usize),
    /// A file.
    #[error("cannot write the memory image: {0}")]
    Io(#[from] io::Error),
}

/// Writes the image.
pub(super) fn write(
    out: &File,
    kernel: &[u8],
    name: &Path,
    initramfs: &[u8],
    command_line: &str,
    memory: u64,
) -> Result<Layout, MemoryError> {
    let name = name.display().to_string();
    if command_line.len() >= PAGE as usize - COMMAND_LINE {
        return Err(MemoryError::CommandLine(command_line.len()));
    }
    let loaded = Loaded::parse(kernel, &name)?;
    let module = loaded.end.next_multiple_of(ALIGNMENT);
    let start_info = (module + initramfs.len() as u64).next_multiple_of(PAGE);
    let size = (start_info + PAGE - loaded.base).next_multiple_of(BLOCK.into());
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    if loaded.base + size > memory {
        let needed = mib(loaded.base + size);
        return Err(MemoryError::TooLarge { needed, present: mib(memory) });
    }
    for (address, bytes) in loaded.segments {
        out.write_all_at(bytes, address - loaded.base)?;
    }
    out.write_all_at(initramfs, module - loaded.base)?;
    let page = start_info_page(start_info, (module, initramfs.len() as u64), command_line, memory);
    out.write_all_at(&page, start_info - loaded.base)?;
    out.set_len(size)?;
    Ok(Layout {
        base: loaded.base as u32,
        size: size as u32,
        start_info: start_info as u32,
        entry: loaded.entry,
    })
}

/// What of an ELF file is loaded.
struct Loaded<'a> {
    /// Physical addresses and contents.
    segments: Vec<(u64, &'a [u8])>,
    base: u64,
    /// Behind the last one, its zeros included.
    end: u64,
    entry: u32,
}

impl<'a> Loaded<'a> {
    fn parse(kernel: &'a [u8], name: &str) -> Result<Self, MemoryError> {
        let broken = |error| MemoryError::Elf(name.to_owned(), error);
        let not_pvh = || MemoryError::NotPvh(name.to_owned());
        if !kernel.starts_with(&elf::ELFMAG) {
            return Err(not_pvh());
        }
        let file = ElfFile64::<Endianness>::parse(kernel).map_err(broken)?;
        let endian = file.endian();
        let headers = file.elf_header().program_headers(endian, kernel).map_err(broken)?;
        let (mut segments, mut end, mut entry) = (Vec::new(), 0, None);
        for header in headers {
            if header.p_type(endian) == PT_LOAD {
                let bytes = header.data(endian, kernel).map_err(|()| not_pvh())?;
                let address = header.p_paddr(endian);
                segments.push((address, bytes));
                end = end.max(address + header.p_memsz(endian));
            }
            let Some(mut notes) = header.notes(endian, kernel).map_err(broken)? else { continue };
            while let Some(note) = notes.next().map_err(broken)? {
                if note.name() == b"Xen"
                    && note.n_type(endian) == elf::NoteType(XEN_ELFNOTE_PHYS32_ENTRY)
                {
                    entry = note.desc().first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
                }
            }
        }
        let base = segments.iter().map(|(address, _)| *address).min().ok_or_else(not_pvh)?;
        Ok(Self { segments, base, end, entry: entry.ok_or_else(not_pvh)? })
    }
}

/// The page that tells the kernel everything (`include/xen/interface/hvm/start_info.h`).
fn start_info_page(
    address: u64,
    (module, module_size): (u64, u64),
    command_line: &str,
    memory: u64,
) -> Vec<u8> {
    const MAGIC: u32 = 0x336e_c578;
    const VERSION: u32 = 1;
    const RAM: u32 = 1;
    let mut page = vec![0; PAGE as usize];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    let at = |offset: usize| address + offset as u64;

    let ranges = [(0, LOW_END), (HIGH_BEGIN, memory - HIGH_BEGIN)];
    put(0, &MAGIC.to_le_bytes());
    put(4, &VERSION.to_le_bytes());
    // nr_modules; modlist_paddr, cmdline_paddr, rsdp_paddr (none), memmap_paddr; memmap_entries.
    put(12, &1u32.to_le_bytes());
    put(16, &at(MODULES).to_le_bytes());
    put(24, &at(COMMAND_LINE).to_le_bytes());
    put(40, &at(MEMORY_MAP).to_le_bytes());
    put(48, &(ranges.len() as u32).to_le_bytes());
    // hvm_modlist_entry: paddr, size, cmdline_paddr (none).
    put(MODULES, &module.to_le_bytes());
    put(MODULES + 8, &module_size.to_le_bytes());
    // hvm_memmap_table_entry: addr, size, type.
    for (index, (from, size)) in ranges.into_iter().enumerate() {
        let entry = MEMORY_MAP + index * 24;
        put(entry, &u64::to_le_bytes(from));
        put(entry + 8, &u64::to_le_bytes(size));
        put(entry + 16, &RAM.to_le_bytes());
    }
    put(COMMAND_LINE, command_line.as_bytes());
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_of_its_memory() {
        let page = start_info_page(0x500_0000, (0x400_0000, 77), "quiet", 256 << 20);
        let number = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap());
        assert_eq!(page[..4], 0x336e_c578_u32.to_le_bytes());
        assert_eq!(number(16), 0x500_0000 + MODULES as u64);
        assert_eq!((number(MODULES), number(MODULES + 8)), (0x400_0000, 77));
        assert_eq!(number(MEMORY_MAP + 24) + number(MEMORY_MAP + 32), 256 << 20);
        assert_eq!(&page[COMMAND_LINE..COMMAND_LINE + 6], b"quiet\0");
    }

    #[test]
    fn what_is_no_pvh_kernel_is_refused() {
        let out = tempfile::tempfile().unwrap();
        let error = write(&out, b"HdrS", Path::new("bzImage"), b"", "", 1 << 28).unwrap_err();
        assert!(error.to_string().contains("bzImage") && error.to_string().contains("PVH"));
    }
}
