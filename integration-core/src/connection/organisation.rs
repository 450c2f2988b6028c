//! What differs per organisation at a service: issuers, and the consent of its administrators.

use std::collections::BTreeSet;

use url::Url;

/// Stands for the organisation in a template.
const PLACE: &str = "{tenant}";

/// Issuers that are spelt differently for each organisation at the service.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TenantIssuers {
    /// The spellings, with the place where the organisation's id goes.
    pub templates: Vec<String>,
    /// That place, as the templates and the service's discovery document write it (`{tenantid}`).
    pub place: String,
    /// The claim of the id token that names the organisation.
    pub claim: String,
    /// The organisations whose people may sign in; empty: all.
    pub allowed: BTreeSet<String>,
    /// What the service says in place of an organisation for people of none; absent: it does not do so.
    pub personal: Option<String>,
}

impl TenantIssuers {
    /// Issuers by `templates`, in which `place` stands for what the token says in `claim`.
    pub fn new(
        templates: impl IntoIterator<Item = String>,
        place: impl Into<String>,
        claim: impl Into<String>,
    ) -> Self {
        let templates = templates.into_iter().collect();
        Self { templates, place: place.into(), claim: claim.into(), allowed: BTreeSet::new(), personal: None }
    }

    /// Only these organisations' people may sign in.
    #[must_use]
    pub fn with_allowed<S: Into<String>>(mut self, organisations: impl IntoIterator<Item = S>) -> Self {
        self.allowed.extend(organisations.into_iter().map(Into::into));
        self
    }

    /// People of no organisation are said to be of `personal`: no administrator speaks for them.
    #[must_use]
    pub fn with_personal(mut self, personal: impl Into<String>) -> Self {
        self.personal = Some(personal.into());
        self
    }

    /// Is it what people of no organisation are said to be of?
    #[cfg(feature = "oauth")]
    pub(crate) fn is_personal(&self, organisation: &str) -> bool {
        self.personal.as_ref().is_some_and(|personal| personal.eq_ignore_ascii_case(organisation))
    }

    /// Is `organisation` the only one whose people may sign in?
    #[cfg(feature = "oauth")]
    pub(crate) fn is_only(&self, organisation: &str) -> bool {
        self.allowed.len() == 1 && self.allowed.iter().all(|one| one.eq_ignore_ascii_case(organisation))
    }

    /// Is `issuer` one of the templates, as it stands or for some organisation?
    #[must_use]
    pub fn knows(&self, issuer: &str) -> bool {
        self.templates.iter().any(|template| template == issuer || self.organisation(template, issuer).is_some())
    }

    /// May `organisation`, as a token names it, be the one that `issuer` was asked for?
    #[must_use]
    pub fn vouches(&self, issuer: &str, organisation: &str) -> bool {
        let one_of = self.allowed.is_empty() || self.allowed.iter().any(|one| one.eq_ignore_ascii_case(organisation));
        let spelt = |template: &String| template.replace(&self.place, organisation) == issuer;
        one_of && is_id(organisation) && self.templates.iter().any(spelt)
    }

    fn organisation<'a>(&self, template: &str, issuer: &'a str) -> Option<&'a str> {
        let (before, after) = template.split_once(&self.place)?;
        let id = issuer.strip_prefix(before)?.strip_suffix(after)?;
        is_id(id).then_some(id)
    }
}

/// No dots or slashes: what goes into an address must not lead elsewhere.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Where an administrator allows an app for an organisation.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AdminConsentEndpoint {
    /// The address, with `{tenant}` for the organisation.
    pub template: String,
    /// What stands for the organisation where it is not known.
    pub any_tenant: String,
}

impl AdminConsentEndpoint {
    /// The page at `template`, in which `{tenant}` stands for the organisation; `any_tenant` where it is not known.
    pub fn new(template: impl Into<String>, any_tenant: impl Into<String>) -> Self {
        Self { template: template.into(), any_tenant: any_tenant.into() }
    }

    /// The page for an organisation; `None` if its name is none, or the template is no address.
    #[must_use]
    pub fn page(&self, organisation: Option<&str>) -> Option<Url> {
        let organisation = organisation.unwrap_or(&self.any_tenant);
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let fits = (1..=253).contains(&organisation.len()) && organisation.bytes().all(named);
        // A name of dots alone would be a step in the path.
        let real = organisation.bytes().any(|byte| byte.is_ascii_alphanumeric());
        (fits && real).then(|| Url::parse(&self.template.replace(PLACE, organisation)).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::{AdminConsentEndpoint, TenantIssuers};

    fn issuers() -> TenantIssuers {
        TenantIssuers::new(["https://id.example/{tenantid}/v2".to_owned()], "{tenantid}", "tid")
    }

    #[test]
    fn an_issuer_is_known_as_the_template_or_for_some_organisation() {
        for (issuer, known) in [
            ("https://id.example/{tenantid}/v2", true),
            ("https://id.example/8f3c-11/v2", true),
            ("https://id.example//v2", false),
            ("https://id.example/a/b/v2", false),
            ("https://id.example/a..b/v2", false),
            ("https://evil.example/8f3c/v2", false),
            ("https://id.example/8f3c/v2/more", false),
        ] {
            assert_eq!(issuers().knows(issuer), known, "{issuer}");
        }
    }

    #[test]
    fn a_token_vouches_only_for_its_own_organisation_and_an_allowed_one() {
        let open = issuers();
        assert!(open.vouches("https://id.example/one/v2", "one"));
        assert!(!open.vouches("https://id.example/one/v2", "two"));
        assert!(!open.vouches("https://id.example//v2", ""));
        let closed = issuers().with_allowed(["ONE"]);
        assert!(closed.vouches("https://id.example/one/v2", "one"));
        assert!(!closed.vouches("https://id.example/two/v2", "two"));
    }

    #[test]
    fn an_organisation_leads_to_its_page_and_nowhere_else() {
        let endpoint = AdminConsentEndpoint::new("https://id.example/{tenant}/adminconsent", "organisations");
        let page = |organisation| endpoint.page(organisation).map(String::from);
        assert_eq!(page(None).unwrap(), "https://id.example/organisations/adminconsent");
        assert_eq!(page(Some("contoso.example")).unwrap(), "https://id.example/contoso.example/adminconsent");
        for hostile in ["", "..", "a/b", "a?b", "a#b", "a b", "ä"] {
            assert_eq!(page(Some(hostile)), None, "{hostile}");
        }
    }
}
