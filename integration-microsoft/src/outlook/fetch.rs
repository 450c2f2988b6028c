//! Getting messages, in batches, each with an answer of its own.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use integration_core::{
    Error, ErrorKind, Result,
    email::{Attachment, Depth, Message},
    http::{Failure, HttpFailure},
    sync::{self, Batches, Fetched, Reason},
};
use serde_json::error::Category;

use super::{
    Outlook, attachment,
    convert::{self, Lack},
    error,
    folders::Places,
    pages, wire,
};
use crate::{
    batch,
    client::{is_id, operation},
};

/// What came of one message.
type Outcome = sync::BatchOutcome<Box<Message>>;

/// What came of one inner call.
pub(super) enum Reply {
    Body(Bytes),
    Gone,
    NotYet(Error),
}

/// How often a batch's throttled calls are asked again.
const ROUNDS: usize = 2;
/// A longer wait is the schedule's, not ours.
const LONGEST_WAIT: TimeDelta = TimeDelta::seconds(30);
/// More pages of attachments than any message has.
const MAX_PAGES: usize = 100;

/// Gets messages; each id is answered once.
///
/// # Errors
/// Only where nothing at all came back.
pub(super) async fn fetch<T>(
    outlook: &Outlook,
    ids: impl IntoIterator<Item = &str>,
    depth: Depth,
    item: impl Fn(Message) -> T,
) -> Result<Vec<Fetched<T>>> {
    let mut batches = Batches::of(ids, is_id);
    while let Some(batch) = batches.ahead(outlook.client.batch_size) {
        batches.take(get(outlook, &batch, depth).await)?;
    }
    batches.finish(|message: Box<Message>| item(*message))
}

/// A message on its way: what is known of it, and what is still missing.
struct Half {
    at: usize,
    lack: Lack,
    json: Bytes,
    wire: wire::Message,
}

async fn get(outlook: &Outlook, ids: &[&str], depth: Depth) -> Result<Vec<Outcome>> {
    let paths = ids.iter().map(|id| outlook.client.message_path(id, depth)).collect::<Result<Vec<_>>>()?;
    let replies = ask(outlook, operation::GET, &paths).await?;
    let read: Vec<_> = ids.iter().zip(replies).map(|(id, reply)| answered(reply, id)).collect();
    let folders = read.iter().flatten().filter_map(|(wire, _)| wire.parent_folder_id.as_deref());
    let places = outlook.places_of(folders).await?;
    let mut halves = Vec::new();
    let mut outcomes = Vec::with_capacity(ids.len());
    for (at, read) in read.into_iter().enumerate() {
        outcomes.push(match read {
            Err(outcome) => outcome,
            Ok((wire, _)) if wire.parent_folder_id.as_deref().is_some_and(|at| places.is_out_of_sight(at)) => {
                Outcome::Gone
            }
            Ok((wire, json)) if depth == Depth::Headers => present(&wire, json, convert::headers(&wire, &places)),
            Ok((wire, json)) => match convert::lack(&wire) {
                None => present(&wire, json, convert::message(&wire, &places, Vec::new())),
                Some(lack) => {
                    halves.push(Half { at, lack, json, wire });
                    Outcome::NotYet(not_yet("the rest of the message did not come"))
                }
            },
        });
    }
    complete(outlook, halves, &places, &mut outcomes).await;
    Ok(outcomes)
}

/// What came as JSON, or what became of the message otherwise.
fn answered(reply: Reply, id: &str) -> Result<(wire::Message, Bytes), Outcome> {
    match reply {
        Reply::Gone => Err(Outcome::Gone),
        Reply::NotYet(error) => Err(Outcome::NotYet(error)),
        Reply::Body(json) => decoded(&json, id).map(|wire| (wire, json)),
    }
}

