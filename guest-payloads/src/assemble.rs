//! From a workload to machine code.
//!
//! The code is specialized: straight-line within a switch, counted loops around it, nothing decided
//! at run time inside the measured section. The section stands between two OUTs and repeats for ever;
//! the VMM stops when it has enough of it.
//!
//! Registers kept through a section: R8-R11 the watched addresses, R12 DR6, RSI, RDI, RBP, R13, R14
//! the values of DR7 with zero to four slots, R15 the loop counter. RAX, RBX, RCX, RDX are what the
//! interposed instructions and the work clobber.

use std::ops::Range;

use iced_x86::code_asm::{
    AsmRegister64, CodeAssembler, CodeLabel, al, dr0, dr1, dr2, dr3, dr6, dr7, eax, ebx, ecx, edx,
    qword_ptr, r8, r9, r10, r11, r12, r13, r14, r15d, rax, rbp, rdi, rdx, rsi, rsp,
};
use iced_x86::{BlockEncoderOptions, IcedError, Register};
use thiserror::Error;

use crate::interposed::{CpuVendor, InterposedKind};
use crate::layout::{self, port};
use crate::listing;
use crate::pattern::{Access, Broken, Content, Pattern, Switch};
use crate::register::{BreakCondition, BreakLength, DebugRegister, Dr6, Dr7, Slot};
use crate::workload::Workload;

/// Reset value of `IA32_PAT`. AMD APM vol. 2, 7.8.2; Intel SDM vol. 3A, 13.12.4.
const PAT_RESET: [u32; 2] = [0x0007_0406, 0x0007_0406];
const IA32_APIC_BASE: u32 = 0x1b;
const IA32_PAT: u32 = 0x277;
/// `KVM_HC_VAPIC_POLL_IRQ`: KVM returns 0 and does nothing else.
const HYPERCALL_POLL_IRQ: u32 = 1;

/// Most bytes one access takes: MOV DR, and a store of what was read.
const MOST_BYTES_PER_ACCESS: u64 = 12;
/// Most bytes of a switch besides its accesses: the work loop.
const MOST_BYTES_PER_SWITCH: u64 = 24;

/// A workload that cannot be turned into code.
#[derive(Debug, Error)]
pub enum AssembleError {
    /// The switches between two interposed exits are laid out one after the other.
    #[error(
        "workload {workload}: {switches} switches between two interposed exits take about {bytes} \
         bytes of code, the guest has room for {room}; choose a smaller K or fewer accesses"
    )]
    TooLarge {
        /// The workload.
        workload: String,
        /// Switches that would have to be unrolled.
        switches: u32,
        /// Bytes they would take.
        bytes: u64,
        /// Bytes there are.
        room: u64,
    },
    /// The assembler refused an instruction: a mistake in this crate.
    #[error("assembling workload {workload}: {source}")]
    Encoding {
        /// The workload.
        workload: String,
        /// The assembler's words.
        source: IcedError,
    },
}

/// A workload as machine code, to be loaded at [`layout::CODE`] and entered there.
#[derive(Clone, Debug)]
pub struct Payload {
    /// What it was made from.
    pub workload: Workload,
    /// Machine code.
    pub code: Vec<u8>,
    /// Addresses of the measured section: from the instruction after the BEGIN OUT up to and with
    /// the END OUT.
    pub section: Range<u64>,
    /// Instructions executed from the first RDTSC to just before the second: the difference of the
    /// time stamps where one tick is one instruction, if nothing exits.
    pub instructions: u64,
}

impl Payload {
    /// Turns a workload into code.
    pub fn assemble(workload: &Workload, vendor: CpuVendor) -> Result<Self, AssembleError> {
        let rounds = rounds(workload);
        if let Some((switches, _)) = rounds {
            let each =
                MOST_BYTES_PER_ACCESS * u64::from(workload.accesses()) + MOST_BYTES_PER_SWITCH;
            let bytes = u64::from(switches) * each;
            // Half the room: the rest of the code is small, and pages are touched one by one.
            let room = layout::CODE_SIZE / 2;
            if bytes > room {
                let workload = workload.to_string();
                return Err(AssembleError::TooLarge { workload, switches, bytes, room });
            }
        }
        // The set-up touches each page of code, so it must know how many there are: assembled once
        // to see, once with the number. The number's width does not depend on it.
        let emit = |pages| Emitter::new(workload, vendor, pages).and_then(Emitter::finish);
        emit(1)
            .and_then(|draft| emit((draft.code.len() as u64).div_ceil(layout::PAGE_SIZE)))
            .map_err(|source| AssembleError::Encoding { workload: workload.to_string(), source })
    }

