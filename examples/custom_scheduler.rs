//! Jobs in the host's own queue: `Scheduler` puts them there, a worker of the host's takes them out and calls `Hub::run`.
//!
//! The queue here is a map in memory; yours is a table or a broker. `tests/custom_scheduler.rs` proves the contract with the
//! conformance suite: a due job runs, one key has one pending job, the earlier due time stands.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use integration_core::{
    Error, ErrorKind, Result,
    connection::Capability,
    hub::Hub,
    ids::{AppId, TenantId},
    oauth::{Authorise, CallbackQuery},
    store::Stores,
    sync::{Job, JobKey, JobOutcome, JobRunner, Scheduler, Shutdown, SyncOptions},
    vault::KeyRing,
};
use integration_examples::{people::CsvDirectory, words};
use integration_google::{Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{Consent, Sandbox};
use tokio::{sync::Notify, time::Instant};

/// The host's queue. Clones are the same queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostQueue(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: Mutex<BTreeMap<JobKey, Entry>>,
    /// Something may be due earlier than the worker thinks.
    changed: Notify,
}

/// A job as a queue carries it: as text.
#[derive(Debug)]
struct Entry {
    job: String,
    due: Instant,
}

impl HostQueue {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<JobKey, Entry>> {
        // Every change under the lock is one step, so what a panic left behind is whole.
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, job: &Job, due_in: Duration) -> Result<()> {
        let text = serde_json::to_string(job)
            .map_err(|error| Error::new(ErrorKind::Store, "the job cannot be written").with_source(error))?;
        let due = Instant::now() + due_in;
        let mut entries = self.entries();
        let entry = entries.entry(job.key.clone()).or_insert(Entry { job: text, due });
        // One key has one pending job, and the earlier due time stands.
        entry.due = entry.due.min(due);
        drop(entries);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Takes out the next job that is due, or says when one will be.
    fn take(&self) -> std::result::Result<Job, Option<Instant>> {
        let mut entries = self.entries();
        let Some((key, due)) = entries.iter().map(|(key, entry)| (key.clone(), entry.due)).min_by_key(|(_, due)| *due)
        else {
            return Err(None);
        };
        if due > Instant::now() {
            return Err(Some(due));
        }
        let entry = entries.remove(&key).ok_or(None)?;
        serde_json::from_str(&entry.job).map_err(|_| None)
    }

    /// Works until `stop`; the slice that is running ends at its next safe point first.
    pub(crate) async fn work(&self, runner: Arc<dyn JobRunner>, stop: &Shutdown) {
        while !stop.stopping() {
            match self.take() {
                Ok(job) => {
                    let outcome = runner.run(job.clone(), stop).await;
                    if let Err(error) = self.follow(&job, outcome) {
                        eprintln!("{}: {error}", job.key);
                    }
                }
                Err(due) => {
                    let due = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
                    tokio::select! {
                        () = stop.stopped() => {}
                        () = self.0.changed.notified() => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
            }
        }
    }

    /// The outcome says when the job is wanted again. A job that was scheduled anew while it ran keeps the earlier time.
    fn follow(&self, job: &Job, outcome: JobOutcome) -> Result<()> {
        match outcome {
            JobOutcome::Continue => self.put(job, Duration::ZERO),
            JobOutcome::Done { again_in } => again_in.map_or(Ok(()), |wait| self.put(job, wait)),
            JobOutcome::Failed { error, again_in } => {
                eprintln!("{}: {error}", job.key);
                // Without a time, somebody has to act first: the hub schedules it again when they have.
                again_in.map_or(Ok(()), |wait| self.put(job, wait))
            }
            _ => Err(Error::new(ErrorKind::Unsupported, "an outcome of a newer release")),
        }
    }
}

#[async_trait]
impl Scheduler for HostQueue {
    async fn schedule(&self, job: &Job, due_in: Duration) -> Result<()> {
        self.put(job, due_in)
    }

    async fn cancel(&self, key: &JobKey) -> Result<()> {
        self.entries().remove(key);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::google().build();
    sandbox.register_person("ada@example.com", "Ada");
    let mailbox = sandbox.gmail().mailbox("ada@example.com");
    let letter = |number: u32| {
        format!(
            "From: ann@acme.example\r\nTo: ada@example.com\r\nSubject: Offer {number}\r\nMessage-ID: <{number}@acme.example>\r\n\r\nYes!"
        )
    };
    mailbox.deliver(letter(1), sandbox.now(), &["INBOX"]);
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await?;
    let origin = format!("http://{}", served.addr()).parse()?;

    let queue = HostQueue::default();
    let google = GoogleConfig::desktop("sandbox-client").with_endpoints(GoogleEndpoints::below(&origin)?);
    let mut options = SyncOptions::default();
    options.poll = Duration::from_millis(500);
    let contacts = CsvDirectory::parse(b"name,email,company,deal\nAnn,ann@acme.example,Acme,\n")?;
    let hub = Hub::builder(Stores::memory(), Arc::new(KeyRing::generate()))
        .with_connector(Google::new(google)?)
        .with_directory(Arc::new(contacts))
        .with_scheduler(Arc::new(queue.clone()))
        .with_sync(options)
        .build()?;

    let (tenant, app) = (TenantId::new("tenant-1"), AppId::new("google"));
    let ask = Authorise::new([Capability::Identity, Capability::MailRead], "http://127.0.0.1:1/callback");
    let authorisation = hub.authorise(&tenant, &app, ask).await?;
    let back = sandbox.consent(&authorisation.url, Consent::Grant)?;
    let query = CallbackQuery::parse(back.query().unwrap_or_default())?;
    // Completing a sign-in schedules the first sync: from here on the queue has work.
    println!("{}", words::of(&hub.complete(&query, &authorisation.binding).await?.outcome));
    let queued: Vec<String> = queue.entries().keys().map(ToString::to_string).collect();
    println!("queued: {}", queued.len());

    let stop = Shutdown::default();
    let worker = tokio::spawn({
        let (queue, hub, stop) = (queue.clone(), Arc::new(hub.clone()), stop.clone());
        async move { queue.work(hub, &stop).await }
    });
    for (expected, next) in [(1, Some(2)), (2, None)] {
        while hub.activities(&tenant).await?.len() < expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("on the timeline: {expected}");
        // Nobody asks for a sync: the job comes round again by itself.
        if let Some(number) = next {
            mailbox.deliver(letter(number), sandbox.now(), &["INBOX"]);
        }
    }
    stop.stop();
    worker.await?;
    println!("stopped; {} jobs wait for the next start", queue.entries().len());
    Ok(())
}
