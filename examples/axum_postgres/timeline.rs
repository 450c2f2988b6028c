//! Contacts that the sync asks for, and activities that it writes in its own transaction.

use std::collections::BTreeMap;

use async_trait::async_trait;
use integration_core::{
    Error, ErrorKind, Result,
    activity::{
        Activity, ActivityChange, Batch, Company, Directory, DirectoryAnswer, DirectoryQuery, MatchTarget, Person, Sink,
    },
    error::Retry,
    ids::TenantId,
    store::{StoreTransaction, postgres},
};
use sqlx::{PgConnection, PgPool};

/// The host's side of the sync.
#[derive(Debug)]
pub(crate) struct Timeline {
    pool: PgPool,
}

impl Timeline {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

/// What the database did wrong is tried again later.
pub(crate) fn lost(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Store, "the host's tables do not work").with_retry(Retry::Temporary).with_source(error)
}

#[async_trait]
impl Directory for Timeline {
    /// One question for a whole batch of messages.
    async fn look_up(&self, tenant: &TenantId, ask: &DirectoryQuery) -> Result<DirectoryAnswer> {
        let addresses: Vec<&String> = ask.addresses.iter().collect();
        let domains: Vec<&String> = ask.domains.iter().collect();
        let select = "SELECT email, name, company FROM crm_contact \
                      WHERE tenant = $1 AND (email = ANY($2) OR (company <> '' AND split_part(email, '@', 2) = ANY($3)))";
        let rows: Vec<(String, String, String)> = sqlx::query_as(select)
            .bind(tenant.as_str())
            .bind(addresses)
            .bind(domains)
            .fetch_all(&self.pool)
            .await
            .map_err(lost)?;
        let (mut answer, mut companies) = (DirectoryAnswer::default(), BTreeMap::new());
        for (email, name, company) in rows {
            let mut person = Person::new(&email, name, &email);
            if let (false, Some((_, domain))) = (company.is_empty(), email.split_once('@')) {
                person.company = Some(company.clone());
                companies.insert(domain.to_owned(), company);
            }
            answer.people.push(person);
        }
        answer.companies = companies.iter().map(|(domain, name)| Company::new(name, name, domain)).collect();
        Ok(answer)
    }
}

#[async_trait]
impl Sink for Timeline {
    /// These rows and our cursor are committed together, or not at all.
    async fn apply(&self, batch: &Batch, tx: &mut dyn StoreTransaction) -> Result<()> {
        let missing = || Error::new(ErrorKind::Misconfigured, "the sink expects a transaction of the Postgres store");
        let connection = postgres::connection(tx).ok_or_else(missing)?;
        for change in &batch.activities {
            match change {
                ActivityChange::Upserted { activity } => upsert(connection, &batch.tenant, activity).await?,
                ActivityChange::Removed { id } => {
                    let delete = sqlx::query("DELETE FROM crm_activity WHERE tenant = $1 AND id = $2");
                    delete
                        .bind(batch.tenant.as_str())
                        .bind(id.as_str())
                        .execute(&mut *connection)
                        .await
                        .map_err(lost)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

async fn upsert(connection: &mut PgConnection, tenant: &TenantId, activity: &Activity) -> Result<()> {
    let contacts: Vec<&str> = activity.matches.iter().filter_map(|found| contact(&found.target)).collect();
    let upsert = "INSERT INTO crm_activity (tenant, id, at, author, subject, contacts) VALUES ($1, $2, $3, $4, $5, $6) \
                  ON CONFLICT (tenant, id) DO UPDATE SET at = $3, author = $4, subject = $5, contacts = $6";
    sqlx::query(upsert)
        .bind(tenant.as_str())
        .bind(activity.id.as_str())
        .bind(activity.summary.at)
        .bind(&activity.summary.from)
        .bind(&activity.summary.subject)
        .bind(contacts)
        .execute(connection)
        .await
        .map_err(lost)?;
    Ok(())
}

fn contact(target: &MatchTarget) -> Option<&str> {
    match target {
        MatchTarget::Contact(id) => Some(id),
        _ => None,
    }
}
