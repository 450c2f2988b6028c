//! A real browser for tests of pages: headless Chromium over its DevTools pipe, without a port and without a driver crate.
//!
//! Each [`Tab`] has a cookie jar of its own, as if it belonged to another person. What a page complains about (errors of
//! scripts, refused by its content security policy, failed loads) is collected and can be asserted on.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Mutex as AsyncMutex, oneshot, watch},
};

use crate::lock;

/// How long anything that a browser does may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one look at a page may take.
const LOOK: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);
/// Chromium reads commands from descriptor 3 and writes answers to 4; the shell moves our pipes there.
const PLUMBING: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"#;
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A running browser. Ends when dropped, and its profile with it.
#[derive(Debug)]
pub struct Browser {
    wire: Arc<Wire>,
    process: Child,
    profile: tempfile::TempDir,
}

/// One page with a cookie jar of its own.
#[derive(Debug)]
pub struct Tab {
    wire: Arc<Wire>,
    session: String,
}

/// Commands on their way, and what pages have said.
#[derive(Debug)]
struct Wire {
    commands: AsyncMutex<ChildStdin>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    pages: Mutex<HashMap<String, PageState>>,
    loads: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct PageState {
    loads: u64,
    complaints: Vec<String>,
}

impl Browser {
    /// The Chromium of this machine; `INTEGRATION_CHROMIUM` may name another.
    #[must_use]
    pub fn find() -> Option<PathBuf> {
        if let Some(named) = std::env::var_os("INTEGRATION_CHROMIUM") {
            return Some(named.into());
        }
        let path = std::env::var_os("PATH")?;
        let mut places = std::env::split_paths(&path).flat_map(|folder| PROGRAMS.map(|program| folder.join(program)));
        places.find(|place| place.is_file())
    }

    /// Starts it with a fresh profile.
    ///
    /// # Errors
    /// If there is none, or if it does not answer.
    pub async fn launch() -> io::Result<Self> {
        let program = Self::find().ok_or_else(|| io::Error::other("no Chromium: install the package `chromium`"))?;
        let profile = tempfile::tempdir()?;
        let mut process = Command::new("/bin/sh")
            .args(["-c", PLUMBING])
            .arg(program)
            // As root it runs only without its sandbox; containers have too little /dev/shm.
            .args(["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"])
            .args(["--disable-component-update", "--remote-debugging-pipe", "--lang=en"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(commands), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("a process without pipes"));
        };
        let wire = Arc::new(Wire {
            commands: AsyncMutex::new(commands),
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            pages: Mutex::default(),
            loads: watch::Sender::new(0),
        });
        tokio::spawn(listen(Arc::clone(&wire), answers));
        wire.call(None, "Browser.getVersion", json!({})).await?;
        Ok(Self { wire, process, profile })
    }

    /// A page with an empty cookie jar: another person, or another browser.
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn tab(&self) -> io::Result<Tab> {
        let wire = &self.wire;
        let context = wire.call(None, "Target.createBrowserContext", json!({})).await?;
        let context = &context["browserContextId"];
        let target = json!({ "url": "about:blank", "browserContextId": context, "width": 1000, "height": 800 });
        let target = wire.call(None, "Target.createTarget", target).await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = wire.call(None, "Target.attachToTarget", attach).await?;
        let session = attached["sessionId"].as_str().unwrap_or_default().to_owned();
        lock(&wire.pages).insert(session.clone(), PageState::default());
        let tab = Tab { wire: Arc::clone(wire), session };
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Audits.enable", "Accessibility.enable"] {
            tab.call(domain, json!({})).await?;
        }
        Ok(tab)
    }

    /// Ends it and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub async fn close(mut self) -> io::Result<()> {
        let _ = self.wire.call(None, "Browser.close", json!({})).await;
        let _ = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        self.process.kill().await.ok();
        // What a dying process still writes may get in the way; the folder is a temporary one either way.
        self.profile.close().or(Ok(()))
    }
}

