//! Gmail's quotas as data. Source: <https://developers.google.com/workspace/gmail/api/reference/quota>.

use std::time::Duration;

use integration_core::http::{QuotaScope, QuotaTable, QuotaUnit, QuotaWindow};
use serde::Deserialize;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Undocumented at the service; reports range from 10 to 50.
const CONCURRENCY: u32 = 10;

/// Which limits a project has: those of projects since May 2026, or the ones from before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GmailQuota {
    /// 6,000 units a minute and user.
    #[default]
    #[serde(rename = "gmail-2026")]
    Gmail2026,
    /// 15,000 units a minute and user; costs as in 2026, since what older projects pay is not stated.
    GmailClassic,
    /// No limits but concurrency: for sandboxes.
    Off,
}

impl GmailQuota {
    /// The preset's table.
    #[must_use]
    pub fn table(self) -> QuotaTable {
        let user = |units| QuotaWindow::new(QuotaScope::AppAndAccount, QuotaUnit::Units, units, MINUTE);
        let project = |units, length| QuotaWindow::new(QuotaScope::App, QuotaUnit::Units, units, length);
        let table = match self {
            Self::Gmail2026 => QuotaTable::unlimited("gmail-2026")
                .with_window(user(6_000))
                .with_window(project(1_200_000, MINUTE))
                .with_window(project(80_000_000, DAY)),
            Self::GmailClassic => {
                QuotaTable::unlimited("gmail-classic").with_window(user(15_000)).with_window(project(1_200_000, MINUTE))
            }
            Self::Off => QuotaTable::unlimited("off"),
        };
        table.with_concurrency(CONCURRENCY)
    }
}

/// Units per method.
pub(crate) mod cost {
    pub(crate) const ATTACHMENT: u32 = 20;
    pub(crate) const GET: u32 = 20;
    pub(crate) const HISTORY: u32 = 2;
    pub(crate) const LABELS: u32 = 1;
    pub(crate) const LIST: u32 = 5;
    pub(crate) const MODIFY: u32 = 5;
    pub(crate) const PROFILE: u32 = 1;
    pub(crate) const SEND: u32 = 100;
    /// Userinfo is not part of Gmail's quota.
    pub(crate) const USERINFO: u32 = 0;
}
