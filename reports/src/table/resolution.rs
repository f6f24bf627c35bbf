//! What a table says of noise: how many of its costs are not known well enough.

use crate::record::Record;
use crate::statistics::RESOLUTION;

/// One sentence, if some costs cannot be told as finely as they have to be. Figures without noise are
/// not among them.
pub(super) fn unresolved<'a>(records: impl Iterator<Item = &'a Record>) -> Option<String> {
    let (mut all, mut coarse) = (0, 0);
    for resolved in records.filter_map(Record::is_resolved) {
        all += 1;
        coarse += usize::from(!resolved);
    }
    let percent = RESOLUTION * 100.0;
    (coarse > 0).then(|| {
        format!(
            "{coarse} of {all} costs cannot resolve {percent} %: they did not settle, or the 95 % interval \
             of their median is wider than that on either side. `drbench env` lists what would make this machine quieter."
        )
    })
}
