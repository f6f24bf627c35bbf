//! How many of the processor's breakpoints this host uses itself.
//!
//! With a host breakpoint enabled on a CPU, KVM loads the host's debug registers after every exit
//! (`hw_breakpoint_active`, `arch/x86/kvm/x86.c`): what is measured is another kernel path then. The
//! registers cannot be read from userspace, but the kernel keeps account of who may have one: perf
//! grants no more than there are, and refuses the next with ENOSPC (`__reserve_bp_slot`,
//! `kernel/events/hw_breakpoint.c`). So what is free can be counted by asking for it.

use std::io;

use perf_event::Builder;
use perf_event::events::Breakpoint;

use super::Unavailable;

/// Breakpoints of an x86 processor, DR0 to DR3.
pub const BREAKPOINTS: u32 = 4;

/// How many of a CPU's breakpoints are taken, as far as they could be enabled while this thread runs
/// there: by events for all tasks (perf -a, kgdb), and by those of this thread (a debugger's). None:
/// any CPU, the one with most counts.
///
/// The events that this asks for are never enabled: no debug register changes, and they are gone when
/// it returns.
pub fn breakpoints_taken(cpu: Option<usize>) -> Result<u32, Unavailable> {
    // Watched by nobody, as no event is enabled; eight bytes must be aligned to eight.
    let watched = 0u64;
    let mut builder = Builder::new(Breakpoint::write(&raw const watched as u64, 8));
    // Without the kernel's accesses an ordinary user may have it, up to perf_event_paranoid 2.
    builder.observe_self().exclude_kernel(true).exclude_hv(true);
    match cpu {
        Some(cpu) => builder.one_cpu(cpu),
        None => builder.any_cpu(),
    };
    let mut granted = Vec::new();
    while granted.len() < BREAKPOINTS as usize {
        match builder.build() {
            Ok(event) => granted.push(event),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
            Err(error) => return Err(refused(&error)),
        }
    }
    Ok(BREAKPOINTS - granted.len() as u32)
}

fn refused(error: &io::Error) -> Unavailable {
    let missing = format!("the account of the host's breakpoints (perf_event_open: {error})");
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Unavailable::new(missing, "run as root, or sysctl kernel.perf_event_paranoid=2")
        }
        _ => Unavailable::new(missing, "use a kernel with CONFIG_HAVE_HW_BREAKPOINT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breakpoint_of_our_own_counts_and_asking_leaves_nothing_behind() {
        let before = match breakpoints_taken(None) {
            Ok(before) => before,
            Err(unavailable) => {
                println!("no account here: what is tested is that the reason is told");
                assert!(unavailable.to_string().contains("perf_event_open"), "{unavailable}");
                return;
            }
        };
        assert_eq!(breakpoints_taken(None).ok(), Some(before), "asking takes none");
        if before == BREAKPOINTS {
            println!("all are taken by others: none is left to take");
            return;
        }
        let watched = 0u64;
        let mut builder = Builder::new(Breakpoint::write(&raw const watched as u64, 8));
        let ours = builder.observe_self().any_cpu().exclude_kernel(true).exclude_hv(true).build();
        let ours = ours.expect("one was free");
        assert_eq!(breakpoints_taken(None).ok(), Some(before + 1));
        drop(ours);
        assert_eq!(breakpoints_taken(None).ok(), Some(before));
    }
}
