//! A sandbox in a process of its own, and steering it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use integration_core::http::{Body, ReqwestTransport, Transport};
use serde_json::Value;

use crate::{place::StoreUrl, service::Service, worker};

/// Killed when dropped.
#[derive(Debug)]
struct Running(Child);

#[derive(Debug)]
pub(crate) struct FarSandbox {
    #[allow(dead_code, reason = "held so that it runs")]
    process: Running,
    client: ReqwestTransport,
    /// The service that the test is about; the sandbox has all.
    pub(crate) service: Service,
    pub(crate) origin: String,
}

impl FarSandbox {
    pub(crate) fn start(mail: &Path) -> Self {
        Self::of(Service::Google, mail)
    }

    pub(crate) fn of(service: Service, mail: &Path) -> Self {
        Self { service, ..Self::with_quota(mail, "off") }
    }

    pub(crate) fn with_quota(mail: &Path, quota: &str) -> Self {
        Self::under(mail, &["--quota", quota])
    }

    /// One that was told more.
    pub(crate) fn under(mail: &Path, more: &[&str]) -> Self {
        // `INTEGRATION_SANDBOX` may name one that was built with optimisations.
        let program = std::env::var_os("INTEGRATION_SANDBOX").unwrap_or_else(|| env!("CARGO_BIN_EXE_sandbox").into());
        let mut process = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--mail"])
            .arg(mail)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut text = String::new();
        let urls: Value = loop {
            assert!(output.read_line(&mut text).unwrap() > 0, "the sandbox ended: {text}");
            if let Ok(urls) = serde_json::from_str(&text) {
                break urls;
            }
        };
        let origin = url::Url::parse(urls["token"].as_str().unwrap()).unwrap().origin().ascii_serialization();
        Self { process: Running(process), client: ReqwestTransport::new().unwrap(), service: Service::Google, origin }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        steer(&self.client, &self.origin, method, path, body).await
    }

    /// Steers the service that the test is about.
    pub(crate) async fn steer(&self, method: &str, path: &str, body: &str) -> Value {
        self.ask(method, &format!("{}{path}", self.service.steering()), body).await
    }

    /// A process that does `role` with the service that the test is about.
    pub(crate) fn worker(&self, role: &str, database: impl Into<StoreUrl>) -> Command {
        let mut command = worker::command(role, database, &self.origin);
        self.service.hand_to(&mut command);
        command
    }

    /// The ids of a mailbox's messages, newest first.
    pub(crate) async fn messages(&self, account: &str) -> Vec<String> {
        let listed = self.steer("GET", &format!("messages?account={account}"), "").await;
        serde_json::from_value(listed["ids"].clone()).unwrap()
    }

    pub(crate) async fn refreshes(&self) -> u64 {
        self.ask("GET", "books", "").await["token_requests"]["refresh_token"].as_u64().unwrap_or_default()
    }

    /// Calls that were answered so far.
    pub(crate) async fn calls(&self) -> u64 {
        self.ask("GET", "books", "").await["calls"].as_u64().unwrap()
    }

    /// Every call of the mail API takes this long from now on.
    pub(crate) async fn slow_down(&self, delay: Duration) {
        let milliseconds = u64::try_from(delay.as_millis()).unwrap();
        let path = self.service.mail();
        let fault = serde_json::json!({ "path": path, "action": { "delay": { "milliseconds": milliseconds } } });
        self.ask("POST", "faults", &fault.to_string()).await;
    }

    pub(crate) async fn conforms(&self) {
        let violations = self.ask("GET", "violations", "").await;
        assert_eq!(violations, serde_json::json!([]));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One steering request from a process that has no [`FarSandbox`].
pub(crate) async fn ask(origin: &str, method: &str, path: &str, body: &str) -> Value {
    steer(&ReqwestTransport::new().unwrap(), origin, method, path, body).await
}

async fn steer(client: &ReqwestTransport, origin: &str, method: &str, path: &str, body: &str) -> Value {
    let url = format!("{origin}/sandbox/{path}");
    let request = http::Request::builder().method(method).uri(url).body(Body::from(body.to_owned())).unwrap();
    let answer = client.execute(request).await.unwrap();
    assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
    serde_json::from_slice(&answer.into_body().collect(64 << 20).await.unwrap()).unwrap()
}
