//! The closed vocabularies: columns that hold one of a few words.

use super::Unexpected;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An enum and its words. `expected` names the vocabulary in errors.
macro_rules! vocabulary {
    ($expected:literal,
     $(#[$about:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every word of the vocabulary.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word as it stands in the file.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Unexpected;

            fn from_str(text: &str) -> Result<Self, Unexpected> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => {
                        let words: Vec<_> = Self::ALL.iter().map(|word| word.as_str()).collect();
                        let expected = format!("{} ({})", $expected, words.join(", "));
                        Err(Unexpected::new(expected, text))
                    }
                }
            }
        }
    };
}

vocabulary! { "a vendor module",
    /// The vendor part of the hypervisor that served the guest.
    pub enum Vendor {
        /// Intel VMX.
        KvmIntel = "kvm_intel",
        /// AMD SVM.
        KvmAmd = "kvm_amd",
        /// No hardware extensions: the guest's kernel mode is interpreted.
        KvmPvm = "kvm_pvm",
    }
}

vocabulary! { "a machine",
    /// What the measured kernel ran on.
    pub enum Machine {
        /// The hardware, or whatever this host runs on.
        Native = "native",
        /// QEMU's software emulation.
        QemuTcg = "qemu-tcg",
        /// QEMU with nested hardware virtualization.
        QemuKvm = "qemu-kvm",
        /// Bochs.
        Bochs = "bochs",
    }
}

impl Machine {
    /// Whether the processor is software: its time stamps count instructions, not cycles.
    pub const fn is_emulated(self) -> bool {
        matches!(self, Self::QemuTcg | Self::Bochs)
    }
}

vocabulary! { "a policy that a run can ask for",
    /// What the run asked for.
    pub enum Policy {
        /// The kernel's own policy.
        Kernel = "kernel",
        /// Userspace debugs the guest: every access exits, whatever the kernel's own policy is.
        GuestDebug = "guest-debug",
    }
}

vocabulary! { "a unit",
    /// What a value counts.
    pub enum Unit {
        /// Exits from the guest, over the section.
        Exits = "exits",
        /// Instructions executed.
        Instructions = "instructions",
        /// Clock cycles, or time-stamp ticks on hardware.
        Cycles = "cycles",
        /// Nanoseconds.
        Ns = "ns",
        /// A share, 0 to 1.
        Ratio = "ratio",
        /// So often in a second.
        PerSecond = "per-second",
        /// No number, or one without a unit.
        None = "none",
    }
}

vocabulary! { "a source",
    /// Where a value comes from. In the order of preference when several have the same metric.
    pub enum Source {
        /// The hypervisor's own statistics.
        Statistics = "statistics",
        /// A tracepoint.
        Tracepoint = "tracepoint",
        /// The guest's time-stamp counter.
        Tsc = "tsc",
        /// What the guest itself counts.
        Guest = "guest",
        /// Hardware performance counters.
        Pmu = "pmu",
        /// The host's clock.
        Clock = "clock",
        /// Computed, not measured: by subtraction, or by a stated model.
        Model = "model",
        /// No source: a verdict, a check.
        None = "none",
    }
}

vocabulary! { "a status",
    /// How a metric ended. In the order of weight: the last one decides for a group.
    pub enum Status {
        /// Measured, and as it should be.
        Ok = "ok",
        /// Cannot be had here.
        Skipped = "skipped",
        /// Measured, but a counter that would confirm it is absent.
        Unconfirmed = "unconfirmed",
        /// Too disturbed to tell: neither pass nor fail.
        Unresolved = "unresolved",
        /// Not as it should be.
        Failed = "failed",
    }
}
