//! Guest time lost against switches per second, per pattern and policy, and where 1, 10 and 40 % of it
//! are lost.
//!
//! What a switch loses is measured: a cell less the control beside it, less what its accesses take
//! without an exit. From there to shares of time is arithmetic ([`model`]). On hardware ticks are
//! time. In the lab they are instructions, and time is a model: a cycle each, [`Assumed`] cycles for
//! each exit and the entry after it, and a clock.

mod measured;
mod model;

use guest_payloads::{Pattern, Policy, Workload};
use reports::{Metric, Name, Outcome, Record, Source, Unit, Value};

use crate::cli::RunArgs;
use crate::cost::Costed;
use crate::judge::Verdict;
use crate::plan::{Cell, INTERPOSED_EACH, Role, SWITCHED, Session};
use crate::rows::{Clock, Context, Rows, Untimed};
use measured::{Measured, Switch};
use model::{Exits, Guest, NoCrossing};

/// What the lab does not measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumed {
    /// Cycles of leaving the guest and entering it again, by the processor alone.
    pub world_switch_cycles: u32,
    /// Cycles in a microsecond.
    pub clock_mhz: u32,
}

impl Assumed {
    /// From just before VMRUN to just after the exit took 1344 to 1376 ticks on an AMD processor in
    /// December 2020, with all that a SVM host loads and saves by instructions of its own:
    /// <https://lkml.iu.edu/hypermail/linux/kernel/2012.2/00527.html>. In the lab that is a handful
    /// of instructions.
    pub const WORLD_SWITCH_CYCLES: u32 = 1350;
    /// No measurement: a round figure. Servers run at 2 to 4 GHz; rates grow with it.
    pub const CLOCK_MHZ: u32 = 3000;

    /// By the command line.
    pub fn of(args: &RunArgs) -> Self {
        Self {
            world_switch_cycles: args.world_switch_cycles.unwrap_or(Self::WORLD_SWITCH_CYCLES),
            clock_mhz: args.clock_mhz.unwrap_or(Self::CLOCK_MHZ),
        }
    }
}

/// Policies that are compared.
const POLICIES: [Policy; 3] = [Policy::Always, Policy::Lazy, Policy::Never];
/// Percents of the guest's time whose crossing points are told.
const PERCENTS: [u32; 3] = [1, 10, 40];
/// Switches per second of the curves; the surface has the decades of them.
const RATES: [u64; 13] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000,
];
/// The highest.
const HIGHEST: u64 = RATES[RATES.len() - 1];
/// Other exits per second of the surface. Timer ticks of a host alone are 100 to 1000.
const SURFACE_EXITS: [u32; 4] = [100, 1_000, 10_000, 100_000];

/// What stays the same in all rows.
struct Suite<'a> {
    context: &'a Context,
    measured: Measured<'a>,
    /// Ticks in a second.
    clock: f64,
    /// Ticks that each exit takes and no tick counts.
    world_switch: f64,
}

