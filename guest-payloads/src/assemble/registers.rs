//! Which register an access names.

use iced_x86::Register;
use iced_x86::code_asm::{
    AsmRegister64, AsmRegisterDr, dr0, dr1, dr2, dr3, dr6, dr7, r8, r9, r10, r11, r12, r13, r14,
    rbp, rdi, rsi,
};

use crate::pattern::{Access, Content};
use crate::register::{DebugRegister, Slot};

/// The debug register, as the assembler calls it.
pub(super) fn assembler_register(register: DebugRegister) -> AsmRegisterDr {
    match register {
        DebugRegister::Dr0 => dr0,
        DebugRegister::Dr1 => dr1,
        DebugRegister::Dr2 => dr2,
        DebugRegister::Dr3 => dr3,
        DebugRegister::Dr6 => dr6,
        DebugRegister::Dr7 => dr7,
    }
}

impl Access {
    /// Whether its instruction has a REX prefix in payloads: KVM's instruction emulator, where it
    /// executes the access, spends instructions on each prefix.
    pub fn has_prefix(self) -> bool {
        match self {
            Self::Read(_) => false,
            Self::Write(_, content) => Register::from(holder(content)).number() >= FIRST_WITH_REX,
        }
    }
}

/// R8, the first general register that only a REX prefix can name.
const FIRST_WITH_REX: usize = 8;

/// The general register that holds a value through the section.
pub(super) fn holder(content: Content) -> AsmRegister64 {
    match content {
        Content::Address(Slot::S0) => r8,
        Content::Address(Slot::S1) => r9,
        Content::Address(Slot::S2) => r10,
        Content::Address(Slot::S3) => r11,
        Content::Status => r12,
        Content::Control(0) => rsi,
        Content::Control(1) => rdi,
        Content::Control(2) => rbp,
        Content::Control(3) => r13,
        Content::Control(_) => r14,
    }
}
