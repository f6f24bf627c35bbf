//! How fast the CPU itself is at a moment: controls for what is measured beside it.
//!
//! A busy neighbour on the same core, another frequency, a hypervisor below that is slower: all of them
//! change what a guest's exits cost, and none is the kernel's doing. So two fixed pieces of work, in
//! which neither the guest nor KVM has a part, are timed before and after each batch. Their usual times
//! are known to a fraction of a percent; a batch beside which they took another tells nothing of the
//! kernel.

use std::hint::black_box;
use std::time::Instant;

/// Rounds of the core's work: some microseconds, which is as short as a batch.
const ROUNDS: u32 = 8_000;
/// How often the hypervisor below is called, if there is one.
const CALLS: u32 = 4;
/// Looks that are taken before anything is measured.
const FIRST_LOOKS: usize = 300;
/// By how much the core may be off its usual time: between its frequencies lie 3 % and more, a
/// neighbour on it costs 10 % and more, and as long as nothing happens it differs by 0.2 %.
const CORE_TOLERANCE: f64 = 0.015;
/// By how much calls below may be off: each is an exit, and exits vary.
const BELOW_TOLERANCE: f64 = 0.15;
/// How wide a cluster of looks is that counts as one time.
const CLUSTER: f64 = 0.01;

/// The slowest and the quickest look beside a batch, by control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    core_ns: [u64; 2],
    below_ns: [u64; 2],
}

/// What was seen of the CPU.
#[derive(Clone, Debug)]
pub struct Pace {
    core: Control,
    below: Control,
}

/// The looks at one control, in nanoseconds.
#[derive(Clone, Debug)]
struct Control {
    looks: Vec<u64>,
    usual: u64,
    tolerance: f64,
}

impl Pace {
    /// Takes the first looks.
    pub fn begin() -> Self {
        let take = |look: fn() -> u64| (0..FIRST_LOOKS).map(|_| look()).collect();
        Self {
            core: Control::of(take(core), CORE_TOLERANCE),
            below: Control::of(take(below), BELOW_TOLERANCE),
        }
    }

    /// What `work` gives, and the looks before and after it.
    pub fn beside<T>(&mut self, work: impl FnOnce() -> T) -> (T, Looks) {
        let (below_before, core_before) = (below(), core());
        let given = work();
        let (core_after, below_after) = (core(), below());
        let looks =
            Looks { core_ns: [core_before, core_after], below_ns: [below_before, below_after] };
        self.core.looks.extend(looks.core_ns);
        self.below.looks.extend(looks.below_ns);
        (given, looks)
    }

    /// Finds what is usual of all looks until now: once a round.
    pub fn settle(&mut self) {
        self.core.settle();
        self.below.settle();
    }

    /// What is usual.
    pub fn usual(&self) -> reports::store::Pace {
        reports::store::Pace { core_ns: self.core.usual, below_ns: self.below.usual }
    }

    /// Whether the CPU was as usual on both sides of a batch.
    pub fn is_usual(&self, looks: &Looks) -> bool {
        self.core.is_usual(looks.core_ns) && self.below.is_usual(looks.below_ns)
    }
}

impl Control {
    fn of(looks: Vec<u64>, tolerance: f64) -> Self {
        let mut control = Self { looks, usual: 0, tolerance };
        control.settle();
        control
    }

    /// The middle of the densest cluster: neither the quickest look is usual (a CPU is quicker for a
    /// moment now and then, here one look in a thousand by 15 %) nor the median, where a neighbour was
    /// busy half of the time.
    fn settle(&mut self) {
        self.looks.sort_unstable();
        let mut first = 0;
        let mut best = 0..0;
        for (last, look) in self.looks.iter().enumerate() {
            while of(self.looks[first]) * (1.0 + CLUSTER) < of(*look) {
                first += 1;
            }
            if last + 1 - first > best.len() {
                best = first..last + 1;
            }
        }
        self.usual = self.looks[best.start + best.len() / 2];
    }

    fn is_usual(&self, looks: [u64; 2]) -> bool {
        let usual = of(self.usual);
        looks.iter().all(|look| (of(*look) - usual).abs() <= usual * self.tolerance)
    }
}

fn of(ns: u64) -> f64 {
    reports::Value::count(ns).as_f64()
}

/// Nanoseconds of work for the core alone.
fn core() -> u64 {
    let began = Instant::now();
    let (mut a, mut b, mut c, mut d) = black_box((1_u64, 2_u64, 3_u64, 4_u64));
    for _ in 0..ROUNDS {
        a = a.rotate_left(5) ^ b;
        b = b.wrapping_add(a);
        c = c.rotate_left(7) ^ d;
        d = d.wrapping_add(c);
    }
    black_box((a, b, c, d));
    since(began)
}

/// Nanoseconds of calls below.
fn below() -> u64 {
    let began = Instant::now();
    for _ in 0..CALLS {
        bench_vmm::exit_below();
    }
    since(began)
}

fn since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
impl Pace {
    /// A CPU whose core was seen at these times.
    pub fn of(looks_ns: &[u64]) -> Self {
        let below = Control::of(vec![1], BELOW_TOLERANCE);
        Self { core: Control::of(looks_ns.to_vec(), CORE_TOLERANCE), below }
    }
}

#[cfg(test)]
impl Looks {
    /// Of a core at this time on both sides.
    pub fn of(core_ns: u64) -> Self {
        Self { core_ns: [core_ns; 2], below_ns: [1; 2] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slower_and_quicker_is_not_usual_on_either_side_of_a_batch() {
        let pace = Pace::of(&[1000]);
        let between = |before, after| Looks { core_ns: [before, after], below_ns: [1; 2] };
        assert!(pace.is_usual(&between(1000, 1015)) && pace.is_usual(&between(985, 1000)));
        for (before, after) in [(1016, 1000), (1000, 1016), (984, 1000), (1000, u64::MAX)] {
            assert!(!pace.is_usual(&between(before, after)), "{before}, {after}");
        }
        let busy_below = Looks { core_ns: [1000; 2], below_ns: [1, 2] };
        assert!(!pace.is_usual(&busy_below));
    }

    #[test]
    fn what_is_usual_is_neither_a_moment_s_nor_what_a_neighbour_leaves() {
        let looks = |quick: usize, usual: usize, slow: u64| {
            let slow = (0..slow).map(|number| 1100 + number);
            let rest = [vec![850; quick], vec![1000; usual]].concat();
            Pace::of(&rest.into_iter().chain(slow).collect::<Vec<_>>()).usual().core_ns
        };
        assert_eq!(looks(5, 995, 0), 1000);
        assert_eq!(looks(5, 300, 695), 1000);
    }

    #[test]
    fn each_piece_of_work_is_looked_at_from_both_sides() {
        let mut pace = Pace::begin();
        let first = pace.usual();
        assert!(first.core_ns > 0 && first.below_ns > 0);
        for _ in 0..10 {
            let (given, looks) = pace.beside(|| 7);
            assert!(given == 7 && looks.core_ns[0] > 0 && looks.below_ns[1] > 0);
        }
        assert_eq!(pace.core.looks.len(), FIRST_LOOKS + 20);
        assert_eq!(pace.below.looks.len(), FIRST_LOOKS + 20);
    }
}
