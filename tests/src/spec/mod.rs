//! Checks every exchange with the sandbox against the service's own descriptions.
//!
//! Calls under an API base URL are held against Google's discovery documents and Graph's OpenAPI document, which are read at
//! run time from the folder of shared facts (`INTEGRATION_SHARED`, else `../shared` beside the checkout), once in a process,
//! and are no part of this package. Without
//! them those checks are off, and [`Sandbox::validation`](crate::Sandbox::validation) says so. Sign-in endpoints and the
//! batch envelope have no such document; the tables for them are in here.

mod discovery;
mod instance;
mod openapi;
mod schema;
mod signin;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::Value;

use self::{
    discovery::{Discovery, Method},
    openapi::OpenApi,
};
use crate::{call::ApiAnswer, microsoft};

/// How many violations are kept; more of the same teach nothing.
const KEPT: usize = 1_000;

/// Who departed from the description.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The sandbox's answer.
    Answer,
    /// The client's request.
    Request,
}

/// One departure from the service's description.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Violation {
    /// Who departed.
    pub side: Side,
    /// What was called.
    pub operation: String,
    /// What was wrong; names fields and parameters, never their values.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Answer => "the answer",
            Side::Request => "the request",
        };
        write!(f, "{}: {side}: {}", self.operation, self.message)
    }
}

/// Whether exchanges under an API base URL are being validated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Validation {
    /// No: the descriptions were not found there.
    Off {
        /// Where they were looked for.
        looked_at: PathBuf,
    },
    /// Yes.
    On,
}

