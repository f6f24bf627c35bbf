//! The arithmetic: what share of its time a guest loses at a rate of switches, and at which rate it
//! loses a given share. Ticks are those of any clock; whose, the caller knows.

use reports::Value;

/// When a guest pays for its debug registers, and how many ticks each time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// At each switch: `always`.
    EachSwitch(f64),
    /// At the first switch after each other exit: `lazy`.
    FirstSwitch(f64),
    /// At each other exit, whether it switches or not: `never`.
    EachExit(f64),
}

impl Loss {
    /// Ticks lost in a second.
    fn per_second(self, switches: f64, exits: f64) -> f64 {
        match self {
            Self::EachSwitch(ticks) => switches * ticks,
            Self::FirstSwitch(ticks) => switches.min(exits) * ticks,
            Self::EachExit(ticks) => exits * ticks,
        }
    }
}

/// Exits that are no access to a debug register.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exits {
    /// One after every switch.
    EachSwitch,
    /// So many per second, whatever the switches.
    PerSecond(f64),
}

impl Exits {
    /// There are none.
    pub const NONE: Self = Self::PerSecond(0.0);

    fn per_second(self, switches: f64) -> f64 {
        match self {
            Self::EachSwitch => switches,
            Self::PerSecond(exits) => exits,
        }
    }
}

/// A guest that switches debug registers under a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guest {
    /// What it loses.
    pub loss: Loss,
    /// Ticks of a switch's own, without an exit.
    pub own: f64,
    /// Ticks of another exit, whatever the policy.
    pub other: f64,
    /// Ticks in a second.
    pub clock: f64,
}

/// More than a CPU can do: how many times its time that would take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overfull(pub f64);

/// Why there is no rate at which a share is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoCrossing {
    /// Nothing is lost at any rate.
    Nothing,
    /// The CPU is full before.
    Full {
        /// At so many switches per second.
        most: u64,
        /// And this share lost.
        share: f64,
    },
    /// Not up to the highest rate that is looked at.
    Beyond {
        /// At that rate this share is lost.
        share: f64,
    },
}

impl Guest {
    /// The share of all time that is lost: ticks lost by the ticks there are. The rest is the guest's
    /// own work, these switches and other exits included.
    ///
    /// # Errors
    /// There is not so much time.
    pub fn share_lost(&self, switches: f64, exits: Exits) -> Result<f64, Overfull> {
        let exits = exits.per_second(switches);
        let lost = self.loss.per_second(switches, exits).max(0.0);
        let needed = (lost + switches * self.own + exits * self.other) / self.clock;
        if needed <= 1.0 { Ok(lost / self.clock) } else { Err(Overfull(needed)) }
    }

    /// The most whole switches per second that a CPU can do, with an exit after each or with none.
    /// None where a switch takes no time that could be measured.
    pub fn most(&self, exits: Exits) -> Option<u64> {
        let exits = exits.per_second(1.0);
        let lost = self.loss.per_second(1.0, exits).max(0.0);
        whole((self.clock / (lost + self.own + exits * self.other)).floor())
    }

    /// The fewest whole switches per second at which this share is lost, with an exit after each or
    /// with none, up to `highest`.
    pub fn crossing(&self, share: f64, exits: Exits, highest: u64) -> Result<u64, NoCrossing> {
        let lost = self.loss.per_second(1.0, exits.per_second(1.0));
        if lost <= 0.0 {
            return Err(NoCrossing::Nothing);
        }
        let (crossing, most) = (whole((share * self.clock / lost).ceil()), self.most(exits));
        let share = |switches| Value::count(switches).as_f64() * lost / self.clock;
        let highest_done = most.map_or(highest, |most| most.min(highest));
        match (crossing, most) {
            (Some(crossing), _) if crossing <= highest_done => Ok(crossing),
            (_, Some(most)) if most < highest => Err(NoCrossing::Full { most, share: share(most) }),
            _ => Err(NoCrossing::Beyond { share: share(highest) }),
        }
    }
}

