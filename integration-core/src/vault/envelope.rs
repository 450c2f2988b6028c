//! The bytes of a sealed record.
//!
//! ```text
//! magic "ISV" | format (1) | key id length (1) | key id | wrapped key length (2, big endian) | wrapped key
//! | nonce (12) | ciphertext and tag (16)
//! ```
//!
//! Format 1 is bound to tenant, record and field; format 2 to the record's version as well.

use super::{
    aead::{NONCE_BYTES, TAG_BYTES},
    key_provider::WrappedKey,
    sealer::SealContext,
};
use crate::error::{Error, ErrorKind, Result};

const MAGIC: &[u8; 3] = b"ISV";
const PLACE: u8 = 1;
const VERSION: u8 = 2;

/// A sealed record taken apart.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    format: u8,
    pub(super) wrapped: WrappedKey,
    /// Nonce, ciphertext and tag.
    pub(super) content: &'a [u8],
}

/// Reads a sealed record; hostile bytes give an error.
pub(super) fn parse(sealed: &[u8]) -> Result<Envelope<'_>> {
    let broken = || Error::new(ErrorKind::Validation, "this is not a sealed record, or it was cut short");
    let rest = sealed.strip_prefix(MAGIC.as_slice()).ok_or_else(broken)?;
    let (&format, rest) = rest.split_first().ok_or_else(broken)?;
    if !(PLACE..=VERSION).contains(&format) {
        let message = format!("the record was sealed in format {format}; this version reads up to {VERSION}");
        return Err(Error::new(ErrorKind::Validation, message));
    }
    let (&length, rest) = rest.split_first().ok_or_else(broken)?;
    let (key_id, rest) = rest.split_at_checked(length.into()).ok_or_else(broken)?;
    let key_id = std::str::from_utf8(key_id).map_err(|_| broken())?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(broken)?;
    let (wrapped, content) = rest.split_at_checked(u16::from_be_bytes(*length).into()).ok_or_else(broken)?;
    if content.len() < NONCE_BYTES + TAG_BYTES {
        return Err(broken());
    }
    Ok(Envelope { format, wrapped: WrappedKey::new(key_id, wrapped), content })
}

/// The record's head; nonce and ciphertext follow.
pub(super) fn head(context: &SealContext, wrapped: &WrappedKey, content_bytes: usize) -> Result<Vec<u8>> {
    let too_long = |what| Error::new(ErrorKind::Misconfigured, format!("the key provider's {what} is too long"));
    let id_length = u8::try_from(wrapped.key_id.len()).map_err(|_| too_long("key id"))?;
    let key_length = u16::try_from(wrapped.bytes.len()).map_err(|_| too_long("wrapped key"))?;
    let mut bytes = Vec::with_capacity(7 + wrapped.key_id.len() + wrapped.bytes.len() + content_bytes);
    bytes.extend_from_slice(MAGIC);
    bytes.push(format_for(context));
    bytes.push(id_length);
    bytes.extend_from_slice(wrapped.key_id.as_bytes());
    bytes.extend_from_slice(&key_length.to_be_bytes());
    bytes.extend_from_slice(&wrapped.bytes);
    Ok(bytes)
}

/// What a record that is about to be sealed is bound to.
pub(super) fn binding(purpose: &str, context: &SealContext) -> Vec<u8> {
    associated(format_for(context), purpose, context)
}

impl Envelope<'_> {
    /// What the record was bound to, if it was sealed for `context`.
    pub(super) fn binding(&self, purpose: &str, context: &SealContext) -> Vec<u8> {
        associated(self.format, purpose, context)
    }
}

fn format_for(context: &SealContext) -> u8 {
    if context.version.is_some() { VERSION } else { PLACE }
}

/// Unambiguous whatever the parts contain: each one is preceded by its length.
///
/// `purpose` keeps a wrapped key from ever passing as content and the other way round.
fn associated(format: u8, purpose: &str, context: &SealContext) -> Vec<u8> {
    let mut bytes = vec![format];
    for part in [purpose, context.tenant.as_str(), &context.record, context.field] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    // A record of format 1 has no version; one of format 2 opens for none but its own.
    if let Some(version) = context.version.filter(|_| format == VERSION) {
        bytes.extend_from_slice(&version.to_be_bytes());
    }
    bytes
}
