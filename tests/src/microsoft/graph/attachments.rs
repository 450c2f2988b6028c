//! Attachments of messages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{Answered, Refusal, answer, empty, json, ok};
use super::compose::{Hidden, compose};
use super::drafts;
use super::ids::{Id, IdLetters, Kind, STAYS};
use super::mail::{Attachment, AttachmentKind, Mail, numbered};
use super::message::member;
use super::methods::Op;
use super::prefer::Prefer;
use super::query::names;
use super::render::{self, Shown, instant};
use super::state::State;
use super::stored::{Extra, Stored};
use super::{Context, Graph};

/// From this size on an attachment needs an upload session.
pub(super) const SMALL_MAX: usize = 3 * 1024 * 1024;
/// No request may be larger.
pub(super) const REQUEST_MAX: usize = 4 * 1024 * 1024;
/// What a size says more than there is.
const OVERHEAD: u64 = 134;

const BASIC: [&str; 6] = ["id", "lastModifiedDateTime", "name", "contentType", "size", "isInline"];
const OF_FILES: [&str; 3] = ["contentId", "contentLocation", "contentBytes"];

/// Which properties of attachments are shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    select: Option<Vec<String>>,
    item: bool,
    immutable: bool,
    letters: IdLetters,
}

impl View {
    /// Everything, as within a message.
    pub(super) fn whole(letters: IdLetters) -> Self {
        Self { select: None, item: false, immutable: false, letters }
    }

    fn of(context: &Context<'_>) -> Result<Self, Refusal> {
        context.query.only(&["$select", "$expand", "$top", "$skip", "$filter", "$count", "$orderby"])?;
        let select = context.query.get("$select").map(|text| names(text).iter().map(|n| known(n)).collect());
        let expand = context.query.get("$expand").unwrap_or_default().to_ascii_lowercase();
        let item = expand.starts_with("microsoft.graph.itemattachment/item");
        let (immutable, letters) = (context.prefer.immutable, context.settings.id_letters);
        Ok(Self { select: select.transpose()?, item, immutable, letters })
    }

    fn shows(&self, name: &str) -> bool {
        name == "id" || self.select.as_ref().is_none_or(|chosen| chosen.iter().any(|c| c == name))
    }
}

/// The property of that name; those of files only must be named with their type.
fn known(name: &str) -> Result<String, Refusal> {
    let typed = name.rsplit_once('/').filter(|(kind, _)| kind.eq_ignore_ascii_case("microsoft.graph.fileAttachment"));
    let (list, bare): (&[&str], &str) = typed.map_or((&BASIC, name), |(_, bare)| (&OF_FILES, bare));
    let found = list.iter().find(|known| known.eq_ignore_ascii_case(bare)).map(|known| (*known).to_owned());
    let message = || format!("Could not find a property named '{name}' on type 'microsoft.graph.attachment'.");
    found.ok_or_else(|| Refusal::bad_query(message()))
}

/// One attachment with its number, wherever its content comes from.
struct Listed<'a> {
    number: u64,
    shape: &'a Attachment,
    extra: Option<&'a Extra>,
}

impl Listed<'_> {
    fn size(&self) -> u64 {
        self.extra.map_or(self.shape.content.len() as u64, |extra| extra.size) + OVERHEAD
    }

    fn content(&self) -> Bytes {
        let made = self.extra.and_then(|extra| extra.content.as_ref()).map(|make| make());
        made.unwrap_or_else(|| self.shape.content.bytes())
    }

    fn id(&self, stored: &Stored, owner: &str, view: &View) -> String {
        let moves = if view.immutable { STAYS } else { stored.moves };
        Id::new(Kind::Attachment, owner, self.number, moves).text(view.letters)
    }

    fn shown(&self, stored: &Stored, owner: &str, view: &View) -> Value {
        let kind = match self.shape.kind {
            AttachmentKind::File => "file",
            AttachmentKind::Item => "item",
            AttachmentKind::Reference => "reference",
        };
        let mut object = Map::new();
        object.insert("@odata.type".to_owned(), json!(format!("#microsoft.graph.{kind}Attachment")));
        let mut put = |name: &str, value: &dyn Fn() -> Value| {
            if view.shows(name) {
                object.insert(name.to_owned(), value());
            }
        };
        put("id", &|| json!(self.id(stored, owner, view)));
        put("lastModifiedDateTime", &|| json!(instant(stored.modified_ms)));
        put("name", &|| json!(self.shape.name));
        put("contentType", &|| json!(Some(&self.shape.content_type).filter(|_| kind == "file")));
        put("size", &|| json!(self.size()));
        put("isInline", &|| json!(self.shape.inline));
        if kind == "file" {
            put("contentId", &|| json!(self.shape.content_id));
            put("contentLocation", &|| Value::Null);
            put("contentBytes", &|| json!(STANDARD.encode(self.content())));
        }
        if kind == "item" && view.item {
            let prefer = Prefer { immutable: view.immutable, ..Prefer::default() };
            let inner = render::View { prefer, letters: view.letters, ..render::View::default() };
            let mut item = Shown::inner(self.content(), owner).message(&inner);
            item["@odata.type"] = json!("#microsoft.graph.message");
            object.insert("item".to_owned(), item);
        }
        Value::Object(object)
    }
}

fn listed<'a>(stored: &'a Stored, mail: &'a Mail) -> Vec<Listed<'a>> {
    let inside = numbered(&mail.attachments).into_iter();
    let beside = stored.extra.iter().enumerate();
    let inside = inside.map(|(number, shape)| Listed { number, shape, extra: None });
    inside
        .chain(beside.map(|(at, extra)| {
            let number = extra.shape.number(1_000 + at);
            Listed { number, shape: &extra.shape, extra: Some(extra) }
        }))
        .collect()
}

