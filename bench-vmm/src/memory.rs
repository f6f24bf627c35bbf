//! Guest memory, and what the guest leaves in it for the host.

use std::sync::Arc;

use guest_payloads::layout::{
    self, FRESH, FRESH_PAGES, FRESH_STRIDE, LOG, MEMORY_SIZE, OWN_SIZE, TSC_BEGIN, TSC_END,
};
use guest_payloads::log::{CAPACITY, ENTRY_SIZE, Entry, entry_address};
use nix::errno::Errno;
use vm_memory::{Bytes, MmapRegion, VolatileMemory};

use crate::sys;

/// The guest's memory as one of its vCPUs sees it: [`MEMORY_SIZE`] bytes from 0. Clones share it, and
/// so do all vCPUs, except for what each has for itself ([`layout::physical`]).
///
/// It may be read while the guest runs: single `u64` values are read whole.
#[derive(Clone, Debug)]
pub struct GuestMemory {
    region: Arc<MmapRegion>,
    vcpu: u8,
}

impl GuestMemory {
    /// Maps zeroed memory for so many vCPUs in pages of 4 KiB, so that a first touch of each page is an exit of its
    /// own, on every host alike.
    pub(crate) fn new(vcpus: u8) -> Result<Self, Errno> {
        let size = usize::try_from(layout::memory_size(vcpus)).expect("a few MiB");
        let region = MmapRegion::new(size).map_err(|_| Errno::last())?;
        sys::forbid_huge_pages(&region)?;
        Ok(Self { region: Arc::new(region), vcpu: 0 })
    }

    /// The same memory, as another vCPU sees it.
    pub(crate) fn seen_by(&self, vcpu: u8) -> Self {
        Self { vcpu, ..self.clone() }
    }

    pub(crate) fn region(&self) -> &MmapRegion {
        &self.region
    }

    /// Copies `bytes` to `address`.
    ///
    /// # Panics
    /// Where the range leaves the guest's memory.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        let (own, shared) = bytes.split_at(own_bytes(address, bytes.len()));
        self.slice(address, own.len()).copy_from(own);
        self.slice(address + own.len() as u64, shared.len()).copy_from(shared);
    }

    /// Copies from `address` until `bytes` is full.
    ///
    /// # Panics
    /// Where the range leaves the guest's memory.
    pub fn read(&self, address: u64, bytes: &mut [u8]) {
        let (own, shared) = bytes.split_at_mut(own_bytes(address, bytes.len()));
        self.slice(address, own.len()).copy_to(own);
        self.slice(address + own.len() as u64, shared.len()).copy_to(shared);
    }

    /// The `u64` at `address`.
    ///
    /// # Panics
    /// Where the value leaves the guest's memory.
    pub fn read_u64(&self, address: u64) -> u64 {
        self.slice(address, 8).read_obj(0).expect("a slice of eight bytes")
    }

    /// Stores a `u64` at `address`.
    ///
    /// # Panics
    /// Where the value leaves the guest's memory.
    pub fn write_u64(&self, address: u64, value: u64) {
        self.slice(address, 8).write_obj(value, 0).expect("a slice of eight bytes");
    }

    /// Ticks of the guest's TSC between the first and the last instruction of the section: the
    /// difference of the stamps the payload took.
    pub fn section_ticks(&self) -> u64 {
        self.read_u64(TSC_END).wrapping_sub(self.read_u64(TSC_BEGIN))
    }

    /// How many exceptions the guest has logged since [`GuestMemory::clear_log`].
    pub fn logged(&self) -> u64 {
        self.read_u64(LOG)
    }

    /// The logged exceptions that the ring still holds, oldest first.
    pub fn log(&self) -> Vec<Entry> {
        let count = self.logged();
        (count.saturating_sub(CAPACITY)..count)
            .map(|index| {
                let mut bytes = [0; ENTRY_SIZE as usize];
                self.read(entry_address(index), &mut bytes);
                Entry::from_bytes(&bytes)
            })
            .collect()
    }

    /// Makes the first `pages` of the guest's fresh pages untouched again: the guest's next touch of
    /// each is a nested page fault. The host has memory for them at once: looking for some takes it
    /// longer at one time than at another, and is nothing of KVM's.
    ///
    /// # Panics
    /// Where there are not so many.
    pub fn refresh(&self, pages: u64) -> Result<(), Errno> {
        assert!(pages <= FRESH_PAGES, "{pages} fresh pages, there are {FRESH_PAGES}");
        let bytes = |count: u64| usize::try_from(count).expect("a few MiB");
        sys::take_away(&self.region, bytes(FRESH), bytes(pages * FRESH_STRIDE))?;
        (0..pages).for_each(|page| self.write_u64(FRESH + page * FRESH_STRIDE, 0));
        Ok(())
    }

    /// Forgets what was logged.
    pub fn clear_log(&self) {
        self.write_u64(LOG, 0);
    }

    /// As much of `bytes` as memory holds from `address` on: for showing code, wherever RIP points.
    pub(crate) fn read_available(&self, address: u64, bytes: &mut [u8]) -> usize {
        let rest = usize::try_from(MEMORY_SIZE.saturating_sub(address)).expect("a few MiB");
        let count = rest.min(bytes.len());
        if count > 0 {
            self.read(address, &mut bytes[..count]);
        }
        count
    }

    fn slice(&self, address: u64, length: usize) -> vm_memory::VolatileSlice<'_> {
        usize::try_from(layout::physical(self.vcpu, address))
            .ok()
            .and_then(|offset| self.region.get_slice(offset, length).ok())
            .unwrap_or_else(|| panic!("{length} bytes at {address:#x} leave the guest's memory"))
    }
}

