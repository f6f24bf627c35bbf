//! The few calls that no crate wraps. All of this crate's `unsafe` is here.
#![allow(unsafe_code)]

use std::arch::x86_64::{__cpuid, CpuidResult};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};

use kvm_bindings::{KVMIO, kvm_run, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;
use nix::errno::Errno;
use vm_memory::MmapRegion;
use vmm_sys_util::ioctl::{ioctl, ioctl_with_ptr};
use vmm_sys_util::{ioctl_io_nr, ioctl_iow_nr};

use crate::memory::GuestMemory;

ioctl_io_nr!(KVM_GET_STATS_FD, KVMIO, 0xce);
// linux/perf_event.h: _IOW('$', 6, char *).
ioctl_iow_nr!(PERF_EVENT_IOC_SET_FILTER, '$' as u32, 6, *const libc::c_char);

/// CPUID, subleaf 0.
#[allow(unused_unsafe)] // Older compilers call the intrinsic unsafe.
pub fn cpuid(leaf: u32) -> CpuidResult {
    // SAFETY: every x86-64 processor has the instruction, and it touches no memory.
    unsafe { __cpuid(leaf) }
}

/// The binary statistics of a vCPU. Documented: Linux, virt/kvm/api.rst, 4.133.
pub fn statistics_file(vcpu: &impl AsRawFd) -> Result<File, Errno> {
    // SAFETY: the ioctl takes no argument, so the kernel reads and writes none of our memory.
    let fd = unsafe { ioctl(vcpu, KVM_GET_STATS_FD()) };
    if fd < 0 {
        return Err(Errno::last());
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Restricts a tracepoint's perf event to the records that match `filter`.
pub fn set_event_filter(event: &impl AsRawFd, filter: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel copies a NUL-terminated string from the pointer and keeps no reference.
    let result = unsafe { ioctl_with_ptr(event, PERF_EVENT_IOC_SET_FILTER(), filter.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Keeps the kernel from backing guest memory with huge pages.
pub fn forbid_huge_pages(region: &MmapRegion) -> Result<(), Errno> {
    // SAFETY: the range is exactly one live mapping, and the advice changes none of its content.
    let result =
        unsafe { libc::madvise(region.as_ptr().cast(), region.size(), libc::MADV_NOHUGEPAGE) };
    match Errno::result(result) {
        // A kernel without transparent huge pages does not know the advice and needs none.
        Ok(_) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Takes pages away from a mapping: they read as zero afterwards, and KVM has to map them anew.
///
/// # Panics
/// Where the range leaves the mapping.
pub fn take_away(region: &MmapRegion, offset: usize, size: usize) -> Result<(), Errno> {
    assert!(offset + size <= region.size(), "{size} bytes at {offset:#x} leave the mapping");
    // SAFETY: the range lies in one live private mapping, which nobody has a reference into: it is
    // accessed by volatile reads and writes only, and zeroes are as good a content as any other.
    let result =
        unsafe { libc::madvise(region.as_ptr().add(offset).cast(), size, libc::MADV_DONTNEED) };
    Errno::result(result).map(drop)
}

/// Gives the guest its memory, as slot 0 from guest-physical 0.
pub fn add_memory(vm: &VmFd, memory: &GuestMemory) -> Result<(), kvm_ioctls::Error> {
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: memory.region().size() as u64,
        userspace_addr: memory.region().as_ptr() as u64,
    };
    // SAFETY: the range is one live mapping that nothing of Rust's own lives in; the machine and
    // every vCPU hold the mapping for as long as the guest can run.
    unsafe { vm.set_user_memory_region(region) }
}

/// Details of `KVM_EXIT_INTERNAL_ERROR`. Call it for that exit only; for any other the numbers are
/// meaningless (and harmless).
pub fn internal_error(run: &kvm_run) -> (u32, Vec<u64>) {
    // SAFETY: every bit pattern is a valid value of these integers, and the whole union is mapped.
    let details = unsafe { run.__bindgen_anon_1.internal };
    let count = (details.ndata as usize).min(details.data.len());
    (details.suberror, details.data[..count].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ioctl_numbers_are_the_kernels() {
        assert_eq!(KVM_GET_STATS_FD(), 0xaece);
        assert_eq!(PERF_EVENT_IOC_SET_FILTER(), 0x4008_2406);
    }
}
