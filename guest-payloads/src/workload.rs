//! A workload: everything that decides what the guest executes in one section.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::interposed::{Interposed, InterposedKind};
use crate::pattern::Pattern;

/// One section's description. Plain data: code, prediction and report row all follow from it.
///
/// Written as `PATTERN[,KIND/K][,armed][,work=N][,switches=N]`; the kind `breakpoint` wants `armed`:
///
/// ```
/// use guest_payloads::Workload;
/// let workload: Workload = "windows,cpuid/3,armed,work=100".parse()?;
/// assert_eq!(workload.accesses(), 13);
/// assert_eq!(workload.switches, Workload::DEFAULT_SWITCHES);
/// assert_eq!(workload.to_string(), "windows,cpuid/3,armed,work=100,switches=4");
/// # Ok::<(), guest_payloads::ParseWorkloadError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// How the registers are switched.
    pub pattern: Pattern,
    /// An exit that is no DR access, after every k-th switch.
    pub interposed: Option<Interposed>,
    /// Whether DR7 enables the breakpoints. They watch bytes that nobody touches.
    pub armed: bool,
    /// Rounds of a two-instruction loop after every switch.
    pub work: u32,
    /// Switches in a section, S in the exit model.
    pub switches: u32,
}

impl Workload {
    /// Switches in a section where nothing else is said. Few: an emulator takes about 0.1 ms for an
    /// exit, and a section should end well within one timer tick.
    pub const DEFAULT_SWITCHES: u32 = 4;
    /// Most switches in a section.
    pub const MAX_SWITCHES: u32 = 10_000_000;
    /// Most rounds of work in a switch.
    pub const MAX_WORK: u32 = 10_000_000;

    /// A pattern alone: no interposed exits, nothing armed, no work.
    pub const fn new(pattern: Pattern) -> Self {
        Self { pattern, interposed: None, armed: false, work: 0, switches: Self::DEFAULT_SWITCHES }
    }

    /// Accesses per switch, `a` in the exit model.
    pub fn accesses(&self) -> u32 {
        self.pattern.accesses()
    }

    /// Fresh pages that a section touches.
    pub fn page_touches(&self) -> u64 {
        let touching =
            self.interposed.is_some_and(|interposed| interposed.kind == InterposedKind::PageTouch);
        if touching { self.interposed_exits() } else { 0 }
    }

    /// Interposed exits of the section: floor(S/k).
    pub fn interposed_exits(&self) -> u64 {
        self.interposed.map_or(0, |interposed| (self.switches / interposed.every).into())
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pattern)?;
        if let Some(interposed) = self.interposed {
            write!(f, ",{interposed}")?;
        }
        if self.armed {
            write!(f, ",armed")?;
        }
        if self.work > 0 {
            write!(f, ",work={}", self.work)?;
        }
        write!(f, ",switches={}", self.switches)
    }
}

/// A workload's text that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "workload `{text}`: {problem}. A workload is PATTERN[,KIND/K][,armed][,work=N][,switches=N], \
     for example save-restore,cpuid/1,switches=100"
)]
pub struct ParseWorkloadError {
    text: String,
    problem: String,
}

impl FromStr for Workload {
    type Err = ParseWorkloadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |problem| ParseWorkloadError { text: text.to_owned(), problem };
        let mut parts = text.split(',');
        let pattern = parts.next().unwrap_or_default().parse().map_err(fail)?;
        let mut workload = Self::new(pattern);
        for part in parts {
            workload.apply(part).map_err(fail)?;
        }
        match workload.interposed {
            Some(Interposed { kind, .. }) if kind.needs_armed() && !workload.armed => {
                Err(fail(format!("{} comes only with `armed` beside it", kind.name())))
            }
            _ => Ok(workload),
        }
    }
}

impl Workload {
    fn apply(&mut self, part: &str) -> Result<(), String> {
        if part == "armed" {
            self.armed = true;
        } else if let Some(n) = part.strip_prefix("work=") {
            self.work = number("work", n, 0, Self::MAX_WORK)?;
        } else if let Some(n) = part.strip_prefix("switches=") {
            self.switches = number("switches", n, 1, Self::MAX_SWITCHES)?;
        } else {
            self.interposed = Some(part.parse()?);
        }
        Ok(())
    }
}

fn number(what: &str, text: &str, least: u32, most: u32) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| format!("{what} is `{text}`, must be a number from {least} to {most}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::register::Slot;

    pub(crate) fn any_pattern() -> impl Strategy<Value = Pattern> {
        prop_oneof![
            Just(Pattern::None),
            Just(Pattern::Dr7),
            Just(Pattern::Scan),
            Just(Pattern::SaveRestore),
            Just(Pattern::Windows),
            prop::sample::select(Slot::ALL.to_vec()).prop_map(Pattern::LinuxHwbp),
            (1u32..=24).prop_map(Pattern::Accesses),
        ]
    }

    prop_compose! {
        fn any_interposed()(
            kind in prop::sample::select(InterposedKind::ALL.to_vec()),
            every in 1u32..40,
        ) -> Interposed {
            Interposed { kind, every: NonZeroU32::new(every).expect("at least 1") }
        }
    }

    prop_compose! {
        pub(crate) fn any_workload()(
            pattern in any_pattern(),
            interposed in prop::option::of(any_interposed()),
            armed: bool,
            work in 0u32..20,
            switches in 1u32..100,
        ) -> Workload {
            let armed = armed || interposed.is_some_and(|exit: Interposed| exit.kind.needs_armed());
            Workload { pattern, interposed, armed, work, switches }
        }
    }

    proptest! {
        #[test]
        fn a_workload_is_read_back_from_its_text(workload in any_workload()) {
            prop_assert_eq!(workload.to_string().parse(), Ok(workload));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            let _ = text.parse::<Workload>();
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused_and_named() {
        for (bad, named) in [
            ("dr7,cpuid/0", "`cpuid/0`"),
            ("dr7,cpuid", "`cpuid`"),
            ("dr7,coffee/1", "`coffee`"),
            ("dr7,switches=0", "switches"),
            ("dr7,switches=99999999999", "switches"),
            ("dr7,work=-1", "work"),
            ("dr7,breakpoint/1", "`armed`"),
            ("espresso", "`espresso`"),
        ] {
            let error = bad.parse::<Workload>().unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains(named), "{error}");
        }
    }
}
