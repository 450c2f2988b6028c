//! What the host chooses and decides about its timeline: policies, the review list, suggestions, changes of the directory.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Hub, read::decoded};
use crate::{
    activity::{
        Activity, MailPolicy, MatchTarget, Review, ReviewSubject, Suggestion, Verdicts, policy_key, policy_of, spaces,
    },
    error::{Error, ErrorKind, Result},
    ids::{ActivityId, ConnectionId, TenantId},
    page::{Page, PageToken},
    store::{Expect, Space, StateKey, StateQuery, StateWrite, read_one},
    sync::{
        Job,
        engine::WalkRow,
        rows::{AGAIN, WALKS, encode},
    },
};

/// How often a row is read again because somebody wrote it in between.
const TRIES: usize = 8;

/// What changed in the host's directory: every address, domain and reference that was there before or is there now.
///
/// A contact that gains or loses an address: that address. Merged contacts: the addresses of both. A deleted one: its
/// addresses. A company's domain; a deal's reference.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DirectoryChange {
    /// Addresses; compared without case.
    pub addresses: BTreeSet<String>,
    /// Domains; compared without case.
    pub domains: BTreeSet<String>,
    /// References of deals; compared without case.
    pub references: BTreeSet<String>,
}

impl DirectoryChange {
    /// A change at these addresses.
    pub fn of_addresses<S: Into<String>>(addresses: impl IntoIterator<Item = S>) -> Self {
        Self { addresses: addresses.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let addresses = self.addresses.iter().map(|one| one.to_lowercase());
        let domains = self.domains.iter().map(|one| format!("@{}", one.to_lowercase()));
        addresses.chain(domains).chain(self.references.iter().map(|one| format!("#{}", one.to_lowercase())))
    }
}

impl Hub {
    /// The policy in force for a mailbox: its own, else the tenant's, else the default.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn mail_policy(&self, tenant: &TenantId, mailbox: &ConnectionId) -> Result<MailPolicy> {
        policy_of(&*self.0.stores.sync, tenant, mailbox).await
    }

    /// Sets the policy of a tenant, or of one mailbox; `None` takes it away again. What was decided before is decided anew
    /// from what is stored: queued in the same transaction, carried out by the next jobs. Nothing is fetched. What a narrower
    /// policy deletes does not come back with a wider one. Safe to repeat.
    ///
    /// # Errors
    /// `NotFound` for an unknown mailbox of this tenant; `Store`.
    pub async fn set_mail_policy(
        &self,
        tenant: &TenantId,
        mailbox: Option<&ConnectionId>,
        policy: Option<&MailPolicy>,
    ) -> Result<()> {
        let touched: Vec<ConnectionId> = match mailbox {
            Some(id) => vec![self.known(tenant, id).await?.0.id],
            None => self.connections(tenant).await?.into_iter().map(|connection| connection.id).collect(),
        };
        let key = policy_key(mailbox);
        let mut writes = vec![match policy {
            Some(policy) => put(tenant, spaces::POLICIES, key, policy)?,
            None => StateWrite::delete(tenant, spaces::POLICIES, key),
        }];
        for id in &touched {
            writes.push(put(tenant, WALKS, StateKey::new([id.as_str(), "mail"]), &WalkRow::default())?);
        }
        self.write(&writes).await?;
        self.queue_again(tenant, touched).await
    }

