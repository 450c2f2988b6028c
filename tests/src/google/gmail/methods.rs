//! The methods of the API: addresses, parameters, scopes and costs.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Method, Request};

use super::answer::Refusal;

/// What a method does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Op {
    AttachmentsGet,
    BatchDelete,
    BatchModify,
    DraftsCreate,
    DraftsDelete,
    DraftsGet,
    DraftsList,
    DraftsSend,
    HistoryList,
    LabelsCreate,
    LabelsDelete,
    LabelsGet,
    LabelsList,
    LabelsUpdate,
    MessagesDelete,
    MessagesGet,
    MessagesImport,
    MessagesInsert,
    MessagesList,
    MessagesModify,
    MessagesSend,
    MessagesTrash,
    MessagesUntrash,
    NotImitated,
    Profile,
    SendAsList,
    Stop,
    ThreadsDelete,
    ThreadsGet,
    ThreadsList,
    ThreadsModify,
    ThreadsTrash,
    ThreadsUntrash,
    Watch,
}

/// One method.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) op: Op,
    pub(super) id: &'static str,
    verb: Method,
    /// Segments after the user; a `*` stands for an id.
    path: &'static str,
    /// Last words of the scopes that allow it, besides full access.
    scopes: &'static [&'static str],
    params: &'static [&'static str],
    pub(super) cost: u64,
    pub(super) classic_cost: u64,
}

const FULL: &str = "https://mail.google.com/";
const PREFIX: &str = "https://www.googleapis.com/auth/gmail.";
const COMMON: [&str; 12] = [
    "$.xgafv",
    "access_token",
    "alt",
    "callback",
    "fields",
    "key",
    "oauth_token",
    "prettyPrint",
    "quotaUser",
    "uploadType",
    "upload_protocol",
    "upload_id",
];
const READ: &[&str] = &["metadata", "modify", "readonly"];
const READ_BODY: &[&str] = &["modify", "readonly"];
const MODIFY: &[&str] = &["modify"];
const DRAFT: &[&str] = &["compose", "modify"];
const DRAFT_READ: &[&str] = &["compose", "modify", "readonly"];
const LABEL: &[&str] = &["labels", "modify"];
const LIST: &[&str] = &["includeSpamTrash", "labelIds", "maxResults", "pageToken", "q"];
const FORMAT: &[&str] = &["format", "metadataHeaders"];

type Row = (Op, &'static str, Method, &'static str, &'static [&'static str], &'static [&'static str], u64, u64);