/// All attachments of a message.
pub(super) fn list(stored: &Stored, owner: &str, view: &View) -> Value {
    let mail = Mail::read(&stored.source.bytes());
    listed(stored, &mail).iter().map(|one| one.shown(stored, owner, view)).collect()
}

/// Lists attachments, or reads one.
pub(super) fn read(graph: &Graph, context: &Context<'_>) -> Answered {
    let stored = graph.lock().account(&context.mailbox).find(&context.route.id)?.clone();
    let view = View::of(context)?;
    if context.route.op == Op::AttachmentsList {
        let value = list(&stored, &context.mailbox, &view);
        return Ok(ok(&json!({"@odata.context": context.odata_context("messages/attachments"), "value": value})));
    }
    let mail = Mail::read(&stored.source.bytes());
    let all = listed(&stored, &mail);
    let number = number(context, stored.moves)?;
    let one = all.iter().find(|one| one.number == number).ok_or_else(Refusal::item_not_found)?;
    if context.route.op == Op::AttachmentsGet {
        return Ok(ok(&one.shown(&stored, &context.mailbox, &view)));
    }
    match one.shape.kind {
        AttachmentKind::File => {
            let kind = Some(one.shape.content_type.as_str()).filter(|kind| !kind.is_empty());
            Ok(answer(StatusCode::OK, kind.unwrap_or("application/octet-stream"), one.content()))
        }
        AttachmentKind::Item => {
            Ok(answer(StatusCode::OK, "text/plain", compose(&Mail::read(&one.content()), Hidden::Left)))
        }
        AttachmentKind::Reference => {
            Err(Refusal::new(405, "ErrorNotSupported", "The attachment has no content of its own."))
        }
    }
}

/// The number in the address of an attachment.
fn number(context: &Context<'_>, moves: u32) -> Result<u64, Refusal> {
    let id = Id::parse(&context.route.attachment)?;
    let current = id.moves == STAYS || id.moves == moves;
    let fits = id.kind == Kind::Attachment && id.is_of(&context.mailbox) && current;
    if fits { Ok(id.number) } else { Err(Refusal::item_not_found()) }
}

/// The attachment that a client describes.
pub(super) fn given(one: &Value) -> Result<Attachment, Refusal> {
    let text = |name: &str| member(one, name).and_then(Value::as_str);
    let kind = text("@odata.type").unwrap_or("#microsoft.graph.fileAttachment").to_ascii_lowercase();
    let inline = member(one, "isInline").and_then(Value::as_bool).unwrap_or_default();
    let content_id = text("contentId").map(str::to_owned);
    let name = text("name").ok_or_else(|| Refusal::invalid("The attachment has no name."))?.to_owned();
    if kind.ends_with("itemattachment") {
        let item = member(one, "item").ok_or_else(|| Refusal::invalid("The attachment has no item."))?;
        let mut mail = Mail::default();
        drafts::apply(&mut mail, item)?;
        let content = compose(&mail, Hidden::Left).into();
        let content_type = "message/rfc822".to_owned();
        return Ok(Attachment { name, content_type, content_id, inline, kind: AttachmentKind::Item, content });
    }
    if !kind.ends_with("fileattachment") {
        return Err(Refusal::not_imitated("attaching references"));
    }
    let bytes = STANDARD.decode(text("contentBytes").unwrap_or_default());
    let content = Bytes::from(bytes.map_err(|_| Refusal::invalid("contentBytes is no base64."))?);
    if content.len() >= SMALL_MAX {
        return Err(Refusal::too_large());
    }
    let content_type = text("contentType").unwrap_or("application/octet-stream").to_owned();
    let content = content.into();
    Ok(Attachment { name, content_type, content_id, inline, kind: AttachmentKind::File, content })
}

/// Puts a small attachment onto a message.
pub(super) fn create(state: &mut State, context: &Context<'_>) -> Answered {
    if context.request.body().len() > REQUEST_MAX {
        return Err(Refusal::too_large());
    }
    let attachment = given(&context.json()?)?;
    let account = state.account(&context.mailbox);
    let message = account.find(&context.route.id)?.number;
    drafts::rewrite(account, message, context.now_ms, |mail| mail.attachments.push(attachment));
    let stored = account.messages.get(&message).ok_or_else(Refusal::item_not_found)?;
    let view = View { immutable: context.prefer.immutable, ..View::whole(context.settings.id_letters) };
    let all = list(stored, &context.mailbox, &view);
    let newest = all.as_array().and_then(|all| all.get(all.len().checked_sub(1 + stored.extra.len())?));
    Ok(json(StatusCode::CREATED, newest.unwrap_or(&Value::Null)))
}

/// The id of the attachment that was put on last.
pub(super) fn newest_id(stored: &Stored, owner: &str, letters: IdLetters) -> Option<String> {
    let mail = Mail::read(&stored.source.bytes());
    let (number, _) = numbered(&mail.attachments).into_iter().next_back()?;
    Some(Id::new(Kind::Attachment, owner, number, STAYS).text(letters))
}

/// Takes an attachment off a message.
pub(super) fn delete(state: &mut State, context: &Context<'_>) -> Answered {
    let account = state.account(&context.mailbox);
    let stored = account.find(&context.route.id)?;
    let (message, number) = (stored.number, number(context, stored.moves)?);
    let mut found = false;
    drafts::rewrite(account, message, context.now_ms, |mail| {
        let at = numbered(&mail.attachments).iter().position(|(known, _)| *known == number);
        found = at.is_some();
        at.map(|at| mail.attachments.remove(at));
    });
    if found { Ok(empty(StatusCode::NO_CONTENT)) } else { Err(Refusal::item_not_found()) }
}
