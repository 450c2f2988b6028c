//! Forms that only the person they were shown to can send, from the browser they were shown in.
//!
//! A form carries a code over the browser's cookie, the tenant and the person, made with a key that all processes of a store
//! share: whichever of them receives the form can check it, and nothing is stored for it.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::host::Visitor;
use crate::{
    error::Result,
    hub::{FormKey, Hub},
};

/// The codes of forms.
pub(super) struct Forms {
    hub: Hub,
    known: Mutex<Option<FormKey>>,
}

impl Forms {
    pub(super) fn new(hub: Hub) -> Self {
        Self { hub, known: Mutex::default() }
    }

    /// The code for the forms of a page.
    pub(super) async fn code(&self, browser: &str, visitor: &Visitor) -> Result<String> {
        let key = match self.known() {
            Some(key) => key,
            None => self.load().await?,
        };
        Ok(URL_SAFE_NO_PAD.encode(hmac::sign(&signing(&key), &message(browser, visitor))))
    }

    /// Was this code made for this browser and person?
    pub(super) async fn accepts(&self, code: &str, browser: &str, visitor: &Visitor) -> Result<bool> {
        let Ok(code) = URL_SAFE_NO_PAD.decode(code) else { return Ok(false) };
        let message = message(browser, visitor);
        let fits = |key: &FormKey| hmac::verify(&signing(key), &message, &code).is_ok();
        let known = self.known();
        if known.as_ref().is_some_and(fits) {
            return Ok(true);
        }
        // Another process may have replaced the key since.
        let loaded = self.load().await?;
        Ok(known.is_none_or(|known| known.version != loaded.version) && fits(&loaded))
    }

    fn known(&self) -> Option<FormKey> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn load(&self) -> Result<FormKey> {
        let key = self.hub.form_key().await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(key)
    }
}

fn signing(key: &FormKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.key.expose())
}

/// Lengths go before the parts, so that no two lists of parts are the same text.
fn message(browser: &str, visitor: &Visitor) -> Vec<u8> {
    let mut message = b"form".to_vec();
    for part in [browser, visitor.tenant.as_str(), &visitor.user] {
        message.extend((part.len() as u64).to_be_bytes());
        message.extend(part.as_bytes());
    }
    message
}

/// What ties a sign-in to a browser *and* a person: whoever signs in to the host in between cannot end it.
pub(super) fn binding(cookie: &str, visitor: &Visitor) -> String {
    format!("{cookie}.{}", hex::encode(Sha256::digest(message(cookie, visitor))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TenantId;

    #[test]
    fn parts_that_read_alike_in_a_row_are_told_apart() {
        let visitor = |tenant: &str, user: &str| Visitor::new(TenantId::new(tenant), user);
        let mut seen: Vec<Vec<u8>> = [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc")]
            .into_iter()
            .map(|(tenant, user)| message("cookie", &visitor(tenant, user)))
            .collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }
}
