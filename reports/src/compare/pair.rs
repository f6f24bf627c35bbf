//! Which kernel of one run is held against which of the other.

use crate::record::Subject;
use crate::version::series;
use std::collections::HashMap;
use std::hash::Hash;

/// For each kernel of `after` the one of `before` it is compared with, by index. None at all if both
/// have kernels and nothing says which belong together.
///
/// One kernel on each side is a pair, whatever the two are. Of several, equal ones are; of the rest,
/// those alone on both sides with a variant of a series (`never` of 6.12: an update), then those
/// alone with a package (another variant of it).
pub(super) fn pairs(before: &[Subject], after: &[Subject]) -> Option<Vec<Option<usize>>> {
    if let ([_], [_]) = (before, after) {
        return Some(vec![Some(0)]);
    }
    let mut found = vec![None; after.len()];
    pair_by(before, after, &mut found, Subject::clone);
    pair_by(before, after, &mut found, |it| (series(&it.kernel).to_owned(), it.variant.clone()));
    pair_by(before, after, &mut found, |it| (it.kernel.clone(), it.kernel_id.clone()));
    let hopeless = !before.is_empty() && !after.is_empty() && found.iter().all(Option::is_none);
    (!hopeless).then_some(found)
}

/// Pairs those without a partner that are the only ones with their key on either side.
fn pair_by<K: Eq + Hash>(
    before: &[Subject],
    after: &[Subject],
    found: &mut [Option<usize>],
    key: impl Fn(&Subject) -> K,
) {
    let mut free: HashMap<K, (Vec<usize>, Vec<usize>)> = HashMap::new();
    for (at, subject) in before.iter().enumerate() {
        if !found.contains(&Some(at)) {
            free.entry(key(subject)).or_default().0.push(at);
        }
    }
    for (at, subject) in after.iter().enumerate() {
        if found[at].is_none() {
            free.entry(key(subject)).or_default().1.push(at);
        }
    }
    for (ours, theirs) in free.into_values() {
        if let ([one], [other]) = (&ours[..], &theirs[..]) {
            found[*other] = Some(*one);
        }
    }
}