    /// The code as people read it: address, bytes, Intel syntax; headings at the loop's parts.
    pub fn listing(&self) -> String {
        let section = self.section.clone();
        listing::render(&self.code, layout::CODE, |address| match address {
            layout::CODE => Some("set-up"),
            _ if address == section.start => Some("section"),
            _ if address == section.end => Some("again"),
            _ => None,
        })
    }
}

/// Switches in a round, and how often the round runs: None if no interposed exit comes at all.
fn rounds(workload: &Workload) -> Option<(u32, u32)> {
    let every = workload.interposed?.every.get();
    let rounds = workload.switches / every;
    (rounds > 0).then_some((every, rounds))
}

struct Emitter {
    asm: CodeAssembler,
    workload: Workload,
    vendor: CpuVendor,
    switch: Switch,
    section: [CodeLabel; 2],
    /// Pages of code to touch.
    pages: u64,
    /// Instructions between the two time stamps, as far as emitted.
    instructions: u64,
}

impl Emitter {
    fn new(workload: &Workload, vendor: CpuVendor, pages: u64) -> Result<Self, IcedError> {
        let mut asm = CodeAssembler::new(64)?;
        let section = [asm.create_label(), asm.create_label()];
        Ok(Self {
            asm,
            workload: *workload,
            vendor,
            switch: workload.pattern.switch(),
            section,
            pages,
            instructions: 0,
        })
    }

    fn finish(mut self) -> Result<Payload, IcedError> {
        self.load_constants()?;
        self.touch_pages()?;
        if self.workload.armed {
            for access in Pattern::SaveRestore.switch().restore {
                self.access(access, false)?;
            }
        }
        let mut again = self.asm.create_label();
        self.asm.set_label(&mut again)?;
        self.asm.out(u32::from(port::BEGIN), al)?;
        self.asm.set_label(&mut self.section[0])?;
        self.section()?;
        self.asm.out(u32::from(port::END), al)?;
        self.asm.set_label(&mut self.section[1])?;
        self.asm.jmp(again)?;

        let assembled = self
            .asm
            .assemble_options(layout::CODE, BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS)?;
        let section =
            assembled.label_ip(&self.section[0])?..assembled.label_ip(&self.section[1])?;
        Ok(Payload {
            workload: self.workload,
            code: assembled.inner.code_buffer,
            section,
            instructions: self.instructions,
        })
    }

    /// DR7 with the slots below `slots` in force. Unarmed workloads set the conditions but enable
    /// nothing: the same writes, no breakpoint.
    fn control(&self, slots: u8) -> u64 {
        let in_force = Slot::ALL.into_iter().filter(|slot| slot.index() < slots);
        let control = in_force.fold(Dr7::DISABLED, |control, slot| {
            let control = control.with(slot, BreakCondition::Write, BreakLength::Eight);
            if self.workload.armed { control.enable(slot) } else { control }
        });
        control.bits()
    }

    fn load_constants(&mut self) -> Result<(), IcedError> {
        let contents = Slot::ALL
            .map(Content::Address)
            .into_iter()
            .chain([Content::Status])
            .chain((0..=4).map(Content::Control));
        for content in contents {
            let value = match content {
                Content::Address(slot) => layout::WATCHED + 8 * u64::from(slot.index()),
                Content::Status => Dr6::CLEAR.bits(),
                Content::Control(slots) => self.control(slots),
            };
            self.asm.mov(holder(content), value)?;
        }
        Ok(())
    }

