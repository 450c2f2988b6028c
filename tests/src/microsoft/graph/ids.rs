//! Ids as the service writes them: long, opaque, and case-sensitive.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::answer::Refusal;

/// What an id names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Attachment,
    Conversation,
    Folder,
    Immutable,
    Mutable,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Attachment, Self::Conversation, Self::Folder, Self::Immutable, Self::Mutable];

    fn prefix(self) -> &'static str {
        match self {
            Self::Attachment => "AAMkBE",
            Self::Conversation => "AAQkAD",
            Self::Folder => "AQMkAD",
            Self::Immutable => "AAkALg",
            Self::Mutable => "AAMkAG",
        }
    }
}

/// Which letters stand for the last two values of base64.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum IdLetters {
    /// `-` and `_`, as most ids have them.
    #[default]
    UrlSafe,
    /// `+` and `/`, which a client must percent-encode in paths.
    WithSlashes,
}

/// An id taken apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Id {
    pub(super) kind: Kind,
    owner: u32,
    pub(super) number: u64,
    /// Of a mutable id: how often the item had been moved; of an attachment the same, or [`STAYS`].
    pub(super) moves: u32,
}

/// Stands for the moves in an id that does not change with them.
pub(super) const STAYS: u32 = u32::MAX;

impl Id {
    pub(super) fn new(kind: Kind, owner: &str, number: u64, moves: u32) -> Self {
        Self { kind, owner: owner_number(owner), number, moves }
    }

    /// The id as text.
    pub(super) fn text(self, letters: IdLetters) -> String {
        let bytes = self.bytes();
        let encoded = match letters {
            IdLetters::UrlSafe => URL_SAFE.encode(bytes),
            IdLetters::WithSlashes => STANDARD.encode(bytes),
        };
        format!("{}{encoded}", self.kind.prefix())
    }

    fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&self.owner.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.number.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.moves.to_be_bytes());
        let first = checksum(&bytes[..16]);
        bytes[16..24].copy_from_slice(&first.to_be_bytes());
        let second = checksum(&bytes[..24]);
        bytes[24..].copy_from_slice(&second.to_be_bytes());
        bytes
    }

    /// Reads an id; one that this service cannot have given is refused.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        Self::read(text).ok_or_else(Refusal::malformed_id)
    }

    fn read(text: &str) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))?;
        let rest = text[kind.prefix().len()..].replace('+', "-").replace('/', "_");
        let bytes = URL_SAFE.decode(rest).ok()?;
        let owner = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
        let number = u64::from_be_bytes(bytes.get(4..12)?.try_into().ok()?);
        let moves = u32::from_be_bytes(bytes.get(12..16)?.try_into().ok()?);
        let id = Self { kind, owner, number, moves };
        (bytes == id.bytes()).then_some(id)
    }

    /// Whether the id belongs to that mailbox.
    pub(super) fn is_of(self, owner: &str) -> bool {
        self.owner == owner_number(owner)
    }
}

fn owner_number(owner: &str) -> u32 {
    (checksum(owner.as_bytes()) >> 32) as u32
}

/// A number in the shape of a GUID, always the same for the same text.
pub(super) fn guid(text: &str) -> String {
    let (a, b) = (checksum(text.as_bytes()), checksum(format!("{text}/2").as_bytes()));
    let node = b & 0xffff_ffff_ffff;
    format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{node:012x}", a >> 32, (a >> 16) & 0xffff, a & 0xfff, (b >> 48) & 0xfff)
}

/// FNV-1a, mixed so that every bit depends on every other: spreads ids and binds tokens to what they were given for; no
/// protection against anyone.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
