//! End-to-end tests: the service crates against the sandbox, over real HTTP, with real processes.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what cannot be set up has failed")]

mod books;
mod conformance;
mod far;
mod kill;
mod memory;
mod near;
mod quota;
mod rematch;
mod steer;
mod storm;
mod timeline;
mod worker;
mod world;
