//! The host's timeline: who and what a message is about, and why.

mod directory;
mod identify;
mod lists;
mod mail;
mod matching;
mod mention;
mod model;
mod policy;
mod review;
mod sink;
mod suggestion;
mod summary;

pub use directory::{Company, Deal, Directory, DirectoryAnswer, DirectoryQuery, EmptyDirectory, Person};
pub use identify::{Identification, identify};
pub use lists::NameLists;
pub use matching::{AnswerIndex, Findings, Match, MatchReason, MatchTarget, direct_matches, question};
pub use model::{Activity, ActivityChange, Decision, Outcome, Sighting, SkipReason};
pub use policy::{Bulk, Keep, Logging, MailPolicy, NeverLog, Suggest, Visibility};
pub use review::{Review, ReviewSubject, Verdicts};
pub use sink::{Batch, BatchPage, BatchRetention, NoSink, Sink};
pub use suggestion::{Suggestion, SuggestionSource};
pub use summary::Summary;

pub(crate) use mail::{MailApplier, Seen, spaces};
#[cfg(feature = "oauth")]
pub(crate) use mail::{participant_keys, review};
#[cfg(feature = "oauth")]
pub(crate) use mail::{policy_key, policy_of};
#[cfg(feature = "oauth")]
pub(crate) use matching::without_tag;
pub(crate) use sink::BATCHES;
