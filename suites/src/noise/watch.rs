//! What disturbs a thread while it measures.

use std::time::Instant;

use bench_vmm::counters::{BREAKPOINTS, breakpoints_taken};
use reports::{Noise, Seen, Span, statistics};

use super::{Pace, Pin, System, preemptions};
use crate::protocol::AgainstNoise;

/// Looks at the machine from when measuring begins to when it ends. Between sections only: nothing
/// that is measured pays for it.
#[derive(Debug)]
pub struct Watch {
    system: System,
    seed: u32,
    pin: Result<Pin, String>,
    began: Instant,
    steal_ms: Result<u64, String>,
    preemptions: Result<u64, String>,
    preempted_batches: u64,
    pace: Pace,
    unusual_batches: u64,
    frequency_khz: Result<Span, String>,
    host_breakpoints: Result<u32, String>,
}

/// Why there is no one CPU.
const NOT_ASKED: &str = "--no-pin";

impl Watch {
    /// Binds the calling thread, if that is wanted, and begins.
    pub fn begin(against: AgainstNoise) -> Self {
        let pin = if against.pin { Pin::to_this_cpu() } else { Err(NOT_ASKED.to_owned()) };
        Self::of(System::this(), against.seed, pin)
    }

    fn of(system: System, seed: u32, pin: Result<Pin, String>) -> Self {
        let cpu = pin.as_ref().ok().map(Pin::cpu);
        let unpinned = || "a thread that is bound to no CPU has no one frequency".to_owned();
        let frequency_khz = cpu.ok_or_else(unpinned).and_then(|cpu| system.frequency_khz(cpu));
        Self {
            seed,
            began: Instant::now(),
            steal_ms: system.steal_ms(cpu),
            preemptions: preemptions(),
            preempted_batches: 0,
            pace: Pace::begin(),
            unusual_batches: 0,
            frequency_khz: frequency_khz.map(Span::from),
            host_breakpoints: taken(cpu),
            system,
            pin,
        }
    }

    /// The seed of the cells' order.
    pub fn seed(&self) -> u32 {
        self.seed
    }

    /// A batch was thrown away, as another program had the CPU meanwhile.
    pub fn preempted(&mut self) {
        self.preempted_batches += 1;
    }

    /// How fast the CPU is.
    pub fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    /// So many batches were put aside, as the CPU itself was not as usual meanwhile.
    pub fn unusual(&mut self, batches: u64) {
        self.unusual_batches += batches;
    }

    /// Looks at what is only seen while it lasts: once a round.
    pub fn look(&mut self) {
        self.pace.settle();
        let Ok(pin) = &self.pin else { return };
        let system = &self.system;
        self.frequency_khz = std::mem::replace(&mut self.frequency_khz, Err(String::new()))
            .and_then(|span| Ok(span.with(system.frequency_khz(pin.cpu())?)));
    }

    /// Ends, on the same thread, and says what was seen.
    pub fn end(mut self) -> Noise {
        self.look();
        let cpu = self.pin.as_ref().ok().map(Pin::cpu);
        let grown = |before: Result<u64, String>, now: Result<u64, String>| {
            before.and_then(|before| Ok(now?.saturating_sub(before)))
        };
        Noise {
            seed: self.seed,
            cpu: self.pin.as_ref().map(Pin::cpu).map_err(Clone::clone).into(),
            took_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            steal_ms: grown(self.steal_ms, self.system.steal_ms(cpu)).into(),
            preemptions: grown(self.preemptions, preemptions()).into(),
            preempted_batches: self.preempted_batches,
            pace: Some(self.pace.usual()),
            unusual_batches: self.unusual_batches,
            frequency_khz: self.frequency_khz.into(),
            host_breakpoints: self
                .host_breakpoints
                .and_then(|before| Ok(before.max(taken(cpu)?)))
                .into(),
        }
    }
}

fn taken(cpu: Option<u32>) -> Result<u32, String> {
    breakpoints_taken(cpu.map(|cpu| cpu as usize)).map_err(|unavailable| unavailable.to_string())
}

