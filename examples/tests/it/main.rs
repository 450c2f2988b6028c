//! The examples: run as the programs they are, and their own parts held to the conformance suites.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what cannot be set up has failed")]

mod add_a_service;
#[cfg(unix)]
mod axum_postgres;
mod bad_input;
mod crm_sync;
mod interrupted;
mod lines;
mod live;
mod other_driver;
mod programs;
mod run;
mod scheduler;
mod tokens;
