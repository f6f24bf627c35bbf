//! Several vCPUs at once, in real guests on a real kernel with two processors, and with one.

use std::fs;
use std::path::Path;
use std::process::Output;

use bench_vmm::Host;
use guest_payloads::layout::port;
use reports::{Metric, Policy, Record, Source, Status, Value};
use suites::measure::Ready;
use suites::plan::Session;
use suites::protocol::{Effort, JobCell, Message, Pass};
use suites::smp::{Came, CrewMeasured, JobCrew, Placement, measure};

use crate::common::{KERNEL, drbench, failed, lab, lab_kernel, place, rows, told, verdict};

const USAGE: Option<i32> = Some(2);
const FINDING: Option<i32> = Some(1);

fn smp(out: &Path, more: &[&str]) -> Output {
    lab(out, &[&["--suite", "smp"], more].concat())
}

/// The rows of a metric of vCPUs in this placement, by vCPU.
fn of<'a>(
    rows: &'a [Record],
    workload: &str,
    placement: Placement,
    vcpus: u32,
    policy: Policy,
    metric: &Metric,
) -> Vec<&'a Record> {
    let named = |vcpu: u32| format!("{workload}.{placement}.vcpu{vcpu}");
    let one = |vcpu| {
        rows.iter().find(|row| {
            let cell = &row.key.cell;
            row.key.metric == *metric
                && matches!(row.key.source, Source::Tracepoint | Source::Tsc | Source::Guest)
                && (cell.vcpus, cell.policy) == (vcpus, policy)
                && cell.workload.as_str() == named(vcpu)
        })
    };
    (0..vcpus).filter_map(one).collect()
}

fn check(name: &str) -> Metric {
    Metric::Check(name.parse().unwrap())
}

fn but_for_id_and_time(out: &Path) -> Vec<String> {
    let text = fs::read_to_string(out.join("results.csv")).unwrap();
    text.lines().map(|line| line.splitn(3, ',').nth(2).unwrap().to_owned()).collect()
}

#[test]
fn every_vcpu_makes_the_predicted_exits_wherever_its_thread_runs_and_two_runs_agree() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| place(&directory, name));
    let output = smp(&one, &[]);
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    assert!(
        !told(&output).1.contains("ci/setup"),
        "what exactness needs is there: {}",
        told(&output).1
    );
    let table = String::from_utf8(output.stdout).unwrap();
    let line = ["moved", "2", "48/48", "48/48"];
    assert!(table.lines().any(|found| found.split_whitespace().take(4).eq(line)), "{table}");

    let first = rows(&one);
    assert_eq!(verdict(&first), Some("lazy"));
    let unsettled = first.iter().filter(|row| row.status > Status::Skipped);
    assert_eq!(unsettled.map(|row| row.key.to_string()).collect::<Vec<_>>(), [""; 0]);
    for placement in Placement::ALL {
        for vcpus in u32::from(placement.fewest_vcpus())..=4 {
            let can_be_had = placement != Placement::Pinned || vcpus <= 2;
            // Four switches with an exit after each: one DR exit for each, or one for each access.
            for (workload, policy, expected) in [
                ("none", Policy::Kernel, 0),
                ("linux-hwbp-4", Policy::Kernel, 4),
                ("linux-hwbp-4", Policy::GuestDebug, 48),
            ] {
                let counted = of(&first, workload, placement, vcpus, policy, &Metric::DrExits);
                assert_eq!(counted.len(), vcpus as usize, "{workload} {placement} {vcpus}");
                for row in counted {
                    let value = can_be_had.then(|| Value::count(expected));
                    assert_eq!((row.value, row.predicted), (value, value), "{}", row.key);
                    assert!(can_be_had || row.reason.contains("this target has 2"));
                }
                let checks = of(&first, workload, placement, vcpus, policy, &check("breakpoint"));
                assert_eq!(checks.len(), if can_be_had { vcpus as usize } else { 0 });
                assert!(checks.iter().all(|row| row.status == Status::Ok));
            }
        }
    }
    costs_are_those_of_each_vcpu_alone(&first);
    preempted_vcpus_were_preempted(&first);

    assert_eq!(told(&smp(&two, &[])).0, Some(0));
    assert_eq!(but_for_id_and_time(&one), but_for_id_and_time(&two));
    let compared = drbench().arg("compare").args([&one, &two]).output().unwrap();
    assert_eq!(compared.status.code(), Some(0), "{}", String::from_utf8_lossy(&compared.stdout));
    let again = drbench().args(["run", "--resume"]).arg(&one).output().unwrap();
    assert_eq!(told(&again).0, Some(0), "{}", told(&again).1);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), table);
}

