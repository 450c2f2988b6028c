//! What is sealed for a grant: its tokens, and where refreshing them stands.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::token_endpoint::TokenAnswer;
use crate::{
    error::{Error, ErrorKind, Remedy, Result},
    http::AccessToken,
    secret::{SecretBytes, SecretText},
};

const FORMAT: u8 = 1;
/// Services that do not say how long a token lives: an hour is the custom, a refused one is refreshed anyway.
const USUAL_LIFETIME: Duration = Duration::from_secs(3600);
/// A token this close to its end is not handed out: it would end on its way.
const HAND_OUT_MARGIN: Duration = Duration::from_secs(5);

/// A grant's tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TokenSet {
    format: u8,
    #[serde(serialize_with = "expose")]
    pub(super) access: SecretText,
    pub(super) expires_at: DateTime<Utc>,
    #[serde(serialize_with = "expose_optional")]
    pub(super) refresh: Option<SecretText>,
    pub(super) refresh_expires_at: Option<DateTime<Utc>>,
    /// The granted scopes, normalised.
    pub(super) scopes: BTreeSet<String>,
    /// When consent was last given.
    pub(super) granted_at: DateTime<Utc>,
    /// When the access token was obtained.
    pub(super) refreshed_at: DateTime<Utc>,
    /// How an app signs for itself; then there is no refresh token.
    #[serde(default)]
    pub(super) assertion: Option<Assertion>,
    /// Somebody is asking, or was interrupted while asking.
    #[serde(default)]
    pub(super) intent: Option<Intent>,
    #[serde(default)]
    pub(super) trouble: Option<Trouble>,
    /// A definite refusal: nothing is asked any more.
    #[serde(default)]
    pub(super) refused: Option<Refused>,
}

/// What a service account asserts.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Assertion {
    pub(super) subject: Option<String>,
    pub(super) scopes: BTreeSet<String>,
}

/// A refresh that was about to be asked for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Intent {
    pub(super) fence: u64,
    pub(super) at: DateTime<Utc>,
}

/// Refreshing fails for now.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Trouble {
    pub(super) kind: TroubleKind,
    pub(super) since: DateTime<Utc>,
    /// The different days (UTC) on which it failed.
    pub(super) days: BTreeSet<NaiveDate>,
    pub(super) in_a_row: u32,
    pub(super) retry_at: DateTime<Utc>,
    pub(super) remedy: Option<Remedy>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TroubleKind {
    AdminPolicy,
    Misconfigured,
    Throttled,
    Transient,
}

/// The service refused for good.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) at: DateTime<Utc>,
    /// Consent is asked for, rather than a new sign-in.
    pub(super) consent: bool,
    pub(super) remedy: Remedy,
}

impl TokenSet {
    /// The set a fresh consent gives.
    pub(super) fn granted(answer: &TokenAnswer, scopes: BTreeSet<String>, now: DateTime<Utc>) -> Self {
        let mut set = Self {
            format: FORMAT,
            access: answer.access.clone(),
            expires_at: now,
            refresh: None,
            refresh_expires_at: None,
            scopes,
            granted_at: now,
            refreshed_at: now,
            assertion: None,
            intent: None,
            trouble: None,
            refused: None,
        };
        set.take(answer, now);
        set
    }

    /// What an answer changes: an absent refresh token or scope list leaves the old one standing.
    pub(super) fn take(&mut self, answer: &TokenAnswer, now: DateTime<Utc>) {
        self.access = answer.access.clone();
        self.expires_at = now + answer.expires_in.unwrap_or(USUAL_LIFETIME);
        self.refreshed_at = now;
        if let Some(refresh) = &answer.refresh {
            self.refresh = Some(refresh.clone());
        }
        if let Some(life) = answer.refresh_expires_in {
            self.refresh_expires_at = Some(now + life);
        }
        (self.intent, self.trouble, self.refused) = (None, None, None);
    }

    pub(super) fn token(&self) -> AccessToken {
        AccessToken::new(self.access.clone(), self.expires_at)
    }

    /// May the access token still be handed out?
    pub(super) fn usable(&self, now: DateTime<Utc>) -> bool {
        now + HAND_OUT_MARGIN.min(self.lifetime() / 2) < self.expires_at
    }

    pub(super) fn lifetime(&self) -> Duration {
        (self.expires_at - self.refreshed_at).to_std().unwrap_or_default()
    }

    pub(super) fn encode(&self) -> Result<SecretBytes> {
        let bytes =
            serde_json::to_vec(self).map_err(|_| Error::new(ErrorKind::Validation, "a token set is not JSON"))?;
        Ok(SecretBytes::new(bytes))
    }

    pub(super) fn decode(plain: &SecretBytes) -> Result<Self> {
        // The error's text may quote what it found: it is not kept.
        let unreadable = |_| Error::new(ErrorKind::Validation, "a stored token set cannot be read");
        let set: Self = serde_json::from_slice(plain.expose()).map_err(unreadable)?;
        if set.format == FORMAT {
            return Ok(set);
        }
        let message = format!("a stored token set has format {}; this version reads format {FORMAT}", set.format);
        Err(Error::new(ErrorKind::Validation, message))
    }
}

fn expose<S: Serializer>(secret: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

fn expose_optional<S: Serializer>(secret: &Option<SecretText>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(SecretText::expose).serialize(serializer)
}
