//! The rows of a played record: per CPU of the record, and all together.

use guest_payloads::{Policy, Rearm};
use reports::{Key, Metric, Outcome, Record, Source, Value};

use super::counted::{Meant, NO_DR_EXITS, judged};
use super::{Blot, Clock, Context, Prediction, Rows, Untimed, name, section_ticks};
use crate::judge::{self, Verdict};
use crate::plan::Session;
use crate::protocol::Batch;
use crate::trace::{Load, Piece, play};

/// What came of a piece's passes; or why there is nothing.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'a> {
    /// Exits.
    pub counted: Result<&'a [Batch], &'a str>,
    /// Costs.
    pub costed: Result<&'a [Batch], &'a str>,
}

/// The rows of all pieces, `passed` in the order of the load's pieces.
pub fn played(
    context: &Context,
    load: &Load,
    passed: &[Passed<'_>],
    verdict: &Verdict,
    rearm: Rearm,
) -> Rows {
    let tallies: Vec<(&Piece, Tally)> = load
        .pieces
        .iter()
        .zip(passed)
        .map(|(piece, &passed)| (piece, Tally::of(context, piece, passed, verdict, rearm)))
        .collect();
    let mut records = vec![whole(context, load, verdict)];
    for session in Session::ALL {
        for cpu in (0..load.cpus.len()).map(Some).chain([None]) {
            let of = |control: bool| -> Vec<&(&Piece, Tally)> {
                let own = |(piece, _): &&(&Piece, Tally)| {
                    piece.session == session
                        && cpu.is_none_or(|cpu| piece.cpu == cpu)
                        // A section without accesses is its own control.
                        && (piece.control == control
                            || (control && piece.schedule.accesses() == 0))
                };
                tallies.iter().filter(own).collect()
            };
            let sum = Sum { context, load, verdict, session, cpu };
            records.extend(sum.records(&of(false), &of(true)));
        }
    }
    Rows { records, samples: vec![] }
}

/// How long the record is.
fn whole(context: &Context, load: &Load, verdict: &Verdict) -> Record {
    let sum = Sum { context, load, verdict, session: Session::Kernel, cpu: None };
    Record {
        deterministic: true,
        ..sum.row(Metric::RecordedNs, Source::None, Outcome::ok(load.ns))
    }
}

/// What one piece gave.
struct Tally {
    /// What an undisturbed batch counted.
    counts: Option<Counts>,
    /// Why the counts are not simply ok.
    blot: Blot,
    /// Ticks of an undisturbed section; or why there are none.
    ticks: Result<f64, Untimed>,
}

#[derive(Clone, Copy)]
struct Counts {
    played: u64,
    dr: Option<u64>,
    interposed: Option<u64>,
    exits: Option<u64>,
    predicted_dr: Option<u64>,
    predicted_total: Option<u64>,
}

impl Tally {
    fn of(
        context: &Context,
        piece: &Piece,
        passed: Passed<'_>,
        verdict: &Verdict,
        rearm: Rearm,
    ) -> Self {
        let policy = verdict.policy().filter(|&policy| policy != Policy::Emulated);
        let prediction = policy.map(|policy| {
            let policy = judge::in_force(policy, piece.session);
            Prediction { policy, exits: piece.schedule.predict(policy, rearm) }
        });
        let (counts, blot) = match passed.counted {
            Ok(batches) => counts(context, piece, batches, verdict, prediction),
            Err(reason) => (None, Blot::Failed(reason.to_owned())),
        };
        let total = prediction.map(|prediction| prediction.exits.counted());
        let total = total.or_else(|| counts.and_then(|counts| counts.exits));
        let ticks = match passed.costed {
            Ok(batches) => unplayed(piece, batches).map_or_else(
                || ticks(context.clock, batches, total),
                |(_, why)| Err(Untimed::Broken(why)),
            ),
            Err(reason) => Err(Untimed::Broken(reason.to_owned())),
        };
        Self { counts, blot, ticks }
    }
}

fn counts(
    context: &Context,
    piece: &Piece,
    batches: &[Batch],
    verdict: &Verdict,
    prediction: Option<Prediction>,
) -> (Option<Counts>, Blot) {
    let judged = judged(context, batches, verdict, prediction, Meant::Undisturbed);
    let kind = piece.schedule.exit;
    let unplayed = unplayed(piece, batches);
    let Some(shown) = judged.shown else {
        return (None, unplayed.map_or(judged.blot, |(_, why)| Blot::Failed(why)));
    };
    let trace = shown.trace.as_ref();
    let counts = Counts {
        played: shown.played,
        dr: trace.map(|trace| trace.dr),
        interposed: trace.map(|trace| judge::interposed_exits(trace, kind)),
        exits: shown.exits,
        predicted_dr: prediction.map(|prediction| prediction.exits.dr),
        predicted_total: prediction.map(|prediction| prediction.exits.counted()),
    };
    match unplayed {
        Some((played, why)) => (Some(Counts { played, ..counts }), Blot::Failed(why)),
        None => (Some(counts), judged.blot),
    }
}

/// Disturbed or not, every batch must play every switch: how many one played that did not, in words.
fn unplayed(piece: &Piece, batches: &[Batch]) -> Option<(u64, String)> {
    let recorded = piece.schedule.switches();
    let Batch { played, .. } = batches.iter().find(|batch| batch.played != recorded)?;
    Some((*played, format!("the guest played {played} of {recorded} switches")))
}

fn ticks(clock: Clock, batches: &[Batch], total: Option<u64>) -> Result<f64, Untimed> {
    let ticks = section_ticks(clock, batches, total).map(|ticks| Value::count(ticks).as_f64());
    let disturbed = |reason: &str| Untimed::Disturbed(reason.to_owned());
    ticks.ok_or_else(|| match clock {
        Clock::Instructions => disturbed("no two undisturbed batches were alike"),
        Clock::Hardware => disturbed("too few batches were undisturbed"),
        Clock::EmulatorTime => Untimed::Unavailable(
            "without -icount the emulator's time stamps follow the host's clock and measure nothing \
             of the kernel's"
                .to_owned(),
        ),
    })
}

/// The rows of one CPU, or of all, in one session.
struct Sum<'a> {
    context: &'a Context,
    load: &'a Load,
    verdict: &'a Verdict,
    session: Session,
    /// None: all.
    cpu: Option<usize>,
}

