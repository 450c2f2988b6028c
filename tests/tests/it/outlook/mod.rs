//! Outlook: the second service, held against the same promises.

mod bad_answers;
mod conformance;
mod folders;
mod links;
mod pages;
mod push;
mod quota;
mod sending;
mod sequences;
mod sign_in;
mod world;
