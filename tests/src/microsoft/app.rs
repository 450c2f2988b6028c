//! Apps: where they may send browsers, and how they prove who they are.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{scopes, tenant::Segment};
use crate::certificate;

/// Who may sign in to an app.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// People of every tenant.
    AnyTenant,
    /// People of every tenant, and personal accounts.
    #[default]
    Everybody,
    /// People of one tenant, by id.
    OneTenant(String),
    /// Personal accounts.
    Personal,
}

impl Audience {
    fn has_personal_accounts(&self) -> bool {
        matches!(self, Self::Everybody | Self::Personal)
    }

    /// May the app be used on this segment of the path?
    pub(super) fn allows(&self, segment: &Segment) -> bool {
        match self {
            Self::Everybody => true,
            Self::AnyTenant => *segment != Segment::Consumers,
            Self::OneTenant(id) => segment.tenant() == Some(id),
            Self::Personal => *segment == Segment::Consumers,
        }
    }
}

/// One of an app's secrets.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClientSecret {
    /// The secret itself.
    pub value: String,
    /// When it ends; absent: never.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// A certificate whose key signs an app's assertions.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClientCertificate {
    /// SHA-256 of the DER form, base64url: an assertion's `x5t#S256`.
    pub thumbprint: String,
    /// SHA-1 of the DER form, base64url: the older `x5t`.
    pub old_thumbprint: String,
    /// The public key (SubjectPublicKeyInfo), base64 of its DER form.
    pub public_key: String,
}

impl ClientCertificate {
    /// The certificate in an X.509 document (DER); nothing if it is none.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        Some(Self {
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, der)),
            old_thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, der)),
            public_key: STANDARD.encode(certificate::public_key(der)?),
        })
    }
}

/// One app registration. How it proves who it is follows from what it has: with a secret or a certificate it is
/// confidential and has to use one, with neither it is public.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct EntraApp {
    /// The client id, a GUID at the real service.
    pub client_id: String,
    /// Where browsers may be sent back to, byte for byte; only at `localhost` the port does not matter.
    pub redirect_uris: Vec<String>,
    /// Its secrets.
    pub secrets: Vec<ClientSecret>,
    /// Its certificates.
    pub certificates: Vec<ClientCertificate>,
    /// Who may sign in.
    pub audience: Audience,
    /// Application permissions that are registered with it.
    pub roles: BTreeSet<String>,
    /// Delegated permissions that are registered with it: what `.default` means.
    pub scopes: BTreeSet<String>,
    /// Is its publisher verified?
    pub verified_publisher: bool,
    /// Is it disabled?
    pub disabled: bool,
}

impl EntraApp {
    /// A public app without a secret, for every account.
    #[must_use]
    pub fn desktop(client_id: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), ..Self::default() }.with_redirect("http://localhost")
    }

    /// A web app with a secret that does not end, for every account.
    #[must_use]
    pub fn web(client_id: impl Into<String>, secret: impl Into<String>, redirect: impl Into<String>) -> Self {
        let client_id = client_id.into();
        Self { client_id, ..Self::default() }.with_redirect(redirect).with_secret(secret, None)
    }

    /// The same app with one more redirect.
    #[must_use]
    pub fn with_redirect(mut self, redirect: impl Into<String>) -> Self {
        self.redirect_uris.push(redirect.into());
        self
    }

    /// The same app with one more secret.
    #[must_use]
    pub fn with_secret(mut self, value: impl Into<String>, expires_at: Option<DateTime<Utc>>) -> Self {
        self.secrets.push(ClientSecret { value: value.into(), expires_at });
        self
    }

    /// The same app with one more certificate.
    #[must_use]
    pub fn with_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.certificates.push(certificate);
        self
    }

    /// The same app for other accounts.
    #[must_use]
    pub fn for_accounts(mut self, audience: Audience) -> Self {
        self.audience = audience;
        self
    }

    /// The same app with these application permissions.
    #[must_use]
    pub fn with_roles(mut self, roles: &[&str]) -> Self {
        self.roles.extend(scopes::set(roles));
        self
    }

    /// The same app with these delegated permissions as its `.default`.
    #[must_use]
    pub fn with_scopes(mut self, names: &[&str]) -> Self {
        self.scopes.extend(scopes::set(names));
        self
    }

    /// The same app of a verified publisher.
    #[must_use]
    pub fn verified(mut self) -> Self {
        self.verified_publisher = true;
        self
    }

    pub(super) fn is_confidential(&self) -> bool {
        !self.secrets.is_empty() || !self.certificates.is_empty()
    }

    /// What is wrong with the registration by the service's own rules.
    pub(super) fn wrong(&self) -> Option<String> {
        if let Some(role) = self.roles.iter().find(|role| !scopes::is_role(role)) {
            return Some(format!("{role} is no application permission"));
        }
        let most = if self.audience.has_personal_accounts() { 100 } else { 256 };
        if self.redirect_uris.len() > most {
            return Some(format!("more than {most} redirects"));
        }
        let personal = self.audience.has_personal_accounts();
        self.redirect_uris.iter().find_map(|uri| wrong_redirect(uri, personal))
    }

    /// The redirect as browsers are sent to it, if it is a registered one.
    pub(super) fn redirect(&self, text: &str) -> Option<Url> {
        let asked = Url::parse(text).ok()?;
        let same = |registered: &String| registered == text || same_at_localhost(registered, &asked);
        self.redirect_uris.iter().any(same).then_some(asked)
    }
}