/// On one CPU of an emulated machine, a vCPU takes as many instructions whoever is beside it: had the
/// others run in between, theirs would be among them.
fn costs_are_those_of_each_vcpu_alone(rows: &[Record]) {
    let cost = |placement, vcpus| -> Vec<Value> {
        let metric = Metric::Instructions;
        of(rows, "linux-hwbp-4", placement, vcpus, Policy::Kernel, &metric)
            .iter()
            .filter_map(|row| row.value)
            .collect()
    };
    let alone = cost(Placement::Pinned, 1);
    assert_eq!(alone.len(), 1);
    assert_eq!(cost(Placement::Pinned, 2).first(), alone.first());
    for vcpus in 2..=4 {
        let together = cost(Placement::OverCommitted, vcpus);
        assert_eq!(together, vec![alone[0]; vcpus as usize]);
        let preempted = cost(Placement::Preempted, vcpus);
        assert!(preempted.is_empty(), "{preempted:?}");
    }
    let moved = cost(Placement::Moved, 1);
    assert!(moved[0].as_f64() > 2.0 * alone[0].as_f64(), "{moved:?}: moving is not for nothing");
}

fn preempted_vcpus_were_preempted(rows: &[Record]) {
    let is = |row: &&Record, metric: &Metric| {
        row.key.metric == *metric && row.key.cell.workload.as_str().contains(".preempted.")
    };
    let checks: Vec<_> = rows.iter().filter(|row| is(row, &check("preempted"))).collect();
    assert_eq!(checks.len(), 4 * (2 + 3 + 4), "two workloads in two sessions");
    assert!(checks.iter().all(|row| row.status == Status::Ok));
    let mut disturbed = rows.iter().filter(|row| is(row, &Metric::AsyncExits));
    assert!(disturbed.all(|row| row.value.is_some_and(|value| value.as_f64() >= 2.0)));
}

#[test]
fn a_kernel_that_always_intercepts_does_so_on_every_vcpu() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "always");
    let output = lab_kernel(&format!("{KERNEL}+always"), &out, &["--suite", "smp", "--vcpus", "2"]);
    assert_eq!(told(&output).0, Some(0), "{}", told(&output).1);
    let rows = rows(&out);
    assert_eq!(verdict(&rows), Some("always"));
    for placement in Placement::ALL {
        let metric = Metric::DrExits;
        for row in of(&rows, "linux-hwbp-4", placement, 2, Policy::Kernel, &metric) {
            assert_eq!(
                (row.status, row.value),
                (Status::Ok, Some(Value::count(48))),
                "{}",
                row.key
            );
        }
        let none = of(&rows, "linux-hwbp-4", placement, 3, Policy::Kernel, &metric);
        assert!(none.is_empty(), "--vcpus 2");
    }
}

#[test]
fn on_one_processor_what_needs_two_is_skipped_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "intel");
    let run = drbench()
        .args(["run", "--kernel", KERNEL, "--cpu", "intel", "--suite", "smp", "--vcpus", "2"])
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert_eq!(told(&run).0, Some(0), "{}", told(&run).1);
    let rows = rows(&out);
    assert_eq!(verdict(&rows), Some("lazy"));
    for (placement, vcpus, can_be_had) in [
        (Placement::Pinned, 1, true),
        (Placement::Pinned, 2, false),
        (Placement::Unpinned, 2, true),
        (Placement::OverCommitted, 2, true),
        (Placement::Moved, 1, false),
        (Placement::Moved, 2, false),
    ] {
        let counted = of(&rows, "linux-hwbp-4", placement, vcpus, Policy::Kernel, &Metric::DrExits);
        assert_eq!(counted.len(), vcpus as usize, "{placement} {vcpus}");
        for row in counted {
            if can_be_had {
                assert_eq!((row.status, row.value), (Status::Ok, Some(Value::count(4))));
            } else {
                assert_eq!((row.status, row.value), (Status::Skipped, None));
                assert!(row.reason.contains("Bochs is built without SMP"), "{}", row.reason);
            }
        }
    }
}

