//! The guest's exception handlers: they log, then return or give up.
//!
//! #DB and #BP are logged and returned from: a guest with breakpoints goes on. Every other exception
//! is logged and reported by an OUT to [`port::FATAL_EXCEPTION`]. A payload that measures the delivery
//! of #DBs sets [`QUIET`]: they are counted then, and no debug register is touched. Beside the handlers
//! lies what a vCPU executes to show whether its first breakpoint is in force.

use std::sync::LazyLock;

use iced_x86::code_asm::{CodeAssembler, dr6, dr7, qword_ptr, r8, rax, rbx};
use iced_x86::{BlockEncoderOptions, IcedError};

use crate::layout::{HANDLERS, LOG, PLAYED, QUIET, WATCHED, port};
use crate::log::{CAPACITY, ENTRY_SIZE, HEADER_SIZE, field};
use crate::register::Dr6;

/// Exception vectors the processor defines: 0..32.
pub const VECTORS: usize = 32;

/// Mnemonics by vector. AMD APM vol. 2, 8.2; Intel SDM vol. 3A, table 6-1.
const MNEMONICS: [&str; VECTORS] = [
    "#DE",
    "#DB",
    "NMI",
    "#BP",
    "#OF",
    "#BR",
    "#UD",
    "#NM",
    "#DF",
    "vector 9",
    "#TS",
    "#NP",
    "#SS",
    "#GP",
    "#PF",
    "vector 15",
    "#MF",
    "#AC",
    "#MC",
    "#XF",
    "#VE",
    "#CP",
    "vector 22",
    "vector 23",
    "vector 24",
    "vector 25",
    "vector 26",
    "vector 27",
    "#HV",
    "#VC",
    "#SX",
    "vector 31",
];

/// Vectors for which the processor pushes an error code.
const WITH_ERROR_CODE: [usize; 10] = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];

const DB: i32 = 1;
const BP: i32 = 3;
/// Instructions that the handler of a quiet #DB executes.
pub const QUIET_INSTRUCTIONS: u64 = 4;
/// RFLAGS.RF: the instruction returned to does not hit its own breakpoint again.
const RESUME_FLAG: i32 = 1 << 16;

/// The exception's mnemonic in the manuals.
///
/// ```
/// assert_eq!(guest_payloads::handlers::mnemonic(1), "#DB");
/// ```
pub fn mnemonic(vector: u8) -> &'static str {
    MNEMONICS.get(usize::from(vector)).copied().unwrap_or("external interrupt")
}

/// The handlers as machine code.
#[derive(Clone, Debug)]
pub struct Handlers {
    /// To be loaded at [`HANDLERS`].
    pub code: Vec<u8>,
    /// The handler's address by vector, for the IDT.
    pub entry: [u64; VECTORS],
    /// Address of code that writes the first watched bytes, and then OUT to [`port::DONE`]. It is no
    /// part of any section.
    pub touch: u64,
}

/// The handlers, assembled at the first call: the code does not depend on any input.
pub fn assembled() -> &'static Handlers {
    static HANDLERS: LazyLock<Handlers> =
        LazyLock::new(|| assemble().expect("the handlers are constant and encodable"));
    &HANDLERS
}

fn assemble() -> Result<Handlers, IcedError> {
    let mut asm = CodeAssembler::new(64)?;
    let mut common = asm.create_label();
    let mut stubs = Vec::with_capacity(VECTORS);
    for vector in 0..VECTORS {
        let mut stub = asm.create_label();
        asm.set_label(&mut stub)?;
        if vector == DB as usize {
            count_if_quiet(&mut asm)?;
        }
        if !WITH_ERROR_CODE.contains(&vector) {
            asm.push(0)?;
        }
        asm.push(i32::try_from(vector).expect("a vector below 32"))?;
        asm.jmp(common)?;
        stubs.push(stub);
    }
    asm.set_label(&mut common)?;
    write_entry(&mut asm)?;
    return_or_give_up(&mut asm)?;
    let mut touch = asm.create_label();
    asm.set_label(&mut touch)?;
    write_watched(&mut asm)?;

    let assembled =
        asm.assemble_options(HANDLERS, BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS)?;
    let mut entry = [0; VECTORS];
    for (address, stub) in entry.iter_mut().zip(&stubs) {
        *address = assembled.label_ip(stub)?;
    }
    let touch = assembled.label_ip(&touch)?;
    Ok(Handlers { code: assembled.inner.code_buffer, entry, touch })
}

/// A data breakpoint is a trap: RIP is past the instruction, nothing is to be resumed.
fn count_if_quiet(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut loud = asm.create_label();
    asm.cmp(qword_ptr(QUIET), 0)?;
    asm.je(loud)?;
    asm.inc(qword_ptr(PLAYED))?;
    asm.iretq()?;
    asm.set_label(&mut loud)
}

