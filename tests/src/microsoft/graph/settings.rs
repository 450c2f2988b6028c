//! What can be set about the simulated service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use super::ids::IdLetters;
use crate::call::ApiAnswer;

/// Which of the published quotas holds; requests are counted in every case.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum QuotaPreset {
    /// Nothing is refused.
    #[default]
    Off,
    /// 10,000 requests in 10 minutes by app and mailbox, 150 MB of uploads in 5, and 4 requests at once.
    Outlook,
}

impl QuotaPreset {
    /// Requests by app and mailbox in any ten minutes; `None` if unlimited.
    pub fn requests(self) -> Option<usize> {
        (self == Self::Outlook).then_some(10_000)
    }

    /// Bytes that an app sends to a mailbox in any five minutes (`PATCH`, `POST`, `PUT`); `None` if unlimited.
    pub fn upload_bytes(self) -> Option<u64> {
        (self == Self::Outlook).then_some(150 * 1024 * 1024)
    }

    /// Requests by app and mailbox under way at once; `None` if unlimited.
    pub fn concurrency(self) -> Option<u32> {
        (self == Self::Outlook).then_some(4)
    }
}

/// How a delta link that is too old is refused.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LostDelta {
    /// One or the other, in no order; so is the spelling of the code.
    #[default]
    Alternate,
    /// 400.
    BadRequest,
    /// 410, with the address of a new start.
    Gone,
}

/// Where a message goes that is deleted by `DELETE`; the documentation leaves it open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DeleteLands {
    /// The folder that people see.
    DeletedItems,
    /// The folder below it.
    #[default]
    RecoverableItems,
}

/// What becomes of the comment of `createReply` and its like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DraftComment {
    /// It stands above the quoted message.
    Kept,
    /// It is not in the draft: a known problem of the service.
    #[default]
    Lost,
}

/// Whether a change tells all of a message or only what is different.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DeltaUpdates {
    /// The whole message.
    Full,
    /// The id and the properties that changed.
    #[default]
    Partial,
}

/// How delta tells of a message that left a folder and came back, to clients with immutable ids.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Returned {
    /// As a message that is there.
    #[default]
    Told,
    /// Only as removed: a known problem of the service.
    ToldAsRemoved,
}

/// What a message that was moved out of a folder is said to be removed for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MoveReason {
    /// `changed`.
    #[default]
    Changed,
    /// `deleted`, as for one that is gone.
    Deleted,
}

/// How the inner part of an error is named; both are seen at the real service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ErrorSpelling {
    /// Each of the others in turn.
    Alternate,
    /// `innerError`, as the description has it.
    #[default]
    Camel,
    /// `innererror`.
    Lower,
}

/// Looks at every inner call of a batch and its answer.
pub type Validator = Arc<dyn Fn(&Request<Bytes>, &ApiAnswer) + Send + Sync>;
/// Takes mail for addresses that have no mailbox here: recipient, raw message, when.
pub type Outbound = Arc<dyn Fn(&str, &Bytes, DateTime<Utc>) + Send + Sync>;

/// What stands at the addresses of notifications: gets a request, gives its answer.
pub type Endpoint = Arc<dyn Fn(Request<Bytes>) -> Response<Bytes> + Send + Sync>;

