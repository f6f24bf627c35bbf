//! A record's text, read line by line into the switches of each CPU.
//!
//! Whatever the file is, reading ends: lines, their length and the switches kept are bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drbench_lab::cache::Digest;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::line::{self, Line, Switch};

/// Most switches that one run plays: in the lab each takes about a millisecond.
pub const MOST_SWITCHES: u64 = 100_000;
/// Most bytes of a line. Those about switches have about 200.
const MOST_BYTES: u64 = 16 * 1024;
/// Most lines, all kinds together.
const MOST_LINES: u64 = 20_000_000;
/// How binary records begin, and what makes text of them.
const BINARY: [(&[u8], &str); 2] = [
    (b"PERFILE2", "it is a file of `perf record`; write its text: perf script -i FILE > FILE.txt"),
    (
        b"\x17\x08\x44tracing",
        "it is a file of `trace-cmd record`; write its text: trace-cmd report -i FILE > FILE.txt",
    ),
];

/// A record that cannot be played.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error("reading the trace {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line cannot be understood.
    #[error("the trace {}, line {line}: {problem}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What was expected.
        problem: String,
    },
    /// The file as a whole cannot be played.
    #[error("the trace {}: {problem}", path.display())]
    Whole {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// What to take from a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Names of tasks that carry breakpoints.
    pub debugged: Vec<String>,
    /// Only that many switches, the first ones; none: all.
    pub first: Option<NonZeroU64>,
}

/// A recorded switch, as far as a schedule needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When, in nanoseconds of the record's clock.
    pub ns: u64,
    /// The task that leaves carries breakpoints.
    pub leaves: bool,
    /// The task that comes carries breakpoints.
    pub comes: bool,
    /// The CPU becomes idle.
    pub idles: bool,
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The switches of each CPU, in time.
    pub cpus: BTreeMap<u32, Vec<Recorded>>,
    /// Those of them that were idle until their first switch.
    pub began_idle: BTreeSet<u32>,
    /// When the first switch was, on whatever CPU, by the record's clock.
    pub begin: u64,
    /// Nanoseconds from it to the last.
    pub ns: u64,
    /// Where the record does not fit together: a task leaves that did not come, or the recorder says
    /// that it lost events.
    pub gaps: u64,
    /// Whether only a part was taken.
    pub cut: bool,
    /// The checksum of what was taken.
    pub sum: Digest,
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// [`RecordError`], which names the line where there is one.
    pub fn read(path: &Path, selection: &Selection) -> Result<Self, RecordError> {
        let file =
            File::open(path).map_err(|source| RecordError::Io { path: path.to_owned(), source })?;
        Self::of(BufReader::new(file), path, selection)
    }

    /// The same from anything that can be read; `path` is for errors.
    pub fn of(text: impl BufRead, path: &Path, selection: &Selection) -> Result<Self, RecordError> {
        let mut lines = Lines { text, path, number: 0, line: Vec::new(), sum: Sha256::new() };
        let mut reading = Reading::default();
        let (mut cut, mut sum) = (false, None);
        while let Some(line) = lines.next()? {
            match line::read(line).and_then(|line| reading.take(&line, &selection.debugged)) {
                Ok(()) => {}
                Err(problem) => return Err(lines.problem(problem)),
            }
            if selection.first.is_some_and(|first| reading.switches == first.get()) {
                sum = Some(lines.sum.clone());
                cut = lines.have_another_switch();
                break;
            }
            if reading.switches > MOST_SWITCHES {
                return Err(whole(path, reading.too_many()));
            }
        }
        reading.check(selection, lines.number).map_err(|problem| whole(path, problem))?;
        let sum: [u8; 32] = sum.unwrap_or(lines.sum).finalize().into();
        let Reading { cpus, began_idle, gaps, first, last, .. } = reading;
        let (begin, ns) = (first, last - first);
        Ok(Self { cpus, began_idle, begin, ns, gaps, cut, sum: Digest::from(sum) })
    }

    /// All switches.
    pub fn switches(&self) -> u64 {
        self.cpus.values().map(|switches| switches.len() as u64).sum()
    }
}

