//! From a workload or a schedule to machine code.
//!
//! The code is specialized: straight-line within a switch, counted loops around it, nothing decided
//! at run time inside the measured section; a schedule's steps are straight-line as a whole. The section stands between two OUTs and repeats for ever;
//! the VMM stops when it has enough of it.
//!
//! Registers kept through a section: R8-R11 the watched addresses, R12 DR6, RSI, RDI, RBP, R13, R14
//! the values of DR7 with zero to four slots, R15 the loop counter. RAX, RBX, RCX, RDX are what the
//! interposed instructions and the work clobber; with [`InterposedKind::PageTouch`] RBX is the page to
//! touch next.

mod registers;

use std::ops::Range;

use iced_x86::code_asm::{
    CodeAssembler, CodeLabel, al, dword_ptr, eax, ebx, ecx, edx, qword_ptr, r15d, rax, rbx, rdx,
    rsp,
};
use iced_x86::{BlockEncoderOptions, IcedError};
use thiserror::Error;

use crate::handlers;
use crate::interposed::{CpuVendor, InterposedKind};
use crate::layout::{self, port};
use crate::listing;
use crate::pattern::{Access, Broken, Content, Pattern, Switch};
use crate::register::{BreakCondition, BreakLength, DebugRegister, Dr6, Dr7, Slot};
use crate::schedule::{self, Schedule, Step};
use crate::workload::Workload;
use registers::{assembler_register, holder};

/// Reset value of `IA32_PAT`. AMD APM vol. 2, 7.8.2; Intel SDM vol. 3A, 13.12.4.
const PAT_RESET: [u32; 2] = [0x0007_0406, 0x0007_0406];
const IA32_APIC_BASE: u32 = 0x1b;
const IA32_PAT: u32 = 0x277;
const IA32_TSC_DEADLINE: u32 = 0x6e0;
/// Ticks from a section's begin to the deadline its guest sets: far more than a section takes, and few
/// enough for every VMX preemption timer.
const DEADLINE: u32 = 1 << 30;
/// `KVM_HC_VAPIC_POLL_IRQ`: KVM returns 0 and does nothing else.
const HYPERCALL_POLL_IRQ: u32 = 1;

/// Most bytes one access takes: MOV DR, and a store of what was read.
const MOST_BYTES_PER_ACCESS: u64 = 12;
/// Most bytes of a switch besides its accesses: the work loop.
const MOST_BYTES_PER_SWITCH: u64 = 24;
/// Most bytes an interposed exit takes.
const MOST_BYTES_PER_EXIT: u64 = 24;

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
    /// Each touch takes a page of its own.
    #[error(
        "workload {workload}: {touches} touches of fresh pages, the guest has {room} such pages; \
         choose fewer switches or a larger K"
    )]
    TooManyTouches {
        /// The workload.
        workload: String,
        /// Touches in a section.
        touches: u64,
        /// Pages there are.
        room: u64,
    },
    /// A schedule is laid out as a whole.
    #[error(
        "a section of {steps} steps takes about {bytes} bytes of code, the guest has room for {room}; \
         choose smaller sections"
    )]
    ScheduleTooLarge {
        /// Its steps.
        steps: usize,
        /// Bytes they would take.
        bytes: u64,
        /// Bytes there are.
        room: u64,
    },
    /// The assembler refused an instruction: a mistake in this crate.
    #[error("assembling {workload}: {source}")]
    Encoding {
        /// The workload or schedule.
        workload: String,
        /// The assembler's words.
        source: IcedError,
    },
}

