//! From counts to a verdict: pure functions over what was measured.
//!
//! With A = traced asynchronous exits of a batch, and a prediction for the policy in force, counts
//! agree when
//!
//! - statistics total = traced total, less fast-path exits on kernels whose statistics leave them out;
//! - traced DR exits = prediction (`always`, `never`), or between prediction and prediction + A
//!   (`lazy`: each asynchronous exit may have armed the intercepts once more);
//! - traced total = predicted total + A + (traced DR − predicted DR).
//!
//! Batches with A = 0 must equal the prediction, and a cell needs [`Effort::NEEDED`] of them.

use bench_vmm::exits::ExitClass;
use guest_payloads::{InterposedKind, Policy, PredictedExits, Rearm};

use crate::plan::{Cell, Role, Session};
use crate::protocol::{Batch, Effort, Trace};

/// What the anchors say about a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every anchor fits this policy.
    Policy {
        /// Which.
        policy: Policy,
        /// Whether the tracepoint confirmed it; else it was found by subtraction from totals.
        confirmed: bool,
    },
    /// The guest's kernel code is interpreted: what showed it.
    Emulated(String),
    /// The anchors fit no policy: for each, the first prediction that broke.
    Unknown(Vec<String>),
    /// Too few undisturbed batches, or an anchor that could not be measured.
    Unresolved(String),
}

impl Verdict {
    /// The policy, if it is known.
    pub fn policy(&self) -> Option<Policy> {
        match self {
            Self::Policy { policy, .. } => Some(*policy),
            Self::Emulated(_) => Some(Policy::Emulated),
            Self::Unknown(_) | Self::Unresolved(_) => None,
        }
    }

    /// The word in the column `reason` and on the terminal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Policy { policy, .. } => policy.name(),
            Self::Emulated(_) => Policy::Emulated.name(),
            Self::Unknown(_) => "unknown",
            Self::Unresolved(_) => "unresolved",
        }
    }
}

/// The policy in force in a session, given the kernel's own.
pub fn in_force(policy: Policy, session: Session) -> Policy {
    match session {
        Session::Kernel => policy,
        Session::GuestDebug => policy.under_guest_debug(),
    }
}

/// Why one batch cannot have come from a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// Its DR exits are none that this policy makes.
    DrExits(String),
    /// Its counters do not add up, whatever the policy.
    Counters(String),
}

impl Contradiction {
    /// The sentence.
    pub fn reason(&self) -> &str {
        match self {
            Self::DrExits(reason) | Self::Counters(reason) => reason,
        }
    }
}

/// What one batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No asynchronous exit, everything equal to the prediction.
    Exact,
    /// Asynchronous exits came, and what was counted fits between the bounds.
    Disturbed,
    /// It contradicts the prediction.
    Broken(Contradiction),
}

/// Holds one batch against a prediction.
pub fn examine(batch: &Batch, policy: Policy, predicted: PredictedExits) -> Finding {
    let due = predicted.breakpoints();
    if due > 0 && batch.played != due {
        return Finding::Broken(Contradiction::Counters(format!(
            "the guest took {} breakpoint exceptions, {due} were due",
            batch.played
        )));
    }
    match &batch.trace {
        Some(trace) => examine_traced(batch, trace, policy, predicted),
        None => examine_total(batch, policy, predicted),
    }
}

fn examine_traced(
    batch: &Batch,
    trace: &Trace,
    policy: Policy,
    predicted: PredictedExits,
) -> Finding {
    let disturbed = trace.asynchronous;
    // Only a lazy kernel answers an asynchronous exit by intercepting once more, and only where there
    // is an access to intercept.
    let slack = if policy == Policy::Lazy && predicted.dr > 0 { disturbed } else { 0 };
    if !(predicted.dr..=predicted.dr + slack).contains(&trace.dr) {
        return Finding::Broken(Contradiction::DrExits(format!(
            "{} DR exits, `{policy}` predicts {}{}",
            trace.dr,
            predicted.dr,
            if slack > 0 { format!(" to {}", predicted.dr + slack) } else { String::new() },
        )));
    }
    let total = predicted.total() + disturbed + (trace.dr - predicted.dr);
    if trace.total != total {
        return Finding::Broken(Contradiction::Counters(format!(
            "the tracepoint counted {} exits where {total} explain themselves ({})",
            trace.total,
            reasons(trace),
        )));
    }
    let counted = trace.total - predicted.uncounted;
    if let Some(exits) = batch.exits.filter(|&exits| exits != counted) {
        let explained = match predicted.uncounted {
            0 => String::new(),
            left_out => format!(", of which the statistics should leave out {left_out}"),
        };
        return Finding::Broken(Contradiction::Counters(format!(
            "the statistics say {exits} exits, the tracepoint {}{explained}",
            trace.total
        )));
    }
    if disturbed == 0 { Finding::Exact } else { Finding::Disturbed }
}

