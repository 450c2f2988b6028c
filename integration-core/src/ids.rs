//! Opaque identifiers: newtypes that are compared and stored, never parsed.

/// Declares opaque text identifiers: `Clone, Eq, Hash, Ord, Display, FromStr, AsRef<str>`, serde-transparent, no `Deref`.
#[macro_export]
macro_rules! opaque_id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps an identifier as it came.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::convert::Infallible;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Ok(Self(text.to_owned()))
            }
        }
    )+};
}

opaque_id! {
    /// The host's customer; every row and every call belongs to one.
    TenantId,
    /// One client registration at a service ("example-eu"), not the service's name.
    AppId,
    /// What one person or administrator consented to with one app.
    GrantId,
    /// One account reached through a grant.
    ConnectionId,
    /// The service's key of one item of a feed, unique within its feed.
    ItemKey,
    /// One part of a feed with a cursor of its own.
    PartitionId,
    /// What groups items that a service resets together (a series of events).
    GroupKey,
    /// A message, unique within one connection.
    MessageId,
    /// A conversation, unique within one connection.
    ThreadId,
    /// A folder or label of a mailbox, unique within one connection.
    FolderId,
    /// A part of a message, addressable for as long as the message exists.
    PartId,
    /// One entry of the host's timeline.
    ActivityId,
}
