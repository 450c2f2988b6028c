//! The simulated Google: what it answers under each of its APIs.
pub mod call;
pub mod gmail;
