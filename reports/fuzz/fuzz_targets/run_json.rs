//! Any bytes as a `run.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reports::RunInfo;
use reports::compare::Surroundings;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    match RunInfo::parse(data, Path::new("run.json")) {
        Ok(info) => {
            let subjects = info.environments.iter().map(|it| it.subject.clone());
            let pairs: Vec<_> = subjects.map(|it| (it.clone(), it)).collect();
            let same = Surroundings::of(&info, &info, &pairs);
            assert!(same.differ.is_empty(), "{same:?}");
        }
        Err(error) => assert!(error.to_string().contains("run.json")),
    }
});
