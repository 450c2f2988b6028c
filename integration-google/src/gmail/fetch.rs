//! Getting messages, in batches, each with an answer of its own.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use integration_core::{
    Error, ErrorKind, Result,
    email::{Depth, Message},
    http::{Failure, HttpFailure},
    sync::{self, Batches, Fetched, Reason},
};
use serde_json::error::Category;

use super::{Gmail, convert, wire};
use crate::{
    batch,
    client::{is_id, operation},
};

/// What came of one message.
type Outcome = sync::BatchOutcome<Box<Message>>;

/// Gets messages; each id is answered once.
///
/// # Errors
/// Only where nothing at all came back.
pub(super) async fn fetch<T>(
    gmail: &Gmail,
    ids: impl IntoIterator<Item = &str>,
    depth: Depth,
    item: impl Fn(Message) -> T,
) -> Result<Vec<Fetched<T>>> {
    let mut batches = Batches::of(ids, is_id);
    while let Some(batch) = batches.ahead(gmail.client.batch_size) {
        batches.take(get(gmail, &batch, depth).await)?;
    }
    batches.finish(|message: Box<Message>| item(*message))
}

async fn get(gmail: &Gmail, ids: &[&str], depth: Depth) -> Result<Vec<Outcome>> {
    if let [id] = ids {
        return Ok(vec![get_one(gmail, id, depth).await.unwrap_or_else(Outcome::NotYet)]);
    }
    let boundary = format!("batch_{}", gmail.session.parts().random.token(18));
    let response = gmail.session.send(gmail.client.batch_get(ids, depth, &boundary)?).await?;
    let kind = response.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let parts = batch::parse(kind, &response.body).ok_or_else(|| {
        let message = "the batch's answer is not made of parts";
        Error::new(ErrorKind::Unavailable, message).with_service("google").with_operation(operation::BATCH)
    })?;
    let mut slots: Vec<Option<batch::Inner>> = ids.iter().map(|_| None).collect();
    for part in parts {
        // The first answer to a call counts.
        if let Some(slot) = slots.get_mut(part.index).filter(|slot| slot.is_none()) {
            *slot = Some(part);
        }
    }
    let mut outcomes = Vec::with_capacity(ids.len());
    for (id, slot) in ids.iter().zip(slots) {
        outcomes.push(match slot {
            Some(part) if part.status.is_success() => decoded(gmail, id, &part.body, depth).await,
            Some(part) => refused(gmail, id, &part, depth).await,
            None => not_yet("the batch left this call unanswered"),
        });
    }
    Ok(outcomes)
}

async fn get_one(gmail: &Gmail, id: &str, depth: Depth) -> Result<Outcome> {
    match gmail.session.send(gmail.client.message(id, depth)?).await {
        Ok(response) => Ok(decoded(gmail, id, &response.body, depth).await),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::Gone),
        Err(error) => Err(error),
    }
}

/// An inner refusal. The outer answer was fine, so the gate hears of it only from here.
async fn refused(gmail: &Gmail, id: &str, part: &batch::Inner, depth: Depth) -> Outcome {
    let now = gmail.session.parts().clock.now();
    let failure = HttpFailure::new(operation::GET, part.status, &part.headers, &part.body, now);
    match gmail.session.report(&failure).await {
        Failure::Final(error) if error.kind() == ErrorKind::NotFound => Outcome::Gone,
        Failure::Final(error) | Failure::Transient(error) | Failure::Throttled { error, .. } => Outcome::NotYet(error),
        // The token ran out within the batch: a call of its own refreshes it.
        Failure::Unauthorised(..) => get_one(gmail, id, depth).await.unwrap_or_else(Outcome::NotYet),
        _ => not_yet("the call was refused"),
    }
}

async fn decoded(gmail: &Gmail, id: &str, body: &Bytes, depth: Depth) -> Outcome {
    let malformed = |reason: Reason| Outcome::Malformed(body.clone(), reason);
    let mut wire = match serde_json::from_slice::<wire::Message>(body) {
        Ok(wire) => wire,
        // Broken JSON says something about the way here, not about the message; too deep JSON is the message's own.
        Err(error) if error.is_syntax() && !error.to_string().starts_with("recursion limit") => {
            return not_yet("the message's answer is not JSON");
        }
        Err(error) if error.classify() == Category::Eof => return not_yet("the message's answer ended early"),
        Err(_) => return malformed(Reason::new("the answer is not the JSON of a message")),
    };
    if wire.id != id {
        return malformed(Reason::new("the answer is about another message"));
    }
    let full = depth == Depth::Full;
    if full && let Some(payload) = &mut wire.payload {
        let mut texts = HashMap::new();
        for (path, attachment) in convert::texts_to_fetch(payload) {
            match text(gmail, id, &attachment).await {
                Ok(data) => drop(texts.insert(path, data)),
                // Gone meanwhile: the message is what is left of it, and the next change tells.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Outcome::NotYet(error),
            }
        }
        convert::put_texts(payload, texts);
    }
    match convert::message(&wire, full) {
        Ok(message) => Outcome::Present(convert::revision(wire.history_id), Box::new(message)),
        Err(reason) => malformed(reason),
    }
}

/// A text that Gmail left out of its message, still in base64.
async fn text(gmail: &Gmail, message: &str, attachment: &str) -> Result<String> {
    let answer = gmail.session.send(gmail.client.attachment(message, attachment)?).await?;
    Ok(answer.json::<wire::PartBody>()?.data.unwrap_or_default())
}

fn not_yet(message: &str) -> Outcome {
    Outcome::NotYet(Error::new(ErrorKind::Unavailable, message).with_service("google").with_operation(operation::GET))
}
