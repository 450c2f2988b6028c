//! The addresses of the API, and what each asks for.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Method, Request};

use super::answer::Refusal;
use super::state::{Account, State};
use crate::call::ApiCall;

/// What a call does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Op {
    AttachmentsCreate,
    AttachmentsDelete,
    AttachmentsGet,
    AttachmentsList,
    AttachmentsSession,
    AttachmentsValue,
    FoldersChildren,
    FoldersCreate,
    FoldersDelete,
    FoldersDelta,
    FoldersGet,
    FoldersList,
    FoldersMove,
    FoldersUpdate,
    MessagesCopy,
    MessagesCreate,
    MessagesCreateForward,
    MessagesCreateReply,
    MessagesCreateReplyAll,
    MessagesDelete,
    MessagesDelta,
    MessagesForward,
    MessagesGet,
    MessagesList,
    MessagesMove,
    MessagesPurge,
    MessagesReply,
    MessagesReplyAll,
    MessagesSend,
    MessagesUpdate,
    MessagesValue,
    SendMail,
    SubscriptionsCreate,
    SubscriptionsDelete,
    SubscriptionsGet,
    SubscriptionsList,
    SubscriptionsReauthorise,
    SubscriptionsUpdate,
    TranslateIds,
    UserGet,
}

/// Which permission a call needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Need {
    /// Mail without its bodies.
    Basic,
    /// Nothing but being signed in.
    Nothing,
    Read,
    Send,
    User,
    Write,
}

/// How much of a message may be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    Basic,
    Whole,
}

/// Whose mailbox a call is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Who {
    Me,
    User(String),
}

/// A call by its address.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) op: Op,
    pub(super) who: Who,
    pub(super) folder: Option<String>,
    /// Message or subscription.
    pub(super) id: String,
    pub(super) attachment: String,
}

impl Op {
    /// The name in the books.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AttachmentsCreate => "attachments.create",
            Self::AttachmentsDelete => "attachments.delete",
            Self::AttachmentsGet => "attachments.get",
            Self::AttachmentsList => "attachments.list",
            Self::AttachmentsSession => "attachments.createUploadSession",
            Self::AttachmentsValue => "attachments.value",
            Self::FoldersChildren => "mailFolders.childFolders",
            Self::FoldersCreate => "mailFolders.create",
            Self::FoldersDelete => "mailFolders.delete",
            Self::FoldersDelta => "mailFolders.delta",
            Self::FoldersGet => "mailFolders.get",
            Self::FoldersList => "mailFolders.list",
            Self::FoldersMove => "mailFolders.move",
            Self::FoldersUpdate => "mailFolders.update",
            Self::MessagesCopy => "messages.copy",
            Self::MessagesCreate => "messages.create",
            Self::MessagesCreateForward => "messages.createForward",
            Self::MessagesCreateReply => "messages.createReply",
            Self::MessagesCreateReplyAll => "messages.createReplyAll",
            Self::MessagesDelete => "messages.delete",
            Self::MessagesDelta => "messages.delta",
            Self::MessagesForward => "messages.forward",
            Self::MessagesGet => "messages.get",
            Self::MessagesList => "messages.list",
            Self::MessagesMove => "messages.move",
            Self::MessagesPurge => "messages.permanentDelete",
            Self::MessagesReply => "messages.reply",
            Self::MessagesReplyAll => "messages.replyAll",
            Self::MessagesSend => "messages.send",
            Self::MessagesUpdate => "messages.update",
            Self::MessagesValue => "messages.value",
            Self::SendMail => "sendMail",
            Self::SubscriptionsCreate => "subscriptions.create",
            Self::SubscriptionsDelete => "subscriptions.delete",
            Self::SubscriptionsGet => "subscriptions.get",
            Self::SubscriptionsList => "subscriptions.list",
            Self::SubscriptionsReauthorise => "subscriptions.reauthorize",
            Self::SubscriptionsUpdate => "subscriptions.update",
            Self::TranslateIds => "translateExchangeIds",
            Self::UserGet => "user.get",
        }
    }

    fn need(self) -> Need {
        match self {
            Self::FoldersChildren | Self::FoldersDelta | Self::FoldersGet | Self::FoldersList => Need::Basic,
            Self::MessagesDelta | Self::MessagesGet | Self::MessagesList | Self::SubscriptionsCreate => Need::Basic,
            Self::AttachmentsGet | Self::AttachmentsList | Self::AttachmentsValue | Self::MessagesValue => Need::Read,
            Self::MessagesForward | Self::MessagesReply | Self::MessagesReplyAll => Need::Send,
            Self::MessagesSend | Self::SendMail => Need::Send,
            Self::SubscriptionsDelete | Self::SubscriptionsGet | Self::SubscriptionsList => Need::Nothing,
            Self::SubscriptionsReauthorise | Self::SubscriptionsUpdate | Self::TranslateIds => Need::Nothing,
            Self::UserGet => Need::User,
            _ => Need::Write,
        }
    }

    pub(super) fn is_subscription(self) -> bool {
        self.name().starts_with("subscriptions.")
    }
}

