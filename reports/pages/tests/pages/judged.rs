//! What pages call worse, and what they do not.

use super::{Made, meaning, world};
use pages::write;
use reports::{KeptRun, Vendor};
use std::fs;
use std::path::Path;

/// One kernel of two variants, and one of another series, one run each.
fn variants(dir: &Path) -> Vec<KeptRun> {
    let amd = world::lab(Vendor::KvmAmd);
    let kernels = [("6.1.192", "stock", "lazy"), ("6.1.192", "always", "always")];
    let kernels = kernels.into_iter().chain([("5.10.262", "stock", "lazy")]);
    let run = |(number, (kernel, variant, verdict)): (usize, (&str, &str, &str))| {
        let made = world::Made::new(i64::try_from(number).unwrap());
        let cost = 1000 + 100 * u64::try_from(number).unwrap();
        made.policy(&world::subject(kernel, variant), &amd, verdict, cost).kept(dir)
    };
    kernels.enumerate().map(run).collect()
}

#[test]
fn a_bad_night_in_the_lab_does_not_hide_behind_the_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let stock = world::subject("6.12.118", "stock");
    let (amd, host) = (world::lab(Vendor::KvmAmd), world::native());
    let lab = |night, cost| world::Made::new(night).policy(&stock, &amd, "lazy", cost);
    let native = |night| world::Made::new(night).policy(&stock, &host, "never", 1000);
    let runs = [lab(0, 1000), native(1), lab(2, 1200), native(3)];
    let mut runs = runs.map(|made| made.kept(&dir.path().join("runs"))).to_vec();
    let out = dir.path().join("out");
    write(&runs, &[], &out, &meaning).unwrap();
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("Run night-002 compared") && !page.contains("Nothing: no row"));
    assert!(!page.contains("Run night-003 compared"), "the host's night was a good one");

    // The next night in the lab is as the bad one was: nothing got worse.
    runs.push(lab(4, 1200).kept(&dir.path().join("runs")));
    write(&runs, &[], &out, &meaning).unwrap();
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("Nothing: no row") && !page.contains("Run night-002 compared"));
}

#[test]
fn another_kernel_or_variant_is_told_and_is_not_worse() {
    let made = Made::of(variants);
    let page = |file: &str| fs::read_to_string(made.out().join(file)).unwrap();
    let overview = page("index.html");
    assert!(overview.contains("Nothing: no row") && overview.contains("another kernel"));
    assert!(overview.contains(" of 2 kernels in 3 variants on 1 machine"));
    let all = page("compared.html");
    assert!(!all.contains("<span class=\"badge bad\"") && !all.contains("✗"), "{all}");
    for kernel in ["6.1.192-1 stock", "6.1.192-1 always", "5.10.262-1 stock"] {
        assert!(all.contains(kernel), "{kernel} is not named");
    }
    let one = page("run-night-002/compared.html");
    assert!(one.contains("5.10.262-1 stock after 6.1.192-1 always"));
    assert!(one.contains("differs") && one.contains("different under another kernel"));
    assert!(!one.contains("✗"), "figures are shown, and none of them is worse");
}

#[test]
fn what_was_not_measured_has_its_star_everywhere_and_the_reason_before_the_charts() {
    let made = Made::of(|dir| {
        let (stock, amd) = (world::subject("6.12.118", "stock"), world::lab(Vendor::KvmAmd));
        let night = |number| world::Made::new(number).others(&stock, &amd).kept(dir);
        vec![night(0), night(1)]
    });
    let history = fs::read_to_string(made.out().join("history.html")).unwrap();
    assert!(history.contains("windows under never*") && !history.contains("under never<"));
    assert!(history.contains("* not measured: the kernel does not have this policy"));
    let page = fs::read_to_string(made.out().join("slowdown.html")).unwrap();
    assert!(page.contains("never* %") && !page.contains("never %"));
    let reason = page.find("never*: not measured, this kernel does not have it").unwrap();
    assert!(reason < page.find("<svg").unwrap());
}

#[test]
fn runs_of_one_minute_have_names_of_their_own_under_a_chart() {
    let dir = tempfile::tempdir().unwrap();
    let stock = world::subject("6.12.118", "stock");
    let begun = ["2026-01-01T02:44:10Z", "2026-01-01T02:44:20Z", "2026-01-01T02:45:00Z"];
    let labels = |begun: &[&str], out: &str| {
        let run = |(number, begun): (usize, &&str)| {
            let mut made = world::Made::new(i64::try_from(number).unwrap());
            made.info.run.started_at = begun.parse().unwrap();
            let made = made.policy(&stock, &world::lab(Vendor::KvmAmd), "lazy", 1000);
            made.kept(&dir.path().join(format!("runs-{out}")))
        };
        let runs: Vec<_> = begun.iter().enumerate().map(run).collect();
        write(&runs, &[], &dir.path().join(out), &meaning).unwrap();
        fs::read_to_string(dir.path().join(out).join("history.html")).unwrap()
    };
    let minutes = labels(&[begun[0], begun[2]], "minutes");
    assert!(minutes.contains("\n01-01 02:44\n") && minutes.contains("\n01-01 02:45\n"));
    let seconds = labels(&begun, "seconds");
    assert!(seconds.contains("01-01 02:44:10") && seconds.contains("01-01 02:44:20"));
    let same = labels(&[begun[0], begun[0]], "same");
    assert!(same.contains("01-01 02:44:10 ht-000") && same.contains("01-01 02:44:10 ht-001"));
}