    /// The first access to a page is a nested page fault; none may fall into a section. Every page
    /// of code is read, every page of data that a section writes is written.
    fn touch_pages(&mut self) -> Result<(), IcedError> {
        let mut next = self.asm.create_label();
        self.asm.mov(eax, u32::try_from(layout::CODE).expect("low memory"))?;
        self.asm.mov(ecx, u32::try_from(self.pages).expect("the code fits in its room"))?;
        self.asm.set_label(&mut next)?;
        self.asm.mov(rdx, qword_ptr(rax))?;
        self.asm.add(rax, i32::try_from(layout::PAGE_SIZE).expect("a page"))?;
        self.asm.dec(ecx)?;
        self.asm.jnz(next)?;
        for page in [layout::TSC_BEGIN, layout::SAVE_AREA] {
            self.asm.mov(qword_ptr(page), rdx)?;
        }
        self.asm.push(rdx)?;
        self.asm.pop(rdx)
    }

    fn section(&mut self) -> Result<(), IcedError> {
        self.asm.lfence()?;
        let start = self.emitted();
        self.time_stamp(layout::TSC_BEGIN)?;
        self.instructions += self.emitted() - start;
        match self.workload.pattern {
            Pattern::Broken(Broken::Hang) => {
                let mut here = self.asm.create_label();
                self.asm.set_label(&mut here)?;
                self.asm.jmp(here)?;
            }
            Pattern::Broken(Broken::TripleFault) => self.triple_fault()?,
            _ => self.switches()?,
        }
        self.asm.lfence()?;
        self.instructions += 1;
        self.time_stamp(layout::TSC_END)
    }

    fn emitted(&self) -> u64 {
        self.asm.instructions().len() as u64
    }

    fn time_stamp(&mut self, at: u64) -> Result<(), IcedError> {
        self.asm.rdtsc()?;
        self.asm.shl(rdx, 32u32)?;
        self.asm.or(rax, rdx)?;
        self.asm.mov(qword_ptr(at), rax)
    }

    /// An IDT of limit 0: the exception, the double fault and the attempt to deliver it all fail.
    fn triple_fault(&mut self) -> Result<(), IcedError> {
        self.asm.push(0)?;
        self.asm.push(0)?;
        self.asm.lidt(qword_ptr(rsp))?;
        self.asm.ud2()
    }

    /// All switches: rounds of k switches and an interposed exit, then the rest.
    fn switches(&mut self) -> Result<(), IcedError> {
        let mut rest = self.workload.switches;
        if let Some((every, count)) = rounds(&self.workload) {
            rest -= every * count;
            self.repeat(count, |this| {
                let mut executed = 0;
                for _ in 0..every {
                    executed += this.one_switch()?;
                }
                Ok(executed + this.interposed()?)
            })?;
        }
        if rest > 0 {
            self.repeat(rest, Self::one_switch)?;
        }
        Ok(())
    }

    /// A counted loop; `body` returns the instructions that one pass executes.
    fn repeat(
        &mut self,
        count: u32,
        body: impl FnOnce(&mut Self) -> Result<u64, IcedError>,
    ) -> Result<(), IcedError> {
        let mut next = self.asm.create_label();
        self.asm.mov(r15d, count)?;
        self.asm.set_label(&mut next)?;
        let executed = body(self)?;
        self.asm.dec(r15d)?;
        self.asm.jnz(next)?;
        self.instructions += 1 + u64::from(count) * (executed + 2);
        Ok(())
    }

    fn one_switch(&mut self) -> Result<u64, IcedError> {
        let start = self.emitted();
        let switch = self.switch.clone();
        for access in switch.save.into_iter().chain(switch.restore) {
            self.access(access, switch.stores)?;
        }
        let accesses = self.emitted() - start;
        Ok(accesses + self.work()?)
    }

    fn work(&mut self) -> Result<u64, IcedError> {
        let rounds = self.workload.work;
        if rounds == 0 {
            return Ok(0);
        }
        let mut next = self.asm.create_label();
        self.asm.mov(ecx, rounds)?;
        self.asm.set_label(&mut next)?;
        self.asm.dec(ecx)?;
        self.asm.jnz(next)?;
        Ok(1 + 2 * u64::from(rounds))
    }

