//! Everything in memory.
/// All stores in memory: for tests, gone with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {}
