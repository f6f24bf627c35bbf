//! Where everything lies in the guest. Guest-physical equals guest-virtual: the guest runs in
//! identity-mapped long mode. Of several vCPUs each but the first has the lowest 2 MiB for itself: it
//! sees there, at the same addresses, memory that lies above the first one's.
//!
//! ```text
//!  0x0000_0000  the null page, mapped, never used
//!  0x0000_1000  GDT
//!  0x0000_2000  IDT                       256 gates of 16 bytes
//!  0x0000_3000  TSS
//!  0x0000_4000  PML4, PDPT, page directory (one page each; 2 MiB pages)
//!  0x0000_8000  exception handlers        written by `guest_payloads::handlers`
//!  0x0001_0000  exception log             read by the host
//!  0x0002_0000  results                   time stamps of the section, what the guest itself counted
//!  0x0002_1000  save area                 what the read halves of a switch store
//!  0x0002_2000  watched bytes             what armed breakpoints point at; one kind of exit writes them
//!  0x0003_0000  stack                     grows down from 0x0004_0000
//!  0x0010_0000  code
//!  0x0020_0000  more code                 the same for all vCPUs
//!  0x0040_0000  fresh pages               untouched before each section that wants them so
//!  0x0140_0000  end of memory             with several vCPUs: the lowest 2 MiB of the second, ...
//! ```

/// Bytes of memory that a vCPU sees.
pub const MEMORY_SIZE: u64 = 0x140_0000;
/// Bytes in a page, as the section's pre-touching counts them.
pub const PAGE_SIZE: u64 = 0x1000;
/// Global descriptor table.
pub const GDT: u64 = 0x1000;
/// Interrupt descriptor table: 256 long-mode gates.
pub const IDT: u64 = 0x2000;
/// Task state segment.
pub const TSS: u64 = 0x3000;
/// Top page table; the PDPT and one page directory follow, a page each.
pub const PML4: u64 = 0x4000;
/// Page-directory-pointer table.
pub const PDPT: u64 = 0x5000;
/// Page directory, of 2 MiB pages.
pub const PAGE_DIRECTORY: u64 = 0x6000;
/// Exception handler stubs.
pub const HANDLERS: u64 = 0x8000;
/// The exception log: a [`crate::log::Header`], then its entries.
pub const LOG: u64 = 0x1_0000;
/// End of the exception log.
pub const LOG_END: u64 = 0x2_0000;
/// Time stamp at the section's first instruction, a `u64`.
pub const TSC_BEGIN: u64 = 0x2_0000;
/// Time stamp at the section's last instruction, a `u64`.
pub const TSC_END: u64 = 0x2_0008;
/// What the guest itself counted, a `u64`, on the page of the time stamps: switches of a schedule that
/// it executed, or #DBs that its quiet handler took. The host sets it to 0 before a section.
pub const PLAYED: u64 = 0x2_0010;
/// Not 0: #DBs are counted in [`PLAYED`] instead of being logged, a `u64`. Each payload sets it for
/// itself; logging reads debug registers, and what is measured is the #DB alone.
pub const QUIET: u64 = 0x2_0018;
/// Where the save half of a switch puts what it read: six `u64`.
pub const SAVE_AREA: u64 = 0x2_1000;
/// Four `u64` that armed breakpoints watch. In a measured section only
/// [`InterposedKind::Breakpoint`](crate::InterposedKind::Breakpoint) touches this page.
pub const WATCHED: u64 = 0x2_2000;
/// Lowest byte of the stack.
pub const STACK_BOTTOM: u64 = 0x3_0000;
/// Initial stack pointer.
pub const STACK_TOP: u64 = 0x4_0000;
/// Most vCPUs that a guest has.
pub const MAX_VCPUS: u8 = 4;
/// Bytes that each vCPU has for itself, from 0 on: one large page, so that a walk through the page
/// tables, which KVM's emulator makes at every instruction, takes as many steps for each of them.
pub const OWN_SIZE: u64 = 0x20_0000;
const _: () = assert!(STACK_TOP <= OWN_SIZE && CODE < OWN_SIZE);

/// Bytes of memory of a guest with so many vCPUs.
pub const fn memory_size(vcpus: u8) -> u64 {
    MEMORY_SIZE + (vcpus as u64 - 1) * OWN_SIZE
}

/// The guest-physical address of what vCPU number `vcpu` sees at `address`.
///
/// ```
/// use guest_payloads::layout::{MEMORY_SIZE, OWN_SIZE, TSC_BEGIN, physical};
/// assert_eq!(physical(0, TSC_BEGIN), TSC_BEGIN);
/// assert_eq!(physical(2, TSC_BEGIN), MEMORY_SIZE + OWN_SIZE + TSC_BEGIN);
/// assert_eq!(physical(2, OWN_SIZE), OWN_SIZE);
/// ```
pub const fn physical(vcpu: u8, address: u64) -> u64 {
    match (vcpu, address) {
        (1.., 0..OWN_SIZE) => memory_size(vcpu) + address,
        (0, _) | (_, OWN_SIZE..) => address,
    }
}

/// First instruction of a payload.
pub const CODE: u64 = 0x10_0000;
/// Bytes a payload's code may take.
pub const CODE_SIZE: u64 = FRESH - CODE;
/// Pages for [`InterposedKind::PageTouch`](crate::InterposedKind::PageTouch). The host takes them away
/// before each section.
pub const FRESH: u64 = 0x40_0000;
/// Bytes from one to the next: at a fault, KVM's older MMU also maps what the host has of the same
/// eight pages (`PTE_PREFETCH_NUM`).
pub const FRESH_STRIDE: u64 = 8 * PAGE_SIZE;
/// How many there are.
pub const FRESH_PAGES: u64 = (MEMORY_SIZE - FRESH) / FRESH_STRIDE;

/// I/O ports by which the guest speaks to the VMM. All OUTs of one byte; none belongs to a device.
pub mod port {
    /// The measured section begins after this OUT.
    pub const BEGIN: u8 = 0xe0;
    /// The measured section ends with this OUT.
    pub const END: u8 = 0xe1;
    /// The interposed exit to userspace.
    pub const INTERPOSED: u8 = 0xe2;
    /// The interposed exit that ends in the kernel.
    pub const KERNEL: u8 = 0xe5;
    /// An exception the guest cannot go on from has been logged.
    pub const FATAL_EXCEPTION: u8 = 0xe3;
    /// The payload has nothing left to do.
    pub const DONE: u8 = 0xe4;
}