/// How the service behaves; the default refuses nothing.
#[derive(Clone)]
pub struct GraphSettings {
    /// Which quota holds.
    pub quota: QuotaPreset,
    /// Requests by app and mailbox under way at once, instead of the preset's.
    pub concurrency: Option<u32>,
    /// How many generations of a chain of delta links can be used.
    pub delta_generations: usize,
    /// How many chains of delta links a mailbox remembers before it forgets the oldest.
    pub delta_chains: usize,
    /// Items that a page of delta has at most, whatever the client prefers; absent: as many as it prefers.
    pub delta_page: Option<usize>,
    /// How a lost delta link is refused.
    pub lost_delta: LostDelta,
    /// Whether changes come whole or in part.
    pub delta_updates: DeltaUpdates,
    /// How delta tells of a message that returned.
    pub returned: Returned,
    /// The reason given for a message that was moved away.
    pub move_reason: MoveReason,
    /// Seed for disorder in delta pages: changes in another order, some twice, some pages short or empty; absent: none.
    pub disorder: Option<u64>,
    /// Whether a folder counts as changed when messages come and go.
    pub folder_counts: FolderCounts,
    /// Where `DELETE` puts messages.
    pub delete_lands: DeleteLands,
    /// What becomes of the comment of `createReply`.
    pub draft_comment: DraftComment,
    /// How long after sending the copy in the sent items can be seen. Until then nothing is found under the draft's id.
    pub sent_lag: Duration,
    /// Bytes that a message may have when it is sent.
    pub send_size_max: usize,
    /// How long an upload of an attachment may take.
    pub upload_life: Duration,
    /// Host (and scheme) of upload URLs; absent: the host that was asked.
    pub upload_origin: Option<String>,
    /// How the inner part of errors is named.
    pub error_spelling: ErrorSpelling,
    /// Letters of ids.
    pub id_letters: IdLetters,
    /// Seed for the order in which a batch is worked through and answered; absent: as asked.
    pub shuffle: Option<u64>,
    /// Called for every inner call of a batch.
    pub validate: Option<Validator>,
    /// Asked whether it wants notifications before a subscription is made or led to another address; absent: nobody is
    /// asked, and every address will do.
    pub endpoint: Option<Endpoint>,
    /// Called with mail for addresses without a mailbox here; absent: such mail is lost.
    pub outbound: Option<Outbound>,
}

/// Whether a folder counts as changed when messages come and go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FolderCounts {
    /// It does: its counts are properties like others.
    #[default]
    AreChanges,
    /// It does not.
    AreNoChanges,
}

impl Default for GraphSettings {
    fn default() -> Self {
        Self {
            quota: QuotaPreset::Off,
            concurrency: None,
            delta_generations: 3,
            delta_chains: 1_000,
            delta_page: None,
            lost_delta: LostDelta::Alternate,
            delta_updates: DeltaUpdates::Partial,
            returned: Returned::Told,
            move_reason: MoveReason::Changed,
            disorder: None,
            folder_counts: FolderCounts::AreChanges,
            delete_lands: DeleteLands::RecoverableItems,
            draft_comment: DraftComment::Lost,
            sent_lag: Duration::ZERO,
            send_size_max: 35 * 1024 * 1024,
            upload_life: Duration::from_secs(3_600),
            upload_origin: None,
            error_spelling: ErrorSpelling::Camel,
            id_letters: IdLetters::UrlSafe,
            shuffle: None,
            validate: None,
            endpoint: None,
            outbound: None,
        }
    }
}

impl GraphSettings {
    /// Requests by app and mailbox under way at once.
    pub(super) fn cap(&self) -> Option<u32> {
        self.concurrency.or_else(|| self.quota.concurrency())
    }

    /// Of so many items that a client asks for, those that come on a page of delta.
    pub(super) fn delta_size(&self, asked: usize) -> usize {
        self.delta_page.map_or(asked, |most| asked.min(most.max(1)))
    }
}

impl fmt::Debug for GraphSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphSettings")
            .field("quota", &self.quota)
            .field("concurrency", &self.concurrency)
            .field("disorder", &self.disorder)
            .field("shuffle", &self.shuffle)
            .finish_non_exhaustive()
    }
}

/// Odd answers of the whole service; can be changed while it runs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Oddities {
    /// So many of the next calls are answered with a gateway's HTML page, status 502.
    pub gateway_pages: u32,
    /// So many of the next refusals have no body.
    pub empty_errors: u32,
    /// So many of the next changes of a message are refused as conflicts.
    pub conflicts: u32,
    /// Scheme and host that stand in links to a next page instead of the service's own.
    pub foreign_next_link: Option<String>,
    /// Pages with more messages than this end in 504.
    pub largest_page: Option<usize>,
    /// So many pages of lists are empty, with a link to the next.
    pub empty_pages: u32,
}

/// What is odd about one message, whenever it is shown.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// `from` and `sender` are null.
    FromNull,
    /// The sender has a directory name instead of an address.
    FromDirectoryName,
    /// There is no body and no preview.
    NoBody,
    /// `importance`, `flagStatus` and the body's type are words that no description lists.
    UnknownMembers,
    /// Properties have types that no description allows.
    WrongTypes,
}
