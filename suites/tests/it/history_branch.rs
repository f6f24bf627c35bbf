//! A store in a branch of a git repository: `ci/history-branch`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::common::{ci, executable, passes, place, told};

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
fn what_is_measured_since_the_last_push_is_not_pulled_away() {
    let directory = tempfile::tempdir().unwrap();
    let remote = Remote::new(directory.path());
    let store = place(&directory, "store");
    for _ in 0..2 {
        remote.does("pull", &store);
    }
    add(&store, "first/results.csv", "1");
    remote.does("push", &store);
    remote.does("pull", &store);
    add(&store, "comment.md", "new");
    add(&store, "first/results.csv", "12");
    let (status, said) = told(&remote.command("pull", &store).output().unwrap());
    assert!(status == Some(2) && said.contains("push them first"), "{said}");
    assert_eq!(fs::read_to_string(store.join("comment.md")).unwrap(), "new");
    remote.does("push", &store);
    remote.does("pull", &store);
    assert_eq!(fs::read_to_string(store.join("first/results.csv")).unwrap(), "12");
}

#[test]
fn a_branch_that_is_there_and_cannot_be_fetched_is_an_error_that_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let remote = Remote::new(directory.path());
    let [one, fresh, empty] = ["one", "fresh", "empty"].map(|name| place(&directory, name));
    remote.does("pull", &one);
    add(&one, "first/results.csv", "1");
    remote.does("push", &one);
    fs::create_dir(&empty).unwrap();
    let git = "#!/bin/bash\n[[ \" $* \" != *' fetch '* ]] || { echo 'fatal: hung up' >&2; exit 128; }\n\
               PATH=${PATH#*:} exec git \"$@\"\n";
    executable(&place(&directory, "bin/git"), git);
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", place(&directory, "bin").display());
    for store in [&one, &fresh, &empty] {
        let mut pull = remote.command("pull", store);
        let (status, said) = told(&pull.env("PATH", &path).output().unwrap());
        assert!(status == Some(2) && said.contains("cannot get drbench-history"), "{said}");
    }
    assert_eq!(fs::read_to_string(one.join("first/results.csv")).unwrap(), "1");
    assert!(!fresh.exists() && fs::read_dir(&empty).unwrap().next().is_none());
    for store in [&fresh, &empty] {
        remote.does("pull", store);
        assert!(store.join("first/results.csv").exists());
    }
}

/// The words of a request: what is asked for, and who asks.
type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A server of an empty repository, as git reads one from plain files.
fn serve(listener: TcpListener, asked: Asked) {
    let answer = move |mut stream: TcpStream| -> std::io::Result<()> {
        let mut head = Vec::new();
        for line in BufReader::new(&stream).lines() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let who = head.iter().filter_map(|line| line.strip_prefix("Authorization: ")).collect();
        let who: Vec<_> = who;
        let who = (!who.is_empty()).then(|| who.join(" and "));
        asked.lock().unwrap().push((head[0].clone(), who));
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n";
        write!(stream, "{answer}Connection: close\r\n\r\n")
    };
    std::thread::spawn(move || listener.incoming().flatten().try_for_each(answer));
}

#[test]
fn a_clone_hands_its_credentials_to_the_store_for_its_own_origin_alone() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}/", listener.local_addr().unwrap());
    let asked = Asked::default();
    serve(listener, Arc::clone(&asked));
    let clone = place(&directory, "clone");
    passes(Command::new("git").args(["init", "--quiet"]).arg(&clone));
    fs::create_dir(clone.join("ci")).unwrap();
    for name in ["history-branch", "lib.sh"] {
        fs::copy(ci().join(name), clone.join("ci").join(name)).unwrap();
    }
    let origin = format!("{server}a/kernel.git");
    // As actions/checkout leaves it.
    for (name, value) in [
        ("remote.origin.url", &*origin),
        (&*format!("http.{server}.extraheader"), "Authorization: basic dG9rZW4="),
        ("http.https://elsewhere.example/.extraheader", "Authorization: basic b3RoZXI="),
    ] {
        passes(Command::new("git").arg("-C").arg(&clone).args(["config", name, value]));
    }
    let does = |what: &str, store: &str, remote: Option<&str>| {
        let mut command = Command::new(clone.join("ci/history-branch"));
        command.arg(what).arg(place(&directory, store)).env_remove("DRBENCH_REMOTE");
        command.env("GIT_TERMINAL_PROMPT", "0").envs(remote.map(|url| ("DRBENCH_REMOTE", url)));
        let output = command.output().unwrap();
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        assert!(!asked.is_empty(), "{}", told(&output).1);
        (told(&output), asked)
    };
    let token = |asked: &[(String, Option<String>)]| {
        asked.iter().all(|(_, who)| who.as_deref() == Some("basic dG9rZW4="))
    };
    let ((status, said), asked) = does("pull", "store", None);
    assert_eq!(status, Some(0), "{said}");
    assert!(token(&asked), "{asked:?}");
    add(&place(&directory, "store"), "first/results.csv", "1");
    // This server takes nothing.
    let (_, asked) = does("push", "store", None);
    assert!(asked.iter().any(|(what, _)| what.contains("git-receive-pack")), "{asked:?}");
    assert!(token(&asked), "{asked:?}");
    let kept = fs::read_to_string(place(&directory, "store/.git/config")).unwrap();
    assert!(!kept.contains("dG9rZW4="), "nothing of it stays in the store: {kept}");
    let (_, asked) = does("pull", "another", Some(&format!("{server}b/other.git")));
    assert!(asked.iter().all(|(_, who)| who.is_none()), "{asked:?}");
}
