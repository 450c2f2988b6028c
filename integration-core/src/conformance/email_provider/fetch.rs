//! Getting messages and their parts.

use super::{Delivery, MailboxFixture, collected, letter, letters, present, read, refused, unclaimed};
use crate::{
    conformance::{Kept, ensure, same},
    email::{Depth, Message, parse},
    error::{Error, ErrorKind},
    ids::{ItemKey, MessageId, PartId},
    sync::Fetched,
};

pub(super) fn key_of<T>(fetched: &Fetched<T>) -> &ItemKey {
    match fetched {
        Fetched::Gone(key)
        | Fetched::Malformed { key, .. }
        | Fetched::NotYet(key, _)
        | Fetched::Present { key, .. } => key,
    }
}

/// Also one asked for twice, and more than any batch.
pub async fn a_fetch_answers_every_id_once(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a fetch answers every id once";
    let provider = fixture.provider();
    let ids = letters(fixture, "a", provider.feed().capabilities().fetch_batch * 2 + 1).await;
    let mut asked = ids.clone();
    asked.extend_from_slice(&ids[..1]);
    let fetched = provider.fetch(&asked, Depth::Headers).await?;
    let mut answered: Vec<MessageId> = fetched.iter().map(|one| MessageId::new(key_of(one).as_str())).collect();
    answered.sort();
    let mut wanted = ids;
    wanted.sort();
    same(&answered, &wanted, PROMISE)?;
    for one in fetched {
        let id = key_of(&one).to_string();
        let message = present(Some(one), PROMISE)?;
        same(&message.id, &id, "an answer is about the message it names")?;
    }
    ensure(provider.fetch(&[], Depth::Full).await?.is_empty(), PROMISE, "an answer without a question")
}

/// Among others that are there.
pub async fn an_unknown_id_is_gone(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "an id that names nothing is answered as gone";
    let provider = fixture.provider();
    let ids = letters(fixture, "a", 2).await;
    fixture.delete(&ids[0]).await;
    let unknown = MessageId::new("0123456789abcdef");
    let fetched = provider.fetch(&[ids[0].clone(), ids[1].clone(), unknown.clone()], Depth::Full).await?;
    same(&fetched.len(), &3, "a fetch answers every id once")?;
    for one in &fetched {
        let there = key_of(one).as_str() == ids[1].as_str();
        let right = if there { matches!(one, Fetched::Present { .. }) } else { matches!(one, Fetched::Gone(_)) };
        ensure(right, PROMISE, format_args!("{one:?}"))?;
    }
    refused(provider.attachment(&unknown, &PartId::new("1")).await, ErrorKind::NotFound, PROMISE)
}

/// Participants, subject, dates and flags, but no content.
pub async fn headers_come_without_content(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a fetch of headers brings them, and no content";
    let id = fixture.deliver(Delivery::new(with_file(fixture))).await;
    let provider = fixture.provider();
    let fetched = provider.fetch(std::slice::from_ref(&id), Depth::Headers).await?.pop();
    let headers = present(fetched, PROMISE)?;
    let full = read(&*provider, &id).await?;
    let brief = |message: &Message| {
        let people = [message.from.clone(), message.to.clone(), message.cc.clone()];
        let ids = (message.message_id.clone(), message.references.clone(), message.thread.clone());
        (people, ids, message.subject.clone(), message.date, message.received_at, message.flags.clone())
    };
    same(&brief(&headers), &brief(&full), PROMISE)?;
    ensure(headers.subject == "With a file" && headers.text.is_empty(), PROMISE, format_args!("{headers:?}"))?;
    ensure(headers.attachments.is_empty() && headers.html.is_none(), PROMISE, format_args!("{headers:?}"))
}

