//! How much of its time a guest loses, and where.

use std::collections::HashSet;

use crate::common::{failed, lab, lab_kernel, place, rows, told, verdict};
use reports::{Metric, Record, Source, Status, Value};

fn row<'a>(rows: &'a [Record], pattern: &str, every: u64, metric: &str) -> &'a Record {
    let metric: Metric = metric.parse().unwrap();
    let is = |row: &&Record| {
        let cell = &row.key.cell;
        (cell.workload.as_str(), cell.exits_every) == (pattern, every) && row.key.metric == metric
    };
    rows.iter().find(is).unwrap_or_else(|| panic!("{metric} of {pattern}"))
}

fn number(rows: &[Record], pattern: &str, every: u64, metric: &str) -> f64 {
    let row = row(rows, pattern, every, metric);
    assert_eq!(row.status, Status::Ok, "{}: {}", row.key, row.reason);
    row.value.map(Value::as_f64).unwrap()
}

fn parameter(rows: &[Record], name: &str) -> Option<u64> {
    row(rows, "none", 0, &format!("parameter:{name}")).value?.as_count()
}

#[test]
fn three_crossings_of_three_policies_are_told_and_what_a_model_was_told_beside_them() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "run");
    let run = lab(&out, &["--suite", "slowdown"]);
    assert_eq!(told(&run).0, Some(0), "{}", told(&run).1);
    let rows = rows(&out);
    assert_eq!(verdict(&rows), Some("lazy"));
    assert!(failed(&rows).is_empty(), "{:?}", failed(&rows));
    let keys: HashSet<_> = rows.iter().map(|row| &row.key).collect();
    assert_eq!(keys.len(), rows.len(), "each row has a key of its own");

    for pattern in ["dr7", "n:5", "scan", "linux-hwbp-1", "linux-hwbp-4", "windows"] {
        for policy in ["always", "lazy", "never"] {
            for percent in [1, 10, 40] {
                let row = row(&rows, pattern, 1, &format!("crossing:{policy}:{percent}"));
                assert_eq!(row.key.source, Source::Model);
                assert!(row.value.is_some() || row.reason.contains("at no rate"), "{row:?}");
            }
        }
        let first = |policy: &str| number(&rows, pattern, 1, &format!("crossing:{policy}:1"));
        assert!(first("always") < first("lazy") && first("lazy") < first("never"), "{pattern}");
        // What is measured says so.
        let source = |policy: &str| row(&rows, pattern, 1, &format!("lost:{policy}")).key.source;
        let sources = ["always", "lazy", "never"].map(source);
        assert_eq!(sources, [Source::Tsc, Source::Tsc, Source::Model]);
        // A lazy kernel's first access costs the same, whatever it is.
        let of_dr7 = number(&rows, "dr7", 1, "lost:lazy");
        let lost = number(&rows, pattern, 1, "lost:lazy");
        assert!(lost <= of_dr7 && lost > of_dr7 - 5.0, "{pattern}: {lost}, {of_dr7}");
        assert!(number(&rows, pattern, 1, "lost:never") > 0.0);
    }
    assert_eq!(parameter(&rows, "clock-hz"), Some(3_000_000_000));
    let world_switch = number(&rows, "none", 0, "parameter:world-switch-cycles");

    // Thirteen exits in a switch: the curve is what was measured, by the stated clock.
    let lost = number(&rows, "windows", 1, "lost:always") + 13.0 * world_switch;
    let share = number(&rows, "windows", 0, "share_lost:always:10000");
    assert!((share - 10_000.0 * lost / 3e9).abs() < 1e-6, "{share}");
    let crossing = number(&rows, "windows", 0, "crossing:always:10");
    assert!((crossing - (0.1 * 3e9 / lost).ceil()).abs() < 0.5, "{crossing}");

    // Lazy decays with other exits; never does not, but takes its toll of each of them.
    let surface = |policy: &str, exits: u64| {
        number(&rows, "windows", 0, &format!("share_lost:{policy}:10000:{exits}"))
    };
    assert!(surface("lazy", 100) < surface("lazy", 1000));
    assert!(surface("lazy", 10_000) > surface("never", 10_000));
    assert!((surface("always", 100) - surface("always", 10_000)).abs() < 1e-9);

    let table = String::from_utf8(run.stdout).unwrap();
    for told in ["windows", "always", "lazy", "never*", "░", "model", "1350 cycles", "3000 million"]
    {
        assert!(table.contains(told), "{told}: {table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    assert!(!table.contains('\u{1b}'), "no colours where there is no terminal");
}

#[test]
fn a_kernel_that_never_exits_shows_what_that_costs_and_has_no_lazy_figure() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "run");
    let words = ["--suite", "slowdown", "--world-switch-cycles", "1000", "--clock-mhz", "2000"];
    let run = lab_kernel("debian:6.1+never", &out, &words);
    assert_eq!(told(&run).0, Some(0), "{}", told(&run).1);
    let rows = rows(&out);
    assert_eq!(verdict(&rows), Some("never"));
    assert_eq!(row(&rows, "windows", 1, "lost:never").key.source, Source::Tsc);
    let lazy = row(&rows, "windows", 1, "crossing:lazy:1");
    assert_eq!((lazy.status, lazy.value), (Status::Skipped, None));
    assert!(lazy.reason.contains("policy is never"), "{}", lazy.reason);
    // Twelve MOVs and what decides about them, at least.
    let lost = number(&rows, "windows", 1, "lost:never");
    assert!(lost > 12.0 && lost < 500.0, "{lost}");
    assert_eq!(parameter(&rows, "world-switch-cycles"), Some(1_000));
    assert_eq!(parameter(&rows, "clock-hz"), Some(2_000_000_000));
}
