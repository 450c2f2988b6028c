//! A scheduler.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    conformance::scheduler::SchedulerFixture,
    error::Result,
    sync::{Job, JobKey, Scheduler},
};

/// A queue that knows nothing of keys: a job scheduled twice runs twice. Its own fixture, with a time of its own.
#[derive(Debug, Default)]
pub struct PlainQueue(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    now: Duration,
    waiting: Vec<(Duration, JobKey)>,
    ran: Vec<JobKey>,
}

impl PlainQueue {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Scheduler for PlainQueue {
    async fn schedule(&self, job: &Job, due_in: Duration) -> Result<()> {
        let mut queue = self.queue();
        let due = queue.now + due_in;
        queue.waiting.push((due, job.key.clone()));
        Ok(())
    }

    async fn cancel(&self, key: &JobKey) -> Result<()> {
        self.queue().waiting.retain(|(_, waiting)| waiting != key);
        Ok(())
    }
}

#[async_trait]
impl SchedulerFixture for PlainQueue {
    fn scheduler(&self) -> &dyn Scheduler {
        self
    }

    async fn ran(&self) -> Vec<JobKey> {
        self.queue().ran.clone()
    }

    async fn advance(&self, by: Duration) {
        let mut queue = self.queue();
        queue.now += by;
        let now = queue.now;
        let (mut due, waiting): (Vec<_>, Vec<_>) = queue.waiting.drain(..).partition(|(due, _)| *due <= now);
        due.sort();
        queue.waiting = waiting;
        queue.ran.extend(due.into_iter().map(|(_, key)| key));
    }
}
