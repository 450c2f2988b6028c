//! Where a simulated message's bytes come from, and how they are kept in a state file.

use std::{fmt, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Makes the raw message with that number, always the same bytes.
pub type Generator = Arc<dyn Fn(u64) -> Bytes + Send + Sync>;

/// Where a message's bytes come from.
#[derive(Clone)]
pub(crate) enum Source {
    Kept(Bytes),
    OnDemand(u64, Generator),
}

impl Source {
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Kept(raw) => raw.clone(),
            Self::OnDemand(index, generator) => generator(*index),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(raw) => write!(f, "Kept({} bytes)", raw.len()),
            Self::OnDemand(index, _) => write!(f, "OnDemand({index})"),
        }
    }
}

/// A message's bytes in a state file.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SavedRaw {
    /// Standard base64.
    Inline(String),
    /// A path, and the checksum of what it held.
    File(String, u64),
}

impl SavedRaw {
    /// By its file, if it came from one that still holds the same.
    pub(crate) fn of(raw: &[u8], file: Option<(&str, u64)>, checksum: fn(&[u8]) -> u64) -> Self {
        // Only whole paths count: the working directory may be another one when the state is read.
        let still_there = |path: &Path, sum: u64| {
            let same_length = || std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == raw.len() as u64);
            path.is_absolute() && same_length() && std::fs::read(path).is_ok_and(|bytes| checksum(&bytes) == sum)
        };
        match file.filter(|(path, sum)| still_there(Path::new(path), *sum)) {
            Some((path, sum)) => Self::File(path.to_owned(), sum),
            None => Self::Inline(STANDARD.encode(raw)),
        }
    }

    /// The bytes; a file's only if they still have their checksum.
    pub(crate) fn load(self, checksum: fn(&[u8]) -> u64) -> Result<Bytes, String> {
        match self {
            Self::Inline(text) => {
                STANDARD.decode(text).map(Bytes::from).map_err(|e| format!("a message is no base64: {e}"))
            }
            // A file that is gone or changed since: its message stays, empty, until the folder is followed again and
            // the change becomes a deletion that clients hear of.
            Self::File(path, sum) => {
                let bytes = std::fs::read(&path).ok().filter(|bytes| checksum(bytes) == sum);
                Ok(bytes.map(Bytes::from).unwrap_or_default())
            }
        }
    }
}
