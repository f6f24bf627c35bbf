//! No emulator outlives the process that started it, however that one dies.

mod boot;

use boot::{PATIENCE, init, kernel};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What /proc says of a process.
struct Process {
    parent: i32,
    gone: bool,
}

fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // pid (name) state parent …, proc(5); the name may have spaces and brackets.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let gone = matches!(fields.next()?, "Z" | "X");
    Some(Process { parent: fields.next()?.parse().ok()?, gone })
}

/// The emulator that boots, once it is itself: neither the search's `--version`, nor the shell that
/// becomes it.
fn emulator_of(parent: i32) -> Option<i32> {
    let pids = fs::read_dir("/proc").ok()?;
    let mut pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        let program = words.next().unwrap_or_default();
        program.ends_with(b"qemu-system-x86_64")
            && words.any(|word| word == b"-initrd")
            && process(*pid).is_some_and(|process| process.parent == parent)
    })
}

fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// When the booting process is ended.
#[derive(Clone, Copy)]
enum Moment {
    /// As soon as there is an emulator.
    Start,
    /// When the guest has said something.
    Booted,
}

/// Starts a process that boots (from a thread of its own), ends it, and looks for its emulator.
fn dies_with_its_parent(moment: Moment, end: impl FnOnce(Pid)) {
    let mut helper = Command::new(init())
        .arg(&kernel().image)
        .arg("echo booted\nhang")
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = i32::try_from(helper.id()).unwrap();
    let emulator = wait_for("the emulator", || emulator_of(pid));
    if matches!(moment, Moment::Booted) {
        let mut line = String::new();
        BufReader::new(helper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "booted\n");
    }
    assert!(process(emulator).is_some_and(|process| !process.gone));
    end(Pid::from_raw(pid));
    helper.wait().unwrap();
    let gone = || process(emulator).is_none_or(|process| process.gone).then_some(());
    wait_for("the emulator's end", gone);
}

#[test]
fn the_emulator_dies_when_we_are_killed_at_once() {
    dies_with_its_parent(Moment::Start, |pid| kill(pid, Signal::SIGKILL).unwrap());
}

#[test]
fn the_emulator_dies_when_we_are_killed_later() {
    dies_with_its_parent(Moment::Booted, |pid| kill(pid, Signal::SIGKILL).unwrap());
}

#[test]
fn the_emulator_dies_when_ctrl_c_ends_us() {
    // As a terminal does it: to the foreground process group, which the emulator is not in.
    dies_with_its_parent(Moment::Start, |pid| killpg(pid, Signal::SIGINT).unwrap());
}
