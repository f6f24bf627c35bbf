//! What would make measurements on this machine quieter. Nothing here changes anything.

use bench_vmm::counters::{BREAKPOINTS, breakpoints_taken};

use super::System;

/// Something that makes noise, or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// What it is about, in a word or two.
    pub topic: &'static str,
    /// How it is here.
    pub state: State,
}

/// How something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Quiet(String),
    /// It could be better.
    Noisy {
        /// What is.
        is: String,
        /// What would be better.
        better: &'static str,
        /// How to get there.
        how: String,
    },
    /// It cannot be told here, and why.
    Unknown(String),
}

impl State {
    fn noisy(is: impl Into<String>, better: &'static str, how: impl Into<String>) -> Self {
        Self::Noisy { is: is.into(), better, how: how.into() }
    }
}

type Look = fn(&System) -> Result<State, String>;

/// What is looked at, what matters most first.
const LOOKS: [(&str, Look); 10] = [
    ("machine", machine),
    ("other load", load),
    ("governor", governor),
    ("turbo", turbo),
    ("SMT", smt),
    ("isolation", isolation),
    ("timer ticks", ticks),
    ("deep sleep", sleep),
    ("NMI watchdog", nmi_watchdog),
    ("perf events", paranoid),
];

/// Everything that is known to make noise, and how it is on this machine.
pub fn hints(system: &System) -> Vec<Hint> {
    let look = |(topic, look): (&'static str, Look)| Hint {
        topic,
        state: look(system).unwrap_or_else(State::Unknown),
    };
    let breakpoints = Hint { topic: "host breakpoints", state: breakpoints() };
    LOOKS.into_iter().map(look).chain([breakpoints]).collect()
}

const CPUS: &str = "/sys/devices/system/cpu";

fn machine(system: &System) -> Result<State, String> {
    if !system.is_virtual()? {
        return Ok(State::Quiet("no hypervisor below".to_owned()));
    }
    let steal = match system.steal_ms(None) {
        Ok(ms) => {
            format!("a virtual machine, of which {ms} ms were given to others since its start")
        }
        Err(why) => format!("a virtual machine; what is given to others is not known: {why}"),
    };
    Ok(State::noisy(steal, "hardware of your own", "run drbench on the machine below"))
}

fn load(system: &System) -> Result<State, String> {
    const FILE: &str = "proc/loadavg";
    /// One task that is ready for a quarter of the time.
    const LITTLE: f64 = 0.25;
    let text = system.line(FILE)?;
    let load = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    let load = load.ok_or_else(|| format!("/{FILE}: a number was expected, not `{text}`"))?;
    let is = format!("{load} tasks in the last minute");
    Ok(if load < LITTLE {
        State::Quiet(is)
    } else {
        State::noisy(is, "none", "end what `ps -eo pcpu,comm --sort=-pcpu | head` shows")
    })
}

fn governor(system: &System) -> Result<State, String> {
    const WANTED: &str = "performance";
    let governors = system.of_cpus("cpufreq/scaling_governor");
    let Some((_, first)) = governors.first() else {
        return Err(format!(
            "{CPUS}/cpu*/cpufreq is not there: who sets the frequency is not told"
        ));
    };
    let mut others: Vec<&str> = governors.iter().map(|(_, governor)| governor.as_str()).collect();
    let all = others.len();
    others.retain(|governor| *governor != WANTED);
    let count = others.len();
    others.sort_unstable();
    others.dedup();
    Ok(if count == 0 {
        State::Quiet(format!("{first} on all CPUs"))
    } else {
        State::noisy(
            format!("{} on {count} of {all} CPUs", others.join(", ")),
            WANTED,
            format!("echo {WANTED} | sudo tee {CPUS}/cpu*/cpufreq/scaling_governor"),
        )
    })
}

fn turbo(system: &System) -> Result<State, String> {
    /// The file, and what it says when the processor goes no faster than it can go for long.
    const FILES: [(&str, i64); 2] = [("intel_pstate/no_turbo", 1), ("cpufreq/boost", 0)];
    let path = |file: &str| format!("sys/devices/system/cpu/{file}");
    let found =
        FILES.iter().find_map(|(file, off)| Some((file, off, system.line(&path(file)).ok()?)));
    let Some((file, off, now)) = found else {
        let [one, other] = FILES.map(|(file, _)| file);
        return Err(format!("neither {one} nor {other} is in {CPUS}"));
    };
    Ok(if now == off.to_string() {
        State::Quiet("off".to_owned())
    } else {
        State::noisy(
            "on",
            "off: it lasts as long as the heat allows",
            format!("echo {off} | sudo tee /{}", path(file)),
        )
    })
}

fn smt(system: &System) -> Result<State, String> {
    let active = system.number("sys/devices/system/cpu/smt/active")?;
    Ok(if active == 0 {
        State::Quiet("no CPU shares its core with another".to_owned())
    } else {
        State::noisy(
            "CPUs share cores in pairs",
            "off: the other one's work is in the figures",
            format!("echo off | sudo tee {CPUS}/smt/control"),
        )
    })
}

