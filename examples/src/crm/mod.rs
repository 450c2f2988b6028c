//! What `crm_sync` does.

mod arguments;
mod ask;
mod complaint;
mod far_side;
mod registration;
mod report;
mod service;

use std::{sync::Arc, time::Duration};

use integration_core::{
    Error, ErrorKind, Result,
    activity::{Directory, EmptyDirectory},
    clock::{Clock, SystemClock},
    connection::{Capability, Connection},
    error::Retry,
    event::EventListener,
    http::{LocalAdmission, ReqwestTransport},
    hub::Hub,
    ids::TenantId,
    oauth::{Authorise, CallbackQuery, ConnectOutcome},
    store::{SqliteOptions, Stores, sqlite::SqliteStore},
    sync::{Job, JobOutcome, Shutdown, SyncOptions},
};

pub use self::{
    arguments::{Arguments, Asked, HELP, USAGE},
    complaint::complaint,
    service::{Quotas, Service},
};
use self::{far_side::FarSide, registration::Registration, report::Report};
use crate::{
    keys, mail,
    meter::{Meter, MeteredAdmission, MeteredTransport},
    people::CsvDirectory,
    tally::Tally,
    words,
};

/// How long another program may hold the database.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a slice may fail in a row.
const TRIES: u32 = 5;

/// Runs once; true when up to date, false when it was stopped before.
///
/// # Errors
/// What went wrong; [`complaint`] makes one line of it.
pub async fn run(arguments: &Arguments) -> Result<bool> {
    let begun = std::time::Instant::now();
    // What a person handed in is read first: a mistake in it leaves everything as it was.
    let directory = arguments.people.as_deref().map(CsvDirectory::read).transpose()?;
    let files = files(arguments)?;
    let live = arguments.services.first().filter(|_| arguments.live);
    let live = live.map(|service| Registration::of(*service, |name| std::env::var(name).ok())).transpose()?;
    let store = SqliteStore::open_with(SqliteOptions::new(&arguments.db).with_busy_timeout(PATIENCE)).await?;
    let store = Arc::new(store);
    let key = keys::key_ring(&arguments.db, &*store).await?;
    let mut far_side = FarSide::start(arguments, live, files).await?;
    let tally = Arc::new(Tally::new(arguments.json));
    let meter = Arc::new(Meter::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut options = SyncOptions::default();
    options.own_domains = far_side.own_domains();
    let people: Arc<dyn Directory> = match &directory {
        Some(directory) => Arc::new(directory.clone()),
        None => Arc::new(EmptyDirectory),
    };
    let hub = Hub::builder(Stores::from_one(Arc::clone(&store)), Arc::new(key))
        .with_transport(Arc::new(MeteredTransport(Arc::new(ReqwestTransport::new()?), Arc::clone(&meter))))
        .with_directory(people)
        .with_events(Arc::clone(&tally) as Arc<dyn EventListener>)
        .with_sync(options)
        .with_clock(Arc::clone(&clock));
    let (hub, limits) = far_side.join(hub, LocalAdmission::new(clock))?;
    let hub = hub.with_admission(Arc::new(MeteredAdmission(Arc::new(limits), Arc::clone(&meter)))).build()?;
    let visit = Visit { hub: &hub, tenant: TenantId::new("demo"), far_side: &far_side };
    let asked = arguments.why.is_some() || arguments.audit;
    let done = match &arguments.why {
        Some(message) => visit.why(message, arguments).await.map(|()| true),
        None => visit.bring_up_to_date(arguments).await,
    };
    tally.end();
    let shown = match &done {
        Ok(_) if asked => Ok(()),
        Ok(up_to_date) => {
            let report = Report {
                counts: tally.counts(),
                meter: &meter,
                took: begun.elapsed(),
                quota: arguments.quota.unwrap_or_default(),
                services: &arguments.services,
                up_to_date: *up_to_date,
            };
            report.print(&hub, &visit.tenant, arguments, directory.as_ref()).await
        }
        Err(_) => Ok(()),
    };
    drop(hub);
    let stopped = far_side.stop().await;
    let up_to_date = done?;
    shown?;
    stopped?;
    store.close().await?;
    if !up_to_date {
        eprintln!("stopped; what is done is kept: run the same command again to go on where it stopped");
    }
    Ok(up_to_date)
}

/// The messages to be in the simulated mailbox; `None`: those that are there.
fn files(arguments: &Arguments) -> Result<Option<Vec<mail::Named>>> {
    if !arguments.mail.is_empty() {
        return mail::load_all(&arguments.mail).map(Some);
    }
    let ours = !arguments.live && arguments.sandbox.is_none();
    ours.then(|| mail::load_all(&[mail::bundled()])).transpose()
}

/// One run against the other side.
struct Visit<'a> {
    hub: &'a Hub,
    tenant: TenantId,
    far_side: &'a FarSide,
}

