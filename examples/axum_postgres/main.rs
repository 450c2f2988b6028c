//! An axum backend with its own contacts, activities and outgoing mail in Postgres, and everything else in the same database.
//!
//! ```text
//! queue      jobs in a table of its own: any number of these programs on one database share the work
//! timeline   contacts and activities: its rows and our cursor are one transaction
//! outgoing   mail: its row and our intent are one transaction, its own
//! site       its pages, and ours below /accounts: connect, callback, status, disconnect
//! ```
//!
//! `DATABASE_URL` names the server; without it a throw-away one is started from the PostgreSQL binaries of this machine.
//! Start it several times on one database (`--listen 127.0.0.1:PORT` each, one `--sandbox URL` for all), kill any of them
//! at any time: nothing is lost, and nothing is done twice.

mod database;
mod outgoing;
mod queue;
mod site;
mod timeline;

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use integration_core::{
    connection::Capability,
    http::SharedLimits,
    hub::Hub,
    ids::AppId,
    sync::{Shutdown, SyncOptions},
    web::{self, Offer, WebOptions},
};
use integration_examples::mail;
use integration_google::{Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{DEFAULT_CLIENT, Sandbox, Served};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{database::Database, queue::Queue, site::Site, timeline::Timeline};

const USAGE: &str = "usage: axum_postgres [--listen 127.0.0.1:PORT] [--sandbox http://127.0.0.1:PORT]";
/// Jobs at a time in this process.
const WORKERS: usize = 8;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
struct Options {
    listen: SocketAddr,
    sandbox: Option<String>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { listen: ([127, 0, 0, 1], 8080).into(), sandbox: None };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} is unknown or needs a value"))?;
            match word.as_str() {
                "--listen" => {
                    options.listen = value.parse().map_err(|_| format!("{value} is no address with a port"))?
                }
                "--sandbox" => options.sandbox = Some(value),
                _ => return Err(format!("{word} is unknown")),
            }
        }
        Ok(options)
    }
}

/// Where Google is: a sandbox that runs somewhere, or one of our own with the sample mail.
async fn far_side(options: &Options) -> Result<(String, Option<Served>), Failure> {
    if let Some(origin) = &options.sandbox {
        return Ok((origin.clone(), None));
    }
    let sandbox = Sandbox::google().build();
    sandbox.register_person("ada@example.com", "Ada Example");
    let mailbox = sandbox.gmail().mailbox("ada@example.com");
    for (_, raw) in mail::load_all(&[mail::bundled()])? {
        mailbox.deliver(raw, sandbox.now(), &["INBOX"]);
    }
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await?;
    Ok((format!("http://{}", served.addr()), Some(served)))
}

fn hub(database: &Database, origin: &str) -> Result<Hub, Failure> {
    let google = GoogleConfig::desktop(DEFAULT_CLIENT).with_endpoints(GoogleEndpoints::below(&origin.parse()?)?);
    let timeline = Arc::new(Timeline::new(database.pool.clone()));
    let mut sync = SyncOptions::default();
    sync.poll = Duration::from_secs(5);
    let hub = Hub::builder(database.stores(), Arc::clone(&database.keys))
        .with_connector(Google::new(google)?)
        .with_directory(Arc::clone(&timeline) as _)
        .with_sink(timeline)
        .with_scheduler(Arc::new(Queue::new(database.pool.clone())))
        .with_sync(sync)
        // Any number of these processes stay under the service's limits together.
        .with_shared_limits(SharedLimits::default())
        .build()?;
    Ok(hub)
}

async fn run(options: Options) -> Result<(), Failure> {
    let database = Database::open().await?;
    let (origin, _service) = far_side(&options).await?;
    let hub = hub(&database, &origin)?;
    let listener = TcpListener::bind(options.listen).await?;
    let home = format!("http://{}", listener.local_addr()?);
    let asked = [Capability::Identity, Capability::MailRead, Capability::MailSend];
    let pages = WebOptions::new(format!("{home}/accounts").parse()?)
        .with_offer(Offer::new(AppId::new("google"), "Gmail", asked))
        .with_home("/", "Back to the timeline");
    let site = Arc::new(Site { hub: hub.clone(), database: database.clone() });
    let router = site::router(Arc::clone(&site)).nest("/accounts", web::router(hub.clone(), site, pages)?);

    let (stop, mut workers) = (Shutdown::default(), JoinSet::new());
    for _ in 0..WORKERS {
        workers.spawn(Queue::new(database.pool.clone()).work(hub.clone(), stop.clone()));
    }
    println!("Open {home}/ in a browser; Ctrl-C ends.");
    let ended = async move {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, router).with_graceful_shutdown(ended).await?;
    // Slices that are running end at their next safe point.
    stop.stop();
    while workers.join_next().await.is_some() {}
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("axum_postgres: {wrong}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum_postgres: {error}");
            ExitCode::FAILURE
        }
    }
}
