//! How connections are.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Hub,
    choices::put,
    read::{decoded, last},
};
use crate::{
    connection::{Connection, Grant, GrantStatus},
    error::{Actor, Error, ErrorKind, Result},
    event::{EventKind, Phase, append},
    health::{
        AuditHealth, Backlog, ConnectionHealth, ConnectionSummary, FORMAT, Facts, FailureHealth, FeedHealth,
        HealthState, QuotaHealth, RestingHealth, TenantHealth,
        rows::{FailureRow, HEALTH, SuccessRow, failure_key},
    },
    http::Priority,
    ids::{ConnectionId, GrantId, PartitionId, TenantId},
    page::PageToken,
    store::{Expect, Space, StateKey, StateQuery, StateRow, read_one},
    sync::{
        AuditReport, Gap,
        rows::{AGAIN, AUDITS, MEMBERS, MemberRow, PARTITIONS, PENDING, PartitionRow, QUARANTINE},
    },
};

/// Notes of idle polls are true to this.
const NOTED: TimeDelta = TimeDelta::seconds(60);
const MAIL: &str = "mail";
/// Connections on one page of a tenant's health.
const PAGE: usize = 100;

/// What slices left behind about one connection.
#[derive(Default)]
struct Noted {
    success: Option<SuccessRow>,
    failure: Option<FailureRow>,
}

impl Hub {
    /// How a connection is. Reads counts and a few rows; asks no service. Sets the gauges of
    /// [`ConnectionHealth::record`].
    ///
    /// # Errors
    /// `NotFound` for an unknown connection of this tenant; `Store`.
    pub async fn health(&self, tenant: &TenantId, id: &ConnectionId) -> Result<ConnectionHealth> {
        let (connection, grant) = self.known(tenant, id).await?;
        let now = self.0.clock.now();
        let mut noted = self.noted(tenant, &StateKey::new([id.as_str()]).below()).await?;
        let noted = noted.remove(id).unwrap_or_default();
        let verdict = self.facts(&connection, Some(&grant), &noted, now).verdict();
        let quota = self.quota(&connection, &grant).await;
        let feeds = vec![self.feed_health(&connection, noted, now).await?];
        let health = ConnectionHealth {
            format: FORMAT,
            checked_at: now,
            connection: connection.id,
            app: connection.app,
            grant: grant.id,
            account: connection.account.label,
            state: verdict.state,
            since: verdict.since,
            remedy: verdict.remedy,
            feeds,
            quota,
        };
        health.record();
        Ok(health)
    }

    /// How a tenant's connections are, the worst first: all counted, up to 100 a page. Reads the connections, the grants and
    /// what slices noted. Sets the gauges of [`TenantHealth::record`].
    ///
    /// # Errors
    /// `InvalidInput` for a page that was not given by us; `Store`.
    pub async fn tenant_health(&self, tenant: &TenantId, page: Option<&PageToken>) -> Result<TenantHealth> {
        let now = self.0.clock.now();
        let begin = page.map_or(Ok(0), |page| page.as_str().parse::<usize>()).map_err(|_| {
            Error::new(ErrorKind::InvalidInput, "this page of the tenant's health was not given by this hub")
        })?;
        let mut all = self.summaries(tenant, now).await?;
        let mut counts: BTreeMap<HealthState, u64> = HealthState::WORST_FIRST.map(|state| (state, 0)).into();
        all.iter().for_each(|one| *counts.entry(one.state).or_default() += 1);
        let idle = |one: &&ConnectionSummary| matches!(one.state, HealthState::Disconnected | HealthState::Paused);
        let oldest_success = all.iter().filter(|one| !idle(one)).filter_map(|one| one.last_success).min();
        all.sort_by(|left, right| order(left).cmp(&order(right)));
        let total = all.len();
        let next = begin.saturating_add(PAGE);
        let health = TenantHealth {
            format: FORMAT,
            checked_at: now,
            total: total as u64,
            needing_attention: counts.get(&HealthState::NeedsAttention).copied().unwrap_or_default(),
            counts,
            oldest_success,
            oldest_age_seconds: oldest_success.map(|at| seconds(now - at)),
            connections: all.into_iter().skip(begin).take(PAGE).collect(),
            next: (next < total).then(|| PageToken::new(next.to_string())),
        };
        health.record(tenant);
        Ok(health)
    }

