//! The state in which a guest begins: identity-mapped long mode, CPL 0, interrupts off.
//!
//! Descriptor formats: AMD APM vol. 2, 4.7 and 4.8; Intel SDM vol. 3A, 3.4.5 and 8.2.

use guest_payloads::handlers::Handlers;
use guest_payloads::layout::{
    GDT, HANDLERS, IDT, MEMORY_SIZE, PAGE_DIRECTORY, PDPT, PML4, STACK_BOTTOM, STACK_TOP, TSS,
    physical,
};
use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};

use crate::memory::GuestMemory;

/// Descriptor and segment types, as in the hidden part of a segment register.
mod descriptor {
    /// Code, execute and read, accessed.
    pub const CODE: u8 = 0xb;
    /// Data, read and write, accessed.
    pub const DATA: u8 = 0x3;
    /// 64-bit TSS, busy: what TR holds.
    pub const TSS_BUSY: u8 = 0xb;
    /// 64-bit interrupt gate, present.
    pub const INTERRUPT_GATE: u64 = 0x8e;
}

/// Selectors, by the order of the descriptors in the GDT.
mod selector {
    pub const CODE: u16 = 0x08;
    pub const DATA: u16 = 0x10;
    pub const TSS: u16 = 0x18;
}

/// Page table entry bits: present, writable, maps a page at this level.
mod page {
    pub const TABLE: u64 = 0b11;
    pub const LARGE: u64 = 1 << 7;
    pub const LARGE_SIZE: u64 = 2 << 20;
}

/// CR0: PE, MP, ET, NE, WP, PG.
const CR0: u64 = 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1 << 1 | 1;
/// CR4: PAE.
const CR4: u64 = 1 << 5;
/// EFER: LME and LMA.
const EFER: u64 = 1 << 8 | 1 << 10;
/// RFLAGS: the bit that is always set; interrupts are off.
const RFLAGS: u64 = 1 << 1;

/// Bytes of a 64-bit TSS without an I/O bitmap.
const TSS_SIZE: u32 = 0x68;
/// Offset of IST1 in the TSS.
const TSS_IST1: u64 = 0x24;
/// Offset of the I/O bitmap's offset in the TSS.
const TSS_IO_MAP: u64 = 0x66;
/// #DF comes on a stack of its own: a guest that lost its stack is still logged.
const DOUBLE_FAULT: usize = 8;
const DOUBLE_FAULT_STACK_TOP: u64 = STACK_BOTTOM + 0x1000;

/// Writes the descriptor tables, page tables and exception handlers of a vCPU to its `memory`.
pub fn write_tables(memory: &GuestMemory, handlers: &Handlers, vcpu: u8) {
    let descriptors =
        [0, code_or_data(descriptor::CODE, true), code_or_data(descriptor::DATA, false)];
    for (address, descriptor) in (GDT..).step_by(8).zip(descriptors) {
        memory.write_u64(address, descriptor);
    }
    let [low, high] = tss_descriptor();
    memory.write_u64(GDT + u64::from(selector::TSS), low);
    memory.write_u64(GDT + u64::from(selector::TSS) + 8, high);
    // An I/O bitmap beyond the TSS's end: there is none.
    memory.write(TSS + TSS_IO_MAP, &(TSS_SIZE as u16).to_le_bytes());
    memory.write(TSS + TSS_IST1, &DOUBLE_FAULT_STACK_TOP.to_le_bytes());

    memory.write(HANDLERS, &handlers.code);
    for (vector, handler) in handlers.entry.into_iter().enumerate() {
        let [low, high] = gate(handler, u64::from(vector == DOUBLE_FAULT));
        memory.write_u64(IDT + 16 * vector as u64, low);
        memory.write_u64(IDT + 16 * vector as u64 + 8, high);
    }

    memory.write_u64(PML4, physical(vcpu, PDPT) | page::TABLE);
    memory.write_u64(PDPT, physical(vcpu, PAGE_DIRECTORY) | page::TABLE);
    for index in 0..MEMORY_SIZE / page::LARGE_SIZE {
        let entry = physical(vcpu, index * page::LARGE_SIZE) | page::TABLE | page::LARGE;
        memory.write_u64(PAGE_DIRECTORY + 8 * index, entry);
    }
}

/// A flat segment at privilege 0, present; `long` for 64-bit code.
fn code_or_data(kind: u8, long: bool) -> u64 {
    const LIMIT: u64 = 0x000f_0000_0000_ffff;
    const PRESENT_CODE_OR_DATA: u64 = 0x90 << 40;
    const GRANULARITY: u64 = 1 << 55;
    const LONG: u64 = 1 << 53;
    const SIZE_32: u64 = 1 << 54;
    let size = if long { LONG } else { SIZE_32 };
    LIMIT | GRANULARITY | PRESENT_CODE_OR_DATA | u64::from(kind) << 40 | size
}