/// A rate as a whole number. Rates of clocks by ticks are far below 2^53; what is not, or infinite, is
/// no rate that anything reaches.
fn whole(rate: f64) -> Option<u64> {
    Value::real(rate).and_then(Value::as_count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HIGHEST: u64 = 1_000_000;

    /// Three guests that differ in the policy only. A DR exit of `always` costs no less than one of
    /// `lazy`, and that no less than switching six registers: as on every kernel.
    fn guests() -> impl Strategy<Value = [Guest; 3]> {
        let prices = (1.0..500.0, 0.0..5_000.0, 0.0..5_000.0, 1.0..20.0);
        let guest = (1.0..100.0, 100.0..10_000.0, 1e8..6e9);
        (prices, guest).prop_map(|((never, lazy, always, accesses), (own, other, clock))| {
            let (lazy, always): (f64, f64) = (never + lazy, never + lazy + always);
            let accesses: f64 = accesses;
            let losses = [
                Loss::EachSwitch(always * accesses.floor()),
                Loss::FirstSwitch(lazy),
                Loss::EachExit(never),
            ];
            losses.map(|loss| Guest { loss, own, other, clock })
        })
    }

    proptest! {
        #[test]
        fn always_loses_most_and_never_least_while_exits_are_no_more_than_switches(
            guests in guests(), switches in 1.0..1e6, exits in 0.0..1.0,
        ) {
            for exits in [Exits::EachSwitch, Exits::PerSecond(switches * exits)] {
                let [always, lazy, never] = guests.map(|guest| guest.share_lost(switches, exits));
                if let Ok(always) = always {
                    prop_assert!(lazy.is_ok() && never.is_ok(), "who loses less has more time");
                    prop_assert!(always >= lazy.unwrap() && lazy.unwrap() >= never.unwrap());
                }
            }
        }

        #[test]
        fn more_switches_lose_no_less_until_the_cpu_is_full(
            guests in guests(), fewer in 1.0..1e6, factor in 1.0..10.0, exits in 0.0..1e5,
        ) {
            for guest in guests {
                for exits in [Exits::EachSwitch, Exits::PerSecond(exits)] {
                    let few = guest.share_lost(fewer, exits);
                    let many = guest.share_lost(fewer * factor, exits);
                    match (few, many) {
                        (Ok(few), Ok(many)) => prop_assert!((0.0..=many).contains(&few)),
                        (_, Err(_)) => {}
                        (Err(_), Ok(_)) => prop_assert!(false, "a full CPU has no room for more"),
                    }
                }
            }
        }

        #[test]
        fn a_crossing_is_the_first_rate_at_which_the_share_is_lost(
            guests in guests(), share in 0.001..0.9,
        ) {
            for guest in guests {
                for exits in [Exits::EachSwitch, Exits::NONE] {
                    let lost = |switches: u64| {
                        guest.share_lost(Value::count(switches).as_f64(), exits)
                    };
                    match guest.crossing(share, exits, HIGHEST) {
                        Ok(rate) => {
                            prop_assert!(lost(rate).unwrap() >= share * (1.0 - 1e-12));
                            prop_assert!(lost(rate.saturating_sub(1)).unwrap() < share);
                        }
                        Err(NoCrossing::Full { most, share: there }) => {
                            prop_assert!(there < share * (1.0 + 1e-9) + 1e-6);
                            prop_assert!(lost(most).is_ok() && lost(most + 1).is_err());
                        }
                        Err(NoCrossing::Beyond { share: there }) => {
                            prop_assert!(there < share && guest.most(exits).unwrap() >= HIGHEST);
                        }
                        Err(NoCrossing::Nothing) => prop_assert_eq!(lost(1_000), Ok(0.0)),
                    }
                }
            }
        }

        #[test]
        fn lazy_decays_as_other_exits_come_and_ends_where_there_is_one_for_each_switch(
            guests in guests(), switches in 1.0..1e5,
        ) {
            let [_, lazy, _] = guests;
            let ticks = |exits| lazy.loss.per_second(switches, exits);
            prop_assert!(ticks(0.0) <= 0.0);
            prop_assert!(ticks(switches / 2.0) < ticks(switches));
            prop_assert!(ticks(switches) >= ticks(switches * 10.0), "there it ends");
        }
    }

    #[test]
    fn what_costs_nothing_never_crosses() {
        let guest = Guest { loss: Loss::EachExit(150.0), own: 10.0, other: 0.0, clock: 3e9 };
        assert_eq!(guest.crossing(0.01, Exits::NONE, HIGHEST), Err(NoCrossing::Nothing));
        assert_eq!(guest.most(Exits::NONE), Some(300_000_000));
        let free = Guest { loss: Loss::EachSwitch(0.0), own: 0.0, ..guest };
        assert_eq!(free.most(Exits::NONE), None, "no cost, no limit, and no overflow");
    }
}
