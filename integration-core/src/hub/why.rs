//! "Why is this message (not) on the timeline?"

use serde::Serialize;

use super::{Hub, read::decoded};
use crate::{
    activity::{Decision, Match, Outcome, SkipReason, spaces},
    connection::Connection,
    email::{Depth, EmailProvider, MessageQuery, Role},
    error::{ErrorKind, Result},
    ids::{ActivityId, ConnectionId, MessageId, TenantId},
    store::{Space, StateKey, StateQuery, StateRow, read_one},
    sync::{
        Fetched,
        rows::{MEMBERS, MemberRow, PARTITIONS, PartitionRow, QUARANTINE, QuarantineRow},
    },
};

/// The answer. A closed list.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Why {
    /// The service says that it is gone.
    Gone,
    /// It is on the timeline.
    Logged {
        /// As this.
        activity: ActivityId,
        /// What it is about, each with its reason.
        matches: Vec<Match>,
    },
    /// The service has it, and it should be here: an audit finds and fetches it.
    Missed,
    /// The enumeration has not come to it yet.
    NotListedYet,
    /// It is older (or newer) than what is to be synced.
    OutsideWindow,
    /// It could not be understood.
    Quarantined {
        /// Why.
        reason: String,
    },
    /// It was decided against.
    Skipped {
        /// The reason.
        reason: SkipReason,
        /// The rule that decided, where one did.
        rule: Option<String>,
        /// The copy that is shown instead.
        duplicate_of: Option<String>,
    },
    /// Neither we nor the service know it.
    Unknown,
    /// It is known and waits its turn within the quota.
    WaitingForQuota,
}

impl Hub {
    /// Explains a message of a mailbox, by the service's id or by its `Message-ID` (with or without angle brackets). The
    /// service is asked only about what is not known here. Safe to repeat.
    ///
    /// # Errors
    /// `NotFound` for an unknown connection of this tenant; what the service answers; `Store`.
    pub async fn why(&self, tenant: &TenantId, id: &ConnectionId, message: &str) -> Result<Why> {
        let (connection, _) = self.known(tenant, id).await?;
        let bare = message.trim().trim_start_matches('<').trim_end_matches('>');
        let prefix = StateKey::new([id.as_str(), bare]).below();
        let mut ids: Vec<String> = self.all(tenant, spaces::MESSAGE_IDS, prefix, |row| Ok(last(&row))).await?;
        ids.insert(0, bare.to_owned());
        if let Some(answer) = self.known_answer(&connection, &ids).await? {
            return Ok(answer);
        }
        let provider = self.email(tenant, id).await?;
        let Some((found, roles, at)) = find(&*provider, bare).await? else { return Ok(Why::Unknown) };
        if let Some(answer) = self.known_answer(&connection, &[found]).await? {
            return Ok(answer);
        }
        if let Some(reason) = ROLES.iter().find(|(role, _)| roles.contains(role)).map(|(_, reason)| *reason) {
            return Ok(Why::Skipped { reason, rule: None, duplicate_of: None });
        }
        let window = &self.0.sync.window;
        let outside = at.is_some_and(|at| {
            window.since.is_some_and(|since| at < since) || window.until.is_some_and(|until| at > until)
        });
        Ok(match outside {
            true => Why::OutsideWindow,
            false if self.is_listing(&connection).await? => Why::NotListedYet,
            false => Why::Missed,
        })
    }

    /// What is stored about the first of `ids` that anything is stored about; a shown copy goes first.
    async fn known_answer(&self, connection: &Connection, ids: &[String]) -> Result<Option<Why>> {
        let mut answer = None;
        for message in ids {
            match self.stored(connection, message).await? {
                Some(shown @ Why::Logged { .. }) => return Ok(Some(shown)),
                found => answer = answer.or(found),
            }
        }
        Ok(answer)
    }

