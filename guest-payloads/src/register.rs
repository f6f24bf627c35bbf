//! The debug registers, as types. AMD APM vol. 2, 13.1; Intel SDM vol. 3B, 18.2.

use std::fmt;

/// A debug register that exists. DR4 and DR5 are aliases or #UD (CR4.DE) and are not named here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DebugRegister {
    /// Address of breakpoint 0.
    Dr0,
    /// Address of breakpoint 1.
    Dr1,
    /// Address of breakpoint 2.
    Dr2,
    /// Address of breakpoint 3.
    Dr3,
    /// Debug status.
    Dr6,
    /// Debug control.
    Dr7,
}

impl DebugRegister {
    /// All six, in the order in which operating systems save them.
    pub const ALL: [Self; 6] = [Self::Dr0, Self::Dr1, Self::Dr2, Self::Dr3, Self::Dr6, Self::Dr7];

    /// The number in the instruction's `ModRM` byte: 0..=3, 6, 7.
    pub const fn number(self) -> u8 {
        match self {
            Self::Dr0 => 0,
            Self::Dr1 => 1,
            Self::Dr2 => 2,
            Self::Dr3 => 3,
            Self::Dr6 => 6,
            Self::Dr7 => 7,
        }
    }
}

impl fmt::Display for DebugRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DR{}", self.number())
    }
}

/// One of the four breakpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// Breakpoint 0, address in DR0.
    S0,
    /// Breakpoint 1, address in DR1.
    S1,
    /// Breakpoint 2, address in DR2.
    S2,
    /// Breakpoint 3, address in DR3.
    S3,
}

impl Slot {
    /// All four, lowest first.
    pub const ALL: [Self; 4] = [Self::S0, Self::S1, Self::S2, Self::S3];

    /// 0..=3.
    pub const fn index(self) -> u8 {
        match self {
            Self::S0 => 0,
            Self::S1 => 1,
            Self::S2 => 2,
            Self::S3 => 3,
        }
    }

    /// The register that holds the slot's address.
    pub const fn address_register(self) -> DebugRegister {
        match self {
            Self::S0 => DebugRegister::Dr0,
            Self::S1 => DebugRegister::Dr1,
            Self::S2 => DebugRegister::Dr2,
            Self::S3 => DebugRegister::Dr3,
        }
    }
}

/// What a breakpoint waits for: the R/W field of DR7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakCondition {
    /// Execution of the instruction at the address (length must be one byte).
    Execute,
    /// A data write.
    Write,
    /// An I/O access (CR4.DE = 1).
    Io,
    /// A data read or write.
    ReadWrite,
}

impl BreakCondition {
    const fn bits(self) -> u64 {
        match self {
            Self::Execute => 0b00,
            Self::Write => 0b01,
            Self::Io => 0b10,
            Self::ReadWrite => 0b11,
        }
    }
}

/// How many bytes a breakpoint watches: the LEN field of DR7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakLength {
    /// One byte.
    One,
    /// Two bytes, aligned.
    Two,
    /// Four bytes, aligned.
    Four,
    /// Eight bytes, aligned; long mode.
    Eight,
}

impl BreakLength {
    const fn bits(self) -> u64 {
        match self {
            Self::One => 0b00,
            Self::Two => 0b01,
            Self::Four => 0b11,
            Self::Eight => 0b10,
        }
    }
}

/// A value of DR7.
///
/// ```
/// use guest_payloads::{BreakCondition, BreakLength, Dr7, Slot};
/// let dr7 = Dr7::DISABLED.with(Slot::S0, BreakCondition::Write, BreakLength::Four).enable(Slot::S0);
/// assert_eq!(dr7.bits(), 0xd_0401);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dr7(u64);

impl Dr7 {
    /// The value after reset: bit 10 reads as one, nothing is enabled.
    pub const DISABLED: Self = Self(1 << 10);
    /// General detect enable: any access to a debug register raises #DB.
    pub const GENERAL_DETECT: u64 = 1 << 13;

    /// Sets a slot's condition and length without enabling it.
    #[must_use]
    pub const fn with(self, slot: Slot, condition: BreakCondition, length: BreakLength) -> Self {
        let shift = 16 + 4 * slot.index() as u64;
        let field = condition.bits() | (length.bits() << 2);
        Self((self.0 & !(0xf << shift)) | (field << shift))
    }

    /// Sets the slot's local enable bit.
    #[must_use]
    pub const fn enable(self, slot: Slot) -> Self {
        Self(self.0 | (1 << (2 * slot.index() as u64)))
    }

    /// The register's content.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// Values of DR6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dr6(u64);

impl Dr6 {
    /// The value after reset, all causes clear (RTM and bus-lock bits, active low, read as one).
    pub const CLEAR: Self = Self(0xffff_0ff0);
    /// Single step: set by #DB after TF.
    pub const BS: u64 = 1 << 14;
    /// Debug register access detected (DR7.GD).
    pub const BD: u64 = 1 << 13;

    /// The bit that a breakpoint in this slot sets.
    pub const fn hit(slot: Slot) -> u64 {
        1 << slot.index()
    }

    /// The register's content.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manuals_example_of_four_armed_slots() {
        let dr7 = Slot::ALL.into_iter().fold(Dr7::DISABLED, |dr7, slot| {
            dr7.with(slot, BreakCondition::ReadWrite, BreakLength::Eight).enable(slot)
        });
        assert_eq!(dr7.bits(), 0xbbbb_0455);
    }

    #[test]
    fn a_slot_written_twice_keeps_the_second_condition_only() {
        let dr7 = Dr7::DISABLED.with(Slot::S1, BreakCondition::ReadWrite, BreakLength::Four).with(
            Slot::S1,
            BreakCondition::Execute,
            BreakLength::One,
        );
        assert_eq!(dr7, Dr7::DISABLED);
    }
}
