//! One authorised call: the frame's, under the name that the mail API uses.

pub use crate::call::{ApiAnswer, ApiCall};
