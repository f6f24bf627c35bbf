//! One file per command.

pub mod cache;
pub mod chart;
pub mod compare;
pub mod env;
mod export;
pub mod history;
pub mod list;
pub mod merge;
pub mod payload;
pub mod report;
pub mod run;
pub mod summary;