    fn access(&mut self, access: Access, stores: bool) -> Result<(), IcedError> {
        match access {
            Access::Read(register) => {
                self.asm.mov(rax, assembler_register(register))?;
                if stores {
                    let position = DebugRegister::ALL.iter().position(|&known| known == register);
                    let slot = position.expect("ALL has every register") as u64;
                    self.asm.mov(qword_ptr(layout::SAVE_AREA + 8 * slot), rax)?;
                }
                Ok(())
            }
            Access::Write(register, content) => {
                self.asm.mov(assembler_register(register), holder(content))
            }
        }
    }

    fn interposed(&mut self) -> Result<u64, IcedError> {
        let start = self.emitted();
        let asm = &mut self.asm;
        match self.workload.interposed.map(|interposed| interposed.kind) {
            None => {}
            Some(InterposedKind::Cpuid) => {
                asm.xor(eax, eax)?;
                asm.xor(ecx, ecx)?;
                asm.cpuid()?;
            }
            Some(InterposedKind::Hypercall) => {
                asm.mov(eax, HYPERCALL_POLL_IRQ)?;
                asm.xor(ebx, ebx)?;
                match self.vendor {
                    CpuVendor::Amd => asm.vmmcall()?,
                    CpuVendor::Intel => asm.vmcall()?,
                }
            }
            Some(InterposedKind::PioUser) => asm.out(u32::from(port::INTERPOSED), al)?,
            Some(InterposedKind::Rdmsr) => {
                asm.mov(ecx, IA32_APIC_BASE)?;
                asm.rdmsr()?;
            }
            Some(InterposedKind::Wrmsr) => {
                asm.mov(ecx, IA32_PAT)?;
                asm.mov(eax, PAT_RESET[0])?;
                asm.mov(edx, PAT_RESET[1])?;
                asm.wrmsr()?;
            }
        }
        Ok(self.emitted() - start)
    }
}