    async fn summaries(&self, tenant: &TenantId, now: DateTime<Utc>) -> Result<Vec<ConnectionSummary>> {
        let grants = self.0.sign_in.connections().list_grants(tenant).await?;
        let grants: BTreeMap<GrantId, Grant> =
            grants.into_iter().map(|row| (row.value.id.clone(), row.value)).collect();
        let mut noted = self.noted(tenant, "").await?;
        let summary = |connection: Connection| {
            let noted = noted.remove(&connection.id).unwrap_or_default();
            let verdict = self.facts(&connection, grants.get(&connection.grant), &noted, now).verdict();
            ConnectionSummary {
                connection: connection.id,
                app: connection.app,
                account: connection.account.label,
                state: verdict.state,
                since: verdict.since,
                remedy: verdict.remedy,
                last_success: noted.success.map(|success| success.at),
            }
        };
        Ok(self.connections(tenant).await?.into_iter().map(summary).collect())
    }

    fn facts<'a>(
        &self,
        connection: &'a Connection,
        grant: Option<&'a Grant>,
        noted: &'a Noted,
        now: DateTime<Utc>,
    ) -> Facts<'a> {
        let polls = self.0.sync.poll.saturating_mul(self.0.sync.stale_after);
        let patience = TimeDelta::from_std(polls).unwrap_or(TimeDelta::MAX).checked_add(&NOTED);
        Facts {
            connection,
            grant,
            success: noted.success.as_ref(),
            failure: noted.failure.as_ref(),
            now,
            patience: patience.unwrap_or(TimeDelta::MAX),
        }
    }

    async fn noted(&self, tenant: &TenantId, prefix: &str) -> Result<BTreeMap<ConnectionId, Noted>> {
        let mut noted: BTreeMap<ConnectionId, Noted> = BTreeMap::new();
        for row in self.all(tenant, HEALTH, prefix.to_owned(), Ok).await? {
            let Some(id) = row.key.segments().first().map(ConnectionId::new) else { continue };
            let of = noted.entry(id).or_default();
            match last(&row.key).as_str() {
                "success" => of.success = Some(decoded(HEALTH, &row)?),
                "failure" => of.failure = Some(decoded(HEALTH, &row)?),
                _ => {}
            }
        }
        Ok(noted)
    }

    async fn quota(&self, connection: &Connection, grant: &Grant) -> Option<QuotaHealth> {
        let session = self.session_of(connection, grant, Priority::Interactive).ok()?;
        QuotaHealth::of(&self.0.admission.usage(&session.parts().admission_key()).await)
    }

    async fn feed_health(&self, connection: &Connection, noted: Noted, now: DateTime<Utc>) -> Result<FeedHealth> {
        let (partitions, resting) = self.partitions(connection, now).await?;
        let running = |row: &PartitionRow| row.snapshot.as_ref().is_some_and(|snapshot| snapshot.audit.is_some());
        let backlog = self.backlog(connection, &partitions).await?;
        let audit = self.audit_health(connection, partitions.iter().any(running)).await?;
        let Noted { success, failure } = noted;
        let progress = success.as_ref().and_then(|success| success.progress);
        let last_success = success.as_ref().map(|success| success.at);
        let next_due = self.next_due(success.as_ref(), failure.as_ref(), now);
        Ok(FeedHealth {
            feed: MAIL.to_owned(),
            phase: progress.map(|progress| progress.phase),
            last_success,
            age_seconds: last_success.map(|at| seconds(now - at)),
            next_due,
            backlog,
            eta_seconds: progress
                .filter(|progress| progress.phase == Phase::Fetching)
                .and_then(|progress| progress.eta)
                .map(|eta| eta.as_secs()),
            last_failure: failure.map(FailureHealth::from),
            audit,
            resting,
        })
    }

    /// The rows of a feed's partitions, and those of them that the service lets nobody into.
    async fn partitions(
        &self,
        connection: &Connection,
        now: DateTime<Utc>,
    ) -> Result<(Vec<PartitionRow>, Vec<RestingHealth>)> {
        let prefix = StateKey::new([connection.id.as_str(), MAIL]).below();
        let named = |row: StateRow| Ok((last(&row.key), decoded::<PartitionRow>(PARTITIONS, &row)?));
        let rows = self.all(&connection.tenant, PARTITIONS, prefix, named).await?;
        let resting = |(name, row): &(String, PartitionRow)| {
            let refused = row.refused.as_ref()?;
            let (since, again_at) = (refused.since, refused.rests_until.max(now));
            Some(RestingHealth { partition: PartitionId::new(name), since, again_at })
        };
        let resting = rows.iter().filter_map(resting).collect();
        Ok((rows.into_iter().map(|(_, row)| row).collect(), resting))
    }

    /// The next poll. Notes of idle polls are older than the last poll: what is not overdue is counted on from there.
    fn next_due(
        &self,
        success: Option<&SuccessRow>,
        failure: Option<&FailureRow>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if let Some(failure) = failure.filter(|failure| !failure.over) {
            return failure.again_at;
        }
        let due = success?.due;
        let poll = TimeDelta::from_std(self.0.sync.poll).ok()?.max(TimeDelta::seconds(1));
        let late = now - due;
        if late <= TimeDelta::zero() || late > NOTED {
            return Some(due);
        }
        let polls = late.num_milliseconds() / poll.num_milliseconds() + 1;
        due.checked_add_signed(poll * i32::try_from(polls).ok()?)
    }

    async fn backlog(&self, connection: &Connection, partitions: &[PartitionRow]) -> Result<Backlog> {
        let feed = StateKey::new([connection.id.as_str(), MAIL]);
        let count = async |space: Space, below: StateKey| {
            let query = StateQuery::Count { tenant: connection.tenant.clone(), space, prefix: below.below() };
            Ok::<u64, Error>(self.0.stores.sync.read(&query).await?.first().map_or(0, |row| row.version))
        };
        let (pending_live, pending_history) =
            (count(PENDING, feed.child("0")).await?, count(PENDING, feed.child("1")).await?);
        Ok(Backlog {
            known: count(MEMBERS, feed.clone()).await?,
            listed: partitions.iter().filter_map(|row| row.snapshot.as_ref()).map(|snapshot| snapshot.listed).sum(),
            pending: pending_live + pending_history,
            pending_live,
            pending_history,
            undecided: count(AGAIN, feed.clone()).await?,
            quarantined: count(QUARANTINE, feed).await?,
        })
    }

    async fn audit_health(&self, connection: &Connection, running: bool) -> Result<Option<AuditHealth>> {
        let prefix = StateKey::new([connection.id.as_str(), MAIL]).below();
        let reports: Vec<AuditReport> =
            self.all(&connection.tenant, AUDITS, prefix, |row| decoded(AUDITS, &row)).await?;
        if reports.is_empty() {
            return Ok(None);
        }
        let mut health = AuditHealth::of(&reports, running);
        for report in &reports {
            health.repaired += self.repaired(connection, report).await?;
        }
        Ok(Some(health))
    }

    /// How many of a report's gaps are closed: decided anew at once, or fetched since. Beyond the named ones nobody knows: they
    /// count as closed once every named one is.
    async fn repaired(&self, connection: &Connection, report: &AuditReport) -> Result<u64> {
        let Some(partition) = &report.partition else { return Ok(0) };
        let place = StateKey::new([connection.id.as_str(), MAIL, partition.as_str()]);
        let mut repaired = report.effect_lost.count + report.index_lost.count;
        for Gap { count, keys } in [&report.missing, &report.undecided, &report.unlisted] {
            let keys = keys.iter().map(|key| place.child(key)).collect();
            let query = StateQuery::Keys { tenant: connection.tenant.clone(), space: MEMBERS, keys };
            let mut waiting = 0;
            for row in self.0.stores.sync.read(&query).await? {
                waiting += u64::from(decoded::<MemberRow>(MEMBERS, &row)?.pending.is_some());
            }
            repaired += count - waiting.min(*count);
        }
        Ok(repaired)
    }

    /// Keeps a failure for whoever asks, and tells once that somebody has to act. What cannot be kept is only lost to them.
    pub(super) async fn note_failure(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        error: &Error,
        again_in: Option<Duration>,
    ) {
        for _ in 0..3 {
            match self.try_note_failure(tenant, id, error, again_in).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return tracing::warn!(connection = %id, error = %error, "a failure could not be noted"),
                Ok(()) => return,
            }
        }
    }

    async fn try_note_failure(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        error: &Error,
        again_in: Option<Duration>,
    ) -> Result<()> {
        let grant = match self.known(tenant, id).await {
            Ok((_, grant)) => grant,
            // Gone meanwhile: nobody asks for it any more.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let (key, now) = (failure_key(id, MAIL), self.0.clock.now());
        let stored = read_one(&*self.0.stores.sync, tenant, HEALTH, key.clone()).await?;
        let before: Option<FailureRow> = stored.as_ref().map(|row| decoded(HEALTH, row)).transpose()?;
        let expect = stored.map_or(Expect::Absent, |row| Expect::Version(row.version));
        let mut row = FailureRow::new(error, before.as_ref(), now);
        row.again_at = again_in.and_then(|wait| now.checked_add_signed(TimeDelta::from_std(wait).ok()?));
        // Where it is the sign-in that fails, the grant has told it.
        let of_grant = matches!(grant.status, GrantStatus::NeedsAttention { .. });
        let remedy = row.remedy.clone().filter(|remedy| remedy.actor != Actor::Nobody && !of_grant);
        let told = before.is_some_and(|before| !before.over && before.told && before.remedy == row.remedy);
        row.told = remedy.is_some();
        let event = remedy.filter(|_| !told).map(|remedy| EventKind::NeedsAttention { grant: None, remedy });
        let mut tx = self.0.stores.sync.begin(None).await?;
        tx.write(&[put(tenant, HEALTH, key, &row)?.expecting(expect)]).await?;
        let events = event.map(|event| (Some(id.clone()), event));
        append(&mut *tx, tenant, (now, self.0.sync.events.count), events).await?;
        tx.commit().await
    }
}

/// The worst first, then whoever has waited longest.
fn order(one: &ConnectionSummary) -> (usize, Option<DateTime<Utc>>, &ConnectionId) {
    (one.state.rank(), one.last_success, &one.connection)
}

fn seconds(age: TimeDelta) -> u64 {
    age.num_seconds().try_into().unwrap_or_default()
}

impl AuditHealth {
    fn of(reports: &[AuditReport], running: bool) -> Self {
        let mut health = Self {
            begun: reports.iter().filter_map(|report| report.begun).min(),
            ended: reports.iter().filter_map(|report| report.ended).max(),
            partitions: reports.len() as u64,
            listed: 0,
            had: 0,
            gaps: crate::event::Gaps::default(),
            repaired: 0,
            running,
        };
        for report in reports {
            health.listed += report.listed;
            health.had += report.listed - report.gaps().min(report.listed);
            health.gaps.add(report);
        }
        health
    }
}