#[test]
fn a_crew_that_crashes_fails_with_a_report_and_the_others_run() {
    let directory = tempfile::tempdir().unwrap();
    let out = place(&directory, "crash");
    let words = ["--vcpus", "2", "--workload", "triple-fault", "--workload", "n:5,pio-user/1"];
    let output = smp(&out, &words);
    let (status, said) = told(&output);
    assert_eq!(status, FINDING, "{said}");
    let report = "triple-fault,switches=4, 2 vCPUs pinned: vCPU ";
    assert!(said.contains(report) && said.contains("RIP="), "{said}");
    let rows = rows(&out);
    let bad = failed(&rows);
    let crashed = |row: &&&Record| row.key.cell.workload.as_str().starts_with("triple-fault.");
    assert!(!bad.is_empty() && bad.iter().filter(crashed).count() == bad.len());
    for placement in [Placement::Pinned, Placement::Moved] {
        let counted = of(&rows, "n:5", placement, 2, Policy::Kernel, &Metric::DrExits);
        assert_eq!(counted.len(), 2);
        for row in counted {
            assert_eq!((row.status, row.value), (Status::Ok, Some(Value::count(4))));
        }
    }
}

/// BEGIN, END, again and again; but the second vCPU (RDI is its number) hangs in between.
const SECOND_HANGS: [u8; 11] = [
    0xe6,
    port::BEGIN, // again: out BEGIN, al
    0x83,
    0xff,
    0x01, // cmp edi, 1
    0x74,
    0xfe, // here: je here
    0xe6,
    port::END, // out END, al
    0xeb,
    0xf5, // jmp again
];

#[test]
fn one_vcpu_that_hangs_does_not_keep_the_others_waiting() {
    let host = match Host::open() {
        Ok(host) => host,
        Err(error) => return println!("this host has no usable KVM: {error}"),
    };
    let ready = Ready::with(host).unwrap();
    let (host, target) = ready.survey();
    let crew = |vcpus, placement| JobCrew {
        cell: JobCell {
            code: SECOND_HANGS.to_vec(),
            session: Session::Kernel,
            needs: None,
            costed: true,
            lapic: false,
            touches: 0,
            watchdog_seconds: 1,
        },
        vcpus,
        placement,
        shows_breakpoint: false,
        comes_out: true,
    };
    let crews = [
        crew(2, Placement::Unpinned),
        crew(3, Placement::OverCommitted),
        crew(1, Placement::Unpinned),
    ];
    let effort = Effort { undisturbed: 2, most: 2, ..Effort::HARDWARE };
    let mut came = Vec::new();
    measure::measure(host, target, effort, &crews, &mut |message| {
        if let Message::Crew(CrewMeasured { crew, pass, came: how }) = message {
            came.push((crew, pass, how));
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(came.len(), 6, "each crew, in both passes");
    for (crew, pass, how) in came {
        match (crew, how) {
            (0 | 1, Came::Broken(why)) => {
                assert!(why.starts_with("vCPU 1: ") && why.contains("watchdog"), "{why}");
                assert!(why.contains("RDI=0000000000000001"), "{why}");
            }
            (2, Came::Measured(all)) => {
                assert_eq!(all.len(), 1);
                assert_eq!(all[0].batches.len(), 2, "{pass:?}");
                assert!(matches!(pass, Pass::Counted | Pass::Costed));
            }
            (crew, how) => panic!("crew {crew}: {how:?}"),
        }
    }
}

#[test]
fn numbers_of_vcpus_that_there_are_not_are_usage_errors() {
    for words in [
        &["--suite", "smp", "--vcpus", "0"][..],
        &["--suite", "smp", "--vcpus", "5"],
        &["--suite", "smp", "--vcpus", "two"],
        &["--suite", "policy", "--vcpus", "2"],
    ] {
        let output = drbench().arg("run").args(words).output().unwrap();
        let (status, said) = told(&output);
        assert_eq!(status, USAGE, "{words:?}: {said}");
        assert!(said.contains("--vcpus"), "{words:?}: {said}");
    }
    let listed = drbench().args(["list", "suites"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().any(|line| line.starts_with("smp ")), "{listed}");
}
