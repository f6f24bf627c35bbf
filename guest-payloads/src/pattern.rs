//! How guests switch debug registers: each pattern is a list of accesses, in order.

use std::fmt;
use std::str::FromStr;

use crate::register::{DebugRegister, Slot};

/// Most accesses a switch of the `n:N` pattern may have.
pub const MAX_ACCESSES: u32 = 1000;

/// How a guest switches debug registers at a context switch.
///
/// ```
/// use guest_payloads::Pattern;
/// let pattern: Pattern = "linux-hwbp-2".parse()?;
/// assert_eq!(pattern.accesses(), 6);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// The control: no access at all.
    None,
    /// One write of DR7; what kvm-unit-tests' `mov_dr` measures.
    Dr7,
    /// Reads only: all six.
    Scan,
    /// Read all six; write all six.
    SaveRestore,
    /// Linux's perf and ptrace breakpoints, one to four slots. Out: a DR7 write per slot; in: per
    /// slot the address register, then DR7.
    LinuxHwbp(Slot),
    /// Save: read all six, clear DR7; restore: DR0-3, DR6, DR7.
    Windows,
    /// N writes of DR0-3 in turn: for sweeps.
    Accesses(u32),
    /// Not a benchmark: a guest that misbehaves, to see what drbench says.
    Broken(Broken),
}

/// Ways to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// Loops for ever inside the section.
    Hang,
    /// Takes an exception with no handler table inside the section.
    TripleFault,
}

/// What is written to a debug register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// The watched address of a slot.
    Address(Slot),
    /// DR6 with all causes clear.
    Status,
    /// DR7 with the slots below this number in force: 0 disables all, 4 has all.
    Control(u8),
}

/// One MOV to or from a debug register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `mov r64, drN`.
    Read(DebugRegister),
    /// `mov drN, r64`.
    Write(DebugRegister, Content),
}

/// One simulated context switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Switching out. What is read here is stored in memory.
    pub save: Vec<Access>,
    /// Switching in.
    pub restore: Vec<Access>,
    /// Whether the values read are kept.
    pub stores: bool,
}

