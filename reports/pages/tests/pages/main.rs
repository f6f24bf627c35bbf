//! Pages, opened in a real browser.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/common/mod.rs"]
mod common;
mod devtools;
mod judged;
mod readers;
mod world;

use devtools::Browser;
use pages::{PagesError, write};
use reports::kept::{LeftOut, Why};
use reports::{KeptError, KeptRun, Record};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const DESK: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (360, 740);
/// A window's size, and what its reader likes.
type Dress = ((u32, u32), &'static str);
const DRESSES: [Dress; 4] = [(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")];
const LOOK: &str = include_str!("look.js");

/// One price is not known.
fn meaning(price: &str) -> Option<&'static str> {
    (price != "tracepoint").then_some("what it is")
}

/// Runs and their pages, in a directory of their own.
struct Made {
    dir: tempfile::TempDir,
    runs: Vec<KeptRun>,
}

impl Made {
    fn of(make: fn(&Path) -> Vec<KeptRun>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runs = make(&dir.path().join("runs"));
        write(&runs, &[], &dir.path().join("out"), &meaning).unwrap();
        Self { dir, runs }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out").canonicalize().unwrap()
    }
}

/// The path that a link leads to, and its fragment.
fn target(page: &Path, link: &str) -> (PathBuf, String) {
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let mut place =
        if path.is_empty() { page.to_owned() } else { page.parent().unwrap().to_owned() };
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match part {
            ".." => drop(place.pop()),
            part => place.push(part),
        }
    }
    (place, fragment.to_owned())
}

/// Opens every page that links lead to from the overview, and holds each to all that is promised.
/// Gives the pages with the fragments that they have.
fn walk(browser: &Browser, out: &Path, dresses: &[Dress]) -> BTreeMap<PathBuf, BTreeSet<String>> {
    let mut waiting = vec![out.join("index.html")];
    let mut pages: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    let mut links: Vec<(PathBuf, PathBuf, String)> = Vec::new();
    while let Some(page) = waiting.pop() {
        if pages.contains_key(&page) {
            continue;
        }
        for (size, scheme) in dresses {
            let seen = looked_at(browser, out, &page, *size, scheme);
            if pages.contains_key(&page) {
                continue;
            }
            let texts = |part: &str| -> Vec<String> {
                seen[part]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|it| it.as_str().unwrap().to_owned())
                    .collect()
            };
            pages.insert(page.clone(), texts("ids").into_iter().collect());
            for link in texts("links") {
                assert!(!link.contains(':'), "{}: a link elsewhere: {link}", page.display());
                let (file, fragment) = target(&page, &link);
                assert!(file.starts_with(out), "{}: a link out: {link}", page.display());
                assert!(file.is_file(), "{}: a dead link: {link}", page.display());
                waiting.push(file.clone());
                links.push((page.clone(), file, fragment));
            }
        }
    }
    for (page, file, fragment) in links {
        let known = fragment.is_empty() || pages[&file].contains(&fragment);
        assert!(known, "{}: no #{fragment} in {}", page.display(), file.display());
    }
    pages
}

fn looked_at(browser: &Browser, out: &Path, page: &Path, size: (u32, u32), scheme: &str) -> Json {
    browser.dress(size, scheme);
    browser.open(page, "");
    let seen = browser.evaluate(LOOK);
    let place = format!("{} at {size:?}, {scheme}", page.display());
    assert_eq!(browser.complaints(out), Vec::<String>::new(), "{place}");
    assert_eq!(seen["problems"].as_array().unwrap(), &Vec::<Json>::new(), "{place}");
    assert_eq!(seen["dark"], scheme == "dark", "{place}");
    assert_eq!(seen["scripts"], 1, "{place}: a script of somebody else's");
    assert!(seen["hacked"].is_null(), "{place}: a foreign text ran");
    assert!(seen["pairs"].as_u64().unwrap() >= 3, "{place}: no colours were looked at");
    seen
}

/// Every file that is there.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

#[test]
fn every_page_opens_without_complaint_in_both_schemes_and_on_a_phone() {
    let made = Made::of(world::nights);
    let out = made.out();
    let pages = walk(&Browser::start(), &out, &DRESSES);
    let there: BTreeSet<PathBuf> = files(&out)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "html"))
        .collect();
    assert_eq!(
        pages.keys().cloned().collect::<BTreeSet<_>>(),
        there,
        "pages that nothing leads to"
    );
    for run in &made.runs {
        let folder = format!("run-{}", run.records[0].run.run_id);
        let rows = &pages[&out.join(folder).join("rows.html")];
        let missing = (1..=run.records.len().min(500)).find(|at| !rows.contains(&format!("r{at}")));
        assert_eq!(missing, None, "a row without its place");
    }
}

