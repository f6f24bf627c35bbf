//! From a record to what the guest executes.
//!
//! Every recorded switch is played, in its order, CPU by CPU. The time between two switches is not:
//! a second of it would be a thousand million instructions in which nothing happens to the debug
//! registers. What matters of it are the exits, after which a lazy kernel intercepts again. A record
//! of switches does not have them, so they are supposed: a stated number for each second in which the
//! CPU is not idle, evenly, and one where it becomes idle (its HLT).

use std::fmt;
use std::time::Duration;

use drbench_lab::cache::Digest;
use guest_payloads::{InterposedKind, Pattern, Schedule, SectionSize, Step};

use super::record::{Recorded, Recording, Selection};
use crate::plan::Session;

/// How the exits of a record are played.
pub const EXIT: InterposedKind = InterposedKind::Cpuid;
/// Most exits that one run plays if every access makes one: at some 3000 instructions each, in two
/// sessions and two passes, an emulator takes minutes, and a boot has a time limit.
pub const MOST_EXITS: u64 = 150_000;
/// A section has to end well within a timer's period, four million instructions of the lab's.
const SECTION: SectionSize = SectionSize { wanted: 150, most: 300, switches: 4000 };

/// What the record does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Playing {
    /// How a task's breakpoints are switched.
    pub pattern: Pattern,
    /// Exits in a second of a CPU that is not idle.
    pub exits_per_second: u32,
}

/// A record, ready to be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// What names it in rows: records and parameters that differ have different names.
    pub id: String,
    /// The checksum of the record's text.
    pub sum: Digest,
    /// Nanoseconds from the first switch to the last.
    pub ns: u64,
    /// Places where the record does not fit together.
    pub gaps: u64,
    /// Whether only a part of the record is played.
    pub cut: bool,
    /// Its CPUs.
    pub cpus: Vec<Cpu>,
    /// What is measured, one piece after the other.
    pub pieces: Vec<Piece>,
    playing: Playing,
}

/// One CPU of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its number in the record.
    pub number: u32,
    /// Its recorded switches.
    pub switches: u64,
    /// Accesses to debug registers in them.
    pub accesses: u64,
    /// Exits between them.
    pub exits: u64,
    /// Sections it is cut into.
    pub sections: usize,
}

/// One section of one CPU, in one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its CPU, as an index into [`Load::cpus`].
    pub cpu: usize,
    /// That CPU's number in the record.
    pub number: u32,
    /// Which section of the CPU, from 0.
    pub section: usize,
    /// What is asked of KVM.
    pub session: Session,
    /// The same section without breakpoints.
    pub control: bool,
    /// What the guest executes.
    pub schedule: Schedule,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "section {} of the trace's CPU {}", self.section + 1, self.number)?;
        if self.control {
            f.write_str(" without breakpoints")?;
        }
        match self.session {
            Session::Kernel => Ok(()),
            Session::GuestDebug => f.write_str(" under guest debug"),
        }
    }
}

impl Load {
    /// Makes schedules of a record.
    ///
    /// # Errors
    /// A record that would be played with too many exits; what to change.
    pub fn of(
        recording: &Recording,
        selection: &Selection,
        playing: Playing,
    ) -> Result<Self, String> {
        if let Pattern::Broken(_) = playing.pattern {
            return Err(format!("--debugged-as {}: that guest does not go on", playing.pattern));
        }
        let (mut cpus, mut pieces) = (Vec::new(), Vec::new());
        let mut room = MOST_EXITS;
        for &number in recording.cpus.keys() {
            let schedule = schedule(recording, number, playing, &mut room)
                .ok_or_else(|| too_many(recording, playing))?;
            let sections = schedule.sections(SECTION);
            for session in Session::ALL {
                pieces.extend(pieces_of((cpus.len(), number), session, &sections));
            }
            cpus.push(Cpu {
                number,
                switches: schedule.switches(),
                accesses: schedule.accesses(),
                exits: schedule.exits(),
                sections: sections.len(),
            });
        }
        let Recording { ns, gaps, cut, .. } = *recording;
        let (id, sum) = (id(recording, selection, playing), recording.sum);
        Ok(Self { id, sum, ns, gaps, cut, cpus, pieces, playing })
    }

    /// What is recorded, all CPUs together.
    pub fn switches(&self) -> u64 {
        self.cpus.iter().map(|cpu| cpu.switches).sum()
    }

    /// How long the record is.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.ns)
    }
}

/// What is played and what is supposed, in sentences.
impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Playing { pattern, exits_per_second } = self.playing;
        write!(
            f,
            "The trace has {} switches in {:.6} s on {} CPUs{}. Every switch is played, a task with \
             breakpoints as {pattern}. The time between is not: it is played as exits ({}), by \
             supposition {exits_per_second} for each second of a CPU that is not idle and one where \
             it becomes idle. Taken is what that takes without breakpoints, lost what it takes more \
             with them, for each second of the trace; `all` is the mean of its CPUs.",
            self.switches(),
            self.time().as_secs_f64(),
            self.cpus.len(),
            if self.cut { ", the first part of a longer one" } else { "" },
            EXIT.name(),
        )?;
        if self.gaps > 0 {
            write!(
                f,
                " The trace has {} gaps, where a task leaves that has not come: switches are missing \
                 there, and cannot be played.",
                self.gaps
            )?;
        }
        Ok(())
    }
}

