//! Envelope encryption: one data key per record, wrapped by a key of the provider.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    aead::{self, KEY_BYTES, NONCE_BYTES, TAG_BYTES},
    envelope,
    key_provider::KeyProvider,
    sealer::{SealContext, Sealer},
};
use crate::{
    clock::Random,
    error::{Error, ErrorKind, Result},
    secret::SecretBytes,
};

const CONTENT: &str = "content";
const DATA_KEY: &str = "data key";

/// The bundled [`Sealer`]: AES-256-GCM-SIV with a random data key per record, bound to tenant, record, field, version
/// (where the record has one) and format. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Vault {
    keys: Arc<dyn KeyProvider>,
    random: Arc<dyn Random>,
}

impl Vault {
    /// A vault over the keys of `keys`.
    #[must_use]
    pub fn new(keys: Arc<dyn KeyProvider>, random: Arc<dyn Random>) -> Self {
        Self { keys, random }
    }

    /// Was the record sealed under another key than the primary one?
    ///
    /// # Errors
    /// `Validation` if it is not a sealed record.
    pub fn needs_resealing(&self, sealed: &[u8]) -> Result<bool> {
        Ok(envelope::parse(sealed)?.wrapped.key_id != self.keys.primary_key_id())
    }

    /// The same record sealed anew with the primary key, for another context (its next version).
    ///
    /// # Errors
    /// As [`Sealer::open`] and [`Sealer::seal`].
    pub async fn reseal(&self, from: &SealContext, to: &SealContext, sealed: &[u8]) -> Result<Bytes> {
        let plain = self.open(from, sealed).await?;
        self.seal(to, plain.expose()).await
    }
}

#[async_trait]
impl Sealer for Vault {
    async fn seal(&self, context: &SealContext, plain: &[u8]) -> Result<Bytes> {
        let mut data_key = zeroize::Zeroizing::new(vec![0; KEY_BYTES]);
        self.random.fill(&mut data_key);
        let data_key = SecretBytes::new(std::mem::take(&mut *data_key));
        let wrapped = self.keys.wrap(&envelope::binding(DATA_KEY, context), &data_key).await?;
        let mut nonce = [0; NONCE_BYTES];
        self.random.fill(&mut nonce);
        let mut bytes = envelope::head(context, &wrapped, NONCE_BYTES + plain.len() + TAG_BYTES)?;
        aead::encrypt(data_key.expose(), nonce, &envelope::binding(CONTENT, context), plain, &mut bytes)?;
        Ok(bytes.into())
    }

    async fn open(&self, context: &SealContext, sealed: &[u8]) -> Result<SecretBytes> {
        let envelope = envelope::parse(sealed)?;
        let data_key = self.keys.unwrap(&envelope.binding(DATA_KEY, context), &envelope.wrapped).await?;
        aead::decrypt(data_key.expose(), &envelope.binding(CONTENT, context), envelope.content)?.ok_or_else(altered)
    }
}

/// What is said about a record that does not open: nothing about its content.
pub(super) fn altered() -> Error {
    Error::new(ErrorKind::Validation, "the sealed record was altered, moved, or sealed for something else")
}
