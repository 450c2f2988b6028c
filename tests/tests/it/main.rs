//! End-to-end tests: the service crates against the sandbox, over real HTTP, with real processes.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what cannot be set up has failed")]

mod books;
mod far;
mod kill;
mod memory;
mod near;
mod quota;
mod storm;
mod worker;
