//! Outlook mail and calendars over Microsoft Graph for the integration crate family.
//!
//! Nothing is here yet: this crate keeps its place in the workspace until its work begins.