fn tss_descriptor() -> [u64; 2] {
    const PRESENT: u64 = 0x80 << 40;
    let limit = u64::from(TSS_SIZE - 1);
    let base = (TSS & 0xff_ffff) << 16 | (TSS >> 24 & 0xff) << 56;
    [limit | base | PRESENT | u64::from(descriptor::TSS_BUSY) << 40, TSS >> 32]
}

fn gate(handler: u64, stack: u64) -> [u64; 2] {
    let low = handler & 0xffff
        | u64::from(selector::CODE) << 16
        | stack << 32
        | descriptor::INTERRUPT_GATE << 40
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

/// The general registers of a vCPU that starts at `entry`. RDI tells it its number.
pub fn registers(entry: u64, vcpu: u8) -> kvm_regs {
    kvm_regs {
        rip: entry,
        rsp: STACK_TOP,
        rdi: u64::from(vcpu),
        rflags: RFLAGS,
        ..Default::default()
    }
}

/// The system registers, changed from what a fresh vCPU has to what a guest begins with.
pub fn system_registers(fresh: &kvm_sregs, vcpu: u8) -> kvm_sregs {
    let mut sregs = *fresh;
    let data = segment(selector::DATA, descriptor::DATA);
    sregs.cs = kvm_segment { l: 1, db: 0, ..segment(selector::CODE, descriptor::CODE) };
    sregs.ds = data;
    sregs.es = data;
    sregs.fs = data;
    sregs.gs = data;
    sregs.ss = data;
    sregs.tr = kvm_segment {
        base: TSS,
        limit: TSS_SIZE - 1,
        selector: selector::TSS,
        type_: descriptor::TSS_BUSY,
        present: 1,
        ..Default::default()
    };
    sregs.gdt.base = GDT;
    sregs.gdt.limit = selector::TSS + 16 - 1;
    sregs.idt.base = IDT;
    sregs.idt.limit = 256 * 16 - 1;
    sregs.cr0 = CR0;
    sregs.cr3 = physical(vcpu, PML4);
    sregs.cr4 = CR4;
    sregs.efer = EFER;
    sregs
}

fn segment(selector: u16, type_: u8) -> kvm_segment {
    kvm_segment {
        limit: 0xffff_ffff,
        selector,
        type_,
        present: 1,
        s: 1,
        db: 1,
        g: 1,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_the_well_known_ones() {
        assert_eq!(code_or_data(descriptor::CODE, true), 0x00af_9b00_0000_ffff);
        assert_eq!(code_or_data(descriptor::DATA, false), 0x00cf_9300_0000_ffff);
        assert_eq!(tss_descriptor(), [0x0000_8b00_3000_0067, 0]);
    }

    #[test]
    fn each_vcpus_page_tables_lead_to_its_own_memory_and_to_the_shared_rest() {
        use guest_payloads::layout::{CODE, LOG, MAX_VCPUS, OWN_SIZE, TSC_BEGIN, memory_size};
        let memory = GuestMemory::new(MAX_VCPUS).expect("a few MiB");
        let walk = |vcpu: u8, address: u64| {
            // Entries hold guest-physical addresses: above its own memory a view is of those.
            let entry = |table: u64, shift: u64| {
                let at = (table & !0xfff) + 8 * (address >> shift & 0x1ff);
                memory.read_physical_u64(at)
            };
            let directory = entry(entry(entry(physical(vcpu, PML4), 39), 30), 21);
            assert_ne!(directory & page::LARGE, 0);
            (directory & !(page::LARGE_SIZE - 1)) + address % page::LARGE_SIZE
        };
        for vcpu in 0..MAX_VCPUS {
            let own = memory.seen_by(vcpu);
            write_tables(&own, guest_payloads::handlers::assembled(), vcpu);
        }
        let mut seen = Vec::new();
        for vcpu in 0..MAX_VCPUS {
            assert_eq!(walk(vcpu, OWN_SIZE), OWN_SIZE);
            assert_eq!(walk(vcpu, MEMORY_SIZE - 8), MEMORY_SIZE - 8);
            for address in [GDT, LOG, TSC_BEGIN, STACK_TOP - 8, CODE] {
                let at = walk(vcpu, address);
                assert_eq!(at, physical(vcpu, address));
                assert!(at < memory_size(MAX_VCPUS) && !seen.contains(&at), "{at:#x}");
                seen.push(at);
            }
        }
    }

    #[test]
    fn a_gate_holds_its_handlers_address_in_three_parts() {
        let [low, high] = gate(0x1122_3344_5566_7788, 1);
        assert_eq!(low, 0x5566_8e01_0008_7788);
        assert_eq!(high, 0x1122_3344);
    }
}