/// Finds the call of an address.
pub(super) fn route(request: &Request<Bytes>) -> Result<Route, Refusal> {
    let path = request.uri().path();
    let missing = || Refusal::no_such_segment(path);
    let segments = segments(path).ok_or_else(missing)?;
    let words: Vec<String> = segments.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = words.iter().map(String::as_str).collect();
    let (who, skip) = match lower.as_slice() {
        ["me", ..] => (Who::Me, 1),
        ["users", _, ..] => (Who::User(segments[1].clone()), 2),
        ["subscriptions", ..] => (Who::Me, 0),
        _ => return Err(missing()),
    };
    let mut route = Route { op: Op::UserGet, who, folder: None, id: String::new(), attachment: String::new() };
    let method = request.method();
    route.op = match (&lower[skip..], &segments[skip..]) {
        ([], _) if method == Method::GET => Op::UserGet,
        (["sendmail"], _) => post(method, Op::SendMail).ok_or_else(missing)?,
        (["translateexchangeids"], _) => post(method, Op::TranslateIds).ok_or_else(missing)?,
        (["subscriptions", rest @ ..], names) => route.subscription(method, rest, &names[1..]).ok_or_else(missing)?,
        (["messages", rest @ ..], names) => route.message(method, rest, &names[1..]).ok_or_else(missing)?,
        (["mailfolders", rest @ ..], names) => route.folder(method, rest, &names[1..]).ok_or_else(missing)?,
        _ => return Err(missing()),
    };
    Ok(route)
}

fn post(method: &Method, op: Op) -> Option<Op> {
    (method == Method::POST).then_some(op)
}

impl Route {
    fn subscription(&mut self, method: &Method, lower: &[&str], names: &[String]) -> Option<Op> {
        names.first().cloned().unwrap_or_default().clone_into(&mut self.id);
        Some(match (method.as_str(), lower) {
            ("POST", []) => Op::SubscriptionsCreate,
            ("GET", []) => Op::SubscriptionsList,
            ("GET", [_]) => Op::SubscriptionsGet,
            ("PATCH", [_]) => Op::SubscriptionsUpdate,
            ("DELETE", [_]) => Op::SubscriptionsDelete,
            ("POST", [_, "reauthorize"]) => Op::SubscriptionsReauthorise,
            _ => return None,
        })
    }

    fn folder(&mut self, method: &Method, lower: &[&str], names: &[String]) -> Option<Op> {
        if let (["delta"], "GET") = (lower, method.as_str()) {
            return Some(Op::FoldersDelta);
        }
        self.folder = names.first().cloned();
        Some(match (method.as_str(), lower) {
            ("GET", []) => Op::FoldersList,
            ("POST", [] | [_, "childfolders"]) => Op::FoldersCreate,
            ("GET", [_]) => Op::FoldersGet,
            ("PATCH", [_]) => Op::FoldersUpdate,
            ("DELETE", [_]) => Op::FoldersDelete,
            ("GET", [_, "childfolders"]) => Op::FoldersChildren,
            ("POST", [_, "move"]) => Op::FoldersMove,
            ("GET", [_, "messages", "delta"]) => Op::MessagesDelta,
            (_, [_, "messages", rest @ ..]) => return self.message(method, rest, &names[2..]),
            _ => return None,
        })
    }

    fn message(&mut self, method: &Method, lower: &[&str], names: &[String]) -> Option<Op> {
        names.first().cloned().unwrap_or_default().clone_into(&mut self.id);
        Some(match (method.as_str(), lower) {
            ("GET", []) => Op::MessagesList,
            ("POST", []) => Op::MessagesCreate,
            ("GET", [_]) => Op::MessagesGet,
            ("PATCH", [_]) => Op::MessagesUpdate,
            ("DELETE", [_]) => Op::MessagesDelete,
            ("GET", [_, "$value"]) => Op::MessagesValue,
            ("GET", [_, "attachments"]) => Op::AttachmentsList,
            ("POST", [_, "attachments"]) => Op::AttachmentsCreate,
            ("POST", [_, "attachments", "createuploadsession"]) => Op::AttachmentsSession,
            (_, [_, "attachments", _, rest @ ..]) => {
                names[2].clone_into(&mut self.attachment);
                match (method.as_str(), rest) {
                    ("GET", []) => Op::AttachmentsGet,
                    ("DELETE", []) => Op::AttachmentsDelete,
                    ("GET", ["$value"]) => Op::AttachmentsValue,
                    _ => return None,
                }
            }
            ("POST", [_, action]) => action_op(action)?,
            _ => return None,
        })
    }
}

