//! The summary table and the picture, as a person sees them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{cell, fits, name, record};
use reports::{
    ChartError, Machine, Metric, Outcome, Policy, Record, Source, Status, Style, Unit, Value,
    Vendor, cost_chart, summary_table,
};
use std::sync::Arc;

/// A kernel on a target, and what its policy run gave: the verdict, DR exits per switch with CPUID,
/// instructions per DR exit and per CPUID exit.
struct Run {
    kernel: &'static str,
    variant: &'static str,
    vendor: Vendor,
    verdict: &'static str,
    dr_exits: u64,
    dr_exit: u64,
    cpuid: u64,
}

const SWITCHES: u64 = 200;

impl Run {
    fn rows(&self) -> Vec<Record> {
        let per_switch = |total: u64| Value::ratio(total, 2).unwrap();
        let mut rows = vec![row(
            ("n:5", 5, "none", 0, Policy::Kernel),
            "verdict",
            Source::None,
            Outcome::named(self.verdict),
        )];
        let mut cell = |workload, accesses, interposed, every, policy, dr: u64, other: u64| {
            let cell = (workload, accesses, interposed, every, policy);
            // Without any exit, a switch costs three and a half instructions.
            let cost = 7 + 2 * (dr * self.dr_exit + other * self.cpuid);
            rows.extend([
                row(cell, "dr_exits", Source::Tracepoint, Outcome::ok(dr * SWITCHES)),
                row(cell, "interposed_exits", Source::Tracepoint, Outcome::ok(other * SWITCHES)),
                row(cell, "instructions", Source::Tsc, Outcome::ok(per_switch(cost))),
                row(cell, "host_cycles", Source::Pmu, Outcome::skipped("No PMU.")),
            ]);
        };
        cell("none", 0, "none", 0, Policy::Kernel, 0, 0);
        cell("none", 0, "cpuid", 1, Policy::Kernel, 0, 1);
        cell("n:5", 5, "cpuid", 1, Policy::Kernel, self.dr_exits, 1);
        cell("n:5", 5, "none", 0, Policy::GuestDebug, 5, 0);
        for row in &mut rows {
            row.subject.kernel = self.kernel.split('-').next().unwrap().into();
            row.subject.kernel_id = self.kernel.into();
            row.subject.variant = self.variant.into();
            Arc::make_mut(&mut row.key.target).vendor = self.vendor;
            if self.vendor == Vendor::KvmIntel {
                Arc::make_mut(&mut row.key.target).machine = Machine::Bochs;
                Arc::make_mut(&mut row.key.target).cpu_model = "corei7_skylake_x".into();
            }
        }
        // A user's own cells beside it must not be mistaken for the suite's.
        let mut others = rows.clone();
        others.retain(|row| row.value.is_some());
        for row in &mut others {
            Arc::make_mut(&mut row.key.cell).switches = 2;
            row.value = Some(Value::count(999_999));
        }
        rows.extend(others);
        rows
    }
}

fn row(
    (workload, accesses, interposed, every, policy): (&str, u64, &str, u64, Policy),
    metric: &str,
    source: Source,
    outcome: Outcome,
) -> Record {
    record(&cell(workload, accesses, interposed, every, policy), metric, source, outcome)
}

fn run(kernel: &'static str, variant: &'static str, vendor: Vendor) -> Run {
    let (verdict, dr_exits) = match variant {
        "always" => ("always", 5),
        "never" => ("never", 0),
        _ => ("lazy", 1),
    };
    let cpuid = if variant == "never" { 2900 } else { 2728 };
    let dr_exit = if vendor == Vendor::KvmAmd { 3154 } else { 1077 };
    Run { kernel, variant, vendor, verdict, dr_exits, dr_exit, cpuid }
}

/// Two kernels, three variants, two vendors, in no order.
fn matrix() -> Vec<Record> {
    let mut rows = Vec::new();
    for kernel in ["6.12.117-1~deb12u1", "6.1.192-2"] {
        for variant in ["never", "third.patch", "stock", "always"] {
            for vendor in [Vendor::KvmIntel, Vendor::KvmAmd] {
                rows.extend(run(kernel, variant, vendor).rows());
            }
        }
    }
    rows
}

fn of<'a>(rows: &'a mut [Record], metric: &str, workload: &str, policy: Policy) -> &'a mut Record {
    let metric: Metric = metric.parse().unwrap();
    rows.iter_mut()
        .find(|row| {
            let cell = &row.key.cell;
            row.key.metric == metric
                && (cell.workload.as_str(), cell.policy) == (workload, policy)
                && cell.switches == SWITCHES
        })
        .unwrap()
}

