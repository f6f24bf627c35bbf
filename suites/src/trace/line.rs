//! One line of a record's text: a context switch, another event, or neither.
//!
//! Two programs write such lines, both from the kernel's `sched:sched_switch`. `perf script`:
//!
//! ```text
//! worker  4711 [001] 31084.661705: sched:sched_switch: prev_comm=worker prev_pid=4711 prev_prio=120
//!     prev_state=S ==> next_comm=swapper/1 next_pid=0 next_prio=120        (on one line)
//! ```
//!
//! and `trace-cmd report`, or the file `trace` of tracefs with its column of flags:
//!
//! ```text
//! worker-4711  [001] d..2. 31084.661705: sched_switch: worker:4711 [120] S ==> swapper/1:0 [120]
//! ```
//!
//! Each of them can write the event's fields in the other's way. A task's name may hold blanks,
//! colons and brackets, so names are found from what follows them.

use std::ops::Range;

/// More CPUs than any x86 kernel can be built for (`NR_CPUS`).
const MOST_CPUS: u32 = 8192;
/// Most digits of a CPU's number that are looked at.
const MOST_DIGITS: usize = 20;
/// What the event is called, as the last part of its name.
const EVENT: &str = "sched_switch";

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A context switch.
    Switch(Switch<'a>),
    /// The recorder says that it lost events.
    Lost,
    /// Nothing about switches.
    Other,
}

/// A context switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch<'a> {
    /// On which CPU.
    pub cpu: u32,
    /// When, in nanoseconds of the record's clock.
    pub ns: u64,
    /// Who leaves.
    pub prev: Task<'a>,
    /// Who comes.
    pub next: Task<'a>,
}

/// A task, as the record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task<'a> {
    /// The name of its command, at most 15 bytes.
    pub comm: &'a str,
    /// Its thread id; 0: the CPU is idle.
    pub pid: u32,
}

/// Reads a line, given without its end.
///
/// # Errors
/// What was expected, of a line that is about a switch but cannot be understood.
pub fn read(line: &str) -> Result<Line<'_>, String> {
    let line = line.trim_end();
    if line.ends_with("EVENTS]") || line.ends_with("EVENTS DROPPED]") {
        return Ok(Line::Lost);
    }
    // Headings of tracefs.
    if line.starts_with('#') || !mentions_event(line) {
        return Ok(Line::Other);
    }
    let Some(head) = head(line) else {
        return Err(
            "expected `[CPU] SECONDS.FRACTION: sched:sched_switch:` before the tasks; with \
             `perf script -F`, the fields comm,pid,cpu,time,event,trace are needed"
                .to_owned(),
        );
    };
    if head.event.rsplit(':').next() != Some(EVENT) {
        return Ok(Line::Other);
    }
    let cpu: u32 = head.cpu.parse().unwrap_or(u32::MAX);
    if cpu >= MOST_CPUS {
        return Err(format!(
            "CPU {} cannot be: the most that Linux knows is {MOST_CPUS}",
            head.cpu
        ));
    }
    let ns = nanoseconds(head.time)
        .ok_or_else(|| format!("the time {} is too large to count in nanoseconds", head.time))?;
    let (prev, next) = tasks(&line[head.fields..]).ok_or_else(|| {
        "expected `prev_comm=… prev_pid=N prev_prio=N prev_state=… ==> next_comm=… next_pid=N \
         next_prio=N` or `COMM:PID [PRIO] STATE ==> COMM:PID [PRIO]` after the event's name"
            .to_owned()
    })?;
    Ok(Line::Switch(Switch { cpu, ns, prev, next }))
}

fn mentions_event(line: &str) -> bool {
    line.match_indices(EVENT).any(|(at, _)| line[at + EVENT.len()..].starts_with(':'))
}

/// What stands before the event's fields.
struct Head<'a> {
    cpu: &'a str,
    time: &'a str,
    event: &'a str,
    /// Where the fields begin.
    fields: usize,
}

/// The first `[CPU]` that a time and an event's name follow: a task's name may look like one.
fn head(line: &str) -> Option<Head<'_>> {
    line.match_indices('[').find_map(|(open, _)| head_at(line, open))
}

fn head_at(line: &str, open: usize) -> Option<Head<'_>> {
    let digits = line.as_bytes()[open + 1..].iter().take(MOST_DIGITS + 1);
    let close = open + 1 + digits.copied().position(|byte| byte == b']')?;
    let cpu = &line[open + 1..close];
    let mut words = words(line, close + 1);
    // Of the words before the event at most two are no time: flags, and perf's period.
    let mut word = words.next()?;
    if time(&line[word.clone()]).is_none() {
        word = words.next()?;
    }
    let time = time(&line[word])?;
    let mut event = words.next()?;
    if is_number(&line[event.clone()]) {
        event = words.next()?;
    }
    let fields = event.end;
    let event = line[event].strip_suffix(':')?;
    is_number(cpu).then_some(Head { cpu, time, event, fields })
}

