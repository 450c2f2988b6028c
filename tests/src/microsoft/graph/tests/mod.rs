//! The service is asked as a client would ask it: by requests.

mod batches;
mod deltas;
mod folders;
mod limits;
mod lists;
mod mailboxes;
mod messages;
mod random;
mod sending;
mod uploads;

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use http::{Request, StatusCode};
use serde_json::Value;

use super::{Graph, GraphSettings};
use crate::call::{ApiAnswer, ApiCall};

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";

/// A signed-in person with a clock, who asks for ids that stay.
struct Caller {
    graph: Graph,
    account: String,
    scopes: BTreeSet<String>,
    now: DateTime<Utc>,
    prefer: String,
}

impl Caller {
    fn new(settings: GraphSettings) -> Self {
        Self::of(&Graph::new(settings), ANN)
    }

    fn of(graph: &Graph, account: &str) -> Self {
        let now = DateTime::from_timestamp(1_767_600_000, 0).unwrap();
        let scopes = ["Mail.ReadWrite", "Mail.Send", "User.Read"].map(str::to_owned).into();
        graph.mailbox(account);
        let prefer = "IdType=\"ImmutableId\"".to_owned();
        Self { graph: graph.clone(), account: account.to_owned(), scopes, now, prefer }
    }

    fn with_scopes(mut self, scopes: &[&str]) -> Self {
        self.scopes = scopes.iter().map(|s| (*s).to_owned()).collect();
        self
    }

    fn with_prefer(mut self, prefer: &str) -> Self {
        prefer.clone_into(&mut self.prefer);
        self
    }

    fn pass(&mut self, seconds: i64) {
        self.now += Duration::seconds(seconds);
    }

    fn request(&self, request: &Request<Bytes>) -> ApiAnswer {
        self.graph.answer(&self.call(request))
    }

    fn call<'a>(&'a self, request: &'a Request<Bytes>) -> ApiCall<'a> {
        ApiCall { account: &self.account, app: "app", scopes: &self.scopes, now: self.now, request }
    }

    fn build(&self, method: &str, path: &str, body: &Value) -> Request<Bytes> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let uri = match path.strip_prefix('/') {
            _ if path.contains("://") => path.to_owned(),
            Some(absolute) => format!("https://graph.test/v1.0/{absolute}"),
            None => format!("https://graph.test/v1.0/me/{path}"),
        };
        let uri =
            uri.replace(' ', "%20").replace('\'', "%27").replace('"', "%22").replace('<', "%3C").replace('>', "%3E");
        let builder = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        builder.header("prefer", &self.prefer).body(body).unwrap()
    }

    fn answer(&self, method: &str, path: &str, body: &Value) -> ApiAnswer {
        self.request(&self.build(method, path, body))
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let answer = self.answer(method, path, body);
        (answer.status(), serde_json::from_slice(answer.body()).unwrap_or_default())
    }

    /// A call that must succeed.
    fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask("GET", path, &Value::Null);
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, value) = self.ask("POST", path, body);
        assert!(status.is_success(), "{path}: {status} {value}");
        value
    }

    fn patch(&self, path: &str, body: &Value) -> Value {
        let (status, value) = self.ask("PATCH", path, body);
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value
    }

    /// A call that must fail: status and code.
    fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let (status, value) = self.ask(method, path, body);
        assert!(!status.is_success(), "{path}: {value}");
        (status.as_u16(), value["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    fn deliver(&self, raw: &str) -> String {
        self.graph.mailbox(&self.account).deliver(mail(raw), self.now, "inbox")
    }
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn mail(text: &str) -> Bytes {
    Bytes::from(text.replace('\n', "\r\n"))
}

fn plain(from: &str, subject: &str, body: &str) -> String {
    format!("From: {from}\nTo: {ANN}\nSubject: {subject}\nMessage-ID: <{}@x>\n\n{body}\n", subject.replace(' ', "."))
}

fn ids(list: &Value) -> Vec<String> {
    let items = list["value"].as_array().cloned().unwrap_or_default();
    items.iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
}

fn subjects(list: &Value) -> Vec<String> {
    let items = list["value"].as_array().cloned().unwrap_or_default();
    items.iter().map(|m| m["subject"].as_str().unwrap_or_default().to_owned()).collect()
}
