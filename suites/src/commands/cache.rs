//! `drbench cache`: what is kept between runs, and how to get rid of it.

use drbench_lab::cache::{Cache, Kept};

use crate::cli::{CacheAction, CacheArgs, PruneArgs};
use crate::lab;
use crate::status::{Failure, Status};
use crate::terminal::outln;

/// What the kinds are, by how their names begin.
const KINDS: [(&str, &str); 9] = [
    ("apt", "lists of Debian's packages"),
    ("bochs", "a Bochs built from source"),
    ("debian", "Debian packages as they were fetched"),
    ("kernels", "kernels, unpacked"),
    ("qemu-turns", "what has the threads of a QEMU with several CPUs take turns"),
    ("qemu", "a QEMU of a newer Debian, unpacked"),
    ("snapshot", "machines stopped after their start"),
    ("sources", "kernel sources and headers"),
    ("variant", "kvm modules rebuilt with a change"),
];

const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// Shows or prunes.
pub fn cache(args: &CacheArgs) -> Result<Status, Failure> {
    let cache = lab::cache()?;
    match &args.action {
        None => show(&cache)?,
        Some(CacheAction::Prune(args)) => prune(&cache, args)?,
    }
    Ok(Status::Done)
}

fn show(cache: &Cache) -> Result<(), Failure> {
    let kept = cache.kept().map_err(Failure::of_lab)?;
    outln!("{}", cache.root().display());
    let mut kinds: Vec<&str> = kept.iter().map(|kept| kept.kind.as_str()).collect();
    kinds.dedup();
    for kind in kinds {
        let about = KINDS.iter().find(|(start, _)| kind.starts_with(start)).map_or("", |(_, a)| a);
        outln!("\n{kind}: {about}");
        for one in kept.iter().filter(|kept| kept.kind == kind) {
            outln!("  {:<14}{:>10}  {}", one.name(), size(one.bytes), last_use(one));
        }
    }
    let total = kept.iter().map(|kept| kept.bytes).sum();
    outln!("\n{} in all; `drbench cache prune --help` says how to make room", size(total));
    Ok(())
}

fn prune(cache: &Cache, args: &PruneArgs) -> Result<(), Failure> {
    let kept = cache.kept().map_err(Failure::of_lab)?;
    if let Some(kind) = &args.kind
        && !kept.iter().any(|kept| kept.kind == *kind)
    {
        return Err(Failure::usage(format!(
            "there is nothing of the kind `{kind}` in {}; `drbench cache` names what there is",
            cache.root().display()
        )));
    }
    let is_old = |kept: &Kept| {
        args.older_than
            .is_none_or(|days| kept.idle().as_secs() >= u64::from(days) * SECONDS_OF_A_DAY)
    };
    let is_kind = |kept: &Kept| args.kind.as_ref().is_none_or(|kind| kept.kind == *kind);
    let (mut count, mut bytes) = (0, 0);
    for one in kept.iter().filter(|kept| is_old(kept) && is_kind(kept)) {
        cache.remove(one).map_err(Failure::of_lab)?;
        (count, bytes) = (count + 1, bytes + one.bytes);
    }
    outln!("removed: {count}, {}", size(bytes));
    Ok(())
}

fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit).unwrap_or(UNITS[2]);
    let tenths = bytes * 10 / unit;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

fn last_use(kept: &Kept) -> String {
    match kept.idle().as_secs() / SECONDS_OF_A_DAY {
        0 => "used within a day".to_owned(),
        days => format!("last used {days} days ago"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_short() {
        let told = [0, 1536, 3 << 20, 5 << 30].map(super::size);
        assert_eq!(told, ["0.0 KiB", "1.5 KiB", "3.0 MiB", "5.0 GiB"]);
    }
}
