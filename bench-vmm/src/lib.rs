//! The tiny VMM: memory, long-mode boot state, run loop, guest debug, watchdog, counters.
//! No policy, no statistics.
//!
//! A [`Host`] is an open `/dev/kvm`; a [`Machine`] is one virtual machine with a [`GuestImage`]
//! loaded; each of its [`Vcpu`]s runs until it stops, under a [`Watchdog`]:
//!
//! ```no_run
//! use std::time::Duration;
//! use bench_vmm::{GuestImage, Host, Machine, MachineConfig, Marker, Watchdog};
//! use guest_payloads::layout;
//!
//! let host = Host::open()?;
//! // out BEGIN, al; out END, al
//! let code = [0xe6, layout::port::BEGIN, 0xe6, layout::port::END];
//! let image = GuestImage { code: &code, entry: layout::CODE };
//! let mut machine = Machine::new(&host, &image, MachineConfig::default())?;
//! let watchdog = Watchdog::start(Duration::from_secs(5))?;
//! let vcpu = machine.vcpu();
//! assert_eq!(vcpu.run_to_marker(&watchdog)?.marker, Marker::Begin);
//! assert_eq!(vcpu.run_to_marker(&watchdog)?.marker, Marker::End);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What can be counted is in [`counters`]; the names of exits are in [`exits`]; [`selfcheck`] holds
//! the checks of this crate that need a real KVM, for `cargo test` and for the lab alike.

mod boot;
pub mod counters;
mod crash;
pub mod exits;
mod guest_debug;
mod host;
mod lapic;
mod machine;
mod memory;
pub mod selfcheck;
mod stop;
mod sys;
mod vcpu;
mod watchdog;

pub use crash::{Crash, CrashCause, GuestError, Instruction};
pub use guest_debug::{DebugRegisters, GuestDebug};
pub use host::{Host, HostError, KvmModule, exit_below};
pub use machine::{GuestImage, Irqchip, Machine, MachineConfig, MachineError};
pub use memory::GuestMemory;
pub use stop::{DebugStop, Stop};
pub use vcpu::{Marker, Reached, Vcpu};
pub use watchdog::{Watchdog, WatchdogError};
