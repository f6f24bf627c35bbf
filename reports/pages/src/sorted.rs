//! Orders and sets over small things, compiled once for all of them: a sort of its own for every type
//! would be much of the program, which is also loaded into emulated machines.

use std::cmp::Ordering;

/// The same in this order; equal ones stay as they stood.
pub(crate) fn sorted<T: Copy>(items: &[T], order: &dyn Fn(&T, &T) -> Ordering) -> Vec<T> {
    let places = places(items.len(), &|one, other| order(&items[one], &items[other]));
    places.into_iter().map(|at| items[at]).collect()
}

/// Places from 0 in this order.
#[inline(never)]
pub(crate) fn places(count: usize, order: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|one, other| order(*one, *other));
    places
}

/// Each once, in the order of first appearance.
pub(crate) fn distinct<T: Copy + PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut known = Vec::new();
    for item in items {
        if !known.contains(&item) {
            known.push(item);
        }
    }
    known
}

/// Each number once, the smallest first.
#[inline(never)]
pub(crate) fn numbers(items: &mut dyn Iterator<Item = u64>) -> Vec<u64> {
    let known = distinct(items);
    sorted(&known, &|one, other| one.cmp(other))
}
