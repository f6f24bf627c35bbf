//! In which order cells are measured.

use std::hash::{BuildHasher, RandomState};

use oorandom::Rand32;

/// Orders of cells, one for each round: each order is as likely as any other, and all follow from a
/// seed. What changes with time on a machine (its frequency, its other load) meets every cell alike
/// then, and no cell always follows the same other one.
///
/// ```
/// use suites::noise::Order;
/// let rounds = |seed| Order::new(seed, 4).take(2).collect::<Vec<_>>();
/// assert_eq!(rounds(1), rounds(1));
/// assert_ne!(rounds(1), rounds(2));
/// ```
#[derive(Debug)]
pub struct Order {
    random: Rand32,
    cells: Vec<usize>,
}

impl Order {
    /// Of so many cells.
    pub fn new(seed: u32, cells: usize) -> Self {
        Self { random: Rand32::new(seed.into()), cells: (0..cells).collect() }
    }
}

impl Iterator for Order {
    type Item = Vec<usize>;

    /// Fisher and Yates' shuffle of the last round's order.
    fn next(&mut self) -> Option<Vec<usize>> {
        for last in (1..self.cells.len()).rev() {
            let end = u32::try_from(last + 1).unwrap_or(u32::MAX);
            self.cells.swap(last, self.random.rand_range(0..end) as usize);
        }
        Some(self.cells.clone())
    }
}

/// A seed of this moment, for runs that are given none.
pub fn new_seed() -> u32 {
    RandomState::new().hash_one(std::process::id()) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_round_has_every_cell_once(seed: u32, cells in 0usize..100) {
            for round in Order::new(seed, cells).take(3) {
                let mut sorted = round;
                sorted.sort_unstable();
                prop_assert!(sorted.into_iter().eq(0..cells));
            }
        }
    }

    #[test]
    fn each_order_is_as_likely_as_any_other() {
        let mut seen: HashMap<Vec<usize>, u32> = HashMap::new();
        for order in Order::new(5, 3).take(6000) {
            *seen.entry(order).or_default() += 1;
        }
        assert_eq!(seen.len(), 6, "all orders of three");
        // Six standard deviations of a count around 1000.
        assert!(seen.values().all(|count| (827..=1173).contains(count)), "{seen:?}");
    }
}
