//! The key that seals tokens: from the environment, or from a file that only its owner can read.

use std::path::Path;

use integration_core::{Result, vault::KeyRing};

/// The variable that holds the key, base64 of 32 bytes.
pub const VARIABLE: &str = "INTEGRATION_KEY";

/// Takes the key from the environment, else from the file beside the database, which is made on first use (mode 0600).
///
/// # Errors
/// `Misconfigured`, with the command that makes a key.
pub fn key_ring(beside: &Path) -> Result<KeyRing> {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => KeyRing::from_base64(&text),
        _ => KeyRing::load_or_create_file(beside.with_extension("key")),
    }
}
