//! Things in the order in which their names first came up.

use std::collections::HashMap;

/// Where the thing of a name stands in a list. (Names are texts: one map for all that is exported.)
#[derive(Default)]
pub struct Index(HashMap<String, usize>);

impl Index {
    /// The place of this name: the next one, if it is new.
    pub fn place(&mut self, name: String) -> usize {
        let next = self.0.len();
        *self.0.entry(name).or_insert(next)
    }

    /// The thing of this name in `list`, which is made if it is not there.
    pub fn of<'l, T>(
        &mut self,
        list: &'l mut Vec<T>,
        name: String,
        make: impl FnOnce() -> T,
    ) -> &'l mut T {
        let place = self.place(name);
        if place == list.len() {
            list.push(make());
        }
        &mut list[place]
    }
}
