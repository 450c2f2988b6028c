//! The bundled scheduler: works off a [`JobStore`], in as many processes as share it.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt;

use super::{
    job::{Job, JobKey, JobOutcome, Scheduler},
    shutdown::Shutdown,
};
use crate::{
    clock::Clock,
    error::Result,
    store::{Claim, JobStore},
};

/// Whoever can run a job; the hub does.
#[async_trait]
pub trait JobRunner: fmt::Debug + Send + Sync + 'static {
    /// Runs one slice. Never panics by contract; if it does, the job is tried again later.
    async fn run(&self, job: Job, stop: &Shutdown) -> JobOutcome;
}

/// How the bundled scheduler works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SchedulerOptions {
    /// Jobs at a time in this process. 32 unless set.
    ///
    /// An idle poll is one call that waits for its service: with 0.2 s a call, 32 workers ask 160 connections a second,
    /// 3,200 every 20 s. A service that does not answer keeps one worker for as long as the call may take.
    pub workers: usize,
    /// How long a claim lasts without renewal: how long what a killed process had begun waits. 30 s unless set.
    pub claim: Duration,
    /// How long it sleeps at most when nothing is due: jobs put by other processes are noticed after this
    /// (earlier where the store tells: [`JobStore::work_arrived`]). 1 s unless set.
    pub nap: Duration,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self { workers: 32, claim: Duration::from_secs(30), nap: Duration::from_secs(1) }
    }
}

/// Runs jobs from a store. A claim that its process did not finish is taken up by another after it ran out.
#[derive(Clone, Debug)]
pub struct BundledScheduler {
    jobs: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    options: SchedulerOptions,
}

impl BundledScheduler {
    /// A scheduler over a job store.
    #[must_use]
    pub fn new(jobs: Arc<dyn JobStore>, clock: Arc<dyn Clock>, options: SchedulerOptions) -> Self {
        Self { jobs, clock, options }
    }

    /// Works until `stop`; running slices end at their next safe point first.
    ///
    /// # Errors
    /// Only if the store fails for longer than a claim lasts, in a way that does not pass by itself. While a database is
    /// away it goes on asking.
    pub async fn work(&self, runner: Arc<dyn JobRunner>, stop: &Shutdown) -> Result<()> {
        let mut running = tokio::task::JoinSet::new();
        let mut failing = Duration::ZERO;
        while !stop.stopping() {
            let free = self.options.workers.saturating_sub(running.len());
            match self.jobs.claim(free, self.options.claim).await {
                Ok(claims) => {
                    failing = Duration::ZERO;
                    for claim in claims {
                        let (me, runner, stop) = (self.clone(), Arc::clone(&runner), stop.clone());
                        running.spawn(async move { me.run_one(&*runner, claim, &stop).await });
                    }
                }
                Err(error) if failing >= self.options.claim && !error.retryable() => return Err(error),
                Err(error) => {
                    tracing::warn!(error = %error, "the job store does not answer");
                    failing += self.options.nap;
                }
            }
            self.rest(&mut running, stop).await;
        }
        while running.join_next().await.is_some() {}
        Ok(())
    }

    /// Waits until a job is due, one has ended, or it is time to stop.
    async fn rest(&self, running: &mut tokio::task::JoinSet<()>, stop: &Shutdown) {
        let full = running.len() >= self.options.workers;
        let due = if full { None } else { self.jobs.next_due().await.ok().flatten() };
        let nap = due.unwrap_or(self.options.nap).min(self.options.nap);
        if nap.is_zero() && !full {
            return;
        }
        tokio::select! {
            () = stop.stopped() => {}
            () = self.clock.sleep(nap) => {}
            () = self.jobs.work_arrived(), if !full => {}
            Some(_) = running.join_next(), if !running.is_empty() => {}
        }
    }

    async fn run_one(&self, runner: &dyn JobRunner, claim: Claim, stop: &Shutdown) {
        let call = AssertUnwindSafe(runner.run(claim.job.clone(), stop)).catch_unwind();
        let outcome = tokio::select! {
            outcome = call => outcome,
            () = self.lose(&claim) => {
                tracing::warn!(job = %claim.job.key, "the claim was lost: another process took the job over");
                return;
            }
        };
        let again = match outcome {
            Ok(JobOutcome::Continue) => Some(Duration::ZERO),
            Ok(JobOutcome::Done { again_in }) => again_in,
            Ok(JobOutcome::Failed { error, again_in }) => {
                tracing::warn!(job = %claim.job.key, error = %error, "a job failed");
                again_in
            }
            Err(_) => {
                tracing::error!(job = %claim.job.key, "a job panicked; it is tried again in a minute");
                Some(Duration::from_secs(60))
            }
        };
        if let Err(error) = self.jobs.finish(&claim, again).await {
            tracing::warn!(job = %claim.job.key, error = %error, "the end of a job could not be kept; its claim runs out");
        }
    }

    /// Prolongs the claim for as long as it can; returns once it is lost.
    async fn lose(&self, claim: &Claim) {
        loop {
            self.clock.sleep(self.options.claim / 3).await;
            if let Ok(false) = self.jobs.extend(claim, self.options.claim).await {
                return;
            }
        }
    }
}

#[async_trait]
impl Scheduler for BundledScheduler {
    async fn schedule(&self, job: &Job, due_in: Duration) -> Result<()> {
        self.jobs.put(job, due_in).await
    }

    async fn cancel(&self, key: &JobKey) -> Result<()> {
        self.jobs.cancel(key).await
    }
}