/// Asks for what is missing, and puts the outcomes where they belong.
async fn complete(outlook: &Outlook, halves: Vec<Half>, places: &Places, outcomes: &mut [Outcome]) {
    // What carries files may be large: its raw text comes as a call of its own, not in base64 within a batch.
    let (large, small): (Vec<Half>, Vec<Half>) =
        halves.into_iter().partition(|half| half.lack == Lack::Raw && half.wire.has_attachments != Some(false));
    let path = |half: &Half| match half.lack {
        Lack::Attachments => outlook.client.attachments_path(&half.wire.id),
        Lack::Raw => outlook.client.raw_path(&half.wire.id),
    };
    let groups = std::iter::once(&small[..]).filter(|group| !group.is_empty()).chain(large.chunks(1));
    for group in groups {
        let replies = match group.iter().map(path).collect::<Result<Vec<_>>>() {
            Ok(paths) => ask(outlook, operation::RAW, &paths).await,
            Err(error) => Err(error),
        };
        match replies {
            Ok(replies) => {
                for (half, reply) in group.iter().zip(replies) {
                    outcomes[half.at] = completed(outlook, half, places, reply).await;
                }
            }
            // One tells why; the others wait, as they were put before.
            Err(error) => outcomes[group[0].at] = Outcome::NotYet(error),
        }
    }
}

async fn completed(outlook: &Outlook, half: &Half, places: &Places, reply: Reply) -> Outcome {
    let (wire, json) = (&half.wire, half.json.clone());
    match (reply, half.lack) {
        (Reply::Gone, _) => Outcome::Gone,
        (Reply::NotYet(error), _) => Outcome::NotYet(error),
        (Reply::Body(raw), Lack::Raw) => present(wire, raw.clone(), convert::raw_message(wire, places, &raw)),
        (Reply::Body(body), Lack::Attachments) => match files(outlook, body).await {
            Ok(Ok(files)) => present(wire, json, convert::message(wire, places, files)),
            Ok(Err(reason)) => Outcome::Malformed(json, reason),
            Err(error) if error.kind() == ErrorKind::NotFound => Outcome::Gone,
            Err(error) => Outcome::NotYet(error),
        },
    }
}

/// All that is attached, from its first page on.
async fn files(outlook: &Outlook, mut body: Bytes) -> Result<Result<Vec<Attachment>, Reason>> {
    let mut all = Vec::new();
    for _ in 0..MAX_PAGES {
        let (files, next) = match attachment::page(&body) {
            Ok(page) => page,
            Err(reason) => return Ok(Err(reason)),
        };
        all.extend(files);
        let Some(next) = next else { break };
        body = outlook.session.send(outlook.client.attachments_link(&next)?).await?.body;
    }
    Ok(Ok(all))
}

fn present(wire: &wire::Message, raw: Bytes, message: Result<Message, Reason>) -> Outcome {
    match message {
        Ok(message) => Outcome::Present(convert::revision(wire), Box::new(message)),
        Err(reason) => Outcome::Malformed(raw, reason),
    }
}

fn decoded(json: &Bytes, id: &str) -> Result<wire::Message, Outcome> {
    let malformed = |reason: &str| Outcome::Malformed(json.clone(), Reason::new(reason));
    match serde_json::from_slice::<wire::Message>(json) {
        Ok(wire) if wire.id == id => Ok(wire),
        Ok(_) => Err(malformed("the answer is about another message")),
        // Broken JSON says something about the way here, not about the message; too deep JSON is the message's own.
        Err(error) if error.is_syntax() && !error.to_string().starts_with("recursion limit") => {
            Err(Outcome::NotYet(not_yet("the message's answer is not JSON")))
        }
        Err(error) if error.classify() == Category::Eof => {
            Err(Outcome::NotYet(not_yet("the message's answer ended early")))
        }
        Err(_) => Err(malformed("the answer is not the JSON of a message")),
    }
}

/// What came of one call of a batch.
type Answer = Result<batch::Inner>;

