//! The configuration of the kernel that is measured, for `run.json`.

use drbench_lab::cache::Digest;
use drbench_lab::kernel::ConfigPlaces;
use reports::store::{Config, Seen};

/// What there is in these places, or why there is nothing.
pub fn read(places: &ConfigPlaces) -> Seen<Config> {
    let read = places.read().map(|(source, text)| {
        let sum = Digest::of(&text).to_string();
        Config::of(source, sum, &String::from_utf8_lossy(&text))
    });
    read.into()
}