/// Id without its prefix, verb, path, scopes, parameters, cost since May 2026, cost before.
const TABLE: [Row; 41] = [
    (Op::Profile, "getProfile", Method::GET, "profile", &["compose", "metadata", "modify", "readonly"], &[], 1, 1),
    (Op::Watch, "watch", Method::POST, "watch", READ, &[], 100, 100),
    (Op::Stop, "stop", Method::POST, "stop", READ, &[], 50, 50),
    (Op::HistoryList, "history.list", Method::GET, "history", READ, HISTORY, 2, 2),
    (Op::MessagesList, "messages.list", Method::GET, "messages", READ, LIST, 5, 5),
    (Op::MessagesSend, "messages.send", Method::POST, "messages/send", &["compose", "modify", "send"], &[], 100, 100),
    (Op::MessagesImport, "messages.import", Method::POST, "messages/import", &["insert", "modify"], IMPORT, 25, 25),
    (Op::MessagesInsert, "messages.insert", Method::POST, "messages", &["insert", "modify"], INSERT, 25, 25),
    (Op::BatchModify, "messages.batchModify", Method::POST, "messages/batchModify", MODIFY, &[], 50, 50),
    (Op::BatchDelete, "messages.batchDelete", Method::POST, "messages/batchDelete", &[], &[], 50, 50),
    (Op::MessagesGet, "messages.get", Method::GET, "messages/*", READ, FORMAT, 20, 5),
    (Op::MessagesDelete, "messages.delete", Method::DELETE, "messages/*", &[], &[], 10, 10),
    (Op::MessagesModify, "messages.modify", Method::POST, "messages/*/modify", MODIFY, &[], 5, 5),
    (Op::MessagesTrash, "messages.trash", Method::POST, "messages/*/trash", MODIFY, &[], 20, 5),
    (Op::MessagesUntrash, "messages.untrash", Method::POST, "messages/*/untrash", MODIFY, &[], 5, 5),
    (Op::AttachmentsGet, "messages.attachments.get", Method::GET, "messages/*/attachments/*", READ_BODY, &[], 20, 5),
    (Op::ThreadsList, "threads.list", Method::GET, "threads", READ, LIST, 10, 10),
    (Op::ThreadsGet, "threads.get", Method::GET, "threads/*", READ, FORMAT, 40, 10),
    (Op::ThreadsModify, "threads.modify", Method::POST, "threads/*/modify", MODIFY, &[], 10, 10),
    (Op::ThreadsTrash, "threads.trash", Method::POST, "threads/*/trash", MODIFY, &[], 20, 10),
    (Op::ThreadsUntrash, "threads.untrash", Method::POST, "threads/*/untrash", MODIFY, &[], 10, 10),
    (Op::ThreadsDelete, "threads.delete", Method::DELETE, "threads/*", &[], &[], 20, 20),
    (Op::LabelsList, "labels.list", Method::GET, "labels", &["labels", "metadata", "modify", "readonly"], &[], 1, 1),
    (Op::LabelsGet, "labels.get", Method::GET, "labels/*", &["labels", "metadata", "modify", "readonly"], &[], 1, 1),
    (Op::LabelsCreate, "labels.create", Method::POST, "labels", LABEL, &[], 5, 5),
    (Op::LabelsUpdate, "labels.update", Method::PUT, "labels/*", LABEL, &[], 5, 5),
    (Op::LabelsUpdate, "labels.patch", Method::PATCH, "labels/*", LABEL, &[], 5, 5),
    (Op::LabelsDelete, "labels.delete", Method::DELETE, "labels/*", LABEL, &[], 5, 5),
    (Op::DraftsList, "drafts.list", Method::GET, "drafts", DRAFT_READ, DRAFTS, 5, 5),
    (Op::DraftsCreate, "drafts.create", Method::POST, "drafts", DRAFT, &[], 10, 10),
    (Op::DraftsSend, "drafts.send", Method::POST, "drafts/send", DRAFT, &[], 100, 100),
    (Op::DraftsGet, "drafts.get", Method::GET, "drafts/*", DRAFT_READ, &["format"], 20, 5),
    (Op::NotImitated, "drafts.update", Method::PUT, "drafts/*", DRAFT, &[], 15, 15),
    (Op::DraftsDelete, "drafts.delete", Method::DELETE, "drafts/*", DRAFT, &[], 10, 10),
    (Op::SendAsList, "settings.sendAs.list", Method::GET, "settings/sendAs", SETTINGS, &[], 1, 1),
    (Op::NotImitated, "settings.sendAs.get", Method::GET, "settings/sendAs/*", SETTINGS, &[], 1, 1),
    (Op::NotImitated, "settings.filters.list", Method::GET, "settings/filters", SETTINGS, &[], 1, 1),
    (Op::NotImitated, "settings.getVacation", Method::GET, "settings/vacation", SETTINGS, &[], 1, 1),
    (Op::NotImitated, "settings.getImap", Method::GET, "settings/imap", SETTINGS, &[], 1, 1),
    (Op::NotImitated, "settings.getPop", Method::GET, "settings/pop", SETTINGS, &[], 1, 1),
    (Op::NotImitated, "settings.getLanguage", Method::GET, "settings/language", SETTINGS, &[], 1, 1),
];
const HISTORY: &[&str] = &["historyTypes", "labelId", "maxResults", "pageToken", "startHistoryId"];
const IMPORT: &[&str] = &["deleted", "internalDateSource", "neverMarkSpam", "processForCalendar"];
const INSERT: &[&str] = &["deleted", "internalDateSource"];
const DRAFTS: &[&str] = &["includeSpamTrash", "maxResults", "pageToken", "q"];
const SETTINGS: &[&str] = &["modify", "readonly", "settings.basic"];

