//! What each check does and expects.

use std::time::Duration;

use guest_payloads::layout::{CODE, SAVE_AREA, WATCHED, port};
use guest_payloads::{BreakCondition, BreakLength, Dr6, Dr7, Slot};

use super::guests::{self, BREAK_HERE, Guest, WATCH_WRITES};
use super::{CheckFailure, CheckResult, Outcome};
use crate::counters::{Cycles, ExitTrace, Statistic, Statistics, StatisticsValues};
use crate::exits::ExitClass;
use crate::{
    CrashCause, DebugRegisters, GuestDebug, GuestError, GuestImage, Host, Irqchip, KvmModule,
    Machine, MachineConfig, Marker, Stop, Watchdog,
};

/// Long enough for the slowest emulator; only a broken guest spends it.
const BUDGET: Duration = Duration::from_secs(20);
/// For the guest that never ends.
const SHORT_BUDGET: Duration = Duration::from_millis(200);
/// Exits by host interrupts that a count below may contain besides its own.
const DISTURBANCE: u64 = 64;

/// Fails the check unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(CheckFailure(format!($($message)+)));
        }
    };
}

fn machine(host: &Host, guest: &Guest) -> Result<Machine, CheckFailure> {
    Ok(Machine::new(host, &image(guest), MachineConfig::default())?)
}

fn image(guest: &Guest) -> GuestImage<'_> {
    GuestImage { code: &guest.code, entry: CODE }
}

#[allow(clippy::unnecessary_wraps)] // It is the last expression of every check.
fn passed(figures: impl Into<String>) -> CheckResult {
    Ok(Outcome::Passed(figures.into()))
}

/// Runs the guest to DONE.
fn run_to_done(machine: &mut Machine) -> Result<u64, CheckFailure> {
    let watchdog = Watchdog::start(BUDGET)?;
    let reached = machine.vcpu().run_to_marker(&watchdog)?;
    ensure!(reached.marker == Marker::Done, "expected DONE, came to {reached:?}");
    Ok(reached.interposed)
}

/// Runs a guest that must crash.
fn crash(machine: &mut Machine, budget: Duration) -> Result<GuestError, CheckFailure> {
    let watchdog = Watchdog::start(budget)?;
    match machine.vcpu().run_to_marker(&watchdog) {
        Ok(reached) => Err(CheckFailure(format!("expected a crash, came to {reached:?}"))),
        Err(error @ GuestError::Crash(_)) => Ok(error),
        Err(error) => Err(error.into()),
    }
}

pub fn markers(host: &Host) -> CheckResult {
    let mut machine = machine(host, &guests::markers(3)?)?;
    let watchdog = Watchdog::start(BUDGET)?;
    let expected = [(Marker::Begin, 0), (Marker::End, 3), (Marker::Done, 0)];
    for (marker, interposed) in expected {
        let reached = machine.vcpu().run_to_marker(&watchdog)?;
        let came = (reached.marker, reached.interposed);
        ensure!(came == (marker, interposed), "expected {marker:?} after {interposed}: {came:?}");
    }
    passed("3 interposed exits between BEGIN and END")
}

pub fn watchdog(host: &Host) -> CheckResult {
    let guest = guests::endless()?;
    let mut machine = machine(host, &guest)?;
    let error = crash(&mut machine, SHORT_BUDGET)?;
    ensure!(error.is_watchdog(), "expected the watchdog, got {error}");
    let text = error.to_string();
    let place = format!("{:#x}: jmp", guest.labels[0]);
    ensure!(text.contains(&place), "no `{place}` in: {text}");
    passed(format!("after {SHORT_BUDGET:?}"))
}

pub fn triple_fault(host: &Host) -> CheckResult {
    let guest = guests::triple_fault()?;
    let mut machine = machine(host, &guest)?;
    let error = crash(&mut machine, BUDGET)?;
    ensure!(error.cause() == Some(&CrashCause::TripleFault), "not a triple fault: {error}");
    let text = error.to_string();
    let reset = matches!(&error, GuestError::Crash(crash) if crash.was_reset());
    let registers: &[&str] = match host.module() {
        KvmModule::Amd if reset => &["triple fault", "KVM has reset", "RIP=", "CR3=", "DR7="],
        _ => &["triple fault", "RCX=0000000000007e57", "CR3=00004000", "DR7="],
    };
    for part in registers {
        ensure!(text.contains(part), "no `{part}` in: {text}");
    }
    passed(text.lines().next().unwrap_or_default())
}