fn assembler_register(register: DebugRegister) -> iced_x86::code_asm::AsmRegisterDr {
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
fn holder(content: Content) -> AsmRegister64 {
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

#[cfg(test)]
mod tests {
    use iced_x86::{Code, Instruction, Mnemonic};
    use proptest::prelude::*;

    use super::*;
    use crate::workload::tests::any_workload;

    /// What a section executed, found by walking the decoded code.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Walk {
        instructions_between_time_stamps: u64,
        dr_accesses: u64,
        interposed: u64,
    }

    fn is_interposed(instruction: &Instruction) -> bool {
        match instruction.mnemonic() {
            Mnemonic::Cpuid
            | Mnemonic::Vmmcall
            | Mnemonic::Vmcall
            | Mnemonic::Rdmsr
            | Mnemonic::Wrmsr => true,
            Mnemonic::Out => instruction.immediate8() == port::INTERPOSED,
            _ => false,
        }
    }

    /// Executes the section: the only state that decides anything is the two loop counters.
    fn walk(payload: &Payload) -> Walk {
        let code: Vec<_> = listing::decode(&payload.code, layout::CODE).collect();
        let index_of = |address: u64| {
            code.binary_search_by_key(&address, Instruction::ip).expect("an instruction's address")
        };
        let mut walk = Walk::default();
        let (mut r15, mut rcx) = (0u64, 0u64);
        let mut zero = false;
        let mut stamps = 0;
        let mut at = index_of(payload.section.start);
        loop {
            let instruction = &code[at];
            assert!(!instruction.is_invalid());
            assert!(payload.section.contains(&instruction.ip()));
            at += 1;
            if instruction.mnemonic() == Mnemonic::Rdtsc {
                stamps += 1;
            }
            walk.instructions_between_time_stamps += u64::from(stamps == 1);
            walk.dr_accesses +=
                u64::from(matches!(instruction.code(), Code::Mov_r64_dr | Code::Mov_dr_r64));
            walk.interposed += u64::from(is_interposed(instruction));
            let counter = match instruction.op0_register() {
                Register::R15D => Some(&mut r15),
                Register::ECX => Some(&mut rcx),
                _ => None,
            };
            match (instruction.mnemonic(), counter) {
                (Mnemonic::Mov, Some(counter)) => *counter = instruction.immediate(1),
                (Mnemonic::Dec, Some(counter)) => {
                    *counter -= 1;
                    zero = *counter == 0;
                }
                (Mnemonic::Jne, _) if !zero => at = index_of(instruction.near_branch_target()),
                (Mnemonic::Out, _) if instruction.immediate8() == port::END => return walk,
                _ => {}
            }
        }
    }

    proptest! {
        #[test]
        fn decoded_and_walked_the_code_does_what_the_workload_says(
            workload in any_workload(),
            vendor in prop::sample::select(vec![CpuVendor::Amd, CpuVendor::Intel]),
        ) {
            let payload = Payload::assemble(&workload, vendor).unwrap();
            prop_assert_eq!(walk(&payload), Walk {
                instructions_between_time_stamps: payload.instructions,
                dr_accesses: u64::from(workload.switches) * u64::from(workload.accesses()),
                interposed: workload.interposed_exits(),
            });
        }
    }

    #[test]
    fn prefixes_are_where_the_accesses_say() {
        const WITHOUT: usize = 3; // 0F 21 /r or 0F 23 /r
        for pattern in Pattern::CATALOGUE.map(|(pattern, _)| pattern) {
            let payload = Payload::assemble(&Workload::new(pattern), CpuVendor::Amd).unwrap();
            let section = listing::decode(&payload.code, layout::CODE)
                .filter(|instruction| payload.section.contains(&instruction.ip()))
                .filter(|i| matches!(i.code(), Code::Mov_r64_dr | Code::Mov_dr_r64));
            let found: Vec<_> = section.map(|instruction| instruction.len() > WITHOUT).collect();
            let switch = pattern.switch();
            let said = switch.save.into_iter().chain(switch.restore).map(Access::has_prefix);
            assert_eq!(found, said.collect::<Vec<_>>(), "{pattern}");
        }
    }

    #[test]
    fn a_switch_costs_its_accesses_and_the_loop_alone() {
        let ten: Workload = "n:5,switches=10".parse().unwrap();
        let eleven: Workload = "n:5,switches=11".parse().unwrap();
        let count = |workload| Payload::assemble(workload, CpuVendor::Amd).unwrap().instructions;
        assert_eq!(count(&eleven) - count(&ten), 7);
    }

    #[test]
    fn unarmed_workloads_enable_nothing_and_armed_ones_all_four() {
        let control = |text: &str, slots| {
            Emitter::new(&text.parse().unwrap(), CpuVendor::Amd, 1).unwrap().control(slots)
        };
        assert_eq!(control("dr7", 4) & 0xff, 0);
        assert_eq!(control("dr7,armed", 4) & 0xff, 0b0101_0101);
        assert_eq!(control("dr7,armed", 0), Dr7::DISABLED.bits());
    }

    #[test]
    fn the_vendors_differ_in_the_hypercall_only() {
        for (text, same) in [("windows,cpuid/2", true), ("windows,hypercall/2", false)] {
            let workload = text.parse().unwrap();
            let code = |vendor| Payload::assemble(&workload, vendor).unwrap().code;
            assert_eq!(code(CpuVendor::Amd) == code(CpuVendor::Intel), same, "{text}");
        }
    }

    #[test]
    fn a_period_that_does_not_fit_is_refused_with_the_room_there_is() {
        let workload = "n:1000,cpuid/1000,switches=1000".parse().unwrap();
        let error = Payload::assemble(&workload, CpuVendor::Amd).unwrap_err().to_string();
        assert!(error.contains("room for") && error.contains("n:1000"), "{error}");
        // No interposed exit ever comes: nothing has to be unrolled.
        let workload = "n:1000,cpuid/1000,switches=999".parse().unwrap();
        assert!(Payload::assemble(&workload, CpuVendor::Amd).is_ok());
    }

    #[test]
    fn the_listing_names_the_section_and_shows_every_instruction() {
        let payload = Payload::assemble(&"dr7".parse().unwrap(), CpuVendor::Amd).unwrap();
        let listing = payload.listing();
        let lines = listing.lines().filter(|line| line.starts_with("0x")).count();
        assert_eq!(lines, listing::decode(&payload.code, layout::CODE).count());
        assert!(listing.contains("section:") && listing.contains("mov dr7, r14"), "{listing}");
    }
}
