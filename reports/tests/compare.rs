//! Which differences a comparison sees.
#![allow(clippy::unwrap_used)]

mod common;

use common::{cell, exits, record};
use reports::compare::{Change, CompareError, Gate, Keep, Rule};
use reports::{
    Comparison, Outcome, Policy, Record, Rows, Source, Status, Style, Unit, Value, compare,
};

fn compared(before: &[Record], after: &[Record]) -> Comparison {
    try_compare(before, after).unwrap()
}

fn try_compare(before: &[Record], after: &[Record]) -> Result<Comparison, CompareError> {
    let before = Rows::of(before.iter().cloned().map(Ok), "BEFORE")?;
    let after = Rows::of(after.iter().cloned().map(Ok), "AFTER")?;
    compare(&before, &after, Keep::Differences)
}

fn noisy(mut record: Record) -> Record {
    record.deterministic = false;
    record
}

fn verdict(name: &str) -> Record {
    let cell = cell("anchors", 0, "none", 0, Policy::Kernel);
    record(&cell, "verdict", Source::None, Outcome::named(name))
}

#[track_caller]
fn only(comparison: &Comparison) -> &Change {
    assert_eq!(comparison.differences.len(), 1, "{comparison:?}");
    &comparison.differences[0].change
}

#[test]
fn equal_runs_of_two_kernels() {
    let before = [exits("windows", 3), verdict("lazy: all anchors")];
    let mut after = [exits("windows", 3), verdict("lazy: every anchor")];
    for row in &mut after {
        row.subject.kernel = "6.12.117".into();
        row.run.run_id = common::name("other");
    }
    let comparison = compared(&before, &after);
    assert_eq!((comparison.same, comparison.differences.len()), (2, 0));
    assert!(!comparison.is_regression());
}

#[test]
fn one_more_exit_is_a_change() {
    let comparison = compared(&[exits("windows", u64::MAX - 1)], &[exits("windows", u64::MAX)]);
    assert!(matches!(only(&comparison), Change::Changed { .. }));
    assert!(comparison.is_regression());
    assert!(comparison.render(None, Style::Plain).contains("+1 "));
}

#[test]
fn a_status_is_compared_too() {
    let mut failed = exits("windows", 3);
    failed.status = Status::Failed;
    failed.reason = "Four were predicted.".into();
    let comparison = compared(&[exits("windows", 3)], &[failed.clone()]);
    assert!(matches!(only(&comparison), Change::Changed { .. }));
    assert!(comparison.render(None, Style::Plain).contains("Four were predicted."));
    // Noise does not explain a failure.
    let comparison = compared(&[noisy(exits("windows", 9))], &[noisy(failed)]);
    assert!(comparison.is_regression());
}

#[test]
fn another_verdict_is_a_change() {
    let comparison = compared(&[verdict("always")], &[verdict("lazy")]);
    assert!(matches!(only(&comparison), Change::Changed { .. }));
    let text = comparison.render(None, Style::Plain);
    assert!(text.contains("always") && text.contains("lazy"), "{text}");
}

#[test]
fn missing_fails_and_new_does_not() {
    let comparison = compared(&[exits("windows", 3), exits("scan", 1)], &[exits("scan", 1)]);
    assert!(matches!(only(&comparison), Change::Missing { .. }));
    assert!(comparison.is_regression());
    let comparison = compared(&[exits("scan", 1)], &[exits("windows", 3), exits("scan", 1)]);
    assert!(matches!(only(&comparison), Change::New { .. }));
    assert!(!comparison.is_regression());
    assert!(compared(&[exits("scan", 1)], &[]).is_regression());
    assert!(!compared(&[], &[exits("scan", 1)]).is_regression());
}

#[test]
fn noisy_rows_are_counted() {
    let comparison = compared(&[noisy(exits("windows", 3))], &[noisy(exits("windows", 9))]);
    assert_eq!((comparison.noisy(), comparison.same), (1, 0));
    assert!(!comparison.is_regression());
    assert!(comparison.summary().contains("1 noisy without single values or an interval"));
}