#[test]
fn a_person_clicks_from_the_overview_to_a_row_and_back() {
    let made = Made::of(world::nights);
    let (out, browser) = (made.out(), Browser::start());
    browser.dress(DESK, "light");
    browser.open(&out.join("index.html"), "");
    let title = || browser.evaluate("document.querySelector('h1').textContent").to_string();
    assert!(title().contains("Overview"));
    for (link, expected) in [
        ("nav a[href='history.html']", "History"),
        ("nav a[href='compared.html']", "Compared"),
        ("nav a[href='slowdown.html']", "Slowdown"),
        ("nav a[href='costs.html']", "Costs"),
        ("nav a[href='checks.html']", "Checks"),
        ("nav a[href='runs.html']", "Runs"),
        ("tbody th a", "Run night-006"),
        ("a[href='rows.html'], a[href$='/rows.html']", "Rows"),
        (".above a", "Run night-006"),
        ("nav a.home", "Overview"),
        // The cost of a DR exit of the oldest kernel: its row is in the newest of the lab's runs.
        ("main table tbody tr td.n a", "Rows"),
    ] {
        browser.follow(link);
        assert!(title().contains(expected), "{link} leads to {}", title());
    }
    let row = browser.evaluate("document.querySelector('tr:target').textContent");
    assert!(row.as_str().unwrap().contains("n:5"), "{row}");
    assert_eq!(browser.complaints(&out), Vec::<String>::new());
}

#[test]
fn the_keyboard_reaches_the_content_and_scripts_sort_and_filter() {
    let made = Made::of(world::nights);
    let (out, browser) = (made.out(), Browser::start());
    browser.dress(DESK, "light");
    browser.open(&out.join("run-night-000/rows.html"), "");
    browser.press("Tab", 9);
    let focused =
        || browser.evaluate("document.activeElement.className || document.activeElement.id");
    assert_eq!(focused(), "skip");
    browser.press("Enter", 13);
    assert_eq!(focused(), "main");
    let first = || browser.evaluate("document.querySelector('tbody th').textContent");
    assert_eq!(first(), "1");
    browser.evaluate("document.querySelector('thead th button').click()");
    browser.evaluate("document.querySelector('thead th button').click()");
    assert_ne!(first(), "1", "sorted the other way round");
    let shown = "[...document.querySelectorAll('tbody tr')].filter((row) => !row.hidden).length";
    let all = browser.evaluate(shown).as_u64().unwrap();
    browser.evaluate(
        "{ const box = document.querySelector('.tools input'); box.value = 'host_cycles windows'; \
         box.dispatchEvent(new Event('input')); }",
    );
    let some = browser.evaluate(shown).as_u64().unwrap();
    assert!(0 < some && some < all, "{some} of {all}");
    assert_eq!(browser.complaints(&out), Vec::<String>::new());
}

#[test]
fn hostile_names_are_text_on_every_page() {
    let made = Made::of(world::hostile);
    let (out, browser) = (made.out(), Browser::start());
    let pages = walk(&browser, &out, &[(PHONE, "dark"), (DESK, "light")]);
    assert!(pages.len() > 10);
    for file in files(made.dir.path()) {
        let inside = file.starts_with(&out) || file.starts_with(made.dir.path().join("runs"));
        assert!(inside, "{} is out of place", file.display());
    }
    browser.open(&out.join("index.html"), "");
    let text = browser.evaluate("document.body.textContent");
    let text = text.as_str().unwrap();
    assert!(text.contains("<script>window.hacked = 1</script>"), "the name is shown as it is");
    assert!(text.contains("[U+202E]") && !text.contains('\u{202e}'), "what turns text is told");
}

