//! The simulators as a server.
fn main() {}
