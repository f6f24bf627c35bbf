//! The guests the checks run, assembled on the spot.

use guest_payloads::layout::{CODE, SAVE_AREA, WATCHED, port};
use guest_payloads::{BreakCondition, BreakLength, Dr7, Slot};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeAssembler, al, dr0, dr1, dr2, dr3, dr6, dr7, eax, qword_ptr, rax, rcx, rdi, rsp,
};

/// DR7 with breakpoint 0 waiting for a write of four bytes.
pub const WATCH_WRITES: Dr7 =
    Dr7::DISABLED.with(Slot::S0, BreakCondition::Write, BreakLength::Four).enable(Slot::S0);

/// DR7 with breakpoint 0 waiting for an instruction.
pub const BREAK_HERE: Dr7 =
    Dr7::DISABLED.with(Slot::S0, BreakCondition::Execute, BreakLength::One).enable(Slot::S0);

/// Machine code at [`CODE`], and the addresses of the labels its author named.
pub struct Guest {
    pub code: Vec<u8>,
    pub labels: Vec<u64>,
}

type Assembled = Result<Guest, IcedError>;

/// Assembles `body` with `labels` labels for it to place.
fn guest(
    labels: usize,
    body: impl FnOnce(&mut CodeAssembler, &mut [iced_x86::code_asm::CodeLabel]) -> Result<(), IcedError>,
) -> Assembled {
    let mut asm = CodeAssembler::new(64)?;
    let mut placed: Vec<_> = (0..labels).map(|_| asm.create_label()).collect();
    body(&mut asm, &mut placed)?;
    let options = iced_x86::BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let result = asm.assemble_options(CODE, options)?;
    let labels = placed.iter().map(|label| result.label_ip(label)).collect::<Result<_, _>>()?;
    Ok(Guest { code: result.inner.code_buffer, labels })
}

fn out(asm: &mut CodeAssembler, to: u8) -> Result<(), IcedError> {
    asm.out(u32::from(to), al)
}

/// BEGIN, `count` interposed OUTs, END, DONE.
pub fn markers(count: u32) -> Assembled {
    guest(0, |asm, _| {
        out(asm, port::BEGIN)?;
        for _ in 0..count {
            out(asm, port::INTERPOSED)?;
        }
        out(asm, port::END)?;
        out(asm, port::DONE)
    })
}

/// A jump to itself. Label: the jump.
pub fn endless() -> Assembled {
    guest(1, |asm, labels| {
        asm.set_label(&mut labels[0])?;
        asm.jmp(labels[0])
    })
}

/// #UD with an IDT that holds nothing. Label: the UD2.
pub fn triple_fault() -> Assembled {
    guest(1, |asm, labels| {
        asm.mov(rcx, 0x7e57_u64)?;
        asm.push(0)?;
        asm.push(0)?;
        asm.lidt(qword_ptr(rsp))?;
        asm.set_label(&mut labels[0])?;
        asm.ud2()
    })
}

/// #UD. Label: the UD2.
pub fn undefined_opcode() -> Assembled {
    guest(1, |asm, labels| {
        asm.nop()?;
        asm.set_label(&mut labels[0])?;
        asm.ud2()
    })
}

/// A page fault that cannot be delivered: RSP points beyond what is mapped.
pub fn lost_stack() -> Assembled {
    guest(1, |asm, labels| {
        asm.mov(rsp, 0x4000_0000_u64)?;
        asm.set_label(&mut labels[0])?;
        asm.push(rax)
    })
}

/// Arms breakpoint 0 on the watched bytes and writes to them. Label: the instruction after it.
pub fn data_breakpoint() -> Assembled {
    guest(1, |asm, labels| {
        asm.mov(rax, WATCHED)?;
        asm.mov(dr0, rax)?;
        asm.mov(rax, WATCH_WRITES.bits())?;
        asm.mov(dr7, rax)?;
        asm.mov(qword_ptr(WATCHED), rax)?;
        asm.set_label(&mut labels[0])?;
        asm.nop()?;
        out(asm, port::DONE)
    })
}

/// Arms breakpoint 0 on an instruction and comes to it. Label: the instruction.
pub fn execute_breakpoint() -> Assembled {
    guest(1, |asm, labels| {
        asm.lea(rax, qword_ptr(labels[0]))?;
        asm.mov(dr0, rax)?;
        asm.mov(rax, BREAK_HERE.bits())?;
        asm.mov(dr7, rax)?;
        asm.set_label(&mut labels[0])?;
        asm.nop()?;
        out(asm, port::DONE)
    })
}

/// Writes DR0-DR3, then DR7, from `values`; DONE.
pub fn write_debug_registers(values: [u64; 5]) -> Assembled {
    guest(0, |asm, _| {
        for (register, value) in [dr0, dr1, dr2, dr3, dr7].into_iter().zip(values) {
            asm.mov(rax, value)?;
            asm.mov(register, rax)?;
        }
        out(asm, port::DONE)
    })
}

/// Stores DR0-DR3, DR6 and DR7 in the save area; DONE.
pub fn read_debug_registers() -> Assembled {
    guest(0, |asm, _| {
        for (slot, register) in (0..).zip([dr0, dr1, dr2, dr3, dr6, dr7]) {
            asm.mov(rax, register)?;
            asm.mov(qword_ptr(SAVE_AREA + 8 * slot), rax)?;
        }
        out(asm, port::DONE)
    })
}

/// Each vCPU writes its number to DR0, exits `rounds` times, and checks DR0 after each. DONE; #UD if
/// DR0 was another's.
pub fn own_debug_registers(rounds: u32) -> Assembled {
    guest(2, |asm, labels| {
        let (again, wrong) = labels.split_at_mut(1);
        asm.mov(dr0, rdi)?;
        asm.mov(rcx, u64::from(rounds))?;
        asm.set_label(&mut again[0])?;
        out(asm, port::INTERPOSED)?;
        asm.mov(rax, dr0)?;
        asm.cmp(rax, rdi)?;
        asm.jne(wrong[0])?;
        asm.dec(rcx)?;
        asm.jnz(again[0])?;
        out(asm, port::DONE)?;
        asm.set_label(&mut wrong[0])?;
        asm.ud2()
    })
}

/// Three one-byte instructions and DONE. Labels: each of the four.
pub fn steps() -> Assembled {
    guest(4, |asm, labels| {
        for label in &mut labels[..3] {
            asm.set_label(label)?;
            asm.nop()?;
        }
        asm.set_label(&mut labels[3])?;
        out(asm, port::DONE)
    })
}

/// BEGIN, `count` writes of DR0, END.
pub fn accesses(count: u32) -> Assembled {
    guest(0, |asm, _| {
        asm.xor(eax, eax)?;
        out(asm, port::BEGIN)?;
        for _ in 0..count {
            asm.mov(dr0, rax)?;
        }
        out(asm, port::END)
    })
}

/// BEGIN, a loop of `count` times two instructions, END: nothing in it exits.
pub fn control(count: u32) -> Assembled {
    guest(1, |asm, labels| {
        asm.mov(rcx, u64::from(count))?;
        out(asm, port::BEGIN)?;
        asm.set_label(&mut labels[0])?;
        asm.dec(rcx)?;
        asm.jnz(labels[0])?;
        out(asm, port::END)
    })
}

/// BEGIN, `count` CPUIDs, END.
pub fn cpuids(count: u32) -> Assembled {
    guest(0, |asm, _| {
        out(asm, port::BEGIN)?;
        for _ in 0..count {
            asm.xor(eax, eax)?;
            asm.cpuid()?;
        }
        out(asm, port::END)
    })
}