impl Wire {
    async fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> io::Result<Value> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let (answered, answer) = oneshot::channel();
        lock(&self.waiting).insert(id, answered);
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.lock().await.write_all(&bytes).await?;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{method} was not answered"));
        let gone = |_| io::Error::other(format!("the browser ended before it answered {method}"));
        let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(late)?.map_err(gone)?;
        match answer.get("error") {
            Some(error) => Err(io::Error::other(format!("{method}: {error}"))),
            None => Ok(answer["result"].clone()),
        }
    }

    fn heard(&self, message: &Value) {
        if let Some(id) = message["id"].as_u64() {
            if let Some(waiting) = lock(&self.waiting).remove(&id) {
                let _ = waiting.send(message.clone());
            }
            return;
        }
        let mut pages = lock(&self.pages);
        let Some(page) = message["sessionId"].as_str().and_then(|session| pages.get_mut(session)) else { return };
        if message["method"] == "Page.loadEventFired" {
            page.loads += 1;
            drop(pages);
            self.loads.send_modify(|loads| *loads += 1);
        } else {
            page.complaints.extend(complaint(message));
        }
    }
}

/// What a page says that it should not have to.
fn complaint(message: &Value) -> Option<String> {
    let parameters = &message["params"];
    match message["method"].as_str()? {
        "Log.entryAdded" => {
            let entry = &parameters["entry"];
            let quiet = matches!(entry["level"].as_str(), Some("verbose" | "info"));
            (!quiet).then(|| format!("{}: {} {}", entry["source"], entry["text"], entry["url"]))
        }
        "Runtime.consoleAPICalled" => Some(format!("console: {}", parameters["args"])),
        "Runtime.exceptionThrown" => Some(format!("exception: {}", parameters["exceptionDetails"])),
        "Audits.issueAdded" if parameters["issue"]["code"] == "ContentSecurityPolicyIssue" => {
            Some(format!("policy: {}", parameters["issue"]["details"]))
        }
        _ => None,
    }
}

async fn listen(wire: Arc<Wire>, answers: ChildStdout) {
    let (mut answers, mut message) = (BufReader::new(answers), Vec::new());
    while answers.read_until(0, &mut message).await.is_ok_and(|read| read > 0) {
        if message.last() == Some(&0) {
            message.pop();
        }
        if let Ok(message) = serde_json::from_slice(&message) {
            wire.heard(&message);
        }
        message.clear();
    }
    // Whoever still waits is told that nobody will answer.
    lock(&wire.waiting).clear();
}

impl Tab {
    async fn call(&self, method: &str, parameters: Value) -> io::Result<Value> {
        self.wire.call(Some(&self.session), method, parameters).await
    }

    fn loads(&self) -> u64 {
        lock(&self.wire.pages).get(&self.session).map_or(0, |page| page.loads)
    }

    /// Waits until more pages than `before` have been loaded.
    async fn loaded(&self, before: u64) -> io::Result<()> {
        let mut changes = self.wire.loads.subscribe();
        let loaded = changes.wait_for(|_| self.loads() > before);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no page was loaded");
        tokio::time::timeout(PATIENCE, loaded).await.map_err(late)?.map_err(io::Error::other)?;
        Ok(())
    }

    /// Opens an address and waits until it is loaded.
    ///
    /// # Errors
    /// If nothing answers there.
    pub async fn open(&self, url: &str) -> io::Result<()> {
        let before = self.loads();
        let opened = self.call("Page.navigate", json!({ "url": url })).await?;
        if let Some(error) = opened["errorText"].as_str() {
            return Err(io::Error::other(format!("{url}: {error}")));
        }
        self.loaded(before).await
    }

    /// Presses what `selector` finds, and waits until the page that it leads to is loaded.
    ///
    /// # Errors
    /// If there is no such thing, or if no page follows.
    pub async fn follow(&self, selector: &str) -> io::Result<()> {
        let before = self.loads();
        self.press(selector).await?;
        self.loaded(before).await
    }

