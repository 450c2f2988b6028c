//! End-to-end tests: the service crates against the sandbox, over real HTTP, with real processes.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what cannot be set up has failed")]

#[cfg(unix)]
mod abort;
mod audit;
mod books;
mod both;
mod canary;
mod conformance;
mod erase;
mod events;
mod far;
mod fatal;
#[cfg(unix)]
mod fleet;
mod formats;
mod health;
#[cfg(unix)]
mod kill;
mod mailbox;
mod many;
mod memory;
mod near;
mod outbox;
#[cfg(unix)]
mod outbox_kill;
mod outbox_lookup;
mod outlook;
mod place;
#[cfg(unix)]
mod postgres;
mod quota;
mod quota_page;
mod reading;
mod rematch;
mod replies;
mod retention;
mod service;
mod skew;
mod steer;
#[cfg(unix)]
mod stopped;
mod storm;
mod timeline;
mod verdicts;
mod web;
mod worker;
mod world;
