//! Shared pieces of the examples.

pub mod browser;
pub mod crm;
pub mod keys;
pub mod loopback;
pub mod mail;
pub mod meter;
pub mod people;
pub mod postbox;
pub mod tally;
pub mod words;