pub fn fatal_exception(host: &Host) -> CheckResult {
    let guest = guests::undefined_opcode()?;
    let mut machine = machine(host, &guest)?;
    let error = crash(&mut machine, BUDGET)?;
    let Some(CrashCause::Exception(entry)) = error.cause() else {
        return Err(CheckFailure(format!("not an exception: {error}")));
    };
    let came = (entry.vector, entry.rip, machine.memory().logged());
    ensure!(came == (6, guest.labels[0], 1), "expected one #UD at the UD2, got {came:x?}");
    let text = error.to_string();
    let place = format!("at {:#x}: ud2", guest.labels[0]);
    ensure!(text.contains(&place), "no `{place}` in: {text}");
    passed(text.lines().next().unwrap_or_default())
}

pub fn double_fault(host: &Host) -> CheckResult {
    let guest = guests::lost_stack()?;
    let mut machine = machine(host, &guest)?;
    let error = crash(&mut machine, BUDGET)?;
    let Some(CrashCause::Exception(entry)) = error.cause() else {
        return Err(CheckFailure(format!("not an exception: {error}")));
    };
    let came = (entry.mnemonic(), entry.rip);
    ensure!(came == ("#DF", guest.labels[0]), "expected #DF at the PUSH, got {came:x?}");
    passed("logged as #DF")
}

