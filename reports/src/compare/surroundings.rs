//! What surrounded two runs, and what of that differs: before any figure is believed.

mod config;

use super::Rows;
use crate::record::{Subject, Target};
use crate::store::{Environment, Pace, RunInfo};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What of two runs is known to be another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Surroundings {
    /// Whole sentences about the targets of BEFORE that AFTER has no rows of.
    pub apart: Vec<String>,
    /// The CPUs, emulators and kernel configurations of AFTER.
    pub on: Vec<String>,
    /// What differs: its name, BEFORE's and AFTER's words for it.
    pub differ: Vec<(String, String, String)>,
    /// By how much AFTER's machine itself was slower, as shares, by its two controls
    /// ([`Pace::slower`](crate::store::Pace::slower)); 0 where that is not known.
    pub slower: [f64; 2],
}

/// Parts of an environment that are another in every run, or stand elsewhere in a comparison: the
/// kernel's own names, whose comparison it is, and what disturbed the run.
const OWN: [&str; 10] = [
    "kernel",
    "kernel_id",
    "variant",
    "vendor",
    "machine",
    "cpu_model",
    "config",
    "noise",
    "hashes",
    "uname",
];
/// Words that are no text at all.
const NOTHING: &str = "none";
/// Longest text that is shown whole.
const LONGEST: usize = 60;

impl Surroundings {
    /// Of the environments that belong together: those of two kernels that are compared with each other
    /// (`pairs`, BEFORE's and AFTER's), with the same vendor, machine and CPU model, in the order in
    /// which they stand.
    pub fn of(before: &RunInfo, after: &RunInfo, pairs: &[(Subject, Subject)]) -> Self {
        let mut found = Self::default();
        note(&mut found.differ, "drbench", &before.drbench, &after.drbench);
        note(&mut found.differ, "drbench's binary", &sum(before), &sum(after));
        let mut left: Vec<&Environment> = before.environments.iter().collect();
        for environment in &after.environments {
            let line = told(environment);
            if !found.on.contains(&line) {
                found.on.push(line);
            }
            let is_partner = |other: &&Environment| {
                other.target == environment.target
                    && pairs.iter().any(|(ours, theirs)| {
                        (ours, theirs) == (&other.subject, &environment.subject)
                    })
            };
            if let Some(place) = left.iter().position(is_partner) {
                found.hold(left.remove(place), environment);
            }
        }
        found
    }

    /// The same, with what the rows themselves say of their targets: of them there may be no `run.json`.
    #[must_use]
    pub fn with_rows(self, before: &Rows, after: &Rows) -> Self {
        let [before, after] = [before, after].map(|rows| rows.targets.iter().map(|it| &**it));
        Self { apart: apart(&before.collect::<Vec<_>>(), &after.collect::<Vec<_>>()), ..self }
    }

    /// Tells in what two environments differ.
    fn hold(&mut self, before: &Environment, after: &Environment) {
        if let Some((ours, theirs)) = pace(before).zip(pace(after)) {
            note_pace(&mut self.differ, ours, theirs);
            for (most, share) in self.slower.iter_mut().zip(ours.slower(theirs)) {
                *most = if share.abs() > f64::abs(*most) { share } else { *most };
            }
        }
        config::note_config(&mut self.differ, before, after);
        let (ours, theirs) = (flat(before), flat(after));
        for name in ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))) {
            let word = |side: &BTreeMap<String, String>| {
                side.get(name).map_or_else(|| NOTHING.to_owned(), Clone::clone)
            };
            note(&mut self.differ, name, &word(&ours), &word(&theirs));
        }
    }
}