impl Sum<'_> {
    fn records(&self, load: &[&(&Piece, Tally)], control: &[&(&Piece, Tally)]) -> Vec<Record> {
        let missing = match self.verdict.policy() {
            Some(Policy::Emulated) => Some(NO_DR_EXITS),
            _ => self.context.target.trace.missing(),
        };
        let traced = |metric, count, predicted| match missing {
            Some(missing) => self.row(metric, Source::Tracepoint, Outcome::skipped(missing)),
            None => self.counted(load, metric, Source::Tracepoint, count, predicted),
        };
        let total = |count: fn(&Counts) -> Option<u64>| -> Option<u64> {
            load.iter().map(|(_, tally)| count(tally.counts.as_ref()?)).sum()
        };
        let recorded = load.iter().map(|(piece, _)| piece.schedule.switches()).sum();
        let exits = load.iter().map(|(piece, _)| piece.schedule.exits()).sum();
        let mut records = vec![
            self.counted(
                load,
                Metric::PlayedSwitches,
                Source::Guest,
                total(|counts| Some(counts.played)),
                Some(recorded),
            ),
            traced(Metric::DrExits, total(|c| c.dr), total(|c| c.predicted_dr)),
            traced(Metric::InterposedExits, total(|c| c.interposed), Some(exits)),
            self.counted(
                load,
                Metric::Exits,
                Source::Statistics,
                total(|c| c.exits),
                total(|c| c.predicted_total),
            ),
        ];
        records.extend(self.costs(recorded, load, control));
        records
    }

    /// What the load takes for each switch, and how much more than its control for each second.
    fn costs(
        &self,
        recorded: u64,
        load: &[&(&Piece, Tally)],
        control: &[&(&Piece, Tally)],
    ) -> Vec<Record> {
        let (metric, _) = super::cost(self.context.clock);
        let unit = match self.context.clock {
            Clock::Hardware => reports::Unit::Ns,
            Clock::Instructions | Clock::EmulatorTime => reports::Unit::Instructions,
        };
        let scale = |ticks: f64| match (self.context.clock, self.context.target.tsc_khz) {
            (Clock::Hardware, Some(khz)) => ticks * 1e6 / f64::from(khz),
            (Clock::Hardware, None) => f64::NAN,
            (Clock::Instructions | Clock::EmulatorTime, _) => ticks,
        };
        let sum = |pieces: &[&(&Piece, Tally)]| -> Result<f64, Untimed> {
            let one = |(piece, tally): &(&Piece, Tally)| {
                tally.ticks.clone().map_err(|untimed| untimed.of(piece))
            };
            pieces.iter().map(|pair| one(pair)).sum::<Result<f64, _>>().map(scale)
        };
        let seconds = self.load.time().as_secs_f64() * self.cpus();
        let switches = Value::count(recorded).as_f64();
        let outcome = |value: Result<f64, Untimed>| match value {
            Ok(value) => Value::real((value * 1000.0).round() / 1000.0).map_or_else(
                || Outcome::skipped("KVM does not tell the guest's time stamp frequency"),
                Outcome::ok,
            ),
            Err(untimed) => untimed.outcome(),
        };
        let (load, control) = (sum(load), sum(control));
        let each = |total: &Result<f64, Untimed>| {
            let value = total.clone().map(|total| total / switches);
            self.row(metric.clone(), Source::Tsc, outcome(value))
        };
        let per_second = |metric, total: Result<f64, Untimed>| {
            let row = self.row(metric, Source::Model, outcome(total.map(|total| total / seconds)));
            Record { unit, ..row }
        };
        let [load_each, control_each] = [&load, &control].map(each);
        let taken = per_second(Metric::TakenPerSecond, control.clone());
        let more = load.and_then(|load| Ok(load - control?));
        let lost = per_second(Metric::LostPerSecond, more);
        let of_control = |row: Record| Record { key: without_breakpoints(row.key.clone()), ..row };
        vec![load_each, lost, of_control(control_each), of_control(taken)]
    }

    /// A count over all pieces, as good as the worst of them.
    fn counted(
        &self,
        pieces: &[&(&Piece, Tally)],
        metric: Metric,
        source: Source,
        count: Option<u64>,
        predicted: Option<u64>,
    ) -> Record {
        let weight = |blot: &Blot| match blot {
            Blot::None => 0,
            Blot::Unconfirmed(_) => 1,
            Blot::Unresolved(_) => 2,
            Blot::Failed(_) => 3,
        };
        let worst = pieces.iter().max_by_key(|(_, tally)| weight(&tally.blot));
        let outcome = match worst {
            None => Outcome::skipped("the record has no switch here"),
            Some((piece, tally)) => {
                let at = |reason: &String| format!("{piece}: {reason}");
                let blot = match &tally.blot {
                    Blot::None => Blot::None,
                    Blot::Unconfirmed(reason) => Blot::Unconfirmed(reason.clone()),
                    Blot::Unresolved(reason) => Blot::Unresolved(at(reason)),
                    Blot::Failed(reason) => Blot::Failed(at(reason)),
                };
                blot.outcome(count.map(Value::count))
            }
        };
        let row = self.row(metric, source, outcome);
        Record { predicted: predicted.map(Value::count), ..row }
    }

    fn cpus(&self) -> f64 {
        match self.cpu {
            Some(_) => 1.0,
            None => Value::count(self.load.cpus.len() as u64).as_f64(),
        }
    }

    fn row(&self, metric: Metric, source: Source, outcome: Outcome) -> Record {
        let Context { run, subject, .. } = self.context;
        let record = Record::new(run.clone(), subject.clone(), self.key(metric, source), outcome);
        Record { deterministic: self.context.clock == Clock::Instructions, ..record }
    }

    fn key(&self, metric: Metric, source: Source) -> Key {
        let id = &self.load.id;
        let (workload, cpus) = match self.cpu {
            Some(cpu) => {
                let cpu = &self.load.cpus[cpu];
                (format!("{id}.cpu{}", cpu.number), std::slice::from_ref(cpu))
            }
            None => (format!("{id}.all"), &self.load.cpus[..]),
        };
        let cell = reports::Cell {
            workload: name(&workload),
            policy: match self.session {
                Session::Kernel => reports::Policy::Kernel,
                Session::GuestDebug => reports::Policy::GuestDebug,
            },
            interposed: name(play::EXIT.name()),
            accesses: cpus.iter().map(|cpu| cpu.accesses).sum(),
            switches: cpus.iter().map(|cpu| cpu.switches).sum(),
            ..super::no_cell(&self.context.suite)
        };
        Key { target: self.context.on.clone().into(), cell: cell.into(), metric, source }
    }
}

