//! Implementations that break one promise each, to show that the suites notice.

#[cfg(feature = "mail")]
mod mailbox;
mod scheduler;
mod sink;
mod stores;

#[cfg(feature = "mail")]
pub use mailbox::{CursorRunsAhead, MoveIsRemoval, OneSpoilsAll, Sabotaged, SkipsAPage};
pub use scheduler::PlainQueue;
pub use sink::{OwnTable, Reentrant};
pub use stores::{CursorFirst, LastWriteWins, Unfenced};
