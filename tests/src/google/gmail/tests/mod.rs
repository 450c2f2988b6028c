//! The service is asked as a client would ask it: by requests.

mod batches;
mod limits;
mod mailboxes;
mod messages;
mod sending;
mod syncing;

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use http::{Request, StatusCode};
use serde_json::Value;

use super::{Gmail, GmailSettings};
use crate::google::call::{ApiAnswer, ApiCall};

const ANN: &str = "ann@example.com";

/// A signed-in person with a clock.
struct Caller {
    gmail: Gmail,
    account: String,
    scopes: BTreeSet<String>,
    now: DateTime<Utc>,
}

impl Caller {
    fn new(settings: GmailSettings) -> Self {
        Self::of(&Gmail::new(settings), ANN)
    }

    fn of(gmail: &Gmail, account: &str) -> Self {
        let now = DateTime::from_timestamp(1_767_600_000, 0).unwrap();
        Self { gmail: gmail.clone(), account: account.to_owned(), scopes: scopes(&["full"]), now }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += Duration::seconds(seconds);
    }

    fn request(&self, request: &Request<Bytes>) -> ApiAnswer {
        self.gmail.answer(&self.call(request))
    }

    fn call<'a>(&'a self, request: &'a Request<Bytes>) -> ApiCall<'a> {
        ApiCall { account: &self.account, app: "app", scopes: &self.scopes, now: self.now, request }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let uri = format!("/gmail/v1/users/me/{path}");
        let request = Request::builder().method(method).uri(uri).body(body).unwrap();
        let answer = self.request(&request);
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

    /// A call that must fail: status and reason.
    fn refused(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let (status, value) = self.ask(method, path, body);
        assert!(!status.is_success(), "{path}: {value}");
        (status.as_u16(), value["error"]["errors"][0]["reason"].as_str().unwrap_or_default().to_owned())
    }

    fn deliver(&self, raw: &str) -> String {
        self.gmail.mailbox(&self.account).deliver(mail(raw), self.now, &["INBOX", "UNREAD"])
    }
}

fn scopes(names: &[&str]) -> BTreeSet<String> {
    let long = |name: &&str| match *name {
        "full" => "https://mail.google.com/".to_owned(),
        name => format!("https://www.googleapis.com/auth/gmail.{name}"),
    };
    names.iter().map(long).collect()
}

fn mail(text: &str) -> Bytes {
    Bytes::from(text.replace('\n', "\r\n"))
}

fn plain(from: &str, subject: &str, body: &str) -> String {
    format!("From: {from}\nTo: {ANN}\nSubject: {subject}\nMessage-ID: <{}@x>\n\n{body}\n", subject.replace(' ', "."))
}

fn decoded(value: &Value) -> String {
    String::from_utf8(URL_SAFE.decode(value.as_str().unwrap()).unwrap()).unwrap()
}

fn ids(list: &Value) -> Vec<String> {
    let items = list["messages"].as_array().cloned().unwrap_or_default();
    items.iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
}
