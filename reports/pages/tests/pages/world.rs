//! Made-up runs of every suite, as directories on the disk.

use reports::{
    Cell, Emulator, Environment, KeptRun, Key, Machine, Metric, Noise, Outcome, Policy, Record,
    Run, RunDir, RunInfo, Sample, Seen, Source, Status, Subject, Target, Value, Vendor,
};
use std::path::Path;

use crate::common::{self, name};

/// A run to be written.
pub struct Made {
    pub info: RunInfo,
    pub rows: Vec<Record>,
    pub samples: Vec<Sample>,
}

pub fn subject(kernel: &str, variant: &str) -> Subject {
    Subject {
        kernel: kernel.to_owned(),
        kernel_id: format!("{kernel}-1"),
        variant: variant.to_owned(),
    }
}

pub fn lab(vendor: Vendor) -> Target {
    let machine = if vendor == Vendor::KvmIntel { Machine::Bochs } else { Machine::QemuTcg };
    Target { vendor, machine, cpu_model: "EPYC,+svm".to_owned() }
}

pub fn native() -> Target {
    Target {
        vendor: Vendor::KvmIntel,
        machine: Machine::Native,
        cpu_model: "Intel(R) Xeon(R) <Platinum> & more".to_owned(),
    }
}

impl Made {
    /// The `number`th run, begun a day after the one before.
    pub fn new(number: i64) -> Self {
        let argv = ["drbench", "run", "--kernel", "debian:6.1", "--out", "results/it's"];
        let mut info = RunInfo::begin("0.1.0", argv.map(str::to_owned).to_vec());
        let begun = 1_767_225_600 + number * 86_400;
        info.run = Run {
            run_id: name(&format!("night-{number:03}")),
            started_at: jiff::Timestamp::from_second(begun).unwrap(),
        };
        info.finished_at = jiff::Timestamp::from_second(begun + 90).ok();
        info.hashes.insert("binary".to_owned(), "b2b2".repeat(16));
        info.hashes.insert("payload:windows".to_owned(), "c3c3".repeat(16));
        Self { info, rows: Vec::new(), samples: Vec::new() }
    }

    /// What surrounded a kernel on a machine.
    pub fn on(mut self, subject: &Subject, target: &Target) -> Self {
        let mut environment = Environment::new(subject.clone(), target.clone());
        environment.microcode = Some("0x1000065".to_owned());
        environment.kernel_words = vec!["quiet".to_owned(), "panic=1".to_owned()];
        let parameters = [("npt".to_owned(), "Y".to_owned())].into_iter().collect();
        environment.module_parameters.insert("kvm_amd".to_owned(), parameters);
        if target.machine == Machine::Native {
            environment.noise = Some(Noise {
                pace: None,
                unusual_batches: 0,
                seed: 77,
                cpu: Seen::Value(1),
                took_ms: 6000,
                steal_ms: Seen::Unknown("no such counter".to_owned()),
                preemptions: Seen::Value(3),
                preempted_batches: 2,
                frequency_khz: Seen::Value(reports::Span { low: 2_000_000, high: 3_000_000 }),
                host_breakpoints: Seen::Value(0),
            });
        } else {
            environment.emulator = Some(Emulator {
                version: "QEMU 10.0".to_owned(),
                argv: vec!["qemu-system-x86_64".to_owned(), "-m".to_owned(), "512".to_owned()],
            });
        }
        self.info.environments.push(environment);
        self
    }

    /// A row; what is there already stays as it is.
    fn row(
        &mut self,
        (subject, target): (&Subject, &Target),
        cell: &Cell,
        metric: &str,
        source: Source,
        outcome: Outcome,
    ) -> &mut Record {
        let metric: Metric = metric.parse().unwrap();
        let key = Key { target: target.clone().into(), cell: cell.clone().into(), metric, source };
        let record = Record::new(self.info.run.clone(), subject.clone(), key, outcome);
        let record = Record { deterministic: target.machine != Machine::Native, ..record };
        self.rows.push(record);
        self.rows.last_mut().unwrap()
    }

