//! The least a host writes: connect a mailbox, sync it, print the activities.

use std::sync::Arc;

use integration_core::{
    connection::Capability,
    hub::Hub,
    ids::{AppId, TenantId},
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    store::{Stores, sqlite::SqliteStore},
    sync::{Job, JobOutcome, Shutdown},
    vault::KeyRing,
};
use integration_google::{Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{Consent, Sandbox};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A simulated account; with your own client id, leave this block and `with_endpoints` out.
    let sandbox = Sandbox::google().build();
    sandbox.register_person("ada@example.com", "Ada");
    let mail = "From: Ann <ann@acme.example>\r\nTo: ada@example.com\r\nSubject: Offer\r\nMessage-ID: <1@acme.example>\r\n\r\nYes!";
    sandbox.gmail().mailbox("ada@example.com").deliver(mail, chrono::Utc::now(), &["INBOX"]);
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await?;
    let origin = format!("http://{}", served.addr()).parse()?;

    let folder = std::env::temp_dir().join(format!("integration-quickstart-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let store = Arc::new(SqliteStore::open(folder.join("quickstart.db")).await?);
    let keys = Arc::new(KeyRing::load_or_create_file(folder.join("quickstart.key"))?);
    let google = GoogleConfig::desktop("sandbox-client").with_endpoints(GoogleEndpoints::below(&origin)?);
    let hub = Hub::builder(Stores::from_one(store), keys)
        .with_connector(Google::new(google)?)
        .with_directory(Arc::new(contacts::Ann)) // your contacts
        .build()?;

    let (tenant, app) = (TenantId::new("tenant-1"), AppId::new("google"));
    let ask = Authorise::new([Capability::Identity, Capability::MailRead], "http://127.0.0.1:1/callback");
    let authorisation = hub.authorise(&tenant, &app, ask).await?;
    // A browser goes to `authorisation.url` and comes back to your redirect with a query.
    let back = sandbox.consent(&authorisation.url, Consent::Grant)?;
    let query = CallbackQuery::parse(back.query().unwrap_or_default())?;
    let completion = hub.complete(&query, &authorisation.binding).await?;
    let ConnectOutcome::Granted { connections, .. } = completion.outcome else { return Err("not granted".into()) };

    let job = Job::sync_mail(&tenant, &connections[0].id);
    while let JobOutcome::Continue = hub.run(job.clone(), &Shutdown::default()).await {}
    for activity in hub.activities(&tenant).await? {
        println!("{}: {} ({:?})", activity.summary.from, activity.summary.subject, activity.matches);
    }
    Ok(())
}

mod contacts {
    use integration_core::{
        Result,
        activity::{Directory, DirectoryAnswer, DirectoryQuery, Person},
        ids::TenantId,
    };

    /// Knows one person.
    #[derive(Debug)]
    pub(super) struct Ann;

    #[async_trait::async_trait]
    impl Directory for Ann {
        async fn look_up(&self, _: &TenantId, _: &DirectoryQuery) -> Result<DirectoryAnswer> {
            let mut answer = DirectoryAnswer::default();
            answer.people = vec![Person::new("42", "Ann", "ann@acme.example")];
            Ok(answer)
        }
    }
}
