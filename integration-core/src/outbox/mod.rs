//! Writes to a service that must happen once, and what they leave behind.
//!
//! A host *prepares* an intent outside any transaction (it is validated, its ids are chosen, its content is sealed) and
//! *enqueues* it inside one: ours, a sink's, or the host's own that the store was enlisted in. The intent exists exactly if
//! that transaction commits. A job works it off:
//!
//! ```text
//! waiting ─► sending ─► done                    it left
//!    ▲          ├─────► failed                  refused, or out of tries: kept, with the remedy
//!    │          └─────► unknown ─► done         it may have left: looked up at the service ...
//!    └──────────────────────┘                   ... and repeated only once it is proved absent
//! ```
//!
//! `sending` is durable before the service is called, so a process that dies at any point leaves either an intent that was
//! not begun, or one whose outcome is unknown and is looked up. What left is a [`SentItem`] and a [`Link`]; replies, bounces
//! and the message itself coming back through the sync attach to them.

mod effect;
mod enqueue;
mod intent;
mod link;
mod mail;
mod observe;
mod options;
pub(crate) mod rows;
mod sent;
mod step;
#[cfg(test)]
mod tests;
mod worker;

#[cfg(feature = "oauth")]
pub(crate) use self::enqueue::context as content_context;
pub(crate) use self::observe::{Observed, Sight, observe};
pub use self::{
    effect::{Effect, EffectCall, Performed},
    enqueue::{OutboxParts, PreparedIntent, enqueue},
    intent::{Intent, IntentFailure, IntentKey, IntentOptions, IntentState},
    link::{Link, Links, Origin, Ours, Theirs},
    mail::{SEND_KEY_HEADER, SEND_MAIL, SendMail, prepare_mail},
    options::OutboxOptions,
    sent::{Answer, SentBounce, SentItem},
    worker::{Outbox, OutboxEnd},
};