    /// The policy suite of a kernel with this verdict; `cost` of a DR exit.
    pub fn policy(mut self, subject: &Subject, target: &Target, verdict: &str, cost: u64) -> Self {
        let on = (subject, target);
        let cell = |workload, accesses, other, every, policy| Cell {
            switches: 4,
            ..common::cell(workload, accesses, other, every, policy)
        };
        let anchor = cell("n:5", 5, "none", 0, Policy::Kernel);
        self.row(on, &anchor, "verdict", Source::None, Outcome::named(verdict));
        self.row(on, &anchor, "fastpath:cpuid", Source::Statistics, Outcome::ok(0));
        let name = verdict.split(':').next().unwrap_or_default();
        for (workload, accesses) in [("none", 0), ("n:5", 5), ("windows", 13)] {
            for (other, every, policy) in [
                ("none", 0, Policy::Kernel),
                ("cpuid", 1, Policy::Kernel),
                ("none", 0, Policy::GuestDebug),
            ] {
                let cell = cell(workload, accesses, other, every, policy);
                let interposed = if every == 1 { 4 } else { 0 };
                let dr_exits = match (name, policy) {
                    (_, Policy::GuestDebug) | ("always", _) => accesses * 4,
                    ("lazy", _) => accesses.min(1) * if every == 1 { 4 } else { 1 },
                    _ => 0,
                };
                let total = 1 + dr_exits + interposed;
                for (metric, source, count) in [
                    ("dr_exits", Source::Tracepoint, dr_exits),
                    ("interposed_exits", Source::Tracepoint, interposed),
                    ("exits", Source::Tracepoint, total),
                    ("exits", Source::Statistics, total),
                ] {
                    let row = self.row(on, &cell, metric, source, Outcome::ok(count));
                    row.predicted = (name != "unknown").then(|| Value::count(count));
                }
                self.row(on, &cell, "async_exits", Source::Tracepoint, Outcome::ok(0));
                let why = "the processor's PMU is not visible: measure on hardware";
                self.row(on, &cell, "host_cycles", Source::Pmu, Outcome::skipped(why));
                let switch = (dr_exits * cost + interposed * 900) / 4 + 4;
                self.cost(on, &cell, switch);
            }
        }
        self
    }

    /// What a switch costs: exact in the lab, noisy on hardware, with its single values.
    #[allow(clippy::cast_precision_loss)]
    fn cost(&mut self, on: (&Subject, &Target), cell: &Cell, switch: u64) {
        if on.1.machine != Machine::Native {
            self.row(on, cell, "instructions", Source::Tsc, Outcome::ok(switch));
            return;
        }
        let value = |at: u32| Value::real(switch as f64 + 0.25 + f64::from(at % 7) / 10.0).unwrap();
        let row = self.row(on, cell, "ns", Source::Tsc, Outcome::ok(value(3)));
        (row.ci_low, row.ci_high, row.samples) = (Some(value(1)), Some(value(5)), 28);
        let row = row.clone();
        self.samples.extend((0..28).map(|at| row.sample(0, at, value(at))));
    }

    /// The other suites.
    pub fn others(mut self, subject: &Subject, target: &Target) -> Self {
        let on = (subject, target);
        let place = |suite: &str, workload, accesses, every, policy| Cell {
            suite: name(suite),
            switches: 4,
            ..common::cell(
                workload,
                accesses,
                if every == 0 { "none" } else { "cpuid" },
                every,
                policy,
            )
        };
        let nothing = place("cost", "none", 0, 0, Policy::Kernel);
        for (what, price) in [("dr-exit-lazy", 891), ("exit-cpuid", 965), ("tracepoint", 1345)] {
            self.row(on, &nothing, &format!("cost:{what}"), Source::Model, Outcome::ok(price))
                .samples = 295;
        }
        let worst = Value::real(0.0015).unwrap();
        self.row(on, &nothing, "residual:tested", Source::Model, Outcome::ok(worst)).samples = 597;
        for (workload, accesses) in [("none", 0), ("n:1", 1), ("n:5", 5), ("n:24", 24)] {
            for every in [0, 1] {
                let cell = place("cost", workload, accesses, every, Policy::Kernel);
                self.row(
                    on,
                    &cell,
                    "instructions",
                    Source::Tsc,
                    Outcome::ok(200 + accesses + every * 1800),
                );
            }
        }
        for (pattern, accesses) in [("dr7", 1), ("windows", 13)] {
            for (policy, source, lost) in [
                ("always", Source::Tsc, 1000 * accesses),
                ("lazy", Source::Tsc, 1000),
                ("never", Source::Model, 200),
            ] {
                let cell = place("slowdown", pattern, accesses, 1, Policy::Kernel);
                let alone = place("slowdown", pattern, accesses, 0, Policy::Kernel);
                let row = self.row(on, &cell, &format!("lost:{policy}"), source, Outcome::ok(lost));
                if source == Source::Model {
                    row.reason =
                        String::from("not measured, this kernel does not have it; computed");
                }
                for at in ["1", "10", "40", "full"] {
                    let outcome = match at {
                        "40" if policy == "never" => Outcome::skipped("no rate loses so much"),
                        "full" => Outcome::ok(500_000),
                        percent => Outcome::ok(30_000_000 * percent.parse::<u64>().unwrap() / lost),
                    };
                    self.row(on, &cell, &format!("crossing:{policy}:{at}"), Source::Model, outcome);
                }
                for rate in [100, 1000, 10_000, 100_000, 1_000_000] {
                    let share = Value::ratio(rate * lost, 3_000_000_000).unwrap();
                    let outcome = if share.as_f64() < 0.5 {
                        Outcome::ok(share)
                    } else {
                        Outcome::skipped("a CPU cannot do so many")
                    };
                    let metric = format!("share_lost:{policy}:{rate}");
                    self.row(on, &cell, &metric, Source::Model, outcome.clone());
                    self.row(on, &alone, &metric, Source::Model, outcome.clone());
                    self.row(on, &alone, &format!("{metric}:1000"), Source::Model, outcome);
                }
            }
        }
        let smp = place("smp", "windows.moved.vcpu0", 13, 1, Policy::Kernel);
        self.row(on, &smp, "check:breakpoint", Source::Guest, Outcome::passed());
        let other = place("smp", "windows.moved.vcpu1", 13, 1, Policy::Kernel);
        let lost = "the breakpoint did not fire after the thread had moved";
        self.row(on, &other, "check:breakpoint", Source::Guest, Outcome::failed(None, lost));
        let open =
            Outcome::unresolved(Some(Value::count(4)), "no two undisturbed batches were alike");
        self.row(on, &other, "dr_exits", Source::Tracepoint, open);
        let trace = place("trace", "load.cpu0", 463, 0, Policy::Kernel);
        let row = self.row(on, &trace, "played_switches", Source::Guest, Outcome::ok(354));
        row.predicted = Some(Value::count(354));
        self.row(on, &trace, "lost_per_second", Source::Tsc, Outcome::ok(328_621));
        self
    }

