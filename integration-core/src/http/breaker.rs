//! Breaker.
/// x
#[derive(Debug)]
pub struct Breaker {}
/// x
#[derive(Debug)]
pub struct BreakerSettings {}
