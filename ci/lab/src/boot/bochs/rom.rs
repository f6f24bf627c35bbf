//! The firmware: a ROM that starts a kernel whose memory image is there already. No BIOS, no disk.
//!
//! At reset the processor is in real mode at 0xfffffff0. The ROM goes to flat 32-bit mode, as the PVH
//! protocol wants it (Xen's docs/misc/pvh.pandoc), and jumps to the kernel. A second reset ends the
//! emulator: a kernel that reboots is done.

use super::memory::{BLOCK, Layout};

/// Where the ROM lies: its end is the end of the 32-bit address space. It has 64 KiB: a larger one
/// would be a flash chip to Bochs.
pub(super) const ADDRESS: u32 = 0xffff_0000;
const SIZE: usize = 0x1_0000;

/// Offsets in the ROM.
const GDT: u16 = 0xfe00;
const GDT_POINTER: u16 = 0xfe20;
const SHUTDOWN_WORD: u16 = 0xfe30;
const REAL_MODE: u16 = 0xfe40;
const PROTECTED_MODE: u16 = 0xff00;
const RESET: u16 = 0xfff0;

/// Null, then code and data: base 0, limit 4 GiB, 32 bits, accessed (SDM vol. 3A, 3.4.5).
const DESCRIPTORS: [u64; 3] = [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
const CODE_SELECTOR: u16 = 8;
const DATA_SELECTOR: u8 = 16;

/// Bochs ends when this is written to its port, letter by letter (iodev/unmapped.cc).
const SHUTDOWN: &[u8; 8] = b"Shutdown";
const SHUTDOWN_PORT: u16 = 0x8900;

/// Memory that the kernel is not told of; zero at power-on.
const BOOTED: u32 = 0x9_fff0;

/// `IA32_MTRR_DEF_TYPE`: enabled, fixed ranges too, all memory is write-back (SDM vol. 3A, 12.11.2.1).
const MTRR_DEF_TYPE: u32 = 0x2ff;
const MTRR_WRITE_BACK: u32 = 0xc06;

/// Machine code that grows.
struct Code(Vec<u8>);

impl Code {
    fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// An instruction with a 32-bit operand at its end.
    fn with(self, bytes: &[u8], operand: u32) -> Self {
        self.op(bytes).op(&operand.to_le_bytes())
    }
}

/// The ROM for a kernel that lies in memory like this.
pub(super) fn image(layout: &Layout) -> Vec<u8> {
    let mut rom = vec![0xff; SIZE];
    let mut put = |at: u16, bytes: &[u8]| {
        rom[usize::from(at)..usize::from(at) + bytes.len()].copy_from_slice(bytes);
    };
    for (at, descriptor) in (GDT..).step_by(8).zip(DESCRIPTORS) {
        put(at, &descriptor.to_le_bytes());
    }
    let limit = (DESCRIPTORS.len() * 8 - 1) as u16;
    put(GDT_POINTER, &limit.to_le_bytes());
    put(GDT_POINTER + 2, &linear(GDT).to_le_bytes());
    put(SHUTDOWN_WORD, SHUTDOWN);
    put(REAL_MODE, &real_mode());
    put(PROTECTED_MODE, &protected_mode(layout));
    // jmp REAL_MODE, relative to the end of these three bytes.
    let [low, high] = REAL_MODE.wrapping_sub(RESET + 3).to_le_bytes();
    put(RESET, &[0xe9, low, high]);
    rom
}

fn linear(offset: u16) -> u32 {
    ADDRESS + u32::from(offset)
}

fn real_mode() -> Vec<u8> {
    let [low, high] = GDT_POINTER.to_le_bytes();
    let code = Code(vec![])
        .op(&[0xfa]) // cli
        .op(&[0x66, 0x2e, 0x0f, 0x01, 0x16, low, high]) // lgdt cs:[GDT_POINTER], 32 bits
        .with(&[0x66, 0xb8], 0x11) // mov eax, CR0.PE | CR0.ET
        .op(&[0x0f, 0x22, 0xc0]) // mov cr0, eax
        .with(&[0x66, 0xea], linear(PROTECTED_MODE)); // jmp CODE_SELECTOR:PROTECTED_MODE
    code.op(&CODE_SELECTOR.to_le_bytes()).0
}

fn protected_mode(layout: &Layout) -> Vec<u8> {
    let mut code = Code(vec![]).op(&[0x66, 0xb8, DATA_SELECTOR, 0]); // mov ax, DATA_SELECTOR
    // mov ds, es, ss, fs, gs from ax
    for register in [0xd8, 0xc0, 0xd0, 0xe0, 0xe8] {
        code = code.op(&[0x8e, register]);
    }
    // Bochs gives out its own memory in blocks in the order of their first use, and reads the whole
    // image into the first ones. Touched in this order they are where the image says.
    let one_block = Code(vec![])
        .op(&[0x8a, 0x18]) // mov bl, [eax]
        .with(&[0x05], BLOCK) // add eax, BLOCK
        .with(&[0x3d], layout.end()) // cmp eax, end
        .0;
    let back = (one_block.len() as u8 + 2).wrapping_neg();
    code = code.with(&[0xb8], layout.base).op(&one_block).op(&[0x72, back]); // jb to its begin

    let start = Code(vec![])
        .with(&[0xff, 0x05], BOOTED) // inc dword [BOOTED]
        .with(&[0xb9], MTRR_DEF_TYPE) // mov ecx
        .with(&[0xb8], MTRR_WRITE_BACK) // mov eax
        .op(&[0x31, 0xd2, 0x0f, 0x30]) // xor edx, edx; wrmsr
        .with(&[0xbb], layout.start_info) // mov ebx
        .with(&[0xb8], layout.entry) // mov eax
        .op(&[0xff, 0xe0]) // jmp eax
        .0;
    code.with(&[0x83, 0x3d], BOOTED)
        .op(&[0]) // cmp dword [BOOTED], 0
        .op(&[0x75, start.len() as u8]) // jne after start
        .op(&start)
        .with(&[0xbe], linear(SHUTDOWN_WORD)) // mov esi
        .with(&[0xb9], SHUTDOWN.len() as u32) // mov ecx
        .with(&[0xba], SHUTDOWN_PORT.into()) // mov edx
        .op(&[0xfc, 0xf3, 0x6e]) // cld; rep outsb
        .op(&[0xf4, 0xeb, 0xfd]) // hlt; jmp to it
        .0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_parts_do_not_overlap() {
        let layout = Layout { base: 0x100_0000, size: 0x600_0000, start_info: 1, entry: 2 };
        let end = |at: u16, code: &[u8]| usize::from(at) + code.len();
        assert!(end(REAL_MODE, &real_mode()) <= PROTECTED_MODE.into());
        assert!(end(PROTECTED_MODE, &protected_mode(&layout)) <= RESET.into());
        let rom = image(&layout);
        assert_eq!((rom.len(), rom[usize::from(RESET)]), (SIZE, 0xe9));
    }
}
