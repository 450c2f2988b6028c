//! Outlook: the second service, held against the same promises.

mod conformance;
mod folders;
mod push;
mod quota;
mod sequences;
mod sign_in;
mod world;