/// The same CPU's record, with nothing accessed.
fn without_breakpoints(key: Key) -> Key {
    let workload = name(&format!("{}.control", key.cell.workload));
    let cell = reports::Cell { workload, accesses: 0, ..reports::Cell::clone(&key.cell) };
    Key { cell: cell.into(), ..key }
}

#[cfg(test)]
mod tests {
    use guest_payloads::{Pattern, Schedule, Step};

    use super::*;
    use crate::assess::tests::context;

    #[test]
    fn a_pass_in_which_a_switch_is_missing_has_failed_however_disturbed_it_was() {
        let comes = Step::Switch { leaves: false, comes: true };
        let steps = vec![comes, Step::Exit, comes];
        let schedule = Schedule { pattern: Pattern::Dr7, exit: play::EXIT, steps };
        let session = Session::Kernel;
        let piece = Piece { cpu: 0, number: 0, section: 0, session, control: false, schedule };
        let lazy = Verdict::Policy { policy: Policy::Lazy, confirmed: true };
        let tally = |played| {
            let batch = Batch { exits: Some(9), played, ..Batch::default() };
            let batches = [batch.clone(), batch];
            let passed = Passed { counted: Ok(&batches), costed: Ok(&batches) };
            Tally::of(&context(), &piece, passed, &lazy, Rearm::Yes)
        };
        assert!(matches!(tally(2).ticks, Err(Untimed::Disturbed(_))));
        let missing = tally(1);
        let Blot::Failed(why) = &missing.blot else { panic!("a switch is missing") };
        assert!(why.contains("played 1 of 2 switches"), "{why}");
        assert_eq!(missing.ticks, Err(Untimed::Broken(why.clone())));
    }
}
