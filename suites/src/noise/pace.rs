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
/// How many batches before and after one the CPU has to be as usual as well, for what disturbs it between
/// two looks seldom disturbs neither of them nor any near: such times are tenths of a second long.
const REACH: usize = 2;

/// A look at both controls, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    core: u64,
    below: u64,
}

/// Which looks were taken beside a batch: of a [`Pace`], by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks(usize);

/// What was seen of the CPU.
#[derive(Clone, Debug)]
pub struct Pace {
    core: Control,
    below: Control,
    /// The looks before and after each batch, as they were taken.
    beside: Vec<[Look; 2]>,
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
            beside: Vec::new(),
        }
    }

    /// What `work` gives, and the looks before and after it.
    pub fn beside<T>(&mut self, work: impl FnOnce() -> T) -> (T, Looks) {
        let (below_before, core_before) = (below(), core());
        let given = work();
        let (core_after, below_after) = (core(), below());
        let before = Look { core: core_before, below: below_before };
        let after = Look { core: core_after, below: below_after };
        (given, self.took([before, after]))
    }

    fn took(&mut self, looks: [Look; 2]) -> Looks {
        self.core.looks.extend(looks.map(|look| look.core));
        self.below.looks.extend(looks.map(|look| look.below));
        self.beside.push(looks);
        Looks(self.beside.len() - 1)
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

    /// Whether the CPU was as usual on both sides of a batch, and of those near it in time, as far as they
    /// are measured yet.
    pub fn is_usual(&self, Looks(batch): Looks) -> bool {
        let near = batch.saturating_sub(REACH)..self.beside.len().min(batch + REACH + 1);
        self.beside[near]
            .iter()
            .flatten()
            .all(|look| self.core.is_usual(look.core) && self.below.is_usual(look.below))
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

    fn is_usual(&self, look: u64) -> bool {
        let usual = of(self.usual);
        (of(look) - usual).abs() <= usual * self.tolerance
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
    /// A CPU whose core was seen at these times before anything was measured.
    pub fn of(looks_ns: &[u64]) -> Self {
        let below = Control::of(vec![1], BELOW_TOLERANCE);
        let core = Control::of(looks_ns.to_vec(), CORE_TOLERANCE);
        Self { core, below, beside: Vec::new() }
    }

    /// Batches beside which the core was seen at these times, before and after.
    pub fn see(&mut self, batches: &[[u64; 2]]) -> Vec<Looks> {
        batches.iter().map(|looks| self.took(looks.map(|core| Look { core, below: 1 }))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the core is as usual, by batch.
    fn usual(batches: &[[u64; 2]]) -> Vec<bool> {
        let mut pace = Pace::of(&[1000]);
        let looks = pace.see(batches);
        looks.into_iter().map(|looks| pace.is_usual(looks)).collect()
    }

    #[test]
    fn slower_and_quicker_is_not_usual_on_either_side_of_a_batch() {
        assert_eq!(usual(&[[1000, 1015]]), [true]);
        assert_eq!(usual(&[[985, 1000]]), [true]);
        for looks in [[1016, 1000], [1000, 1016], [984, 1000], [1000, u64::MAX]] {
            assert_eq!(usual(&[looks]), [false], "{looks:?}");
        }
        let mut pace = Pace::of(&[1000]);
        let [idle, busy] = [1, 2].map(|below| Look { core: 1000, below });
        let looks = pace.took([idle, busy]);
        assert!(!pace.is_usual(looks));
    }

    #[test]
    fn a_batch_near_an_unusual_one_is_unusual_too() {
        let mut batches = [[1000, 1000]; 9];
        batches[3][1] = 1100;
        let expected = [true, false, false, false, false, false, true, true, true];
        assert_eq!(usual(&batches), expected);
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
            let (given, Looks(batch)) = pace.beside(|| 7);
            let both = pace.beside[batch];
            assert!(given == 7 && both.iter().all(|look| look.core > 0 && look.below > 0));
        }
        assert_eq!(pace.core.looks.len(), FIRST_LOOKS + 20);
        assert_eq!(pace.below.looks.len(), FIRST_LOOKS + 20);
    }
}