/// Ids with their prefix, in the order of [`TABLE`]; made once so that books and errors can borrow them.
static SPECS: std::sync::LazyLock<Vec<Spec>> = std::sync::LazyLock::new(|| {
    let spec = |(op, name, verb, path, scopes, params, cost, classic_cost): Row| {
        let id: &'static str = Box::leak(format!("gmail.users.{name}").into_boxed_str());
        Spec { op, id, verb, path, scopes, params, cost, classic_cost }
    };
    TABLE.into_iter().map(spec).collect()
});

/// A request that found its method.
#[derive(Debug)]
pub(super) struct Matched {
    pub(super) spec: &'static Spec,
    pub(super) user: String,
    pub(super) ids: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) upload: bool,
}

impl Matched {
    /// The last value of a query parameter.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All values of a repeated query parameter.
    pub(super) fn params(&self, name: &str) -> Vec<&str> {
        self.query.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.param(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(other) => Err(bad_value(name, other)),
        }
    }

    /// `maxResults`, cut to the service's largest page.
    pub(super) fn page_size(&self) -> Result<usize, Refusal> {
        let Some(text) = self.param("maxResults") else { return Ok(100) };
        let size: usize = text.parse().map_err(|_| bad_value("maxResults", text))?;
        if size == 0 { Ok(100) } else { Ok(size.min(500)) }
    }

    /// Whether the request carries on a resumable upload.
    pub(super) fn continues_upload(&self, request: &Request<Bytes>) -> bool {
        self.upload && self.spec.verb != *request.method()
    }

    /// The id at that place of the path.
    pub(super) fn id(&self, position: usize) -> &str {
        self.ids.get(position).map_or("", String::as_str)
    }
}

fn bad_value(name: &str, value: &str) -> Refusal {
    Refusal::invalid(&format!("Invalid value at '{name}', \"{value}\""))
}

/// Finds the method; `None` if there is none at this address with this verb.
pub(super) fn route(request: &Request<Bytes>) -> Option<Matched> {
    let path = request.uri().path();
    let (path, upload) = match path.strip_prefix("/upload").or_else(|| path.strip_prefix("/resumable/upload")) {
        Some(rest) => (rest, true),
        None => (path, false),
    };
    let rest = path.strip_prefix("/gmail/v1/users/")?;
    let (user, rest) = rest.split_once('/')?;
    let segments: Vec<&str> = rest.split('/').collect();
    // A resumable upload goes on with PUT and DELETE at the address it began with.
    let continued = upload && matches!(*request.method(), Method::PUT | Method::DELETE);
    let spec = SPECS.iter().find(|spec| {
        let verb = spec.verb == *request.method() || (continued && spec.verb == Method::POST);
        verb && fits(spec.path, &segments) && (!upload || uploads(spec.op))
    })?;
    let ids = spec.path.split('/').zip(&segments).filter(|(p, _)| *p == "*").map(|(_, s)| unescape(s)).collect();
    let query = request.uri().query().unwrap_or_default();
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    Some(Matched { spec, user: unescape(user), ids, query, upload })
}

fn uploads(op: Op) -> bool {
    matches!(op, Op::MessagesSend | Op::MessagesInsert | Op::MessagesImport | Op::DraftsCreate | Op::DraftsSend)
}

fn fits(pattern: &str, segments: &[&str]) -> bool {
    pattern.split('/').count() == segments.len()
        && pattern.split('/').zip(segments).all(|(p, s)| if p == "*" { !s.is_empty() } else { p == *s })
}

/// Removes percent escapes; a plus sign in a path stands for itself.
fn unescape(segment: &str) -> String {
    let kept = format!("v={}", segment.replace('+', "%2B"));
    url::form_urlencoded::parse(kept.as_bytes()).next().map(|(_, v)| v.into_owned()).unwrap_or_default()
}