/// A workload or schedule as machine code, to be loaded at [`layout::CODE`] and entered there.
#[derive(Clone, Debug)]
pub struct Payload {
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
        let (touches, room) = (workload.page_touches(), layout::FRESH_PAGES);
        if touches > room {
            let workload = workload.to_string();
            return Err(AssembleError::TooManyTouches { workload, touches, room });
        }
        Self::of(&Body::Workload(*workload), vendor).map_err(|source| AssembleError::Encoding {
            workload: format!("workload {workload}"),
            source,
        })
    }

    /// Turns a schedule into code: step after step, each switch followed by a count of itself in
    /// [`layout::PLAYED`].
    pub fn of_schedule(schedule: &Schedule, vendor: CpuVendor) -> Result<Self, AssembleError> {
        let bytes = MOST_BYTES_PER_ACCESS * schedule.accesses()
            + MOST_BYTES_PER_SWITCH * schedule.switches()
            + MOST_BYTES_PER_EXIT * schedule.exits();
        let room = layout::CODE_SIZE / 2;
        let steps = schedule.steps.len();
        if bytes > room {
            return Err(AssembleError::ScheduleTooLarge { steps, bytes, room });
        }
        Self::of(&Body::Schedule(schedule), vendor).map_err(|source| AssembleError::Encoding {
            workload: format!("a schedule of {steps} steps"),
            source,
        })
    }

    /// The set-up touches each page of code, so it must know how many there are: assembled once to
    /// see, once with the number. The number's width does not depend on it.
    fn of(body: &Body<'_>, vendor: CpuVendor) -> Result<Self, IcedError> {
        let emit = |pages| Emitter::new(body, vendor, pages).and_then(Emitter::finish);
        emit(1).and_then(|draft| emit((draft.code.len() as u64).div_ceil(layout::PAGE_SIZE)))
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

/// What stands between the time stamps.
enum Body<'a> {
    Workload(Workload),
    Schedule(&'a Schedule),
}

impl Body<'_> {
    fn pattern(&self) -> Pattern {
        match self {
            Self::Workload(workload) => workload.pattern,
            Self::Schedule(schedule) => schedule.pattern,
        }
    }

    fn interposed(&self) -> Option<InterposedKind> {
        match self {
            Self::Workload(workload) => workload.interposed.map(|interposed| interposed.kind),
            Self::Schedule(schedule) => Some(schedule.exit),
        }
    }

    fn is_armed(&self) -> bool {
        match self {
            Self::Workload(workload) => workload.armed,
            Self::Schedule(_) => false,
        }
    }
}

struct Emitter<'a> {
    asm: CodeAssembler,
    body: &'a Body<'a>,
    vendor: CpuVendor,
    switch: Switch,
    section: [CodeLabel; 2],
    /// Pages of code to touch.
    pages: u64,
    /// Instructions between the two time stamps, as far as emitted.
    instructions: u64,
}

impl<'a> Emitter<'a> {
    fn new(body: &'a Body<'a>, vendor: CpuVendor, pages: u64) -> Result<Self, IcedError> {
        let mut asm = CodeAssembler::new(64)?;
        let section = [asm.create_label(), asm.create_label()];
        Ok(Self {
            asm,
            body,
            vendor,
            switch: body.pattern().switch(),
            section,
            pages,
            instructions: 0,
        })
    }

    fn finish(mut self) -> Result<Payload, IcedError> {
        self.load_constants()?;
        self.touch_pages()?;
        let quiet = self.body.interposed() == Some(InterposedKind::Breakpoint);
        self.asm.mov(qword_ptr(layout::QUIET), i32::from(quiet))?;
        if self.body.is_armed() {
            for access in Pattern::SaveRestore.switch().restore {
                self.access(access, false)?;
            }
        }
        let mut again = self.asm.create_label();
        self.asm.set_label(&mut again)?;
        if self.body.interposed() == Some(InterposedKind::PageTouch) {
            self.asm.mov(ebx, u32::try_from(layout::FRESH).expect("low memory"))?;
        }
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
        Ok(Payload { code: assembled.inner.code_buffer, section, instructions: self.instructions })
    }

