//! Any record there can be.

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use reports::{
    Cell, Key, Machine, Metric, Name, Policy, Record, Run, Source, Status, Subject, Target, Unit,
    Value, Vendor,
};

pub fn a_name() -> impl Strategy<Value = Name> {
    "[a-zA-Z0-9._:+-]{1,64}".prop_map(|text| text.parse().unwrap())
}

/// Commas, quotes, line ends, formulas, other scripts, control characters.
pub fn a_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[,\"\r\n \u{0}=\u{feff}ab]{0,20}",
        Just("=HYPERLINK(\"x\",\"y\")\r\n".to_owned()),
    ]
}

pub fn a_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::count),
        any::<f64>().prop_filter_map("finite", Value::real),
        (any::<u64>(), 1..10_000_u64).prop_filter_map("ratio", |(a, b)| Value::ratio(a, b)),
    ]
}

pub fn a_metric() -> impl Strategy<Value = Metric> {
    prop_oneof![
        select(vec![Metric::Exits, Metric::DrExits, Metric::InterposedExits, Metric::AsyncExits]),
        select(vec![Metric::GuestCycles, Metric::Instructions, Metric::HostCycles, Metric::Ns]),
        select(vec![Metric::ShareLost, Metric::Verdict, Metric::PlayedSwitches, Metric::WarmUp]),
        select(vec![Metric::RecordedNs, Metric::TakenPerSecond, Metric::LostPerSecond]),
        a_name().prop_map(Metric::ExitsBy),
        a_name().prop_map(Metric::Fastpath),
        a_name().prop_map(Metric::ShareLostAt),
        a_name().prop_map(Metric::Crossing),
        a_name().prop_map(Metric::Lost),
        a_name().prop_map(Metric::Parameter),
        a_name().prop_map(Metric::Check),
    ]
}

pub fn a_cell() -> impl Strategy<Value = Cell> {
    let names = (a_name(), a_name(), a_name(), select(Policy::ALL));
    let numbers = any::<(u64, bool, u32, u64, u64, u64)>();
    (names, numbers).prop_map(|((suite, workload, interposed, policy), numbers)| {
        let (exits_every, armed, vcpus, accesses, work, switches) = numbers;
        Cell {
            suite,
            workload,
            policy,
            interposed,
            exits_every,
            armed,
            vcpus,
            accesses,
            work,
            switches,
        }
    })
}

pub fn a_key() -> impl Strategy<Value = Key> {
    let target = (select(Vendor::ALL), select(Machine::ALL), a_text())
        .prop_map(|(vendor, machine, cpu_model)| Target { vendor, machine, cpu_model });
    (target, a_cell(), a_metric(), select(Source::ALL)).prop_map(
        |(target, cell, metric, source)| Key {
            target: target.into(),
            cell: cell.into(),
            metric,
            source,
        },
    )
}

pub fn a_run() -> impl Strategy<Value = Run> {
    let second = Timestamp::MIN.as_second()..Timestamp::MAX.as_second();
    (a_name(), second, 0..1_000_000_000_i32).prop_map(|(run_id, second, nanosecond)| {
        // Before 1970 seconds and their fraction must have one sign.
        let nanosecond = if second < 0 { -nanosecond } else { nanosecond };
        let started_at = Timestamp::new(second, nanosecond).unwrap_or(Timestamp::MIN);
        Run { run_id, started_at }
    })
}

/// Any record that does not contradict itself.
pub fn a_record() -> impl Strategy<Value = Record> {
    let subject = (a_text(), a_text(), a_text()).prop_map(|(kernel, kernel_id, variant)| Subject {
        kernel,
        kernel_id,
        variant,
    });
    let result = (
        select(Unit::ALL),
        prop::option::of(a_value()),
        prop::option::of((a_value(), a_value())),
        any::<u64>(),
        prop::option::of(a_value()),
        any::<bool>(),
        select(Status::ALL),
        a_text(),
    );
    let parts = (a_run(), subject, a_key(), result);
    let record = parts.prop_map(|(run, subject, key, result)| {
        let (unit, value, interval, samples, predicted, deterministic, status, reason) = result;
        let (ci_low, ci_high) = interval.unzip();
        Record {
            run,
            subject,
            key,
            unit,
            value,
            ci_low,
            ci_high,
            samples,
            predicted,
            deterministic,
            status,
            reason,
        }
    });
    record.prop_filter("no contradiction", |record| record.validate().is_ok())
}
