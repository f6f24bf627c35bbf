//! Exits by class, counted by perf at the `kvm:kvm_exit` tracepoint.

use std::ffi::CString;
use std::io;

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter, ReadFormat};

use super::{CounterError, Unavailable};
use crate::exits::ExitClass;
use crate::host::Host;
use crate::sys;

const NAME: &str = "exit tracepoint";
const TRACEFS: &str = "/sys/kernel/tracing";
/// What lets an ordinary user count exits by reason: both the tracing files and perf open to it.
const ONE_SETTING: &str = "run as root, or give the program what it needs: \
     sudo setcap cap_perfmon,cap_dac_read_search=ep drbench";
/// Where tracing lies: its own mount, or debugfs's automatic one.
const EVENT_IDS: [&str; 2] = [
    "/sys/kernel/tracing/events/kvm/kvm_exit/id",
    "/sys/kernel/debug/tracing/events/kvm/kvm_exit/id",
];

/// Counts the exits of whatever vCPU runs on the thread that opened it.
///
/// It adds instructions to every exit: cost is measured in another pass, without it.
#[derive(Debug)]
pub struct ExitTrace {
    /// Counts all exits and leads the group: the others start and stop with it.
    total: Counter,
    classes: Vec<(ExitClass, Counter)>,
}

/// Exits counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitCounts {
    /// All exits.
    pub total: u64,
    /// Those of the classes asked for, in that order.
    pub classes: Vec<(ExitClass, u64)>,
    /// The rest: exits of no class that was asked for.
    pub other: u64,
}

impl ExitCounts {
    /// Exits of one class; `None` if it was not asked for.
    pub fn of(&self, class: ExitClass) -> Option<u64> {
        self.classes.iter().find(|(counted, _)| *counted == class).map(|(_, count)| *count)
    }
}

impl ExitTrace {
    /// Opens a counter of all exits and one for each of `classes`, stopped, for this thread.
    ///
    /// A class that `host`'s extension has no exit of is left out. Where KVM interprets the guest
    /// (`kvm_pvm`) the tracepoint never fires, and 0 would be no count: that is [`Unavailable`].
    pub fn open(host: &Host, classes: &[ExitClass]) -> Result<Self, Unavailable> {
        let isa = host.module().isa().ok_or_else(|| {
            Unavailable::new(
                format!("exits by reason ({} does not pass kvm:kvm_exit)", host.module()),
                "measure under kvm_amd or kvm_intel, in the lab for instance",
            )
        })?;
        let filters = classes.iter().filter_map(|class| Some((*class, class.filter(isa)?)));
        Self::open_event(event_id()?, filters)
    }

    fn open_event(
        id: u64,
        filters: impl Iterator<Item = (ExitClass, CString)>,
    ) -> Result<Self, Unavailable> {
        let mut builder = Builder::new(Tracepoint::with_id(id));
        // The tracepoint fires in the kernel: excluded, the count would stay 0 without any error.
        builder.include_kernel().include_hv();
        builder.read_format(
            ReadFormat::GROUP | ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING,
        );
        let mut total = builder.build().map_err(|error| refused(&error))?;
        let mut counters = Vec::new();
        for (class, filter) in filters {
            let counter = builder.build_with_group(&mut total).map_err(|error| refused(&error))?;
            sys::set_event_filter(&counter, &filter).map_err(|errno| {
                Unavailable::new(
                    format!("a filter for {class} exits (PERF_EVENT_IOC_SET_FILTER: {errno})"),
                    "use a kernel with CONFIG_EVENT_TRACING",
                )
            })?;
            counters.push((class, counter));
        }
        Ok(Self { total, classes: counters })
    }

    /// Sets all counts to 0 and starts counting: two ioctls.
    pub fn start(&mut self) -> Result<(), CounterError> {
        self.total
            .reset_group()
            .and_then(|()| self.total.enable_group())
            .map_err(failed("starting"))
    }

    /// Stops counting: one ioctl.
    pub fn stop(&mut self) -> Result<(), CounterError> {
        self.total.disable_group().map_err(failed("stopping"))
    }

    /// The counts since [`ExitTrace::start`].
    pub fn read(&mut self) -> Result<ExitCounts, CounterError> {
        let group = self.total.read_group().map_err(failed("reading"))?;
        let enabled = group.time_enabled().unwrap_or_default();
        let running = group.time_running().unwrap_or_default();
        if enabled != running {
            return Err(CounterError::Shared { counter: NAME, enabled, running });
        }
        let total = group[&self.total];
        let classes: Vec<_> =
            self.classes.iter().map(|(class, counter)| (*class, group[counter])).collect();
        let known: u64 = classes.iter().map(|(_, count)| count).sum();
        Ok(ExitCounts { total, classes, other: total.saturating_sub(known) })
    }
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> CounterError {
    move |source| CounterError::Failed { operation, counter: NAME, source }
}

fn event_id() -> Result<u64, Unavailable> {
    let mut denied = false;
    for path in EVENT_IDS {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                return text.trim().parse().map_err(|_| {
                    Unavailable::new(format!("a number in {path}"), "check what is mounted there")
                });
            }
            Err(error) => denied |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    let missing = "the tracepoint kvm:kvm_exit (exits by reason)";
    let mounted = std::path::Path::new(TRACEFS).join("events").exists();
    Err(Unavailable::new(
        missing,
        if denied {
            ONE_SETTING.to_owned()
        } else if mounted {
            "load the kvm module, or use a kernel with CONFIG_TRACING".to_owned()
        } else {
            format!("as root, mount -t tracefs tracefs {TRACEFS}")
        },
    ))
}

fn refused(error: &io::Error) -> Unavailable {
    let missing = format!("perf events for kvm:kvm_exit ({error})");
    match error.kind() {
        io::ErrorKind::PermissionDenied => Unavailable::new(missing, ONE_SETTING),
        _ => Unavailable::new(missing, "use a kernel with CONFIG_PERF_EVENTS and CONFIG_TRACING"),
    }
}