/// Without the tracepoint a larger total may be an asynchronous exit: only too few exits contradict.
fn examine_total(batch: &Batch, policy: Policy, predicted: PredictedExits) -> Finding {
    let Some(exits) = batch.exits else { return Finding::Disturbed };
    match exits.cmp(&predicted.counted()) {
        std::cmp::Ordering::Equal => Finding::Exact,
        std::cmp::Ordering::Greater => Finding::Disturbed,
        std::cmp::Ordering::Less => Finding::Broken(Contradiction::DrExits(format!(
            "{exits} exits in all, `{policy}` predicts {}",
            predicted.counted()
        ))),
    }
}

fn reasons(trace: &Trace) -> String {
    let list: Vec<_> =
        trace.by_class.iter().map(|(code, count)| format!("{} {count}", code.class())).collect();
    list.join(", ")
}

/// What all batches of a cell say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Enough undisturbed batches, all equal to the prediction.
    Agrees,
    /// Too few undisturbed batches; nothing contradicts.
    Unresolved(String),
    /// A batch contradicts the prediction.
    Broken(Contradiction),
}

/// Holds all batches of a cell against a policy in force.
pub fn judge(batches: &[Batch], policy: Policy, predicted: PredictedExits) -> Judgement {
    let mut exact = 0;
    for batch in batches {
        match examine(batch, policy, predicted) {
            Finding::Exact => exact += 1,
            Finding::Disturbed => {}
            Finding::Broken(contradiction) => return Judgement::Broken(contradiction),
        }
    }
    if exact < Effort::NEEDED {
        Judgement::Unresolved(format!(
            "{exact} of {} batches were undisturbed, {} are needed",
            batches.len(),
            Effort::NEEDED
        ))
    } else {
        Judgement::Agrees
    }
}

/// The same where every batch is meant to be disturbed: all between the bounds, and as many as it
/// takes to be judged at all.
pub fn judge_disturbed(batches: &[Batch], policy: Policy, predicted: PredictedExits) -> Judgement {
    match judge(batches, policy, predicted) {
        Judgement::Unresolved(_) if batches.len() as u32 >= Effort::NEEDED => Judgement::Agrees,
        judgement => judgement,
    }
}

/// A cell and the batches of its counted pass; or why there are none.
pub type Evidence<'a> = (&'a Cell, Result<&'a [Batch], &'a str>);

