//! AES-256-GCM-SIV, in the two forms the vault needs.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{
    error::{Error, ErrorKind, Result},
    secret::SecretBytes,
};

pub(super) const KEY_BYTES: usize = 32;
pub(super) const NONCE_BYTES: usize = 12;
pub(super) const TAG_BYTES: usize = 16;

/// Encrypts `plain` and appends nonce, ciphertext and tag to `into`.
///
/// The SIV mode keeps its promise (but for showing equality) even if a nonce ever came twice.
pub(super) fn encrypt(
    key: &[u8],
    nonce: [u8; NONCE_BYTES],
    associated: &[u8],
    plain: &[u8],
    into: &mut Vec<u8>,
) -> Result<()> {
    // With room for the tag from the start, the plain text is never left behind by a reallocation.
    let mut buffer = Vec::with_capacity(plain.len() + TAG_BYTES);
    buffer.extend_from_slice(plain);
    cipher(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), &mut buffer)
        .map_err(|_| Error::new(ErrorKind::InvalidInput, "the value is too large to be sealed"))?;
    into.extend_from_slice(&nonce);
    into.append(&mut buffer);
    Ok(())
}

/// Decrypts what [`encrypt`] appended; `None` if anything about it is not as it was made.
pub(super) fn decrypt(key: &[u8], associated: &[u8], sealed: &[u8]) -> Result<Option<SecretBytes>> {
    let Some((nonce, ciphertext)) = sealed.split_first_chunk::<NONCE_BYTES>() else { return Ok(None) };
    let mut buffer = ciphertext.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let Ok(plain) = cipher(key)?.open_in_place(nonce, Aad::from(associated), &mut buffer) else { return Ok(None) };
    let length = plain.len();
    buffer.truncate(length);
    Ok(Some(SecretBytes::new(buffer)))
}

fn cipher(key: &[u8]) -> Result<LessSafeKey> {
    let unusable = |_| Error::new(ErrorKind::Misconfigured, "an encryption key must have 32 bytes");
    UnboundKey::new(&AES_256_GCM_SIV, key).map(LessSafeKey::new).map_err(unusable)
}
