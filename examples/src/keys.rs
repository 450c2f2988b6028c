//! The key that seals tokens: from the environment, or from a file that only its owner can read.

use std::path::Path;

use integration_core::{Error, ErrorKind, Result, store::TokenStore, vault::KeyRing};

/// The variable that holds the key, base64 of 32 bytes.
pub const VARIABLE: &str = "INTEGRATION_KEY";

/// Takes the key from the environment, else from the file beside the database, which is made on first use (mode 0600).
///
/// # Errors
/// `Misconfigured`, with the command that makes a key; or if `store` holds sealed tokens and the key is gone.
pub async fn key_ring(beside: &Path, store: &dyn TokenStore) -> Result<KeyRing> {
    if let Some(text) = std::env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty()) {
        return KeyRing::from_env_value(VARIABLE, Some(&text));
    }
    let file = beside.with_extension("key");
    // A new key would open nothing that the lost one sealed.
    if !file.exists() && !store.list(None, 1).await?.is_empty() {
        let message = format!(
            "the key file {} is gone, and what is in {} was sealed with it; put it back, or set {VARIABLE}",
            file.display(),
            beside.display()
        );
        return Err(Error::new(ErrorKind::Misconfigured, message));
    }
    KeyRing::load_or_create_file(file)
}
