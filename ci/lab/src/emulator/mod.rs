//! The emulators: where they are, which version they are, and the machines they are asked to be.

mod find;
mod machine;

pub use find::{FindError, Qemu, QemuVersion};
pub use machine::{Clock, CpuVendor, Machine, MachineFiles, NoEmulator};
