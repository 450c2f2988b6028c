//! Shared pieces of the examples.

pub mod browser;
pub mod crm;
pub mod keys;
pub mod mail;
pub mod meter;
pub mod people;
pub mod tally;
