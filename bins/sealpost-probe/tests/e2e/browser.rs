//! A real browser without a window, driven by the DevTools protocol over two pipes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the browser may take for anything, on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// Chromium with one page; it ends when this is dropped.
pub(crate) struct Browser {
    child: Child,
    to: Option<ChildStdin>,
    from: Receiver<Value>,
    session: String,
    calls: u64,
    /// What the page reported, in order.
    events: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let program = ["chromium-headless-shell", "chromium"]
            .into_iter()
            .find(|name| std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join(name).is_file()))
            .expect("./test installs chromium-headless-shell");
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // The protocol is spoken over descriptors 3 and 4.
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 1>&2", "sh", program, "--headless", "--remote-debugging-pipe", "--no-sandbox"]);
        command.args(["--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--disable-extensions"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (told, from) = channel();
        let mut pieces = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            let mut piece = Vec::new();
            while pieces.read_until(0, &mut piece).is_ok_and(|octets| octets > 0) {
                let message = serde_json::from_slice(piece.strip_suffix(b"\0").unwrap_or(&piece)).unwrap();
                if told.send(message).is_err() {
                    return;
                }
                piece.clear();
            }
        });
        let to = child.stdin.take();
        let mut browser = Self { child, to, from, session: String::new(), calls: 0, events: Vec::new(), _profile: profile };
        let targets = browser.call("Target.getTargets", json!({}));
        let page = targets["targetInfos"].as_array().unwrap().iter().find(|target| target["type"] == "page").expect("a page").clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": page["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method, and gives its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut octets = message.to_string().into_bytes();
        octets.push(0);
        self.to.as_mut().unwrap().write_all(&octets).unwrap();
        loop {
            let message = self.next(method);
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn next(&mut self, what: &str) -> Value {
        self.from.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) fn open(&mut self, address: &str) {
        self.events.clear();
        self.call("Page.navigate", json!({ "url": address }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next(address);
            self.events.push(event);
        }
    }

    /// What an expression comes to in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let result = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }));
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Clicks on the middle of an element, as a person does.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.value(&format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{block: 'center', behavior: 'instant'}}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()",
            json!(selector)
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Types into what has the focus.
    pub(crate) fn types(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Exceptions, errors on the console, and whatever else the page complained of.
    pub(crate) fn troubles(&mut self) -> Vec<Value> {
        self.value("1");
        let is_trouble = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        self.events.iter().filter(is_trouble).cloned().collect()
    }

    /// What was loaded.
    pub(crate) fn loaded(&self) -> Vec<String> {
        let requests = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        requests.map(|event| event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The whole page as a picture, PNG in Base64.
    pub(crate) fn picture(&mut self) -> String {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        picture["data"].as_str().unwrap().to_owned()
    }

    /// How many different colours a picture has (in steps of 16), and how much of it the most frequent one takes.
    pub(crate) fn colours(&mut self, picture: &str) -> (u64, f64) {
        self.open("about:blank");
        let counted = self.value(&format!(
            "(async () => {{ const i = new Image(); i.src = 'data:image/png;base64,{picture}'; await i.decode(); \
             const c = document.createElement('canvas'); c.width = i.width; c.height = i.height; const g = c.getContext('2d'); \
             g.drawImage(i, 0, 0); const d = g.getImageData(0, 0, i.width, i.height).data; const n = new Map(); \
             for (let p = 0; p < d.length; p += 4) {{ const k = (d[p] >> 4) << 8 | (d[p+1] >> 4) << 4 | d[p+2] >> 4; n.set(k, (n.get(k) || 0) + 1); }} \
             return [n.size, Math.max(...n.values()) / (d.length / 4)]; }})()"
        ));
        (counted[0].as_u64().unwrap(), counted[1].as_f64().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of its pipe is the end of the browser and of all its processes.
        self.to.take();
        for _ in 0..50 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