#[test]
fn even_markup_that_got_in_would_not_run() {
    let made = Made::of(world::nights);
    let (out, browser) = (made.out(), Browser::start());
    browser.open(&out.join("index.html"), "");
    assert_eq!(browser.complaints(&out), Vec::<String>::new());
    browser.evaluate(
        "document.body.insertAdjacentHTML('beforeend', \
         '<img src=index.html onerror=\"window.hacked=1\" onload=\"window.hacked=1\">'); \
         { const script = document.createElement('script'); script.textContent = 'window.hacked = 2'; \
         document.body.append(script); }",
    );
    browser.evaluate("new Promise((done) => setTimeout(done, 50))");
    assert!(browser.evaluate("window.hacked ?? null").is_null());
    let refused = browser.complaints(&out).join("\n");
    assert!(refused.contains("Content Security Policy"), "{refused}");
}

#[test]
fn the_same_runs_give_the_same_bytes_whatever_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut runs = world::nights(&dir.path().join("runs"));
    write(&runs, &[], &dir.path().join("one"), &meaning).unwrap();
    runs.reverse();
    runs.push(runs[0].clone());
    write(&runs, &[], &dir.path().join("two"), &meaning).unwrap();
    let read = |name: &str| -> BTreeMap<PathBuf, Vec<u8>> {
        let dir = dir.path().join(name);
        let key = |path: &PathBuf| path.strip_prefix(&dir).unwrap().to_owned();
        files(&dir).iter().map(|path| (key(path), fs::read(path).unwrap())).collect()
    };
    assert!(read("one") == read("two"));
}

#[test]
fn changes_are_marked_and_what_stayed_is_not() {
    let made = Made::of(world::nights);
    let (out, browser) = (made.out(), Browser::start());
    browser.open(&out.join("history.html"), "");
    // Lab: the third night costs 200 more. Hardware: so does the sixth, by far more than its noise.
    for (series, unit) in [("qemu-tcg", "a DR exit"), ("native", "a DR exit")] {
        let rows = browser.evaluate(&format!(
            "(() => {{ const fold = [...document.querySelectorAll('.fold')].find((it) => \
             it.querySelector('summary').textContent.includes('6.12 stock') && \
             it.querySelector('summary').textContent.includes('{series}')); \
             const at = [...fold.querySelectorAll('thead th')].findIndex((it) => it.textContent === '{unit}'); \
             return [...fold.querySelectorAll('tbody tr')].map((row) => row.cells[at].textContent) }})()"
        ));
        let marked: Vec<bool> =
            rows.as_array().unwrap().iter().map(|it| it.as_str().unwrap().contains('▲')).collect();
        assert_eq!(marked, [false, false, true], "{series}: {rows}");
    }
    let rings = browser.evaluate("document.querySelectorAll('svg .k2').length");
    assert!(rings.as_u64().unwrap() >= 2, "{rings}");
}

#[test]
fn another_plan_is_not_worse_but_a_missing_row_is() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = ["5.10.262", "6.12.118"].map(|kernel| world::subject(kernel, "stock"));
    let amd = world::lab(reports::Vendor::KvmAmd);
    let both = world::Made::new(0).policy(&old, &amd, "lazy", 9).policy(&new, &amd, "lazy", 9);
    let one = world::Made::new(1).policy(&new, &amd, "lazy", 9);
    let mut less = world::Made::new(2).policy(&new, &amd, "lazy", 9);
    less.rows.pop();
    let runs = [both, one, less].map(|made| made.kept(&dir.path().join("runs")));
    let out = dir.path().join("out");
    write(&runs, &[], &out, &meaning).unwrap();
    let page = |night| fs::read_to_string(out.join(night).join("compared.html")).unwrap();
    let other = page("run-night-001");
    assert!(other.contains("not worse") && other.contains("5.10.262-1 stock (only before)"));
    let less = page("run-night-002");
    assert!(less.contains("worse") && less.contains("1 not there any more"));
    assert!(!less.contains("not worse"));
}

#[test]
fn what_was_not_measured_is_a_dash_with_its_reason() {
    let made = Made::of(world::nights);
    let out = made.out();
    let page = fs::read_to_string(out.join("slowdown.html")).unwrap();
    assert!(page.contains("skipped: no rate loses so much"), "the reason of a missing crossing");
    let overview = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(overview.contains("not measured") && overview.contains('–'));
    assert!(
        overview
            .contains("Lab figures are instructions, guest and host kernel together, not cycles.")
    );
}

