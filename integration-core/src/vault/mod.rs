//! Encryption of secrets at rest.
//!
//! [`Sealer`] is what the rest of core asks for. The bundled one is [`Vault`] (feature `crypto`): every record has a data
//! key of its own, wrapped by a key of a [`KeyProvider`] — the bundled [`KeyRing`], or a key management service. A sealed
//! record is bound to its tenant, record, field and, where it has one, version: moved elsewhere, or put back after a newer
//! one was saved, it does not open.

#[cfg(feature = "crypto")]
mod aead;
#[cfg(feature = "crypto")]
mod envelope;
#[cfg(feature = "crypto")]
#[cfg(test)]
mod hostile;
#[cfg(feature = "crypto")]
mod key_provider;
#[cfg(feature = "crypto")]
mod key_ring;
#[cfg(feature = "crypto")]
mod rotation;
mod sealer;
#[cfg(feature = "crypto")]
#[cfg(test)]
mod tests;
#[cfg(feature = "crypto")]
#[allow(clippy::module_inception, reason = "the file is named after its one type")]
mod vault;

#[cfg(feature = "crypto")]
pub use key_provider::{KeyProvider, WrappedKey};
#[cfg(feature = "crypto")]
pub use key_ring::KeyRing;
#[cfg(feature = "oauth")]
pub(crate) use rotation::token_context;
#[cfg(feature = "crypto")]
pub use rotation::{Rotation, rotate};
pub use sealer::{SealContext, Sealer};
#[cfg(feature = "crypto")]
pub use vault::Vault;
