//! Any bytes are rows or a clear error. The fuzzer (`ci/accept fuzz`) asks the same of many more.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "common/bytes.rs"]
mod bytes;

use common::{exits, record};
use proptest::prelude::*;
use reports::{Outcome, Policy, RunDir, RunInfo, Source};
use std::fs;

/// A small run's `results.csv`.
fn file() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("run");
    let info = RunInfo { run: common::run(), ..RunInfo::begin("0.1.0", vec![]) };
    let mut run = RunDir::create(&at, info).unwrap();
    let cell = common::cell("n:5", 5, "cpuid", 3, Policy::Kernel);
    let open = record(&cell, "ns", Source::Tsc, Outcome::unresolved(None, "noisy, \"very\""));
    run.append(&[exits("windows", 3), exits("scan", 1), open]).unwrap();
    run.finish().unwrap();
    fs::read(at.join("results.csv")).unwrap()
}

/// What a hostile or broken writer does to a file.
#[derive(Debug, Clone)]
enum Damage {
    Cut(usize),
    Put(usize, Vec<u8>),
    Repeat(usize, usize),
}

/// What is put into a file.
const WORDS: [&[u8]; 16] = [
    b"\"",
    b",",
    b"\n",
    b"\r",
    b"\0",
    b"\x1b[31m",
    b"\xff",
    b"=1+1",
    b"<script>",
    b"true",
    b"1e999",
    b"-0",
    b"18446744073709551616",
    "\u{202e}".as_bytes(),
    b"failed",
    b"exits:",
];

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), prop::sample::select(&WORDS))
            .prop_map(|(at, word)| Damage::Put(at, word.to_vec())),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Damage::Put(at, bytes)),
        (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    let place = |at: usize| at % (bytes.len() + 1);
    match damage {
        Damage::Cut(at) => bytes.truncate(place(*at)),
        Damage::Put(at, what) => {
            let at = place(*at);
            bytes.splice(at..at, what.iter().copied());
        }
        Damage::Repeat(from, to) => {
            let (from, to) = (place(*from).min(place(*to)), place(*from).max(place(*to)));
            bytes.extend_from_within(from..to);
        }
    }
    bytes
}

#[test]
fn a_whole_file_holds() {
    bytes::hold_for(&file());
}

proptest! {
    #[test]
    fn a_damaged_file_is_rows_or_one_clear_error_and_harmless_to_show(
        damages in prop::collection::vec(damage(), 1..6)
    ) {
        bytes::hold_for(&damages.iter().fold(file(), damaged));
    }
}
