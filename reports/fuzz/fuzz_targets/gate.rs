//! Any text as a gate.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reports::compare::Gate;

fuzz_target!(|text: &str| {
    if let Err(problem) = Gate::parse(text) {
        assert!(!problem.is_empty());
    }
});