    /// Presses what `selector` finds, with the mouse.
    ///
    /// # Errors
    /// If there is no such thing to be seen.
    pub async fn press(&self, selector: &str) -> io::Result<()> {
        let place = self
            .eval(&format!(
                "(() => {{ const it = document.querySelector({}); if (!it) return null; it.scrollIntoView({{block: 'center'}}); \
                 const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
                json!(selector)
            ))
            .await?;
        let (Some(x), Some(y)) = (place[0].as_f64(), place[1].as_f64()) else {
            return Err(io::Error::other(format!("there is no {selector} on {}", self.url().await?)));
        };
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Presses a key (`Tab`, `Enter`).
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn key(&self, key: &str) -> io::Result<()> {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            _ => (0, ""),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", event).await?;
        }
        Ok(())
    }

    /// Presses a key and waits until the page that it leads to is loaded.
    ///
    /// # Errors
    /// If no page follows.
    pub async fn follow_key(&self, key: &str) -> io::Result<()> {
        let before = self.loads();
        self.key(key).await?;
        self.loaded(before).await
    }

    /// The value of a JavaScript expression; a promise is awaited.
    ///
    /// # Errors
    /// If it throws.
    pub async fn eval(&self, expression: &str) -> io::Result<Value> {
        let ask = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", ask).await?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(io::Error::other(format!("{expression}: {thrown}"))),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is true, also of the page that another takes its place with meanwhile: what throws, or is
    /// not answered because its page went, is looked at again.
    ///
    /// # Errors
    /// If it does not become true.
    pub async fn until(&self, expression: &str) -> io::Result<()> {
        let look = async {
            while !matches!(tokio::time::timeout(LOOK, self.eval(expression)).await, Ok(Ok(Value::Bool(true)))) {
                tokio::time::sleep(AGAIN).await;
            }
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{expression} did not become true"));
        tokio::time::timeout(PATIENCE, look).await.map_err(late)
    }

    async fn text_of(&self, expression: &str) -> io::Result<String> {
        Ok(self.eval(expression).await?.as_str().unwrap_or_default().to_owned())
    }

    /// Where it is.
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn url(&self) -> io::Result<String> {
        self.text_of("location.href").await
    }

    /// The text of everything that `selector` finds, as it is seen, a line each.
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn text(&self, selector: &str) -> io::Result<String> {
        let found = format!("[...document.querySelectorAll({})].map(it => it.innerText).join('\\n')", json!(selector));
        self.text_of(&found).await
    }

    /// The page's title.
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn title(&self) -> io::Result<String> {
        self.text_of("document.title").await
    }

    /// What assistive technology is told: role and name of every part.
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn accessible(&self) -> io::Result<Vec<(String, String)>> {
        let tree = self.call("Accessibility.getFullAXTree", json!({})).await?;
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let told = nodes.iter().filter(|node| node["ignored"] != true);
        Ok(told.map(|node| (text(&node["role"]), text(&node["name"]))).collect())
    }

    /// Switches an emulated preference (`prefers-color-scheme`, `dark`).
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn prefer(&self, feature: &str, value: &str) -> io::Result<()> {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.call("Emulation.setEmulatedMedia", features).await.map(drop)
    }

    /// Shows pages without running their scripts.
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn without_scripts(&self) -> io::Result<()> {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await.map(drop)
    }

    /// Sets the width that pages have, in CSS pixels: a telephone has about 390.
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn set_width(&self, width: u32) -> io::Result<()> {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    /// Writes what is seen into a PNG.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn screenshot(&self, path: &Path) -> io::Result<()> {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" })).await?;
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap_or_default()).map_err(io::Error::other)?;
        std::fs::write(path, bytes)
    }

    /// What the pages have complained about since it was last asked.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        lock(&self.wire.pages)
            .get_mut(&self.session)
            .map(|page| std::mem::take(&mut page.complaints))
            .unwrap_or_default()
    }
}