/// How words get on the command line of most kernels.
fn boot_with(words: &str) -> String {
    format!("add {words} to GRUB_CMDLINE_LINUX in /etc/default/grub, sudo update-grub, reboot")
}

/// The CPU that would be set apart: the last; the first has most of the machine's own work.
fn apart(system: &System) -> Result<u32, String> {
    match system.numbered("sys/devices/system/cpu", "cpu").last() {
        Some(&last) if last > 0 => Ok(last),
        _ => Err("there is one CPU only, and it cannot be set apart".to_owned()),
    }
}

fn isolation(system: &System) -> Result<State, String> {
    let isolated = system.line("sys/devices/system/cpu/isolated")?;
    if isolated.is_empty() {
        let cpu = apart(system)?;
        let how = boot_with(&format!("isolcpus={cpu}"));
        let how = format!("{how}; then taskset -c {cpu} drbench run");
        return Ok(State::noisy("no CPU is set apart", "one for the guest alone", how));
    }
    Ok(State::Quiet(format!("CPUs {isolated} are set apart: taskset -c N drbench run uses one")))
}

fn ticks(system: &System) -> Result<State, String> {
    // Without the option, "(null)" or nothing at all.
    let without = system.line("sys/devices/system/cpu/nohz_full")?;
    if without.is_empty() || without == "(null)" {
        let cpu = apart(system)?;
        let how = boot_with(&format!("nohz_full={cpu} rcu_nocbs={cpu}"));
        return Ok(State::noisy("on every CPU", "none on the guest's", how));
    }
    Ok(State::Quiet(format!("none on CPUs {without} while one task runs there")))
}

