//! Attachments as streams: the answer is JSON with one large base64 text, decoded while it arrives.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use integration_core::{
    Error, ErrorKind, Result,
    email::{EmailProvider, parse},
    http::ByteStream,
    ids::{MessageId, PartId},
};

use super::{Gmail, convert, invalid_answer, wire};

/// Opens a part. Attachment ids change with every answer, so the part is looked up afresh, by its place.
pub(super) async fn open(gmail: &Gmail, of: &MessageId, part: &PartId) -> Result<ByteStream> {
    let missing = || Error::new(ErrorKind::NotFound, "the message has no such part").with_service("google");
    let mut tries = 2;
    loop {
        tries -= 1;
        let answer: wire::Message = gmail.session.send(gmail.client.tree(of.as_str())?).await?.json()?;
        let payload = answer.payload.ok_or_else(missing)?;
        let found = convert::part_at(&payload, part.as_str()).ok_or_else(missing)?;
        if let Some(data) = &found.body.data {
            return Ok(whole(convert::decode(data).map_err(invalid_answer)?));
        }
        let Some(id) = &found.body.attachment_id else {
            if found.mime_type.to_ascii_lowercase().starts_with("message/") {
                // An attached message has parts instead of bytes: it is cut out of the raw text.
                let raw = gmail.raw(of).await?;
                return parse::attachment(&raw, part.as_str()).map(whole).ok_or_else(missing);
            }
            let empty = found.parts.is_empty() && found.body.size.unwrap_or_default() == 0;
            return if empty { Ok(whole(Vec::new())) } else { Err(missing()) };
        };
        match gmail.session.stream(gmail.client.attachment(of.as_str(), id)?).await {
            Ok(answer) => return Ok(decode(answer)),
            // The id may have gone stale between the two calls.
            Err(error) if error.kind() == ErrorKind::NotFound && tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

fn whole(bytes: Vec<u8>) -> ByteStream {
    stream::iter([Ok(Bytes::from(bytes))]).try_filter(|bytes| std::future::ready(!bytes.is_empty())).boxed()
}

/// Turns the answer of `attachments.get` into the attachment's bytes, in constant memory.
pub(super) fn decode(answer: ByteStream) -> ByteStream {
    let state = (answer, Decoder::default(), false);
    let decoded = stream::try_unfold(state, |(mut answer, mut decoder, ended)| async move {
        if ended {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let ended = match answer.try_next().await? {
            Some(chunk) => {
                decoder.push(&chunk, &mut bytes)?;
                false
            }
            None => {
                decoder.finish(&mut bytes)?;
                true
            }
        };
        Ok(Some((Bytes::from(bytes), (answer, decoder, ended))))
    });
    decoded.try_filter(|bytes| std::future::ready(!bytes.is_empty())).boxed()
}

/// Where in the answer the decoder is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum At {
    /// Before the object.
    #[default]
    Start,
    /// Before a name, or the object's end.
    Member,
    /// In a name.
    Name,
    /// After a name.
    Colon,
    /// Before a value.
    Value,
    /// In the data.
    Data,
    /// In a text that is not wanted.
    Text,
    /// In an object or list of this depth that is not wanted.
    Nested(usize),
    /// In a text inside such.
    NestedText(usize),
    /// In a number or word.
    Word,
    /// After the object.
    End,
}

/// Where in an escape it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Escape {
    #[default]
    None,
    /// After the backslash.
    Begun,
    /// Inside `\uXXXX`: digits still to come, and what they say so far.
    Hex(u8, u32),
}

/// Reads the member `data` of a JSON object, which may be split anywhere.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    at: At,
    escape: Escape,
    /// The name being read; longer ones cannot be the one.
    name: Vec<u8>,
    /// Letters that do not make four yet; at most three after each push.
    letters: Vec<u8>,
    padded: bool,
    found: bool,
}

const NAME: &[u8] = b"data";

impl Decoder {
    /// Decodes what `chunk` adds into `out`.
    ///
    /// # Errors
    /// `Validation` if it is no such JSON or no base64.
    pub(super) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut rest = chunk;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.at == At::Data && self.escape == Escape::None {
                let run = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
                self.take_letters(&rest[..run], out)?;
                let Some(&stop) = rest.get(run) else { return Ok(()) };
                rest = &rest[run + 1..];
                if stop == b'"' {
                    self.at = At::Member;
                } else {
                    self.escape = Escape::Begun;
                }
                continue;
            }
            rest = tail;
            self.step(byte, out)?;
        }
        Ok(())
    }

    /// # Errors
    /// `Transport` if the answer ended early; `Validation` if the data does.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.at != At::End {
            let message = "the attachment's answer ended early";
            return Err(Error::new(ErrorKind::Transport, message).with_service("google"));
        }
        let letters = std::mem::take(&mut self.letters);
        append(&letters, out)
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<()> {
        match (self.escape, self.at) {
            (Escape::Begun, At::Data) => return self.escaped_letter(byte, out),
            (Escape::Hex(left, value), At::Data) => {
                let digit = (byte as char).to_digit(16).ok_or_else(not_json)?;
                let value = value * 16 + digit;
                self.escape = if left > 1 { Escape::Hex(left - 1, value) } else { Escape::None };
                if left == 1 {
                    let letter = u8::try_from(value).map_err(|_| not_base64())?;
                    self.take_letters(&[letter], out)?;
                }
                return Ok(());
            }
            (Escape::Begun | Escape::Hex(..), _) => {
                // What is escaped in other texts does not matter; an escaped name cannot be the one.
                self.escape = Escape::None;
                self.name_byte(b'\\');
                return Ok(());
            }
            (Escape::None, _) => {}
        }
        let space = byte.is_ascii_whitespace();
        self.at = match (self.at, byte) {
            (At::Start, b'{') => At::Member,
            (At::Start | At::Member | At::Colon | At::Value | At::End, _) if space => self.at,
            (At::Member, b',') => At::Member,
            (At::Member | At::Word, b'}') => At::End,
            (At::Member, b'"') => {
                self.name.clear();
                At::Name
            }
            (At::Name, b'"') => At::Colon,
            (At::Name | At::Text | At::NestedText(_), b'\\') => {
                self.escape = Escape::Begun;
                self.at
            }
            (At::Name, _) => {
                self.name_byte(byte);
                At::Name
            }
            (At::Colon, b':') => At::Value,
            (At::Value, b'"') if self.name == NAME && !self.found => {
                self.found = true;
                At::Data
            }
            (At::Value, b'"') => At::Text,
            (At::Value, b'{' | b'[') => At::Nested(1),
            (At::Value, _) => At::Word,
            (At::Text, b'"') => At::Member,
            (At::NestedText(depth), b'"') => At::Nested(depth),
            (At::Nested(depth), b'"') => At::NestedText(depth),
            (At::Nested(depth), b'{' | b'[') => At::Nested(depth + 1),
            (At::Nested(1), b'}' | b']') => At::Member,
            (At::Nested(depth), b'}' | b']') => At::Nested(depth - 1),
            (At::Text | At::Nested(_) | At::NestedText(_), _) => self.at,
            (At::Word, b',') => At::Member,
            (At::Word, _) => At::Word,
            _ => return Err(not_json()),
        };
        Ok(())
    }

    fn name_byte(&mut self, byte: u8) {
        if self.name.len() <= NAME.len() {
            self.name.push(byte);
        }
    }

    /// Google writes `=` as `\u003d` at times.
    fn escaped_letter(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<()> {
        self.escape = if byte == b'u' { Escape::Hex(4, 0) } else { Escape::None };
        match byte {
            b'u' | b'n' | b'r' | b't' => Ok(()),
            other => self.take_letters(&[other], out),
        }
    }

    fn take_letters(&mut self, letters: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.letters.reserve(letters.len());
        for &letter in letters {
            match letter {
                b'\r' | b'\n' | b'\t' | b' ' => {}
                b'=' => self.padded = true,
                _ if self.padded => return Err(not_base64()),
                _ => self.letters.push(letter),
            }
        }
        let whole = self.letters.len() / 4 * 4;
        append(&self.letters[..whole], out)?;
        self.letters.drain(..whole);
        Ok(())
    }
}

fn append(letters: &[u8], out: &mut Vec<u8>) -> Result<()> {
    URL_SAFE_NO_PAD.decode_vec(letters, out).map_err(|_| not_base64())
}

fn not_base64() -> Error {
    Error::new(ErrorKind::Validation, "the attachment is not base64").with_service("google")
}

fn not_json() -> Error {
    Error::new(ErrorKind::Validation, "the attachment's answer is not the expected JSON").with_service("google")
}
