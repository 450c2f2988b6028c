//! Sign-in: authorise, callback, token sets, refresh, revoke.

mod callback;

pub use callback::CallbackQuery;