/// Asks for several things at once, each answered by itself, in order.
///
/// What is throttled is asked again, all together: the gate lets that pass when the longest wait is over.
///
/// # Errors
/// Only where the batch itself fails.
pub(super) async fn ask(outlook: &Outlook, operation: &'static str, paths: &[String]) -> Result<Vec<Reply>> {
    if let [path] = paths {
        return Ok(vec![ask_one(outlook, operation, path).await]);
    }
    let mut replies: Vec<Option<Reply>> = paths.iter().map(|_| None).collect();
    let mut open: Vec<usize> = (0..paths.len()).collect();
    for round in 0..ROUNDS {
        let asked: Vec<String> = open.iter().map(|&at| paths[at].clone()).collect();
        let parts = match send(outlook, &asked).await {
            Ok(parts) => parts,
            // What the rounds before brought is kept.
            Err(_) if round > 0 => break,
            Err(error) => return Err(error),
        };
        let mut again = Again::default();
        for (&at, part) in open.iter().zip(parts) {
            replies[at] = Some(match part {
                Ok(part) if part.status.is_success() => Reply::Body(part.body),
                Ok(part) => refused(outlook, (operation, &paths[at]), &part, (at, &mut again)).await,
                Err(error) => Reply::NotYet(error),
            });
        }
        open = again.open;
        let wait = again.until.map_or(TimeDelta::zero(), |until| until - outlook.session.parts().clock.now());
        if open.is_empty() || wait > LONGEST_WAIT {
            break;
        }
    }
    Ok(replies.into_iter().map(|reply| reply.unwrap_or_else(|| Reply::NotYet(unanswered()))).collect())
}

/// What is to be asked once more, and when that is of use.
#[derive(Default)]
struct Again {
    open: Vec<usize>,
    until: Option<DateTime<Utc>>,
}

impl Again {
    fn later(&mut self, at: usize, until: Option<DateTime<Utc>>, error: Error) -> Reply {
        self.open.push(at);
        self.until = self.until.max(until);
        Reply::NotYet(error)
    }
}

/// Calls of a batch that failed even one by one, one behind the other: is it they, or has the service gone?
const MOST_ALONE: usize = 3;

