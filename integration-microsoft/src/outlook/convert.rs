//! Graph's messages to the family's: no I/O. What comes out is what parsing the raw text gives, as far as Graph has it.

use chrono::{DateTime, Utc};
use integration_core::{
    email::{Address, Attachment, MailFlags, Message, parse},
    ids::{FolderId, ThreadId},
    sync::{Reason, Revision},
};

use super::{folders::Places, wire};

/// How much of a message an entry of a delta page is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extent {
    /// Only how it is marked and where it lies.
    Marks,
    /// Some properties: what changed.
    Part,
    /// All of it.
    Whole,
}

pub(super) fn extent(wire: &wire::Message) -> Extent {
    let content = wire.subject.is_some() || wire.from.is_some() || !wire.to_recipients.is_empty();
    let placed = wire.received_date_time.is_some() && wire.parent_folder_id.is_some();
    match &wire.body {
        Some(_) if placed && wire.is_read.is_some() && wire.flag.is_some() => Extent::Whole,
        None if !content && wire.is_read.is_some() && wire.flag.is_some() => Extent::Marks,
        _ => Extent::Part,
    }
}

/// What a message needs beside its JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lack {
    /// The list of what is attached.
    Attachments,
    /// Its raw text.
    Raw,
}

/// What is missing for the whole message; `None` if the JSON says all of it.
pub(super) fn lack(wire: &wire::Message) -> Option<Lack> {
    let delivered = !wire.internet_message_headers.is_empty();
    // The service keeps no header fields of mail that was not delivered to it: what was sent from here. The parts of
    // reports and the calendar of an invitation are nowhere in the JSON.
    if !delivered && wire.is_draft != Some(true) || is_report(wire) || is_invitation(wire) {
        return Some(Lack::Raw);
    }
    let shows_files = || wire.body.as_ref().is_some_and(|body| body.content.contains("cid:"));
    (wire.has_attachments != Some(false) || shows_files()).then_some(Lack::Attachments)
}

/// Subtypes of messages that are about meetings.
fn is_invitation(wire: &wire::Message) -> bool {
    wire.kind.as_deref().is_some_and(|kind| kind.contains("eventMessage")) || header(wire, "Content-Class", "calendar")
}

/// Does it look like a report of a mail system?
fn is_report(wire: &wire::Message) -> bool {
    let from = wire.from.iter().chain(&wire.sender).find_map(|one| one.email_address.as_ref()?.address.as_deref());
    let local = from.unwrap_or_default().split('@').next().unwrap_or_default().to_ascii_lowercase();
    local == "postmaster"
        || local.starts_with("mailer-daemon")
        || local.starts_with("microsoftexchange")
        || header(wire, "Content-Type", "multipart/report")
        || header(wire, "Content-Class", "dsn")
        || header(wire, "Content-Class", "mdn")
        || header(wire, "X-Failed-Recipients", "")
}

/// Was it sent as plain text? Header fields without a type say so too. Of a text among other parts only the mark tells that
/// the service puts into the HTML it makes.
fn was_plain(wire: &wire::Message) -> bool {
    let fields = &wire.internet_message_headers;
    let kind = fields.iter().find(|field| field.name.eq_ignore_ascii_case("Content-Type"));
    let plain = kind.is_none_or(|kind| kind.value.trim_start().to_ascii_lowercase().starts_with("text/plain"));
    let marked = wire.body.as_ref().is_some_and(|body| body.content.contains("<!-- converted from text -->"));
    marked || !fields.is_empty() && plain
}

/// Is there such a header field with this in it?
fn header(wire: &wire::Message, name: &str, part: &str) -> bool {
    let mut fields = wire.internet_message_headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    fields.any(|field| field.value.to_ascii_lowercase().contains(part))
}

/// Where it lies and how it is marked; `folder` where the entry does not say.
pub(super) fn flags(wire: &wire::Message, places: &Places, folder: Option<&str>) -> MailFlags {
    let mut flags = MailFlags::default();
    let folder = wire.parent_folder_id.as_deref().or(folder).filter(|folder| !folder.is_empty());
    flags.folders = folder.map(FolderId::new).into_iter().collect();
    flags.roles = folder.and_then(|folder| places.role(folder)).into_iter().collect();
    flags.read = wire.is_read.unwrap_or_default();
    let status = wire.flag.as_ref().and_then(|flag| flag.flag_status.as_deref());
    flags.flagged = status == Some("flagged");
    flags
}

/// The change key tells states apart; the time of the last change orders them.
pub(super) fn revision(wire: &wire::Message) -> Revision {
    let mut revision = Revision::tagged(wire.change_key.clone().unwrap_or_default());
    revision.order = instant(wire.last_modified_date_time.as_deref()).map(|at| at.timestamp_millis());
    revision
}

pub(super) fn instant(text: Option<&str>) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text?.trim()).ok().map(|at| at.with_timezone(&Utc))
}