/// The words from a byte on, as ranges.
fn words(line: &str, from: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let base = line.as_ptr() as usize;
    line[from..].split_ascii_whitespace().map(move |word| {
        let start = word.as_ptr() as usize - base;
        start..start + word.len()
    })
}

/// `SECONDS.FRACTION:`, without the colon.
fn time(word: &str) -> Option<&str> {
    let time = word.strip_suffix(':')?;
    let (seconds, fraction) = time.split_once('.')?;
    let fits = is_number(seconds) && is_number(fraction) && fraction.len() <= 9;
    fits.then_some(time)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn nanoseconds(time: &str) -> Option<u64> {
    let (seconds, fraction) = time.split_once('.')?;
    let unit = 10u64.pow(9u32.checked_sub(fraction.len() as u32)?);
    let fraction: u64 = fraction.parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction * unit)
}

/// Both tasks, in either way of writing. A name may hold the words that part the two.
fn tasks(fields: &str) -> Option<(Task<'_>, Task<'_>)> {
    const PARTS: [&str; 2] = [" ==> ", " next_comm="];
    PARTS.into_iter().find_map(|part| {
        fields.match_indices(part).find_map(|(at, _)| {
            let (prev, next) = (fields[..at].trim_start(), fields[at..].strip_prefix(" ==>"));
            let next = next.unwrap_or(&fields[at..]).trim_start();
            named(prev, next).or_else(|| bare(prev, next))
        })
    })
}

/// `prev_comm=worker prev_pid=4711 prev_prio=120 prev_state=S`, `next_comm=…`. Each field is found
/// from the right: only the name's end is not known.
fn named<'a>(prev: &'a str, next: &'a str) -> Option<(Task<'a>, Task<'a>)> {
    let (rest, _state) = prev.rsplit_once(" prev_state=")?;
    let prev = fields_of(rest, ["prev_comm=", " prev_pid=", " prev_prio="])?;
    let next = fields_of(next, ["next_comm=", " next_pid=", " next_prio="])?;
    Some((prev, next))
}

fn fields_of<'a>(text: &'a str, [comm, pid, prio]: [&str; 3]) -> Option<Task<'a>> {
    let (rest, priority) = text.rsplit_once(prio)?;
    let (name, id) = rest.rsplit_once(pid)?;
    let fits = priority.strip_prefix('-').unwrap_or(priority);
    is_number(fits).then_some(Task { comm: name.strip_prefix(comm)?, pid: pid_of(id)? })
}

/// `worker:4711 [120] S`, `swapper/1:0 [120]`.
fn bare<'a>(prev: &'a str, next: &'a str) -> Option<(Task<'a>, Task<'a>)> {
    let (rest, state) = prev.rsplit_once(' ')?;
    let is_state = !state.is_empty() && !state.contains(['[', ']']);
    is_state.then_some((with_priority(rest)?, with_priority(next)?))
}

fn with_priority(text: &str) -> Option<Task<'_>> {
    let (rest, priority) = text.strip_suffix(']')?.rsplit_once(" [")?;
    let (comm, id) = rest.rsplit_once(':')?;
    let fits = priority.strip_prefix('-').unwrap_or(priority);
    is_number(fits).then_some(Task { comm, pid: pid_of(id)? })
}

