//! Chromium without a screen, told over a pipe what to do (the DevTools protocol: JSON texts, each
//! with a zero behind it).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a page may take for what is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with one page; dropped, it is gone.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    last_id: u64,
    /// What went wrong in the page: errors of its script, and what its policy forbade.
    pub(crate) complaints: Vec<String>,
}

impl Browser {
    /// Starts one that keeps its files in `folder`; `None`, and says so: there is no Chromium.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let found = Command::new("chromium").arg("--version").output();
        if !found.is_ok_and(|it| it.status.success()) {
            eprintln!("no chromium: tests/run installs it, and nobody looks at the page");
            return None;
        }
        // It reads from descriptor 3 and writes to 4.
        let script = "exec chromium --headless=new --no-sandbox --disable-gpu --no-first-run \
                      --disable-dev-shm-usage --disable-background-networking \
                      --hide-scrollbars --user-data-dir=\"$1\" --remote-debugging-pipe \
                      about:blank 3<&0 4>&1 </dev/null >/dev/null 2>\"$1/chromium.log\"";
        std::fs::create_dir_all(folder).expect("the test folder can be written");
        let mut child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut browser = Self {
            input: child.stdin.take().expect("it is piped"),
            output: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
            session: None,
            last_id: 0,
            complaints: Vec::new(),
        };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Sets the size of the window and whether the person likes it dark.
    pub(crate) fn look(&mut self, (width, height): (u32, u32), is_dark: bool) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if is_dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": [feature] }),
        );
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        self.call("Runtime.evaluate", asked)["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.value(expression) != Value::Bool(true) {
            if Instant::now() >= end {
                let page = self.value("document.body.innerText");
                panic!("never true: {expression}\n{:?}\n{page}", self.complaints);
            }
            std::thread::yield_now();
        }
    }

    /// Keeps a picture of the page as it is, from its top to its end.
    pub(crate) fn picture(&mut self, path: &Path) {
        let asked = json!({ "captureBeyondViewport": true });
        let shot = self.call("Page.captureScreenshot", asked);
        let text = shot["data"].as_str().expect("it is a picture");
        let bytes = data_encoding::BASE64.decode(text.as_bytes());
        let bytes = bytes.expect("it is base64");
        assert!(bytes.starts_with(b"\x89PNG"), "it is a picture");
        std::fs::write(path, bytes).expect("the folder can be written");
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut text = message.to_string().into_bytes();
        text.push(0);
        self.input.write_all(&text).expect("chromium reads");
        loop {
            let mut text = Vec::new();
            let read = self.output.read_until(0, &mut text);
            assert!(read.is_ok_and(|count| count > 0), "chromium ended");
            text.pop();
            let said: Value = serde_json::from_slice(&text).expect("it writes JSON");
            if said["id"] == json!(self.last_id) {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
            let complaint = match said["method"].as_str() {
                Some("Runtime.exceptionThrown") => Some(said["params"].to_string()),
                Some("Log.entryAdded") => Some(said["params"]["entry"].to_string()),
                Some(_) | None => None,
            };
            self.complaints.extend(complaint);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its children go with it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