/// The folder of shared facts.
#[must_use]
pub fn shared_folder() -> PathBuf {
    std::env::var_os("INTEGRATION_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from)
}

/// The descriptions in force and what was found against them.
#[derive(Debug)]
pub(crate) struct Validator {
    discovery: Option<Arc<Discovery>>,
    validation: Validation,
    graph: OnceLock<Option<Arc<OpenApi>>>,
    graph_folder: PathBuf,
    violations: Mutex<Vec<Violation>>,
}

/// Documents that were read, by folder.
type Shelf<T> = Mutex<BTreeMap<PathBuf, Arc<T>>>;

/// The document in a folder, read by the first in this process who asks for it.
fn shelved<T>(shelf: &Shelf<T>, folder: &Path, load: impl FnOnce(&Path) -> Option<T>) -> Option<Arc<T>> {
    let mut shelf = crate::lock(shelf);
    if let Some(known) = shelf.get(folder) {
        return Some(Arc::clone(known));
    }
    let read = Arc::new(load(folder)?);
    shelf.insert(folder.to_owned(), Arc::clone(&read));
    Some(read)
}

/// What a path means.
pub(crate) struct Place {
    pub(crate) operation: String,
    pub(crate) template: String,
}

impl Validator {
    pub(crate) fn load(folder: &Path) -> Self {
        static SHELF: Shelf<Discovery> = Mutex::new(BTreeMap::new());
        let looked_at = folder.join("specs/google");
        let discovery = shelved(&SHELF, &looked_at, Discovery::load);
        let validation = if discovery.is_some() { Validation::On } else { Validation::Off { looked_at } };
        let graph_folder = folder.join("specs/microsoft");
        Self { discovery, validation, graph: OnceLock::new(), graph_folder, violations: Mutex::default() }
    }

    /// Graph's description, read when the first call needs it.
    fn graph(&self) -> Option<&OpenApi> {
        static SHELF: Shelf<OpenApi> = Mutex::new(BTreeMap::new());
        self.graph.get_or_init(|| shelved(&SHELF, &self.graph_folder, OpenApi::load)).as_deref()
    }

    pub(crate) fn graph_validation(&self) -> Validation {
        let looked_at = || self.graph_folder.clone();
        if self.graph().is_some() { Validation::On } else { Validation::Off { looked_at: looked_at() } }
    }

    pub(crate) fn validation(&self) -> &Validation {
        &self.validation
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        crate::lock(&self.violations).clone()
    }

    fn report(&self, side: Side, operation: &str, messages: impl IntoIterator<Item = String>) {
        let mut kept = crate::lock(&self.violations);
        for message in messages {
            if kept.len() < KEPT {
                kept.push(Violation { side, operation: operation.to_owned(), message });
            }
        }
    }

    /// The operation and path template of a call, for books and faults.
    pub(crate) fn place(&self, method: &str, path: &str) -> Place {
        if let Some((name, _)) = signin::endpoint(path) {
            let template = microsoft::sign_in(path)
                .map_or_else(|| path.to_owned(), |(_, segment)| path.replacen(segment, "{tenant}", 1));
            return Place { operation: name.to_owned(), template };
        }
        if let Some(operation) = is_graph(path).then(|| self.graph()).flatten().and_then(|all| all.find(method, path)) {
            return Place { operation: operation.id.clone(), template: operation.template.clone() };
        }
        let found = self.discovery.as_ref().and_then(|discovery| discovery.find(method, path));
        found.map_or_else(
            || Place { operation: format!("{method} {}", template(path)), template: template(path) },
            |(method, template)| Place { operation: method.id.clone(), template: template.to_owned() },
        )
    }

    /// Checks one exchange; `answer` is absent where the sandbox's answer was replaced by a scripted fault.
    pub(crate) fn check(&self, request: &Request<Bytes>, answer: Option<&ApiAnswer>) {
        let path = request.uri().path();
        if let Some((name, endpoint)) = signin::endpoint(path) {
            self.report(Side::Request, name, signin::check(endpoint, request));
            return;
        }
        if is_graph(path) {
            self.check_graph(request, answer);
            return;
        }
        if !is_api(path) {
            return;
        }
        let Some(discovery) = &self.discovery else { return };
        let verb = request.method().as_str();
        let Some((method, _)) = discovery.find(verb, path) else {
            self.report(Side::Request, &format!("{verb} {}", template(path)), [unknown(discovery.knows_path(path))]);
            return;
        };
        self.report(Side::Request, &method.id, discovery.check_query(method, path, request.uri().query()));
        self.report(Side::Request, &method.id, check_request_body(discovery, method, request));
        if let Some(answer) = answer {
            self.report(Side::Answer, &method.id, check_answer(discovery, method, answer));
        }
    }

    fn check_graph(&self, request: &Request<Bytes>, answer: Option<&ApiAnswer>) {
        let Some(graph) = self.graph() else { return };
        let (verb, path) = (request.method().as_str(), request.uri().path());
        let Some(operation) = graph.find(verb, path) else {
            self.report(Side::Request, &format!("{verb} {}", template(path)), [unknown(graph.knows_path(path))]);
            return;
        };
        self.report(Side::Request, &operation.id, graph.check_request(operation, request));
        if let Some(answer) = answer {
            self.report(Side::Answer, &operation.id, graph.check_answer(operation, answer));
        }
    }
}

fn unknown(knows_path: bool) -> String {
    if knows_path { "the method is unknown here" } else { "the path is unknown" }.to_owned()
}

/// Is the path one of Graph?
fn is_graph(path: &str) -> bool {
    path.starts_with("/v1.0/")
}

/// Is the path one of an API that the descriptions cover?
fn is_api(path: &str) -> bool {
    ["/gmail/", "/upload/", "/resumable/", "/oauth2/v2/", "/userinfo/v2/"].iter().any(|base| path.starts_with(base))
}

fn content_type(headers: &http::HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn check_request_body(discovery: &Discovery, method: &Method, request: &Request<Bytes>) -> Vec<String> {
    let body = request.body();
    if body.is_empty() {
        return Vec::new();
    }
    // An upload's body is the mail itself; its form is the mailbox simulator's affair.
    if !content_type(request.headers()).starts_with("application/json") {
        let upload = request.uri().path().contains("upload/");
        return if upload { Vec::new() } else { vec!["the body is not declared as JSON".into()] };
    }
    match (&method.request, serde_json::from_slice::<Value>(body)) {
        (_, Err(_)) => vec!["the body is not JSON".into()],
        (None, Ok(_)) => vec!["the method takes no body".into()],
        (Some(schema), Ok(value)) => discovery.schemas.check(schema, &value, Side::Request),
    }
}

fn check_answer(discovery: &Discovery, method: &Method, answer: &ApiAnswer) -> Vec<String> {
    let body = answer.body();
    if !answer.status().is_success() {
        return check_error(answer);
    }
    if body.is_empty() {
        let expected = method.response.is_some() && answer.status() != http::StatusCode::NO_CONTENT;
        return if expected { vec!["the body is missing".into()] } else { Vec::new() };
    }
    if !content_type(answer.headers()).starts_with("application/json") {
        return vec!["the body is not declared as JSON".into()];
    }
    match (&method.response, serde_json::from_slice::<Value>(body)) {
        (_, Err(_)) => vec!["the body is not JSON".into()],
        (None, Ok(Value::Object(fields))) if fields.is_empty() => Vec::new(),
        (None, Ok(_)) => vec!["the method answers nothing".into()],
        (Some(schema), Ok(value)) => discovery.schemas.check(schema, &value, Side::Answer),
    }
}

/// The common error body. Front ends answer in HTML at times, so only what calls itself JSON is checked.
fn check_error(answer: &ApiAnswer) -> Vec<String> {
    if answer.status().is_redirection() || !content_type(answer.headers()).starts_with("application/json") {
        return Vec::new();
    }
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let error = &body["error"];
    let mut found = Vec::new();
    if error["code"].as_u64() != Some(u64::from(answer.status().as_u16())) {
        found.push("error.code is not the status".to_owned());
    }
    if !error["message"].is_string() {
        found.push("error.message is missing".to_owned());
    }
    if let Some(errors) = error.get("errors") {
        let named = errors.as_array().is_some_and(|all| all.iter().all(|one| one["reason"].is_string()));
        if !named {
            found.push("error.errors has an entry without a reason".to_owned());
        }
    }
    found
}

/// A path with the parts that look like ids replaced, where no description names them.
fn template(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .enumerate()
        .map(|(index, part)| {
            let version = part.len() <= 2 || part == "v1.0";
            let id = part.contains('@') || (!version && part.bytes().any(|byte| byte.is_ascii_digit()));
            if id && index > 0 { "{id}" } else { part }
        })
        .collect();
    parts.join("/")
}

#[cfg(test)]
mod graph_tests;
#[cfg(test)]
mod tests;
