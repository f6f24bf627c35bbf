//! The matrix: kernels by machines, measured side by side, each cell by itself.
//!
//! A cell is one kernel on one machine, or this host's KVM. What is finished is on disk, whole; an
//! interrupted run is taken up where it was left. What a run ends with is read from there.

mod finish;
mod forecast;
mod kernels;
mod plan;
mod repeat;
mod session;
mod shard;
mod times;
mod worker;

pub use forecast::forecast;
pub use plan::{MatrixCell, Place, Plan};
pub use session::{Session, recorded};
pub use shard::Shard;
pub use times::Times;
