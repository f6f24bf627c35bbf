//! Real, unmodified kernels booted in software emulators, exactly repeatable.
//!
//! [`kernel`] finds a kernel and prepares it: an image the emulator starts and the modules it needs.
//! [`boot`] starts it with one static binary as PID 1; [`guest`] is what that binary does there.
//! The lab carries bytes: a job goes in, [`frame`]s come out. What they mean is its caller's business.

pub mod boot;
pub mod cache;
pub mod emulator;
pub mod fault;
pub mod frame;
pub mod guest;
mod init;
pub mod initramfs;
pub mod kernel;

pub use fault::{Blame, Blamed};
pub use init::Init;