/// So many single values of a noisy row, around this one.
fn samples_of(row: &Record, count: u32) -> Vec<reports::Sample> {
    let middle = row.value.unwrap().as_f64();
    let value = |batch: u32| Value::real(middle * (1.0 + f64::from(batch % 7) / 1000.0)).unwrap();
    (0..count).map(|batch| row.sample(0, batch, value(batch))).collect()
}

#[test]
fn noisy_rows_are_judged_by_their_single_values() {
    let row = |value| noisy(exits("windows", value));
    let judged = |before: u64, after: u64, count: u32| {
        let (before, after) = ([row(before)], [row(after)]);
        let mut comparison = compared(&before, &after);
        let (ours, theirs) = (samples_of(&before[0], count), samples_of(&after[0], count));
        comparison.judge(&ours, &theirs, Rule::default());
        comparison
    };
    let worse = judged(1000, 1050, 20);
    assert!(matches!(only(&worse), Change::Shifted { .. }) && worse.is_regression());
    assert!(worse.render(None, Style::Plain).contains("worse "), "{worse:?}");
    let better = judged(1000, 950, 20);
    assert!(better.differences[0].is_better() && !better.is_regression());
    let same = judged(1000, 1005, 20);
    assert_eq!((same.noisy_same, same.noisy(), same.differences.len()), (1, 0, 0));
    let few = judged(1000, 1050, 2);
    assert_eq!((few.cannot_tell, few.differences.len()), (1, 0));
    assert_eq!(judged(1000, 1050, 0).noisy(), 1, "no single values, no judgement");
}

#[test]
fn the_worst_comes_first_and_what_is_better_last() {
    let before = [exits("a", 100), exits("b", 100), exits("c", 100), exits("d", 100)];
    let after = [exits("a", 50), exits("b", 101), exits("c", 200), exits("new", 1)];
    let comparison = compared(&before, &after);
    let order: Vec<_> =
        comparison.worst_first().map(|it| it.key.cell.workload.to_string()).collect();
    assert_eq!(order, ["d", "c", "b", "new", "a"]);
    let markdown = comparison.markdown(None);
    assert!(markdown.starts_with("**Worse.**"), "{markdown}");
    assert!(markdown.contains(r"| better | kvm\_amd, policy: a a=12"), "{markdown}");
}

#[test]
fn determinism_on_one_side_is_told() {
    let comparison = compared(&[exits("windows", 3)], &[noisy(exits("windows", 3))]);
    assert!(matches!(only(&comparison), Change::Determinism { .. }));
    assert!(comparison.is_regression());
    assert!(comparison.summary().contains("deterministic on one side only"));
}

#[test]
fn duplicates_are_refused() {
    let row = exits("windows", 3);
    let twice = [row.clone(), row.clone()];
    let one = [row];
    for (before, after, side) in
        [(&twice[..], &one[..], "BEFORE"), (&one, &twice, "AFTER"), (&[], &twice, "AFTER")]
    {
        let text = try_compare(before, after).unwrap_err().to_string();
        assert!(text.starts_with(side) && text.contains("two rows"), "{text}");
    }
}

#[test]
fn several_kernels_are_joined_by_name() {
    let mut other = exits("windows", 3);
    other.subject.variant = "never".into();
    let matrix = [exits("windows", 3), other.clone()];
    assert_eq!(compared(&matrix, &matrix).same, 2);
    let comparison = compared(&matrix, &matrix[1..]);
    assert!(matches!(only(&comparison), Change::Missing { .. }));
    assert_eq!(comparison.differences[0].subject.variant, "stock");
    let comparison = compared(&[other], &matrix);
    assert_eq!(comparison.same, 1, "never with never");
    assert!(matches!(only(&comparison), Change::New { .. }), "stock is new");
}

/// A row of a kernel.
fn of(kernel: &str, variant: &str) -> Record {
    let mut row = exits("windows", 3);
    row.subject.kernel = kernel.into();
    row.subject.kernel_id = format!("{kernel}-1");
    row.subject.variant = variant.into();
    row
}

