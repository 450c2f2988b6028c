//! How the simulated sign-in behaves.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

/// A cloud; tokens and tenants of one are unknown in the others.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    /// China, operated by 21Vianet.
    China,
    /// The worldwide cloud.
    #[default]
    Global,
    /// The cloud of the United States' government.
    UsGovernment,
}

/// How answers spell scopes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spelling {
    /// With the resource: `https://graph.microsoft.com/Mail.Read`.
    Full,
    /// Without: `Mail.Read`.
    #[default]
    Short,
}

/// What becomes of the browser of a person who needs an administrator's approval.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocked {
    /// It returns with `access_denied` (AADSTS90094).
    AccessDenied,
    /// It returns with `consent_required` (AADSTS90094).
    ConsentRequired,
    /// It stays on the page "Need admin approval" and never returns.
    #[default]
    NeverReturns,
    /// It returns with `access_denied` (AADSTS90095) after the person asked for approval.
    Requested,
}

/// What the token endpoint does about claims that Graph demanded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeAnswer {
    /// A human is needed: `interaction_required` with the claims, until somebody signed in with them.
    Interaction,
    /// A refresh with the claims brings a token that satisfies them.
    #[default]
    Silent,
}

/// On which segment of the path a refresh token is accepted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshAt {
    /// Only on the one it was issued on, else AADSTS700005.
    SameSegment,
    /// There, and on the tenant that the person signed in to.
    #[default]
    SameOrTenant,
}

/// How sign-in behaves; the default is what the service does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntraSettings {
    /// Which cloud this is.
    pub cloud: Cloud,
    /// How long access tokens live; 3599 s.
    pub token_life: Duration,
    /// How long those live whose client can handle claims challenges (`cp1`); 28 hours.
    pub capable_token_life: Duration,
    /// How long a code can be redeemed; ten minutes.
    pub code_life: Duration,
    /// After how long without use a refresh token dies; 90 days.
    pub refresh_idle_life: Duration,
    /// Where refresh tokens are accepted.
    pub refresh_at: RefreshAt,
    /// How often one refresh token may be used within five minutes before the client is told that it loops
    /// (AADSTS50196); absent: for ever.
    pub loop_limit: Option<usize>,
    /// How answers spell scopes.
    pub spelling: Spelling,
    /// Scopes that are never granted, whoever consents to them, in short form.
    pub dropped_scopes: BTreeSet<String>,
    /// Does `scope` name `offline_access`? The refresh token is its answer.
    pub answers_offline_access: bool,
    /// What happens to a person whom the tenant's policy does not let consent.
    pub blocked: Blocked,
    /// What the token endpoint does about demanded claims.
    pub challenge_answer: ChallengeAnswer,
    /// The host that id tokens name in their issuer; absent: where the sandbox is reached.
    pub issuer_origin: Option<String>,
    /// Are assertions of the older form accepted (RS256 with `x5t`)?
    pub accepts_old_assertions: bool,
    /// How long the key set may be cached.
    pub jwks_max_age: Duration,
}

impl Default for EntraSettings {
    fn default() -> Self {
        Self {
            cloud: Cloud::Global,
            token_life: Duration::from_secs(3_599),
            capable_token_life: Duration::from_secs(28 * 3_600),
            code_life: Duration::from_secs(600),
            refresh_idle_life: Duration::from_secs(90 * 24 * 3_600),
            refresh_at: RefreshAt::SameOrTenant,
            loop_limit: None,
            spelling: Spelling::Short,
            dropped_scopes: BTreeSet::new(),
            answers_offline_access: false,
            blocked: Blocked::NeverReturns,
            challenge_answer: ChallengeAnswer::Silent,
            issuer_origin: None,
            accepts_old_assertions: false,
            jwks_max_age: Duration::from_secs(24 * 3_600),
        }
    }
}
