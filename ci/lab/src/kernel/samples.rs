//! Small kernels, modules and packages for tests, built byte by byte.

use super::compression::{Compression, samples::compress};

/// Release and package of every sample.
pub(crate) const RELEASE: &str = "6.1.0-50-amd64";
pub(crate) const BANNER: &str = "6.1.0-50-amd64 (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-01-01)";

/// An ELF note: name, type, descriptor (gABI, "Note Section").
fn note(name: &[u8], kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let padded =
        |bytes: &[u8]| [bytes, &vec![0; bytes.len().next_multiple_of(4) - bytes.len()]].concat();
    let lengths = [name.len() as u32 + 1, descriptor.len() as u32, kind];
    let mut bytes: Vec<u8> = lengths.iter().flat_map(|n| n.to_le_bytes()).collect();
    bytes.extend(padded(&[name, &[0]].concat()));
    bytes.extend(padded(descriptor));
    bytes
}

/// An x86-64 ELF file with one `PT_NOTE` segment of these bytes and one section.
fn elf(notes: &[u8], section: (&str, &[u8])) -> Vec<u8> {
    let names = [b"\0.shstrtab\0", section.0.as_bytes(), b"\0"].concat();
    let at = |after: usize, length: usize| (after + length).next_multiple_of(8);
    let notes_at = 64 + 56;
    let data_at = at(notes_at, notes.len());
    let names_at = at(data_at, section.1.len());
    let headers_at = at(names_at, names.len());
    let words = |list: &[u64]| -> Vec<u8> { list.iter().flat_map(|n| n.to_le_bytes()).collect() };

    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_EXEC, EM_X86_64, version 1.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    file.extend(words(&[0x100_0000, 64, headers_at as u64]));
    // Flags; sizes and numbers of headers; the section with the names.
    file.extend(0_u32.to_le_bytes());
    file.extend([64_u16, 56, 1, 64, 3, 2].iter().flat_map(|n| n.to_le_bytes()));
    // PT_NOTE, readable.
    file.extend([4, 0, 0, 0, 4, 0, 0, 0]);
    let length = notes.len() as u64;
    file.extend(words(&[notes_at as u64, 0, 0, length, length, 4]));
    for (place, bytes) in [(notes_at, notes), (data_at, section.1), (names_at, &names)] {
        file.resize(place, 0);
        file.extend(bytes);
    }
    file.resize(headers_at, 0);
    file.resize(headers_at + 64, 0);
    for (name, kind, place, length) in
        [(11_u32, 1_u32, data_at, section.1.len()), (1, 3, names_at, names.len())]
    {
        file.extend([name, kind].iter().flat_map(|n| n.to_le_bytes()));
        file.extend(words(&[0, 0, place as u64, length as u64, 0, 1, 0]));
    }
    file
}

/// A vmlinux with or without the note that gives a PVH entry, and with a build id.
pub(crate) fn vmlinux(pvh: bool) -> Vec<u8> {
    let mut notes = note(b"GNU", 3, &[0xab, 0xcd]);
    notes.extend(note(b"Xen", 6, b"2.6\0"));
    if pvh {
        notes.extend(note(b"Xen", 18, &0x100_0000_u32.to_le_bytes()));
    }
    let text = format!("Linux version %s (%s)\0Linux version {BANNER}\n\0");
    elf(&notes, (".rodata", text.as_bytes()))
}

/// A module that depends on these.
pub(crate) fn module(depends: &str) -> Vec<u8> {
    let info = format!("license=GPL\0depends={depends}\0vermagic={RELEASE} SMP mod_unload \0");
    elf(&[], (".modinfo", info.as_bytes()))
}

/// A bzImage around this kernel.
pub(crate) fn bzimage(kernel: &[u8], kind: Compression) -> Vec<u8> {
    const SECTORS: usize = 4;
    const OFFSET: usize = 0x30;
    let mut payload = compress(kind, kernel);
    if kind != Compression::Gzip {
        payload.extend((kernel.len() as u32).to_le_bytes());
    }
    let mut file = vec![0; (SECTORS + 1) * 512 + OFFSET];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[SECTORS as u8]);
    put(0x1fe, &[0x55, 0xaa]);
    put(0x202, b"HdrS");
    put(0x206, &0x20f_u16.to_le_bytes());
    put(0x20e, &0x300_u16.to_le_bytes());
    put(0x248, &(OFFSET as u32).to_le_bytes());
    put(0x24c, &(payload.len() as u32).to_le_bytes());
    put(0x500, BANNER.as_bytes());
    file.extend(payload);
    file.extend(b"what follows the payload");
    file
}

/// A Debian package with these files.
pub(crate) fn deb(files: &[(&str, &[u8])], kind: Option<Compression>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *content).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let data = kind.map_or_else(|| tar.clone(), |kind| compress(kind, &tar));
    let mut archive = ar::Builder::new(Vec::new());
    for (name, content) in
        [("debian-binary", &b"2.0\n"[..]), ("control.tar", b"x"), ("data.tar.z", &data)]
    {
        let header = ar::Header::new(name.as_bytes().to_vec(), content.len() as u64);
        archive.append(&header, content).unwrap();
    }
    archive.into_inner().unwrap()
}