/// A message with a file of every byte, a named text and an image inside its HTML.
fn with_file(fixture: &dyn MailboxFixture) -> String {
    format!(
        "From: ann@people.example\r\nTo: {}\r\nSubject: With a file\r\nMessage-ID: <file@people.example>\r\n\
         Date: Mon, 02 Mar 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=outer\r\n\r\n\
         --outer\r\nContent-Type: multipart/related; boundary=inner\r\n\r\n\
         --inner\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>See <img src=\"cid:logo@x\"></p>\r\n\
         --inner\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Disposition: inline; filename=logo.png\r\n\
         Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--inner--\r\n\
         --outer\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"every byte.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n\
         --outer\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Disposition: attachment; filename=note.txt\r\n\r\n\
         a note\r\n--outer--\r\n",
        fixture.address(),
        EVERY_BYTE
    )
}

/// The bytes 0 to 255, in base64.
const EVERY_BYTE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\r\n\
    MDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5f\r\n\
    YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6P\r\n\
    kJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/\r\n\
    wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v\r\n\
    8PHy8/T19vf4+fr7/P3+/w==";

/// Decoded, by the part id of a fetch before.
pub async fn attachments_stream_with_the_right_bytes(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "an attachment streams with the bytes that were sent";
    let id = fixture.deliver(Delivery::new(with_file(fixture))).await;
    let provider = fixture.provider();
    let message = read(&*provider, &id).await?;
    let wanted: [(&str, Vec<u8>); 3] = [
        ("logo.png", b"\x89PNG\r\n\x1a\n".to_vec()),
        ("every byte.bin", (0..=255).collect()),
        ("note.txt", b"a note".to_vec()),
    ];
    let names: Vec<Option<&str>> = message.attachments.iter().map(|file| file.name.as_deref()).collect();
    same(&names, &wanted.iter().map(|(name, _)| Some(*name)).collect(), "attachments are listed in order")?;
    for (file, (_, bytes)) in message.attachments.iter().zip(&wanted) {
        let streamed = collected(provider.attachment(&id, &file.part_id()).await?).await?;
        ensure(streamed == bytes.as_slice(), PROMISE, format_args!("{} bytes of {:?}", streamed.len(), file.name))?;
        if provider.capabilities().exact_content {
            same(&file.size, &(bytes.len() as u64), "an attachment tells its size")?;
        }
    }
    let missing = provider.attachment(&id, &PartId::new("77")).await;
    refused(missing, ErrorKind::NotFound, "a part that is not there is not found")
}

/// A host stores them and comes back later.
pub async fn part_ids_are_stable(fixture: &dyn MailboxFixture) -> Kept {
    let id = fixture.deliver(Delivery::new(with_file(fixture))).await;
    let provider = fixture.provider();
    let parts = async || {
        let message = read(&*provider, &id).await?;
        Ok::<_, super::Broken>(message.attachments.iter().map(|file| file.part.clone()).collect::<Vec<_>>())
    };
    let first = parts().await?;
    fixture.mark_read(&id).await;
    same(&parts().await?, &first, "part ids are stable")?;
    let distinct: std::collections::BTreeSet<&String> = first.iter().collect();
    same(&distinct.len(), &3, "every part has an id of its own")
}

/// Byte for byte, where messages are kept as they came; elsewhere it is the same letter.
pub async fn the_raw_text_is_what_was_delivered(fixture: &dyn MailboxFixture) -> Kept {
    let mail = letter(fixture, "a");
    let id = fixture.deliver(mail.clone()).await;
    let provider = fixture.provider();
    if !provider.capabilities().raw {
        return unclaimed(provider.raw(&id).await);
    }
    const PROMISE: &str = "the raw text is what was delivered";
    let raw = provider.raw(&id).await?;
    if provider.capabilities().exact_content {
        same(&raw, &mail.raw, PROMISE)?;
    } else {
        let read = |raw: &[u8]| {
            let letter = parse::message(raw)?;
            Ok::<_, Error>((letter.message_id, letter.date, letter.subject, letter.text.trim().to_owned()))
        };
        same(&read(&raw)?, &read(&mail.raw)?, PROMISE)?;
    }
    fixture.delete(&id).await;
    refused(provider.raw(&id).await, ErrorKind::NotFound, "the raw text of what is gone is not found")
}
