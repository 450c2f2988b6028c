//! Outlook mail over Microsoft Graph for the integration crate family.
//!
//! [`outlook::Outlook`] is the mailbox; [`Client`] knows where Graph is and whose mailbox ([`Root`]) it is.

mod batch;
mod client;
pub mod outlook;

pub use client::{Client, Root};