/// The rows of a slowdown suite that is done.
pub fn rows(context: &Context, verdict: &Verdict, cells: &[Costed<'_>]) -> Rows {
    let records = match Suite::of(context, verdict, cells) {
        Ok(suite) => suite.records(),
        Err(why) => nothing_to_say(context, &why),
    };
    Rows { records, samples: vec![] }
}

/// No pattern has figures here, for one reason.
fn nothing_to_say(context: &Context, why: &str) -> Vec<Record> {
    let outcome = || Outcome::skipped(why.to_owned());
    let row = |policy, percent: u32| context.suite_row(crossing(policy, &percent), outcome());
    POLICIES.into_iter().flat_map(|policy| PERCENTS.map(|percent| row(policy, percent))).collect()
}

impl<'a> Suite<'a> {
    fn of(
        context: &'a Context,
        verdict: &Verdict,
        cells: &'a [Costed<'a>],
    ) -> Result<Self, String> {
        let policy = match verdict.policy() {
            Some(Policy::Emulated) => Err(
                "the guest's kernel code is interpreted here: no access exits that a policy could \
                 save, so there is nothing to say",
            ),
            Some(policy) => Ok(policy),
            None => Err("there is no verdict, so nobody knows which policy was measured"),
        }?;
        let (clock, world_switch) = match context.clock {
            Clock::Instructions => {
                let Assumed { world_switch_cycles, clock_mhz } = context.assumed;
                Ok((f64::from(clock_mhz) * 1e6, f64::from(world_switch_cycles)))
            }
            Clock::Hardware => match context.target.tsc_khz {
                Some(khz) => Ok((f64::from(khz) * 1e3, 0.0)),
                None => Err("KVM does not tell the guest's time stamp frequency"),
            },
            Clock::EmulatorTime => Err("without -icount the emulator's time stamps follow the \
                                        host's clock and measure nothing of the kernel's"),
        }?;
        Ok(Self { context, measured: Measured { cells, policy }, clock, world_switch })
    }

    fn records(&self) -> Vec<Record> {
        let mut records = self.parameters();
        for pattern in SWITCHED.into_iter().filter(|pattern| pattern.accesses() > 0) {
            for policy in POLICIES {
                records.extend(self.of_policy(pattern, policy));
            }
        }
        records
    }

    /// What a model was told stands beside what it says.
    fn parameters(&self) -> Vec<Record> {
        if self.context.clock != Clock::Instructions {
            return vec![];
        }
        let Assumed { world_switch_cycles, clock_mhz } = self.context.assumed;
        [
            ("world-switch-cycles", u64::from(world_switch_cycles), Unit::Cycles),
            ("clock-hz", u64::from(clock_mhz) * 1_000_000, Unit::PerSecond),
        ]
        .map(|(what, value, unit)| {
            let row = self.context.suite_row(Metric::Parameter(name(what)), Outcome::ok(value));
            Record { unit, ..row }
        })
        .into()
    }

    /// A pattern under a policy: what a switch loses, then with an exit after every switch and with
    /// none the crossings and the curve, then the surface.
    fn of_policy(&self, pattern: Pattern, policy: Policy) -> Vec<Record> {
        let switch = self.measured.switch(pattern, policy);
        let mut records = vec![self.lost(pattern, policy, &switch)];
        let guest = switch.map(|switch| self.guest(switch)).and_then(|guest| {
            let other = self.measured.other_exit()? + self.world_switch;
            // Noise of a clock may make less than nothing of next to nothing.
            Ok(Guest { other: other.max(0.0), ..guest })
        });
        let plain = cell(pattern, policy, false);
        for (cell, exits) in
            [(plain, Exits::NONE), (cell(pattern, policy, true), Exits::EachSwitch)]
        {
            records.extend(self.crossings(&cell, policy, exits, &guest));
            for rate in RATES {
                let metric = name(&format!("{policy}:{rate}"));
                records.push(self.share(&cell, metric, rate, exits, &guest));
            }
        }
        let decades = RATES.into_iter().step_by(3);
        for (rate, exits) in decades.flat_map(|rate| SURFACE_EXITS.map(|exits| (rate, exits))) {
            let metric = name(&format!("{policy}:{rate}:{exits}"));
            let exits = Exits::PerSecond(f64::from(exits));
            records.push(self.share(&plain, metric, rate, exits, &guest));
        }
        records
    }

    fn guest(&self, switch: Switch) -> Guest {
        let loss = switch.loss(self.world_switch);
        Guest { loss, own: switch.own.max(0.0), other: 0.0, clock: self.clock }
    }

    /// What a switch loses as it was measured: without world switches, which are beside it.
    fn lost(&self, pattern: Pattern, policy: Policy, switch: &Result<Switch, Untimed>) -> Record {
        let (outcome, source) = match switch {
            Ok(Switch { lost, basis, .. }) => {
                (rounded(*lost), if basis.is_some() { Source::Model } else { Source::Tsc })
            }
            Err(why) => (why.outcome(), Source::Tsc),
        };
        let metric = Metric::Lost(name(policy.name()));
        let row = self.context.row(&cell(pattern, policy, true), metric, source, outcome);
        let basis = switch.as_ref().ok().and_then(|switch| switch.basis);
        let unit = match self.context.clock {
            Clock::Instructions | Clock::EmulatorTime => Unit::Instructions,
            Clock::Hardware => Unit::Cycles,
        };
        Record { unit, reason: basis.map_or(row.reason, str::to_owned), ..row }
    }

    fn crossings(
        &self,
        cell: &Cell,
        policy: Policy,
        exits: Exits,
        guest: &Result<Guest, Untimed>,
    ) -> Vec<Record> {
        let row = |metric, outcome| self.context.row(cell, metric, Source::Model, outcome);
        let reached = |guest: &Guest, percent: u32| match guest.crossing(
            f64::from(percent) / 100.0,
            exits,
            HIGHEST,
        ) {
            Ok(rate) => Outcome::ok(rate),
            Err(why) => Outcome::skipped(why.to_string()),
        };
        let mut records: Vec<Record> = PERCENTS
            .map(|percent| {
                let outcome =
                    guest.as_ref().map_or_else(Untimed::outcome, |guest| reached(guest, percent));
                row(crossing(policy, &percent), outcome)
            })
            .into();
        let most = |guest: &Guest| {
            let none = || Outcome::skipped("a switch takes no time that could be measured");
            guest.most(exits).map_or_else(none, Outcome::ok)
        };
        let most = guest.as_ref().map_or_else(Untimed::outcome, most);
        records.push(row(crossing(policy, &"full"), most));
        records
    }

    fn share(
        &self,
        cell: &Cell,
        at: Name,
        rate: u64,
        exits: Exits,
        guest: &Result<Guest, Untimed>,
    ) -> Record {
        let outcome = match guest {
            Ok(guest) => match guest.share_lost(Value::count(rate).as_f64(), exits) {
                Ok(share) => rounded(share),
                Err(model::Overfull(times)) => Outcome::skipped(format!(
                    "a CPU cannot do so many: it would take {times:.2} times its time"
                )),
            },
            Err(why) => why.outcome(),
        };
        self.context.row(cell, Metric::ShareLostAt(at), Source::Model, outcome)
    }
}

