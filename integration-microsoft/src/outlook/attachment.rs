//! Attachments as streams. Source: <https://learn.microsoft.com/graph/api/attachment-get>.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use integration_core::{
    ErrorKind, Result,
    email::{Attachment, EmailProvider, parse},
    http::ByteStream,
    ids::{MessageId, PartId},
    sync::Reason,
};

use super::{Outlook, error, wire};
use crate::client::operation;

/// Before the id of what is only a link to a file elsewhere.
const LINKED: &str = "linked:";
/// As in raw parsing.
const MAX_NAME: usize = 255;
const MAX_PARTS: usize = 1_000;

/// Opens a part: one of the service's attachments, or a place in the raw text where the message was read from that.
pub(super) async fn open(outlook: &Outlook, of: &MessageId, part: &PartId) -> Result<ByteStream> {
    let part = part.as_str();
    if part.starts_with(LINKED) {
        let message = "the attachment is a link to a file elsewhere, and has no bytes in the mailbox";
        return Err(error(ErrorKind::Unsupported, message).with_operation(operation::ATTACHMENT));
    }
    if !is_place(part) {
        return outlook.session.stream(outlook.client.attachment(of.as_str(), part)?).await;
    }
    let raw = outlook.raw(of).await?;
    let missing = || error(ErrorKind::NotFound, "the message has no such part").with_operation(operation::ATTACHMENT);
    parse::attachment(&raw, part).map(whole).ok_or_else(missing)
}

/// A place in the MIME tree; the service's ids are long and never numbers.
fn is_place(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn whole(bytes: Vec<u8>) -> ByteStream {
    let bytes = (!bytes.is_empty()).then(|| Ok(Bytes::from(bytes)));
    stream::iter(bytes).boxed()
}

/// A page of what is attached, and the link to the next.
pub(super) fn page(body: &[u8]) -> Result<(Vec<Attachment>, Option<String>), Reason> {
    let mut page: wire::Page =
        serde_json::from_slice(body).map_err(|_| Reason::new("the list of attachments cannot be read"))?;
    let read = |entry: &str| serde_json::from_str::<wire::Attachment>(entry).ok().filter(|file| !file.id.is_empty());
    let files = page.value.iter().take(MAX_PARTS).map(|entry| read(entry.get()).map(one));
    let files: Option<Vec<Attachment>> = files.collect();
    Ok((files.ok_or_else(|| Reason::new("an attachment cannot be read"))?, page.next()))
}

fn one(wire: wire::Attachment) -> Attachment {
    let kind = wire.kind.unwrap_or_default();
    let (linked, item) = (kind.ends_with("referenceAttachment"), kind.ends_with("itemAttachment"));
    let name = parse::decode_header(wire.name.as_deref().unwrap_or_default());
    let declared = wire.content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_lowercase();
    let content_id = wire.content_id.map(|id| id.trim().trim_start_matches('<').trim_end_matches('>').to_owned());
    let mut file = Attachment::default();
    file.part = if linked { [LINKED, &wire.id].concat() } else { wire.id };
    file.name = Some(name[..name.floor_char_boundary(MAX_NAME)].to_owned()).filter(|name| !name.is_empty());
    file.media_type = match declared {
        declared if !declared.is_empty() => declared,
        // Mostly a message; what it is else (a contact, an event) only its bytes tell.
        _ if item => "message/rfc822".to_owned(),
        _ => "application/octet-stream".to_owned(),
    };
    file.size = wire.size.unwrap_or_default();
    file.inline = wire.is_inline.unwrap_or_default();
    file.content_id = content_id.filter(|id| !id.is_empty());
    file
}
