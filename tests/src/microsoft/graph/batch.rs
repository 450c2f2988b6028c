//! Several calls in one request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use serde_json::{Map, Value, json};

use super::Graph;
use super::answer::{Answered, Refusal, ok};
use super::ids::checksum;
use super::message::member;
use super::query::origin;
use crate::call::{ApiAnswer, ApiCall};

const MOST_CALLS: usize = 20;
/// So many calls of a batch run at once in one mailbox.
const AT_ONCE: usize = 4;

/// One call of a batch.
struct Item {
    id: String,
    request: Request<Bytes>,
    after: Vec<String>,
}

/// How many of a batch's calls run at once: a chain of calls that wait for each other counts as one.
pub(super) fn width(request: &Request<Bytes>) -> u32 {
    let items = read(request).unwrap_or_default();
    let chains = chains(&items).values().max().map_or(1, |last| last + 1);
    u32::try_from(chains.min(AT_ONCE)).unwrap_or(1)
}

/// Answers a batch. `slots` places are held; calls for which there is none are told that too many run at once.
pub(super) fn answer(graph: &Graph, call: &ApiCall<'_>, slots: u32) -> ApiAnswer {
    let answered = try_answer(graph, call, slots);
    graph.finish(call.request, answered)
}

fn try_answer(graph: &Graph, call: &ApiCall<'_>, slots: u32) -> Answered {
    if call.request.method() != Method::POST {
        return Err(Refusal::new(405, "Request_BadRequest", "Specified HTTP method is not allowed."));
    }
    let items = read(call.request)?;
    graph.lock().quota.note_batch(items.len() as u64);
    let chains = chains(&items);
    let width = width(call.request) as usize;
    let mut done: BTreeMap<String, (StatusCode, Value)> = BTreeMap::new();
    let mut order: Vec<&Item> = items.iter().collect();
    let shuffle = graph.settings().shuffle;
    let spread = |id: &str| shuffle.map_or(0, |seed| checksum(format!("{seed}/{id}").as_bytes()));
    order.sort_by_key(|item| spread(&item.id));
    let mut told = Vec::new();
    // Whoever waits for others comes after them, whatever the order.
    while !order.is_empty() {
        let ready = |item: &&Item| item.after.iter().all(|id| done.contains_key(id));
        let at = order.iter().position(ready).unwrap_or(0);
        let item = order.remove(at);
        let admitted = chains[&item.id] % width < slots as usize;
        let (status, shown) = run(graph, call, item, &done, admitted);
        done.insert(item.id.clone(), (status, Value::Null));
        told.push(shown);
    }
    Ok(ok(&json!({ "responses": told })))
}

/// Which chain each call belongs to.
fn chains(items: &[Item]) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut next = 0;
    for item in items {
        let chain = item.after.iter().find_map(|id| found.get(id).copied()).unwrap_or(next);
        next = next.max(chain + 1);
        found.insert(item.id.clone(), chain);
    }
    found
}

fn run(
    graph: &Graph,
    outer: &ApiCall<'_>,
    item: &Item,
    done: &BTreeMap<String, (StatusCode, Value)>,
    admitted: bool,
) -> (StatusCode, Value) {
    let failed = item.after.iter().any(|id| done.get(id).is_none_or(|(status, _)| !status.is_success()));
    let call = ApiCall { request: &item.request, ..outer.clone() };
    let answer = if failed {
        let message = "The request was not executed because a request it depends on failed.";
        graph.finish(&item.request, Err(Refusal::new(424, "FailedDependency", message)))
    } else if admitted {
        graph.answer_one(&call)
    } else {
        graph.too_many_concurrent(&call)
    };
    if let Some(validate) = &graph.settings().validate {
        Arc::clone(validate)(&item.request, &answer);
    }
    (answer.status(), shown(&item.id, &answer))
}

