//! Small fixed parts and the session made of them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    clock::{Clock, Random, SystemClock},
    connection::{Connector, RemoteAccount},
    error::{Error, ErrorKind, Result},
    http::{
        AccessToken, Admission, AdmissionKey, AdmissionRequest, Breaker, Credentials, Permit, Priority, QuotaScope,
        RetryPolicy, Session, SessionParts, StandardRetry, Transport, Usage,
    },
    ids::{ConnectionId, GrantId, TenantId},
    secret::SecretText,
};

/// A clock that begins at 2026-03-02T09:00:00Z (a Monday) and, in a paused runtime, follows its virtual time.
#[must_use]
pub fn virtual_clock() -> Arc<SystemClock> {
    // 2026-03-02T09:00:00Z in seconds.
    Arc::new(SystemClock::starting_at(DateTime::from_timestamp(1_772_442_000, 0).unwrap_or_default()))
}

/// Randomness that is always the same.
#[derive(Clone, Copy, Debug)]
pub struct FixedRandom(pub u8);

impl Random for FixedRandom {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

/// A repeatable sequence: not random, but different every time it is asked.
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64.
            let mut word = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Tokens from a list: the first until it is rejected, then the next.
#[derive(Debug)]
pub struct StaticCredentials {
    tokens: Vec<AccessToken>,
    current: AtomicUsize,
}

impl StaticCredentials {
    /// The tokens in order.
    #[must_use]
    pub fn new(tokens: &[&str]) -> Self {
        let token = |text: &&str| AccessToken::new(SecretText::new(*text), DateTime::<Utc>::MAX_UTC);
        Self { tokens: tokens.iter().map(token).collect(), current: AtomicUsize::new(0) }
    }

    /// How many tokens were rejected.
    #[must_use]
    pub fn rejections(&self) -> usize {
        self.current.load(Ordering::SeqCst)
    }
}

impl Default for StaticCredentials {
    fn default() -> Self {
        Self::new(&["token-1", "token-2"])
    }
}

#[async_trait]
impl Credentials for StaticCredentials {
    async fn access(&self, rejected: Option<&AccessToken>) -> Result<AccessToken> {
        let mut at = self.current.load(Ordering::SeqCst);
        let known = self.tokens.get(at);
        if rejected.is_some_and(|rejected| known.is_some_and(|known| known.token == rejected.token)) {
            at += 1;
            self.current.store(at, Ordering::SeqCst);
        }
        let none = || Error::new(ErrorKind::ReauthorisationNeeded, "no further token");
        self.tokens.get(at).cloned().ok_or_else(none)
    }
}

/// A gate that is always open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

#[async_trait]
impl Admission for Unlimited {
    async fn admit(&self, _: AdmissionRequest) -> Result<Permit> {
        Ok(Permit::new(|| {}))
    }

    async fn throttled(&self, _: &AdmissionKey, _: QuotaScope, _: DateTime<Utc>) {}

    async fn usage(&self, _: &AdmissionKey) -> Usage {
        Usage::default()
    }
}

/// Builds a session for tests; see [`test_session`].
#[derive(Debug)]
pub struct TestSession {
    parts: SessionParts,
}

/// A session over `transport` with real retries, a breaker, a virtual clock, fixed jitter, tokens `token-1` and `token-2`,
/// an account "account" and no quota.
#[must_use]
pub fn test_session(transport: Arc<dyn Transport>, connector: Arc<dyn Connector>) -> TestSession {
    TestSession {
        parts: SessionParts {
            tenant: TenantId::new("tenant"),
            app: connector.profile().app.clone(),
            grant: GrantId::new("grant"),
            connection: Some((ConnectionId::new("connection"), RemoteAccount::new("account", "Account"))),
            connector,
            credentials: Arc::new(StaticCredentials::default()),
            transport,
            admission: Arc::new(Unlimited),
            breaker: Arc::new(Breaker::default()),
            retry: Arc::new(StandardRetry::default()),
            clock: virtual_clock(),
            random: Arc::new(FixedRandom(0x80)),
            priority: Priority::Interactive,
            deadline: None,
        },
    }
}

impl TestSession {
    /// With another gate.
    #[must_use]
    pub fn with_admission(mut self, admission: Arc<dyn Admission>) -> Self {
        self.parts.admission = admission;
        self
    }

    /// With other tokens.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Arc<dyn Credentials>) -> Self {
        self.parts.credentials = credentials;
        self
    }

    /// With another breaker.
    #[must_use]
    pub fn with_breaker(mut self, breaker: Arc<Breaker>) -> Self {
        self.parts.breaker = breaker;
        self
    }

    /// With another retry policy.
    #[must_use]
    pub fn with_retry(mut self, retry: Arc<dyn RetryPolicy>) -> Self {
        self.parts.retry = retry;
        self
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.parts.clock = clock;
        self
    }

    /// On another account.
    #[must_use]
    pub fn with_account(mut self, connection: &str, account: RemoteAccount) -> Self {
        self.parts.connection = Some((ConnectionId::new(connection), account));
        self
    }

    /// With another default priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.parts.priority = priority;
        self
    }

    /// With a deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: DateTime<Utc>) -> Self {
        self.parts.deadline = Some(deadline);
        self
    }

    /// The session.
    #[must_use]
    pub fn build(self) -> Session {
        Session::new(self.parts)
    }

    /// The session of a grant whose accounts are not known yet.
    #[must_use]
    pub fn build_grant(mut self) -> crate::http::GrantSession {
        self.parts.connection = None;
        crate::http::GrantSession::new(self.parts)
    }
}
