//! A headless Chromium, driven through its `DevTools` pipe: messages are JSON, each ended by a zero byte.

use serde_json::{Value as Json, json};
use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Nothing that is asked here takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    process: Child,
    to: RefCell<ChildStdin>,
    from: Receiver<Json>,
    next: Cell<u64>,
    session: String,
    events: RefCell<Vec<Json>>,
    _profile: tempfile::TempDir,
}

/// Where `ci/readers/chromium` puts it: the rule of `cache_dir` in ci/lib.sh.
fn program() -> PathBuf {
    let set =
        |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let cache = set("DRBENCH_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("drbench")))
        .or_else(|| Some(set("HOME")?.join(".cache/drbench")))
        .expect("DRBENCH_CACHE, XDG_CACHE_HOME or HOME says where the cache is");
    let program = cache.join("readers/chromium/run");
    assert!(
        program.is_file(),
        "{} is not there: run ci/readers/chromium, which fetches it (ci/test does)",
        program.display()
    );
    program
}

impl Browser {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The browser talks on descriptors 3 and 4.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"#])
            .arg(program())
            .args(["--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--disable-background-networking"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let to = process.stdin.take().unwrap();
        let mut pipe = BufReader::new(process.stdout.take().unwrap());
        let (sender, from) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while pipe.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let json = serde_json::from_slice(&message).expect("DevTools sends JSON");
                if sender.send(json).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            process,
            to: RefCell::new(to),
            from,
            next: Cell::new(0),
            session: String::new(),
            events: RefCell::new(Vec::new()),
            _profile: profile,
        };
        let target = browser.ask("Target.createTarget", &json!({ "url": "about:blank" }));
        let target = target["targetId"].as_str().unwrap().to_owned();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = browser.ask("Target.attachToTarget", &attach);
        session["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log", "Network", "DOM"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Asks, and waits for the answer. What the page tells meanwhile is kept.
    pub fn ask(&self, method: &str, parameters: &Json) -> Json {
        let id = self.next.get();
        self.next.set(id + 1);
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.to.borrow_mut().write_all(&bytes).expect("the browser listens");
        loop {
            let message = self.receive(method);
            if message["id"] == json!(id) {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.borrow_mut().push(message);
        }
    }

    fn receive(&self, why: &str) -> Json {
        self.from
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("waiting for {why}, the browser says nothing: {error}"))
    }

    /// Opens a file and waits until it is loaded.
    pub fn open(&self, file: &Path, fragment: &str) {
        self.events.borrow_mut().retain(|event| event["method"] != "Page.loadEventFired");
        let url = format!("file://{}{fragment}", file.display());
        let answer = self.ask("Page.navigate", &json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url}: {}", answer["errorText"]);
        self.loaded(&url);
    }

    /// Waits until a page is loaded.
    pub fn loaded(&self, what: &str) {
        let is_it = |event: &Json| event["method"] == "Page.loadEventFired";
        while !self.events.borrow().iter().any(is_it) {
            let message = self.receive(what);
            self.events.borrow_mut().push(message);
        }
    }

    /// What an expression gives in the page.
    pub fn evaluate(&self, expression: &str) -> Json {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let answer = self.ask("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Width and height of the window, and whether the reader likes dark.
    pub fn dress(&self, (width, height): (u32, u32), scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": width < 500 });
        self.ask("Emulation.setDeviceMetricsOverride", &size);
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        let medium = json!({ "media": "", "features": [feature] });
        self.ask("Emulation.setEmulatedMedia", &medium);
    }

    /// The page as it is printed, for a reader who likes light or dark.
    pub fn on_paper(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        let medium = json!({ "media": "print", "features": [feature] });
        self.ask("Emulation.setEmulatedMedia", &medium);
    }

    /// Clicks with the mouse on the first element that fits, and waits for the page it leads to.
    pub fn follow(&self, selector: &str) {
        self.events.borrow_mut().retain(|event| event["method"] != "Page.loadEventFired");
        let place = self.evaluate(&format!(
            "(() => {{ const it = document.querySelector({}); it.scrollIntoView({{ behavior: 'instant', block: 'center' }}); \
             const box = it.getClientRects()[0]; return [box.x + box.width / 2, box.y + box.height / 2] }})()",
            json!(selector)
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left",
                "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", &event);
        }
        self.loaded(selector);
    }

    /// Presses a key.
    pub fn press(&self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "char", "keyUp"] {
            let text = if key == "Enter" { "\r" } else { "" };
            if kind == "char" && text.is_empty() {
                continue;
            }
            let event = json!({ "type": kind, "key": key, "code": key, "text": text,
                "windowsVirtualKeyCode": code, "nativeVirtualKeyCode": code });
            self.ask("Input.dispatchKeyEvent", &event);
        }
    }

    /// What went wrong since this was asked last: console errors, exceptions, requests to any place
    /// that is not below `dir`.
    pub fn complaints(&self, dir: &Path) -> Vec<String> {
        let below = format!("file://{}/", dir.display());
        let complaint = |event: &Json| -> Option<String> {
            let about = &event["params"];
            match event["method"].as_str()? {
                "Runtime.exceptionThrown" | "Network.loadingFailed" => Some(about.to_string()),
                "Runtime.consoleAPICalled" if about["type"] == "error" => Some(about.to_string()),
                "Log.entryAdded" if about["entry"]["level"] == "error" => Some(about.to_string()),
                "Network.requestWillBeSent" => {
                    let url = about["request"]["url"].as_str()?;
                    (!url.starts_with(&below)).then(|| format!("asked for {url}"))
                }
                _ => None,
            }
        };
        self.events.borrow_mut().drain(..).filter_map(|event| complaint(&event)).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