/// How many of so many bytes from `address` on lie in memory that a vCPU has for itself.
fn own_bytes(address: u64, length: usize) -> usize {
    let own = OWN_SIZE.saturating_sub(address);
    usize::try_from(own).map_or(length, |own| own.min(length))
}

#[cfg(test)]
impl GuestMemory {
    /// The `u64` at a guest-physical address.
    pub(crate) fn read_physical_u64(&self, address: u64) -> u64 {
        let offset = usize::try_from(address).expect("an address in memory");
        self.region.get_slice(offset, 8).and_then(|slice| slice.read_obj(0)).expect("in memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpus_have_the_lowest_memory_for_themselves_and_share_the_rest() {
        let first = GuestMemory::new(3).expect("a few MiB");
        let [second, third] = [1, 2].map(|vcpu| first.seen_by(vcpu));
        let across = OWN_SIZE - 2;
        for (view, byte) in [(&first, 1), (&second, 2), (&third, 3)] {
            view.write(across, &[byte; 4]);
        }
        for (view, own) in [(&first, 1), (&second, 2), (&third, 3)] {
            let mut bytes = [0; 4];
            view.read(across, &mut bytes);
            assert_eq!(bytes, [own, own, 3, 3]);
        }
    }

    #[test]
    fn the_ring_keeps_the_newest_entries() {
        let memory = GuestMemory::new(1).expect("a few MiB");
        for index in 0..CAPACITY + 3 {
            memory.write_u64(entry_address(index) + guest_payloads::log::field::RIP, index);
            memory.write_u64(LOG, index + 1);
        }
        let log = memory.log();
        assert_eq!(log.len() as u64, CAPACITY);
        assert_eq!((log[0].rip, log[log.len() - 1].rip), (3, CAPACITY + 2));
        memory.clear_log();
        assert!(memory.log().is_empty());
    }

    #[test]
    fn refreshed_pages_are_empty_and_their_neighbours_are_not() {
        let memory = GuestMemory::new(1).expect("a few MiB");
        let first_words = || [FRESH - 8, FRESH, FRESH + FRESH_STRIDE].map(|at| memory.read_u64(at));
        for at in [FRESH - 8, FRESH, FRESH + FRESH_STRIDE] {
            memory.write_u64(at, 7);
        }
        memory.refresh(1).expect("our own memory");
        assert_eq!(first_words(), [7, 0, 7]);
    }

    #[test]
    fn code_is_shown_up_to_the_end_of_memory() {
        let memory = GuestMemory::new(1).expect("a few MiB");
        let mut bytes = [0; 15];
        assert_eq!(memory.read_available(MEMORY_SIZE - 4, &mut bytes), 4);
        assert_eq!(memory.read_available(MEMORY_SIZE, &mut bytes), 0);
        assert_eq!(memory.read_available(u64::MAX, &mut bytes), 0);
    }
}
