//! Noise of runs on hardware: what is done against it, and what is seen of it.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`Order`] | shuffles the cells of each round, by a seed that is kept |
//! | [`Pin`] | binds the thread to one CPU |
//! | [`preemptions()`] | whether another program had the CPU while a batch was measured |
//! | [`Watch`] | sees what disturbs the thread while it measures |
//! | [`warnings`] | what of that the user must know |
//!
//! The lab has none of this: instructions have no noise.

mod order;
mod pin;
mod preempted;
mod system;
mod watch;

pub use order::{Order, new_seed};
pub use pin::Pin;
pub use preempted::preemptions;
pub use system::System;
pub use watch::{Watch, warnings};
