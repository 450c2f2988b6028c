//! Mail: what a mailbox provider does, and what a message is.

#[cfg(feature = "mail")]
pub mod compose;
#[cfg(feature = "mail")]
pub mod kind;
#[cfg(feature = "mail")]
pub mod parse;
mod provider;
#[cfg(feature = "mail")]
pub mod reply;
#[cfg(feature = "mail")]
pub mod report;
#[cfg(feature = "mail")]
pub mod signature;
#[cfg(feature = "mail")]
mod table;
mod types;

pub use provider::{
    Depth, Drafts, EmailCapabilities, EmailProvider, EmailProviderExt, Folder, Folders, LookUp, MessageQuery,
    MessageStub, SendKey, SendOptions, Sent,
};
pub use types::{
    Address, Attachment, Direction, MailFlags, MailItem, MailKind, Message, MessageHeaders, Outgoing,
    OutgoingAttachment, ReplyTo, ReportPart, Role,
};
