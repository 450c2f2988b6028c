//! Outlook's quotas as data. Source: <https://learn.microsoft.com/graph/throttling-limits>.

use std::{str::FromStr, time::Duration};

use integration_core::{
    Error, ErrorKind,
    http::{QuotaScope, QuotaTable, QuotaUnit, QuotaWindow},
};
use serde::Deserialize;

const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// What may be carried to a mailbox in five minutes.
const UPLOADS: u64 = 150_000_000;
const TEN_MINUTES: Duration = Duration::from_secs(600);
const TEN_SECONDS: Duration = Duration::from_secs(10);
const CONCURRENCY: u32 = 4;

/// Which limits an app has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[non_exhaustive]
pub enum OutlookQuota {
    /// No limits but the concurrency; calls are counted all the same.
    #[serde(rename = "off")]
    Off,
    /// 10,000 calls in ten minutes and 150 MB of uploads in five per mailbox, and 130,000 calls in ten seconds over the
    /// whole app.
    #[default]
    #[serde(rename = "outlook")]
    Outlook,
    /// The same per mailbox, and 20,000 in ten seconds over the whole app: what was stated until 2023.
    #[serde(rename = "outlook-classic")]
    OutlookClassic,
}

impl OutlookQuota {
    /// All presets.
    pub const ALL: [Self; 3] = [Self::Outlook, Self::OutlookClassic, Self::Off];

    /// The preset's name: `outlook`, `outlook-classic`, `off`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Outlook => "outlook",
            Self::OutlookClassic => "outlook-classic",
        }
    }

    /// The preset's table.
    #[must_use]
    pub fn table(self) -> QuotaTable {
        self.table_with(&OutlookQuotaOverrides::default())
    }

    pub(crate) fn table_with(self, over: &OutlookQuotaOverrides) -> QuotaTable {
        let (mailbox, app) = match self {
            Self::Off => (None, None),
            Self::Outlook => (Some(10_000), Some(130_000)),
            Self::OutlookClassic => (Some(10_000), Some(20_000)),
        };
        let windows = [
            (QuotaScope::AppAndAccount, over.mailbox_calls_per_ten_minutes.or(mailbox), TEN_MINUTES),
            (QuotaScope::App, over.app_calls_per_ten_seconds.or(app), TEN_SECONDS),
        ];
        let mut table = QuotaTable::unlimited(self.name());
        for (scope, limit, length) in windows {
            table.windows.extend(limit.map(|limit| QuotaWindow::new(scope, QuotaUnit::Calls, limit, length)));
        }
        let uploads = over.mailbox_uploaded_bytes_per_five_minutes.or((self != Self::Off).then_some(UPLOADS));
        let bytes = |limit| QuotaWindow::new(QuotaScope::AppAndAccount, QuotaUnit::UploadedBytes, limit, FIVE_MINUTES);
        table.windows.extend(uploads.map(bytes));
        table.concurrency = over.concurrency.or(Some(CONCURRENCY));
        if let Some(percent) = over.background_percent {
            table.background_percent = percent.min(100);
        }
        table
    }
}

impl FromStr for OutlookQuota {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == name)
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the quota is one of outlook, outlook-classic and off"))
    }
}

/// Single limits in place of a preset's; what is absent stays as the preset has it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OutlookQuotaOverrides {
    /// Calls in ten minutes, per app and mailbox.
    pub mailbox_calls_per_ten_minutes: Option<u64>,
    /// Calls in ten seconds over the whole app.
    pub app_calls_per_ten_seconds: Option<u64>,
    /// Bytes carried to a mailbox in five minutes, per app and mailbox.
    pub mailbox_uploaded_bytes_per_five_minutes: Option<u64>,
    /// Calls in flight per app and mailbox.
    pub concurrency: Option<u32>,
    /// The share of each window that background work may use, in percent.
    pub background_percent: Option<u8>,
}

impl OutlookQuotaOverrides {
    /// Sets the calls in ten minutes, per app and mailbox.
    #[must_use]
    pub fn with_mailbox_calls_per_ten_minutes(mut self, calls: u64) -> Self {
        self.mailbox_calls_per_ten_minutes = Some(calls);
        self
    }

    /// Sets the calls in ten seconds over the whole app.
    #[must_use]
    pub fn with_app_calls_per_ten_seconds(mut self, calls: u64) -> Self {
        self.app_calls_per_ten_seconds = Some(calls);
        self
    }

    /// Sets the bytes carried to a mailbox in five minutes, per app and mailbox. One piece of an upload has to fit: 3.3 MB.
    #[must_use]
    pub fn with_mailbox_uploaded_bytes_per_five_minutes(mut self, bytes: u64) -> Self {
        self.mailbox_uploaded_bytes_per_five_minutes = Some(bytes);
        self
    }

    /// Sets the calls in flight per app and mailbox.
    #[must_use]
    pub fn with_concurrency(mut self, slots: u32) -> Self {
        self.concurrency = Some(slots);
        self
    }

    /// Sets the share of each window that background work may use, in percent.
    #[must_use]
    pub fn with_background_percent(mut self, percent: u8) -> Self {
        self.background_percent = Some(percent);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{OutlookQuota, OutlookQuotaOverrides, QuotaScope, QuotaUnit};

    #[test]
    fn presets_are_read_by_their_names() {
        for preset in OutlookQuota::ALL {
            assert_eq!(preset.name().parse::<OutlookQuota>().unwrap(), preset);
            assert_eq!(serde_json::from_value::<OutlookQuota>(preset.name().into()).unwrap(), preset);
            assert_eq!(preset.table().name, preset.name());
        }
        assert!("gmail".parse::<OutlookQuota>().is_err());
    }

    #[test]
    fn a_mailbox_takes_ten_thousand_calls_in_ten_minutes_four_at_a_time() {
        let table = OutlookQuota::default().table();
        let rows = table.windows.iter().map(|window| (window.scope, window.limit, window.length.as_secs()));
        let expected = [
            (QuotaScope::AppAndAccount, 10_000, 600),
            (QuotaScope::App, 130_000, 10),
            (QuotaScope::AppAndAccount, 150_000_000, 300),
        ];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
        assert_eq!(table.windows[2].unit, QuotaUnit::UploadedBytes);
        assert_eq!(table.concurrency, Some(4));
        assert!(OutlookQuota::Off.table().windows.is_empty());
    }

    #[test]
    fn one_limit_can_be_set_without_the_others() {
        let over = OutlookQuotaOverrides::default().with_mailbox_calls_per_ten_minutes(900).with_concurrency(3);
        let table = OutlookQuota::OutlookClassic.table_with(&over);
        assert_eq!(table.windows.iter().map(|window| window.limit).collect::<Vec<_>>(), [900, 20_000, 150_000_000]);
        assert_eq!(table.concurrency, Some(3));
    }
}
