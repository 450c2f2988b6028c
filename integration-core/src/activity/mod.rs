//! The host's timeline: who and what a message is about, and why.

mod directory;
mod mail;
mod matching;
mod model;
mod sink;

pub use directory::{Company, Deal, Directory, DirectoryAnswer, DirectoryQuery, EmptyDirectory, Person};
pub use matching::{Match, MatchReason, MatchTarget, direct_matches, question};
pub use model::{Activity, ActivityChange, Decision, Outcome, Sighting, SkipReason, Summary};
pub use sink::{Batch, NoSink, Sink};

pub(crate) use mail::MailApplier;
