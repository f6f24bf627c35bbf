//! What went wrong in a guest, told so that one can go on from it.

use std::fmt;
use std::time::Duration;

use guest_payloads::log::Entry;
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use kvm_bindings::{kvm_regs, kvm_sregs};
use nix::errno::Errno;

use crate::guest_debug::DebugRegisters;
use crate::memory::GuestMemory;
use crate::stop::Stop;

/// Most entries of the exception log shown.
const SHOWN_ENTRIES: usize = 8;
/// Bytes of the longest instruction.
const MAX_INSTRUCTION: usize = 15;

/// A guest that did not do what it was made for, or an ioctl that failed.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The guest, with its state at that moment.
    #[error("{0}")]
    Crash(Box<Crash>),
    /// A request to KVM about the vCPU.
    #[error("{ioctl} of a vCPU failed: {errno}; the kernel's log (dmesg) may say more")]
    Ioctl {
        /// The ioctl's name in the kernel's documentation.
        ioctl: &'static str,
        /// What it answered.
        errno: Errno,
    },
}

impl GuestError {
    /// What the guest did, if it was the guest.
    pub fn cause(&self) -> Option<&CrashCause> {
        match self {
            Self::Crash(crash) => Some(&crash.cause),
            Self::Ioctl { .. } => None,
        }
    }

    /// Whether the watchdog stopped the guest.
    pub fn is_watchdog(&self) -> bool {
        matches!(self.cause(), Some(CrashCause::Watchdog { .. }))
    }
}

/// What ended the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrashCause {
    /// It did not end within its budget.
    Watchdog {
        /// The budget.
        budget: Duration,
    },
    /// An exception it cannot go on from; its handler logged it.
    Exception(Entry),
    /// A triple fault: an exception that could not be delivered, nor its double fault.
    TripleFault,
    /// An exit the payload should not have caused.
    Unexpected(Stop),
    /// The processor refused to enter the guest.
    FailedEntry(Stop),
    /// KVM could not go on.
    InternalError {
        /// The exit.
        stop: Stop,
        /// What KVM added, in its order.
        data: Vec<u64>,
    },
    /// `KVM_RUN` itself failed.
    RunFailed(Errno),
}

impl fmt::Display for CrashCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Watchdog { budget } => {
                write!(f, "guest stopped by the watchdog: it did not end within {budget:?}")
            }
            Self::Exception(entry) => {
                write!(f, "guest took {} and cannot go on", entry.mnemonic())
            }
            Self::TripleFault => write!(f, "guest crashed: triple fault (KVM_EXIT_SHUTDOWN)"),
            Self::Unexpected(stop) => write!(f, "guest stopped where it should not: {stop}"),
            Self::FailedEntry(stop) => write!(f, "guest could not be entered: {stop}"),
            Self::InternalError { stop, data } if data.is_empty() => {
                write!(f, "guest stopped: {stop}")
            }
            Self::InternalError { stop, data } => {
                write!(f, "guest stopped: {stop}, data {data:x?}")
            }
            Self::RunFailed(errno) => write!(f, "KVM_RUN failed: {errno}"),
        }
    }
}

/// A guest's state when it ended. Its `Display` is the whole report; the first line sums it up.
#[derive(Debug)]
pub struct Crash {
    /// What ended it.
    pub cause: CrashCause,
    /// General registers, or why they cannot be had.
    pub registers: Result<kvm_regs, Errno>,
    /// Segment and control registers, or why they cannot be had.
    pub system_registers: Result<kvm_sregs, Errno>,
    /// Debug registers, or why they cannot be had.
    pub debug_registers: Result<DebugRegisters, Errno>,
    /// The instruction it ended at: where RIP points, or where the fatal exception came from.
    pub instruction: Option<Instruction>,
    /// Exceptions the guest logged, oldest first.
    pub log: Vec<Entry>,
}

impl Crash {
    /// Whether the registers are no longer the guest's. On AMD a triple fault leaves the processor's
    /// state undefined (APM vol. 2, 15.14.3), and KVM resets it before userspace can look.
    pub fn was_reset(&self) -> bool {
        let long_mode_left =
            self.system_registers.as_ref().is_ok_and(|registers| registers.efer == 0);
        self.cause == CrashCause::TripleFault && long_mode_left
    }
}

/// One instruction of the guest. `Display` gives `0x100000: ud2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its linear address.
    pub address: u64,
    /// Its disassembly in Intel's syntax, or a remark in brackets.
    pub text: String,
}

impl Instruction {
    /// Disassembles what is at `address`.
    pub fn at(memory: &GuestMemory, address: u64) -> Self {
        let mut bytes = [0; MAX_INSTRUCTION];
        let count = memory.read_available(address, &mut bytes);
        let text = match count {
            0 => "(beyond the guest's memory)".to_owned(),
            _ => disassemble(&bytes[..count], address),
        };
        Self { address, text }
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}: {}", self.address, self.text)
    }
}

