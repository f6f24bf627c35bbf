//! `--repeat N`: a cell's boots must agree in every digit.

use std::collections::HashMap;
use std::fmt;

use reports::{Key, Record};

/// The name of the check that fails when boots differ.
pub const CHECK: &str = "repeat";

/// The first thing in which a later boot differs from the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    key: Key,
    boot: u32,
    first: String,
    later: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, boot, first, later } = self;
        write!(f, "boot {boot} differs from boot 1 in {key}: {later} instead of {first}")
    }
}

/// Holds the rows of a later boot against the first's. Rows that nobody calls deterministic, on
/// either side, may differ.
pub fn difference(first: &[Record], later: &[Record], boot: u32) -> Option<Difference> {
    let by_key = |rows: &[Record]| -> HashMap<Key, Record> {
        rows.iter().map(|row| (row.key.clone(), row.clone())).collect()
    };
    let (known, found) = (by_key(first), by_key(later));
    let keys = first.iter().chain(later.iter().filter(|row| !known.contains_key(&row.key)));
    for Record { key, .. } in keys {
        let (one, other) = (known.get(key), found.get(key));
        let exact = [one, other].into_iter().flatten().any(|row| row.deterministic);
        if exact && one != other {
            let (first, later) = (said(one), said(other));
            return Some(Difference { key: key.clone(), boot, first, later });
        }
    }
    None
}

fn said(row: Option<&Record>) -> String {
    let Some(row) = row else { return "no such row".to_owned() };
    let value = row.value.map(|value| format!("{value} {}", row.unit));
    let predicted = row.predicted.map(|predicted| format!(" (predicted {predicted})"));
    let status = format!("{} {}", row.status, row.reason);
    let parts = [value.unwrap_or_default() + &predicted.unwrap_or_default(), status];
    let parts: Vec<_> =
        parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    format!("{} of {} samples", parts.join(", "), row.samples)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use reports::{Metric, Outcome, Source, Value};

    fn row(metric: Metric, value: u64, deterministic: bool) -> Record {
        let word = |text: &str| text.parse::<reports::Name>().unwrap();
        let key = Key {
            target: Arc::new(reports::Target {
                vendor: reports::Vendor::KvmAmd,
                machine: reports::Machine::Bochs,
                cpu_model: "ryzen".to_owned(),
            }),
            cell: Arc::new(reports::Cell {
                suite: word("policy"),
                workload: word("dr7"),
                policy: reports::Policy::Kernel,
                interposed: word("none"),
                exits_every: 0,
                armed: false,
                vcpus: 1,
                accesses: 1,
                work: 0,
                switches: 4,
            }),
            metric,
            source: Source::Statistics,
        };
        let subject = reports::Subject {
            kernel: "6.1".to_owned(),
            kernel_id: "6.1-1".to_owned(),
            variant: "stock".to_owned(),
        };
        let run = reports::Run {
            run_id: word("run"),
            started_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        Record { deterministic, ..Record::new(run, subject, key, Outcome::ok(Value::count(value))) }
    }

    #[test]
    fn the_first_row_that_differs_is_named_with_both_values() {
        let first = [row(Metric::Exits, 2, true), row(Metric::DrExits, 1, true)];
        assert_eq!(difference(&first, &first, 2), None);
        let later = [row(Metric::Exits, 2, true), row(Metric::DrExits, 17, true)];
        let told = difference(&first, &later, 3).unwrap().to_string();
        assert!(told.contains("boot 3") && told.contains("dr_exits"), "{told}");
        assert!(told.contains("17") && told.contains("instead of 1 "), "{told}");
    }

    #[test]
    fn a_row_too_few_or_too_many_differs() {
        let both = [row(Metric::Exits, 2, true), row(Metric::DrExits, 1, true)];
        for (first, later) in [(&both[..], &both[..1]), (&both[..1], &both[..])] {
            let told = difference(first, later, 2).unwrap().to_string();
            assert!(told.contains("no such row"), "{told}");
        }
    }

    #[test]
    fn what_is_not_deterministic_may_differ() {
        let rows = |value| [row(Metric::Exits, value, false)];
        assert_eq!(difference(&rows(1), &rows(2), 2), None);
        let exact = [row(Metric::Exits, 2, true)];
        assert!(difference(&rows(2), &exact, 2).is_some(), "exact on one side is a difference");
    }
}
