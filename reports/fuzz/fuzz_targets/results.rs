//! Any bytes as a `results.csv`; those that are none often enough are rows after a right header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reports::Record;

#[path = "../../tests/common/bytes.rs"]
mod bytes;

fuzz_target!(|data: &[u8]| {
    bytes::hold_for(data);
    let header = reports::record::header::<Record>().join(",");
    bytes::hold_for(&[header.as_bytes(), b"\n", data].concat());
});