    /// Tells that the directory changed: every stored message that the change touches is decided anew, in every mailbox,
    /// and no other. Durable once it returns; safe to repeat. Returns how many messages were queued.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn directory_changed(&self, tenant: &TenantId, change: &DirectoryChange) -> Result<u64> {
        let names: Vec<String> = change.names().collect();
        // A message that is being decided right now may have asked the directory before the change, and is in no index yet.
        let later = Job::directory_changed(tenant, names.clone());
        self.0.scheduler.schedule(&later, self.0.sync.lease * 2).await?;
        self.queue_touched(tenant, &names).await
    }

    /// Queues every stored message that one of these names touches.
    pub(super) async fn queue_touched(&self, tenant: &TenantId, names: &[String]) -> Result<u64> {
        const PAGE: usize = 500;
        let (mut touched, mut queued) = (BTreeSet::new(), 0);
        for name in names {
            let (prefix, mut after) = (StateKey::new([name]).below(), None);
            loop {
                let (tenant_id, prefix) = (tenant.clone(), prefix.clone());
                let query =
                    StateQuery::Range { tenant: tenant_id, space: spaces::PARTICIPANTS, prefix, after, limit: PAGE };
                let rows = self.0.stores.sync.read(&query).await?;
                let mut writes = Vec::with_capacity(rows.len());
                for row in &rows {
                    let [_, connection, message] = row.key.segments().try_into().map_err(|_| {
                        Error::new(ErrorKind::Store, "a row of the index of participants has a key of another form")
                    })?;
                    let key = StateKey::new([connection.as_str(), "mail", &message]);
                    writes.push(StateWrite::put(tenant, AGAIN, key, "1"));
                    touched.insert(ConnectionId::new(connection));
                }
                queued += writes.len() as u64;
                self.write(&writes).await?;
                after = rows.last().map(|row| row.key.clone());
                if rows.len() < PAGE {
                    break;
                }
            }
        }
        self.queue_again(tenant, touched).await?;
        Ok(queued)
    }

    /// What there is to decide: ties and doubtful matches.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn reviews(&self, tenant: &TenantId) -> Result<Vec<Review>> {
        self.all(tenant, spaces::REVIEWS, String::new(), |row| decoded(spaces::REVIEWS, &row)).await
    }

    /// A page of the review list, as [`Hub::activities_page`].
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn reviews_page(&self, tenant: &TenantId, page: Option<&PageToken>) -> Result<Page<Review>> {
        self.page_of((tenant, spaces::REVIEWS, String::new()), page, |row| decoded(spaces::REVIEWS, &row)).await
    }

    /// Says that a subject is about `target`. What competes with it on the review list is rejected with it: candidates of the
    /// same kind that came [through the same](crate::activity::Match::via) address, not those of other participants. Remembered for good; undone by [`Hub::undo_verdict`].
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn accept_match(&self, tenant: &TenantId, subject: &ReviewSubject, target: &MatchTarget) -> Result<()> {
        let rivals = self.rivals(tenant, subject, target).await?;
        self.change_verdicts(tenant, subject, |verdicts| {
            rivals.iter().for_each(|rival| verdicts.set(rival.clone(), false));
            verdicts.set(target.clone(), true);
        })
        .await
    }

    /// Says that a subject is not about `target`. Remembered for good; undone by [`Hub::undo_verdict`].
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn reject_match(&self, tenant: &TenantId, subject: &ReviewSubject, target: &MatchTarget) -> Result<()> {
        self.change_verdicts(tenant, subject, |verdicts| verdicts.set(target.clone(), false)).await
    }

    /// Takes back everything that was decided about a subject.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn undo_verdict(&self, tenant: &TenantId, subject: &ReviewSubject) -> Result<()> {
        self.change_verdicts(tenant, subject, |verdicts| *verdicts = Verdicts::default()).await
    }

    /// Whom the mail suggests as new contacts, under the policy of each mailbox; dismissed ones left out.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn suggestions(&self, tenant: &TenantId) -> Result<Vec<Suggestion>> {
        let mut all: Vec<Suggestion> =
            self.all(tenant, spaces::SUGGESTIONS, String::new(), |row| decoded(spaces::SUGGESTIONS, &row)).await?;
        all.retain(|suggestion| !suggestion.dismissed);
        Ok(all)
    }

    /// A page of the suggestions, as [`Hub::activities_page`]; one may be short, or empty, where others were dismissed.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn suggestions_page(&self, tenant: &TenantId, page: Option<&PageToken>) -> Result<Page<Suggestion>> {
        let read = |row| decoded(spaces::SUGGESTIONS, &row);
        let mut page: Page<Suggestion> = self.page_of((tenant, spaces::SUGGESTIONS, String::new()), page, read).await?;
        page.items.retain(|suggestion| !suggestion.dismissed);
        Ok(page)
    }

    /// Keeps somebody out of the suggestions for good; `back` brings them back.
    ///
    /// # Errors
    /// `NotFound` if nobody of this address was suggested; `Store`.
    pub async fn dismiss_suggestion(&self, tenant: &TenantId, address: &str, back: bool) -> Result<()> {
        let key = StateKey::new([address.to_lowercase()]);
        self.change(tenant, spaces::SUGGESTIONS, &key, |suggestion: Option<Suggestion>| {
            let unknown = || Error::new(ErrorKind::NotFound, "nobody of this address was suggested");
            let mut suggestion = suggestion.ok_or_else(unknown)?;
            suggestion.dismissed = !back;
            Ok((!suggestion.is_empty()).then_some(suggestion))
        })
        .await
    }

    async fn rivals(
        &self,
        tenant: &TenantId,
        subject: &ReviewSubject,
        target: &MatchTarget,
    ) -> Result<Vec<MatchTarget>> {
        let asked = match subject {
            ReviewSubject::Activity(_) => None,
            ReviewSubject::Address(address) => Some(address.as_str()),
        };
        let on = |review: &Review| match subject {
            ReviewSubject::Activity(id) => review.activity == *id,
            ReviewSubject::Address(address) => review.addresses.contains(address),
        };
        let mut rivals = Vec::new();
        for review in self.reviews(tenant).await?.iter().filter(|review| on(review)) {
            let Some(chosen) = review.candidates.iter().find(|one| one.target == *target) else { continue };
            let beaten = review.candidates.iter().filter(|other| chosen.competes_with(other, asked));
            rivals.extend(beaten.map(|other| other.target.clone()));
        }
        Ok(rivals)
    }

    async fn change_verdicts(
        &self,
        tenant: &TenantId,
        subject: &ReviewSubject,
        change: impl Fn(&mut Verdicts) + Send + Sync,
    ) -> Result<()> {
        let key = StateKey::new(subject.key());
        self.change(tenant, spaces::VERDICTS, &key, |verdicts: Option<Verdicts>| {
            let mut verdicts = verdicts.unwrap_or_default();
            change(&mut verdicts);
            Ok((!verdicts.is_empty()).then_some(verdicts))
        })
        .await?;
        match subject {
            ReviewSubject::Address(address) => {
                let change = DirectoryChange::of_addresses([address]);
                self.directory_changed(tenant, &change).await.map(drop)
            }
            ReviewSubject::Activity(id) => {
                // A copy that is being decided right now may not have seen the verdict, and is not among the sightings yet.
                let later = Job::verdict_given(tenant, id);
                self.0.scheduler.schedule(&later, self.0.sync.lease * 2).await?;
                self.queue_copies(tenant, id).await
            }
        }
    }

    /// Queues every stored copy of the message behind an activity.
    pub(super) async fn queue_copies(&self, tenant: &TenantId, id: &ActivityId) -> Result<()> {
        let row = read_one(&*self.0.stores.sync, tenant, spaces::ACTIVITIES, StateKey::new([id])).await?;
        let Some(activity) = row.map(|row| decoded::<Activity>(spaces::ACTIVITIES, &row)).transpose()? else {
            return Ok(());
        };
        let copies = activity.sightings.iter().flat_map(|(connection, copies)| {
            copies.keys().map(move |message| StateKey::new([connection.as_str(), "mail", message]))
        });
        let writes: Vec<StateWrite> = copies.map(|key| StateWrite::put(tenant, AGAIN, key, "1")).collect();
        self.write(&writes).await?;
        self.queue_again(tenant, activity.sightings.into_keys()).await
    }

    /// Reads, changes and writes a row, again and again until nobody comes in between.
    pub(super) async fn change<T: Serialize + DeserializeOwned + Send>(
        &self,
        tenant: &TenantId,
        space: Space,
        key: &StateKey,
        change: impl Fn(Option<T>) -> Result<Option<T>> + Send + Sync,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let row = read_one(&*self.0.stores.sync, tenant, space, key.clone()).await?;
            let expect = row.as_ref().map_or(Expect::Absent, |row| Expect::Version(row.version));
            let write = match change(row.as_ref().map(|row| decoded(space, row)).transpose()?)? {
                Some(value) => put(tenant, space, key.clone(), &value)?,
                None => StateWrite::delete(tenant, space, key.clone()),
            };
            match self.write(&[write.expecting(expect)]).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                done => return done,
            }
        }
        Err(Error::new(ErrorKind::Conflict, "the row changed each time it was about to be written"))
    }

    async fn queue_again(
        &self,
        tenant: &TenantId,
        touched: impl IntoIterator<Item = ConnectionId> + Send,
    ) -> Result<()> {
        let touched: Vec<ConnectionId> = touched.into_iter().collect();
        for id in touched {
            self.0.scheduler.schedule(&Job::decide_again(tenant, &id), Duration::ZERO).await?;
        }
        Ok(())
    }
}

pub(super) fn put<T: Serialize>(tenant: &TenantId, space: Space, key: StateKey, value: &T) -> Result<StateWrite> {
    Ok(StateWrite::put(tenant, space, key, encode(space, value)?))
}