fn pairs(before: &[Record], after: &[Record]) -> Vec<String> {
    let comparison = compared(before, after);
    let pair = |(a, b): &(reports::Subject, reports::Subject)| {
        format!("{} {} - {} {}", a.kernel, a.variant, b.kernel, b.variant)
    };
    assert_eq!(comparison.same, comparison.pairs.len());
    comparison.pairs.iter().map(pair).collect()
}

#[test]
fn updated_kernels_of_a_matrix_are_joined_by_series_and_variant() {
    let before = [of("6.1.192", "stock"), of("6.1.192", "never"), of("6.12.9", "stock")];
    let after = [of("6.12.10", "stock"), of("6.1.193", "never"), of("6.1.193", "stock")];
    let expected = [
        "6.12.9 stock - 6.12.10 stock",
        "6.1.192 never - 6.1.193 never",
        "6.1.192 stock - 6.1.193 stock",
    ];
    assert_eq!(pairs(&before, &after), expected);
    let text = compared(&before, &after).render(None, Style::Plain);
    assert!(text.contains("compared: 6.1.192 (6.1.192-1, never) with 6.1.193"), "{text}");
}

#[test]
fn patched_kernels_of_a_matrix_are_joined_with_their_packages() {
    let before = [of("6.1.192", "stock"), of("6.12.9", "stock")];
    let after = [of("6.1.192", "fix.patch"), of("6.12.9", "fix.patch")];
    assert_eq!(
        pairs(&before, &after),
        ["6.1.192 stock - 6.1.192 fix.patch", "6.12.9 stock - 6.12.9 fix.patch"]
    );
    assert_eq!(pairs(&before, &[of("7.3.4", "never"), before[0].clone()]).len(), 1);
}

