//! Noise of runs on hardware: what is done against it, what is seen of it, and what would help.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`Order`] | shuffles the cells of each round, by a seed that is kept |
//! | [`Pin`] | binds the thread to one CPU |
//! | [`Pace`] | whether the CPU itself was as usual while a batch was measured |
//! | [`preemptions()`] | whether another program had the CPU while a batch was measured |
//! | [`Watch`] | sees what disturbs the thread while it measures |
//! | [`warnings`] | what of that the user must know |
//! | [`hints()`] | what would make this machine quieter; it changes nothing |
//!
//! The lab has none of this: instructions have no noise.

mod hints;
mod order;
mod pace;
mod pin;
mod preempted;
mod system;
mod watch;

pub use hints::{Hint, State, hints};
pub use order::{Order, new_seed};
pub use pace::{Looks, Pace};
pub use pin::Pin;
pub use preempted::preemptions;
pub use system::System;
pub use watch::{Watch, warnings};
