//! End-to-end tests: the service crates against the sandbox, over real HTTP, with real processes.

mod far;
mod kill;
mod storm;
mod worker;