/// Why rows of BEFORE can have no partner: AFTER was measured elsewhere. Where it has no rows at all, that
/// is told already.
fn apart(before: &[&Target], after: &[&Target]) -> Vec<String> {
    let lacking: Vec<_> = before.iter().filter(|target| !after.contains(target)).collect();
    if after.is_empty() || lacking.len() < before.len() {
        let lacking = lacking.into_iter().filter(|_| !after.is_empty());
        return lacking
            .map(|target| format!("AFTER has no rows of {target}: those of BEFORE are missing"))
            .collect();
    }
    let list = |targets: &[&Target]| {
        targets.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    vec![format!(
        "BEFORE and AFTER have no target (vendor, machine and CPU model) in common, so no row can be \
         compared. BEFORE is of {}. AFTER is of {}. Compare runs of one machine.",
        list(before),
        list(after)
    )]
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
    let from = if before.len().max(after.len()) > LONGEST { alike(before, after) } else { 0 };
    let part = |text: &str| {
        let cut = if from > 0 { "… " } else { "" };
        format!("{cut}{}", shown(&text[from..]))
    };
    let found = (name.to_owned(), part(before), part(after));
    if before != after && !differ.contains(&found) {
        differ.push(found);
    }
}

/// Where two long texts begin to differ, in bytes: at the first word of them that does. Command lines are
/// alike for longer than anybody reads.
fn alike(one: &str, other: &str) -> usize {
    let mut from = 0;
    for (word, its) in one.split_inclusive(' ').zip(other.split_inclusive(' ')) {
        if word != its {
            break;
        }
        from += word.len();
    }
    from
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
    format!("{}{emulator}{}", environment.target, config::told(environment))
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
    use crate::record::{Machine, Vendor};
    use crate::store::{Emulator, Noise, Seen};

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

    /// Two runs of one kernel each.
    fn of(before: &RunInfo, after: &RunInfo) -> Surroundings {
        let [ours, theirs] = [before, after].map(|run| run.environments[0].subject.clone());
        Surroundings::of(before, after, &[(ours, theirs)])
    }

    #[test]
    fn what_differs_is_named_once_with_both_words() {
        let found = of(&run("10.0", Some("1")), &run("10.1", Some("0")));
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
        let found = of(&run("10.0", None), &run("10.0", Some("1")));
        assert_eq!(found.differ[0].1, NOTHING);
        assert_eq!(of(&run("1", None), &run("1", None)).differ, []);
    }

    /// One kernel's environment on hardware whose core took so long.
    fn paced(variant: &str, core_ns: u64) -> Environment {
        let mut environment = run("6.1-1", Some(variant)).environments.remove(0);
        variant.clone_into(&mut environment.subject.variant);
        environment.noise = Some(Noise {
            seed: 1,
            cpu: Seen::Value(0),
            took_ms: 1,
            steal_ms: Seen::Value(0),
            preemptions: Seen::Value(0),
            preempted_batches: 0,
            pace: Some(Pace { core_ns, below_ns: 1000 }),
            unusual_batches: 0,
            frequency_khz: Seen::Unknown("no cpufreq".to_owned()),
            host_breakpoints: Seen::Value(0),
        });
        environment
    }

    #[test]
    fn an_environment_is_held_against_the_one_of_the_kernel_its_own_is_compared_with() {
        let with = |environments| RunInfo { environments, ..run("6.1-1", None) };
        let always = paced("always", 1000);
        let both = with(vec![paced("stock", 2000), always.clone()]);
        let pairs = [(always.subject.clone(), always.subject.clone())];
        let found = Surroundings::of(&both, &with(vec![always.clone()]), &pairs);
        assert_eq!(found.differ, [], "always is held against always, not against the first kernel");
        assert!(found.slower[0].abs() < 1e-9, "{:?}", found.slower);
        let slower = paced("always", 1500);
        let found = Surroundings::of(&both, &with(vec![slower]), &pairs);
        assert!((found.slower[0] - 0.5).abs() < 1e-9, "{:?}", found.slower);
    }

    #[test]
    fn targets_that_after_has_no_rows_of_are_named_and_so_is_what_to_do_if_none_is_shared() {
        let target = |cpu: &str| Target {
            vendor: Vendor::KvmAmd,
            machine: Machine::Native,
            cpu_model: cpu.to_owned(),
        };
        let [rome, milan, genoa] = ["Rome", "Milan", "Genoa"].map(target);
        assert_eq!(apart(&[&rome, &milan], &[&milan, &rome, &genoa]), [""; 0]);
        assert_eq!(
            apart(&[&rome], &[]),
            [""; 0],
            "that there are no rows at all is told elsewhere"
        );
        assert_eq!(
            apart(&[&rome, &milan, &genoa], &[&milan]),
            [
                "AFTER has no rows of kvm_amd on native, Rome: those of BEFORE are missing",
                "AFTER has no rows of kvm_amd on native, Genoa: those of BEFORE are missing",
            ]
        );
        let [all] = &apart(&[&rome, &milan], &[&genoa])[..] else { panic!("one line") };
        for part in
            ["native, Rome; kvm_amd on native, Milan", "native, Genoa", "runs of one machine"]
        {
            assert!(all.contains(part), "{part}: {all}");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(shown(&"é".repeat(100)).chars().count(), LONGEST + 1);
        assert!(shown(&"é".repeat(100)).ends_with('…'));
    }

    #[test]
    fn of_two_long_texts_the_words_that_are_alike_are_not_shown() {
        let (mut differ, long) = (Vec::new(), "é word ".repeat(20));
        note(&mut differ, "argv", &format!("{long}-cpu EPYC"), &format!("{long}-cpu Rome -s"));
        note(&mut differ, "argv", &long, &format!("{long}more"));
        let found: Vec<_> = differ.iter().map(|(_, one, other)| (&**one, &**other)).collect();
        assert_eq!(found, [("… EPYC", "… Rome -s"), ("… ", "… more")]);
    }
}
