//! The exception log: what the guest's handlers write and the host reads.
//!
//! A [`Header`] stands at [`crate::layout::LOG`]; the ring of [`CAPACITY`] entries follows it.
//! The handlers store the entry first and count it afterwards, so the host never reads half of one.

use crate::layout::{LOG, LOG_END};

/// Bytes of the ring's header: the number of entries ever written, a `u64`, then padding.
pub const HEADER_SIZE: u64 = 64;
/// Bytes of one entry.
pub const ENTRY_SIZE: u64 = 64;
/// Entries the ring holds before the oldest is overwritten. A power of two.
pub const CAPACITY: u64 = 512;

const _: () = assert!(LOG + HEADER_SIZE + CAPACITY * ENTRY_SIZE <= LOG_END);
const _: () = assert!(CAPACITY.is_power_of_two());

/// Byte offsets of the fields of an entry; each is a `u64`.
pub mod field {
    /// Exception vector.
    pub const VECTOR: u64 = 0;
    /// Error code, 0 where the vector has none.
    pub const ERROR_CODE: u64 = 8;
    /// RIP as pushed by the processor.
    pub const RIP: u64 = 16;
    /// DR6 as the handler read it, before anything else touched it.
    pub const DR6: u64 = 24;
    /// DR7 as the handler read it.
    pub const DR7: u64 = 32;
    /// RFLAGS as pushed by the processor.
    pub const RFLAGS: u64 = 40;
    /// CR2: meaningful for vector 14 only.
    pub const CR2: u64 = 48;
}

/// One logged exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Exception vector, 0..=31.
    pub vector: u8,
    /// Error code, 0 where the vector has none.
    pub error_code: u64,
    /// RIP as pushed by the processor.
    pub rip: u64,
    /// DR6 as the handler read it.
    pub dr6: u64,
    /// DR7 as the handler read it.
    pub dr7: u64,
    /// RFLAGS as pushed by the processor.
    pub rflags: u64,
    /// CR2: meaningful for vector 14 only.
    pub cr2: u64,
}

impl Entry {
    /// Reads an entry from the bytes the guest wrote.
    ///
    /// ```
    /// use guest_payloads::log::{ENTRY_SIZE, Entry};
    /// let mut bytes = [0; ENTRY_SIZE as usize];
    /// bytes[0] = 1; // #DB
    /// bytes[24] = 0xf1;
    /// let entry = Entry::from_bytes(&bytes);
    /// assert_eq!((entry.vector, entry.dr6), (1, 0xf1));
    /// ```
    pub fn from_bytes(bytes: &[u8; ENTRY_SIZE as usize]) -> Self {
        let field = |offset: u64| {
            let at = usize::try_from(offset).expect("an offset within an entry");
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
        };
        Self {
            vector: (field(field::VECTOR) & 0xff) as u8,
            error_code: field(field::ERROR_CODE),
            rip: field(field::RIP),
            dr6: field(field::DR6),
            dr7: field(field::DR7),
            rflags: field(field::RFLAGS),
            cr2: field(field::CR2),
        }
    }

    /// The vector's mnemonic in the manuals, `#DB` for 1.
    pub fn mnemonic(&self) -> &'static str {
        crate::handlers::mnemonic(self.vector)
    }
}

/// Guest-physical address of entry number `index` since the guest began.
pub const fn entry_address(index: u64) -> u64 {
    LOG + HEADER_SIZE + (index % CAPACITY) * ENTRY_SIZE
}
