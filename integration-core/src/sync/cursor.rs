//! Opaque positions in a feed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// What a cursor was made for: anything that must stay the same between the calls of one walk.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// A fingerprint of the parameters that must not change.
    pub fn of<S: AsRef<str>>(parameters: impl IntoIterator<Item = S>) -> Self {
        use sha2::Digest;
        let mut digest = sha2::Sha256::new();
        for parameter in parameters {
            let parameter = parameter.as_ref();
            digest.update(parameter.len().to_le_bytes());
            digest.update(parameter);
        }
        Self(hex::encode(&digest.finalize()[..8]))
    }
}

/// A service's position in a partition: opaque to everyone but the feed that made it, and storable.
#[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    version: u16,
    params: Fingerprint,
    position: String,
}

impl Cursor {
    /// A position in format `version`, made for `params`.
    pub fn new(version: u16, params: Fingerprint, position: impl Into<String>) -> Self {
        Self { version, params, position: position.into() }
    }

    /// The position, if the cursor is of this format and was made for these parameters.
    ///
    /// # Errors
    /// [`ErrorKind::CursorExpired`] otherwise: a new snapshot is needed.
    pub fn position(&self, version: u16, params: &Fingerprint) -> Result<&str> {
        if self.version == version && self.params == *params {
            return Ok(&self.position);
        }
        Err(Error::new(ErrorKind::CursorExpired, "the cursor was made by another version or for other parameters"))
    }
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Positions may hold links with tokens in them.
        write!(f, "Cursor(v{}, {} bytes)", self.version, self.position.len())
    }
}

/// Which items a snapshot enumerates.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Window {
    /// Not older than this; `None`: everything.
    pub since: Option<DateTime<Utc>>,
    /// Not newer than this; `None`: no limit.
    pub until: Option<DateTime<Utc>>,
}

impl Window {
    /// Everything since `since`.
    #[must_use]
    pub fn since(since: DateTime<Utc>) -> Self {
        Self { since: Some(since), until: None }
    }
}
