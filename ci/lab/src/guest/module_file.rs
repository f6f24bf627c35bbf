//! A module's file as it is handed to the kernel: its code and data, without what only costs an
//! emulator's time. What is measured is the same.

use object::LittleEndian;
use object::elf::{
    FileHeader64, SHF_EXECINSTR, SHN_UNDEF, SHT_GROUP, SHT_REL, SHT_RELA, SHT_SYMTAB,
    SHT_SYMTAB_SHNDX, STB_LOCAL, STT_FUNC, STT_SECTION, SectionHeader64, SectionType, Sym64,
};
use object::read::elf::{FileHeader as _, Rela as _, SectionHeader as _};
use object::{SectionIndex, SymbolIndex};

/// What ends a signed module (`MODULE_SIG_STRING`, `include/linux/module_signature.h`).
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// `struct module_signature` before it; the signature's length is big-endian at its end.
const SIGNATURE_INFO_BYTES: usize = 12;

/// Bytes of an ELF symbol, of a relocation, and where the latter has its symbol's number.
const SYMBOL_BYTES: usize = size_of::<Sym64<LittleEndian>>();
const RELOCATION_BYTES: usize = size_of::<object::elf::Rela64<LittleEndian>>();
const RELOCATION_SYMBOL: usize = 12;
/// Where a section header has the section's size, and what `sh_info` means to its type.
const SECTION_SIZE: usize = 32;
const SECTION_INFO: usize = 44;

/// The module itself. Checking a signature means a hash over the whole file: without it a boot takes
/// a third less of an emulator's time.
pub(super) fn without_signature(module: &[u8]) -> &[u8] {
    let Some(signed) = module.strip_suffix(SIGNED) else { return module };
    let Some((signed, info)) = signed.split_last_chunk::<SIGNATURE_INFO_BYTES>() else {
        return module;
    };
    let [.., a, b, c, d] = *info;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    signed.len().checked_sub(length).map_or(module, |end| &module[..end])
}

/// Takes names of data that no relocation needs out of the symbol table; what is not understood is
/// left as it is.
///
/// For each of kvm's 1500 functions that can be traced, kernels from 6.1 on go through the module's
/// whole table (`test_for_valid_rec`, `kernel/trace/ftrace.c`): two thirds of the instructions that
/// loading kvm takes. Every symbol in code stays, so each search ends with the same function.
pub(super) fn without_data_symbols(module: &mut [u8]) {
    if let Some(table) = SymbolTable::of(module) {
        table.prune(module);
    }
}

/// Where a module's symbols are, and which of them stay.
struct SymbolTable {
    /// Of the symbols, in the file.
    at: usize,
    /// Of their section's header.
    header: usize,
    /// By the symbol's number.
    keep: Vec<bool>,
    /// How many of those that stay are local: they come first.
    locals: u32,
    /// Where a symbol's number stands that may change.
    numbers: Vec<usize>,
}