fn action_op(action: &str) -> Option<Op> {
    Some(match action {
        "copy" => Op::MessagesCopy,
        "createforward" => Op::MessagesCreateForward,
        "createreply" => Op::MessagesCreateReply,
        "createreplyall" => Op::MessagesCreateReplyAll,
        "forward" => Op::MessagesForward,
        "move" => Op::MessagesMove,
        "permanentdelete" => Op::MessagesPurge,
        "reply" => Op::MessagesReply,
        "replyall" => Op::MessagesReplyAll,
        "send" => Op::MessagesSend,
        _ => return None,
    })
}

/// The segments after the version, decoded; `x('y')` is two.
fn segments(path: &str) -> Option<Vec<String>> {
    let rest = path.strip_prefix("/v1.0/").or_else(|| path.strip_prefix("/beta/"))?;
    let mut found = Vec::new();
    for piece in rest.split('/').filter(|piece| !piece.is_empty()) {
        let piece = decode(piece);
        let bare = piece.strip_suffix("()").unwrap_or(&piece);
        match bare.strip_suffix("')").and_then(|piece| piece.split_once("('")) {
            Some((name, key)) => found.extend([plain(name), key.replace("''", "'")]),
            None => found.push(plain(bare)),
        }
    }
    Some(found)
}

fn plain(name: &str) -> String {
    name.strip_prefix("microsoft.graph.").unwrap_or(name).to_owned()
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The address of the mailbox that a call is about.
pub(super) fn target(state: &State, route: &Route, call: &ApiCall<'_>) -> Result<String, Refusal> {
    match &route.who {
        Who::Me if call.account.is_empty() && !route.op.is_subscription() => {
            Err(Refusal::bad_request("/me request is only valid with delegated authentication flow."))
        }
        Who::Me => Ok(call.account.to_owned()),
        Who::User(who) => state.find_user(who).map(|a| a.address.clone()).ok_or_else(|| Refusal::invalid_user(who)),
    }
}

/// Checks that the token may do this in that mailbox; says how much of messages it may see.
pub(super) fn check(op: Op, account: Option<&mut Account>, call: &ApiCall<'_>) -> Result<Access, Refusal> {
    let scopes = Scopes { names: call.scopes, foreign: false };
    let Some(account) = account else { return scopes.check(op) };
    if call.account.is_empty() {
        return if account.closed_to.contains(call.app) { Err(Refusal::access_denied()) } else { scopes.check(op) };
    }
    let foreign = account.address != call.account;
    // Whom the mailbox is not shared with sees no difference between that and a missing scope.
    if foreign && op != Op::UserGet && !account.delegates.contains(call.account) {
        return Err(Refusal::access_denied());
    }
    Scopes { foreign, ..scopes }.check(op)
}

struct Scopes<'a> {
    names: &'a BTreeSet<String>,
    foreign: bool,
}

impl Scopes<'_> {
    fn has(&self, name: &str) -> bool {
        let bare = |scope: &String| scope.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let name = name.to_ascii_lowercase();
        let shared = format!("{name}.shared");
        self.names.iter().map(bare).any(|scope| scope == shared || (!self.foreign && scope == name))
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    fn check(&self, op: Op) -> Result<Access, Refusal> {
        let whole = self.has_any(&["Mail.Read", "Mail.ReadWrite"]);
        let granted = match op.need() {
            Need::Nothing => true,
            Need::Basic => whole || self.has_any(&["Mail.ReadBasic", "Mail.ReadBasic.All"]),
            Need::Read => whole,
            Need::Write => self.has("Mail.ReadWrite"),
            Need::Send => self.has("Mail.Send"),
            Need::User => {
                let plain = Scopes { foreign: false, ..*self };
                plain.has_any(&["User.Read", "User.ReadBasic.All", "User.Read.All", "User.ReadWrite"])
            }
        };
        match granted {
            true => Ok(if whole { Access::Whole } else { Access::Basic }),
            false => Err(Refusal::access_denied()),
        }
    }
}