fn is_localhost(url: &Url) -> bool {
    url.host_str() == Some("localhost")
}

fn same_at_localhost(registered: &str, asked: &Url) -> bool {
    let Ok(mut registered) = Url::parse(registered) else { return false };
    let ported = is_localhost(&registered) && is_localhost(asked) && registered.set_port(asked.port()).is_ok();
    ported && registered == *asked
}

fn wrong_redirect(text: &str, personal: bool) -> Option<String> {
    let Ok(url) = Url::parse(text) else { return Some(format!("{text} is no redirect")) };
    let loopback = is_localhost(&url) || matches!(url.host_str(), Some("127.0.0.1" | "[::1]"));
    let why = if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        "is not https"
    } else if text.len() > 256 {
        "has more than 256 characters"
    } else if text.contains(['!', '$', '\'', '(', ')', ',', ';']) {
        "has a character that is not allowed"
    } else if personal && url.query().is_some() {
        "has a query, which personal accounts do not allow"
    } else {
        return None;
    };
    Some(format!("the redirect {text} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(redirect: &str) -> EntraApp {
        EntraApp { client_id: "a".to_owned(), ..EntraApp::default() }.with_redirect(redirect)
    }

    #[test]
    fn redirects_are_the_same_byte_for_byte_except_the_port_of_localhost() {
        let web = app("https://app.example/Back");
        assert!(web.redirect("https://app.example/Back").is_some());
        for other in ["https://app.example/back", "https://app.example/Back/", "https://app.example:8443/Back"] {
            assert!(web.redirect(other).is_none(), "{other}");
        }
        let local = app("http://localhost/back");
        assert!(local.redirect("http://localhost:1234/back").is_some());
        assert!(local.redirect("http://localhost:1234/").is_none());
        assert!(app("http://127.0.0.1:9/back").redirect("http://127.0.0.1:10/back").is_none());
    }

    #[test]
    fn a_redirect_without_a_path_comes_back_with_a_slash() {
        assert_eq!(app("http://localhost").redirect("http://localhost:7").unwrap().as_str(), "http://localhost:7/");
    }

    #[test]
    fn registrations_keep_the_services_rules() {
        assert_eq!(app("https://app.example/back").wrong(), None);
        assert_eq!(app("http://localhost:1/back").wrong(), None);
        for bad in ["http://app.example/", "https://app.example/a,b", "https://app.example/?a=1", "nothing"] {
            assert!(app(bad).wrong().is_some(), "{bad}");
        }
        let work = app("https://app.example/?a=1").for_accounts(Audience::AnyTenant);
        assert_eq!(work.wrong(), None);
        assert!(app(&format!("https://app.example/{}", "a".repeat(240))).wrong().is_some());
        assert!(work.with_roles(&["Mail.Everything"]).wrong().is_some());
    }

    #[test]
    fn audiences_decide_about_segments() {
        let one = Audience::OneTenant("t".to_owned());
        assert!(one.allows(&Segment::Tenant("t".to_owned())) && !one.allows(&Segment::Common));
        assert!(!Audience::AnyTenant.allows(&Segment::Consumers) && Audience::AnyTenant.allows(&Segment::Common));
    }
}
