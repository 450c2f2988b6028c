//! The host's timeline.
