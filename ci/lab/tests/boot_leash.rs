//! No emulator outlives the process that started it, however that one dies.

mod boot;

use boot::{PATIENCE, init, kernel};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What /proc says of a process: its parent, its state and its name.
struct Process {
    parent: i32,
    gone: bool,
    name: String,
}

fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // pid (name) state parent …, proc(5); the name may have spaces and brackets.
    let (before, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ');
    let gone = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    Some(Process { parent, gone, name: before.split_once('(')?.1.to_owned() })
}

fn emulator_of(parent: i32) -> Option<i32> {
    let pids = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.into_iter().find(|pid| {
        process(*pid).is_some_and(|p| p.parent == parent && p.name.starts_with("qemu-system"))
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

/// Starts a process that boots (from a thread of its own), in a process group of its own.
fn start_helper() -> (Child, i32) {
    let helper = Command::new(init())
        .arg(&kernel().image)
        .arg("hang")
        .process_group(0)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = i32::try_from(helper.id()).unwrap();
    let emulator = wait_for("the emulator", || emulator_of(pid));
    (helper, emulator)
}

fn dies_with_its_parent(end: impl FnOnce(Pid)) {
    let (mut helper, emulator) = start_helper();
    assert!(process(emulator).is_some_and(|p| !p.gone));
    end(Pid::from_raw(i32::try_from(helper.id()).unwrap()));
    helper.wait().unwrap();
    wait_for("the emulator's end", || process(emulator).is_none_or(|p| p.gone).then_some(()));
}

#[test]
fn the_emulator_dies_when_we_are_killed() {
    dies_with_its_parent(|pid| kill(pid, Signal::SIGKILL).unwrap());
}

#[test]
fn the_emulator_dies_when_ctrl_c_ends_us() {
    // As a terminal does it: to the foreground process group, which the emulator is not in.
    dies_with_its_parent(|pid| nix::sys::signal::killpg(pid, Signal::SIGINT).unwrap());
}
