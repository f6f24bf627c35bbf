//! What was measured, on disk and on the terminal.
//!
//! One row per metric ([`Record`]), kept in a run directory ([`store`]), read back strictly
//! ([`read`](mod@read)), put together from shards ([`merge`](mod@merge)), held against another run
//! ([`compare`](mod@compare)), listed with all others ([`history`]), shown ([`table`], [`chart`]) and
//! written for other programs ([`export`]). Nothing here knows what is measured,
//! or how: vendors, policies and exit kinds are words in columns. (The summary alone knows the
//! policy suite's cells by name.)

pub mod chart;
pub mod compare;
pub mod export;
pub mod figures;
pub mod history;
pub mod kept;
pub mod merge;
pub mod read;
pub mod record;
pub mod statistics;
pub mod store;
pub mod table;
pub mod version;

pub use chart::{ChartError, cost_chart};
pub use compare::{Comparison, Rows, compare};
pub use history::{History, HistoryError};
pub use kept::{KeptError, KeptRun};
pub use merge::{MergeError, Merged, merge, read_all, sort_key};
pub use read::{ReadError, Reader, open, read};
pub use record::{
    Cell, Key, Larger, Machine, Metric, Name, Outcome, Policy, Record, Run, Sample, Source, Status,
    Subject, Target, Unit, Value, Vendor,
};
pub use store::{Emulator, Environment, MatrixDir, Noise, RunDir, RunInfo, Seen, Span, StoreError};
pub use table::{
    Style, cost_table, history_table, policy_table, slowdown_table, smp_table, summary_table,
    trace_table, values_table,
};
