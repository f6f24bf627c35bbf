//! The real program with real guests: on /dev/kvm where there is one, in the lab always.

mod bench;
mod bisect;
mod common;
mod compare;
mod databases;
mod export;
mod failures;
mod history;
mod history_branch;
mod lab_cost;
mod lab_policy;
mod lab_slowdown;
mod lab_smp;
mod lab_trace;
mod matrix;
mod native;
mod nightly;
mod pages;
mod templates;
mod variants;