    /// DR7 with the slots below `slots` in force. Unarmed workloads set the conditions but enable
    /// nothing: the same writes, no breakpoint.
    fn control(&self, slots: u8) -> u64 {
        let in_force = Slot::ALL.into_iter().filter(|slot| slot.index() < slots);
        let control = in_force.fold(Dr7::DISABLED, |control, slot| {
            let control = control.with(slot, BreakCondition::Write, BreakLength::Eight);
            if self.body.is_armed() { control.enable(slot) } else { control }
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
        match (self.body, self.body.pattern()) {
            (_, Pattern::Broken(Broken::Hang)) => {
                let mut here = self.asm.create_label();
                self.asm.set_label(&mut here)?;
                self.asm.jmp(here)?;
            }
            (_, Pattern::Broken(Broken::TripleFault)) => self.triple_fault()?,
            (Body::Workload(workload), _) => self.switches(workload)?,
            (Body::Schedule(schedule), _) => self.steps(schedule)?,
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
    fn switches(&mut self, workload: &Workload) -> Result<(), IcedError> {
        let mut rest = workload.switches;
        if let (Some((every, count)), Some(interposed)) = (rounds(workload), workload.interposed) {
            rest -= every * count;
            self.repeat(count, |this| {
                let mut executed = 0;
                for _ in 0..every {
                    executed += this.one_switch(workload)?;
                }
                Ok(executed + this.interposed(interposed.kind)?)
            })?;
        }
        if rest > 0 {
            self.repeat(rest, |this| this.one_switch(workload))?;
        }
        Ok(())
    }

    /// A schedule's steps, one after the other.
    fn steps(&mut self, schedule: &Schedule) -> Result<(), IcedError> {
        let switch = self.switch.clone();
        let mut executed = 0;
        for &step in &schedule.steps {
            match step {
                Step::Exit => executed += self.interposed(schedule.exit)?,
                Step::Switch { .. } => {
                    let start = self.emitted();
                    for access in schedule::accesses(&switch, step) {
                        self.access(access, switch.stores)?;
                    }
                    self.asm.inc(qword_ptr(layout::PLAYED))?;
                    executed += self.emitted() - start;
                }
            }
        }
        self.instructions += executed;
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

    fn one_switch(&mut self, workload: &Workload) -> Result<u64, IcedError> {
        let start = self.emitted();
        let switch = self.switch.clone();
        for access in switch.save.into_iter().chain(switch.restore) {
            self.access(access, switch.stores)?;
        }
        let accesses = self.emitted() - start;
        Ok(accesses + self.work(workload.work)?)
    }

    fn work(&mut self, rounds: u32) -> Result<u64, IcedError> {
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

    fn interposed(&mut self, kind: InterposedKind) -> Result<u64, IcedError> {
        let start = self.emitted();
        let asm = &mut self.asm;
        match kind {
            InterposedKind::Cpuid => {
                asm.xor(eax, eax)?;
                asm.xor(ecx, ecx)?;
                asm.cpuid()?;
            }
            InterposedKind::Hypercall => {
                asm.mov(eax, HYPERCALL_POLL_IRQ)?;
                asm.xor(ebx, ebx)?;
                match self.vendor {
                    CpuVendor::Amd => asm.vmmcall()?,
                    CpuVendor::Intel => asm.vmcall()?,
                }
            }
            InterposedKind::Hlt => asm.hlt()?,
            InterposedKind::PioKernel => asm.out(u32::from(port::KERNEL), al)?,
            InterposedKind::PioUser => asm.out(u32::from(port::INTERPOSED), al)?,
            InterposedKind::Rdmsr => {
                asm.mov(ecx, IA32_APIC_BASE)?;
                asm.rdmsr()?;
            }
            InterposedKind::Wrmsr => {
                asm.mov(ecx, IA32_PAT)?;
                asm.mov(eax, PAT_RESET[0])?;
                asm.mov(edx, PAT_RESET[1])?;
                asm.wrmsr()?;
            }
            InterposedKind::TscDeadline => {
                asm.mov(eax, dword_ptr(layout::TSC_BEGIN))?;
                asm.mov(edx, dword_ptr(layout::TSC_BEGIN + 4))?;
                asm.add(eax, i32::try_from(DEADLINE).expect("below 2^31"))?;
                asm.adc(edx, 0)?;
                asm.mov(ecx, IA32_TSC_DEADLINE)?;
                asm.wrmsr()?;
            }
            InterposedKind::PageTouch => {
                asm.mov(rax, qword_ptr(rbx))?;
                asm.add(rbx, i32::try_from(layout::FRESH_STRIDE).expect("some pages"))?;
            }
            InterposedKind::Breakpoint => {
                asm.mov(qword_ptr(layout::WATCHED), rax)?;
                return Ok(1 + handlers::QUIET_INSTRUCTIONS);
            }
        }
        Ok(self.emitted() - start)
    }
}

#[cfg(test)]
mod tests;
