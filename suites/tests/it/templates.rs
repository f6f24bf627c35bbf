//! What runs every night: the scripts that the templates call, and the templates' form.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use drbench_lab::cache::Cache;
use reports::History;

use crate::common::{KERNEL, place, told};

/// The lab alone, on AMD: what this host's KVM says is noise.
const QUIET: [(&str, &str); 2] = [("DRBENCH_LAB_ONLY", "1"), ("DRBENCH_CPUS", "amd")];

fn ci() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci")
}

/// A script of ci/ with the program under test.
fn script(name: &str, arguments: &[&OsStr]) -> Output {
    let mut script = Command::new(ci().join(name));
    script.args(arguments).env("DRBENCH", env!("CARGO_BIN_EXE_drbench")).envs(QUIET);
    script.output().unwrap()
}

fn night(store: &Path, kernel: &str) -> (Option<i32>, String) {
    let output = script("nightly", &[store.as_os_str(), kernel.as_ref()]);
    let comment = fs::read_to_string(store.join("comment.md"));
    (output.status.code(), comment.unwrap_or_else(|_| told(&output).1))
}

/// A tool that checks what others wrote.
fn checker(name: &str) -> Command {
    let place = Cache::default_dir().unwrap().join("readers/templates/bin");
    assert!(place.join(name).exists(), "{name} is missing: run ci/readers/templates");
    Command::new(place.join(name))
}

fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

#[test]
fn a_second_night_is_held_against_the_first_and_a_worse_one_tells_before_it_fails() {
    let directory = tempfile::tempdir().unwrap();
    let store = place(&directory, "a store");
    let (status, comment) = night(&store, KERNEL);
    assert_eq!(status, Some(0), "{comment}");
    assert!(comment.contains("no baseline yet"), "{comment}");
    let (status, comment) = night(&store, KERNEL);
    assert_eq!(status, Some(0), "{comment}");
    assert!(comment.contains("**Not worse.**"), "{comment}");
    let good = reports::read(&store.join("baselines/night-lab")).unwrap();

    for _ in 0..2 {
        let (status, comment) = night(&store, &format!("{KERNEL}+always"));
        assert_eq!(status, Some(1), "{comment}");
        assert!(comment.contains("**Worse.**") && comment.contains("always"), "{comment}");
        let kept = reports::read(&store.join("baselines/night-lab")).unwrap();
        assert_eq!(kept, good, "a bad night is no baseline");
    }
    let (status, comment) = night(&store, "debian:0.99");
    assert_eq!(status, Some(2), "{comment}");
    assert!(comment.contains("ended with status 2") && comment.contains("0.99"), "{comment}");
    let runs = History::open(&store).unwrap().runs;
    assert!(runs.len() >= 4, "{runs:?}");
}

/// A repository, and the environment in which `ci/history-branch` uses it.
struct Remote(PathBuf);

impl Remote {
    fn new(directory: &Path) -> Self {
        let path = directory.join("remote.git");
        passes(Command::new("git").args(["init", "--quiet", "--bare"]).arg(&path));
        Self(path)
    }

    fn command(&self, what: &str, store: &Path) -> Command {
        let mut command = Command::new(ci().join("history-branch"));
        command.arg(what).arg(store).env("DRBENCH_REMOTE", &self.0);
        command
    }

    fn does(&self, what: &str, store: &Path) {
        passes(&mut self.command(what, store));
    }
}

/// A file as a run has it; the content does not matter to git.
fn add(store: &Path, file: &str, text: &str) {
    let path = store.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn nights_are_kept_in_a_branch_and_those_of_two_runners_at_once_are_all_there() {
    let directory = tempfile::tempdir().unwrap();
    let remote = Remote::new(directory.path());
    let [one, other, third] = ["one", "the other", "third"].map(|name| place(&directory, name));
    remote.does("pull", &one);
    add(&one, "first/results.csv", "1");
    add(&one, "first/cells/x/results.csv", "left out");
    add(&one, ".history/index", "left out");
    remote.does("push", &one);
    remote.does("push", &one);
    remote.does("pull", &other);
    assert_eq!(fs::read_to_string(other.join("first/results.csv")).unwrap(), "1");
    assert!(!other.join("first/cells").exists() && !other.join(".history").exists());

    // Both have the first night, and go on from there: each adds one, and gives a name to it.
    for (store, name) in [(&one, "a"), (&other, "b")] {
        add(store, &format!("{name}/results.csv"), name);
        add(store, &format!("baselines/runs/{name}/results.csv"), name);
        std::os::unix::fs::symlink(format!("runs/{name}"), store.join("baselines/night")).unwrap();
        add(store, "comment.md", name);
    }
    fs::remove_dir_all(other.join("first")).unwrap();
    let mut racing = [&one, &other].map(|store| remote.command("push", store).spawn().unwrap());
    assert!(racing.iter_mut().all(|push| push.wait().unwrap().success()));
    remote.does("pull", &third);
    for file in ["a/results.csv", "b/results.csv", "baselines/night/results.csv"] {
        assert!(third.join(file).exists(), "{file}");
    }
    assert!(!third.join("first").exists(), "what one has removed is gone");
    let last = fs::read_to_string(third.join("comment.md")).unwrap();
    assert_eq!(fs::read_to_string(third.join("baselines/night/results.csv")).unwrap(), last);
    remote.does("pull", &one);
    assert!(one.join("b/results.csv").exists(), "the next night begins with all of them");
}

#[test]
fn what_is_not_pushed_is_never_lost() {
    let directory = tempfile::tempdir().unwrap();
    let remote = Remote::new(directory.path());
    let store = place(&directory, "store");
    remote.does("pull", &store);
    add(&store, "first/results.csv", "1");
    fs::rename(&remote.0, remote.0.with_extension("away")).unwrap();
    let output = remote.command("push", &store).output().unwrap();
    let (status, said) = told(&output);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("cannot write to drbench-history"), "{said}");
    fs::rename(remote.0.with_extension("away"), &remote.0).unwrap();
    let (status, said) = told(&remote.command("pull", &store).output().unwrap());
    assert!(status == Some(2) && said.contains("push them first"), "{said}");
    remote.does("push", &store);
    let other = place(&directory, "other");
    remote.does("pull", &other);
    assert!(other.join("first/results.csv").exists());
    let (status, said) = told(&remote.command("pull", directory.path()).output().unwrap());
    assert!(status == Some(2) && said.contains("name another directory"), "{said}");
}