/// A section's cells. Where nothing is accessed, it is its own control.
fn pieces_of((cpu, number): (usize, u32), session: Session, sections: &[Schedule]) -> Vec<Piece> {
    let piece =
        |section, control, schedule| Piece { cpu, number, section, session, control, schedule };
    let both = |(section, schedule): (usize, &Schedule)| {
        let control = (schedule.accesses() > 0).then(|| piece(section, true, schedule.control()));
        [Some(piece(section, false, schedule.clone())), control]
    };
    sections.iter().enumerate().flat_map(both).flatten().collect()
}

/// Exits by the time in which a CPU is busy, at a rate.
struct Due {
    per_second: u32,
    busy_ns: u128,
    done: u128,
}

impl Due {
    /// How many more are due after so much more time.
    fn after(&mut self, ns: u64) -> Option<u64> {
        const NS: u128 = 1_000_000_000;
        self.busy_ns += u128::from(ns);
        let due = self.busy_ns * u128::from(self.per_second) / NS;
        let exits = due - self.done;
        self.done = due;
        u64::try_from(exits).ok()
    }
}

/// The steps of CPU `number`, from the record's begin to its end; none if there is no `room` for its
/// exits.
fn schedule(
    recording: &Recording,
    number: u32,
    playing: Playing,
    room: &mut u64,
) -> Option<Schedule> {
    let Playing { pattern, exits_per_second } = playing;
    let switches = &recording.cpus[&number];
    let costs = |leaves, comes| {
        Schedule { pattern, exit: EXIT, steps: vec![Step::Switch { leaves, comes }] }.accesses()
    };
    let (leaving, coming) = (costs(true, false), costs(false, true));
    let mut due = Due { per_second: exits_per_second, busy_ns: 0, done: 0 };
    let mut steps = Vec::new();
    let mut exit = |steps: &mut Vec<Step>, exits: u64, accesses: u64| {
        *room = room.checked_sub(exits.checked_add(accesses)?)?;
        steps.extend(std::iter::repeat_n(Step::Exit, exits as usize));
        Some(())
    };
    if let Some(first) = switches.first()
        && !recording.began_idle.contains(&number)
    {
        exit(&mut steps, due.after(first.ns - recording.begin)?, 0)?;
    }
    for (index, &Recorded { ns, leaves, comes, idles, .. }) in switches.iter().enumerate() {
        steps.push(Step::Switch { leaves, comes });
        let next = switches.get(index + 1).map(|next| next.ns);
        let until = next.unwrap_or(recording.begin + recording.ns);
        let exits =
            if idles { u64::from(next.is_some() || until > ns) } else { due.after(until - ns)? };
        exit(&mut steps, exits, u64::from(leaves) * leaving + u64::from(comes) * coming)?;
    }
    Some(Schedule { pattern, exit: EXIT, steps })
}

fn too_many(recording: &Recording, playing: Playing) -> String {
    format!(
        "its {} switches in {:.3} s would be played with more than {MOST_EXITS} exits, the most of one \
         run, if every access makes one ({} at a switch to and from a task with breakpoints, and {} \
         exits a second). Play less of it with --trace-switches N, or lower --exits-per-second",
        recording.switches(),
        Duration::from_nanos(recording.ns).as_secs_f64(),
        playing.pattern.accesses(),
        playing.exits_per_second
    )
}

