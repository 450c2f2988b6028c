//! Stateful simulators of the services, and harnesses.
pub mod google;
pub mod mime;