impl SymbolTable {
    fn of(module: &[u8]) -> Option<Self> {
        let elf = FileHeader64::<LittleEndian>::parse(module).ok()?;
        let sections = elf.sections(LittleEndian, module).ok()?;
        let (index, section) =
            sections.enumerate().find(|(_, section)| kind(section) == SHT_SYMTAB)?;
        let symbols = section.data_as_array::<Sym64<LittleEndian>, _>(LittleEndian, module).ok()?;
        let in_code = |symbol: &Sym64<LittleEndian>| {
            let section = SectionIndex(symbol.st_shndx.get(LittleEndian).0.into());
            // No such section: absolute, common.
            sections
                .section(section)
                .map_or(true, |section| section.sh_flags.get(LittleEndian).contains(SHF_EXECINSTR))
        };
        let mut keep: Vec<bool> = symbols
            .iter()
            .map(|symbol| {
                symbol.st_shndx.get(LittleEndian) == SHN_UNDEF
                    || matches!(symbol.st_type(), STT_FUNC | STT_SECTION)
                    || in_code(symbol)
            })
            .collect();
        let mut numbers = Vec::new();
        let header_of = |index: SectionIndex| {
            elf.e_shoff.get(LittleEndian) as usize
                + index.0 * size_of::<SectionHeader64<LittleEndian>>()
        };
        for (index, section) in sections.enumerate() {
            match kind(section) {
                SHT_RELA => {
                    let (relocations, _) = section.rela(LittleEndian, module).ok()??;
                    let begin = section.sh_offset.get(LittleEndian) as usize;
                    for (at, relocation) in (begin..).step_by(RELOCATION_BYTES).zip(relocations) {
                        let SymbolIndex(symbol) =
                            relocation.symbol(LittleEndian, false).unwrap_or(SymbolIndex(0));
                        *keep.get_mut(symbol)? = true;
                        numbers.push(at + RELOCATION_SYMBOL);
                    }
                }
                SHT_GROUP => {
                    *keep.get_mut(section.sh_info.get(LittleEndian) as usize)? = true;
                    numbers.push(header_of(index) + SECTION_INFO);
                }
                // Numbers of symbols in forms that no x86-64 module has.
                SHT_REL | SHT_SYMTAB_SHNDX => return None,
                _ => {}
            }
        }
        let kept = symbols.iter().zip(&keep).filter(|(_, keep)| **keep);
        let locals = kept.filter(|(symbol, _)| symbol.st_bind() == STB_LOCAL).count();
        Some(Self {
            at: section.sh_offset.get(LittleEndian) as usize,
            header: header_of(index),
            keep,
            locals: u32::try_from(locals).ok()?,
            numbers,
        })
    }

    /// The file's length stays, and the place of everything else in it.
    fn prune(&self, module: &mut [u8]) {
        let mut renumbered = vec![0_u32; self.keep.len()];
        let mut kept = 0;
        for (old, _) in self.keep.iter().enumerate().filter(|(_, keep)| **keep) {
            renumbered[old] = kept;
            let from = self.at + old * SYMBOL_BYTES;
            module.copy_within(from..from + SYMBOL_BYTES, self.at + kept as usize * SYMBOL_BYTES);
            kept += 1;
        }
        let mut put = |at: usize, bytes: &[u8]| module[at..at + bytes.len()].copy_from_slice(bytes);
        let bytes = u64::from(kept) * SYMBOL_BYTES as u64;
        put(self.header + SECTION_SIZE, &bytes.to_le_bytes());
        put(self.header + SECTION_INFO, &self.locals.to_le_bytes());
        for &at in &self.numbers {
            let number: &mut [u8; 4] = (&mut module[at..at + 4]).try_into().expect("four bytes");
            *number = renumbered[u32::from_le_bytes(*number) as usize].to_le_bytes();
        }
    }
}

fn kind(section: &SectionHeader64<LittleEndian>) -> SectionType {
    section.sh_type.get(LittleEndian)
}

#[cfg(test)]
mod tests {
    use super::{SIGNED, without_data_symbols, without_signature};
    use object::elf::{R_X86_64_64, R_X86_64_PC32};
    use object::read::elf::ElfFile64;
    use object::read::{Object, ObjectSection, ObjectSymbol, RelocationTarget};
    use object::write::{self, Relocation, StandardSection, Symbol, SymbolSection};
    use object::{
        Architecture, BinaryFormat, Endianness, RelocationFlags, SymbolFlags, SymbolKind,
        SymbolScope,
    };

    #[test]
    fn a_signature_and_what_describes_it_are_left_out() {
        let signed = |length: u8| [b"code+signature", &[0; 11][..], &[length], SIGNED].concat();
        assert_eq!(without_signature(&signed(10)), b"code");
        for whole in [&b"code"[..], SIGNED, &signed(15)] {
            assert_eq!(without_signature(whole), whole);
        }
    }