#[test]
fn kernels_that_could_be_either_are_not_guessed() {
    let before = [of("6.1.190", "stock"), of("6.1.191", "stock")];
    let error = try_compare(&before, &[of("6.1.192", "stock")]).unwrap_err();
    assert!(matches!(error, CompareError::Unpaired { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("6.1.191-1") && text.contains("6.1.192-1"), "{text}");
    assert!(text.contains("which"), "{text}");
}

#[test]
fn a_side_that_cannot_be_read() {
    let broken = reports::Reader::new("x\n".as_bytes(), "b.csv").unwrap_err();
    let error = Rows::of([Err(broken)], "BEFORE").unwrap_err();
    assert!(error.to_string().contains("b.csv"), "{error}");
    let twice = [exits("windows", 3), exits("windows", 4)];
    let error = try_compare(&[], &twice).unwrap_err();
    assert!(error.to_string().starts_with("AFTER holds two rows"), "{error}");
}

#[test]
fn everything_is_kept_when_it_is_asked_for() {
    let rows = [exits("windows", 3), noisy(exits("scan", 9)), exits("n:5", 1)];
    let table = |rows: &[Record]| Rows::of(rows.iter().cloned().map(Ok), "it").unwrap();
    let mut all = compare(&table(&rows), &table(&rows[..2]), Keep::Everything).unwrap();
    all.judge(&samples_of(&rows[1], 20), &samples_of(&rows[1], 20), Rule::default());
    assert!(matches!(only(&all), Change::Missing { .. }));
    let kept: Vec<_> = all.rest.iter().map(|row| row.key.cell.workload.as_str()).collect();
    assert_eq!(kept, ["windows", "scan"]);
    assert!(all.rest.iter().all(|row| matches!(row.change, Change::Same { .. })));
}

#[test]
fn the_text() {
    let cell = cell("linux-hwbp-4", 10, "cpuid", 1, Policy::GuestDebug);
    let cost = |value| {
        let value = Value::real(value).unwrap();
        record(&cell, "instructions", Source::Tsc, Outcome::ok(value))
    };
    let before = [verdict("lazy"), cost(3136.4375), exits("windows", 3), exits("scan", 1)];
    let after = [verdict("never"), cost(3140.5), exits("n:5", 3), exits("scan", 1)];
    let text = compared(&before, &after).render(None, Style::Plain);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(!text.contains('\u{1b}'));
    assert_eq!(text, include_str!("golden/compare.txt"));
}

/// A row whose value is known, but not confirmed by another counter.
fn unconfirmed(row: Record) -> Record {
    Record { status: Status::Unconfirmed, reason: "one counter only".to_owned(), ..row }
}

#[test]
fn what_is_surer_is_better_and_what_is_less_sure_is_changed() {
    let row = || exits("windows", 4);
    let surer = compared(&[unconfirmed(row())], &[row()]);
    assert!(surer.differences[0].is_better() && !surer.is_regression());
    let less = compared(&[row()], &[unconfirmed(row())]);
    assert!(less.is_regression());
    assert!(!less.differences[0].is_worse(), "its value is the same");
    assert!(less.render(None, Style::Plain).contains("changed "), "{less:?}");
    let dearer = compared(&[unconfirmed(row())], &[exits("windows", 5)]);
    assert!(dearer.differences[0].is_worse() && dearer.is_regression());
    let had_none = Record { value: None, status: Status::Skipped, ..unconfirmed(row()) };
    let had = compared(&[had_none], &[row()]);
    assert!(matches!(only(&had), Change::New { .. }) && !had.is_regression());
}

#[test]
fn another_unit_is_a_change_that_names_both() {
    let ns = Record { unit: Unit::Ns, ..exits("windows", 4) };
    let text = compared(&[exits("windows", 4)], &[ns]).render(None, Style::Plain);
    assert!(text.contains("changed ") && text.contains("exits → ns"), "{text}");
}

#[test]
fn without_single_values_noisy_rows_are_judged_by_their_intervals_and_that_is_said() {
    let row = |middle: u64| Record {
        ci_low: Some(Value::count(middle - 2)),
        ci_high: Some(Value::count(middle + 2)),
        ..noisy(exits("windows", middle))
    };
    let judged = |before: u64, after: u64| {
        let mut comparison = compared(&[row(before)], &[row(after)]);
        comparison.judge(&[], &[], Rule::default());
        comparison
    };
    let worse = judged(1000, 1050);
    assert!(worse.is_regression() && worse.is_whole());
    assert!(worse.summary().contains("1 noisy rows were judged by the intervals"), "{worse:?}");
    assert!(judged(1050, 1000).differences[0].is_better());
    assert_eq!(judged(1000, 1003).noisy_same, 1);
}

#[test]
fn a_gate_tells_what_it_let_pass_what_it_could_not_hold_and_limits_that_fit_nothing() {
    let open = |row: Record| Record { status: Status::Unresolved, ..unconfirmed(row) };
    let before = [exits("a", 4), exits("b", 4), exits("c", 4)];
    let after = [exits("a", 5), open(exits("b", 4)), exits("c", 5)];
    let gate = Gate::parse(
        "[[limit]]\nworkload = \"a\"\nallowed = true\n\
         [[limit]]\nmetric = \"exit\"\nrelative = 0.0\n\
         [[limit]]\nrelative = 0.5\n",
    )
    .unwrap();
    let mut comparison = compared(&before, &after);
    comparison.gate(&gate);
    assert!(!comparison.is_regression() && !comparison.is_whole());
    let said = comparison.summary();
    let limits =
        "Limits: 1 within theirs, 1 allowed to differ, 1 that could not be held to theirs.";
    assert!(said.ends_with(limits), "{said}");
    let [before, after] =
        [before, after].map(|rows| Rows::of(rows.into_iter().map(Ok), "a side").unwrap());
    assert_eq!(gate.idle(&before, &after), [2]);
}

#[test]
fn a_kernel_s_name_cannot_forge_lines_of_the_comparison() {
    let named = |id: &str| {
        let mut row = exits("windows", 4);
        row.subject.kernel_id = id.to_owned();
        row
    };
    let text =
        compared(&[named("x")], &[named("x)\n\nRows: 736 equal.")]).render(None, Style::Plain);
    assert!(!text.contains("\nRows: 736 equal."), "{text}");
}
