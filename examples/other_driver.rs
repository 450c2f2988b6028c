//! A host whose rows live in another database, behind another driver: our store keeps every batch until the host has it.
//!
//! The host here has a SQLite file of its own; yours is whatever you have. It writes its rows **and the batch's sequence** in one
//! transaction of its own, then acknowledges. Killed at any moment and started again, it asks for what comes after its own
//! sequence: each batch takes effect once. `tests/it/other_driver.rs` kills this program and compares.
//!
//! `--folder DIR` says where both databases are, `--sandbox URL` which running sandbox to connect to (else a small one).

use std::{path::PathBuf, sync::Arc, time::Duration};

use integration_core::{
    Error, ErrorKind, Result,
    activity::{Activity, ActivityChange, Batch, BatchRetention},
    connection::{Capability, Connection},
    http::{Body, ReqwestTransport, Transport},
    hub::Hub,
    ids::{AppId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome, SignInSettings},
    store::{Stores, sqlite::SqliteStore},
    sync::{Job, JobOutcome, Shutdown, SyncOptions},
};
use integration_examples::{keys, people::CsvDirectory};
use integration_google::{GmailQuota, Google, GoogleConfig, GoogleEndpoints};
use integration_testing::Sandbox;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use url::Url;

/// The host's own database. Nothing in here knows our store.
struct Host(SqliteConnection);

fn lost(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Store, "the host's database does not work").with_source(error)
}

impl Host {
    async fn open(path: PathBuf) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut database = SqliteConnection::connect_with(&options).await.map_err(lost)?;
        for table in [
            "CREATE TABLE IF NOT EXISTS timeline (id TEXT PRIMARY KEY, author TEXT NOT NULL, subject TEXT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL)",
        ] {
            sqlx::query(table).execute(&mut database).await.map_err(lost)?;
        }
        Ok(Self(database))
    }

    /// How far the host is: in the same database as its rows.
    async fn sequence(&mut self) -> Result<u64> {
        let found: Option<(i64,)> =
            sqlx::query_as("SELECT sequence FROM position").fetch_optional(&mut self.0).await.map_err(lost)?;
        Ok(found.map_or(0, |(sequence,)| sequence.unsigned_abs()))
    }

    /// The rows and the sequence, together or not at all.
    async fn apply(&mut self, batch: &Batch) -> Result<()> {
        let mut tx = self.0.begin().await.map_err(lost)?;
        for change in &batch.activities {
            match change {
                ActivityChange::Upserted { activity } => upsert(&mut tx, activity).await?,
                ActivityChange::Removed { id } => {
                    let delete = sqlx::query("DELETE FROM timeline WHERE id = ?").bind(id.as_str());
                    delete.execute(&mut *tx).await.map_err(lost)?;
                }
                _ => return Err(Error::new(ErrorKind::Unsupported, "a change of a newer release")),
            }
        }
        stand_at(&mut tx, batch.sequence).await?;
        tx.commit().await.map_err(lost)
    }

    /// Batches are missing: everything anew, as it is now.
    async fn replace(&mut self, activities: &[Activity], sequence: u64) -> Result<()> {
        let mut tx = self.0.begin().await.map_err(lost)?;
        sqlx::query("DELETE FROM timeline").execute(&mut *tx).await.map_err(lost)?;
        for activity in activities {
            upsert(&mut tx, activity).await?;
        }
        stand_at(&mut tx, sequence).await?;
        tx.commit().await.map_err(lost)
    }

    async fn count(&mut self) -> Result<i64> {
        let (count,) = sqlx::query_as("SELECT COUNT(*) FROM timeline").fetch_one(&mut self.0).await.map_err(lost)?;
        Ok(count)
    }
}

async fn upsert(tx: &mut SqliteConnection, activity: &Activity) -> Result<()> {
    let insert = sqlx::query("INSERT OR REPLACE INTO timeline (id, author, subject) VALUES (?, ?, ?)");
    let insert = insert.bind(activity.id.as_str()).bind(&activity.summary.from).bind(&activity.summary.subject);
    insert.execute(tx).await.map_err(lost).map(drop)
}

async fn stand_at(tx: &mut SqliteConnection, sequence: u64) -> Result<()> {
    let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
    let stand = sqlx::query("INSERT OR REPLACE INTO position (one, sequence) VALUES (1, ?)").bind(sequence);
    stand.execute(tx).await.map_err(lost).map(drop)
}