impl std::fmt::Display for NoCrossing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |share: f64| share * 100.0;
        match *self {
            Self::Nothing => write!(f, "at no rate: nothing is lost"),
            Self::Full { most, share } => write!(
                f,
                "at no rate: a CPU does at most {most} such switches per second, and then loses \
                 {:.2} %",
                percent(share)
            ),
            Self::Beyond { share } => {
                let share = percent(share);
                write!(f, "not up to {HIGHEST} switches per second, where {share:.2} % are lost")
            }
        }
    }
}

fn crossing(policy: Policy, at: &dyn std::fmt::Display) -> Metric {
    Metric::Crossing(name(&format!("{policy}:{at}")))
}

/// The cell that a row stands for: `always` is asked for by guest debug, whatever the kernel.
fn cell(pattern: Pattern, policy: Policy, interposed: bool) -> Cell {
    let interposed = interposed.then_some(INTERPOSED_EACH);
    let session = match policy {
        Policy::Always => Session::GuestDebug,
        Policy::Lazy | Policy::Never | Policy::Emulated => Session::Kernel,
    };
    Cell { workload: Workload { interposed, ..Workload::new(pattern) }, session, role: Role::Cell }
}

/// To a millionth: what is finer is the arithmetic's.
fn rounded(value: f64) -> Outcome {
    const UNIT: f64 = 1e6;
    // Plus zero: there is a negative one.
    Value::real((value * UNIT).round() / UNIT + 0.0)
        .map_or_else(|| Outcome::skipped("no number"), Outcome::ok)
}

