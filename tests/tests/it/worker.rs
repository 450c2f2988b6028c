//! A host in a process of its own: this test program, run again.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use async_trait::async_trait;
use integration_core::{
    Result,
    activity::{Company, Directory, DirectoryAnswer, DirectoryQuery, Person},
    connection::{Capability, Connection},
    http::{Call, Cost, Repeat},
    hub::Hub,
    ids::{AppId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome, SignInSettings},
    store::{Stores, sqlite::SqliteStore},
    sync::{Job, JobOutcome, Shutdown, SyncOptions},
    vault::KeyRing,
};
use integration_google::{GmailQuota, Google, GoogleConfig, GoogleEndpoints};

use crate::far;

const ROLE: &str = "INTEGRATION_TEST_ROLE";
const DATABASE: &str = "INTEGRATION_TEST_DATABASE";
const ORIGIN: &str = "INTEGRATION_TEST_ORIGIN";
/// Any 32 bytes: what is sealed lives as long as the test.
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

pub(crate) fn tenant() -> TenantId {
    TenantId::new("tenant")
}

/// This program again, doing only `role`.
pub(crate) fn command(role: &str, database: &Path, origin: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "worker::the_other_process", "--nocapture"]);
    command.env(ROLE, role).env(DATABASE, database).env(ORIGIN, origin);
    command
}

/// Does nothing unless another test started this process to do it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (database, origin) = (std::env::var(DATABASE).unwrap(), std::env::var(ORIGIN).unwrap());
    let hub = hub(Path::new(&database), &origin).await;
    match role.as_str() {
        "sync" => sync(&hub, &origin).await,
        "storm" => storm(&hub, &origin).await,
        other => panic!("unknown role {other}"),
    }
}

pub(crate) async fn hub(database: &Path, origin: &str) -> Hub {
    let store = Arc::new(SqliteStore::open(database).await.unwrap());
    let endpoints = GoogleEndpoints::below(&origin.parse().unwrap()).unwrap();
    let config = GoogleConfig::desktop("sandbox-client").with_endpoints(endpoints).with_quota(GmailQuota::Off);
    let mut options = SyncOptions::default();
    // Long enough for a busy machine, short enough that a killed holder is soon replaced.
    options.lease = Duration::from_millis(1_500);
    Hub::builder(Stores::from_one(store), Arc::new(KeyRing::from_base64(KEY).unwrap()))
        .with_connector(Google::new(config).unwrap())
        .with_directory(Arc::new(Known))
        .with_sync(options)
        .with_sign_in(SignInSettings::default().with_lease_ttl(Duration::from_secs(2)))
        .build()
        .unwrap()
}

/// Knows whose address begins with `known`, and one company.
#[derive(Debug)]
struct Known;

#[async_trait]
impl Directory for Known {
    async fn look_up(&self, _: &TenantId, ask: &DirectoryQuery) -> Result<DirectoryAnswer> {
        let mut answer = DirectoryAnswer::default();
        let known = ask.addresses.iter().filter(|address| address.starts_with("known"));
        answer.people = known.map(|address| Person::new(address, address, address)).collect();
        answer.companies = vec![Company::new("acme", "Acme", "acme.example")];
        Ok(answer)
    }
}

pub(crate) async fn connect(hub: &Hub, origin: &str) -> Connection {
    if let Some(connection) = hub.connections(&tenant()).await.unwrap().pop() {
        return connection;
    }
    let ask = Authorise::new([Capability::Identity, Capability::MailRead], "http://127.0.0.1:1/callback");
    let authorisation = hub.authorise(&tenant(), &AppId::new("google"), ask).await.unwrap();
    let press = serde_json::json!({ "url": authorisation.url, "decision": "grant" }).to_string();
    let back = far::ask(origin, "POST", "consent", &press).await;
    let back: url::Url = back["url"].as_str().unwrap().parse().unwrap();
    let query = CallbackQuery::parse(back.query().unwrap_or_default()).unwrap();
    let completion = hub.complete(&query, &authorisation.binding).await.unwrap();
    match completion.outcome {
        ConnectOutcome::Granted { mut connections, .. } => connections.pop().unwrap(),
        other => panic!("not granted: {other:?}"),
    }
}

/// Syncs until nothing waits.
pub(crate) async fn sync(hub: &Hub, origin: &str) {
    let connection = connect(hub, origin).await;
    let job = Job::sync_mail(&tenant(), &connection.id);
    for _ in 0..200 {
        match hub.run(job.clone(), &Shutdown::default()).await {
            JobOutcome::Done { again_in } => {
                let busy = again_in == Some(Duration::from_secs(5));
                if !busy && hub.pending(&tenant(), &connection.id).await.unwrap() == 0 {
                    return;
                }
                // A killed worker's lease has to run out first.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            JobOutcome::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
    panic!("never up to date");
}

/// 250 tasks that all need a token at once.
async fn storm(hub: &Hub, origin: &str) {
    let connection = connect(hub, origin).await;
    let session = hub.session(&tenant(), &connection.id).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..250 {
        let (session, url) = (session.clone(), format!("{origin}/gmail/v1/users/me/profile"));
        tasks.spawn(async move {
            let request = http::Request::get(url).body(bytes::Bytes::new()).unwrap();
            session.send(Call::new("gmail.getProfile", request, Cost::units(1), Repeat::Safe)).await.map(drop)
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
}
