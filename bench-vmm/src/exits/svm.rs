//! SVM exit codes. AMD APM vol. 2, appendix C.

use super::ExitClass::{
    Apic, Asynchronous, ControlRegister, Cpuid, DebugRegister, Exception, Fatal, Hlt, Hypercall,
    Instruction, InterruptWindow, Io, Msr, Nested, Other,
};
use super::{ExitClass, ExitReason, Isa};

const fn one(code: u32, name: &'static str, class: ExitClass) -> ExitReason {
    ExitReason::one(Isa::Svm, code, name, class)
}

const fn range(first: u32, last: u32, name: &'static str, class: ExitClass) -> ExitReason {
    ExitReason::range(Isa::Svm, first, last, name, class)
}

/// By code.
pub const EXITS: &[ExitReason] = &[
    range(0x00, 0x0f, "cr_read", ControlRegister),
    range(0x10, 0x1f, "cr_write", ControlRegister),
    range(0x20, 0x2f, "dr_read", DebugRegister),
    range(0x30, 0x3f, "dr_write", DebugRegister),
    range(0x40, 0x5f, "exception", Exception),
    one(0x60, "intr", Asynchronous),
    one(0x61, "nmi", Asynchronous),
    one(0x62, "smi", Asynchronous),
    one(0x63, "init", Other),
    one(0x64, "vintr", InterruptWindow),
    one(0x65, "cr0_sel_write", ControlRegister),
    one(0x66, "idtr_read", Instruction),
    one(0x67, "gdtr_read", Instruction),
    one(0x68, "ldtr_read", Instruction),
    one(0x69, "tr_read", Instruction),
    one(0x6a, "idtr_write", Instruction),
    one(0x6b, "gdtr_write", Instruction),
    one(0x6c, "ldtr_write", Instruction),
    one(0x6d, "tr_write", Instruction),
    one(0x6e, "rdtsc", Instruction),
    one(0x6f, "rdpmc", Instruction),
    one(0x70, "pushf", Instruction),
    one(0x71, "popf", Instruction),
    one(0x72, "cpuid", Cpuid),
    one(0x73, "rsm", Instruction),
    one(0x74, "iret", Instruction),
    one(0x75, "swint", Instruction),
    one(0x76, "invd", Instruction),
    one(0x77, "pause", Instruction),
    one(0x78, "hlt", Hlt),
    one(0x79, "invlpg", Instruction),
    one(0x7a, "invlpga", Nested),
    one(0x7b, "ioio", Io),
    one(0x7c, "msr", Msr),
    one(0x7d, "task_switch", Other),
    one(0x7e, "ferr_freeze", Other),
    one(0x7f, "shutdown", Fatal),
    one(0x80, "vmrun", Nested),
    one(0x81, "vmmcall", Hypercall),
    one(0x82, "vmload", Nested),
    one(0x83, "vmsave", Nested),
    one(0x84, "stgi", Nested),
    one(0x85, "clgi", Nested),
    one(0x86, "skinit", Nested),
    one(0x87, "rdtscp", Instruction),
    one(0x88, "icebp", Instruction),
    one(0x89, "wbinvd", Instruction),
    one(0x8a, "monitor", Instruction),
    one(0x8b, "mwait", Instruction),
    one(0x8c, "mwait_conditional", Instruction),
    one(0x8d, "xsetbv", Instruction),
    one(0x8e, "rdpru", Instruction),
    one(0x8f, "efer_write_trap", Msr),
    range(0x90, 0x9f, "cr_write_trap", ControlRegister),
    one(0xa0, "invlpgb", Instruction),
    one(0xa1, "invlpgb_illegal", Instruction),
    one(0xa2, "invpcid", Instruction),
    one(0xa3, "mcommit", Instruction),
    one(0xa4, "tlbsync", Instruction),
    one(0xa5, "buslock", Other),
    one(0xa6, "idle_hlt", Hlt),
    one(0x400, "npf", Asynchronous),
    one(0x401, "avic_incomplete_ipi", Apic),
    one(0x402, "avic_noaccel", Apic),
    one(0x403, "vmgexit", Hypercall),
    one(0xffff_fffe, "busy", Fatal),
    one(0xffff_ffff, "invalid", Fatal),
];
