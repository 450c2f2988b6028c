//! Decoding an attachment while it arrives: the answer is JSON with one large base64 text, in pieces of any size.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use integration_core::{Error, ErrorKind, Result, http::ByteStream};

/// Turns the answer of `attachments.get` into the attachment's bytes, in constant memory.
pub(super) fn decode(answer: ByteStream) -> ByteStream {
    let state = (answer, Decoder::default(), false);
    let decoded = stream::try_unfold(state, |(mut answer, mut decoder, ended)| async move {
        if ended {
            return Ok(None);
        }
        match answer.try_next().await? {
            Some(chunk) => {
                let bytes = decoder.push(&chunk)?;
                Ok(Some((bytes, (answer, decoder, false))))
            }
            None => {
                let rest = decoder.finish()?;
                Ok(Some((rest, (answer, decoder, true))))
            }
        }
    });
    decoded.try_filter(|bytes| std::future::ready(!bytes.is_empty())).boxed()
}

/// Where in the answer it is.
#[derive(Debug, Default, Eq, PartialEq)]
enum At {
    /// After the closing quote of the data.
    After,
    /// Between names and values outside of texts.
    #[default]
    Between,
    /// Inside the data.
    Data,
    /// Inside another text; true after a backslash.
    Text(bool),
}

#[derive(Debug, Default)]
struct Decoder {
    at: At,
    /// The text being read, as long as it may be the name.
    text: Vec<u8>,
    /// The name was read; a text that follows its colon is the data.
    named: bool,
    /// Letters that do not make four yet.
    letters: Vec<u8>,
}

impl Decoder {
    fn push(&mut self, chunk: &[u8]) -> Result<Bytes> {
        for &byte in chunk {
            match self.at {
                At::After => {}
                At::Between => self.between(byte),
                At::Text(true) => self.at = At::Text(false),
                At::Text(false) => match byte {
                    b'\\' => self.at = At::Text(true),
                    b'"' => {
                        self.named = self.text == b"data";
                        self.at = At::Between;
                    }
                    _ if self.text.len() < 8 => self.text.push(byte),
                    _ => {}
                },
                At::Data => match byte {
                    b'"' => self.at = At::After,
                    // Padding and (escaped) line ends carry nothing.
                    b'=' | b'\r' | b'\n' | b' ' => {}
                    _ => self.letters.push(byte),
                },
            }
        }
        let whole = self.letters.len() / 4 * 4;
        let rest = self.letters.split_off(whole);
        let ready = std::mem::replace(&mut self.letters, rest);
        plain(&ready)
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b'"' if self.named => self.at = At::Data,
            b'"' => {
                self.text.clear();
                self.at = At::Text(false);
            }
            b':' | b' ' | b'\r' | b'\n' | b'\t' => {}
            _ => self.named = false,
        }
    }

    fn finish(&mut self) -> Result<Bytes> {
        if self.at != At::After {
            return Err(Error::new(ErrorKind::Transport, "the attachment's answer ended early").with_service("google"));
        }
        plain(&std::mem::take(&mut self.letters))
    }
}

fn plain(letters: &[u8]) -> Result<Bytes> {
    let wrong = |error| {
        Error::new(ErrorKind::Validation, "the attachment is not base64").with_service("google").with_source(error)
    };
    URL_SAFE_NO_PAD.decode(letters).map(Bytes::from).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE};
    use proptest::prelude::*;

    use super::Decoder;

    proptest! {
        #[test]
        fn any_split_gives_the_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..500), step in 1_usize..40) {
            let answer = format!("{{\n \"size\": {}, \"x\": \"a\\\"data\",\n \"data\": \"{}\"\n}}", bytes.len(), URL_SAFE.encode(&bytes));
            let mut decoder = Decoder::default();
            let mut decoded = Vec::new();
            for chunk in answer.as_bytes().chunks(step) {
                decoded.extend_from_slice(&decoder.push(chunk).unwrap());
            }
            decoded.extend_from_slice(&decoder.finish().unwrap());
            prop_assert_eq!(decoded, bytes);
        }

        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let mut decoder = Decoder::default();
            let _ = decoder.push(&bytes);
            let _ = decoder.finish();
        }
    }

    #[test]
    fn a_cut_off_answer_is_an_error() {
        let mut decoder = Decoder::default();
        decoder.push(b"{\"data\":\"AAAA").unwrap();
        assert!(decoder.finish().is_err());
    }
}
