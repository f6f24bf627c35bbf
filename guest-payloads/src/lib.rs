//! What the guest executes: debug-register workloads as machine code, the guest's memory layout,
//! and the number of exits each must cause. No KVM, no I/O.
//!
//! A payload is described once, as data: a [`Workload`]. Three things follow from it: the machine
//! code ([`Payload::assemble`]), the predicted exits ([`Workload::predict`]), the row in the report.
//! A [`Schedule`] is the same for switches that are not alike: those of a recorded machine.
//!
//! ```
//! use guest_payloads::{CpuVendor, Payload, Policy, Rearm, Workload};
//!
//! let workload: Workload = "n:5,cpuid/1,switches=200".parse()?;
//! assert_eq!(workload.predict(Policy::Lazy, Rearm::Yes).dr, 200);
//! assert_eq!(workload.predict(Policy::Always, Rearm::Yes).dr, 1000);
//! let payload = Payload::assemble(&workload, CpuVendor::Amd)?;
//! assert!(payload.listing().contains("cpuid"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assemble;
pub mod handlers;
mod interposed;
pub mod layout;
mod listing;
pub mod log;
mod model;
mod pattern;
mod register;
mod schedule;
mod workload;

pub use assemble::{AssembleError, Payload};
pub use interposed::{CpuVendor, Interposed, InterposedKind};
pub use model::{Policy, PredictedExits, Rearm};
pub use pattern::{Access, Broken, Content, Pattern, Switch};
pub use register::{BreakCondition, BreakLength, DebugRegister, Dr6, Dr7, Slot};
pub use schedule::{Schedule, SectionSize, Step};
pub use workload::{ParseWorkloadError, Workload};
