//! What `crm_sync` does.

mod arguments;
mod far_side;
mod report;

use std::sync::Arc;

use integration_core::{
    Error, ErrorKind, Result,
    activity::{Directory, EmptyDirectory},
    clock::{Clock, SystemClock},
    connection::{Capability, Connection, Connector},
    event::EventListener,
    http::{LocalAdmission, ReqwestTransport},
    hub::Hub,
    ids::TenantId,
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    store::{Stores, sqlite::SqliteStore},
    sync::{Job, JobOutcome, Shutdown, SyncOptions},
};

pub use self::arguments::{Arguments, USAGE};
use self::{far_side::FarSide, report::Report};
use crate::{
    keys,
    meter::{Meter, MeteredAdmission, MeteredTransport},
    people::CsvDirectory,
    tally::Tally,
};

/// Runs once; true when up to date, false when it was stopped before.
///
/// # Errors
/// One line that says what is wrong and what to do.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let begun = std::time::Instant::now();
    let mut far_side = FarSide::start(&arguments).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = Arc::new(SqliteStore::open(&arguments.db).await?);
    let directory = arguments.people.as_deref().map(CsvDirectory::read).transpose()?;
    let tally = Arc::new(Tally::new(arguments.json));
    let meter = Arc::new(Meter::default());
    let connector = far_side.connector()?;
    let admission = LocalAdmission::new(Arc::clone(&clock))
        .with_table(connector.profile().app.clone(), connector.profile().quota.clone());
    let mut options = SyncOptions::default();
    options.own_domains = far_side.own_domains();
    let people: Arc<dyn Directory> = match &directory {
        Some(directory) => Arc::new(directory.clone()),
        None => Arc::new(EmptyDirectory),
    };
    let hub = Hub::builder(Stores::from_one(Arc::clone(&store)), Arc::new(keys::key_ring(&arguments.db)?))
        .with_transport(Arc::new(MeteredTransport(Arc::new(ReqwestTransport::new()?), Arc::clone(&meter))))
        .with_admission(Arc::new(MeteredAdmission(Arc::new(admission), Arc::clone(&meter))))
        .with_directory(people)
        .with_events(Arc::clone(&tally) as Arc<dyn EventListener>)
        .with_sync(options)
        .with_clock(clock)
        .with_connector(connector)
        .build()?;
    let tenant = TenantId::new("demo");
    let connection = connect(&hub, &tenant, &far_side).await?;
    let stop = stop_on_interrupt();
    let up_to_date = sync(&hub, &tenant, &connection, &stop).await?;
    let report = Report { counts: tally.counts(), meter: &meter, took: begun.elapsed(), up_to_date };
    report.print(&hub, &tenant, &arguments, directory.as_ref()).await?;
    drop(hub);
    store.close().await?;
    far_side.stop().await?;
    if !up_to_date {
        eprintln!("stopped; run the same command again to go on where it stopped");
    }
    Ok(up_to_date)
}

/// The connection of an earlier run, or a new one after signing in.
async fn connect(hub: &Hub, tenant: &TenantId, far_side: &FarSide) -> Result<Connection> {
    if let Some(known) = hub.connections(tenant).await?.into_iter().find(|known| known.app == far_side.app()) {
        return Ok(known);
    }
    let (redirect, browser) = far_side.browser().await?;
    let ask = Authorise::new([Capability::Identity, Capability::MailRead], redirect);
    let authorisation = hub.authorise(tenant, &far_side.app(), ask).await?;
    let query = browser.visit(&authorisation.url).await?;
    let completion = hub.complete(&CallbackQuery::parse(&query)?, &authorisation.binding).await?;
    match completion.outcome {
        ConnectOutcome::Granted { mut connections, .. } | ConnectOutcome::GrantedInPart { mut connections, .. } => {
            connections.pop().ok_or_else(|| Error::new(ErrorKind::NotFound, "the sign-in opened no account"))
        }
        other => {
            let message = format!("the sign-in ended without a connection: {other:?}");
            Err(Error::new(ErrorKind::NeedsConsent, message))
        }
    }
}

/// Slices until nothing is waiting, or until it is to stop.
async fn sync(hub: &Hub, tenant: &TenantId, connection: &Connection, stop: &Shutdown) -> Result<bool> {
    let job = Job::sync_mail(tenant, &connection.id);
    let mut failures = 0;
    loop {
        match hub.run(job.clone(), stop).await {
            _ if stop.stopping() => return Ok(false),
            JobOutcome::Continue => failures = 0,
            JobOutcome::Done { again_in } => match hub.pending(tenant, &connection.id).await? {
                0 => return Ok(true),
                _ => tokio::time::sleep(again_in.unwrap_or_default()).await,
            },
            JobOutcome::Failed { error, again_in } => {
                failures += 1;
                let Some(wait) =
                    again_in.filter(|_| failures < 5 && error.retry() != integration_core::error::Retry::Never)
                else {
                    return Err(error);
                };
                tokio::time::sleep(wait.min(std::time::Duration::from_secs(5))).await;
            }
            _ => return Err(Error::new(ErrorKind::Unsupported, "the sync ended in an unknown way")),
        }
    }
}

fn stop_on_interrupt() -> Shutdown {
    let stop = Shutdown::default();
    let asked = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            asked.stop();
        }
    });
    stop
}
