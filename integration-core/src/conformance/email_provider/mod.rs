//! What an [`EmailProvider`] promises, with its [`Feed`](crate::sync::Feed).
//!
//! Cases follow the provider's [capabilities](crate::email::EmailCapabilities): what is claimed must work, and what is
//! not claimed must be refused as [`Unsupported`](ErrorKind::Unsupported).

mod decode;
mod feed;
mod fetch;
mod fixture;
mod folders;
mod recovery;
mod search;
mod send;

pub use decode::*;
pub use feed::*;
pub use fetch::*;
pub use fixture::{Delivery, MailboxFixture};
pub use folders::*;
pub use recovery::*;
pub use search::*;
pub use send::*;

use bytes::Bytes;

use super::{Broken, Kept, ensure};
use crate::{
    email::{Depth, EmailProvider, Message},
    error::{Error, ErrorKind, Result},
    ids::MessageId,
    sync::Fetched,
};

/// More pages than any walk of a case has.
const MANY: usize = 10_000;

/// A plain letter to the mailbox.
fn letter(fixture: &dyn MailboxFixture, name: &str) -> Delivery {
    letter_from(fixture, name, "ann@people.example")
}

fn letter_from(fixture: &dyn MailboxFixture, name: &str, from: &str) -> Delivery {
    Delivery::new(format!(
        "From: {from}\r\nTo: {to}\r\nSubject: About {name}\r\nMessage-ID: <{name}@people.example>\r\n\
         Date: Mon, 02 Mar 2026 08:00:00 +0000\r\n\r\nThis letter is about {name}.\r\n",
        to = fixture.address()
    ))
}

/// Delivers that many letters; their ids, oldest first.
async fn letters(fixture: &dyn MailboxFixture, name: &str, count: usize) -> Vec<MessageId> {
    let mut ids = Vec::with_capacity(count);
    for number in 0..count {
        ids.push(fixture.deliver(letter(fixture, &format!("{name}-{number}"))).await);
    }
    ids
}

fn refused<T>(result: Result<T>, kind: ErrorKind, promise: &'static str) -> Kept {
    match result {
        Ok(_) => ensure(false, promise, "it was accepted"),
        Err(error) => ensure(error.kind() == kind, promise, format_args!("expected {kind}, found {error}")),
    }
}

fn unclaimed<T>(result: Result<T>) -> Kept {
    refused(result, ErrorKind::Unsupported, "what is not claimed is refused as unsupported")
}

fn present(fetched: Option<Fetched<Message>>, promise: &'static str) -> Result<Message, Broken> {
    match fetched {
        Some(Fetched::Present { item, .. }) => Ok(item),
        other => Err(Broken { promise, detail: format!("expected the message, found {other:?}") }),
    }
}

/// One message in full.
async fn read(provider: &dyn EmailProvider, id: &MessageId) -> Result<Message, Broken> {
    let fetched = provider.fetch(std::slice::from_ref(id), Depth::Full).await?.pop();
    present(fetched, "a message that is there is fetched")
}

async fn collected(mut stream: crate::http::ByteStream) -> Result<Bytes, Error> {
    use futures_util::TryStreamExt;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.try_next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}
