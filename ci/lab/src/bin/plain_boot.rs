//! What `ci/perf` compares with: the lab's machine and command line, and an init that resets the machine
//! at once. Prints the seconds from the emulator's start to its end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use drbench_lab::boot::{Boot, BootError};
use drbench_lab::cache::Cache;
use drbench_lab::emulator::{Clock, Emulator, Machine};
use drbench_lab::{Init, kernel};

fn main() -> ExitCode {
    if std::process::id() == 1 {
        // A reset ends the emulator too, and Bochs has no power switch that the kernel knows.
        let mode = nix::sys::reboot::RebootMode::RB_AUTOBOOT;
        // Only returns if the kernel refuses; then it panics, and the boot fails.
        let _ = nix::sys::reboot::reboot(mode);
        return ExitCode::FAILURE;
    }
    match boot() {
        Ok(took) => {
            println!("{:.3}", took.as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("plain-boot: {error}");
            ExitCode::from(2)
        }
    }
}

fn boot() -> Result<Duration, Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("usage: plain-boot KERNEL [CPU [MACHINE]]")?;
    let cpu = std::env::args().nth(2).unwrap_or_else(|| "amd".to_owned());
    let kind = std::env::args().nth(3).map(|name| name.parse()).transpose()?;
    let machine = Machine::choose(&cpu, kind)?;
    let emulator = Emulator::find(machine.kind, None, None)?;
    let cache = Cache::open(Cache::default_dir()?)?;
    let kernel = kernel::prepare(&name.parse()?, &cache, &|text| eprintln!("plain-boot: {text}"))?;
    let boot = Boot {
        image: kernel.image,
        image_sum: kernel.image_sum,
        modules: vec![],
        init: Init::this_program()?,
        job: vec![],
        machine: machine.clone(),
        clock: Clock::Instructions,
        append: vec![],
        time_limit: Duration::from_secs(120),
        console: None,
        work: None,
        snapshots: None,
    };
    let started = Instant::now();
    match boot.run(&emulator, &mut |_| {}) {
        // No end marker, no panic: it powered off.
        Err(BootError::Reset { .. }) => Ok(started.elapsed()),
        Err(error) => Err(error.into()),
        Ok(_) => Err("the init sent a frame".into()),
    }
}