pub fn data_breakpoint(host: &Host) -> CheckResult {
    let guest = guests::data_breakpoint()?;
    let mut machine = machine(host, &guest)?;
    run_to_done(&mut machine)?;
    if machine.memory().logged() == 0 && emulated(host)? == Some(true) {
        let reason = "KVM interprets this guest, and its emulator knows no data breakpoints";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    one_debug_exception(&machine, guest.labels[0], WATCH_WRITES)
}

pub fn execute_breakpoint(host: &Host) -> CheckResult {
    let guest = guests::execute_breakpoint()?;
    let mut machine = machine(host, &guest)?;
    run_to_done(&mut machine)?;
    one_debug_exception(&machine, guest.labels[0], BREAK_HERE)
}

/// Expects one #DB in the log: of breakpoint 0, at `rip`, under `dr7`.
fn one_debug_exception(machine: &Machine, rip: u64, dr7: Dr7) -> CheckResult {
    let log = machine.memory().log();
    let [entry] = log.as_slice() else {
        return Err(CheckFailure(format!("expected one #DB, logged were {log:x?}")));
    };
    let came = (entry.mnemonic(), entry.rip, entry.dr6 & 0xf, entry.dr7);
    let expected = ("#DB", rip, 1, dr7.bits());
    ensure!(came == expected, "expected {expected:x?}, got {came:x?}");
    passed(format!("#DB at {:#x}, DR6 {:#x}", entry.rip, entry.dr6))
}

pub fn reload(host: &Host) -> CheckResult {
    let mut machine = machine(host, &guests::triple_fault()?)?;
    crash(&mut machine, BUDGET)?;
    machine.load(&image(&guests::undefined_opcode()?))?;
    crash(&mut machine, BUDGET)?;
    let logged = machine.memory().logged();
    ensure!(logged == 1, "expected one exception, {logged} were logged");
    machine.load(&image(&guests::markers(2)?))?;
    let logged = machine.memory().logged();
    ensure!(logged == 0, "the log was not cleared: {logged}");
    let registers = machine.vcpu().debug_registers()?;
    ensure!(registers == DebugRegisters::RESET, "not reset: {registers}");
    passed("three payloads in one machine")
}

/// Values of DR0-DR3 and a DR7 that arms nothing but shows it was written.
const ADDRESSES: [u64; 4] = [WATCHED, WATCHED + 8, WATCHED + 16, WATCHED + 24];
const UNARMED: Dr7 = Dr7::DISABLED.with(Slot::S2, BreakCondition::ReadWrite, BreakLength::Eight);

pub fn guest_to_host(host: &Host) -> CheckResult {
    let [a, b, c, d] = ADDRESSES;
    let mut machine = machine(host, &guests::write_debug_registers([a, b, c, d, UNARMED.bits()])?)?;
    run_to_done(&mut machine)?;
    let came = machine.vcpu().debug_registers()?;
    let expected = DebugRegisters { address: ADDRESSES, dr6: came.dr6, dr7: UNARMED.bits() };
    ensure!(came == expected, "expected {expected}, got {came}");
    passed(came.to_string())
}

pub fn host_to_guest(host: &Host) -> CheckResult {
    let mut machine = machine(host, &guests::read_debug_registers()?)?;
    let dr6 = Dr6::CLEAR.bits() | Dr6::BS | 0b100;
    let given = DebugRegisters { address: ADDRESSES, dr6, dr7: UNARMED.bits() };
    machine.vcpu().set_debug_registers(given)?;
    run_to_done(&mut machine)?;
    let memory = machine.memory();
    let read = |slot: u64| memory.read_u64(SAVE_AREA + 8 * slot);
    let address = [read(0), read(1), read(2), read(3)];
    let came = DebugRegisters { address, dr6: read(4), dr7: read(5) };
    ensure!(came == given, "the host set {given}, the guest read {came}");
    passed(came.to_string())
}

pub fn two_vcpus(host: &Host) -> CheckResult {
    const ROUNDS: u32 = 200;
    let guest = guests::own_debug_registers(ROUNDS)?;
    let config = MachineConfig { vcpus: 2, ..Default::default() };
    let mut machine = Machine::new(host, &image(&guest), config)?;
    let reached: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = machine
            .vcpus()
            .iter_mut()
            .map(|vcpu| {
                scope.spawn(move || -> Result<_, CheckFailure> {
                    let watchdog = Watchdog::start(BUDGET)?;
                    Ok((vcpu.run_to_marker(&watchdog)?, vcpu.debug_registers()?.address[0]))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a check does not panic")).collect()
    });
    for (index, reached) in (0..).zip(reached) {
        let (reached, dr0) = reached?;
        let came = (reached.marker, reached.interposed, dr0);
        let expected = (Marker::Done, u64::from(ROUNDS), index);
        ensure!(came == expected, "vCPU {index}: expected {expected:?}, got {came:?}");
    }
    passed(format!("{ROUNDS} exits each"))
}

pub fn single_step(host: &Host) -> CheckResult {
    let guest = guests::steps()?;
    let mut machine = machine(host, &guest)?;
    let watchdog = Watchdog::start(BUDGET)?;
    machine.vcpu().set_guest_debug(GuestDebug::SingleStep)?;
    for next in &guest.labels[1..] {
        let stop = machine.vcpu().run(&watchdog)?;
        let Stop::Debug(debug) = stop else {
            return Err(CheckFailure(format!("expected a step, got {stop}")));
        };
        let came = (debug.vector, debug.pc, debug.dr6 & Dr6::BS);
        ensure!(came == (1, *next, Dr6::BS), "expected #DB by BS at {next:#x}, got {debug:x?}");
    }
    machine.vcpu().set_guest_debug(GuestDebug::Off)?;
    run_to_done(&mut machine)?;
    passed("three steps")
}

pub fn host_breakpoint(host: &Host) -> CheckResult {
    let guest = guests::steps()?;
    let mut machine = machine(host, &guest)?;
    let watchdog = Watchdog::start(BUDGET)?;
    let dr7 =
        Dr7::DISABLED.with(Slot::S1, BreakCondition::Execute, BreakLength::One).enable(Slot::S1);
    let addresses = [0, guest.labels[2], 0, 0];
    machine.vcpu().set_guest_debug(GuestDebug::HardwareBreakpoints { addresses, dr7 })?;
    let stop = machine.vcpu().run(&watchdog)?;
    let Stop::Debug(debug) = stop else {
        return Err(CheckFailure(format!("expected a breakpoint, got {stop}")));
    };
    let came = (debug.vector, debug.pc, debug.dr6 & 0xf);
    ensure!(came == (1, guest.labels[2], 0b10), "expected breakpoint 1, got {debug:x?}");
    machine.vcpu().set_guest_debug(GuestDebug::Off)?;
    run_to_done(&mut machine)?;
    passed(format!("at {:#x}", debug.pc))
}

const WANTED: [Statistic; 3] = [Statistic::Exits, Statistic::InsnEmulation, Statistic::IoExits];

/// What the statistics grew by from BEGIN to END; the END exit is in it, BEGIN is not.
fn section(
    machine: &mut Machine,
    statistics: &mut Statistics,
) -> Result<StatisticsValues, CheckFailure> {
    let watchdog = Watchdog::start(BUDGET)?;
    machine.vcpu().run_to_marker(&watchdog)?;
    let before = statistics.read()?;
    machine.vcpu().run_to_marker(&watchdog)?;
    Ok(statistics.read()?.since(&before))
}

/// Opens the statistics, or ends the check as skipped.
macro_rules! open_or_skip {
    ($counter:expr) => {
        match $counter {
            Ok(counter) => counter,
            Err(unavailable) => return Ok(Outcome::Skipped(unavailable.to_string())),
        }
    };
}

fn show(values: &StatisticsValues) -> String {
    WANTED.map(|wanted| format!("{} {:?}", wanted.name(), values.get(wanted))).join(", ")
}

/// Whether KVM interprets the guest's kernel mode: emulated instructions grow with a loop of none
/// that any processor would intercept.
fn emulated(host: &Host) -> Result<Option<bool>, CheckFailure> {
    const ROUNDS: u32 = 1000;
    let mut machine = machine(host, &guests::control(ROUNDS)?)?;
    let Ok(mut statistics) = Statistics::open(machine.vcpu(), &WANTED) else { return Ok(None) };
    let grown = section(&mut machine, &mut statistics)?.get(Statistic::InsnEmulation);
    Ok(grown.map(|grown| grown >= u64::from(ROUNDS)))
}

pub fn statistics(host: &Host) -> CheckResult {
    const OUTS: u32 = 100;
    let mut machine = machine(host, &guests::markers(OUTS)?)?;
    let mut statistics = open_or_skip!(Statistics::open(machine.vcpu(), &WANTED));
    let grown = section(&mut machine, &mut statistics)?;
    let figures = show(&grown);
    let outs = u64::from(OUTS) + 1;
    let exits = grown.get(Statistic::Exits).unwrap_or(0);
    ensure!((outs..=outs + DISTURBANCE).contains(&exits), "expected {outs} exits: {figures}");
    // The emulator's own I/O is not counted there.
    if emulated(host)? != Some(true) {
        ensure!(grown.get(Statistic::IoExits) == Some(outs), "expected {outs} io_exits: {figures}");
    }
    passed(format!("{figures} ({:?})", statistics.source()))
}

pub fn guest_debug(host: &Host) -> CheckResult {
    const ACCESSES: u32 = 200;
    let mut machine = machine(host, &guests::accesses(ACCESSES)?)?;
    let mut statistics = open_or_skip!(Statistics::open(machine.vcpu(), &WANTED));
    machine.vcpu().set_guest_debug(GuestDebug::Enabled)?;
    let grown = section(&mut machine, &mut statistics)?;
    let figures = show(&grown);
    let exits = grown.get(Statistic::Exits).unwrap_or(0);
    let expected = match emulated(host)? {
        Some(true) => 1,
        _ => u64::from(ACCESSES) + 1,
    };
    let range = expected..=expected + DISTURBANCE;
    ensure!(range.contains(&exits), "expected {expected} exits: {figures}");
    passed(format!("{ACCESSES} accesses: {figures}"))
}

pub fn trace(host: &Host) -> CheckResult {
    const CPUIDS: u32 = 100;
    let mut machine = machine(host, &guests::cpuids(CPUIDS)?)?;
    let mut statistics = open_or_skip!(Statistics::open(machine.vcpu(), &WANTED));
    let mut trace = open_or_skip!(ExitTrace::open(host, &ExitClass::ALL));
    let watchdog = Watchdog::start(BUDGET)?;
    machine.vcpu().run_to_marker(&watchdog)?;
    let before = statistics.read()?;
    trace.start()?;
    machine.vcpu().run_to_marker(&watchdog)?;
    trace.stop()?;
    let exits = statistics.read()?.since(&before).get(Statistic::Exits).unwrap_or(0);
    let counts = trace.read()?;
    ensure!(counts.total == exits, "statistics {exits}, tracepoint {counts:?}");
    let came = (counts.of(ExitClass::Cpuid), counts.of(ExitClass::Io), counts.other);
    let expected = (Some(u64::from(CPUIDS)), Some(1), 0);
    ensure!(came == expected, "expected {expected:?} of CPUID, I/O, others: {counts:?}");
    passed(format!("{exits} exits by both"))
}

pub fn cycles(host: &Host) -> CheckResult {
    const ROUNDS: u32 = 100_000;
    let mut cycles = open_or_skip!(Cycles::open());
    let mut machine = machine(host, &guests::control(ROUNDS)?)?;
    let watchdog = Watchdog::start(BUDGET)?;
    machine.vcpu().run_to_marker(&watchdog)?;
    cycles.start()?;
    machine.vcpu().run_to_marker(&watchdog)?;
    cycles.stop()?;
    let counts = cycles.read()?;
    let expected = 2 * u64::from(ROUNDS);
    let range = expected..expected + expected / 10;
    let figures = format!("{counts:?}");
    if emulated(host)? != Some(true) {
        ensure!(range.contains(&counts.guest_instructions), "expected {expected}: {figures}");
    }
    ensure!(counts.host_instructions > 0, "no host instructions: {figures}");
    passed(figures)
}

pub fn irqchip(host: &Host) -> CheckResult {
    let guest = guests::markers(5)?;
    let config = MachineConfig { irqchip: Irqchip::Kernel, ..Default::default() };
    let mut machine = Machine::new(host, &image(&guest), config)?;
    let watchdog = Watchdog::start(BUDGET)?;
    for marker in [Marker::Begin, Marker::End, Marker::Done] {
        let reached = machine.vcpu().run_to_marker(&watchdog)?;
        ensure!(reached.marker == marker, "expected {marker:?}, came to {reached:?}");
    }
    passed(format!("port {:#x} reached", port::DONE))
}