fn shown(id: &str, answer: &ApiAnswer) -> Value {
    let headers = answer.headers().iter();
    let headers: Map<String, Value> =
        headers.filter_map(|(name, value)| Some((title_case(name.as_str()), json!(value.to_str().ok()?)))).collect();
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut shown = json!({"id": id, "status": answer.status().as_u16(), "headers": headers});
    if answer.body().is_empty() {
        return shown;
    }
    let parsed = serde_json::from_slice(answer.body()).ok().filter(|_| kind.starts_with("application/json"));
    shown["body"] = parsed.unwrap_or_else(|| json!(STANDARD.encode(answer.body())));
    shown
}

fn title_case(name: &str) -> String {
    let words = name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect::<Vec<_>>().join("-")
}

fn read(request: &Request<Bytes>) -> Result<Vec<Item>, Refusal> {
    let wrong = |what: &str| Refusal::bad_request(format!("Invalid batch payload format: {what}."));
    let body: Value = serde_json::from_slice(request.body()).map_err(|_| wrong("no JSON"))?;
    let items = member(&body, "requests").and_then(Value::as_array).ok_or_else(|| wrong("no requests"))?;
    if items.is_empty() {
        return Err(wrong("no requests"));
    }
    if items.len() > MOST_CALLS {
        let message = format!("Number of batch request steps exceeds the maximum value of {MOST_CALLS}.");
        return Err(Refusal::new(400, "MaximumValueExceeded", message));
    }
    let items: Vec<Item> = items.iter().map(|item| read_item(item, request)).collect::<Result<_, _>>()?;
    let ids: BTreeSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
    if ids.len() != items.len() {
        return Err(wrong("ids are not unique"));
    }
    let mut before = BTreeSet::new();
    for item in &items {
        if item.after.iter().any(|id| !before.contains(id.as_str())) {
            return Err(wrong("a request depends on one that does not come before it"));
        }
        before.insert(item.id.as_str());
    }
    Ok(items)
}

fn read_item(item: &Value, outer: &Request<Bytes>) -> Result<Item, Refusal> {
    let wrong = |what: &str| Refusal::bad_request(format!("Invalid batch payload format: {what}."));
    let text = |name: &str| member(item, name).and_then(Value::as_str);
    let (Some(id), Some(method), Some(url)) = (text("id"), text("method"), text("url")) else {
        return Err(wrong("a request needs id, method and url"));
    };
    let method = method.to_uppercase().parse::<Method>().map_err(|_| wrong("method"))?;
    if url.contains("://") {
        return Err(wrong("the url must be relative"));
    }
    let headers = member(item, "headers").and_then(Value::as_object);
    let kind = headers.and_then(|all| all.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")));
    let kind = kind.and_then(|(_, value)| value.as_str()).unwrap_or_default().to_ascii_lowercase();
    let body = match member(item, "body").filter(|body| !body.is_null()) {
        None => Bytes::new(),
        Some(_) if kind.is_empty() => return Err(wrong("a request with a body needs a content type")),
        Some(body) if kind.starts_with("application/json") => Bytes::from(body.to_string()),
        // The body of MIME is base64 already: once for the batch, and once for the message.
        Some(body) => decoded(body.as_str().ok_or_else(|| wrong("the body must be text"))?)?,
    };
    let uri = format!("{}/v1.0/{}", origin(outer), url.trim_start_matches('/'));
    let mut request = Request::builder().method(method).uri(uri).body(body).map_err(|_| wrong("url"))?;
    for (name, value) in headers.into_iter().flatten() {
        if let (Ok(name), Ok(value)) =
            (name.parse::<HeaderName>(), HeaderValue::from_str(value.as_str().unwrap_or_default()))
        {
            request.headers_mut().insert(name, value);
        }
    }
    let inherited = outer.headers().get(header::AUTHORIZATION);
    inherited.map(|value| request.headers_mut().insert(header::AUTHORIZATION, value.clone()));
    let after = member(item, "dependsOn").and_then(Value::as_array).into_iter().flatten();
    let after = after.filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(Item { id: id.to_owned(), request, after })
}

fn decoded(text: &str) -> Result<Bytes, Refusal> {
    let bytes = STANDARD.decode(text).map_err(|_| Refusal::bad_request("The body of a request is no base64."))?;
    Ok(Bytes::from(bytes))
}
