//! `drbench env`: what can be measured here, and why the rest cannot.

use bench_vmm::Host;
use drbench_lab::emulator::{Machine, MachineKind};

use crate::cli::EnvArgs;
use crate::noise::{Hint, State, System, hints};
use crate::protocol::{Availability, Target};
use crate::status::{Failure, Status};
use crate::terminal::outln;
use crate::{environment, lab, measure};

/// Prints what there is. It changes nothing and always succeeds: what is missing is told.
pub fn env(args: &EnvArgs) -> Result<Status, Failure> {
    outln!("this host");
    line("kernel", &environment::release())?;
    line("processor", &environment::cpuinfo("model name").unwrap_or_else(|| "unknown".to_owned()))?;
    match Host::open() {
        Err(error) => line("KVM", &format!("no: {error}"))?,
        Ok(host) => match measure::Ready::with(host).map(|ready| ready.survey().1.clone()) {
            Ok(target) => kvm(&target)?,
            Err(error) => line("KVM", &format!("no: {error}"))?,
        },
    }
    outln!("\nfor quieter measurements on this host (drbench changes none of it)");
    for hint in hints(&System::this()) {
        quieter(&hint)?;
    }
    outln!("\nthe lab");
    for kind in [MachineKind::QemuTcg, MachineKind::Bochs] {
        emulator(kind, args)?;
    }
    let cpus: Vec<_> = ["amd", "intel"]
        .into_iter()
        .filter_map(|cpu| Machine::choose(cpu, None).ok())
        .map(|Machine { vendor, cpu, kind, .. }| format!("{vendor} ({cpu} on {kind})"))
        .collect();
    line("emulated CPUs", &cpus.join(", "))?;
    match drbench_lab::cache::Cache::default_dir() {
        Ok(dir) => line("cache", &dir.display().to_string())?,
        Err(error) => line("cache", &format!("no: {error}"))?,
    }
    outln!("\n`drbench list kernels` names what the lab can boot.");
    Ok(Status::Done)
}

fn kvm(target: &Target) -> Result<(), Failure> {
    line("KVM", &target.vendor)?;
    for (name, counter) in [
        ("exit totals", &target.statistics),
        ("exits by reason", &target.trace),
        ("hardware cycles", &target.pmu),
    ] {
        line(name, &availability(counter))?;
    }
    match target.tsc_khz {
        Some(khz) => line("guest time stamps", &format!("{khz} kHz"))?,
        None => line("guest time stamps", "KVM does not tell their frequency")?,
    }
    line("hardware swaps DRs", &auto_switch(target))
}

/// `DebugSwap` (SEV-ES) and TDX swap the debug registers in hardware, for protected guests only: told
/// here, never a verdict.
fn auto_switch(target: &Target) -> String {
    const PARAMETERS: [(&str, &str); 2] =
        [("kvm_amd.debug_swap", "SEV-ES guests"), ("kvm_intel.tdx", "TDX guests")];
    let told: Vec<_> = PARAMETERS
        .iter()
        .filter_map(|(name, guests)| {
            let prefix = format!("{name}=");
            let value = target.module_parameters.iter().find_map(|p| p.strip_prefix(&prefix))?;
            let verb = if value == "Y" { "for" } else { "not for" };
            Some(format!("{verb} {guests} ({name}={value})"))
        })
        .collect();
    if told.is_empty() {
        "unknown: the module has no parameter for it".to_owned()
    } else {
        format!("{}; drbench's guests are none", told.join(", "))
    }
}

fn quieter(hint: &Hint) -> Result<(), Failure> {
    match &hint.state {
        State::Quiet(is) => line(hint.topic, &format!("good: {is}")),
        State::Unknown(why) => line(hint.topic, &format!("unknown here: {why}")),
        State::Noisy { is, better, how } => {
            line(hint.topic, &format!("{is}; better: {better}"))?;
            line("", &format!("→ {how}"))
        }
    }
}

fn emulator(kind: MachineKind, args: &EnvArgs) -> Result<(), Failure> {
    match lab::emulator(kind, args.qemu.as_deref()) {
        Ok(emulator) => {
            line(kind.name(), emulator.version_line())?;
            line("", &emulator.program().display().to_string())
        }
        Err(failure) => line(kind.name(), &format!("no: {failure}")),
    }
}

fn availability(counter: &Availability) -> String {
    match counter {
        Availability::Yes(how) => format!("yes: {how}"),
        Availability::No(why) => format!("no: {why}"),
    }
}

fn line(name: &str, text: &str) -> Result<(), Failure> {
    outln!("  {name:<20}{text}");
    Ok(())
}
