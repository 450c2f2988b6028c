//! Sending, and finding out what was sent.

use super::{MailboxFixture, letter, read, refused, unclaimed};
use crate::{
    conformance::{Broken, Kept, ensure, same},
    email::{Address, EmailProvider, Message, Outgoing, OutgoingAttachment, ReplyTo, SendKey, SendOptions, parse},
    error::ErrorKind,
};

fn mail(subject: &str) -> Outgoing {
    Outgoing {
        to: vec![Address::new("friend@people.example").with_name("Jörg Friend")],
        subject: subject.to_owned(),
        text: Some("Kind regards – ü\n".to_owned()),
        ..Outgoing::default()
    }
}

fn keyed(key: &str) -> (SendKey, SendOptions) {
    let key = SendKey::new(format!("{key}@host.example"));
    (key.clone(), SendOptions::default().with_key(key))
}

/// The sent folder, read.
async fn sent(fixture: &dyn MailboxFixture) -> Result<Vec<Message>, Broken> {
    Ok(fixture.sent().await.iter().map(|raw| parse::message(raw)).collect::<crate::Result<_>>()?)
}

/// Neither sending nor asking, where sending is not claimed.
async fn cannot_send(provider: &dyn EmailProvider) -> Result<bool, Broken> {
    if provider.capabilities().send {
        return Ok(false);
    }
    let (key, options) = keyed("unclaimed");
    unclaimed(provider.send(&mail("s"), &options).await)?;
    unclaimed(provider.find_sent(&key).await)?;
    Ok(true)
}

/// With its recipients, its text and its files, once.
pub async fn what_is_sent_lies_in_the_sent_folder(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "what is sent lies in the sent folder as it was written, once";
    let provider = fixture.provider();
    if cannot_send(&*provider).await? {
        return Ok(());
    }
    let mut outgoing = mail("Grüße");
    outgoing.attachments.push(OutgoingAttachment::new("a file.bin", "application/octet-stream", vec![0, 255, 10]));
    let answer = provider.send(&outgoing, &SendOptions::default()).await?;
    let mut all = sent(fixture).await?;
    same(&all.len(), &1, PROMISE)?;
    let message = all.remove(0);
    same(&message.to, &outgoing.to, PROMISE)?;
    same(&message.subject, &outgoing.subject, PROMISE)?;
    same(&message.text.trim_end(), &"Kind regards – ü", PROMISE)?;
    let files: Vec<_> = message.attachments.iter().map(|file| (file.name.as_deref(), file.size)).collect();
    same(&files, &vec![(Some("a file.bin"), 3)], PROMISE)?;
    let from = message.from.first().map(Address::normalised);
    same(&from, &Some(fixture.address().to_lowercase()), "mail without a sender is from the account")?;
    if let Some(id) = answer.message_id {
        same(&message.message_id, &Some(id), "the Message-ID that is told is the one the message carries")?;
    }
    same(&read(&*provider, &answer.id).await?.subject, &outgoing.subject, "what was sent is fetched by the id told")
}

/// And what was not sent is not.
pub async fn sent_mail_is_found_by_its_key(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "sent mail is found by its key, and by no other";
    let provider = fixture.provider();
    if cannot_send(&*provider).await? {
        return Ok(());
    }
    let (key, options) = keyed("one");
    same(&provider.find_sent(&key).await?, &None, PROMISE)?;
    let answer = provider.send(&mail("One"), &options).await?;
    provider.send(&mail("Two"), &keyed("two").1).await?;
    let found = provider.find_sent(&key).await?;
    same(&found.as_ref().map(|sent| &sent.id), &Some(&answer.id), PROMISE)?;
    same(&found.and_then(|sent| sent.thread), &answer.thread, "what is found tells the same conversation")?;
    same(&provider.find_sent(&keyed("on").0).await?, &None, PROMISE)
}

/// A host that sent twice is told one message, always the same.
pub async fn a_key_used_twice_finds_one_message(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a key that was used twice finds one message, always the same";
    let provider = fixture.provider();
    if cannot_send(&*provider).await? {
        return Ok(());
    }
    let (key, options) = keyed("twice");
    let first = provider.send(&mail("Twice"), &options).await?;
    let second = provider.send(&mail("Twice"), &options).await?;
    let found = provider.find_sent(&key).await?.map(|sent| sent.id);
    ensure(found.as_ref().is_some_and(|id| [&first.id, &second.id].contains(&id)), PROMISE, format_args!("{found:?}"))?;
    same(&provider.find_sent(&key).await?.map(|sent| sent.id), &found, PROMISE)
}

/// The recipient's program and the mailbox both see a conversation.
pub async fn a_reply_joins_its_conversation(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a reply names what it answers and joins its conversation";
    let provider = fixture.provider();
    if cannot_send(&*provider).await? {
        return Ok(());
    }
    let id = fixture.deliver(letter(fixture, "question")).await;
    let question = read(&*provider, &id).await?;
    let mut reply = mail("Re: About question");
    reply.in_reply_to = Some(ReplyTo::message(&question));
    let answer = provider.send(&reply, &SendOptions::default()).await?;
    let message = sent(fixture).await?.pop().unwrap_or_default();
    same(&message.in_reply_to, &vec!["question@people.example".to_owned()], PROMISE)?;
    same(&message.references, &vec!["question@people.example".to_owned()], PROMISE)?;
    if provider.capabilities().threads {
        ensure(answer.thread.is_some(), "conversations are told where they are claimed", "no conversation")?;
        same(&answer.thread, &question.thread, PROMISE)?;
        same(&read(&*provider, &answer.id).await?.thread, &question.thread, PROMISE)?;
    }
    Ok(())
}

/// Nothing leaves, and the field is named.
pub async fn unsendable_mail_is_refused(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "mail that could smuggle in headers is refused, and nothing is sent";
    let provider = fixture.provider();
    if cannot_send(&*provider).await? {
        return Ok(());
    }
    let broken = mail("One\r\nBcc: other@people.example");
    refused(provider.send(&broken, &SendOptions::default()).await, ErrorKind::InvalidInput, PROMISE)?;
    let mut broken = mail("One");
    broken.to = vec![Address::new("friend@people.example>\r\nBcc: <other@people.example")];
    refused(provider.send(&broken, &SendOptions::default()).await, ErrorKind::InvalidInput, PROMISE)?;
    same(&sent(fixture).await?.len(), &0, PROMISE)
}