fn whole(path: &Path, problem: String) -> RecordError {
    RecordError::Whole { path: path.to_owned(), problem }
}

/// The lines of a text, each within bounds.
struct Lines<'a, R> {
    text: R,
    path: &'a Path,
    number: u64,
    line: Vec<u8>,
    sum: Sha256,
}

impl<R: BufRead> Lines<'_, R> {
    fn next(&mut self) -> Result<Option<&str>, RecordError> {
        self.line.clear();
        let mut bounded = (&mut self.text).take(MOST_BYTES + 1);
        let read = bounded.read_until(b'\n', &mut self.line);
        let read = read.map_err(|source| RecordError::Io { path: self.path.to_owned(), source })?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.sum.update(&self.line);
        if self.number == 1
            && let Some((_, what)) = BINARY.iter().find(|(head, _)| self.line.starts_with(head))
        {
            return Err(whole(self.path, (*what).to_owned()));
        }
        if self.line.len() as u64 > MOST_BYTES {
            return Err(self.problem(format!(
                "it is longer than {MOST_BYTES} bytes; expected the text of `perf script` or \
                 `trace-cmd report`"
            )));
        }
        if self.number > MOST_LINES {
            return Err(self.problem(format!(
                "there are more than {MOST_LINES} lines; leave out what is no switch: grep \
                 sched_switch: FILE"
            )));
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        if line.contains(&0) {
            return Err(self.problem(
                "it has zero bytes; expected the text of `perf script` or `trace-cmd report`"
                    .to_owned(),
            ));
        }
        std::str::from_utf8(line).map(Some).map_err(|error| {
            let (path, line) = (self.path.to_owned(), self.number);
            let problem = format!("expected text in UTF-8: {error}");
            RecordError::Line { path, line, problem }
        })
    }

    /// Whether there is more than what was taken. Where the rest makes no sense there is more, too.
    fn have_another_switch(&mut self) -> bool {
        loop {
            match self.next() {
                Ok(None) => return false,
                Ok(Some(text)) if matches!(line::read(text), Ok(Line::Other)) => {}
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }

    fn problem(&self, problem: String) -> RecordError {
        RecordError::Line { path: self.path.to_owned(), line: self.number, problem }
    }
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    cpus: BTreeMap<u32, Vec<Recorded>>,
    began_idle: BTreeSet<u32>,
    /// The task that came last on each CPU.
    running: HashMap<u32, u32>,
    /// How often each task came or left, by its name.
    names: HashMap<String, u64>,
    switches: u64,
    gaps: u64,
    first: u64,
    last: u64,
}

impl Reading {
    fn take(&mut self, line: &Line<'_>, debugged: &[String]) -> Result<(), String> {
        match line {
            Line::Switch(switch) => self.switch(switch, debugged),
            Line::Lost => {
                self.gaps += 1;
                Ok(())
            }
            Line::Other => Ok(()),
        }
    }

    fn switch(&mut self, switch: &Switch<'_>, debugged: &[String]) -> Result<(), String> {
        let Switch { cpu, ns, prev, next } = *switch;
        let earlier = self.cpus.entry(cpu).or_default();
        if let Some(last) = earlier.last().filter(|last| last.ns > ns) {
            return Err(format!(
                "the time goes back on CPU {cpu}, from {} to {ns} ns; expected the switches of a CPU \
                 in their order, of one record",
                last.ns
            ));
        }
        let carries = |comm: &str| debugged.iter().any(|name| name == comm);
        let (leaves, comes) = (carries(prev.comm), carries(next.comm));
        if earlier.is_empty() && prev.pid == 0 {
            self.began_idle.insert(cpu);
        }
        earlier.push(Recorded { ns, leaves, comes, idles: next.pid == 0 });
        let running = self.running.insert(cpu, next.pid);
        self.gaps += u64::from(running.is_some_and(|running| running != prev.pid));
        for comm in [prev.comm, next.comm] {
            match self.names.get_mut(comm) {
                Some(times) => *times += 1,
                None => drop(self.names.insert(comm.to_owned(), 1)),
            }
        }
        self.first = if self.switches == 0 { ns } else { self.first.min(ns) };
        self.last = self.last.max(ns);
        self.switches += 1;
        Ok(())
    }

    /// Whether it can be played.
    fn check(&self, selection: &Selection, lines: u64) -> Result<(), String> {
        if self.switches == 0 {
            return Err(format!(
                "no line of its {lines} is a context switch; expected the text of `perf script` or \
                 `trace-cmd report`, of the event sched:sched_switch"
            ));
        }
        if self.last == self.first {
            return Err(format!(
                "all its switches ({}) are of the same time; expected a record that lasts",
                self.switches
            ));
        }
        let absent = selection.debugged.iter().find(|&name| !self.names.contains_key(name));
        match absent {
            Some(name) => Err(format!(
                "no task is called `{name}` (--debugged); the commonest are {}",
                self.commonest()
            )),
            None if selection.debugged.is_empty() => Err(format!(
                "--debugged COMM must say which tasks carry breakpoints, or nothing would exit; the \
                 commonest are {}",
                self.commonest()
            )),
            None => Ok(()),
        }
    }

    fn too_many(&self) -> String {
        format!(
            "it has more than {MOST_SWITCHES} switches, the most that one run plays; so many take \
             {:.3} s of the record. --trace-switches N plays the first N only",
            Duration::from_nanos(self.last - self.first).as_secs_f64()
        )
    }

    fn commonest(&self) -> String {
        const SHOWN: usize = 8;
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|&(name, times)| (std::cmp::Reverse(*times), name));
        let shown = names.iter().take(SHOWN);
        shown.map(|(name, _)| format!("`{}`", name.escape_debug())).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selection(debugged: &str) -> Selection {
        let debugged = debugged.split_whitespace().map(str::to_owned).collect();
        Selection { debugged, first: None }
    }

    fn read(text: &[u8], selection: &Selection) -> Result<Recording, String> {
        Recording::of(text, Path::new("t.txt"), selection).map_err(|error| error.to_string())
    }

    fn line(cpu: u32, us: u64, from: (&str, u32), to: (&str, u32)) -> String {
        let (seconds, us) = (us / 1_000_000, us % 1_000_000);
        format!(
            "x 1 [{cpu:03}] {seconds}.{us:06}: sched:sched_switch: prev_comm={} prev_pid={} \
             prev_prio=120 prev_state=S ==> next_comm={} next_pid={} next_prio=120\n",
            from.0, from.1, to.0, to.1
        )
    }

    #[test]
    fn every_switch_is_kept_on_its_cpu_with_who_carries_breakpoints() {
        let text = line(0, 5, ("a", 1), ("b", 2))
            + "x 1 [000] 0.000006: sched:sched_waking: comm=b\n"
            + &line(1, 2, ("swapper/1", 0), ("a", 1))
            + &line(0, 9, ("b", 2), ("swapper/0", 0));
        let recording = read(text.as_bytes(), &selection("b")).unwrap();
        let switch = |ns, leaves, comes, idles| Recorded { ns, leaves, comes, idles };
        assert_eq!(
            recording.cpus[&0],
            [switch(5000, false, true, false), switch(9000, true, false, true)]
        );
        assert_eq!(recording.cpus[&1], [switch(2000, false, false, false)]);
        assert_eq!(recording.began_idle, BTreeSet::from([1]));
        assert_eq!((recording.switches(), recording.ns, recording.gaps), (3, 7000, 0));
        assert_eq!(recording.begin, 2000);
        assert_eq!(recording.sum, Digest::of(text.as_bytes()));
    }

    #[test]
    fn a_task_that_leaves_without_having_come_is_a_gap() {
        let text = line(0, 1, ("a", 1), ("b", 2)) + &line(0, 2, ("c", 3), ("a", 1));
        assert_eq!(read(text.as_bytes(), &selection("a")).unwrap().gaps, 1);
        let text = line(0, 1, ("a", 1), ("b", 2))
            + "CPU:0 [LOST 9 EVENTS]\n"
            + &line(0, 2, ("b", 2), ("a", 1));
        assert_eq!(read(text.as_bytes(), &selection("a")).unwrap().gaps, 1);
    }

    #[test]
    fn what_cannot_be_played_is_refused_with_the_line_and_what_to_do() {
        let good = line(0, 5, ("a", 1), ("b", 2));
        let back = good.clone() + &line(0, 4, ("b", 2), ("a", 1));
        let once = good.clone();
        let broken = good.clone() + "x 1 [000] 0.7: sched:sched_switch: prev_comm=b\n";
        let long = good.clone() + &"[".repeat(100_000);
        let cases: [(&[u8], &[&str]); 10] = [
            (b"", &["no line of its 0"]),
            (b"hello\nworld\n", &["no line of its 2", "perf script"]),
            (b"PERFILE2\x68\0\0", &["perf script -i"]),
            (b"\x17\x08\x44tracing6\0", &["trace-cmd report -i"]),
            (b"a\0b\n", &["line 1", "zero bytes"]),
            (b"ok\n\xff\xfe\n", &["line 2", "UTF-8"]),
            (back.as_bytes(), &["line 2", "goes back on CPU 0"]),
            (once.as_bytes(), &["same time"]),
            (broken.as_bytes(), &["line 2", "prev_comm=", "==>"]),
            (long.as_bytes(), &["line 2", "longer than"]),
        ];
        for (text, expected) in cases {
            let error = read(text, &selection("a")).unwrap_err();
            assert!(error.contains("t.txt"), "{error}");
            for words in expected {
                assert!(error.contains(words), "{words} in {error}");
            }
        }
    }

    #[test]
    fn a_name_that_no_task_has_is_refused_with_the_names_there_are() {
        let text = line(0, 5, ("a", 1), ("b b", 2)) + &line(0, 6, ("b b", 2), ("c", 3));
        for names in ["", "d", "a d"] {
            let error = read(text.as_bytes(), &selection(names)).unwrap_err();
            assert!(error.contains("the commonest are `b b`, `a`, `c`"), "{error}");
        }
    }

    /// A text that never ends.
    struct Endless(String, usize);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for byte in buffer.iter_mut() {
                *byte = self.0.as_bytes()[self.1];
                self.1 = (self.1 + 1) % self.0.len();
            }
            Ok(buffer.len())
        }
    }

    #[test]
    fn an_endless_record_ends_in_an_error_or_is_cut_where_asked() {
        let text = line(0, 5, ("a", 1), ("b", 2)) + &line(1, 9, ("b", 2), ("a", 1));
        let endless = || BufReader::new(Endless(text.clone(), 0));
        let path = Path::new("t.txt");
        let error = Recording::of(endless(), path, &selection("a")).unwrap_err().to_string();
        assert!(
            error.contains("more than 100000") && error.contains("--trace-switches"),
            "{error}"
        );
        let first = NonZeroU64::new(7);
        let cut = Recording::of(endless(), path, &Selection { first, ..selection("a") }).unwrap();
        assert_eq!((cut.switches(), cut.cut), (7, true));
        let whole = text.repeat(3) + "noise\n";
        let read = |first| {
            let selection = Selection { first: NonZeroU64::new(first), ..selection("a") };
            Recording::of(whole.as_bytes(), path, &selection).unwrap()
        };
        assert!(read(5).cut && !read(6).cut, "nothing is cut where nothing is left");
        assert_eq!(read(6).sum, Digest::of(text.repeat(3).as_bytes()), "of what was taken");
        let noise = BufReader::new(Endless("noise\n".to_owned(), 0));
        let error = Recording::of(noise, path, &selection("a")).unwrap_err().to_string();
        assert!(error.contains("lines"), "{error}");
        for what in ["x", "\0"] {
            let one_line = BufReader::new(Endless(what.to_owned(), 0));
            let error = Recording::of(one_line, path, &selection("a")).unwrap_err().to_string();
            assert!(error.contains("longer"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, &selection("a"));
        }
    }
}
