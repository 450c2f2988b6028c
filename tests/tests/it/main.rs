//! End-to-end tests: the service crates against the sandbox, over real HTTP, with real processes.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what cannot be set up has failed")]

mod far;
mod kill;
mod reading;
mod steer;
mod storm;
mod worker;
