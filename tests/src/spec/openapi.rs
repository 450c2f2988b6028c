//! OpenAPI documents: operations, paths, parameters, bodies.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use super::{content_type, instance::Schemas};
use crate::{call::ApiAnswer, form, spec::Side};

/// The version below which the description's paths are.
const ROOT: &str = "/v1.0/";
/// The most calls a batch may have.
const BATCH: &str = "batch";

/// Calls that the service has and the description lacks.
const BEYOND: [(&str, &str, &str); 1] =
    [("POST", "/me/messages/{message-id}/permanentDelete", "me.messages.permanentDelete")];

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: String,
    verb: String,
    /// The path as the description writes it.
    pub(super) template: String,
    holes: Vec<String>,
    /// Query parameters: their schema, and whether they must be there.
    query: BTreeMap<String, (Value, bool)>,
    /// Schemas of the request's body by content type; absent: it takes none.
    request: Option<BTreeMap<String, Value>>,
    /// Schemas of the answer's body by status and content type.
    answers: BTreeMap<String, BTreeMap<String, Value>>,
}

/// A document.
#[derive(Debug)]
pub(super) struct OpenApi {
    operations: Vec<Operation>,
    schemas: Schemas,
}

impl OpenApi {
    /// Reads the document of Graph in `folder`; `None` if it is not there.
    pub(super) fn load(folder: &Path) -> Option<Self> {
        let text = std::fs::read(folder.join("graph-crm.openapi.json")).ok()?;
        Some(Self::parse(&serde_json::from_slice(&text).ok()?))
    }

    pub(super) fn parse(document: &Value) -> Self {
        let mut operations = Vec::new();
        for (template, item) in document["paths"].as_object().into_iter().flatten() {
            for verb in ["get", "post", "patch", "put", "delete"] {
                if let Some(node) = item.get(verb) {
                    operations.push(Operation::parse(document, template, verb, (item, node)));
                }
            }
        }
        for (verb, template, id) in BEYOND {
            operations.push(Operation::bare(verb, template, id));
        }
        Self { operations, schemas: Schemas::new(&document["components"]["schemas"]) }
    }

    /// The operation behind a path.
    pub(super) fn find(&self, verb: &str, path: &str) -> Option<&Operation> {
        let parts = segments(path)?;
        let fitting = self.operations.iter().filter(|operation| operation.verb == verb && operation.fits(&parts));
        // `messages/delta` fits `messages/{message-id}` too: the one with fewer holes is meant.
        fitting.min_by_key(|operation| operation.template.matches('{').count())
    }

    pub(super) fn knows_path(&self, path: &str) -> bool {
        segments(path).is_some_and(|parts| self.operations.iter().any(|operation| operation.fits(&parts)))
    }

    /// What is wrong with a request.
    pub(super) fn check_request(&self, operation: &Operation, request: &Request<Bytes>) -> Vec<String> {
        let mut found = self.check_query(operation, request.uri().query().unwrap_or_default());
        found.extend(self.check_body(operation, request));
        if operation.id == BATCH && found.is_empty() {
            found.extend(check_batch(request.body()));
        }
        found
    }

    fn check_query(&self, operation: &Operation, query: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match operation.query.get(name.as_ref()) {
                // Links to a next page hold what only the service understands.
                None if name == "$skiptoken" => {}
                None => found.push(format!("the parameter {name} is unknown")),
                Some((schema, _)) if !is_of_type(&value, schema) => {
                    found.push(format!("the parameter {name} has the wrong type"));
                }
                Some(_) if name == "$select" => found.extend(self.check_select(operation, &value)),
                Some(_) => {}
            }
            if seen.contains(&name) {
                found.push(format!("the parameter {name} is given more than once"));
            }
            seen.push(name);
        }
        let missing =
            operation.query.iter().filter(|(name, (_, required))| *required && !seen.iter().any(|one| one == *name));
        found.extend(missing.map(|(name, _)| format!("the parameter {name} is missing")));
        found
    }

    /// Names in `$select` that the answer's resource does not have.
    fn check_select(&self, operation: &Operation, value: &str) -> Vec<String> {
        let Some(schema) = operation.answer("200").and_then(|bodies| bodies.get("application/json")) else {
            return Vec::new();
        };
        let item = self.schemas.property(schema, "value").map_or(schema, |list| &list["items"]);
        let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
        names
            .filter(|name| match name.rsplit_once('/') {
                Some((cast, name)) => !self.schemas.has(cast, name),
                None => self.schemas.property(item, name).is_none(),
            })
            .map(|name| format!("the parameter $select names {name}, which is unknown"))
            .collect()
    }

    fn check_body(&self, operation: &Operation, request: &Request<Bytes>) -> Vec<String> {
        let body = request.body();
        let Some(kinds) = &operation.request else {
            return if body.is_empty() { Vec::new() } else { vec!["the method takes no body".into()] };
        };
        if body.is_empty() {
            return Vec::new();
        }
        let declared = content_type(request.headers()).split(';').next().unwrap_or_default().trim();
        match kinds.get(declared) {
            None => vec![format!("the body is declared as {declared}, which is not taken")],
            Some(schema) if declared == "application/json" => match serde_json::from_slice(body) {
                Ok(value) => self.schemas.check(schema, &value, Side::Request),
                Err(_) => vec!["the body is not JSON".into()],
            },
            Some(_) => Vec::new(),
        }
    }

    /// What is wrong with an answer.
    pub(super) fn check_answer(&self, operation: &Operation, answer: &ApiAnswer) -> Vec<String> {
        let status = answer.status();
        if operation.answers.is_empty() {
            return Vec::new();
        }
        let kind = content_type(answer.headers()).split(';').next().unwrap_or_default();
        let class = format!("{}XX", status.as_u16() / 100);
        let Some(bodies) = operation.answer(status.as_str()).or_else(|| operation.answer(&class)) else {
            return vec![format!("the status {} is not described", status.as_u16())];
        };
        if answer.body().is_empty() {
            let missing = status.is_success() && !bodies.is_empty();
            return if missing { vec!["the body is missing".into()] } else { Vec::new() };
        }
        match bodies.get(kind) {
            // Front ends answer in HTML at times.
            None if !status.is_success() => Vec::new(),
            None if bodies.is_empty() => vec!["the method answers nothing".into()],
            // What is raw comes as what it is.
            None if !bodies.contains_key("application/json") => Vec::new(),
            None => vec!["the body is not declared as JSON".into()],
            Some(schema) if kind == "application/json" => match serde_json::from_slice(answer.body()) {
                Ok(value) => self.schemas.check(schema, &value, Side::Answer),
                Err(_) => vec!["the body is not JSON".into()],
            },
            Some(_) => Vec::new(),
        }
    }
}

