//! A service's form of a message and its raw text say the same.

use super::{Delivery, MailboxFixture, read};
use crate::{
    conformance::{Kept, ensure, same},
    email::{Message, parse},
};

/// Messages that decoders get wrong: (what is odd about them, everything after the first headers).
const ODD: [(&str, &str); 12] = [
    ("a plain one", "Subject: Plain\r\n\r\nHello.\r\n\r\nBye.\r\n"),
    ("without a subject", "\r\nNothing above.\r\n"),
    (
        "encoded words",
        "Subject: =?utf-8?B?R3LDvMOfZQ==?= =?iso-8859-1?Q?_aus_K=F6ln?=\r\nCc: =?utf-8?Q?J=C3=B6rg?= <joerg@people.example>\r\n\r\nx\r\n",
    ),
    (
        "a folded header and a group",
        "Subject: folded\r\n in two\r\nCc: Team: a@people.example, \"B, C\" <b@people.example>;\r\n\r\nx\r\n",
    ),
    (
        "a conversation",
        "Subject: Re: Plain\r\nIn-Reply-To: <one@people.example>\r\nReferences: <zero@people.example>\r\n <one@people.example>\r\n\r\nYes.\r\n",
    ),
    (
        "quoted-printable in another charset",
        "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe =\r\naus K=F6ln\r\n",
    ),
    (
        "HTML only",
        "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>One</p><p>Two &amp; three</p>\r\n",
    ),
    (
        "two forms of the text",
        "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nplain \u{fc}\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<b>rich</b>\r\n--b--\r\n",
    ),
    (
        "a file with an international name",
        "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''%C3%BCber.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--b--\r\n",
    ),
    (
        "an invitation",
        "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nCome.\r\n--b\r\nContent-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n--b--\r\n",
    ),
    (
        "an image inside the text",
        "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:i@x\">\r\n--b\r\nContent-Type: image/gif\r\nContent-ID: <i@x>\r\nContent-Transfer-Encoding: base64\r\n\r\nR0lGODdh\r\n--b--\r\n",
    ),
    (
        "several texts",
        "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nabove\r\n--b\r\nContent-Type: text/plain; name=notes.txt\r\n\r\nnamed\r\n--b\r\n\r\nbelow\r\n--b--\r\n",
    ),
];

/// What both forms have; the service's own additions (ids, flags, sizes of the whole) are left out.
fn comparable(mut message: Message) -> Message {
    message.id = String::new();
    (message.thread, message.received_at, message.size) = (None, None, 0);
    message.flags = crate::email::MailFlags::default();
    // Services add header fields of their own.
    message.headers = crate::email::MessageHeaders::default();
    for file in &mut message.attachments {
        // Opaque: only the bytes behind it are compared, elsewhere.
        file.part = String::new();
    }
    message
}

/// What two forms have in common where the service keeps one of its own: the words, one form of the text, the files but for
/// their sizes and for names that nobody gave them.
fn alike(mut fetched: Message, mut parsed: Message) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    match &parsed.html {
        // Which words there are, one form decides.
        Some(html) => parsed.text = parse::html_to_text(html),
        None => fetched.html = None,
    }
    for message in [&mut fetched, &mut parsed] {
        message.text = words(&message.text);
        message.snippet = parse::snippet(&message.text);
        message.html = message.html.as_deref().map(words);
        message.attachments.iter_mut().for_each(|file| file.size = 0);
    }
    // A further text may have become a file, under a name of the service's own.
    let of_a_kind =
        |message: &Message| message.attachments.iter().filter(|file| file.media_type == "text/plain").count();
    if of_a_kind(&fetched) > of_a_kind(&parsed) && parsed.text.starts_with(&fetched.text) {
        let given = |name: &Option<String>| parsed.attachments.iter().any(|known| known.name == *name);
        fetched.attachments.retain(|file| file.media_type != "text/plain" || given(&file.name));
        (parsed.text, parsed.snippet) = (fetched.text.clone(), fetched.snippet.clone());
    }
    for (file, known) in fetched.attachments.iter_mut().zip(&parsed.attachments) {
        file.name = file.name.take().filter(|_| known.name.is_some());
    }
    fetched == parsed
}

/// Whichever way the service hands it over.
pub async fn a_message_is_what_its_raw_text_says(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a fetched message is what its raw text says";
    let provider = fixture.provider();
    for (number, (what, rest)) in ODD.iter().enumerate() {
        let raw = format!(
            "From: \"Ann, Example\" <Ann@People.example>\r\nTo: {}\r\nDate: Mon, 02 Mar 2026 10:30:00 +0200\r\n\
             Message-ID: <odd-{number}@people.example>\r\nX-Odd: yes\r\n{rest}",
            fixture.address()
        );
        let mail = Delivery::new(raw);
        let parsed = parse::message(&mail.raw)?;
        let id = fixture.deliver(mail).await;
        let fetched = read(&*provider, &id).await?;
        same(&fetched.headers.get("x-odd"), &Some("yes"), "header fields are kept")?;
        same(&fetched.id, &id.to_string(), "a fetched message has its id")?;
        let (fetched, parsed) = (comparable(fetched), comparable(parsed));
        let exact = provider.capabilities().exact_content;
        let same = fetched == parsed || !exact && alike(fetched.clone(), parsed.clone());
        ensure(same, PROMISE, format_args!("{what}: parsed {parsed:?}, fetched {fetched:?}"))?;
    }
    Ok(())
}

/// When it arrived, where it lies, whether it was read.
pub async fn a_message_tells_where_it_lies(fixture: &dyn MailboxFixture) -> Kept {
    const PROMISE: &str = "a message tells where it lies and how it is marked";
    use crate::email::Role;
    let provider = fixture.provider();
    let at = fixture.now() - chrono::TimeDelta::hours(5);
    let id = fixture.deliver(super::letter(fixture, "a").with_received_at(at)).await;
    let message = read(&*provider, &id).await?;
    let off = message.received_at.map(|received| (received - at).num_seconds());
    same(&off, &Some(0), "a message tells when it was received")?;
    ensure(message.flags.has(Role::Inbox) && !message.flags.read, PROMISE, format_args!("{:?}", message.flags))?;
    fixture.mark_read(&id).await;
    let moved = fixture.move_to(&id, Role::Trash).await;
    let flags = read(&*provider, &moved).await?.flags;
    ensure(flags.has(Role::Trash) && !flags.has(Role::Inbox) && flags.read, PROMISE, format_args!("{flags:?}"))?;
    if provider.capabilities().stable_ids {
        same(&moved, &id, "a message keeps its id when it moves, where that is claimed")?;
    }
    Ok(())
}