/// A few digits that differ wherever something differs in what is played.
fn id(recording: &Recording, selection: &Selection, playing: Playing) -> String {
    const DIGITS: usize = 8;
    let all = format!("{} {selection:?} {playing:?}", recording.sum);
    Digest::of(all.as_bytes()).to_string()[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use guest_payloads::{Policy, Rearm, Slot};
    use proptest::prelude::*;

    use super::*;

    const PLAYING: Playing =
        Playing { pattern: Pattern::LinuxHwbp(Slot::S0), exits_per_second: 1000 };

    fn recording(switches: &[Recorded]) -> Recording {
        let begin = switches.first().map_or(0, |first| first.ns);
        let ns = switches.last().map_or(0, |last| last.ns) - begin;
        let cpus = BTreeMap::from([(3, switches.to_vec())]);
        Recording {
            cpus,
            began_idle: BTreeSet::new(),
            begin,
            ns,
            gaps: 0,
            cut: false,
            sum: Digest::of(b"a record"),
        }
    }

    fn load(switches: &[Recorded], playing: Playing) -> Result<Load, String> {
        let selection = Selection { debugged: vec!["a".to_owned()], first: None };
        Load::of(&recording(switches), &selection, playing)
    }

    fn at_ms(ms: u64, leaves: bool, comes: bool, idles: bool) -> Recorded {
        Recorded { ns: ms * 1_000_000, leaves, comes, idles }
    }

    #[test]
    fn busy_time_is_played_as_exits_at_the_rate_and_idle_time_as_one() {
        let switches = [
            at_ms(0, false, true, false), // busy for 3 ms: 3 exits
            at_ms(3, true, false, true),  // idle for 97 ms: one
            at_ms(100, false, true, false),
            at_ms(100, true, false, false),
        ];
        let load = load(&switches, PLAYING).unwrap();
        let steps = &load.pieces[0].schedule.steps;
        let comes = Step::Switch { leaves: false, comes: true };
        let leaves = Step::Switch { leaves: true, comes: false };
        let [exit, x] = [Step::Exit; 2];
        assert_eq!(*steps, [comes, exit, exit, exit, leaves, x, comes, leaves]);
        assert_eq!((load.cpus[0].number, load.cpus[0].accesses, load.cpus[0].exits), (3, 6, 4));
        let told = load.to_string();
        assert!(
            told.contains("4 switches in 0.100000 s") && told.contains("linux-hwbp-1"),
            "{told}"
        );
    }

    #[test]
    fn a_cpu_is_busy_or_idle_before_its_first_switch_and_after_its_last_too() {
        // The record lasts 100 ms, of CPU 0; CPU 3 has a switch in its middle.
        let with = |middle: Recorded, began_idle: bool| {
            let whole = [at_ms(0, false, true, false), at_ms(100, true, false, false)];
            let mut recording = recording(&whole);
            recording.cpus = BTreeMap::from([(0, whole.to_vec()), (3, vec![middle])]);
            recording.began_idle = began_idle.then_some(3).into_iter().collect();
            let selection = Selection { debugged: vec!["a".to_owned()], first: None };
            Load::of(&recording, &selection, PLAYING).unwrap().cpus[1].exits
        };
        let middle = at_ms(40, false, false, false);
        let idles = Recorded { idles: true, ..middle };
        assert_eq!(with(middle, false), 100, "busy all the time");
        assert_eq!([with(middle, true), with(idles, false), with(idles, true)], [60, 41, 1]);
    }

    #[test]
    fn what_would_take_for_ever_is_refused_with_what_to_change() {
        let long = [at_ms(0, false, true, false), at_ms(1_000_000_000, true, false, false)];
        for playing in [PLAYING, Playing { exits_per_second: u32::MAX, ..PLAYING }] {
            let error = load(&long, playing).unwrap_err();
            assert!(error.contains("--exits-per-second"), "{error}");
        }
        let none = Playing { exits_per_second: 0, ..PLAYING };
        assert_eq!(load(&long, none).unwrap().cpus[0].exits, 0);
        let largest = [
            Recorded { ns: 0, leaves: false, comes: true, idles: false },
            Recorded { ns: u64::MAX, leaves: true, comes: false, idles: false },
        ];
        assert!(load(&largest, Playing { exits_per_second: u32::MAX, ..PLAYING }).is_err());
        let many: Vec<_> = (0..100_000).map(|ms| at_ms(ms / 1000, true, true, false)).collect();
        assert!(load(&many, PLAYING).unwrap_err().contains("--trace-switches"));
    }

    #[test]
    fn a_load_is_named_by_everything_that_decides_what_is_played() {
        let switches = [at_ms(0, false, true, false), at_ms(9, true, false, false)];
        let one = load(&switches, PLAYING).unwrap();
        let other = load(&switches, Playing { exits_per_second: 999, ..PLAYING }).unwrap();
        assert_eq!(one.id, load(&switches, PLAYING).unwrap().id);
        assert_ne!(one.id, other.id);
    }

    proptest! {
        #[test]
        fn sections_play_every_recorded_switch_once(
            raw in prop::collection::vec((0u64..20_000_000, any::<[bool; 3]>()), 1..200),
            rate in prop::sample::select(vec![0u32, 100, 1000]),
        ) {
            let mut ns = 0;
            let switches: Vec<_> = raw.iter().map(|&(later, [leaves, comes, idles])| {
                ns += later;
                Recorded { ns, leaves, comes, idles }
            }).collect();
            let playing = Playing { exits_per_second: rate, ..PLAYING };
            let load = load(&switches, playing).unwrap();
            for session in Session::ALL {
                let own = |piece: &&Piece| piece.session == session && !piece.control;
                let played: u64 =
                    load.pieces.iter().filter(own).map(|piece| piece.schedule.switches()).sum();
                prop_assert_eq!(played, switches.len() as u64);
            }
            // At a thousand exits a second no section has to be cut elsewhere: a lazy kernel's exits
            // are those of the whole.
            if rate == 1000 {
                let whole = Schedule {
                    steps: load.pieces.iter()
                        .filter(|piece| piece.session == Session::Kernel && !piece.control)
                        .flat_map(|piece| piece.schedule.steps.clone())
                        .collect(),
                    pattern: playing.pattern,
                    exit: EXIT,
                };
                let lazy = |one: &Schedule| one.predict(Policy::Lazy, Rearm::Yes).dr;
                let own = |piece: &&Piece| piece.session == Session::Kernel && !piece.control;
                let sum: u64 = load.pieces.iter().filter(own).map(|piece| lazy(&piece.schedule)).sum();
                prop_assert_eq!(sum, lazy(&whole));
            }
        }
    }
}
