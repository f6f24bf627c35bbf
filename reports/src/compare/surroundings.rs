//! What surrounded two runs, and what of that differs: before any figure is believed.

use crate::store::{Environment, Pace, RunInfo};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What of two runs is known to be another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Surroundings {
    /// The CPUs and emulators of AFTER.
    pub on: Vec<String>,
    /// What differs: its name, BEFORE's and AFTER's words for it.
    pub differ: Vec<(String, String, String)>,
    /// By how much AFTER's machine itself was slower, as shares, by its two controls
    /// ([`Pace::slower`](crate::store::Pace::slower)); 0 where that is not known.
    pub slower: [f64; 2],
}

/// Parts of an environment that are another in every run, or stand elsewhere in a comparison: the
/// kernel's own names, whose comparison it is, and what disturbed the run.
const OWN: [&str; 9] = [
    "kernel",
    "kernel_id",
    "variant",
    "vendor",
    "machine",
    "cpu_model",
    "noise",
    "hashes",
    "uname",
];
/// Words that are no text at all.
const NOTHING: &str = "none";
/// Longest text that is shown whole.
const LONGEST: usize = 60;

impl Surroundings {
    /// Of the environments that both runs have: those with the same vendor, machine and CPU model, in
    /// the order in which they stand.
    pub fn of(before: &RunInfo, after: &RunInfo) -> Self {
        let mut differ = Vec::new();
        note(&mut differ, "drbench", &before.drbench, &after.drbench);
        let (ours, theirs) = (sum(before), sum(after));
        note(&mut differ, "drbench's binary", &ours, &theirs);
        let mut on: Vec<String> = Vec::new();
        let mut slower = [0.0; 2];
        let mut left: Vec<&Environment> = before.environments.iter().collect();
        for environment in &after.environments {
            let line = told(environment);
            if !on.contains(&line) {
                on.push(line);
            }
            let partner = left.iter().position(|other| other.target == environment.target);
            let Some(partner) = partner.map(|place| left.remove(place)) else { continue };
            if let Some((ours, theirs)) = pace(partner).zip(pace(environment)) {
                note_pace(&mut differ, ours, theirs);
                for (most, share) in slower.iter_mut().zip(ours.slower(theirs)) {
                    *most = if share.abs() > f64::abs(*most) { share } else { *most };
                }
            }
            let (ours, theirs) = (flat(partner), flat(environment));
            for name in ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))) {
                let word = |side: &BTreeMap<String, String>| {
                    side.get(name).map_or_else(|| NOTHING.to_owned(), Clone::clone)
                };
                note(&mut differ, name, &word(&ours), &word(&theirs));
            }
        }
        differ.dedup();
        Self { on, differ, slower }
    }
}

fn pace(environment: &Environment) -> Option<&Pace> {
    environment.noise.as_ref()?.pace.as_ref()
}

/// Names of the two controls, as [`Pace::slower`] has them.
const CONTROLS: [&str; 2] = ["the core's own pace", "calls to the hypervisor below"];
/// What of a control is worth a line.
const PACE_MATTERS: f64 = 0.01;

/// Tells controls that took another time.
fn note_pace(differ: &mut Vec<(String, String, String)>, ours: &Pace, theirs: &Pace) {
    let times = |pace: &Pace| [pace.core_ns, pace.below_ns].map(|ns| format!("{ns} ns"));
    let (before, after) = (times(ours), times(theirs));
    for (place, share) in ours.slower(theirs).into_iter().enumerate() {
        if share.abs() > PACE_MATTERS {
            let after = format!("{} ({:+.1} %)", after[place], 100.0 * share);
            note(differ, CONTROLS[place], &before[place], &after);
        }
    }
}

fn note(differ: &mut Vec<(String, String, String)>, name: &str, before: &str, after: &str) {
    let found = (name.to_owned(), shown(before), shown(after));
    if before != after && !differ.contains(&found) {
        differ.push(found);
    }
}

/// A text, cut where nobody would read on.
fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(LONGEST).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

/// The first digits of the program's checksum.
fn sum(run: &RunInfo) -> String {
    let sum = run.hashes.get("binary").map_or(NOTHING, String::as_str);
    sum.chars().take(12).collect()
}

fn told(environment: &Environment) -> String {
    let emulator = environment.emulator.as_ref();
    let emulator = emulator.map_or_else(String::new, |emulator| format!(" ({})", emulator.version));
    format!("{}{emulator}", environment.target)
}

/// Everything in an environment by its path: `module_parameters.kvm_amd.npt`.
fn flat(environment: &Environment) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if let Ok(Json::Object(parts)) = serde_json::to_value(environment) {
        for (name, part) in parts.into_iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
            flatten(name, part, &mut all);
        }
    }
    all
}

fn flatten(name: String, part: Json, all: &mut BTreeMap<String, String>) {
    match part {
        Json::Null => {}
        Json::Object(parts) => {
            for (inner, part) in parts {
                flatten(format!("{name}.{inner}"), part, all);
            }
        }
        Json::Array(parts) => {
            let words = parts.iter().map(|part| part.as_str().unwrap_or_default().to_owned());
            all.insert(name, words.collect::<Vec<_>>().join(" "));
        }
        Json::String(text) => drop(all.insert(name, text)),
        other => drop(all.insert(name, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Machine, Subject, Target, Vendor};
    use crate::store::Emulator;

    fn run(version: &str, npt: Option<&str>) -> RunInfo {
        let subject = Subject {
            kernel: "6.1".to_owned(),
            kernel_id: version.to_owned(),
            variant: "stock".to_owned(),
        };
        let target = Target {
            vendor: Vendor::KvmAmd,
            machine: Machine::QemuTcg,
            cpu_model: "EPYC".to_owned(),
        };
        let mut environment = Environment::new(subject, target);
        let emulator = Emulator { version: version.to_owned(), argv: vec!["qemu".to_owned()] };
        environment.emulator = Some(emulator);
        if let Some(npt) = npt {
            let parameters = [("npt".to_owned(), npt.to_owned())].into_iter().collect();
            environment.module_parameters.insert("kvm_amd".to_owned(), parameters);
        }
        let mut info = RunInfo::begin("1.0", vec![]);
        info.environments.push(environment);
        info
    }

    #[test]
    fn what_differs_is_named_once_with_both_words() {
        let found = Surroundings::of(&run("10.0", Some("1")), &run("10.1", Some("0")));
        let word = |text: &str| text.to_owned();
        assert_eq!(
            found.differ,
            [
                (word("emulator.version"), word("10.0"), word("10.1")),
                (word("module_parameters.kvm_amd.npt"), word("1"), word("0")),
            ]
        );
        assert_eq!(found.on, ["kvm_amd on qemu-tcg, EPYC (10.1)"]);
    }

    #[test]
    fn what_one_side_does_not_tell_is_none_and_equal_runs_differ_in_nothing() {
        let found = Surroundings::of(&run("10.0", None), &run("10.0", Some("1")));
        assert_eq!(found.differ[0].1, NOTHING);
        assert_eq!(Surroundings::of(&run("1", None), &run("1", None)).differ, []);
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(shown(&"é".repeat(100)).chars().count(), LONGEST + 1);
        assert!(shown(&"é".repeat(100)).ends_with('…'));
    }
}
