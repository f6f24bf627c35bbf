//! The processor's I/O ports, for the few words that go to the emulator itself.
#![allow(unsafe_code, reason = "port instructions, and asking the kernel for them")]

use std::arch::asm;
use std::io;

/// Ports that this thread may use until it is dropped. The kernel switches the permissions with the
/// thread, which costs instructions: nothing is measured while one of these lives.
#[derive(Debug)]
pub(super) struct IoPorts {
    first: u16,
    count: u16,
}

impl IoPorts {
    /// Asks the kernel for `count` ports from `first` on.
    pub(super) fn open(first: u16, count: u16) -> io::Result<Self> {
        // SAFETY: ioperm(2) takes no pointers; it only says what later instructions may do.
        match unsafe { libc::ioperm(first.into(), count.into(), 1) } {
            0 => Ok(Self { first, count }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn check(&self, port: u16) {
        assert!(port.wrapping_sub(self.first) < self.count, "port {port:#x} was not asked for");
    }

    /// Writes a byte.
    pub(super) fn write_byte(&self, port: u16, value: u8) {
        self.check(port);
        // SAFETY: the kernel allowed this port; the devices behind those used here touch no memory.
        unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) }
    }

    /// Writes two bytes.
    pub(super) fn write_word(&self, port: u16, value: u16) {
        self.check(port);
        // SAFETY: as above.
        unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack)) }
    }

    /// Reads four bytes.
    pub(super) fn read_double_word(&self, port: u16) -> u32 {
        self.check(port + 3);
        let value;
        // SAFETY: the kernel allowed this port and the three after it; as above.
        unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack)) }
        value
    }

    /// Fills `bytes` from one port.
    pub(super) fn read(&self, port: u16, bytes: &mut [u8]) {
        self.check(port);
        // SAFETY: the kernel allowed this port; REP INSB writes RCX bytes from RDI on, which are
        // those of the slice, upwards: the ABI keeps the direction flag clear.
        unsafe {
            asm!(
                "rep insb",
                in("dx") port,
                inout("rdi") bytes.as_mut_ptr() => _,
                inout("rcx") bytes.len() => _,
                options(nostack, preserves_flags)
            );
        }
    }
}

impl Drop for IoPorts {
    fn drop(&mut self) {
        // SAFETY: as in `open`. Giving ports back does not fail for those that were given.
        unsafe { libc::ioperm(self.first.into(), self.count.into(), 0) };
    }
}
