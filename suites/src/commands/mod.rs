//! One file per command.

pub mod chart;
pub mod compare;
pub mod env;
pub mod list;
pub mod payload;
pub mod run;
pub mod summary;
