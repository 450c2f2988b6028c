//! Keeping up with a service: feeds, cursors, jobs, and the one engine that drives every feed.

mod audit;
mod batch;
mod change;
mod cursor;
mod feed;
mod job;
mod mail;

pub use audit::{AuditCost, AuditReport, Gap};
pub use batch::{BatchOutcome, Batches};
pub use change::{Body, Change, ChangePage, Fetched, Next, Reason, Removal, Revision};
pub use cursor::{Cursor, Fingerprint, Window};
pub use feed::{Feed, FeedCapabilities, Partition, PartitionPage, SyncItem};
pub use job::{Job, JobKey, JobKind, JobOutcome, Scheduler};

pub(crate) mod engine;
pub(crate) mod hold;
pub(crate) mod publish;
pub(crate) mod rows;
mod scheduler;
mod shutdown;

#[cfg(feature = "oauth")]
pub(crate) use engine::sync_lease;
pub use engine::{SliceEnd, SyncOptions};
pub use mail::MailSync;
pub use scheduler::{BundledScheduler, JobRunner, SchedulerOptions};
pub use shutdown::Shutdown;

#[cfg(test)]
mod tests;