    /// A module with functions, data and labels, local and global, and relocations to some of them.
    fn module() -> Vec<u8> {
        let mut module =
            write::Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let text = module.section_id(StandardSection::Text);
        let data = module.section_id(StandardSection::Data);
        module.append_section_data(text, &[0x90; 64], 16);
        module.append_section_data(data, &[0; 64], 16);
        let mut add = |name: &str, section, value, kind, scope| {
            module.add_symbol(Symbol {
                name: name.into(),
                value,
                size: 8,
                kind,
                scope,
                weak: false,
                section,
                flags: SymbolFlags::None,
            })
        };
        let [text_at, data_at] = [text, data].map(SymbolSection::Section);
        let (local, global) = (SymbolScope::Compilation, SymbolScope::Dynamic);
        add("unneeded", data_at, 0, SymbolKind::Data, local);
        let needed = add("needed", data_at, 8, SymbolKind::Data, local);
        add("function", text_at, 0, SymbolKind::Text, local);
        add("label", text_at, 4, SymbolKind::Label, local);
        add("exported", text_at, 16, SymbolKind::Text, global);
        add("other", data_at, 16, SymbolKind::Data, global);
        let table = add("table", data_at, 24, SymbolKind::Data, global);
        let outside =
            add("outside", SymbolSection::Undefined, 0, SymbolKind::Unknown, SymbolScope::Unknown);
        for (section, offset, symbol, r_type) in [
            (text, 0, outside, R_X86_64_PC32),
            (text, 8, needed, R_X86_64_PC32),
            (data, 32, table, R_X86_64_64),
        ] {
            let flags = RelocationFlags::Elf { r_type };
            module
                .add_relocation(section, Relocation { offset, symbol, addend: -4, flags })
                .unwrap();
        }
        module.write().unwrap()
    }

    /// Names of all symbols but those of sections and files.
    fn names(module: &[u8]) -> Vec<String> {
        let elf = ElfFile64::<Endianness>::parse(module).unwrap();
        let named = elf.symbols().filter_map(|symbol| Some(symbol.name().ok()?.to_owned()));
        named.filter(|name| !name.is_empty()).collect()
    }

    /// Section, offset, and the name of what it refers to, of each relocation.
    fn relocations(module: &[u8]) -> Vec<(String, u64, String)> {
        let elf = ElfFile64::<Endianness>::parse(module).unwrap();
        let mut found = Vec::new();
        for section in elf.sections() {
            for (offset, relocation) in section.relocations() {
                let RelocationTarget::Symbol(index) = relocation.target() else {
                    panic!("{offset}")
                };
                let symbol = elf.symbol_by_index(index).unwrap();
                let name = symbol.name().unwrap().to_owned();
                found.push((section.name().unwrap().to_owned(), offset, name));
            }
        }
        found
    }

    #[test]
    fn only_names_of_data_that_nothing_refers_to_are_left_out() {
        let whole = module();
        let mut pruned = whole.clone();
        without_data_symbols(&mut pruned);
        let mut expected = names(&whole);
        expected.retain(|name| !["unneeded", "other"].contains(&name.as_str()));
        assert_eq!(names(&pruned), expected);
        assert_eq!(expected.len(), names(&whole).len() - 2);
        assert_eq!(relocations(&pruned), relocations(&whole));
        assert_eq!(relocations(&whole).len(), 3);
        // Locals come first, and sh_info says how many: the kernel's and everybody's rule (gABI).
        let elf = ElfFile64::<Endianness>::parse(pruned.as_slice()).unwrap();
        let first_global = elf.symbols().find(ObjectSymbol::is_global).unwrap().index();
        let table = elf.elf_symbol_table().section();
        let section = elf.elf_section_table().section(table).unwrap();
        assert_eq!(section.sh_info.get(Endianness::Little) as usize, first_global.0);
    }

    #[test]
    fn what_is_no_module_stays_as_it_is() {
        let whole = module();
        for length in [0, 3, 64, whole.len() / 2, whole.len() - 1] {
            let mut cut = whole[..length].to_vec();
            without_data_symbols(&mut cut);
            assert_eq!(cut, &whole[..length]);
        }
    }
}
