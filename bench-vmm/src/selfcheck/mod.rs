//! Checks of this crate that need a real KVM, as a table: `cargo test` runs it where there is a
//! `/dev/kvm`, the lab's PID 1 runs it inside every emulated host.
//!
//! They judge this VMM, not the kernel: what each kernel's debug registers do is the suites' subject.

mod checks;
mod guests;

use std::fmt;

use crate::host::Host;

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What must hold, in a few words.
    pub name: &'static str,
    check: fn(&Host) -> CheckResult,
}

/// A check's result: a failure says what was expected and what came.
pub type CheckResult = Result<Outcome, CheckFailure>;

/// How a check that did not fail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds; with the figures that show it.
    Passed(String),
    /// It cannot be judged here, and why.
    Skipped(String),
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFailure(String);

impl Check {
    /// Runs the check.
    pub fn run(&self, host: &Host) -> CheckResult {
        (self.check)(host)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(figures) => write!(f, "passed: {figures}"),
            Self::Skipped(reason) => write!(f, "SKIPPED: {reason}"),
        }
    }
}

impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Any error of this crate ends a check.
impl<E: std::error::Error> From<E> for CheckFailure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Every check, in the order in which they make sense.
pub const CHECKS: &[Check] = &[
    Check { name: "markers and interposed exits are told apart", check: checks::markers },
    Check { name: "a guest that never ends is stopped", check: checks::watchdog },
    Check { name: "a triple fault is reported with its registers", check: checks::triple_fault },
    Check { name: "a fatal exception is logged and reported", check: checks::fatal_exception },
    Check { name: "a double fault has a stack of its own", check: checks::double_fault },
    Check {
        name: "a guest's data breakpoint is logged and returned from",
        check: checks::data_breakpoint,
    },
    Check {
        name: "a guest's execute breakpoint is logged and returned from",
        check: checks::execute_breakpoint,
    },
    Check { name: "a machine runs again after a crash", check: checks::reload },
    Check {
        name: "debug registers: the guest writes, the host reads",
        check: checks::guest_to_host,
    },
    Check {
        name: "debug registers: the host writes, the guest reads",
        check: checks::host_to_guest,
    },
    Check { name: "two vCPUs keep their own debug registers", check: checks::two_vcpus },
    Check { name: "single steps stop at each instruction", check: checks::single_step },
    Check { name: "a host breakpoint stops the guest", check: checks::host_breakpoint },
    Check { name: "statistics count exits to userspace", check: checks::statistics },
    Check { name: "under guest debug each DR access exits", check: checks::guest_debug },
    Check { name: "the tracepoint counts what statistics count", check: checks::trace },
    Check { name: "cycles of guest and host are counted apart", check: checks::cycles },
    Check { name: "a machine with interrupt controllers runs", check: checks::irqchip },
];
