//! Sign-in: authorise, callback, token sets, refresh, revoke.
//!
//! [`SignIn`] is the whole of it (feature `oauth`):
//!
//! ```text
//! authorise → the person consents → complete → grant and connections
//!                                              └ credentials: an access token that is good now, refreshed ahead of its end
//! connect_app_only: the same without a person        disconnect: revoked at the service, then forgotten
//! request_admin_consent: where an administrator has to allow the app first
//! ```
//!
//! A refresh is single-flight in the process (one task per grant) and over processes (a lease, then compare-and-set):
//! the holder stores its *intent*, asks, and stores the answer before anybody uses it. Whoever finds an old intent knows
//! that an answer may have been lost, and tries the old refresh token once more.

#[cfg(feature = "oauth")]
mod admin_consent;
#[cfg(feature = "oauth")]
mod app_only;
#[cfg(feature = "oauth")]
mod assertion;
#[cfg(feature = "oauth")]
mod authorise;
mod callback;
#[cfg(feature = "oauth")]
mod claims;
#[cfg(feature = "oauth")]
mod complete;
#[cfg(feature = "oauth")]
mod connection_store;
#[cfg(feature = "oauth")]
mod credentials;
#[cfg(feature = "oauth")]
mod disconnect;
#[cfg(feature = "oauth")]
mod engine;
#[cfg(feature = "oauth")]
mod id_token;
#[cfg(feature = "oauth")]
mod key_cache;
#[cfg(feature = "oauth")]
mod outcome;
#[cfg(feature = "oauth")]
mod refresh;
#[cfg(feature = "oauth")]
mod settle;
#[cfg(feature = "oauth")]
#[cfg(test)]
mod tests;
#[cfg(feature = "oauth")]
mod token_endpoint;
#[cfg(feature = "oauth")]
mod token_set;

#[cfg(feature = "oauth")]
pub use self::{
    admin_consent::{AdminConsent, AdminConsentAsk, AdminConsentState},
    app_only::AppOnly,
    authorise::{Authorisation, Authorise, BrowserBinding},
    complete::{Callback, SignInHost, SignedIn},
    connection_store::{ConnectionStore, Stored},
    credentials::{GrantCredentials, KeptAlive},
    disconnect::{Disconnected, Forget, Revocation},
    engine::{OAuthParts, SignIn, SignInSettings},
    outcome::{Completion, ConnectOutcome, MismatchReason},
};
pub use callback::CallbackQuery;
