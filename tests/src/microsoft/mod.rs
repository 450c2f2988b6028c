//! A simulated Microsoft.

pub mod graph;
