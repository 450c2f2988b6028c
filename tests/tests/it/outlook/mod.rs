//! Outlook: the second service, held against the same promises.

mod bad_answers;
mod conformance;
mod folders;
mod push;
mod links;
mod pages;
mod quota;
mod sending;
mod sequences;
mod sign_in;
mod world;