/// A message without its content.
pub(super) fn headers(wire: &wire::Message, places: &Places) -> Result<Message, Reason> {
    let mut message = fields(wire);
    about(wire, places, &mut message)?;
    message.snippet = parse::snippet(wire.body_preview.as_deref().unwrap_or_default());
    Ok(message)
}

/// A message with its text, from the JSON alone.
pub(super) fn message(wire: &wire::Message, places: &Places, files: Vec<Attachment>) -> Result<Message, Reason> {
    let body = wire.body.as_ref().ok_or_else(|| Reason::new("the message came without its body"))?;
    let mut message = fields(wire);
    about(wire, places, &mut message)?;
    let mut part = parse::TextPart::default();
    let plain = body.content_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("text"));
    (part.html, part.text) = (!plain, body.content.clone());
    (message.text, message.html) = parse::texts(vec![part]);
    if was_plain(wire) {
        // The service made the HTML; nobody sent it.
        message.html = None;
    }
    message.snippet = parse::snippet(&message.text);
    message.attachments = files;
    Ok(message)
}

/// A message from its raw text; the JSON says where it lies.
pub(super) fn raw_message(wire: &wire::Message, places: &Places, raw: &[u8]) -> Result<Message, Reason> {
    let mut message = parse::message(raw).map_err(|error| Reason::new(error.message()))?;
    about(wire, places, &mut message)?;
    Ok(message)
}

/// What the service knows beside the message itself.
fn about(wire: &wire::Message, places: &Places, message: &mut Message) -> Result<(), Reason> {
    if wire.id.is_empty() {
        return Err(Reason::new("the message came without its id"));
    }
    message.id.clone_from(&wire.id);
    message.thread = wire.conversation_id.as_deref().filter(|id| !id.is_empty()).map(ThreadId::new);
    message.flags = flags(wire, places, None);
    message.received_at = instant(wire.received_date_time.as_deref());
    Ok(())
}

/// The participants, ids and dates: as its header fields say, or as the service does where it kept none.
fn fields(wire: &wire::Message) -> Message {
    let fields = &wire.internet_message_headers;
    if fields.is_empty() {
        return without_fields(wire);
    }
    let all = |name: &'static str| {
        fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.as_str())
    };
    let or = |name, known: &[wire::Recipient]| {
        let named: Vec<Address> = all(name).flat_map(parse::addresses).collect();
        if named.is_empty() { people(known) } else { named }
    };
    let ids = |name| all(name).next().map(parse::ids).unwrap_or_default();
    let known = without_fields(wire);
    let mut message = Message::default();
    message.date = all("Date").find_map(parse::date);
    message.message_id = all("Message-ID").find_map(parse::message_id).or(known.message_id);
    message.in_reply_to = ids("In-Reply-To");
    message.references = ids("References");
    message.from = or("From", wire.from.as_slice());
    message.sender = all("Sender").flat_map(parse::addresses).next();
    // The service names the sender where nobody else is to be answered: that is no header field.
    message.reply_to = all("Reply-To").flat_map(parse::addresses).collect();
    message.to = or("To", &wire.to_recipients);
    message.cc = or("Cc", &wire.cc_recipients);
    message.bcc = or("Bcc", &wire.bcc_recipients);
    message.subject = all("Subject").next().map(parse::decode_header).unwrap_or(known.subject);
    message.headers = parse::headers(fields.iter().map(|field| (field.name.as_str(), field.value.as_str())));
    message
}

fn without_fields(wire: &wire::Message) -> Message {
    let mut message = Message::default();
    message.date = instant(wire.sent_date_time.as_deref());
    message.message_id = wire.internet_message_id.as_deref().and_then(parse::message_id);
    message.from = people(wire.from.as_slice());
    message.sender = people(wire.sender.as_slice()).pop().filter(|sender| Some(sender) != message.from.first());
    message.reply_to = people(&wire.reply_to);
    message.to = people(&wire.to_recipients);
    message.cc = people(&wire.cc_recipients);
    message.bcc = people(&wire.bcc_recipients);
    message.subject = wire.subject.as_deref().map(parse::decode_header).unwrap_or_default();
    message
}

/// People with an address. Of senders who were deleted the service names something else at times: no @, no address.
pub(super) fn people(recipients: &[wire::Recipient]) -> Vec<Address> {
    let address = |one: &wire::Recipient| {
        let mailbox = one.email_address.as_ref()?;
        let address = mailbox.address.as_deref()?.trim();
        if !address.contains('@') {
            return None;
        }
        let name = mailbox.name.as_deref().map(str::trim).filter(|name| !name.is_empty() && *name != address);
        let known = Address::new(address);
        Some(match name {
            Some(name) => known.with_name(name),
            None => known,
        })
    };
    recipients.iter().filter_map(address).collect()
}