fn name(text: &str) -> Name {
    text.parse().expect("names of policies and numbers are plain words")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::assess::tests::context;
    use crate::plan;
    use measured::tests::costed;

    fn verdict(policy: Policy) -> Verdict {
        Verdict::Policy { policy, confirmed: true }
    }

    fn records(context: &Context, policy: Policy) -> Vec<Record> {
        let cells = plan::slowdown();
        let records = rows(context, &verdict(policy), &costed(&cells, policy)).records;
        assert!(records.iter().all(|row| row.validate().is_ok()));
        let keys: HashSet<_> = records.iter().map(|row| &row.key).collect();
        assert_eq!(keys.len(), records.len(), "no key twice");
        records
    }

    /// With an exit after every switch of `windows`.
    fn value(records: &[Record], metric: &str) -> Option<u64> {
        let metric: Metric = metric.parse().unwrap();
        let is = |row: &&Record| {
            row.key.cell.workload.as_str() == "windows"
                && row.key.cell.exits_every == 1
                && row.key.metric == metric
        };
        records.iter().find(is).and_then(|row| row.value?.as_count())
    }

    #[test]
    fn in_the_lab_time_is_a_cycle_an_instruction_and_a_stated_cost_of_each_exit() {
        let assumed = Assumed { world_switch_cycles: 1_000, clock_mhz: 2_000 };
        let records = records(&Context { assumed, ..context() }, Policy::Lazy);
        // Thirteen accesses of 3000 instructions and an exit each: 52,000 cycles of 2,000 million.
        assert_eq!(value(&records, "lost:always"), Some(39_000));
        assert_eq!(value(&records, "crossing:always:1"), Some(385));
        assert_eq!(value(&records, "crossing:always:10"), Some(3_847));
        // One exit, and reading the registers back: 1,940.
        assert_eq!(value(&records, "crossing:lazy:1"), Some(10_310));
        // No exit.
        assert_eq!(value(&records, "crossing:never:1"), Some(100_000));
        assert!(records.iter().all(|row| row.deterministic));
    }

    #[test]
    fn on_hardware_ticks_are_time_and_nothing_is_assumed() {
        let target = crate::protocol::Target { tsc_khz: Some(2_000_000), ..Default::default() };
        let records =
            records(&Context { clock: Clock::Hardware, target, ..context() }, Policy::Lazy);
        assert_eq!(value(&records, "lost:always"), Some(39_000));
        assert_eq!(value(&records, "crossing:always:1"), Some(513));
        let is_parameter = |row: &Record| matches!(row.key.metric, Metric::Parameter(_));
        assert!(!records.iter().any(is_parameter));
        assert!(!records.iter().any(|row| row.deterministic || row.unit == Unit::Instructions));
    }

    #[test]
    fn where_nothing_can_be_said_each_crossing_is_a_row_with_the_reason() {
        let wall = Context { clock: Clock::EmulatorTime, ..context() };
        let no_frequency = Context { clock: Clock::Hardware, ..context() };
        let cases = [
            (&wall, verdict(Policy::Lazy), "icount"),
            (&no_frequency, verdict(Policy::Lazy), "frequency"),
            (&context(), Verdict::Emulated("shown".to_owned()), "interpreted"),
            (&context(), Verdict::Unresolved("no boot".to_owned()), "no verdict"),
        ];
        for (context, verdict, reason) in cases {
            let records = rows(context, &verdict, &[]).records;
            assert_eq!(records.len(), 9);
            for row in records {
                assert_eq!((row.status, row.value), (reports::Status::Skipped, None));
                assert!(row.reason.contains(reason), "{}", row.reason);
            }
        }
    }

    #[test]
    fn the_dearest_parameters_are_no_overflow() {
        let assumed = Assumed { world_switch_cycles: 1_000_000, clock_mhz: 1 };
        let records = records(&Context { assumed, ..context() }, Policy::Lazy);
        assert_eq!(value(&records, "crossing:always:full"), Some(0), "not even one");
        assert_eq!(value(&records, "crossing:always:1"), None);
        let assumed = Assumed { world_switch_cycles: 1, clock_mhz: 100_000 };
        let cheap = self::records(&Context { assumed, ..context() }, Policy::Lazy);
        assert_eq!(value(&cheap, "crossing:always:1"), Some(25_633));
    }
}