/// The verdict, from everything that is no ordinary cell.
pub fn verdict(evidence: &[Evidence<'_>]) -> Verdict {
    if let Some(shown_by) = interpreted(evidence) {
        return Verdict::Emulated(shown_by);
    }
    let mut anchors = Vec::new();
    for (cell, batches) in evidence.iter().filter(|(cell, _)| cell.role == Role::Anchor) {
        match batches {
            Ok(batches) => anchors.push((*cell, *batches)),
            Err(reason) => {
                return Verdict::Unresolved(format!("anchor {cell} was not measured: {reason}"));
            }
        }
    }
    let uncounted = |batch: &Batch| batch.exits.is_none() && batch.trace.is_none();
    if anchors.iter().all(|(_, batches)| batches.iter().all(uncounted)) {
        return Verdict::Unresolved(
            "nothing counts exits here: neither KVM's statistics nor the tracepoint".to_owned(),
        );
    }
    let confirmed =
        anchors.iter().all(|(_, batches)| batches.iter().all(|batch| batch.trace.is_some()));
    let mut broken = Vec::new();
    let mut unresolved = Vec::new();
    for policy in [Policy::Always, Policy::Lazy, Policy::Never] {
        match fits(&anchors, policy) {
            Judgement::Agrees => return Verdict::Policy { policy, confirmed },
            Judgement::Unresolved(reason) => unresolved.push(format!("{policy}: {reason}")),
            Judgement::Broken(contradiction) => {
                broken.push(format!("not {policy}: {}", contradiction.reason()));
            }
        }
    }
    if unresolved.is_empty() {
        Verdict::Unknown(broken)
    } else {
        Verdict::Unresolved(format!("not excluded: {}", unresolved.join("; ")))
    }
}

/// Whether all anchors fit one policy.
fn fits(anchors: &[(&Cell, &[Batch])], policy: Policy) -> Judgement {
    let mut open = None;
    for (cell, batches) in anchors {
        let policy = in_force(policy, cell.session);
        match judge(batches, policy, cell.workload.predict(policy, Rearm::Yes)) {
            Judgement::Agrees => {}
            Judgement::Unresolved(reason) => open = Some(format!("{cell}: {reason}")),
            Judgement::Broken(Contradiction::DrExits(reason)) => {
                return Judgement::Broken(Contradiction::DrExits(format!("{cell}: {reason}")));
            }
            Judgement::Broken(Contradiction::Counters(reason)) => {
                return Judgement::Broken(Contradiction::Counters(format!("{cell}: {reason}")));
            }
        }
    }
    open.map_or(Judgement::Agrees, Judgement::Unresolved)
}

/// Whether the emulation statistic grows with a loop that touches no debug register: at least one
/// interpreted instruction for each additional switch of the control.
fn interpreted(evidence: &[Evidence<'_>]) -> Option<String> {
    let control = evidence.iter().find(|(cell, _)| {
        cell.role == Role::Cell
            && cell.workload.accesses() == 0
            && cell.workload.interposed.is_none()
    });
    let probe = evidence.iter().find(|(cell, _)| cell.role == Role::EmulationProbe);
    let ((short, few), (long, many)) = control.zip(probe)?;
    let few = median_emulated(few.as_ref().ok()?)?;
    let many = median_emulated(many.as_ref().ok()?)?;
    let additional = long.workload.switches - short.workload.switches;
    let growth = many.saturating_sub(few);
    (growth >= additional.into()).then(|| {
        format!(
            "{additional} more rounds of a loop without DR accesses made KVM emulate {growth} more \
             instructions"
        )
    })
}

fn median_emulated(batches: &[Batch]) -> Option<u64> {
    let mut counts: Vec<_> = batches.iter().filter_map(|batch| batch.emulated).collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied()
}

/// What the probe says about a kind of exit. A lazy kernel tells by its DR exits; any other only where
/// the statistics leave fast-path exits out.
pub fn fast_path(verdict: &Verdict, probe: &Cell, batches: &[Batch]) -> Result<Rearm, String> {
    let policy = verdict.policy().filter(|&policy| policy != Policy::Emulated);
    for rearm in Rearm::ALL {
        let Some(policy) = policy else { break };
        let told = policy == Policy::Lazy || rearm == Rearm::NoUncounted;
        let predicted = probe.workload.predict(policy, rearm);
        // Two DR exits with an asynchronous exit prove nothing: only undisturbed batches count here.
        let exact = |batch: &&Batch| {
            // What the statistics leave out, only they can tell; no exit is counted that was none.
            (rearm != Rearm::NoUncounted || batch.exits.is_some())
                && examine(batch, policy, predicted) == Finding::Exact
        };
        if told && batches.iter().filter(exact).count() >= Effort::NEEDED as usize {
            return Ok(rearm);
        }
    }
    if policy != Some(Policy::Lazy) {
        return Err(format!(
            "only a lazy kernel shows whether an exit is a fast path; this one is {}",
            verdict.name()
        ));
    }
    Err(format!("of {} batches too few were undisturbed and alike", batches.len()))
}

/// The class of exit an interposed instruction makes.
pub fn class_of(kind: InterposedKind) -> ExitClass {
    match kind {
        InterposedKind::Cpuid => ExitClass::Cpuid,
        InterposedKind::Hypercall => ExitClass::Hypercall,
        InterposedKind::Hlt => ExitClass::Hlt,
        InterposedKind::PioKernel | InterposedKind::PioUser => ExitClass::Io,
        InterposedKind::Rdmsr | InterposedKind::Wrmsr | InterposedKind::TscDeadline => {
            ExitClass::Msr
        }
        InterposedKind::PageTouch => ExitClass::Asynchronous,
        InterposedKind::Breakpoint => ExitClass::Exception,
    }
}

/// Traced exits of the interposed kind, the END marker's own left out where both are OUTs: the
/// marker is known by its port; of nested page faults, those that are no disturbance.
pub fn interposed_exits(trace: &Trace, kind: InterposedKind) -> u64 {
    let class = class_of(kind);
    let of_class = trace.by_class.iter().filter(|(code, _)| code.class() == class);
    let count: u64 = of_class.map(|(_, count)| count).sum();
    match class {
        ExitClass::Io => count.saturating_sub(1),
        ExitClass::Asynchronous => count.saturating_sub(trace.asynchronous),
        _ => count,
    }
}

#[cfg(test)]
mod tests;