fn sleep(system: &System) -> Result<State, String> {
    /// Microseconds to wake up, that is: of the order of an exit and all it takes.
    const LONG: i64 = 10;
    let directory = "sys/devices/system/cpu/cpu0/cpuidle";
    let states = system.numbered(directory, "state");
    if states.is_empty() {
        return Err(format!("/{directory} has no states"));
    }
    let is_deep = |state: &u32| {
        let number = |file: &str| system.number(&format!("{directory}/state{state}/{file}"));
        number("disable").ok() == Some(0) && number("latency").is_ok_and(|us| us > LONG)
    };
    let deep: Vec<u32> = states.into_iter().filter(is_deep).collect();
    let Some(first) = deep.first() else {
        return Ok(State::Quiet(format!("no idle state takes more than {LONG} µs to wake from")));
    };
    let names = deep.iter().map(|state| {
        let name = system.line(&format!("{directory}/state{state}/name"));
        name.unwrap_or_else(|_| format!("state{state}"))
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let how = match &deep[..] {
        [_] => format!("echo 1 | sudo tee {CPUS}/cpu*/cpuidle/state{first}/disable"),
        _ => format!("echo 1 | sudo tee {CPUS}/cpu*/cpuidle/state[{first}-9]/disable"),
    };
    Ok(State::noisy(format!("idle CPUs go to {names}"), "lighter states only", how))
}

fn nmi_watchdog(system: &System) -> Result<State, String> {
    Ok(if system.number("proc/sys/kernel/nmi_watchdog")? == 0 {
        State::Quiet("off".to_owned())
    } else {
        let better = "off: it interrupts every CPU, and holds one of its counters";
        State::noisy("on", better, "sudo sysctl kernel.nmi_watchdog=0")
    })
}

fn paranoid(system: &System) -> Result<State, String> {
    /// What an ordinary user may count the kernel's events under.
    const ENOUGH: i64 = 1;
    let level = system.number("proc/sys/kernel/perf_event_paranoid")?;
    let is = format!("kernel.perf_event_paranoid is {level}");
    let status = system.text("proc/self/status").unwrap_or_default();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    Ok(if level <= ENOUGH {
        State::Quiet(is)
    } else if user == Some("0") {
        State::Quiet(format!("{is}, which does not bind root"))
    } else {
        let better = "1: cycles of guest and host, where there is a PMU";
        State::noisy(is, better, "sudo sysctl kernel.perf_event_paranoid=1")
    })
}

fn breakpoints() -> State {
    match breakpoints_taken(None) {
        Ok(0) => State::Quiet("none".to_owned()),
        Ok(taken) => State::noisy(
            format!("up to {taken} of {BREAKPOINTS} are in use on a CPU"),
            "none: KVM loads the host's debug registers after every exit while one is enabled",
            "end what watches: perf record -e mem:…, kgdb, a debugger",
        ),
        Err(unavailable) => State::Unknown(unavailable.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::system::tests::machine;
    use super::*;

    /// A path under each CPU's directory.
    const CPU: &str = "sys/devices/system/cpu";

    fn state(system: &System, topic: &str) -> State {
        let hints = hints(system);
        hints.into_iter().find(|hint| hint.topic == topic).expect("one of the topics").state
    }

    /// What is said of a machine that has these files.
    fn of(topic: &str, files: &[(&str, &str)]) -> State {
        let files: Vec<_> =
            files.iter().map(|(path, text)| (path.replace("CPU", CPU), *text)).collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let (_root, system) = machine(&files);
        state(&system, topic)
    }

    type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

    #[test]
    fn what_makes_noise_is_told_with_the_command_that_ends_it() {
        const TWO: [(&str, &str); 2] = [("CPU/cpu0/online", "1"), ("CPU/cpu7/online", "1")];
        let cases: [Case; 11] = [
            (
                "machine",
                &[("proc/cpuinfo", "flags : fpu hypervisor")],
                "run drbench on the machine",
            ),
            ("other load", &[("proc/loadavg", "1.50 0.9 0.3 2/90 77")], "ps -eo pcpu"),
            (
                "governor",
                &[
                    ("CPU/cpu0/cpufreq/scaling_governor", "performance\n"),
                    ("CPU/cpu1/cpufreq/scaling_governor", "powersave\n"),
                ],
                "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
            ),
            (
                "turbo",
                &[("CPU/cpufreq/boost", "1\n")],
                "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost",
            ),
            (
                "turbo",
                &[("CPU/intel_pstate/no_turbo", "0\n"), ("CPU/cpufreq/boost", "0\n")],
                "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo",
            ),
            ("SMT", &[("CPU/smt/active", "1\n")], "echo off | sudo tee"),
            ("isolation", &[("CPU/isolated", "\n"), TWO[0], TWO[1]], "isolcpus=7"),
            ("timer ticks", &[("CPU/nohz_full", "(null)\n"), TWO[0], TWO[1]], "nohz_full=7"),
            (
                "deep sleep",
                &[
                    ("CPU/cpu0/cpuidle/state1/latency", "1"),
                    ("CPU/cpu0/cpuidle/state1/disable", "0"),
                    ("CPU/cpu0/cpuidle/state2/latency", "400"),
                    ("CPU/cpu0/cpuidle/state2/disable", "0"),
                    ("CPU/cpu0/cpuidle/state2/name", "C6\n"),
                ],
                "cpuidle/state2/disable",
            ),
            ("NMI watchdog", &[("proc/sys/kernel/nmi_watchdog", "1\n")], "nmi_watchdog=0"),
            ("perf events", &[("proc/sys/kernel/perf_event_paranoid", "3\n")], "paranoid=1"),
        ];
        for (topic, files, command) in cases {
            let found = of(topic, files);
            assert!(
                matches!(&found, State::Noisy { how, .. } if how.contains(command)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn what_is_quiet_needs_no_command() {
        let cases: [(&str, &[(&str, &str)]); 11] = [
            ("machine", &[("proc/cpuinfo", "flags : fpu vme")]),
            ("other load", &[("proc/loadavg", "0.05 0.9 0.3 2/90 77")]),
            ("governor", &[("CPU/cpu0/cpufreq/scaling_governor", "performance\n")]),
            ("turbo", &[("CPU/cpufreq/boost", "0\n")]),
            ("turbo", &[("CPU/intel_pstate/no_turbo", "1\n"), ("CPU/cpufreq/boost", "1\n")]),
            ("SMT", &[("CPU/smt/active", "0\n")]),
            ("isolation", &[("CPU/isolated", "2-3\n")]),
            ("timer ticks", &[("CPU/nohz_full", "2-3\n")]),
            (
                "deep sleep",
                &[
                    ("CPU/cpu0/cpuidle/state2/latency", "400"),
                    ("CPU/cpu0/cpuidle/state2/disable", "1"),
                ],
            ),
            ("NMI watchdog", &[("proc/sys/kernel/nmi_watchdog", "0\n")]),
            (
                "perf events",
                &[
                    ("proc/sys/kernel/perf_event_paranoid", "2\n"),
                    ("proc/self/status", "Name:\tdrbench\nUid:\t1000\t0\t0\t0\n"),
                ],
            ),
        ];
        for (topic, files) in cases {
            let found = of(topic, files);
            assert!(matches!(found, State::Quiet(_)), "{topic}: {found:?}");
        }
    }

    #[test]
    fn what_a_machine_does_not_tell_is_unknown_by_name() {
        let (_root, system) = machine(&[]);
        for (topic, _) in LOOKS {
            let found = state(&system, topic);
            assert!(
                matches!(&found, State::Unknown(why) if why.contains('/')),
                "{topic}: {found:?}"
            );
        }
        let alone = of("isolation", &[("CPU/isolated", "\n"), ("CPU/cpu0/online", "1")]);
        assert!(matches!(alone, State::Unknown(why) if why.contains("one CPU only")));
    }
}