impl Pattern {
    /// The patterns a user can choose from; the two families by an example.
    pub const CATALOGUE: [(Self, &'static str); 11] = [
        (Self::None, "the control: no access"),
        (Self::Dr7, "one write of DR7, what kvm-unit-tests' mov_dr measures"),
        (Self::Accesses(5), "n:N: N writes of DR0-3 in turn, for sweeps"),
        (Self::Scan, "reads only, all six"),
        (Self::LinuxHwbp(Slot::S0), "Linux breakpoints, one slot: DR7 out; address and DR7 in"),
        (Self::LinuxHwbp(Slot::S1), "the same, two slots"),
        (Self::LinuxHwbp(Slot::S3), "the same, four slots"),
        (Self::SaveRestore, "read all six, write all six"),
        (Self::Windows, "read all six and clear DR7; write all six"),
        (Self::Broken(Broken::Hang), "not a benchmark: loops for ever, to test the watchdog"),
        (Self::Broken(Broken::TripleFault), "not a benchmark: crashes, to test the report"),
    ];

    /// The accesses of one switch, in order.
    pub fn switch(self) -> Switch {
        let read_all = || DebugRegister::ALL.map(Access::Read).to_vec();
        let address = |slot: Slot| Access::Write(slot.address_register(), Content::Address(slot));
        let control = |slots| Access::Write(DebugRegister::Dr7, Content::Control(slots));
        let write_all = || {
            let mut writes = Slot::ALL.map(address).to_vec();
            writes.push(Access::Write(DebugRegister::Dr6, Content::Status));
            writes.push(control(4));
            writes
        };
        let (save, restore) = match self {
            Self::None | Self::Broken(_) => (vec![], vec![]),
            Self::Dr7 => (vec![], vec![control(4)]),
            Self::Scan => (read_all(), vec![]),
            Self::SaveRestore => (read_all(), write_all()),
            Self::LinuxHwbp(last) => {
                let slots = &Slot::ALL[..=usize::from(last.index())];
                (
                    slots.iter().rev().map(|slot| control(slot.index())).collect(),
                    slots
                        .iter()
                        .flat_map(|&slot| [address(slot), control(slot.index() + 1)])
                        .collect(),
                )
            }
            Self::Windows => {
                let mut save = read_all();
                save.push(control(0));
                (save, write_all())
            }
            Self::Accesses(n) => {
                (vec![], Slot::ALL.into_iter().cycle().take(n as usize).map(address).collect())
            }
        };
        Switch { save, restore, stores: self != Self::Scan }
    }

    /// Accesses per switch, `a` in the exit model.
    pub fn accesses(self) -> u32 {
        match self {
            Self::None | Self::Broken(_) => 0,
            Self::Dr7 => 1,
            Self::Scan => 6,
            Self::SaveRestore => 12,
            Self::LinuxHwbp(last) => 3 * (u32::from(last.index()) + 1),
            Self::Windows => 13,
            Self::Accesses(n) => n,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Dr7 => f.pad("dr7"),
            Self::Scan => f.pad("scan"),
            Self::SaveRestore => f.pad("save-restore"),
            Self::LinuxHwbp(last) => f.pad(&format!("linux-hwbp-{}", last.index() + 1)),
            Self::Windows => f.pad("windows"),
            Self::Accesses(n) => f.pad(&format!("n:{n}")),
            Self::Broken(Broken::Hang) => f.pad("hang"),
            Self::Broken(Broken::TripleFault) => f.pad("triple-fault"),
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(n) = text.strip_prefix("n:") {
            return match n.parse() {
                Ok(n) if (1..=MAX_ACCESSES).contains(&n) => Ok(Self::Accesses(n)),
                _ => Err(format!("`{text}`: N must be a number from 1 to {MAX_ACCESSES}")),
            };
        }
        Slot::ALL
            .map(Self::LinuxHwbp)
            .into_iter()
            .chain(Self::CATALOGUE.map(|(pattern, _)| pattern))
            .find(|pattern| pattern.to_string() == text)
            .ok_or_else(|| {
                format!("no switch pattern is named `{text}`; `drbench list workloads` names them")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_pattern() -> impl Iterator<Item = Pattern> {
        Pattern::CATALOGUE
            .map(|(pattern, _)| pattern)
            .into_iter()
            .chain(Slot::ALL.map(Pattern::LinuxHwbp))
            .chain((1..=24).map(Pattern::Accesses))
    }

    #[test]
    fn the_stated_number_of_accesses_is_the_number_of_accesses() {
        for pattern in every_pattern() {
            let switch = pattern.switch();
            let listed = switch.save.len() + switch.restore.len();
            assert_eq!(listed, pattern.accesses() as usize, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_is_read_back_from_its_name() {
        for pattern in every_pattern() {
            assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
    }

    #[test]
    fn linux_with_two_slots_writes_what_arch_install_hw_breakpoint_writes() {
        let switch = Pattern::LinuxHwbp(Slot::S1).switch();
        let names = |accesses: &[Access]| -> Vec<u8> {
            accesses
                .iter()
                .map(|access| match access {
                    Access::Read(register) | Access::Write(register, _) => register.number(),
                })
                .collect()
        };
        assert_eq!(names(&switch.save), [7, 7]);
        assert_eq!(names(&switch.restore), [0, 7, 1, 7]);
        assert_eq!(switch.save[1], Access::Write(DebugRegister::Dr7, Content::Control(0)));
    }

    #[test]
    fn unknown_and_absurd_patterns_are_refused_by_name() {
        for bad in ["", "DR7", "n:", "n:0", "n:1001", "n:-1", "linux-hwbp-0", "linux-hwbp-5"] {
            let error = bad.parse::<Pattern>().unwrap_err();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }
}
