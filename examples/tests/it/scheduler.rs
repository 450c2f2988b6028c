//! The queue of `custom_scheduler`, held to the suite that the bundled scheduler passes.

#[allow(dead_code, reason = "the example's main is for its program")]
#[path = "../../custom_scheduler.rs"]
mod example;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use integration_core::{
    Error, ErrorKind,
    conformance::scheduler::SchedulerFixture,
    ids::{ConnectionId, TenantId},
    sync::{Job, JobKey, JobOutcome, JobRunner, Scheduler, Shutdown},
};

use self::example::HostQueue;

/// Writes down what ran and answers what it is told to, at last "done, never again".
#[derive(Debug, Default)]
struct Recorder {
    ran: Mutex<Vec<JobKey>>,
    answers: Mutex<Vec<JobOutcome>>,
}

#[async_trait]
impl JobRunner for Recorder {
    async fn run(&self, job: Job, _: &Shutdown) -> JobOutcome {
        self.ran.lock().unwrap().push(job.key);
        self.answers.lock().unwrap().pop().unwrap_or(JobOutcome::Done { again_in: None })
    }
}

/// The queue with its worker, on the test runtime's time.
#[derive(Debug)]
struct Host {
    queue: HostQueue,
    recorder: Arc<Recorder>,
    stop: Shutdown,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

#[allow(clippy::unused_async, reason = "the suite takes asynchronous constructors")]
async fn fresh(_: &str) -> Box<Host> {
    tokio::time::pause();
    host()
}

fn host() -> Box<Host> {
    let host = Host { queue: HostQueue::default(), recorder: Arc::default(), stop: Shutdown::default() };
    let (queue, recorder, stop) = (host.queue.clone(), Arc::clone(&host.recorder), host.stop.clone());
    tokio::spawn(async move { queue.work(recorder, &stop).await });
    Box::new(host)
}

#[async_trait]
impl SchedulerFixture for Host {
    fn scheduler(&self) -> &dyn Scheduler {
        &self.queue
    }

    async fn ran(&self) -> Vec<JobKey> {
        self.recorder.ran.lock().unwrap().clone()
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }
}

integration_core::scheduler_conformance!(fresh);

async fn runs_within(answer: JobOutcome, by: Duration) -> usize {
    let host = host();
    host.recorder.answers.lock().unwrap().push(answer);
    let job = Job::sync_mail(&TenantId::new("tenant"), &ConnectionId::new("c"));
    host.queue.schedule(&job, Duration::ZERO).await.unwrap();
    host.advance(by).await;
    host.ran().await.len()
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn what_an_outcome_asks_for_is_done() {
    let error = || Error::new(ErrorKind::Unavailable, "down");
    assert_eq!(runs_within(JobOutcome::Continue, Duration::from_millis(10)).await, 2);
    assert_eq!(runs_within(JobOutcome::Done { again_in: Some(MINUTE) }, MINUTE / 2).await, 1);
    assert_eq!(runs_within(JobOutcome::Done { again_in: Some(MINUTE) }, MINUTE * 2).await, 2);
    assert_eq!(runs_within(JobOutcome::Failed { error: error(), again_in: Some(MINUTE) }, MINUTE * 2).await, 2);
    assert_eq!(runs_within(JobOutcome::Failed { error: error(), again_in: None }, MINUTE * 99).await, 1);
}
