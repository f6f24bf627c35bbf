//! The tests' program: PID 1 in the lab, and on the host a process that boots and can be killed.

use drbench_lab::Init;
use drbench_lab::boot::Boot;
use drbench_lab::cache::{Cache, Digest};
use drbench_lab::emulator::{Clock, Emulator, Machine};
use drbench_lab::guest::{self, GuestError};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    if guest::is_init() {
        guest::run(|session| {
            let job = session.job().to_vec();
            let job = String::from_utf8_lossy(&job);
            job.lines().try_for_each(|line| obey(session, line))
        });
    }
    match boot_from_arguments() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One line of the job: a word and what it is about.
fn obey(session: &mut guest::Session, line: &str) -> Result<(), GuestError> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "echo" => session.send(rest.as_bytes()),
        // Sends so many bytes, in one frame.
        "flood" => session.send(&vec![b'#'; rest.parse().map_err(GuestError::job)?]),
        "modules" => {
            let modules = fs::read("/proc/modules").map_err(GuestError::job)?;
            session.send(&modules)
        }
        // How far the clock is, which is the number of instructions so far.
        "uptime" => {
            let uptime = fs::read("/proc/uptime").map_err(GuestError::job)?;
            session.send(&uptime)
        }
        // The same to the nanosecond, and when which timer is due.
        "timers" => {
            let timers = fs::read("/proc/timer_list").map_err(GuestError::job)?;
            session.send(&timers)
        }
        "kvm" => match fs::metadata("/dev/kvm") {
            Ok(_) => session.send(b"kvm"),
            Err(error) => Err(GuestError::job(error)),
        },
        "crash-kernel" => fs::write("/proc/sysrq-trigger", "c").map_err(GuestError::job),
        "reboot" => fs::write("/proc/sysrq-trigger", "b").map_err(GuestError::job),
        "hang" => loop {
            std::thread::park();
        },
        "panic" => panic!("asked to panic: {rest}"),
        "exit" => std::process::exit(3),
        _ => Err(GuestError::Job(format!("unknown word {word:?}"))),
    }
}

/// `IMAGE JOB [MODULE…]`: boots, and prints each frame. Boots from a thread that is not the main
/// one, which is the harder case for an emulator that must not outlive us.
fn boot_from_arguments() -> Result<(), String> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let image = arguments.next().ok_or("usage: lab-init IMAGE JOB [MODULE…]")?;
    let job = arguments.next().ok_or("the job is missing")?;
    let modules = arguments
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            fs::read(&path)
                .map(|bytes| (name, bytes))
                .map_err(|e| format!("{}: {e}", path.display()))
        })
        .collect::<Result<_, _>>()?;
    let cpu = std::env::var("LAB_CPU").unwrap_or_else(|_| "amd".to_owned());
    let machine = Machine::choose(&cpu, None).map_err(|error| error.to_string())?;
    let emulator = Emulator::find(machine.kind, None, None).map_err(|error| error.to_string())?;
    let snapshots = std::env::var_os("LAB_SNAPSHOTS")
        .map(|folder| Cache::open(PathBuf::from(folder)).map_err(|error| error.to_string()))
        .transpose()?;
    let boot = Boot {
        image_sum: Digest::of_file(&image).map_err(|e| format!("{}: {e}", image.display()))?,
        image,
        modules,
        init: Init::this_program().map_err(|error| error.to_string())?,
        job: job.into_os_string().into_encoded_bytes(),
        machine,
        clock: Clock::Instructions,
        append: Vec::new(),
        time_limit: Duration::from_secs(120),
        console: std::env::var_os("LAB_CONSOLE").map(PathBuf::from),
        snapshots,
        work: None,
    };
    let run = move || {
        boot.run(&emulator, &mut |frame| println!("{}", String::from_utf8_lossy(frame)))
            .map(|outcome| {
                outcome.warnings.iter().for_each(|warning| eprintln!("{warning}"));
                eprintln!("{:.2} s", outcome.wall.as_secs_f64());
            })
            .map_err(|error| error.to_string())
    };
    std::thread::spawn(run).join().map_err(|_| "the booting thread panicked".to_owned())?
}
