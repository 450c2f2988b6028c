//! What can be set about the simulated service.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;

use crate::google::call::ApiAnswer;

/// Which of the published quotas holds; units are counted in every case.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum QuotaPreset {
    /// 15,000 units a minute and user, with the former costs of each method.
    Classic,
    /// 6,000 units a minute and user, with the costs since May 2026.
    Gmail2026,
    /// Nothing is refused; units are counted at the costs since May 2026.
    #[default]
    Off,
}

impl QuotaPreset {
    /// Units a minute, user and project; `None` if unlimited.
    pub fn user_units(self) -> Option<u64> {
        match self {
            Self::Classic => Some(15_000),
            Self::Gmail2026 => Some(6_000),
            Self::Off => None,
        }
    }

    /// Units a minute and project; `None` if unlimited.
    pub fn project_units(self) -> Option<u64> {
        match self {
            Self::Classic | Self::Gmail2026 => Some(1_200_000),
            Self::Off => None,
        }
    }
}

/// With which answer a call over the quota is refused; all three are seen at the real service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum QuotaRefusal {
    /// Each of the others in turn.
    #[default]
    Alternate,
    /// 403 with the quota's name, reason and details.
    QuotaExceeded,
    /// 429 with the time after which to try again in its text.
    RetryAfter,
    /// 403 in the older error shape, without `status` and details.
    UserRateLimit,
}

/// Whom a token of its own inside a batch stands for.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Mailbox address, lower case.
    pub account: String,
    /// Client id.
    pub app: String,
    /// Granted scopes, long form.
    pub scopes: BTreeSet<String>,
}

/// Looks at every inner call of a batch and its answer.
pub type Validator = Arc<dyn Fn(&Request<Bytes>, &ApiAnswer) + Send + Sync>;
/// Resolves the token that an inner call of a batch brings along.
pub type BearerResolver = Arc<dyn Fn(&str) -> Option<Bearer> + Send + Sync>;

/// How the service behaves; the default refuses nothing.
#[derive(Clone)]
pub struct GmailSettings {
    /// Which quota holds.
    pub quota: QuotaPreset,
    /// Units a minute and project in place of the quota's.
    pub project_units: Option<u64>,
    /// How a call over the quota is refused.
    pub refusal: QuotaRefusal,
    /// Units by method id (`gmail.users.messages.get`) that replace those of the preset.
    pub costs: BTreeMap<String, u64>,
    /// Whether a calendar minute, besides the sliding one, must keep within the quota.
    pub calendar_minutes: bool,
    /// Calls of one mailbox under way at once; absent: no cap.
    pub concurrency: Option<u32>,
    /// How long the history reaches back.
    pub history_retention: Duration,
    /// How long a page token can be used.
    pub page_token_life: Duration,
    /// After how many further reads of its message an attachment id dies.
    pub attachment_id_reads: u64,
    /// Bytes of text above which a body comes as an attachment id.
    pub inline_text_max: usize,
    /// Messages a mailbox may send in 24 hours; absent: no limit.
    pub daily_sends: Option<u32>,
    /// Whether a sent message's own `Message-ID` is replaced, as has been reported.
    pub rewrite_message_ids: bool,
    /// Seed for the order in which a batch is worked through and answered; absent: as asked.
    pub shuffle: Option<u64>,
    /// Called for every inner call of a batch.
    pub validate: Option<Validator>,
    /// Resolves tokens of inner calls; absent: such a call is unauthorised unless the token is the outer one.
    pub bearer: Option<BearerResolver>,
}

impl Default for GmailSettings {
    fn default() -> Self {
        Self {
            quota: QuotaPreset::Off,
            project_units: None,
            refusal: QuotaRefusal::Alternate,
            costs: BTreeMap::new(),
            calendar_minutes: false,
            concurrency: None,
            history_retention: Duration::from_secs(7 * 24 * 3600),
            page_token_life: Duration::from_secs(24 * 3600),
            attachment_id_reads: 50,
            inline_text_max: 256 * 1024,
            daily_sends: None,
            rewrite_message_ids: false,
            shuffle: None,
            validate: None,
            bearer: None,
        }
    }
}

impl GmailSettings {
    /// Units a minute and project; `None` if unlimited.
    pub(super) fn project_units(&self) -> Option<u64> {
        self.project_units.or(self.quota.project_units())
    }

    /// What a call costs.
    pub(super) fn cost(&self, id: &str, cost: u64, classic: u64) -> u64 {
        let preset = if self.quota == QuotaPreset::Classic { classic } else { cost };
        self.costs.get(id).copied().unwrap_or(preset)
    }
}

impl fmt::Debug for GmailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GmailSettings")
            .field("quota", &self.quota)
            .field("concurrency", &self.concurrency)
            .field("history_retention", &self.history_retention)
            .field("shuffle", &self.shuffle)
            .finish_non_exhaustive()
    }
}
