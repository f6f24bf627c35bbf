//! How long a cell will take: as long as last time, or a guess.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use drbench_lab::cache::Cache;

use super::Place;

/// Seconds of a cell on a machine that was never used here, on a slow two-core computer.
const GUESSES: [(&str, u32); 3] = [("qemu-tcg", 15), ("qemu-kvm", 15), ("bochs", 45)];
/// The same for this host's KVM, and whatever else there may be.
const GUESS: u32 = 10;
/// The file in the cache.
const FILE: &str = "times.json";

/// Seconds by cell, from earlier runs.
#[derive(Clone, Debug, Default)]
pub struct Times {
    seconds: BTreeMap<String, f64>,
}

/// An estimate and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// How long.
    pub time: Duration,
    /// In words.
    pub basis: &'static str,
}

impl Times {
    /// What earlier runs took. A file that is not there or cannot be understood is an empty one.
    pub fn read(cache: &Cache) -> Self {
        let text = fs::read(cache.root().join(FILE)).unwrap_or_default();
        Self { seconds: serde_json::from_slice(&text).unwrap_or_default() }
    }

    /// Remembers what a cell took. It is only for estimates: whatever goes wrong, goes unsaid.
    pub fn remember(cache: &Cache, place: &Place, suite: &str, time: Duration) {
        let Ok(_lock) = cache.lock("times") else { return };
        let mut times = Self::read(cache);
        times.seconds.insert(key(place, suite), time.as_secs_f64());
        if let Ok(text) = serde_json::to_vec_pretty(&times.seconds) {
            let _ = Cache::write(&cache.root().join(FILE), &text);
        }
    }

    /// As long as this cell took last time, else the median of this machine's cells, else a guess.
    pub fn estimate(&self, place: &Place, suite: &str) -> Estimate {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        if let Some(&last) = self.seconds.get(&key(place, suite)) {
            return Estimate { time: seconds(last), basis: "as last time" };
        }
        let machine = machine(place);
        let like = |key: &str| key.split(' ').next() == Some(machine);
        let mut others: Vec<f64> =
            self.seconds.iter().filter(|(key, _)| like(key)).map(|(_, time)| *time).collect();
        others.sort_by(f64::total_cmp);
        if let Some(&median) = others.get(others.len() / 2) {
            return Estimate { time: seconds(median), basis: "as others on this machine" };
        }
        let guess = GUESSES.iter().find(|(name, _)| *name == machine).map_or(GUESS, |(_, s)| *s);
        Estimate { time: Duration::from_secs(guess.into()), basis: "a guess" }
    }
}

fn machine(place: &Place) -> &str {
    match place {
        Place::Native => "native",
        Place::Lab { machine, .. } => machine,
    }
}

/// The machine first: others on the same machine are found by it.
fn key(place: &Place, suite: &str) -> String {
    match place {
        Place::Native => format!("native {suite}"),
        Place::Lab { kernel, cpu, machine } => format!("{machine} {cpu} {suite} {kernel}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab(kernel: &str, machine: &str) -> Place {
        let [kernel, cpu, machine] = [kernel, "amd", machine].map(str::to_owned);
        Place::Lab { kernel, cpu, machine }
    }

    #[test]
    fn what_was_seen_is_better_than_a_guess() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        let estimate = |kernel: &str, machine: &str| {
            let Estimate { time, basis } =
                Times::read(&cache).estimate(&lab(kernel, machine), "policy");
            (time.as_secs(), basis)
        };
        assert_eq!(estimate("a", "bochs"), (45, "a guess"));
        Times::remember(&cache, &lab("a", "bochs"), "policy", Duration::from_secs(7));
        assert_eq!(estimate("a", "bochs"), (7, "as last time"));
        assert_eq!(estimate("b", "bochs"), (7, "as others on this machine"));
        assert_eq!(estimate("b", "qemu-tcg"), (15, "a guess"));
    }

    #[test]
    fn a_broken_file_is_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        fs::write(directory.path().join(FILE), "{").unwrap();
        assert_eq!(Times::read(&cache).estimate(&Place::Native, "policy").basis, "a guess");
    }
}