impl Operation {
    fn bare(verb: &str, template: &str, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            verb: verb.to_owned(),
            template: format!("{}{}", ROOT.trim_end_matches('/'), template),
            holes: template_segments(template),
            query: BTreeMap::new(),
            request: None,
            answers: BTreeMap::new(),
        }
    }

    fn parse(document: &Value, template: &str, verb: &str, (item, node): (&Value, &Value)) -> Self {
        let id = node["operationId"].as_str().unwrap_or_default();
        let mut operation = Self::bare(&verb.to_uppercase(), template, id);
        let lists = [&item["parameters"], &node["parameters"]];
        for parameter in lists.into_iter().filter_map(Value::as_array).flatten() {
            let parameter = resolve(document, parameter);
            if parameter["in"] == "query" {
                let name = parameter["name"].as_str().unwrap_or_default().to_owned();
                operation.query.insert(name, (parameter["schema"].clone(), parameter["required"] == true));
            }
        }
        operation.request = node.get("requestBody").map(|body| bodies(resolve(document, body)));
        for (status, answer) in node["responses"].as_object().into_iter().flatten() {
            operation.answers.insert(status.clone(), bodies(resolve(document, answer)));
        }
        operation
    }

    fn fits(&self, parts: &[String]) -> bool {
        parts.len() == self.holes.len() && parts.iter().zip(&self.holes).all(|(part, hole)| segment_fits(hole, part))
    }

    fn answer(&self, status: &str) -> Option<&BTreeMap<String, Value>> {
        self.answers.get(status)
    }
}

fn resolve<'a>(document: &'a Value, node: &'a Value) -> &'a Value {
    let pointer = node["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(node)
}

fn bodies(node: &Value) -> BTreeMap<String, Value> {
    let content = node["content"].as_object().into_iter().flatten();
    content.map(|(kind, body)| (kind.clone(), body["schema"].clone())).collect()
}

fn is_of_type(value: &str, schema: &Value) -> bool {
    match schema["type"].as_str() {
        Some("integer") => value.parse::<u64>().is_ok(),
        Some("boolean") => matches!(value, "true" | "false"),
        _ => schema["enum"].as_array().is_none_or(|allowed| {
            // A list of members is as good as one.
            value.split(',').all(|one| allowed.iter().any(|known| known == one))
        }),
    }
}

/// The segments of a template; functions without parameters lose their brackets.
fn template_segments(template: &str) -> Vec<String> {
    template.split('/').skip(1).map(|part| part.strip_suffix("()").unwrap_or(part).to_owned()).collect()
}

/// The segments of a path as the description has them: `users/x` is `me`, `name('key')` is two, `delta()` is `delta`.
fn segments(path: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for part in path.strip_prefix(ROOT)?.split('/') {
        let part = form::decode(part);
        let bare = part.strip_suffix("()").unwrap_or(&part);
        match bare.strip_suffix("')").and_then(|part| part.split_once("('")) {
            Some((name, key)) => found.extend([name.to_owned(), key.to_owned()]),
            None => found.push(bare.strip_prefix("microsoft.graph.").unwrap_or(bare).to_owned()),
        }
    }
    if found.first().is_some_and(|first| first == "users") && found.len() > 1 {
        found.splice(..2, ["me".to_owned()]);
    }
    Some(found)
}

fn segment_fits(hole: &str, part: &str) -> bool {
    let Some((before, rest)) = hole.split_once('{') else { return hole == part };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    part.strip_prefix(before).and_then(|part| part.strip_suffix(after)).is_some_and(|value| !value.is_empty())
}

/// What the schema of a batch does not say.
fn check_batch(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut found = Vec::new();
    let mut ids = Vec::new();
    for one in body["requests"].as_array().into_iter().flatten() {
        if ids.contains(&&one["id"]) {
            found.push("two calls of the batch have the same id".to_owned());
        }
        ids.push(&one["id"]);
        if !one["url"].as_str().is_some_and(|url| url.starts_with('/')) {
            found.push("a call of the batch names a host, or no path".to_owned());
        }
        let headers = one["headers"].as_object();
        let typed = headers.is_some_and(|all| all.keys().any(|name| name.eq_ignore_ascii_case("content-type")));
        if one.get("body").is_some() && !typed {
            found.push("a call of the batch has a body without a content type".to_owned());
        }
    }
    found
}