/// The words of the table's line that begins with `kernel`.
fn line(text: &str, kernel: &str) -> Vec<String> {
    let line =
        text.lines().find(|line| line.starts_with(kernel)).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_matrix() {
    let text = summary_table(&matrix(), Style::Plain);
    fits(&text);
    assert_eq!(text, include_str!("golden/summary.txt"));
    let mut other_order = matrix();
    other_order.reverse();
    assert_eq!(summary_table(&other_order, Style::Plain), text);
}

#[test]
fn what_went_wrong_is_shown_with_its_reason() {
    let mut rows = matrix();
    rows.retain(|row| row.key.target.vendor == Vendor::KvmAmd && row.subject.variant != "never");
    // An unknown policy, its cells unjudged.
    let patched = rows.iter().position(|row| row.subject.variant == "third.patch").unwrap();
    rows[patched].status = Status::Failed;
    rows[patched].reason = "unknown: n:5, cpuid/1 gave 2 DR exits; lazy predicts 4".into();
    // A cell that failed, one too disturbed, one without any value.
    let stock =
        |row: &&mut Record| row.subject.variant == "stock" && row.subject.kernel == "6.1.192";
    let mut stock: Vec<_> = rows.iter_mut().filter(stock).map(|row| row.clone()).collect();
    let failed = of(&mut stock, "dr_exits", "n:5", Policy::Kernel);
    (failed.status, failed.reason) = (Status::Failed, "3 more than predicted.".into());
    let unresolved = of(&mut stock, "instructions", "n:5", Policy::GuestDebug);
    unresolved.status = Status::Unresolved;
    unresolved.reason = "no two undisturbed batches were alike".into();
    let skipped = of(&mut stock, "interposed_exits", "none", Policy::Kernel);
    Arc::make_mut(&mut skipped.key.cell).interposed = name("cpuid");
    rows.retain(|row| row.subject.variant != "stock" || row.subject.kernel != "6.1.192");
    rows.extend(stock);
    // A kernel that did not boot.
    let mut dead = run("7.3.4-1", "stock", Vendor::KvmAmd).rows();
    dead.retain(|row| row.key.cell.switches == SWITCHES);
    for row in &mut dead {
        row.value = None;
        row.status = Status::Failed;
        row.reason = "the kernel did not reach its init within 300 s".into();
    }
    dead[0].status = Status::Unresolved;
    dead[0].reason = "unresolved: the kernel did not reach its init within 300 s".into();
    rows.extend(dead);
    let text = summary_table(&rows, Style::Plain);
    fits(&text);
    assert_eq!(text, include_str!("golden/summary-trouble.txt"));
    assert!(summary_table(&rows, Style::Coloured).contains("\u{1b}["));
}

#[test]
fn figures_that_cannot_be_had_are_dashes() {
    let mut rows = run("6.1.192-2", "stock", Vendor::KvmAmd).rows();
    let all = line(&summary_table(&rows, Style::Plain), "6.1.192-2");
    assert_eq!(all[4..9], ["lazy", "1", "3154", "5885.5", "2728"]);
    // A run of one workload: no cell with CPUID.
    rows.retain(|row| row.key.cell.interposed.as_str() == "none");
    let some = line(&summary_table(&rows, Style::Plain), "6.1.192-2");
    assert_eq!(some[4..9], ["lazy", "–", "3154", "–", "–"]);
    // Nothing exits where the guest is interpreted: no division by zero.
    of(&mut rows, "dr_exits", "n:5", Policy::GuestDebug).value = Some(Value::count(0));
    let none = line(&summary_table(&rows, Style::Plain), "6.1.192-2");
    assert_eq!(none[4..9], ["lazy", "–", "–", "–", "–"]);
    // No verdict, no section length: nothing can be said.
    rows.retain(|row| row.key.metric != Metric::Verdict);
    let nothing = line(&summary_table(&rows, Style::Plain), "6.1.192-2");
    assert_eq!(nothing[4..9], ["–", "–", "–", "–", "–"]);
    // A row of zero switches.
    for row in &mut rows {
        Arc::make_mut(&mut row.key.cell).switches = 0;
    }
    let text = summary_table(&rows, Style::Plain);
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    assert!(summary_table(&[], Style::Plain).contains("no results"));
}

/// The same run on hardware.
fn native() -> Vec<Record> {
    let mut rows = run("6.1.192-2", "stock", Vendor::KvmIntel).rows();
    for row in &mut rows {
        Arc::make_mut(&mut row.key.target).machine = Machine::Native;
        Arc::make_mut(&mut row.key.target).cpu_model = "Some CPU @ 3 GHz".into();
        row.deterministic = false;
        if row.key.metric == Metric::Instructions {
            row.key.metric = Metric::Ns;
            row.unit = Unit::Ns;
        }
    }
    rows
}

#[test]
fn units_are_never_mixed_silently() {
    let text = summary_table(&native(), Style::Plain);
    fits(&text);
    assert!(text.contains("ns/") && !text.contains("instr.") && !text.contains("Lab"), "{text}");
    let both = [native(), run("6.1.192-2", "stock", Vendor::KvmAmd).rows()].concat();
    let text = summary_table(&both, Style::Plain);
    fits(&text);
    assert!(text.contains("cost/") && text.contains("not comparable"), "{text}");
    assert!(text.contains(" ns ") && text.contains(" instr. "), "{text}");
}

#[test]
fn cpu_models_are_told_apart() {
    let mut rows = run("6.1.192-2", "stock", Vendor::KvmIntel).rows();
    let mut other = rows.clone();
    for row in &mut other {
        Arc::make_mut(&mut row.key.target).cpu_model = "broadwell_ult".into();
    }
    rows.extend(other);
    let text = summary_table(&rows, Style::Plain);
    fits(&text);
    assert!(text.contains("broadwell_ult") && text.contains("corei7_skylake_x"), "{text}");
    assert!(!text.contains("CPU models:"), "{text}");
}

#[test]
fn the_picture_has_a_line_for_each_vendor() {
    let mut rows = matrix();
    rows.extend(run("5.10.262-1", "stock", Vendor::KvmAmd).rows());
    let svg = cost_chart(&rows).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    for text in [
        "<title id=\"title\">What one DR exit costs, in instructions",
        "Instructions, not cycles",
        "without decode assists, through the instruction emulator",
        "kvm_amd on qemu-tcg: 5.10.262: 3154, 6.1.192: 3154, 6.12.117: 3154.",
        "kvm_intel on bochs: 5.10.262: not measured, 6.1.192: 1077, 6.12.117: 1077.",
    ] {
        assert!(svg.contains(text), "`{text}` is not in: {svg}");
    }
    // Five points, and the same picture every time.
    assert_eq!(svg.matches("<circle").count(), 5);
    rows.reverse();
    assert_eq!(cost_chart(&rows).unwrap(), svg);
}

#[test]
fn the_picture_names_packages_where_a_version_has_several() {
    let mut rows = run("6.12.90-1~bpo12+1", "stock", Vendor::KvmIntel).rows();
    rows.extend(run("6.12.90-1", "stock", Vendor::KvmIntel).rows());
    let svg = cost_chart(&rows).unwrap();
    assert!(svg.contains("6.12.90-1~bpo12+1: 1077, 6.12.90-1: 1077"), "{svg}");
    assert!(!svg.contains("decode assists"), "Intel needs none");
}

#[test]
fn hostile_names_do_not_break_the_picture() {
    let mut rows = run("6.1.192-2", "stock", Vendor::KvmAmd).rows();
    for row in &mut rows {
        row.subject.kernel = "<script>&\u{1b}".into();
    }
    let svg = cost_chart(&rows).unwrap();
    assert!(!svg.contains("<script>") && !svg.contains('\u{1b}'), "{svg}");
    assert!(svg.contains("&lt;script&gt;&amp;"), "{svg}");
}

#[test]
fn no_picture_without_figures() {
    let none = cost_chart(&[]).unwrap_err();
    assert!(matches!(none, ChartError::NoFigures { why: None }), "{none}");
    assert!(cost_chart(&native()).is_err(), "nanoseconds are no instructions");
    assert!(cost_chart(&run("6.1.192-2", "always", Vendor::KvmAmd).rows()).is_err());
    let mut rows = run("6.1.192-2", "stock", Vendor::KvmAmd).rows();
    let cost = of(&mut rows, "instructions", "n:5", Policy::GuestDebug);
    (cost.status, cost.reason) = (Status::Unresolved, "too disturbed".into());
    let error = cost_chart(&rows).unwrap_err().to_string();
    assert!(error.contains("too disturbed") && error.contains("drbench run"), "{error}");
}