    async fn stored(&self, connection: &Connection, message: &str) -> Result<Option<Why>> {
        let id = connection.id.as_str();
        if let Some(row) = self.row(connection, spaces::DECISIONS, StateKey::new([id, message])).await? {
            let decision: Decision = decoded(spaces::DECISIONS, &row)?;
            return Ok(Some(match decision.outcome {
                Outcome::Logged { activity } => Why::Logged { activity, matches: decision.matches },
                Outcome::Skipped { reason } => {
                    Why::Skipped { reason, rule: decision.rule, duplicate_of: decision.duplicate_of }
                }
            }));
        }
        if let Some(row) = self.row(connection, QUARANTINE, StateKey::new([id, "mail", message])).await? {
            return Ok(Some(Why::Quarantined { reason: decoded::<QuarantineRow>(QUARANTINE, &row)?.reason }));
        }
        for partition in self.partitions_of(connection).await? {
            let member = self.row(connection, MEMBERS, partition.key.child(message)).await?;
            let member = member.map(|row| decoded::<MemberRow>(MEMBERS, &row)).transpose()?;
            if member.is_some_and(|member| member.pending.is_some()) {
                return Ok(Some(Why::WaitingForQuota));
            }
        }
        let gone = self.row(connection, spaces::GONE, StateKey::new([id, message])).await?;
        Ok(gone.map(|_| Why::Gone))
    }

    async fn row(&self, connection: &Connection, space: Space, key: StateKey) -> Result<Option<StateRow>> {
        read_one(&*self.0.stores.sync, &connection.tenant, space, key).await
    }

    async fn partitions_of(&self, connection: &Connection) -> Result<Vec<StateRow>> {
        let prefix = StateKey::new([connection.id.as_str(), "mail"]).below();
        let (tenant, limit) = (connection.tenant.clone(), 10_000);
        self.0.stores.sync.read(&StateQuery::Range { tenant, space: PARTITIONS, prefix, after: None, limit }).await
    }

    /// Is anything of it still being enumerated, or has nothing been yet?
    async fn is_listing(&self, connection: &Connection) -> Result<bool> {
        let rows = self.partitions_of(connection).await?;
        let listing = rows.iter().map(|row| {
            decoded::<PartitionRow>(PARTITIONS, row)
                .map(|row| row.snapshot.is_some_and(|snapshot| snapshot.audit.is_none()))
        });
        let listing: Vec<bool> = listing.collect::<Result<_>>()?;
        Ok(listing.is_empty() || listing.contains(&true))
    }
}

/// What lies there is left out, whether it was ever listed or not.
const ROLES: [(Role, SkipReason); 4] = [
    (Role::Junk, SkipReason::Junk),
    (Role::Trash, SkipReason::Trash),
    (Role::Chat, SkipReason::Chat),
    (Role::Drafts, SkipReason::Draft),
];

type Found = (String, Vec<Role>, Option<chrono::DateTime<chrono::Utc>>);

/// What the service says: the message's id, where it lies, and when it was received.
async fn find(provider: &dyn EmailProvider, message: &str) -> Result<Option<Found>> {
    let mut ids = vec![MessageId::new(message)];
    if message.contains('@') {
        let mut query = MessageQuery::default();
        (query.message_id, query.include_junk_and_trash) = (Some(message.to_owned()), true);
        ids = provider.search(&query, None).await?.items.into_iter().map(|stub| stub.id).collect();
    }
    ids.truncate(1);
    if ids.is_empty() {
        return Ok(None);
    }
    for fetched in provider.fetch(&ids, Depth::Headers).await? {
        match fetched {
            Fetched::Gone(_) => {}
            Fetched::Malformed { key, .. } => return Ok(Some((key.to_string(), Vec::new(), None))),
            Fetched::Present { key, item, .. } => {
                return Ok(Some((key.to_string(), item.flags.roles.clone(), item.received_at.or(item.date))));
            }
            Fetched::NotYet(_, error) => {
                let message = "the service does not say now whether it has the message";
                return Err(crate::Error::new(ErrorKind::Unavailable, message).with_source(error));
            }
        }
    }
    Ok(None)
}

fn last(row: &StateRow) -> String {
    row.key.segments().pop().unwrap_or_default()
}