/// What the user must know of what was seen, in sentences.
pub fn warnings(noise: &Noise) -> Vec<String> {
    let on = noise.cpu.value().map_or_else(|| "the CPUs".to_owned(), |cpu| format!("CPU {cpu}"));
    let took = noise.took_ms;
    let positive = |seen: &Seen<u64>| seen.value().copied().filter(|&value| value > 0);
    let unpinned = match &noise.cpu {
        Seen::Unknown(why) if why != NOT_ASKED => Some(format!(
            "the measuring thread could not be bound to a CPU ({why}): its moves are in the figures; \
             try taskset -c N drbench run"
        )),
        Seen::Unknown(_) | Seen::Value(_) => None,
    };
    let steal = positive(&noise.steal_ms).map(|ms| {
        format!("of {took} ms of measuring, the hypervisor below gave {ms} ms of {on} to others")
    });
    let preempted = positive(&noise.preemptions).map(|times| {
        let batches = noise.preempted_batches;
        format!(
            "other programs got {on} {times} times in {took} ms while the guest wanted to run; \
             {batches} batches were measured anew for that"
        )
    });
    let unusual = Some(noise.unusual_batches).filter(|&batches| batches > 0).map(|batches| {
        format!(
            "{on} itself was not as usual during {batches} batches: its frequency changed, or something \
             shared its core; others were measured instead"
        )
    });
    let frequency = noise.frequency_khz.value().filter(|span| is_change(span)).map(|span| {
        let [low, high] = [span.low, span.high].map(|khz| khz / 1000);
        format!("{on} changed its frequency while it measured: between {low} and {high} MHz")
    });
    let watched = noise.host_breakpoints.value().filter(|&&taken| taken > 0).map(|taken| {
        format!(
            "{taken} of the {BREAKPOINTS} hardware breakpoints of {on} are in use on this host: \
             where one is enabled, KVM loads the host's debug registers after every exit, and that is \
             in the figures; end what watches (perf record -e mem:…, kgdb, a debugger)"
        )
    });
    [unpinned, steal, preempted, unusual, frequency, watched].into_iter().flatten().collect()
}

/// Changes that could be seen in a figure.
fn is_change(span: &Span) -> bool {
    let [low, high] = [span.low, span.high].map(|khz| reports::Value::count(khz).as_f64());
    high - low > statistics::RESOLUTION * high
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::system::tests::machine;
    use super::*;

    const FREQUENCY: &str = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq";

    #[test]
    fn what_grows_meanwhile_is_seen_and_what_is_missing_has_its_reason() {
        let pin = Pin::to_this_cpu().unwrap();
        let cpu = pin.cpu();
        let frequency = FREQUENCY.replace("{}", &cpu.to_string());
        let stat =
            |ticks: u32| format!("cpu  1 0 0 0 0 0 0 9 0 0\ncpu{cpu} 1 0 0 0 0 0 0 {ticks} 0 0\n");
        let (root, system) = machine(&[("proc/stat", &stat(4)), (&frequency, "3000000\n")]);
        let write = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
        let mut watch = Watch::of(system, 7, Ok(pin));
        write(&frequency, "1200000\n");
        watch.look();
        write(&frequency, "2000000\n");
        write("proc/stat", &stat(6));
        watch.preempted();
        let noise = Noise { preemptions: Seen::Value(3), ..watch.end() };
        assert_eq!((noise.seed, noise.cpu.clone()), (7, Seen::Value(cpu)));
        assert_eq!((noise.steal_ms.value(), noise.preempted_batches), (Some(&20), 1));
        let span = Span { low: 1_200_000, high: 3_000_000 };
        assert_eq!(noise.frequency_khz, Seen::Value(span));
        let told = warnings(&noise).join("\n");
        for word in ["20 ms", "3 times", "1 batches", "between 1200 and 3000 MHz"] {
            assert!(told.contains(word), "{word}: {told}");
        }

        let (_root, nothing) = machine(&[]);
        let noise = Watch::of(nothing, 7, Err("sched_setaffinity: EPERM".to_owned())).end();
        let no_file = |why: &str| why.contains("/proc/stat");
        assert!(matches!(&noise.steal_ms, Seen::Unknown(why) if no_file(why)), "{noise:?}");
        assert!(
            matches!(noise.frequency_khz, Seen::Unknown(why) if why.contains("bound to no CPU"))
        );
    }

    #[test]
    fn a_quiet_run_has_no_warnings_and_each_disturbance_has_one() {
        let quiet = Noise {
            seed: 1,
            cpu: Seen::Value(3),
            took_ms: 500,
            steal_ms: Seen::Value(0),
            preemptions: Seen::Value(0),
            preempted_batches: 0,
            pace: None,
            unusual_batches: 0,
            frequency_khz: Seen::Value(Span { low: 2_990_000, high: 3_000_000 }),
            host_breakpoints: Seen::Value(0),
        };
        assert_eq!(warnings(&quiet), Vec::<String>::new());
        let unseen = Noise {
            steal_ms: Seen::Unknown("no file".into()),
            host_breakpoints: Seen::Unknown("no perf".into()),
            cpu: Seen::Unknown(NOT_ASKED.into()),
            ..quiet.clone()
        };
        assert_eq!(warnings(&unseen), Vec::<String>::new(), "what is not seen is no disturbance");
        let cases = [
            (Noise { steal_ms: Seen::Value(30), ..quiet.clone() }, "30 ms of CPU 3"),
            (Noise { preemptions: Seen::Value(2), ..quiet.clone() }, "2 times in 500 ms"),
            (Noise { unusual_batches: 4, ..quiet.clone() }, "during 4 batches"),
            (Noise { host_breakpoints: Seen::Value(1), ..quiet.clone() }, "1 of the 4"),
            (Noise { cpu: Seen::Unknown("EPERM".into()), ..quiet.clone() }, "EPERM"),
        ];
        for (noise, word) in cases {
            let told = warnings(&noise);
            assert!(matches!(&told[..], [one] if one.contains(word)), "{word}: {told:?}");
        }
    }
}
