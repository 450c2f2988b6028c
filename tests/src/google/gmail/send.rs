//! Sending, and putting messages into a mailbox.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use chrono::Duration;
use serde_json::{Value, json};

use super::Context;
use super::answer::{Answered, Refusal};
use super::mailbox::plausible_date;
use super::methods::Op;
use super::ok;
use super::state::{NewMail, Source, State, checksum, hex};
use super::upload::Content;
use crate::mime::{self, Header};

const MOST_RECIPIENTS: usize = 500;

/// Sends: the sender keeps a copy, simulated mailboxes among the recipients receive it.
pub(super) fn send(state: &mut State, context: &Context<'_>, raw: &Bytes, thread: Option<u64>) -> Answered {
    let (headers, _) = mime::parse_headers(raw);
    let recipients = recipients(&headers)?;
    within_daily_limit(state, context)?;
    let copy = complete(state, context, raw, &headers);
    let delivered = edit(&copy, &["bcc", "resent-bcc"], "");
    let mut labels = BTreeSet::from(["SENT".to_owned()]);
    if recipients.contains(context.account) {
        labels.extend(["INBOX".to_owned(), "UNREAD".to_owned()]);
    }
    let now = context.now;
    let new = |raw: Bytes, labels, thread| NewMail {
        source: Source::Kept(raw),
        labels,
        received_ms: now.timestamp_millis(),
        now,
        thread,
    };
    for address in recipients.iter().filter(|a| *a != context.account) {
        if let Some(other) = state.accounts.get_mut(address).filter(|a| !a.disabled) {
            let labels = BTreeSet::from(["INBOX".to_owned(), "UNREAD".to_owned()]);
            // The sender's thread means nothing here: only the message's own references count.
            other.deliver(new(delivered.clone(), labels, None));
        }
    }
    let account = state.account(context.account);
    account.sent_at.push_back(now.timestamp_millis());
    let id = account.deliver(new(copy, labels, thread));
    account.shown(id)
}

/// Insert and import: the message is put into the mailbox without being sent.
pub(super) fn insert(state: &mut State, context: &Context<'_>, content: Content, thread: Option<u64>) -> Answered {
    let (headers, _) = mime::parse_headers(&content.raw);
    let importing = context.matched.spec.op == Op::MessagesImport;
    let by_date = match context.matched.param("internalDateSource") {
        None => importing,
        Some("dateHeader") => true,
        Some("receivedTime") => false,
        Some(other) => return Err(Refusal::invalid(&format!("Invalid value at 'internalDateSource', \"{other}\""))),
    };
    let date = headers.iter().find(|h| h.name.eq_ignore_ascii_case("date")).filter(|_| by_date);
    let received = date.and_then(|h| plausible_date(&h.value, context.now)).unwrap_or(context.now);
    let account = state.account(context.account);
    let mut labels = BTreeSet::new();
    for label in content.metadata.get("labelIds").and_then(Value::as_array).into_iter().flatten() {
        let label = label.as_str().filter(|l| account.knows_label(l));
        labels.insert(label.ok_or_else(|| Refusal::invalid("Invalid label"))?.to_owned());
    }
    let received_ms = received.timestamp_millis();
    let source = Source::Kept(content.raw);
    let id = account.deliver(NewMail { source, labels, received_ms, now: context.now, thread });
    let shown = json!({"id": hex(id), "threadId": hex(account.messages.get(&id).map_or(id, |m| m.thread))});
    Ok(ok(&shown))
}

/// Addresses of all mailboxes that are to receive the message, lower case, without plus parts.
fn recipients(headers: &[Header]) -> Result<BTreeSet<String>, Refusal> {
    let mut found = BTreeSet::new();
    for name in ["to", "cc", "bcc"] {
        for header in headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)) {
            let addresses = mime::addresses(&header.value);
            let group = header.value.contains(':');
            if addresses.is_empty() && !header.value.trim().is_empty() && !group {
                let name = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
                return Err(Refusal::invalid(&format!("Invalid {name} header")));
            }
            found.extend(addresses.iter().map(|a| without_plus(a)));
        }
    }
    match found.len() {
        0 => Err(Refusal::invalid("Recipient address required")),
        count if count > MOST_RECIPIENTS => Err(Refusal::invalid("Too many recipients")),
        _ => Ok(found),
    }
}

fn without_plus(address: &str) -> String {
    match address.split_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split('+').next().unwrap_or(local)),
        None => address.to_owned(),
    }
}

fn within_daily_limit(state: &mut State, context: &Context<'_>) -> Result<(), Refusal> {
    let Some(limit) = context.settings.daily_sends else { return Ok(()) };
    let day_ago = (context.now - Duration::days(1)).timestamp_millis();
    let sent = &mut state.account(context.account).sent_at;
    while sent.front().is_some_and(|at| *at <= day_ago) {
        sent.pop_front();
    }
    match sent.front() {
        Some(first) if sent.len() >= limit as usize => {
            let until = chrono::DateTime::from_timestamp_millis(first + 24 * 3_600_000);
            Err(Refusal::retry_after(until.unwrap_or(context.now)))
        }
        _ => Ok(()),
    }
}

/// The message with what the service adds or corrects: sender, date and Message-ID.
fn complete(state: &mut State, context: &Context<'_>, raw: &Bytes, headers: &[Header]) -> Bytes {
    let value = |name: &str| headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_str());
    let mut added = String::new();
    let mut removed = Vec::new();
    let own =
        value("from").is_some_and(|from| mime::addresses(from).iter().any(|a| without_plus(a) == context.account));
    if !own {
        removed.push("from");
        added.push_str(&format!("From: {}\r\n", context.account));
    }
    if value("date").is_none() {
        added.push_str(&format!("Date: {}\r\n", context.now.to_rfc2822()));
    }
    let message_id = value("message-id").filter(|id| !id.is_empty());
    if message_id.is_none() || context.settings.rewrite_message_ids {
        removed.push("message-id");
        let number = state.next();
        let unique = checksum(format!("{}/{number}", context.account).as_bytes());
        added.push_str(&format!("Message-ID: <CA+{unique:016x}{number}@mail.gmail.com>\r\n"));
    }
    edit(raw, &removed, &added)
}

/// The message without headers of those names (lower case) and with `added` before all others.
fn edit(raw: &Bytes, removed: &[&str], added: &str) -> Bytes {
    let (_, body) = mime::parse_headers(raw);
    let mut out = BytesMut::with_capacity(raw.len() + added.len());
    out.put_slice(added.as_bytes());
    let mut dropping = false;
    for line in raw[..body].split_inclusive(|b| *b == b'\n') {
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            let name = line.split(|b| *b == b':').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
            dropping = removed.iter().any(|r| r.as_bytes() == name);
        }
        if !dropping {
            out.put_slice(line);
        }
    }
    out.put_slice(&raw[body..]);
    out.freeze()
}
