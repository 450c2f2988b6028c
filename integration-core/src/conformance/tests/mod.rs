//! The suites that need a fixture, run against bundled parts and against saboteurs.

// The suites take asynchronous constructors.
#![allow(clippy::unused_async)]

#[cfg(feature = "mail")]
mod mailboxes;
mod schedulers;
mod sinks;
mod stores;
