//! Gmail's quotas as data. Source: <https://developers.google.com/workspace/gmail/api/reference/quota>.

use std::{str::FromStr, time::Duration};

use integration_core::{
    Error, ErrorKind,
    http::{QuotaScope, QuotaTable, QuotaUnit, QuotaWindow},
};
use serde::Deserialize;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Undocumented at the service; reports range from 10 to 50.
const CONCURRENCY: u32 = 10;

/// Which limits a project has: those of projects since May 2026, or the ones from before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[non_exhaustive]
pub enum GmailQuota {
    /// 6,000 units a minute and user, 1,200,000 a minute and 80,000,000 a day over the project.
    #[default]
    #[serde(rename = "gmail-2026")]
    Gmail2026,
    /// 15,000 units a minute and user, 1,200,000 a minute over the project. Costs as in 2026 unless
    /// [`GmailQuotaOverrides::costs`] says otherwise: what older projects pay is not stated.
    #[serde(rename = "gmail-classic")]
    GmailClassic,
    /// No limits but the concurrency; units are counted all the same.
    #[serde(rename = "off")]
    Off,
}

impl GmailQuota {
    /// All presets.
    pub const ALL: [Self; 3] = [Self::Gmail2026, Self::GmailClassic, Self::Off];

    /// The preset's name: `gmail-2026`, `gmail-classic`, `off`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gmail2026 => "gmail-2026",
            Self::GmailClassic => "gmail-classic",
            Self::Off => "off",
        }
    }

    /// The preset's table.
    #[must_use]
    pub fn table(self) -> QuotaTable {
        self.table_with(&GmailQuotaOverrides::default())
    }

    pub(crate) fn table_with(self, over: &GmailQuotaOverrides) -> QuotaTable {
        let (user, project, day, slots) = match self {
            Self::Gmail2026 => (Some(6_000), Some(1_200_000), Some(80_000_000), Some(CONCURRENCY)),
            Self::GmailClassic => (Some(15_000), Some(1_200_000), None, Some(CONCURRENCY)),
            Self::Off => (None, None, None, Some(CONCURRENCY)),
        };
        let windows = [
            (QuotaScope::AppAndAccount, over.user_units_per_minute.or(user), MINUTE),
            (QuotaScope::App, over.project_units_per_minute.or(project), MINUTE),
            (QuotaScope::App, over.project_units_per_day.or(day), DAY),
        ];
        let mut table = QuotaTable::unlimited(self.name());
        for (scope, limit, length) in windows {
            table.windows.extend(limit.map(|limit| QuotaWindow::new(scope, QuotaUnit::Units, limit, length)));
        }
        table.concurrency = over.concurrency.or(slots);
        if let Some(percent) = over.background_percent {
            table.background_percent = percent.min(100);
        }
        table
    }
}

impl FromStr for GmailQuota {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == name)
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the quota is one of gmail-2026, gmail-classic and off"))
    }
}

/// Single limits in place of a preset's; what is absent stays as the preset has it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GmailQuotaOverrides {
    /// Units a minute, per user of the project.
    pub user_units_per_minute: Option<u64>,
    /// Units a minute over the whole project.
    pub project_units_per_minute: Option<u64>,
    /// Units a day over the whole project.
    pub project_units_per_day: Option<u64>,
    /// Calls in flight per mailbox.
    pub concurrency: Option<u32>,
    /// The share of each window that background work may use, in percent.
    pub background_percent: Option<u8>,
    /// What the methods cost.
    pub costs: Option<GmailCosts>,
}

impl GmailQuotaOverrides {
    /// Sets the units a minute, per user of the project.
    #[must_use]
    pub fn with_user_units_per_minute(mut self, units: u64) -> Self {
        self.user_units_per_minute = Some(units);
        self
    }

    /// Sets the units a minute over the whole project.
    #[must_use]
    pub fn with_project_units_per_minute(mut self, units: u64) -> Self {
        self.project_units_per_minute = Some(units);
        self
    }