    /// Writes it below `dir` under its id, and reads it back.
    pub fn kept(self, dir: &Path) -> KeptRun {
        let place = dir.join(self.info.run.run_id.as_str());
        self.kept_at(&place)
    }

    fn kept_at(self, place: &Path) -> KeptRun {
        let mut info = self.info;
        let environments = std::mem::take(&mut info.environments);
        let mut store = RunDir::create(place, info).unwrap();
        for environment in environments {
            store.add_environment(environment).unwrap();
        }
        store.append(&self.rows).unwrap();
        store.append_samples(&self.samples).unwrap();
        store.finish().unwrap();
        KeptRun::read(place).unwrap()
    }
}

/// Some nights: versions, variants, two vendors, hardware that gets slower, and something of each suite.
pub fn nights(dir: &Path) -> Vec<KeptRun> {
    let old = subject("5.10.262", "stock");
    let new = subject("6.12.118", "stock");
    let mut runs = Vec::new();
    for (number, cost) in [(0, 1000), (1, 1000), (2, 1200)] {
        let (amd, intel) = (lab(Vendor::KvmAmd), lab(Vendor::KvmIntel));
        let made = Made::new(number).on(&old, &amd).on(&new, &amd).on(&new, &intel);
        let made = made.policy(&old, &amd, "lazy", cost).policy(&new, &amd, "lazy", cost + 50);
        let unknown = "unknown: with one CPUID exit in each switch two DR exits, lazy has one";
        let always = subject("6.12.118", "always");
        let made = made.policy(&always, &amd, "always", cost + 50);
        runs.push(made.policy(&new, &intel, unknown, cost / 2).kept(dir));
    }
    for (number, cost) in [(3, 1000), (4, 1000), (5, 1100)] {
        let made = Made::new(number).on(&new, &native());
        runs.push(made.policy(&new, &native(), "never", cost).kept(dir));
    }
    let amd = lab(Vendor::KvmAmd);
    runs.push(Made::new(6).on(&new, &amd).others(&new, &amd).kept(dir));
    runs
}

/// A run whose every free text tries to be something else.
pub fn hostile(dir: &Path) -> Vec<KeptRun> {
    const ATTACKS: [&str; 6] = [
        "<script>window.hacked = 1</script>",
        "\"><img src=x onerror=\"window.hacked = 2\"><svg onload='window.hacked=3'>",
        "javascript:window.hacked=4//]]>--></style></title></textarea>",
        "=cmd|'/c calc'!A1,\t\u{202e}\u{200b}\u{0}\u{7}\u{1b}[31m\n\nπ中文",
        "{{ window.hacked = 5 }}{% raw %}&lt;b&gt;&#60;b>",
        "</desc></svg><a href='javascript:window.hacked=6'>x</a>",
    ];
    let mut made = Made::new(0);
    for (at, attack) in ATTACKS.iter().enumerate() {
        let subject = Subject {
            kernel: format!("{attack}{}", "W".repeat(at * 500)),
            kernel_id: (*attack).to_owned(),
            variant: (*attack).to_owned(),
        };
        let target = Target { cpu_model: (*attack).to_owned(), ..lab(Vendor::KvmAmd) };
        made = made.on(&subject, &target).policy(&subject, &target, &format!("lazy: {attack}"), 7);
        made = made.others(&subject, &target);
        for row in made.rows.iter_mut().filter(|row| row.status == Status::Skipped) {
            (*attack).clone_into(&mut row.reason);
        }
        let environment = made.info.environments.last_mut().unwrap();
        environment.microcode = Some((*attack).to_owned());
        environment.mitigations.insert((*attack).to_owned(), (*attack).to_owned());
        made.info.argv.push((*attack).to_owned());
    }
    let again = Made { info: Made::new(1).info, rows: made.rows.clone(), samples: vec![] };
    let mut again = Made { info: RunInfo { argv: made.info.argv.clone(), ..again.info }, ..again };
    again.info.run.run_id = name("..");
    for row in &mut again.rows {
        row.run = again.info.run.clone();
        if row.key.metric == Metric::Instructions {
            row.value = Some(Value::count(12_345));
        }
    }
    // Read from directories with harmless names: those are the user's own.
    vec![made.kept_at(&dir.join("one")), again.kept_at(&dir.join("two"))]
}
