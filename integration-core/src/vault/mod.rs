//! Encryption of secrets at rest.

mod sealer;

pub use sealer::{SealContext, Sealer};