impl Visit<'_> {
    /// True when up to date (and compared, if that was asked for), false when it was asked to stop.
    async fn bring_up_to_date(&self, arguments: &Arguments) -> Result<bool> {
        let stop = stop_on_interrupt();
        for service in &arguments.services {
            if !self.bring_one_up_to_date(*service, arguments, &stop).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn bring_one_up_to_date(&self, service: Service, arguments: &Arguments, stop: &Shutdown) -> Result<bool> {
        let mut connection = tokio::select! {
            connected = self.connect(service) => connected?,
            () = stop.stopped() => return Ok(false),
        };
        // What the far side knows by now, the database relies on from here.
        self.far_side.save()?;
        let done = match self.sync(&connection, stop).await {
            Err(error) if matches!(error.kind(), ErrorKind::ReauthorisationNeeded | ErrorKind::NeedsConsent) => {
                connection = tokio::select! {
                    connected = self.sign_in(service, Some(&connection)) => connected?,
                    () = stop.stopped() => return Ok(false),
                };
                self.far_side.save()?;
                self.sync(&connection, stop).await
            }
            done => done,
        };
        match done {
            Ok(true) if arguments.audit => self.audit(&connection, stop, arguments.json).await,
            done => done,
        }
    }

    /// The connection of an earlier run, or a new one, with its mailbox as it is to be.
    async fn connect(&self, service: Service) -> Result<Connection> {
        let known = self.hub.connections(&self.tenant).await?;
        let known = known.into_iter().find(|known| known.app == service.app());
        self.far_side.load(service, known.as_ref()).await?;
        match known {
            Some(known) => Ok(known),
            None => self.sign_in(service, None).await,
        }
    }

    /// Connects an account; with `again`, the same once more.
    async fn sign_in(&self, service: Service, again: Option<&Connection>) -> Result<Connection> {
        let (redirect, browser) = self.far_side.browser(service).await?;
        let mut ask = Authorise::new([Capability::Identity, Capability::MailRead], redirect);
        if let Some(connection) = again {
            ask = ask.with_reconnect(connection.id.clone()).with_login_hint(&connection.account.label);
        }
        let authorisation = self.hub.authorise(&self.tenant, &service.app(), ask).await?;
        let query = browser.visit(&authorisation.url).await?;
        let completion = self.hub.complete(&CallbackQuery::parse(&query)?, &authorisation.binding).await?;
        match completion.outcome {
            ConnectOutcome::Granted { mut connections, .. } | ConnectOutcome::GrantedInPart { mut connections, .. } => {
                connections.pop().ok_or_else(|| Error::new(ErrorKind::NotFound, "the sign-in opened no account"))
            }
            other => Err(Error::new(ErrorKind::NeedsConsent, words::of(&other))),
        }
    }

    /// Slices until nothing is waiting, or until it is to stop.
    async fn sync(&self, connection: &Connection, stop: &Shutdown) -> Result<bool> {
        let job = Job::sync_mail(&self.tenant, &connection.id);
        let mut failures = 0;
        loop {
            let wait = match self.hub.run(job.clone(), stop).await {
                _ if stop.stopping() => return Ok(false),
                JobOutcome::Continue => {
                    failures = 0;
                    continue;
                }
                JobOutcome::Done { again_in } => match self.hub.pending(&self.tenant, &connection.id).await? {
                    0 => return Ok(true),
                    _ => again_in.unwrap_or_default(),
                },
                JobOutcome::Failed { error, again_in } => {
                    failures += 1;
                    // Calls that failed were repeated already: what is left is a limit that passes, or a busy database.
                    let passes = error.retry() == Retry::Temporary || error.kind() == ErrorKind::RateLimited;
                    match again_in {
                        Some(wait) if passes && failures < TRIES => wait.min(Duration::from_secs(5)),
                        _ => return Err(error),
                    }
                }
                _ => return Err(Error::new(ErrorKind::Unsupported, "the sync ended in an unknown way")),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.stopped() => return Ok(false),
            }
        }
    }
}

/// The first Ctrl-C stops at the next safe point, the second at once.
fn stop_on_interrupt() -> Shutdown {
    let stop = Shutdown::default();
    let asked = stop.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if asked.stopping() {
                std::process::exit(1);
            }
            asked.stop();
        }
    });
    stop
}