/// Takes over what there is. Safe to interrupt anywhere, and to repeat.
async fn take_over(hub: &Hub, tenant: &TenantId, host: &mut Host) -> Result<()> {
    loop {
        let after = host.sequence().await?;
        let page = hub.batches(tenant, after, 100).await?;
        if page.reset.is_some() {
            let activities = hub.activities(tenant).await?;
            host.replace(&activities, page.next).await?;
        } else {
            for batch in &page.batches {
                host.apply(batch).await?;
            }
        }
        hub.acknowledge(tenant, page.next).await?;
        if page.next == after {
            return Ok(());
        }
    }
}

/// Syncs, taking over after every slice, until nothing is left.
async fn work(hub: &Hub, tenant: &TenantId, connection: &Connection, host: &mut Host) -> Result<()> {
    let (job, poll) = (Job::sync_mail(tenant, &connection.id), options().poll);
    loop {
        let outcome = hub.run(job.clone(), &Shutdown::default()).await;
        take_over(hub, tenant, host).await?;
        match outcome {
            JobOutcome::Continue => {}
            JobOutcome::Done { again_in } if again_in == Some(poll) => return Ok(()),
            // Somebody who was killed may still hold the lease.
            JobOutcome::Done { .. } => tokio::time::sleep(Duration::from_millis(200)).await,
            JobOutcome::Failed { error, .. } => return Err(error),
            _ => return Err(Error::new(ErrorKind::Unsupported, "an outcome of a newer release")),
        }
    }
}

/// Short slices and leases: this program is killed for a living.
fn options() -> SyncOptions {
    let mut options = SyncOptions::default();
    (options.slice, options.lease) = (Duration::from_millis(100), Duration::from_millis(1_500));
    options
}

/// Signs in, with somebody at the sandbox who presses "allow".
async fn connect(
    hub: &Hub,
    tenant: &TenantId,
    origin: &Url,
) -> std::result::Result<Connection, Box<dyn std::error::Error>> {
    if let Some(connection) = hub.connections(tenant).await?.pop() {
        return Ok(connection);
    }
    let ask = Authorise::new([Capability::Identity, Capability::MailRead], "http://127.0.0.1:1/callback");
    let authorisation = hub.authorise(tenant, &AppId::new("google"), ask).await?;
    let press = serde_json::json!({ "url": authorisation.url, "decision": "grant" }).to_string();
    let request = http::Request::post(origin.join("/sandbox/consent")?.as_str()).body(Body::from(press))?;
    let answer = ReqwestTransport::new()?.execute(request).await?.into_body().collect(64 << 10).await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    let back: Url = answer["url"].as_str().ok_or("nobody pressed allow")?.parse()?;
    let query = CallbackQuery::parse(back.query().unwrap_or_default())?;
    match hub.complete(&query, &authorisation.binding).await?.outcome {
        ConnectOutcome::Granted { mut connections, .. } => connections.pop().ok_or_else(|| "no account".into()),
        other => Err(format!("not granted: {other:?}").into()),
    }
}

fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(move |argument| argument != name);
    arguments.nth(1)
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::google().build();
    sandbox.register_person("ada@example.com", "Ada");
    let mail = "From: Ann <ann@acme.example>\r\nTo: ada@example.com\r\nSubject: Offer\r\nMessage-ID: <1@acme.example>\r\n\r\nYes!";
    sandbox.gmail().mailbox("ada@example.com").deliver(mail, sandbox.now(), &["INBOX"]);
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await?;
    let origin: Url = argument("--sandbox").unwrap_or_else(|| format!("http://{}", served.addr())).parse()?;
    let own = || std::env::temp_dir().join(format!("integration-other-driver-{}", std::process::id()));
    let folder = argument("--folder").map_or_else(own, PathBuf::from);
    std::fs::create_dir_all(&folder)?;

    let store = Arc::new(SqliteStore::open(folder.join("integration.db")).await?);
    let keys = keys::key_ring(&folder.join("integration.db"), &*store).await?;
    let config = GoogleConfig::desktop("sandbox-client").with_endpoints(GoogleEndpoints::below(&origin)?);
    let contacts = CsvDirectory::parse(b"name,email,company,deal\nAnn,ann@acme.example,Acme,\n")?;
    let hub = Hub::builder(Stores::from_one(store), Arc::new(keys))
        .with_connector(Google::new(config.with_quota(GmailQuota::Off))?)
        .with_directory(Arc::new(contacts))
        .with_sync(options())
        .with_sign_in(SignInSettings::default().with_lease_ttl(Duration::from_secs(3)))
        .with_kept_batches(BatchRetention::default())
        .build()?;
    let (tenant, mut host) = (TenantId::new("tenant-1"), Host::open(folder.join("host.db")).await?);
    let connection = connect(&hub, &tenant, &origin).await?;
    work(&hub, &tenant, &connection, &mut host).await?;
    println!("{} rows at the host, up to batch {}", host.count().await?, host.sequence().await?);
    Ok(())
}
