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
    /// SHA-256 of the record's text, in hexadecimal.
    pub sum: String,
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
        for (&number, switches) in &recording.cpus {
            let schedule = schedule(switches, playing, &mut room)
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
        let (id, sum) = (id(recording, selection, playing), recording.sum.clone());
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

/// One CPU's steps; none if there is no `room` for its exits.
fn schedule(switches: &[Recorded], playing: Playing, room: &mut u64) -> Option<Schedule> {
    const NS: u128 = 1_000_000_000;
    let costs = |leaves, comes| {
        let steps = vec![Step::Switch { leaves, comes }];
        Schedule { pattern: playing.pattern, exit: EXIT, steps }.accesses()
    };
    let (leaving, coming) = (costs(true, false), costs(false, true));
    let (mut steps, mut busy, mut done) = (Vec::new(), 0u128, 0u128);
    for (index, &Recorded { ns, leaves, comes, idles }) in switches.iter().enumerate() {
        steps.push(Step::Switch { leaves, comes });
        let next = switches.get(index + 1);
        let exits = match next {
            None => 0,
            Some(_) if idles => 1,
            Some(next) => {
                busy += u128::from(next.ns - ns);
                let due = busy * u128::from(playing.exits_per_second) / NS;
                let exits = due - done;
                done = due;
                u64::try_from(exits).ok()?
            }
        };
        let accesses = u64::from(leaves) * leaving + u64::from(comes) * coming;
        *room = room.checked_sub(exits.checked_add(accesses)?)?;
        steps.extend(std::iter::repeat_n(Step::Exit, exits as usize));
    }
    Some(Schedule { pattern: playing.pattern, exit: EXIT, steps })
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
    use std::collections::BTreeMap;

    use guest_payloads::{Policy, Rearm, Slot};
    use proptest::prelude::*;

    use super::*;

    const PLAYING: Playing =
        Playing { pattern: Pattern::LinuxHwbp(Slot::S0), exits_per_second: 1000 };

    fn recording(switches: &[Recorded]) -> Recording {
        let ns = switches.last().map_or(0, |last| last.ns) - switches.first().map_or(0, |s| s.ns);
        let cpus = BTreeMap::from([(3, switches.to_vec())]);
        Recording { cpus, ns, gaps: 0, cut: false, sum: "0".repeat(64) }
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
