//! Sending mail.

use async_trait::async_trait;

use super::{
    effect::{Effect, EffectCall, Performed},
    enqueue::{OutboxParts, PreparedIntent},
    intent::{IntentKey, IntentOptions},
    options::OutboxOptions,
    sent::SentItem,
};
use crate::{
    connection::{Capability, Connection},
    email::{Address, EmailProvider, Outgoing, SendKey, SendOptions, Sent},
    error::{Error, ErrorKind, Result},
    http::Session,
};

/// The kind of intents that send mail.
pub const SEND_MAIL: &str = "send_mail";

/// The header that carries our key, so that the sync recognises a mail whose `Message-ID` the service replaced.
pub const SEND_KEY_HEADER: &str = "X-Integration-Send-Key";

/// Sends mail.
#[derive(Clone, Copy, Debug, Default)]
pub struct SendMail;

impl SendMail {
    fn provider(call: &EffectCall, session: Session) -> Result<std::sync::Arc<dyn EmailProvider>> {
        call.connector.email(session)
    }
}

#[async_trait]
impl Effect for SendMail {
    fn kind(&self) -> &'static str {
        SEND_MAIL
    }

    fn needs(&self) -> &[Capability] {
        &[Capability::MailSend]
    }

    async fn perform(&self, call: &EffectCall) -> Result<Performed> {
        let mut mail: Outgoing = serde_json::from_slice(&call.content).map_err(|error| {
            let message = "the content of an intent cannot be read; was it written by another version?";
            Error::new(ErrorKind::InvalidInput, message).with_source(error)
        })?;
        mail.headers.push((SEND_KEY_HEADER.to_owned(), call.token.clone()));
        let options = SendOptions::default().with_key(SendKey::new(call.token.clone()));
        Ok(performed(Self::provider(call, call.session.clone())?.send(&mail, &options).await?))
    }

    async fn find(&self, call: &EffectCall) -> Result<Option<Performed>> {
        let mut key = SendKey::new(call.token.clone()).with_age(call.age).with_look_up(call.look_up);
        if let Some(ended) = call.ended {
            key = key.with_ended(ended);
        }
        Ok(Self::provider(call, call.session.clone())?.find_sent(&key).await?.map(performed))
    }
}

/// A mail that is in the mailbox.
pub(super) fn performed(sent: Sent) -> Performed {
    Performed { mail: Some(sent.clone()), ..Performed::new("message", sent.id.as_str()) }
}

/// Prepares a mail of `connection`: validates it, chooses its `Message-ID`, seals it. Changes nothing.
///
/// # Errors
/// `InvalidInput` naming the field; `Conflict` if the key was used for something else; `Store`; what the sealer reports.
pub async fn prepare_mail(
    parts: &OutboxParts,
    connection: &Connection,
    mail: &Outgoing,
    options: IntentOptions,
    limits: &OutboxOptions,
) -> Result<PreparedIntent> {
    let recipients = recipients(mail)?;
    let token = message_id(parts, connection, mail);
    validate(mail, &token, parts)?;
    let content = serde_json::to_vec(mail)
        .map_err(|error| Error::new(ErrorKind::InvalidInput, "the mail cannot be stored").with_source(error))?;
    let mut prepared = parts.prepare((connection, SEND_MAIL), &token, &content, (options, limits)).await?;
    if !prepared.is_known() {
        let key: IntentKey = prepared.intent().key.clone();
        let senders = connection.account.addresses.iter().map(|one| one.to_lowercase());
        let senders = senders.chain(mail.from.as_ref().map(Address::normalised)).collect();
        prepared.sent = Some(SentItem::new(key, connection.id.clone(), token, (senders, recipients)));
    }
    Ok(prepared)
}

fn recipients(mail: &Outgoing) -> Result<Vec<String>> {
    let mut all: Vec<String> = mail.to.iter().chain(&mail.cc).chain(&mail.bcc).map(Address::normalised).collect();
    all.sort();
    all.dedup();
    if all.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "the mail has no recipient"));
    }
    Ok(all)
}

/// Ours for good, whatever happens: chosen before the mail leaves, the same for every attempt.
fn message_id(parts: &OutboxParts, connection: &Connection, mail: &Outgoing) -> String {
    let own = connection.account.addresses.first().map(Address::new);
    let domain = mail.from.as_ref().or(own.as_ref()).and_then(Address::domain);
    let plain = |domain: &String| {
        !domain.is_empty() && domain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    };
    let domain = domain.filter(plain).unwrap_or_else(|| "mail.invalid".to_owned());
    let mut bytes = [0; 16];
    parts.random.fill(&mut bytes);
    format!("{}@{domain}", hex::encode(bytes))
}

/// What would be refused later is refused now, as far as we can tell without the feature `mail`.
fn validate(mail: &Outgoing, token: &str, parts: &OutboxParts) -> Result<()> {
    if mail.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(SEND_KEY_HEADER)) {
        return Err(Error::new(ErrorKind::InvalidInput, format!("headers: {SEND_KEY_HEADER} is ours")));
    }
    written(mail, token, parts.clock.now())
}

#[cfg(feature = "mail")]
fn written(mail: &Outgoing, token: &str, now: chrono::DateTime<chrono::Utc>) -> Result<()> {
    crate::email::compose::compose(mail, Some(token), now).map(drop)
}

#[cfg(not(feature = "mail"))]
fn written(_: &Outgoing, _: &str, _: chrono::DateTime<chrono::Utc>) -> Result<()> {
    Ok(())
}