    /// Sets the units a day over the whole project.
    #[must_use]
    pub fn with_project_units_per_day(mut self, units: u64) -> Self {
        self.project_units_per_day = Some(units);
        self
    }

    /// Sets the calls in flight per mailbox.
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

    /// Sets what the methods cost.
    #[must_use]
    pub fn with_costs(mut self, costs: GmailCosts) -> Self {
        self.costs = Some(costs);
        self
    }
}

/// Units per method.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GmailCosts {
    /// `messages.attachments.get`.
    pub attachments_get: u32,
    /// `users.getProfile`.
    pub get_profile: u32,
    /// `history.list`, a page.
    pub history_list: u32,
    /// `labels.list`.
    pub labels_list: u32,
    /// `messages.get`, whatever the format.
    pub messages_get: u32,
    /// `messages.list`, a page.
    pub messages_list: u32,
    /// `messages.modify`.
    pub messages_modify: u32,
    /// `messages.send`.
    pub messages_send: u32,
    /// `users.stop`.
    pub stop: u32,
    /// `users.watch`.
    pub watch: u32,
}

impl GmailCosts {
    /// Since May 2026.
    pub const GMAIL_2026: Self = Self {
        attachments_get: 20,
        get_profile: 1,
        history_list: 2,
        labels_list: 1,
        messages_get: 20,
        messages_list: 5,
        messages_modify: 5,
        messages_send: 100,
        stop: 50,
        watch: 100,
    };
    /// Until then.
    pub const GMAIL_CLASSIC: Self = Self { attachments_get: 5, messages_get: 5, ..Self::GMAIL_2026 };

    /// (method as Google names it, units), for documentation.
    #[must_use]
    pub const fn rows(&self) -> [(&'static str, u32); 10] {
        [
            ("users.getProfile", self.get_profile),
            ("users.history.list", self.history_list),
            ("users.labels.list", self.labels_list),
            ("users.messages.attachments.get", self.attachments_get),
            ("users.messages.get", self.messages_get),
            ("users.messages.list", self.messages_list),
            ("users.messages.modify", self.messages_modify),
            ("users.messages.send", self.messages_send),
            ("users.stop", self.stop),
            ("users.watch", self.watch),
        ]
    }
}

impl Default for GmailCosts {
    fn default() -> Self {
        Self::GMAIL_2026
    }
}

#[cfg(test)]
mod tests {
    use super::{GmailCosts, GmailQuota, GmailQuotaOverrides};

    #[test]
    fn presets_are_read_by_their_names() {
        for preset in GmailQuota::ALL {
            assert_eq!(preset.name().parse::<GmailQuota>().unwrap(), preset);
            assert_eq!(serde_json::from_value::<GmailQuota>(preset.name().into()).unwrap(), preset);
            assert_eq!(preset.table().name, preset.name());
        }
        assert!("gmail".parse::<GmailQuota>().is_err());
    }

    #[test]
    fn a_minute_of_the_newer_preset_is_three_hundred_messages() {
        let table = GmailQuota::Gmail2026.table();
        assert_eq!(table.windows[0].limit / u64::from(GmailCosts::default().messages_get), 300);
        assert_eq!(table.concurrency, Some(10));
        let limits = GmailQuota::GmailClassic.table().windows.iter().map(|window| window.limit).collect::<Vec<_>>();
        assert_eq!(limits, [15_000, 1_200_000]);
        assert!(GmailQuota::Off.table().windows.is_empty());
    }

    #[test]
    fn one_limit_can_be_set_without_the_others() {
        let over = GmailQuotaOverrides::default().with_user_units_per_minute(900).with_concurrency(3);
        let table = GmailQuota::Gmail2026.table_with(&over);
        assert_eq!(table.windows.iter().map(|window| window.limit).collect::<Vec<_>>(), [900, 1_200_000, 80_000_000]);
        assert_eq!(table.concurrency, Some(3));
    }
}