#[test]
fn the_templates_are_what_the_published_schemas_want_and_call_scripts_that_are_there() {
    let templates = ci().join("templates");
    let (github, gitlab) = (templates.join("github-actions.yml"), templates.join("gitlab-ci.yml"));
    let schema = |name| {
        let mut check = checker("check-jsonschema");
        check.args(["--builtin-schema", name]);
        check
    };
    passes(schema("vendor.github-workflows").arg(&github));
    passes(schema("vendor.gitlab-ci").args(["--data-transform", "gitlab-ci"]).arg(&gitlab));
    let rules = "{extends: default, rules: {line-length: {max: 110}, truthy: {check-keys: false}}}";
    passes(checker("yamllint").args(["--strict", "-d", rules]).args([&github, &gitlab]));
    let wrong = templates.parent().unwrap().join("load");
    assert!(!schema("vendor.github-workflows").arg(wrong).output().unwrap().status.success());

    for template in fs::read_dir(&templates).unwrap() {
        let text = fs::read_to_string(template.unwrap().path()).unwrap();
        let mut called = 0;
        for (place, _) in text.match_indices("ci/") {
            let name = &text[place + 3..];
            let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '-');
            let name = &name[..end.unwrap_or(name.len())];
            assert!(ci().join(name).is_file() || name.is_empty(), "ci/{name}");
            called += 1;
        }
        assert!(called > 2, "{text}");
    }
}

/// As crontab(5) has it.
#[test]
fn the_crontab_has_five_fields_in_range_and_a_command_cron_does_not_cut() {
    const FIELDS: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
    let text = fs::read_to_string(ci().join("templates/crontab")).unwrap();
    assert!(text.ends_with('\n'), "cron leaves out a last line without an end");
    let mut jobs = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.splitn(6, ' ');
        let fields: Vec<_> = words.by_ref().take(5).collect();
        if fields[0].contains('=') {
            let (name, _) = line.split_once('=').unwrap();
            assert!(name.chars().all(|c| c.is_ascii_uppercase()), "{line}");
            continue;
        }
        for (field, (least, most)) in fields.iter().zip(FIELDS) {
            let number = field.parse().is_ok_and(|number| (least..=most).contains(&number));
            assert!(*field == "*" || number, "{line}: {field}");
        }
        let command = words.next().unwrap();
        assert!(!command.contains('%'), "to cron a % ends the command: {line}");
        passes(Command::new("sh").args(["-n", "-c", command]));
        jobs += 1;
    }
    assert_eq!(jobs, 2);
}

#[test]
fn shellcheck_finds_nothing_in_the_scripts() {
    let mut scripts = vec![PathBuf::from(".ci/run")];
    for folder in [ci(), ci().join("readers")] {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        scripts.extend(files.filter(|path| path.is_file()));
    }
    assert!(scripts.len() > 10, "{scripts:?}");
    // From the root, as the scripts' own hints for it are.
    passes(checker("shellcheck").args(scripts).current_dir(ci().join("..")));
}

#[test]
fn pages_are_published_as_a_whole_with_files_of_others_kept_and_damaged_runs_named() {
    let directory = tempfile::tempdir().unwrap();
    let (store, pages) = (place(&directory, "a store"), place(&directory, "deep/pages"));
    let publish = |pages: &Path| script("publish", &[store.as_os_str(), pages.as_os_str()]);
    let run = |name: &str| {
        crate::history::run(&store, name, "6.1.5", reports::Vendor::KvmAmd, 1000, true);
        store.join(name).join("results.csv")
    };
    let (one, other) = (run("one"), run("other"));
    let output = publish(&pages);
    assert_eq!(told(&output), (Some(0), String::new()));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("pages: {}", pages.join("index.html").display())), "{said}");

    fs::write(pages.join("CNAME"), "bench.example.org").unwrap();
    fs::write(&other, "not rows").unwrap();
    let (status, said) = told(&publish(&pages));
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("other is left out"), "{said}");
    let index = || fs::read_to_string(pages.join("index.html")).unwrap();
    let published = index();
    assert!(published.contains("1 run") && published.contains("left out"));
    assert_eq!(fs::read_to_string(pages.join("CNAME")).unwrap(), "bench.example.org");

    fs::write(&one, "not rows").unwrap();
    assert_eq!(told(&publish(&pages)).0, Some(2));
    assert_eq!(index(), published, "where nothing can be read the pages are as they were");
    run("third");
    let (status, said) = told(&publish(&store));
    assert!(status == Some(2) && said.contains("drbench has not written it"), "{said}");
    let beside = fs::read_dir(pages.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 1, "nothing is left beside the pages");
}