/// Inner answers, in the order of the calls. A batch that is too much for the service's gateways is split in halves, and a
/// small one into single calls. What is too much all alone must not keep the others from coming: it is asked for behind them
/// from then on. Both are remembered, since one call that ends in a time-out may take all the time there is.
///
/// # Errors
/// Only where nothing at all came back, and no single call is found to be at fault.
async fn send(outlook: &Outlook, paths: &[String]) -> Result<Vec<Answer>> {
    let (known, session, root) = (&outlook.client.known, &outlook.session, &outlook.client.root);
    let slow = known.slow(session, root, paths);
    let others = slow.iter().filter(|slow| !**slow).count();
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_by_key(|at| slow[*at]);
    let queue: Vec<String> = order.iter().map(|at| paths[*at].clone()).collect();
    let mut answers: Vec<_> = order.into_iter().zip(in_pieces(outlook, queue.split_at(others)).await?).collect();
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// The calls in batches as large as the service bears them, then the slow ones by themselves.
async fn in_pieces(outlook: &Outlook, (paths, slow): (&[String], &[String])) -> Result<Vec<Answer>> {
    const FEW: usize = 5;
    let (known, session, root) = (&outlook.client.known, &outlook.session, &outlook.client.root);
    let clock = &session.parts().clock;
    let count = paths.len() + slow.len();
    let mut done: Vec<Answer> = Vec::with_capacity(count);
    let (mut size, mut alone) = (known.at_once(session, root, clock.now()).unwrap_or(count), 0);
    while done.len() < count {
        let some = match paths.get(done.len()..) {
            Some(rest) if !rest.is_empty() => &rest[..rest.len().min(size)],
            _ => &slow[done.len() - paths.len()..][..1],
        };
        match batch_of(outlook, some).await {
            Ok(parts) => {
                (size, alone) = (size.saturating_mul(2), 0);
                known.bore_at_once(session, root, (size, clock.now()));
                done.extend(parts);
            }
            Err(error) if !pages::is_too_much(&error) => return stopped(done, error, count),
            Err(error) if some.len() > 1 => {
                size = if some.len() > FEW { some.len().div_ceil(2) } else { 1 };
                known.ask_at_once(session, root, (size, clock.now()));
                clock.sleep(pages::pause(&error)).await;
            }
            Err(error) if alone + 1 < MOST_ALONE || is_there(outlook).await => {
                alone = (alone + 1) % MOST_ALONE;
                known.found_slow(session, root, (&some[0], clock.now()));
                done.push(Err(error));
            }
            Err(error) if done.iter().any(Result::is_ok) => return stopped(done, error, count),
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// What came before an error that says nothing of what is asked for; that is left for another time.
fn stopped(mut done: Vec<Answer>, error: Error, count: usize) -> Result<Vec<Answer>> {
    if done.is_empty() {
        return Err(error);
    }
    let wait = error.retry_after();
    let first = not_asked().with_source(error);
    done.push(Err(match wait {
        Some(wait) => first.with_retry_after(wait),
        None => first,
    }));
    done.resize_with(count, || Err(not_asked()));
    Ok(done)
}

/// One batch as it is.
async fn batch_of(outlook: &Outlook, paths: &[String]) -> Result<Vec<Answer>> {
    let attempts = if paths.len() > 1 { 1 } else { 2 };
    let response = outlook.session.send(outlook.client.batch(paths)?.with_attempts(attempts)).await?;
    inner(&response.body, paths.len())
}

/// Enough for an answer of a few bytes.
const SHORT: Duration = Duration::from_secs(30);

/// Does the service answer for the mailbox when it is asked for next to nothing?
async fn is_there(outlook: &Outlook) -> bool {
    let Ok(call) = outlook.client.folder_path("inbox").and_then(|path| outlook.client.read(operation::FOLDERS, &path))
    else {
        return false;
    };
    outlook.session.send(call.with_attempts(1).with_timeout(SHORT)).await.is_ok()
}

fn inner(body: &Bytes, count: usize) -> Result<Vec<Answer>> {
    let parts = batch::parse(body)
        .ok_or_else(|| error(ErrorKind::Unavailable, "the batch's answer is none").with_operation(operation::BATCH))?;
    let mut slots: Vec<Option<batch::Inner>> = (0..count).map(|_| None).collect();
    for part in parts {
        // The first answer to a call counts.
        if let Some(slot) = slots.get_mut(part.index).filter(|slot| slot.is_none()) {
            *slot = Some(part);
        }
    }
    Ok(slots.into_iter().map(|slot| slot.ok_or_else(unanswered)).collect())
}

async fn ask_one(outlook: &Outlook, operation: &'static str, path: &str) -> Reply {
    let call = match outlook.client.read(operation, path) {
        Ok(call) => call,
        Err(error) => return Reply::NotYet(error),
    };
    match outlook.session.send(call).await {
        Ok(response) => Reply::Body(response.body),
        Err(error) if error.kind() == ErrorKind::NotFound => Reply::Gone,
        Err(error) => Reply::NotYet(error),
    }
}

/// An inner refusal. The outer answer was fine, so the gate hears of it only from here.
async fn refused(
    outlook: &Outlook,
    (operation, path): (&'static str, &str),
    part: &batch::Inner,
    (at, again): (usize, &mut Again),
) -> Reply {
    let now = outlook.session.parts().clock.now();
    let failure = HttpFailure::new(operation, part.status, &part.headers, &part.body, now);
    match outlook.session.report(&failure).await {
        Failure::Final(error) if error.kind() == ErrorKind::NotFound => Reply::Gone,
        Failure::Throttled { error, until, .. } => again.later(at, until, error),
        Failure::Overloaded { error, until, .. } => again.later(at, Some(until), error),
        Failure::Final(error) | Failure::Transient(error) => Reply::NotYet(error),
        // The token ran out within the batch: a call of its own refreshes it.
        Failure::Unauthorised(..) => ask_one(outlook, operation, path).await,
        _ => Reply::NotYet(not_yet("the call was refused")),
    }
}

fn unanswered() -> Error {
    not_yet("the batch left this call unanswered")
}

/// What was never asked for must not be taken for an item that fails.
fn not_asked() -> Error {
    error(ErrorKind::Transport, "the service was not asked for this, after what came before it")
        .with_operation(operation::GET)
}

fn not_yet(message: &str) -> Error {
    error(ErrorKind::Unavailable, message).with_operation(operation::GET)
}