#[test]
fn a_run_says_how_to_repeat_it() {
    let made = Made::of(world::nights);
    let page = fs::read_to_string(made.out().join("run-night-003/index.html")).unwrap();
    let command = "drbench run --kernel debian:6.1 --seed 77";
    assert!(page.contains(command), "without the directory that is there by now");
    for told in ["0x1000065", "npt = Y", "quiet panic=1", "b2b2b2b2", "unknown: no such counter"] {
        assert!(page.contains(told), "{told}");
    }
    let lab = fs::read_to_string(made.out().join("run-night-000/index.html")).unwrap();
    assert!(lab.contains("qemu-system-x86_64 -m 512"));
}

#[test]
fn a_directory_of_somebody_else_stays_and_earlier_pages_are_replaced_whole() {
    let dir = tempfile::tempdir().unwrap();
    let runs = world::nights(&dir.path().join("runs"));
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "years of work").unwrap();
    let refused = write(&runs, &[], &foreign, &meaning).unwrap_err();
    assert!(matches!(refused, PagesError::Foreign(_)), "{refused}");
    assert!(refused.to_string().contains("name a directory that does not exist yet"));
    assert_eq!(fs::read_to_string(foreign.join("thesis.tex")).unwrap(), "years of work");
    let beside = |dir: &Path| fs::read_dir(dir).unwrap().count();
    assert_eq!(beside(dir.path()), 2, "nothing is left of an attempt");

    let out = dir.path().join("out");
    write(&runs, &[], &out, &meaning).unwrap();
    assert!(out.join("run-night-000/rows.html").is_file());
    write(&runs[1..], &[], &out, &meaning).unwrap();
    assert!(!out.join("run-night-000").exists() && out.join("run-night-001").exists());
    assert_eq!(beside(dir.path()), 3);

    // Pages into which somebody has put a run are not replaced: it would be lost.
    let inside = world::nights(&out.join("runs"));
    let refused = write(&inside, &[], &out, &meaning).unwrap_err();
    assert!(matches!(refused, PagesError::HoldsRun { .. }), "{refused}");
    assert!(inside[0].path.join("results.csv").is_file());
    assert!(matches!(write(&[], &[], &dir.path().join("none"), &meaning), Err(PagesError::NoRuns)));
    assert!(!dir.path().join("none").exists());
}

/// What a branch of pages and a careful person put beside pages.
fn put_beside(out: &Path) {
    fs::create_dir_all(out.join(".git/objects/ab")).unwrap();
    fs::create_dir(out.join(".git/empty")).unwrap();
    let object = out.join(".git/objects/ab/cd");
    for (file, text) in [("CNAME", "bench.example.org"), (".nojekyll", ""), (".git/HEAD", "ref")] {
        fs::write(out.join(file), text).unwrap();
    }
    fs::write(&object, "object").unwrap();
    fs::set_permissions(&object, fs::Permissions::from_mode(0o444)).unwrap();
    fs::write(out.join("run-night-000/notes.txt"), "seen on a Monday").unwrap();
    symlink("gone", out.join("link")).unwrap();
}

#[test]
fn files_of_others_among_earlier_pages_stay() {
    let dir = tempfile::tempdir().unwrap();
    let runs = world::nights(&dir.path().join("runs"));
    let out = dir.path().join("out");
    write(&runs, &[], &out, &meaning).unwrap();
    let marker = out.join("drbench-pages.txt");
    put_beside(&out);
    let stay = || {
        let text = |file: &str| fs::read_to_string(out.join(file)).unwrap();
        assert_eq!(text("CNAME"), "bench.example.org");
        assert_eq!((text(".nojekyll"), text(".git/HEAD")), (String::new(), "ref".to_owned()));
        assert_eq!(text("run-night-000/notes.txt"), "seen on a Monday");
        let object = out.join(".git/objects/ab/cd").metadata().unwrap();
        assert_eq!(object.permissions().mode() & 0o777, 0o444);
        assert!(out.join(".git/empty").is_dir());
        assert_eq!(out.join("link").read_link().unwrap(), Path::new("gone"));
    };
    write(&runs[1..], &[], &out, &meaning).unwrap();
    stay();
    assert!(!out.join("run-night-000/index.html").exists(), "a page of ours is replaced");
    assert!(!fs::read_to_string(&marker).unwrap().contains("CNAME"), "and others' are not ours");

    // Pages of a drbench that kept no list of its files: they are known by their names.
    fs::write(&marker, "drbench report --html wrote this directory.\n").unwrap();
    write(&runs[2..], &[], &out, &meaning).unwrap();
    stay();
    assert!(!out.join("run-night-001").exists());
    let beside = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(beside, 2, "nothing is left beside the pages");
}