/// Thread ids are positive `i32` in the kernel.
fn pid_of(text: &str) -> Option<u32> {
    let pid: i32 = text.parse().ok().filter(|_| is_number(text))?;
    u32::try_from(pid).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn switch(line: &str) -> Switch<'_> {
        match read(line) {
            Ok(Line::Switch(switch)) => switch,
            other => panic!("{line}: {other:?}"),
        }
    }

    const PERF: &str = " memfd:sealed 1 [001] 31084.692260: sched:sched_switch: \
                        prev_comm=lto cgu.0 prev_pid=11439 prev_prio=120 prev_state=R+ ==> \
                        next_comm=swapper/1 next_pid=0 next_prio=120";

    #[test]
    fn every_way_in_which_perf_and_trace_cmd_write_a_switch_is_understood() {
        let expected = switch(PERF);
        assert_eq!((expected.cpu, expected.ns), (1, 31_084_692_260_000));
        assert_eq!(expected.prev, Task { comm: "lto cgu.0", pid: 11439 });
        assert_eq!(expected.next, Task { comm: "swapper/1", pid: 0 });
        for line in [
            // perf script, with a period; in nanoseconds; by libtraceevent's plugin.
            "lto cgu.0 11439 [001] 31084.692260:    1 sched:sched_switch: prev_comm=lto cgu.0 prev_pid=11439 prev_prio=120 prev_state=R+ ==> next_comm=swapper/1 next_pid=0 next_prio=120",
            "lto cgu.0 11439/11439 [001] 31084.692260000: sched:sched_switch: lto cgu.0:11439 [120] R+ ==> swapper/1:0 [120]",
            // trace-cmd report, and report -R.
            "  lto cgu.0-11439 [001] 31084.692260: sched_switch:   lto cgu.0:11439 [120] R ==> swapper/1:0 [120]",
            "  lto cgu.0-11439 [001] 31084.692260: sched_switch:   prev_comm=lto cgu.0 prev_pid=11439 prev_prio=120 prev_state=0 next_comm=swapper/1 next_pid=0 next_prio=120",
            // tracefs, with flags and a thread group.
            "  lto cgu.0-11439 ( 11439) [001] d..2. 31084.692260: sched_switch: prev_comm=lto cgu.0 prev_pid=11439 prev_prio=120 prev_state=R ==> next_comm=swapper/1 next_pid=0 next_prio=120\r",
        ] {
            assert_eq!(switch(line), expected, "{line}");
        }
    }

    #[test]
    fn names_may_look_like_anything() {
        for comm in ["a b", "a:b", "[001] 1.0: x", "==> b:1 [1]", "x next_pid=3", " ", "ü:[2]"] {
            let kernel = format!(
                "{comm} 7 [002] 5.000001: sched:sched_switch: prev_comm={comm} prev_pid=7 \
                 prev_prio=-1 prev_state=D ==> next_comm={comm} next_pid=8 next_prio=0"
            );
            let found = switch(&kernel);
            assert_eq!((found.prev.comm, found.next.comm, found.cpu), (comm, comm, 2));
        }
    }

    #[test]
    fn other_lines_are_no_switches() {
        for line in [
            "",
            "cpus=2",
            "# tracer: nop sched_switch:",
            "perf 7096 [001] 31084.66: sched:sched_waking: comm=sched_switch: pid=7097",
            "\tffffffff8113 __traceiter_sched_switch+0x3a ([kernel.kallsyms])",
        ] {
            assert_eq!(read(line), Ok(Line::Other), "{line}");
        }
        assert_eq!(read("CPU:1 [LOST 1234 EVENTS]"), Ok(Line::Lost));
        assert_eq!(read("CPU:0 [17 EVENTS DROPPED]"), Ok(Line::Lost));
    }

    #[test]
    fn a_switch_that_cannot_be_understood_is_an_error_that_says_what_was_expected() {
        for (line, expected) in [
            ("worker 7 5.000001: sched:sched_switch: a:1 [1] S ==> b:2 [1]", "cpu,time"),
            ("worker 7 [1] 5: sched:sched_switch: a:1 [1] S ==> b:2 [1]", "SECONDS.FRACTION"),
            ("w 7 [99999] 5.000001: sched_switch: a:1 [1] S ==> b:2 [1]", "99999"),
            ("w 7 [99999999999] 5.000001: sched_switch: a:1 [1] S ==> b:2 [1]", "99999999999"),
            ("w 7 [1] 99999999999999.0: sched_switch: a:1 [1] S ==> b:2 [1]", "too large"),
            ("w 7 [1] 5.000001: sched_switch:", "prev_comm="),
            ("w 7 [1] 5.000001: sched_switch: a:1 [1] S ==> b:-2 [1]", "prev_comm="),
            ("w 7 [1] 5.000001: sched_switch: a:1 [1] S ==> b:9999999999 [1]", "prev_comm="),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    prop_compose! {
        fn any_task()(comm in "[a-zA-Z0-9/_.:-]([ a-zA-Z0-9/_.:-]{0,13}[a-z0-9])?", pid in 0..=i32::MAX as u32) -> (String, u32) {
            (comm, pid)
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn no_change_to_a_line_makes_the_reader_panic(at in 0usize..200, with in ".{0,5}") {
            let at = at.min(PERF.len());
            let _ = read(&format!("{}{with}{}", &PERF[..at], &PERF[at..]));
            let _ = read(&format!("{}{with}", &PERF[..at]));
        }

        #[test]
        fn a_written_switch_is_read_back_in_both_formats(
            prev in any_task(),
            next in any_task(),
            cpu in 0..MOST_CPUS,
            us in 0..=u64::from(u32::MAX) * 1_000_000,
        ) {
            let ((from, from_pid), (to, to_pid)) = (&prev, &next);
            let expected = Switch {
                cpu,
                ns: us * 1000,
                prev: Task { comm: from, pid: *from_pid },
                next: Task { comm: to, pid: *to_pid },
            };
            let time = format!("{:5}.{:06}", us / 1_000_000, us % 1_000_000);
            let perf = format!(
                "{from:>16} {from_pid:5} [{cpu:03}] {time}: sched:sched_switch: prev_comm={from} \
                 prev_pid={from_pid} prev_prio=120 prev_state=S ==> next_comm={to} next_pid={to_pid} \
                 next_prio=120"
            );
            let trace_cmd = format!(
                "{from:>16}-{from_pid:<5} [{cpu:03}] {time}: sched_switch:         \
                 {from}:{from_pid} [120] S ==> {to}:{to_pid} [120]"
            );
            prop_assert_eq!(read(&perf), Ok(Line::Switch(expected)));
            prop_assert_eq!(read(&trace_cmd), Ok(Line::Switch(expected)));
        }
    }
}
