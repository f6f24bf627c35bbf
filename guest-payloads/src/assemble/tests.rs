//! Decoded and walked, payloads do what their workloads say.

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};
use proptest::prelude::*;

use super::*;
use crate::schedule::tests::any_schedule;
use crate::workload::tests::any_workload;

/// What a section executed, found by walking the decoded code.
#[derive(Debug, Default, PartialEq, Eq)]
struct Walk {
    instructions_between_time_stamps: u64,
    dr_accesses: u64,
    interposed: u64,
    played: u64,
}

fn is_interposed(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Cpuid
        | Mnemonic::Vmmcall
        | Mnemonic::Vmcall
        | Mnemonic::Hlt
        | Mnemonic::Rdmsr
        | Mnemonic::Wrmsr => true,
        Mnemonic::Mov => is_page_touch(instruction) || is_hit(instruction),
        Mnemonic::Out => [port::INTERPOSED, port::KERNEL].contains(&instruction.immediate8()),
        _ => false,
    }
}

fn is_page_touch(instruction: &Instruction) -> bool {
    instruction.op1_kind() == OpKind::Memory && instruction.memory_base() == Register::RBX
}

/// A write of the byte that breakpoint 0 watches.
fn is_hit(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Memory
        && instruction.memory_displacement64() == layout::WATCHED
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
        if is_hit(instruction) {
            walk.instructions_between_time_stamps += handlers::QUIET_INSTRUCTIONS;
        }
        walk.dr_accesses +=
            u64::from(matches!(instruction.code(), Code::Mov_r64_dr | Code::Mov_dr_r64));
        walk.interposed += u64::from(is_interposed(instruction));
        let counts = instruction.mnemonic() == Mnemonic::Inc;
        walk.played += u64::from(counts && instruction.memory_displacement64() == layout::PLAYED);
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
            played: 0,
        });
    }

    #[test]
    fn decoded_and_walked_a_schedule_takes_every_step_and_counts_every_switch(
        schedule in any_schedule(),
        vendor in prop::sample::select(vec![CpuVendor::Amd, CpuVendor::Intel]),
    ) {
        let payload = Payload::of_schedule(&schedule, vendor).unwrap();
        prop_assert_eq!(walk(&payload), Walk {
            instructions_between_time_stamps: payload.instructions,
            dr_accesses: schedule.accesses(),
            interposed: schedule.exits(),
            played: schedule.switches(),
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
        let body = Body::Workload(text.parse().unwrap());
        Emitter::new(&body, CpuVendor::Amd, 1).unwrap().control(slots)
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

#[test]
fn every_touch_has_a_page_of_its_own_or_is_refused() {
    let most = u32::try_from(layout::FRESH_PAGES).unwrap();
    let workload =
        |switches| Workload { switches, .."dr7,page-touch/1".parse().expect("a workload") };
    assert!(Payload::assemble(&workload(most), CpuVendor::Amd).is_ok());
    let error = Payload::assemble(&workload(most + 1), CpuVendor::Amd).unwrap_err().to_string();
    assert!(error.contains("513 touches") && error.contains("512 such pages"), "{error}");
}

#[test]
fn a_schedule_that_does_not_fit_is_refused_with_the_room_there_is() {
    let steps = vec![Step::Exit; 100_000];
    let schedule = Schedule { pattern: Pattern::Dr7, exit: InterposedKind::Cpuid, steps };
    let error = Payload::of_schedule(&schedule, CpuVendor::Amd).unwrap_err().to_string();
    assert!(error.contains("100000 steps") && error.contains("room for"), "{error}");
}
