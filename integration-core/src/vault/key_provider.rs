//! Where the keys that wrap data keys live.

use std::fmt;

use async_trait::async_trait;

use crate::{error::Result, secret::SecretBytes};

/// A data key, encrypted by one of a provider's keys.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct WrappedKey {
    /// Which of the provider's keys wrapped it; at most 255 bytes.
    pub key_id: String,
    /// The wrapped data key; at most 65,535 bytes.
    pub bytes: Vec<u8>,
}

impl WrappedKey {
    /// A wrapped key of its parts.
    pub fn new(key_id: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { key_id: key_id.into(), bytes: bytes.into() }
    }
}

/// Wraps and unwraps data keys: the seam for a key management service. The bundled one is [`KeyRing`](super::KeyRing).
///
/// Keys rotate: the primary one wraps, older ones still unwrap until every record was sealed anew
/// ([`rotate`](super::rotate)).
#[async_trait]
pub trait KeyProvider: fmt::Debug + Send + Sync + 'static {
    /// The key that wraps from now on; constant for the life of the value.
    fn primary_key_id(&self) -> &str;

    /// Encrypts a data key with the primary key, bound to `associated` (authenticated, not secret).
    ///
    /// # Errors
    /// `Misconfigured` if the key may not be used; temporary where a key service is out of reach.
    async fn wrap(&self, associated: &[u8], data_key: &SecretBytes) -> Result<WrappedKey>;

    /// Decrypts a data key that [`KeyProvider::wrap`] made for the same `associated`, with whichever key wrapped it.
    ///
    /// # Errors
    /// `Misconfigured` if the key is not known; `Validation` if the wrapped key was altered or made for something else;
    /// temporary where a key service is out of reach.
    async fn unwrap(&self, associated: &[u8], wrapped: &WrappedKey) -> Result<SecretBytes>;
}