fn disassemble(bytes: &[u8], address: u64) -> String {
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return format!("(no instruction: {bytes:02x?})");
    }
    let mut text = String::new();
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.format(&instruction, &mut text);
    text
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instruction {
            Some(_) if self.was_reset() => writeln!(f, "{}; where, KVM forgot", self.cause)?,
            Some(instruction) => writeln!(f, "{}; at {instruction}", self.cause)?,
            None => writeln!(f, "{}", self.cause)?,
        }
        if self.was_reset() {
            writeln!(f, "  (KVM has reset the processor: what follows is not the guest's doing)")?;
        }
        match &self.registers {
            Ok(registers) => write_registers(f, registers)?,
            Err(errno) => writeln!(f, "  KVM_GET_REGS failed: {errno}")?,
        }
        match &self.system_registers {
            Ok(registers) => write_system_registers(f, registers)?,
            Err(errno) => writeln!(f, "  KVM_GET_SREGS failed: {errno}")?,
        }
        match &self.debug_registers {
            Ok(registers) => writeln!(f, "  {registers}")?,
            Err(errno) => writeln!(f, "  KVM_GET_DEBUGREGS failed: {errno}")?,
        }
        write_log(f, &self.log)
    }
}

fn write_registers(f: &mut fmt::Formatter<'_>, registers: &kvm_regs) -> fmt::Result {
    let r = registers;
    let rows = [
        [("RAX", r.rax), ("RBX", r.rbx), ("RCX", r.rcx), ("RDX", r.rdx)],
        [("RSI", r.rsi), ("RDI", r.rdi), ("RBP", r.rbp), ("RSP", r.rsp)],
        [("R8 ", r.r8), ("R9 ", r.r9), ("R10", r.r10), ("R11", r.r11)],
        [("R12", r.r12), ("R13", r.r13), ("R14", r.r14), ("R15", r.r15)],
    ];
    for row in rows {
        for (name, value) in row {
            write!(f, "  {name}={value:016x}")?;
        }
        writeln!(f)?;
    }
    writeln!(f, "  RIP={:016x}  RFLAGS={:08x}", r.rip, r.rflags)
}

fn write_system_registers(f: &mut fmt::Formatter<'_>, registers: &kvm_sregs) -> fmt::Result {
    let r = registers;
    writeln!(
        f,
        "  CR0={:08x}  CR2={:016x}  CR3={:08x}  CR4={:08x}  EFER={:04x}",
        r.cr0, r.cr2, r.cr3, r.cr4, r.efer
    )?;
    writeln!(
        f,
        "  CS={:04x}  SS={:04x}  TR={:04x}  GDT={:x}/{:x}  IDT={:x}/{:x}",
        r.cs.selector,
        r.ss.selector,
        r.tr.selector,
        r.gdt.base,
        r.gdt.limit,
        r.idt.base,
        r.idt.limit
    )
}

fn write_log(f: &mut fmt::Formatter<'_>, log: &[Entry]) -> fmt::Result {
    if log.is_empty() {
        return write!(f, "  no exceptions logged");
    }
    let shown = log.len().min(SHOWN_ENTRIES);
    write!(f, "  last exceptions logged ({shown} of {}):", log.len())?;
    for entry in &log[log.len() - shown..] {
        write!(
            f,
            "\n    {} error code {:#x} at {:#x}, DR6 {:#x}, DR7 {:#x}, RFLAGS {:#x}, CR2 {:#x}",
            entry.mnemonic(),
            entry.error_code,
            entry.rip,
            entry.dr6,
            entry.dr7,
            entry.rflags,
            entry.cr2
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(cause: CrashCause, efer: u64) -> Crash {
        let memory = GuestMemory::new(1).expect("a few MiB");
        memory.write(0x10_0000, &[0x0f, 0x23, 0xf8]);
        Crash {
            cause,
            registers: Ok(kvm_regs { rip: 0x10_0000, rbx: 0xabc, ..Default::default() }),
            system_registers: Ok(kvm_sregs { efer, ..Default::default() }),
            debug_registers: Err(Errno::EINVAL),
            instruction: Some(Instruction::at(&memory, 0x10_0000)),
            log: vec![Entry {
                vector: 13,
                error_code: 0,
                rip: 0x10_0000,
                dr6: 0xffff_0ff0,
                dr7: 0x400,
                rflags: 2,
                cr2: 0,
            }],
        }
    }

    #[test]
    fn the_first_line_sums_up_and_the_rest_shows_the_state() {
        let text = crash(CrashCause::TripleFault, 0x500).to_string();
        let first = text.lines().next().expect("a line");
        assert_eq!(
            first,
            "guest crashed: triple fault (KVM_EXIT_SHUTDOWN); at 0x100000: mov dr7, rax"
        );
        for part in ["RBX=0000000000000abc", "KVM_GET_DEBUGREGS failed: EINVAL", "#GP error code"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn registers_that_kvm_reset_are_not_shown_as_the_guests() {
        let text = crash(CrashCause::TripleFault, 0).to_string();
        assert!(
            text.contains("KVM has reset the processor") && !text.contains("mov dr7"),
            "{text}"
        );
        let budget = Duration::from_secs(1);
        assert!(!crash(CrashCause::Watchdog { budget }, 0).was_reset());
    }

    #[test]
    fn what_is_no_instruction_is_shown_as_bytes() {
        assert_eq!(disassemble(&[0x06], 0), "(no instruction: [06])");
    }
}