#[test]
fn a_page_does_not_take_the_place_of_a_file_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let runs = world::nights(&dir.path().join("runs"));
    let out = dir.path().join("out");
    write(&runs[1..], &[], &out, &meaning).unwrap();
    let before = files(&out).len();
    fs::create_dir(out.join("run-night-000")).unwrap();
    fs::write(out.join("run-night-000/index.html"), "my own words").unwrap();
    let refused = write(&runs, &[], &out, &meaning).unwrap_err();
    assert!(matches!(refused, PagesError::InTheWay(_)), "{refused}");
    let told = refused.to_string();
    assert!(told.contains("out/run-night-000/index.html is there and drbench has not"), "{told}");
    assert_eq!(fs::read_to_string(out.join("run-night-000/index.html")).unwrap(), "my own words");
    assert_eq!(files(&out).len(), before + 1, "earlier pages are as they were");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn the_overview_names_runs_that_are_left_out_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let runs = world::nights(&dir.path().join("runs"));
    let out = dir.path().join("out");
    let place = |name: &str| PathBuf::from(format!("store/<script>{name}</script>"));
    let left_out = [
        LeftOut { path: place("1"), why: Why::Damaged(KeptError::NoRuns(place("1"))) },
        LeftOut { path: place("2"), why: Why::Unfinished(place("2")) },
    ];
    write(&runs, &left_out, &out, &meaning).unwrap();
    let overview = fs::read_to_string(out.join("index.html")).unwrap();
    let resume = "drbench run --resume store/&#60;script&#62;2&#60;/script&#62;";
    for told in ["Runs that are left out", "cannot be read", "not finished", resume] {
        assert!(overview.contains(told), "{told}");
    }
    assert!(overview.contains("store/&#60;script&#62;1&#60;/script&#62; holds no results.csv"));
    assert!(!overview.contains("<script>1") && !overview.contains("<script>2"));
    write(&runs, &[], &out, &meaning).unwrap();
    assert!(!fs::read_to_string(out.join("index.html")).unwrap().contains("left out"));
}

/// A run of so many rows.
fn long(dir: &Path, rows: u64) -> KeptRun {
    let mut made = world::Made::new(0);
    let cell = |at| common::cell("windows", at, "none", 0, reports::Policy::Kernel);
    let row = |at| {
        common::record(&cell(at), "dr_exits", reports::Source::Tracepoint, reports::Outcome::ok(at))
    };
    made.rows = (0..rows).map(|at| Record { run: made.info.run.clone(), ..row(at) }).collect();
    made.kept(dir)
}

#[test]
fn a_huge_run_is_split_and_says_where_the_rest_is() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let runs = [long(&dir.path().join("runs"), 50_700)];
    write(&runs, &[], &out, &meaning).unwrap();
    let folder = out.join("run-night-000");
    let mut pages = files(&folder);
    pages.retain(|path| path.to_string_lossy().contains("/rows"));
    assert_eq!(pages.len(), 100);
    for page in pages {
        assert!(fs::metadata(&page).unwrap().len() < 1_000_000, "{}", page.display());
    }
    let first = fs::read_to_string(folder.join("rows.html")).unwrap();
    assert!(first.contains("Only the first 50000 of 50700 rows have a page"));
    assert!(first.contains("results.csv"));
    let browser = Browser::start();
    looked_at(&browser, &out, &folder.join("rows-100.html"), PHONE, "dark");
    looked_at(&browser, &out, &folder.join("index.html"), DESK, "light");
}

#[test]
fn forty_nights_take_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let subject = world::subject("6.12.118", "stock");
    let runs: Vec<KeptRun> = (0..40)
        .map(|number| {
            let mut made = world::Made::new(number);
            for vendor in [reports::Vendor::KvmAmd, reports::Vendor::KvmIntel] {
                made = made.policy(&subject, &world::lab(vendor), "lazy", 1000);
            }
            made.policy(&subject, &world::native(), "lazy", 1000).kept(dir.path())
        })
        .collect();
    let begin = std::time::Instant::now();
    let written = write(&runs, &[], &dir.path().join("out"), &meaning).unwrap();
    assert_eq!(written.runs, 40);
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}
