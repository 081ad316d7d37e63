//! A headless Chromium, driven through its debugging pipe
//! (<https://chromedevtools.github.io/devtools-protocol/>, `--remote-debugging-pipe`): it ends when the pipe is closed, so with its test.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the browser may take to anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page.
pub(super) struct Browser {
    child: Child,
    input: Option<ChildStdin>,
    said: Receiver<Value>,
    /// Everything that it told without being asked.
    events: Vec<Value>,
    asked: u64,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// A browser with an empty page of this size that reaches nothing but 127.0.0.1. `scheme`: `light` or `dark`.
    pub(super) fn start(width: u32, height: u32, scheme: &str) -> Self {
        let profile = TempDir::new().unwrap();
        let mut command = Command::new("/bin/sh");
        // It reads from the descriptor 3 and writes to 4.
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh", "chromium"]);
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-extensions",
            "--disable-sync",
            "--hide-scrollbars",
            "--proxy-server=direct://",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.env("HOME", profile.path()).env_remove("DBUS_SESSION_BUS_ADDRESS");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { return };
                if sender.send(serde_json::from_slice(&message).unwrap_or(Value::Null)).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        let mut browser = Self { child, input, said, events: Vec::new(), asked: 0, session: String::new(), _profile: profile };
        let target = browser.ask("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.ask("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        attached["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Network", "Log", "Audits"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser.resize(width, height);
        browser.ask(
            "Emulation.setEmulatedMedia",
            &json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]}),
        );
        browser
    }

    pub(super) fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.ask("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Goes to an address and waits until it is loaded.
    pub(super) fn open(&mut self, url: &str) {
        self.ask("Page.navigate", &json!({"url": url}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next();
            self.events.push(event);
        }
    }

    /// What an expression comes to; a promise is waited for.
    pub(super) fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let reply = self.ask("Runtime.evaluate", &asked);
        assert!(reply["exceptionDetails"].is_null(), "{expression}: {reply}");
        reply["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(super) fn until(&mut self, expression: &str) {
        let looked = format!(
            "new Promise((done) => {{ const began = Date.now(); const look = () => ({expression}) ? done(true) \
             : Date.now() - began > 60000 ? done(document.body.innerText) : setTimeout(look, 20); look(); }})"
        );
        let outcome = self.evaluate(&looked);
        assert_eq!(outcome, Value::Bool(true), "`{expression}` did not become true");
    }

    /// What a reader sees.
    pub(super) fn text(&mut self) -> String {
        self.evaluate("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Every address that the page asked for.
    pub(super) fn requests(&self) -> Vec<String> {
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.filter_map(|event| event["params"]["request"]["url"].as_str()).map(str::to_owned).collect()
    }

    /// What the browser complains of: violations of the policy, exceptions, errors in its console.
    pub(super) fn complaints(&self) -> Vec<String> {
        let is_one = |event: &&Value| match event["method"].as_str() {
            Some("Audits.issueAdded") => event["params"]["issue"]["code"] == "ContentSecurityPolicyIssue",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            _ => false,
        };
        self.events.iter().filter(is_one).map(|event| event["params"].to_string()).collect()
    }

    /// A picture (PNG) of the upper `height` pixels.
    pub(super) fn picture(&mut self, width: u32, height: u32) -> Vec<u8> {
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let taken = self.ask("Page.captureScreenshot", &json!({"format": "png", "captureBeyondViewport": true, "clip": clip}));
        STANDARD.decode(taken["data"].as_str().expect("a picture")).unwrap()
    }

    fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let input = self.input.as_mut().expect("the browser is there");
        input.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let said = self.next();
            if said["id"] == self.asked {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
            self.events.push(said);
        }
    }

    fn next(&mut self) -> Value {
        self.said.recv_timeout(PATIENCE).expect("the browser answers")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends by itself when nobody talks to it any more.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
