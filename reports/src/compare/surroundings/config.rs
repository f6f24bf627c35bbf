//! In what the configurations of two kernels differ.

use super::{NOTHING, note};
use crate::store::{Config, Environment, Seen, bearing};
use std::collections::BTreeSet;

/// Options that are told one by one.
const MOST: usize = 10;

/// Which configuration it is, to stand behind the machine; nothing of a run that does not tell.
pub(super) fn told(environment: &Environment) -> String {
    match &environment.config {
        None => String::new(),
        Some(Seen::Value(config)) => format!(", config {} ({})", sum(config), config.source),
        Some(Seen::Unknown(why)) => format!(", config unknown: {why}"),
    }
}

/// Tells each option that is another, up to [`MOST`], those that people choose first; if none is, that the
/// texts are not the same. What only one of the two knows is no difference.
pub(super) fn note_config(
    differ: &mut Vec<(String, String, String)>,
    before: &Environment,
    after: &Environment,
) {
    let config = |side: &Environment| side.config.as_ref().and_then(Seen::value).cloned();
    let Some((before, after)) = config(before).zip(config(after)) else { return };
    let names: BTreeSet<_> = before.options.keys().chain(after.options.keys()).collect();
    let names =
        names.into_iter().filter(|name| before.options.get(*name) != after.options.get(*name));
    let mut names: Vec<&String> = names.collect();
    names.sort_by_key(|name| bearing(name));
    let value = |side: &Config, name: &String| {
        side.options.get(name).map_or_else(|| NOTHING.to_owned(), Clone::clone)
    };
    for name in names.iter().take(MOST) {
        note(differ, name, &value(&before, name), &value(&after, name));
    }
    let what = match names.len().checked_sub(MOST) {
        Some(more @ 1..) => format!("config, and {more} more options"),
        _ if names.is_empty() => "config, in other options".to_owned(),
        _ => return,
    };
    note(differ, &what, &sum(&before), &sum(&after));
}

/// The first digits of its checksum.
fn sum(config: &Config) -> String {
    config.sha256.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Machine, Subject, Target, Vendor};

    /// An environment of a kernel with so many options of KVM set to a value, and a text of this checksum.
    fn environment(options: usize, value: &str, sum: &str) -> Environment {
        let subject = Subject {
            kernel: "6.1".to_owned(),
            kernel_id: "6.1-1".to_owned(),
            variant: "stock".to_owned(),
        };
        let target = Target {
            vendor: Vendor::KvmAmd,
            machine: Machine::QemuTcg,
            cpu_model: "EPYC".to_owned(),
        };
        let options = (0..options).map(|number| format!("CONFIG_KVM_{number:02}={value}"));
        let text = options.collect::<Vec<_>>().join("\n");
        let config = Config::of("package", sum.to_owned(), &text);
        Environment { config: Some(Seen::Value(config)), ..Environment::new(subject, target) }
    }

    fn differ(before: &Environment, after: &Environment) -> Vec<String> {
        let mut differ = Vec::new();
        note_config(&mut differ, before, after);
        differ
            .into_iter()
            .map(|(name, ours, theirs)| format!("{name}: {ours} → {theirs}"))
            .collect()
    }

    #[test]
    fn each_option_that_differs_is_told_and_of_many_how_many_more() {
        let before = environment(2, "y", "aa");
        assert_eq!(
            differ(&before, &environment(1, "m", "bb")),
            ["CONFIG_KVM_00: y → m", "CONFIG_KVM_01: y → none"]
        );
        let many = differ(&environment(13, "y", "aa"), &environment(13, "m", "bb"));
        assert_eq!(many.len(), MOST + 1, "{many:?}");
        assert_eq!(many[MOST], "config, and 3 more options: aa → bb");
    }

    #[test]
    fn what_people_choose_is_told_before_what_follows_from_kvms_version() {
        let before = environment(MOST, "y", "aa");
        let text = "CONFIG_PREEMPT_VOLUNTARY=y\n";
        let config = Seen::Value(Config::of("package", "bb".to_owned(), text));
        let after = Environment { config: Some(config), ..before.clone() };
        let told = differ(&before, &after);
        assert_eq!(told[0], "CONFIG_PREEMPT_VOLUNTARY: none → y");
        assert_eq!(told[MOST], "config, and 1 more options: aa → bb");
    }

    #[test]
    fn texts_that_differ_elsewhere_are_told_by_their_checksums_and_equal_ones_not_at_all() {
        let before = environment(2, "y", "aa");
        assert_eq!(
            differ(&before, &environment(2, "y", "bb")),
            ["config, in other options: aa → bb"]
        );
        assert_eq!(differ(&before, &before), [""; 0]);
    }

    #[test]
    fn a_configuration_that_only_one_side_knows_is_no_difference_and_is_told_with_its_reason() {
        let known = environment(2, "y", "aa");
        let old = Environment { config: None, ..known.clone() };
        let unknown =
            Environment { config: Some(Seen::Unknown("no place".to_owned())), ..known.clone() };
        assert_eq!(differ(&old, &known), [""; 0]);
        assert_eq!(differ(&known, &unknown), [""; 0]);
        assert_eq!(told(&known), ", config aa (package)");
        assert_eq!(told(&unknown), ", config unknown: no place");
        assert_eq!(told(&old), "");
    }
}
