//! Whose mailbox a run syncs.

use integration_core::ids::AppId;
use integration_google::GmailQuota;
use integration_microsoft::OutlookQuota;

/// A service with mail.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Service {
    /// Gmail.
    Google,
    /// Outlook.
    Microsoft,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Google, Self::Microsoft];

    /// The service of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Microsoft => "microsoft",
        }
    }

    /// Its app at the hub.
    #[must_use]
    pub fn app(self) -> AppId {
        AppId::new(self.name())
    }

    /// Its name for people.
    #[must_use]
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Google => "Google",
            Self::Microsoft => "Microsoft",
        }
    }

    /// What steers its side of a sandbox.
    pub(super) const fn steering(self) -> &'static str {
        match self {
            Self::Google => "",
            Self::Microsoft => "microsoft/",
        }
    }
}

/// The limits to keep at each service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quotas {
    /// At Gmail.
    pub gmail: GmailQuota,
    /// At Outlook.
    pub outlook: OutlookQuota,
}

impl Quotas {
    /// No limits at either.
    pub const OFF: Self = Self { gmail: GmailQuota::Off, outlook: OutlookQuota::Off };

    /// These limits with the preset of this name at the service whose it is; `off` is one of both.
    #[must_use]
    pub fn with_preset(self, name: &str) -> Option<Self> {
        if name == GmailQuota::Off.name() {
            return Some(Self::OFF);
        }
        let gmail = name.parse().ok().map(|gmail| Self { gmail, ..self });
        gmail.or_else(|| name.parse().ok().map(|outlook| Self { outlook, ..self }))
    }

    /// The names of all presets, `off` last.
    pub fn presets() -> impl Iterator<Item = &'static str> {
        let off = GmailQuota::Off.name();
        let gmail = GmailQuota::ALL.into_iter().map(GmailQuota::name);
        let outlook = OutlookQuota::ALL.into_iter().map(OutlookQuota::name);
        gmail.chain(outlook).filter(move |name| *name != off).chain([off])
    }

    /// How many units of a service one minute has.
    pub(super) fn units_a_minute(self, service: Service) -> u32 {
        match service {
            Service::Google if self.gmail == GmailQuota::GmailClassic => 15_000,
            Service::Google => 6_000,
            Service::Microsoft => 1_000,
        }
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self { gmail: GmailQuota::Gmail2026, outlook: OutlookQuota::Outlook }
    }
}
