//! The templates' form, the scripts' form, and the pages that are published.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{ci, executable, passes, place, told};
use drbench_lab::cache::Cache;

/// A tool that checks what others wrote.
fn checker(name: &str) -> Command {
    let place = Cache::default_dir().unwrap().join("readers/templates/bin");
    assert!(place.join(name).exists(), "{name} is missing: run ci/readers/templates");
    Command::new(place.join(name))
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
fn the_crontab_finds_cargo_where_rustup_puts_it() {
    let home = tempfile::tempdir().unwrap();
    executable(&home.path().join(".cargo/bin/cargo"), "#!/bin/sh\n");
    for name in ["nightly", "publish"] {
        let script = format!("#!/bin/sh\ncommand -v cargo >\"$HOME/{name}\"\n");
        executable(&home.path().join("drbench/ci").join(name), &script);
    }
    let text = fs::read_to_string(ci().join("templates/crontab")).unwrap();
    let path = text.lines().find_map(|line| line.strip_prefix("PATH=")).unwrap();
    for line in text.lines().filter(|line| line.contains("ci/") && !line.starts_with('#')) {
        let command = line.splitn(6, ' ').last().unwrap();
        let mut cron = Command::new("/bin/sh");
        passes(cron.args(["-c", command]).env_clear().env("HOME", home.path()).env("PATH", path));
    }
    for name in ["nightly", "publish"] {
        let found = fs::read_to_string(home.path().join(name)).unwrap();
        assert_eq!(Path::new(found.trim_end()), home.path().join(".cargo/bin/cargo"), "{name}");
    }
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
    let publish = |pages: &Path| {
        let mut publish = Command::new(ci().join("publish"));
        publish.arg(&store).arg(pages).env("DRBENCH", env!("CARGO_BIN_EXE_drbench"));
        publish.output().unwrap()
    };
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