/// Frame above RSP once RAX, RBX and R8 are pushed: vector, error code, RIP, CS, RFLAGS.
mod frame {
    pub const VECTOR: i32 = 3 * 8;
    pub const ERROR_CODE: i32 = 4 * 8;
    pub const RIP: i32 = 5 * 8;
    pub const RFLAGS: i32 = 7 * 8;
}

/// Stores one log entry, then counts it, so that the host never sees half of one.
fn write_entry(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    use iced_x86::code_asm::{cr2, rsp};
    asm.push(rax)?;
    asm.push(rbx)?;
    asm.push(r8)?;
    asm.mov(rbx, qword_ptr(LOG))?;
    asm.mov(r8, rbx)?;
    asm.and(r8, i32::try_from(CAPACITY - 1).expect("a small ring"))?;
    asm.shl(r8, ENTRY_SIZE.trailing_zeros())?;
    asm.add(r8, i32::try_from(LOG + HEADER_SIZE).expect("low memory"))?;
    for (offset, pushed) in [
        (field::VECTOR, frame::VECTOR),
        (field::ERROR_CODE, frame::ERROR_CODE),
        (field::RIP, frame::RIP),
        (field::RFLAGS, frame::RFLAGS),
    ] {
        asm.mov(rax, qword_ptr(rsp + pushed))?;
        asm.mov(qword_ptr(r8 + offset), rax)?;
    }
    asm.mov(rax, dr6)?;
    asm.mov(qword_ptr(r8 + field::DR6), rax)?;
    asm.mov(rax, dr7)?;
    asm.mov(qword_ptr(r8 + field::DR7), rax)?;
    asm.mov(rax, cr2)?;
    asm.mov(qword_ptr(r8 + field::CR2), rax)?;
    asm.inc(rbx)?;
    asm.mov(qword_ptr(LOG), rbx)
}

fn return_or_give_up(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    use iced_x86::code_asm::{al, eax, rsp};
    let mut breakpoint = asm.create_label();
    let mut leave = asm.create_label();
    let mut dead = asm.create_label();
    asm.cmp(qword_ptr(rsp + frame::VECTOR), BP)?;
    asm.je(leave)?;
    asm.cmp(qword_ptr(rsp + frame::VECTOR), DB)?;
    asm.je(breakpoint)?;
    asm.set_label(&mut dead)?;
    asm.out(u32::from(port::FATAL_EXCEPTION), al)?;
    asm.jmp(dead)?;
    asm.set_label(&mut breakpoint)?;
    // The processor sets bits of DR6 and never clears them: the next #DB must tell its own cause.
    asm.mov(eax, i32::from_ne_bytes((Dr6::CLEAR.bits() as u32).to_ne_bytes()))?;
    asm.mov(dr6, rax)?;
    asm.or(qword_ptr(rsp + frame::RFLAGS), RESUME_FLAG)?;
    asm.set_label(&mut leave)?;
    asm.pop(r8)?;
    asm.pop(rbx)?;
    asm.pop(rax)?;
    asm.add(rsp, 16)?;
    asm.iretq()
}

fn write_watched(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    use iced_x86::code_asm::al;
    asm.mov(qword_ptr(WATCHED), rax)?;
    asm.out(u32::from(port::DONE), al)
}

#[cfg(test)]
mod tests {
    use iced_x86::Mnemonic;

    use super::*;

    #[test]
    fn every_vector_has_a_handler_of_its_own_within_its_page() {
        let handlers = assembled();
        let end = HANDLERS + handlers.code.len() as u64;
        assert!(end <= LOG, "handlers reach {end:#x}");
        let mut seen = handlers.entry.to_vec();
        seen.dedup();
        assert_eq!(seen.len(), VECTORS);
        assert!(handlers.entry.iter().all(|entry| (HANDLERS..end).contains(entry)));
        assert!(
            (HANDLERS..end).contains(&handlers.touch) && !handlers.entry.contains(&handlers.touch)
        );
    }

    #[test]
    fn a_quiet_breakpoint_is_counted_in_as_many_instructions_as_said() {
        let handlers = assembled();
        let entry = handlers.entry[DB as usize];
        let quiet = crate::listing::decode(&handlers.code, HANDLERS)
            .skip_while(|instruction| instruction.ip() < entry)
            .take(QUIET_INSTRUCTIONS as usize);
        let mnemonics: Vec<_> = quiet.map(|instruction| instruction.mnemonic()).collect();
        let expected = [Mnemonic::Cmp, Mnemonic::Je, Mnemonic::Inc, Mnemonic::Iretq];
        assert_eq!(mnemonics, expected);
    }

    #[test]
    fn mnemonics_are_the_manuals() {
        assert_eq!([0, 1, 3, 6, 13, 14].map(mnemonic), ["#DE", "#DB", "#BP", "#UD", "#GP", "#PF"]);
        assert_eq!(mnemonic(200), "external interrupt");
    }
}