/// Refuses a call that no granted scope covers.
pub(super) fn check_scope(matched: &Matched, granted: &BTreeSet<String>) -> Result<(), Refusal> {
    let allowed = granted.contains(FULL)
        || granted.iter().any(|g| g.strip_prefix(PREFIX).is_some_and(|last| matched.spec.scopes.contains(&last)));
    if allowed { Ok(()) } else { Err(Refusal::missing_scope(matched.spec.id)) }
}

/// Whether the metadata scope is among those granted: it narrows what the others allow.
pub(super) fn metadata_only(granted: &BTreeSet<String>) -> bool {
    granted.iter().any(|g| g.strip_prefix(PREFIX) == Some("metadata"))
}

/// Refuses query parameters that the method does not have.
pub(super) fn check_query(matched: &Matched) -> Result<(), Refusal> {
    let known = |name: &str| COMMON.contains(&name) || matched.spec.params.contains(&name);
    match matched.query.iter().find(|(name, _)| !known(name)) {
        Some((name, _)) => Err(Refusal::invalid(&format!(
            "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter."
        ))),
        None => Ok(()),
    }
}

/// Refuses another person's mailbox.
pub(super) fn check_user(matched: &Matched, account: &str) -> Result<(), Refusal> {
    if matched.user == "me" || matched.user.to_lowercase() == account {
        Ok(())
    } else {
        Err(Refusal::forbidden(&format!("Delegation denied for {account}")))
    }
}

/// A header name as it is usually written.
pub(super) fn title_case(name: &str) -> String {
    let word = |w: &str| {
        let mut chars = w.chars();
        chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;

    fn collect<'a>(resource: &'a Value, found: &mut Vec<&'a Value>) {
        found.extend(resource["methods"].as_object().into_iter().flatten().map(|(_, m)| m));
        for below in resource["resources"].as_object().into_iter().flatten().map(|(_, r)| r) {
            collect(below, found);
        }
    }

    #[test]
    fn every_method_is_as_the_discovery_document_says() {
        let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        let root = std::env::var_os("INTEGRATION_SHARED").map_or_else(beside, PathBuf::from);
        let Ok(text) = std::fs::read(root.join("specs/google/gmail.v1.json")) else {
            eprintln!("no discovery document under {}: nothing to compare", root.display());
            return;
        };
        let document: Value = serde_json::from_slice(&text).unwrap();
        let mut methods = Vec::new();
        collect(&document["resources"]["users"], &mut methods);
        for spec in SPECS.iter() {
            let method = methods.iter().find(|m| m["id"] == spec.id).unwrap_or_else(|| panic!("{}", spec.id));
            assert_eq!(method["httpMethod"], spec.verb.as_str(), "{}", spec.id);
            let path = method["path"].as_str().unwrap().strip_prefix("gmail/v1/users/{userId}/").unwrap();
            let path: Vec<_> = path.split('/').map(|s| if s.starts_with('{') { "*" } else { s }).collect();
            assert_eq!(path.join("/"), spec.path, "{}", spec.id);
            let scopes = method["scopes"].as_array().unwrap().iter().filter_map(|s| s.as_str()?.strip_prefix(PREFIX));
            let scopes: BTreeSet<_> = scopes.filter(|s| !s.starts_with("addons.")).collect();
            assert_eq!(scopes, spec.scopes.iter().copied().collect(), "{}", spec.id);
            let query = method["parameters"].as_object().unwrap().iter().filter(|(_, p)| p["location"] == "query");
            let query: BTreeSet<_> = query.map(|(name, _)| name.as_str()).collect();
            assert_eq!(query, spec.params.iter().copied().collect(), "{}", spec.id);
            assert_eq!(
                uploads(spec.op),
                method.get("mediaUpload").is_some() && spec.op != Op::NotImitated,
                "{}",
                spec.id
            );
        }
    }
}
